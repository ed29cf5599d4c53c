/* Files of a store that a statement names: read_parquet('s3://bucket/x.parquet'). */
#ifndef AP_QUERY_REMOTE_FILES_H
#define AP_QUERY_REMOTE_FILES_H

#include "query/read.h"

/* Is it the URI of a store, and not a path or file://? */
bool ap_files_remote(struct ap_str pattern);

/* The URI without its options or query. */
struct ap_str ap_remote_plain(struct ap_str uri);
/* The URI as errors may show it: without what may be a secret. */
AP_CHECKED enum apiary_code ap_remote_shown(
    struct ap_str uri, struct ap_bytes *out, struct apiary_error *err);

/* The URI of its bucket: "scheme://bucket?options". */
AP_CHECKED enum apiary_code ap_remote_bucket(
    struct ap_str uri, struct ap_bytes *out, struct apiary_error *err);
/* The store of a URI "scheme://bucket/key?options" and the key or pattern in it. */
AP_CHECKED enum apiary_code ap_remote_place(struct ap_world *world, struct ap_str uri,
    struct ap_store **store, struct ap_bytes *key, struct apiary_error *err);

/* Does a key match a pattern? '*' and '?' stay within a part, '**' does not, [a-z] and [!a-z] are
 * one character. */
bool ap_glob_match(const char *pattern, const char *key);

/* Grants every object that the URI means; their virtual names are added to `names`.
 * codes: NOT_FOUND names the pattern, UNSUPPORTED the scheme */
AP_CHECKED enum apiary_code ap_remote_grant(struct ap_source *source, struct ap_str uri,
    bool parquet, struct ap_texts *names, struct apiary_error *err);

#endif
