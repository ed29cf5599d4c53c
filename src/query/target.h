/* The frame that a statement writes to. */
#ifndef AP_QUERY_TARGET_H
#define AP_QUERY_TARGET_H

#include "query/read.h"

struct ap_target {
    struct ap_entry entry;
    struct ap_ledger *ledger; /* borrowed from world->frames; NULL for a frame that is being made */
    struct ap_store *store;
    char *prefix;                   /* owned: the frame's folder in the store */
    struct ap_snapshot *base;       /* NULL: version 0 is being written */
    struct ap_metadata metadata;    /* of base, or of the frame to be; borrowed strings */
    char name[3 * AP_NAME_MAX + 4]; /* for messages */
    bool assumed; /* base was the head some minutes ago; nobody was asked whether it still is */
};
void ap_target_done(struct ap_target *target);

/* An existing frame at its newest version; checked to be writable by us. No chamber may be held.
 * codes: NOT_FOUND, UNSUPPORTED (a view; writer features), … */
AP_CHECKED enum apiary_code ap_target_open(struct ap_session *session, const struct ap_name3 *name,
    struct ap_target *out, struct apiary_error *err);

/* The same for rows that are only added: its base may be one that was the head some minutes ago
 * (`assumed`). The commit's put tells; should the statement fail, ap_target_renew tells whether the
 * frame was another one by then. */
AP_CHECKED enum apiary_code ap_target_open_append(struct ap_session *session,
    const struct ap_name3 *name, struct ap_target *out, struct apiary_error *err);
/* An assumed base becomes the newest (by a look since the statement began). *moved: it is another. */
AP_CHECKED enum apiary_code ap_target_renew(struct ap_session *session, struct ap_target *target,
    bool *moved, struct apiary_error *err);
/* A statement ended with `code`. True: its base was assumed and is another one by now, so that it may
 * run once more, on that; what it told so far is forgotten. */
bool ap_target_again(struct ap_session *session, struct ap_target *target, enum apiary_code code);

/* A frame to be: hive and box must be there, the name free (EXISTS). Chooses its folder.
 * location: NULL or where the user wants it. metadata's strings are borrowed. */
AP_CHECKED enum apiary_code ap_target_new(struct ap_session *session, const struct ap_name3 *name,
    const char *location, const struct ap_metadata *metadata, struct ap_target *out,
    struct apiary_error *err);

/* Writes version 0 (with `adds`) and registers the frame: the registry slot is the commit point.
 * txn: NULL, or the id under which several may do this at once: whatever of it another one has done
 * already counts as done here. */
AP_CHECKED enum apiary_code ap_target_create(struct ap_session *session, struct ap_target *target,
    const struct ap_new_cell *adds, size_t add_count, const char *operation, const char *txn,
    struct apiary_error *err);

/* "hive.box.frame" or shorter, as the SDK gives it, to a whole name. */
AP_CHECKED enum apiary_code ap_target_name(
    struct ap_session *session, const char *text, struct ap_name3 *out, struct apiary_error *err);

#endif
