/* Results of tasks: one object for one or several tasks of a node, written once. The first that is
 * there counts; whoever is late is right too, since fragment and versions are fixed. */
#ifndef AP_SWARM_RESULT_H
#define AP_SWARM_RESULT_H

#include "swarm/board.h"
#include "swarm/swarm.h"

enum { AP_RESULT_INLINE_MAX = 1 << 20 };
#define AP_RESULTS_BYTES_MAX (UINT64_C(1) << 30)

/* One task's. code OK: bytes; else the error that ends the query. */
struct ap_result_entry {
    size_t task;
    enum apiary_code code;
    struct ap_bytes bytes;
    char *message, *hint; /* NULL where OK */
    int64_t run_us;
};
void ap_result_entry_done(struct ap_result_entry *entry);
void ap_result_entries_free(struct ap_result_entry *entries, size_t count);

/* Puts what is larger than AP_RESULT_INLINE_MAX beside, then the object. *mine: false when another
 * node's result of these tasks was there already. codes: those of ap_slot_settle and ap_store_put */
AP_CHECKED enum apiary_code ap_results_put(const struct ap_swarm *swarm, const char *id, const struct ap_result_entry *entries,
    size_t count, bool *mine, struct apiary_error *err);

/* Reads every result that the board shows: one entry a task, in order; all tasks are done. Stops at
 * none of them: an entry may be an error. codes: NOT_FOUND (collected), CORRUPT, LIMIT, IO */
AP_CHECKED enum apiary_code ap_results_read(const struct ap_swarm *swarm, const char *id, const struct ap_board *board,
    struct ap_result_entry **entries, struct apiary_error *err);

/* A payload beside an object: written under a name of its own / read and checked. Shared with 0end. */
AP_CHECKED enum apiary_code ap_payload_put(
    const struct ap_swarm *swarm, const char *id, struct ap_str bytes, struct ap_query_key *key, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_payload_get(const struct ap_swarm *swarm, const char *id, struct ap_str key, uint64_t size, struct ap_str sha256,
    struct ap_bytes *out, struct apiary_error *err);

#endif
