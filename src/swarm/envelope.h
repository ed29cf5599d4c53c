/* The form of every object below _queries/: one JSON line that names kind, key, size and hash, and
 * then the body. Bytes that changed on the way or in the store are told apart from bytes that mean
 * something else; a copy under another key is refused.
 *
 *   {"apiary":"manifest","format":1,"key":"_queries/…","size":123,"sha256":"…","hmac":""}\n…
 *
 * hmac: HMAC-SHA-256, by a secret that the swarm shares, of "kind\nkey\nsha256". With a secret, what has
 * none or another is refused, so that nobody else who may write to the store has work done; without, what
 * has one is. `secret` is empty where there is none. */
#ifndef AP_SWARM_ENVELOPE_H
#define AP_SWARM_ENVELOPE_H

#include "storage/store.h"

AP_CHECKED enum apiary_code ap_envelope_write(
    struct ap_str secret, const char *kind, const char *key, struct ap_str body, struct ap_bytes *out, struct apiary_error *err);
/* *body points into text. CORRUPT names the key; UNSUPPORTED: another format, or signed where we are not
 * (or not signed, or by another secret, where we are). */
AP_CHECKED enum apiary_code ap_envelope_read(
    struct ap_str secret, const char *kind, const char *key, struct ap_str text, struct ap_str *body, struct apiary_error *err);
/* Gets and checks; a broken answer is asked for again. CORRUPT: it was broken each of four times.
 * *text owns, *body points into it. */
AP_CHECKED enum apiary_code ap_envelope_get(struct ap_store *store, struct ap_str secret, const char *kind, const char *key, uint64_t size_max,
    struct ap_bytes *text, struct ap_str *body, struct apiary_error *err);

/* SHA-256 as 64 hex digits. */
struct ap_hash_text {
    char text[65];
};
struct ap_hash_text ap_hash_text(struct ap_str data);

#endif
