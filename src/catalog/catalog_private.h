/* The catalogue inside; private to this room. */
#ifndef AP_CATALOG_PRIVATE_H
#define AP_CATALOG_PRIVATE_H

#include "catalog/registry_slot.h"

struct ap_catalog {
    struct ap_env *env;
    struct ap_store *store;
    struct ap_log *log;
    struct ap_lock *lock;   /* guards the chains' heads and the list of hives' chains */
    struct ap_lock *writer; /* held while this process changes something: one committer a process */
    struct ap_chain hives;
    struct ap_chain **chains; /* of hives that were looked at; never shrinks before close */
    size_t count;
    size_t capacity;
};

/* The chain of a hive by its id, made when it is new. */
AP_CHECKED enum apiary_code ap_catalog_chain(struct ap_catalog *catalog, const char *hive_id,
    struct ap_chain **out, struct apiary_error *err);

/* A hive as it is known now: its chain, both states. Nothing is read unless nothing was read yet.
 * codes: NOT_FOUND "no hive x" with the nearest */
struct ap_hive_view {
    struct ap_registry *hives;
    struct ap_registry *state;
    const struct ap_thing *hive; /* in hives */
    struct ap_chain *chain;
};
void ap_hive_view_done(struct ap_hive_view *view);
AP_CHECKED enum apiary_code ap_catalog_view(struct ap_catalog *catalog, const char *hive,
    struct ap_hive_view *out, struct apiary_error *err);

/* An entry as a copy for the caller. */
AP_CHECKED enum apiary_code ap_entry_make(const struct ap_thing *hive, const struct ap_thing *box,
    const struct ap_thing *thing, struct ap_entry *out, struct apiary_error *err);

/* NOT_FOUND messages with a hint: the nearest name, or that it was dropped. */
enum apiary_code ap_no_hive(
    const struct ap_registry *hives, const char *name, struct apiary_error *err);
enum apiary_code ap_no_box(
    const struct ap_registry *state, const char *hive, const char *name, struct apiary_error *err);
enum apiary_code ap_no_entry(const struct ap_registry *state, const struct ap_thing *box,
    const struct ap_name3 *name, struct apiary_error *err);

#endif
