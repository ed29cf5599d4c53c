/* A world for the catalogue's tests: a clock that the test moves, and a store in memory whose calls
 * can be made to fail, to lose their reply, or to be preceded by another node's act. */
#ifndef TESTS_CATALOG_FAKE_H
#define TESTS_CATALOG_FAKE_H

#include "catalog/catalog.h"

struct fake {
    struct ap_env env;
    int64_t now_us, mono_us;
    uint64_t random;
    struct ap_store *inner;            /* no faults; for looks behind the scene */
    struct ap_store store;             /* what the catalogue gets */
    int refuse_reads;                  /* so many gets and lists answer IO */
    int refuse_puts;                   /* so many puts-if-absent answer IO without effect */
    int lose_puts;                     /* so many take effect and answer UNCERTAIN */
    int vanish_puts;                   /* so many answer UNCERTAIN without effect */
    void (*before_put)(void *context); /* called once, before the next put-if-absent */
    void *context;
};

void fake_open(struct fake *fake);
void fake_close(struct fake *fake);
size_t fake_count(struct fake *fake, const char *prefix); /* objects */

#endif
