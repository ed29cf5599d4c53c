/* A store over another that takes its time, counts what is read, and fails as told; for tests that
 * read from many threads. It says that it is not local. */
#ifndef AP_TESTS_PACED_STORE_H
#define AP_TESTS_PACED_STORE_H

#include "core/env.h"
#include "storage/store.h"

#include <stdatomic.h>
#include <string.h>

struct paced_store {
    struct ap_store store; /* the one to pass on */
    struct ap_store *inner;
    int64_t latency_us; /* of each call */
    atomic_long requests, bytes;
    atomic_long fail_at; /* this request (from 1) fails; 0: none */
    enum apiary_code fail_code;
};

static inline void paced_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct paced_store *paced = (struct paced_store *)(void *)store;
    if (paced->latency_us) ap_sleep_us(store->env, paced->latency_us);
    paced->inner->ops->get_many(paced->inner, gets, count);
    for (size_t i = 0; i < count; i++) {
        long number = atomic_fetch_add(&paced->requests, 1) + 1;
        atomic_fetch_add(&paced->bytes, (long)gets[i].body.size);
        if (number != atomic_load(&paced->fail_at)) continue;
        gets[i].code = ap_fail(&gets[i].error, paced->fail_code, "get %s: as told", gets[i].key);
    }
}

static inline void paced_close(struct ap_store *store)
{
    (void)store; /* the test's, as the inner one is */
}

static inline void paced_store_init(struct paced_store *paced, struct ap_store *inner)
{
    static struct ap_store_ops ops;
    ops = *inner->ops;
    ops.get_many = paced_get_many;
    ops.close = paced_close;
    memset(paced, 0, sizeof *paced);
    paced->inner = inner;
    paced->store = (struct ap_store) { .ops = &ops, .env = inner->env, .uri = inner->uri };
}

#endif
