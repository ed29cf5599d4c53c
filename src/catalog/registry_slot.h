/* A chain of slots: the numbered states of one registry in the store, and what is known of them
 * here; private to this room. */
#ifndef AP_CATALOG_REGISTRY_SLOT_H
#define AP_CATALOG_REGISTRY_SLOT_H

#include "catalog/registry.h"
#include "core/env.h"

enum { AP_CHAIN_PREFIX_MAX = 64, AP_CHAIN_KEY_MAX = AP_CATALOG_KEY_MAX };

struct ap_chain {
    struct ap_env *env;
    struct ap_store *store;
    struct ap_log *log;
    enum ap_registry_kind kind;
    char id[AP_ID_TEXT_SIZE];         /* of the hive; "" for the list of hives */
    char prefix[AP_CHAIN_PREFIX_MAX]; /* "_registry/hives" or "_registry/{hive id}" */
    struct ap_lock *lock;             /* the catalogue's; guards what follows */
    struct {
        struct ap_registry *head; /* newest state seen; NULL: none was looked for yet */
        int64_t confirmed_us;     /* monotonic: when it was last seen to be the newest */
    } shared;
};

/* hive_id NULL: the list of hives. */
void ap_chain_init(struct ap_chain *chain, struct ap_env *env, struct ap_store *store,
    struct ap_log *log, struct ap_lock *lock, const char *hive_id);
void ap_chain_done(struct ap_chain *chain);

/* The newest state seen, with a reference for the caller; NULL when none was looked for. */
struct ap_registry *ap_chain_head(struct ap_chain *chain);

/* Brings the chains up to date: one GET for each, all at once, when they are; more when there is
 * something new, or when the last look is more than an hour ago (then a LIST). A look that began
 * after since_us (monotonic) serves; INT64_MAX: none does.
 * codes: IO and the like; UNSUPPORTED, CORRUPT (a slot, named) */
AP_CHECKED enum apiary_code ap_chain_refresh(struct ap_chain *const *chains, size_t count,
    int64_t since_us, struct apiary_error *err);
/* Was a look that began after since_us the last? */
bool ap_chain_fresh(struct ap_chain *chain, int64_t since_us);
/* Would a 404 on the next slot prove that there is nothing newer? */
bool ap_chain_trusted(struct ap_chain *chain);
/* The one GET that refreshes a trusted chain, to be sent together with others', and what came of it.
 * Failures are left to the next refresh. */
void ap_chain_look_begin(struct ap_chain *chain, struct ap_catalog_look *look);
void ap_chain_look_end(struct ap_chain *chain, struct ap_catalog_look *look);

/* Alters a copy of the newest state. *changed false: nothing needs to be written. Called again with
 * the winner's state after a lost race, so it looks at the copy alone. */
typedef enum apiary_code ap_chain_alter(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err);
/* Commits a change: refreshes, alters, puts the next slot and settles it; again after a lost race.
 * On OK the chain holds the state that has the change.
 * codes: of alter (nothing was written); UNCERTAIN (the transaction is named); CONFLICT (lost too
 *        many races); LIMIT; IO, DENIED, FULL (nothing was written) */
AP_CHECKED enum apiary_code ap_chain_commit(
    struct ap_chain *chain, ap_chain_alter *alter, void *context, struct apiary_error *err);

#endif
