/* Temporary frames: frames of one session, in a folder of its own in scratch. They are called
 * temp.main.name, and by the last part alone come before frames of the catalogue. */
#ifndef AP_QUERY_TEMPORARY_H
#define AP_QUERY_TEMPORARY_H

#include "query/query.h"

bool ap_name_temporary(const struct ap_name3 *name); /* is its hive temp? */
/* Is there one of this name? Ignoring case. */
bool ap_temporary_has(const struct ap_session *session, const char *frame);
/* The entry of a frame or view, temporary or of the catalogue (after a look at its newest state).
 * *out: the caller's. codes: NOT_FOUND with a hint that names the nearest one */
AP_CHECKED enum apiary_code ap_session_find(struct ap_session *session,
    const struct ap_name3 *name, struct ap_entry *out, struct apiary_error *err);

/* The same; a look that was taken since (monotonic) will do. */
AP_CHECKED enum apiary_code ap_session_find_since(struct ap_session *session,
    const struct ap_name3 *name, int64_t since_us, struct ap_entry *out, struct apiary_error *err);

/* A frame to be: id and a place that nobody else has, made when it is written to.
 * codes: EXISTS (a temporary view), INVALID (its name), IO, DENIED (scratch) */
AP_CHECKED enum apiary_code ap_temporary_new(struct ap_session *session,
    const struct ap_name3 *name, struct ap_entry *out, struct apiary_error *err);
/* From now on the session knows it. The entry is copied. codes: EXISTS, LIMIT */
AP_CHECKED enum apiary_code ap_temporary_add(
    struct ap_session *session, const struct ap_entry *entry, struct apiary_error *err);
/* No result that reads it may be open. codes: NOT_FOUND */
AP_CHECKED enum apiary_code ap_temporary_drop(
    struct ap_session *session, const struct ap_name3 *name, struct apiary_error *err);
/* codes: NOT_FOUND, EXISTS, UNSUPPORTED (to a place in the catalogue) */
AP_CHECKED enum apiary_code ap_temporary_rename(struct ap_session *session,
    const struct ap_name3 *from, const struct ap_name3 *to, struct apiary_error *err);
/* Forgets all and removes the folder. */
void ap_temporary_done(struct ap_session *session);

#endif
