/* Frames that were dropped long ago: their objects go for good. */
#ifndef AP_QUERY_PURGE_H
#define AP_QUERY_PURGE_H

#include "query/query.h"

/* Those of a hive that are dropped for `age_us` already, or whose purge was cut short. First a note,
 * then the registry forgets the frame (from then on UNDROP cannot bring it back), then its objects
 * go, then the note: a crash leaves the note, and the next purge goes on. Frames with a LOCATION
 * outside the store are only forgotten. rows gets frame, objects, bytes. */
AP_CHECKED enum apiary_code ap_purge_hive(struct ap_session *session, const char *hive,
    int64_t age_us, bool dry_run, struct ap_rows *rows, struct apiary_error *err);

#endif
