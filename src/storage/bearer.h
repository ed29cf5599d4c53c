/* Bearer tokens, as Google and Azure give them: found when needed, kept until five minutes before
 * they end, found anew when the store refuses them. Thread-safe. No token ever gets into an error. */
#ifndef AP_STORAGE_BEARER_H
#define AP_STORAGE_BEARER_H

#include "storage/aws_identity.h"

struct ap_bearer_token {
    struct ap_bytes token;      /* empty: anonymous */
    int64_t expires_us;         /* wall clock; 0: never */
    char source[AP_SOURCE_MAX]; /* "service account x@y", "managed identity" */
};
void ap_bearer_token_done(struct ap_bearer_token *token); /* wipes it */

struct ap_bearer;
/* Asks whoever gives tokens. codes: CONFIG (says where it looked), DENIED, IO */
typedef enum apiary_code ap_bearer_find(
    struct ap_bearer *bearer, struct ap_bearer_token *out, struct apiary_error *err);
struct ap_bearer {
    struct ap_env *env;
    struct ap_http *http; /* borrowed */
    ap_bearer_find *find;
    struct ap_lock *lock; /* of what follows */
    struct ap_bearer_token kept;
    bool known;
    int64_t found_us;
};
AP_CHECKED enum apiary_code ap_bearer_init(struct ap_bearer *bearer, struct ap_env *env,
    struct ap_http *http, ap_bearer_find *find, struct apiary_error *err);
void ap_bearer_done(struct ap_bearer *bearer); /* zeroed is fine */
/* The token's text, appended to `token` (wipe it); source (may be NULL) and end. */
AP_CHECKED enum apiary_code ap_bearer_now(struct ap_bearer *bearer, struct ap_bytes *token,
    char source[AP_SOURCE_MAX], int64_t *expires_us, struct apiary_error *err);
bool ap_bearer_renew(struct ap_bearer *bearer);

/* For find functions: GET with one header, or (form not empty) POST of a form, to a service that
 * answers {"access_token", "expires_in" or "expires_on"}. `whom` is named in errors. *there (may be
 * NULL): false instead of a failure when nobody answers within a moment. */
AP_CHECKED enum apiary_code ap_bearer_ask(struct ap_bearer *bearer, const char *url,
    const char *header, const char *value, struct ap_str form, const char *whom, bool *there,
    struct ap_bearer_token *out, struct apiary_error *err);
/* Appends "name=value" to a form, encoded; nothing for an empty value. */
AP_CHECKED enum apiary_code ap_form_add(
    struct ap_bytes *form, const char *name, struct ap_str value, struct apiary_error *err);

/* google_identity.c, azure_identity.c */
ap_bearer_find ap_google_find, ap_azure_find;

#endif
