/* AWS Signature Version 4: what a request must carry so that the store believes us. Pure.
 * Source: "Create a signed AWS API request", AWS IAM user guide; the published vectors are tests.
 */
#ifndef AP_STORAGE_SIGV4_H
#define AP_STORAGE_SIGV4_H

#include "core/str.h"

enum { AP_SIGV4_TIME_SIZE = 17, AP_SIGV4_HASH_SIZE = 65 };

/* Borrowed texts. Never logged, never in an error. */
struct ap_sigv4_key {
    const char *access_key;
    const char *secret_key;
    const char *region;
    const char *service; /* "s3"; Google: "storage" */
    bool google; /* the same by Google's names: GOOG4-HMAC-SHA256, x-goog-date */
};

/* A name and a value: of the query, as they are before any encoding; of a header, the name in
 * lower case. */
struct ap_sigv4_pair {
    const char *name;
    const char *value;
};

struct ap_sigv4_request {
    const char *method;
    const char *path;  /* percent-encoded once, as it goes over the wire; begins with '/' */
    const char *query; /* from ap_sigv4_query; "" for none */
    const struct ap_sigv4_pair
        *headers; /* all that are signed, with host and x-amz-date; any order */
    size_t header_count;
    const char *payload_hash; /* lower-case hex of SHA-256, or UNSIGNED-PAYLOAD */
    const char *time;         /* from ap_sigv4_time; the value of x-amz-date */
};

/* "20130524T000000Z" of a wall clock in microseconds since the epoch. */
void ap_sigv4_time(int64_t now_us, char out[AP_SIGV4_TIME_SIZE]);
void ap_sigv4_hash(struct ap_str body, char out[AP_SIGV4_HASH_SIZE]);
/* The path of an object, encoded: '/' and A-Z a-z 0-9 - . _ ~ stand, all else is %XX. Appends. */
AP_CHECKED enum apiary_code ap_sigv4_path(
    struct ap_bytes *out, struct ap_str path, struct apiary_error *err);
/* "a=1&b=" in the order and encoding that signing and the wire share. Appends. */
AP_CHECKED enum apiary_code ap_sigv4_query(struct ap_bytes *out, const struct ap_sigv4_pair *pairs,
    size_t count, struct apiary_error *err);
/* The value of the Authorization header. Appends. codes: MEMORY, LIMIT (over AP_SIGV4_PAIRS_MAX) */
AP_CHECKED enum apiary_code ap_sigv4_authorize(struct ap_bytes *out, const struct ap_sigv4_key *key,
    const struct ap_sigv4_request *request, struct apiary_error *err);
enum { AP_SIGV4_PAIRS_MAX = 32 };

#endif
