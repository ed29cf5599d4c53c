/* One suite of cases for all stores. A backend is done when it passes.
 *
 * To add a backend: a factory in backends.c. Cases (cases_*.c) see only `struct contract`. */
#ifndef AP_TESTS_CONTRACT_H
#define AP_TESTS_CONTRACT_H

#include "apiary_test.h"

#include "core/alloc.h"
#include "core/env.h"
#include "storage/store.h"

struct contract {
    const struct contract_backend *backend;
    char folder[AP_TEST_PATH_MAX]; /* "" where there is none */
    char uri[AP_TEST_PATH_MAX];
    struct ap_store *store; /* empty and open at the start of a case */
};

struct contract_backend {
    const char *name;
    /* Makes an empty store and its URI. False: not available here, the cases are skipped. */
    bool (*make)(struct contract *contract);
    /* Opens the store once more, as another process would; the caller closes it with `close`. */
    struct ap_store *(*again)(struct contract *contract);
    void (*close)(struct contract *contract, struct ap_store *store);
    void (*destroy)(struct contract *contract);
    bool paths_may_clash;   /* "a" and "a/b" can both be there: a bucket does not mind */
    bool clashes_are_lost;  /* they can, but a list leaves one of them out */
    bool deep_starts_lose;  /* a list that starts inside a folder below its prefix may end early; ours start in flat ones */
    bool looks_then_writes;  /* its conditional put is no single step: more than one racer may win */
    bool between_processes; /* else only threads of this process share it */
    int race_rounds;
    /* A folder that is removed while another writer makes it is an error: the server's own race. */
    bool folders_race;
};
extern const struct contract_backend *const contract_backends[]; /* ended by NULL */

struct contract_case {
    const char *name;
    void (*run)(struct contract *contract);
};
extern const struct contract_case contract_object_cases[], contract_list_cases[],
    contract_race_cases[];

/* Puts text; fails the test when that fails. */
void contract_put(struct ap_store *store, const char *key, const char *text);
/* The object's text equals; fails the test else. */
void contract_expect(struct ap_store *store, const char *key, const char *text);

#endif
