/* scheme://bucket/prefix?option=value&…: the form that all buckets' URIs have. */
#ifndef AP_STORAGE_CLOUD_URI_H
#define AP_STORAGE_CLOUD_URI_H

#include "core/str.h"

enum { AP_CLOUD_OPTIONS_MAX = 10 };

struct ap_cloud_uri {
    struct ap_bytes bucket;
    struct ap_bytes prefix; /* "" or ends in '/' */
    struct ap_bytes uri;    /* canonical: with what the URI itself said, in the order of `known` */
    struct ap_bytes values[AP_CLOUD_OPTIONS_MAX]; /* of `known`; empty: not given */
};
void ap_cloud_uri_done(struct ap_cloud_uri *uri);
/* known: names of options in byte order, ended by NULL; NULL: options are passed over. scheme: as the canonical URI has it.
 * codes: INVALID (names the part; a value never is in the message), MEMORY */
AP_CHECKED enum apiary_code ap_cloud_uri_parse(struct ap_cloud_uri *out, const char *scheme,
    const char *text, const char *const *known, struct apiary_error *err);
/* "true" or "false"; nothing is false. INVALID else. */
AP_CHECKED enum apiary_code ap_cloud_uri_flag(
    const char *name, const struct ap_bytes *value, bool *out, struct apiary_error *err);
/* An endpoint "http[s]://host[:port][/path]" without what has no place in a request line. */
bool ap_cloud_endpoint_is_good(struct ap_str endpoint);
bool ap_cloud_endpoint_is_here(struct ap_str endpoint); /* on this machine */

#endif
