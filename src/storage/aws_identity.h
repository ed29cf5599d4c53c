/* Who we are to AWS: the chain of sources as its users know it. In this order:
 *
 *   environment       AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN
 *   web identity      AWS_WEB_IDENTITY_TOKEN_FILE with AWS_ROLE_ARN (the file is read each time)
 *   profile           AWS_PROFILE, else "default", in ~/.aws/config and ~/.aws/credentials: role_arn
 *                     with source_profile or credential_source or web_identity_token_file, SSO (the
 *                     tokens that 'aws sso login' keeps), keys, credential_process
 *   container         AWS_CONTAINER_CREDENTIALS_RELATIVE_URI or _FULL_URI
 *   instance          metadata service, version 2, unless AWS_EC2_METADATA_DISABLED
 *
 * Credentials that end are found anew five minutes before that, once for all threads, and when the
 * store calls them expired. No value ever gets into an error, a log line or an argument of a process.
 * Thread-safe. */
#ifndef AP_STORAGE_AWS_IDENTITY_H
#define AP_STORAGE_AWS_IDENTITY_H

#include "storage/http.h"

enum { AP_SOURCE_MAX = 320 };

struct ap_credentials {
    struct ap_bytes access_key, secret_key; /* both empty: anonymous */
    struct ap_bytes token;                  /* session token; empty: none */
    int64_t expires_us;                     /* wall clock; 0: never */
    char source[AP_SOURCE_MAX];             /* "environment", "profile 'x': role arn:…" */
};
void ap_credentials_done(struct ap_credentials *credentials); /* wipes them */
AP_CHECKED enum apiary_code ap_credentials_copy(const struct ap_credentials *from,
    struct ap_credentials *to, struct apiary_error *err);
void ap_wipe(struct ap_bytes *secret);

struct ap_aws_options {
    const char *profile; /* NULL or "": AWS_PROFILE; else this one, and the environment is not asked */
    const char *region;  /* of the services that give credentials, where a profile names none */
    bool anonymous;
    bool google; /* GOOGLE_HMAC_KEY_ID and GOOGLE_HMAC_SECRET come first */
};

struct ap_aws_identity;
/* Asks nobody yet. http: borrowed. */
AP_CHECKED enum apiary_code ap_aws_identity_open(struct ap_env *env, struct ap_http *http,
    const struct ap_aws_options *options, struct ap_aws_identity **out, struct apiary_error *err);
void ap_aws_identity_close(struct ap_aws_identity *identity); /* NULL does nothing */
/* Credentials that hold now. codes: CONFIG (says where it looked), DENIED (a service refused), IO */
AP_CHECKED enum apiary_code ap_aws_identity_now(
    struct ap_aws_identity *identity, struct ap_credentials *out, struct apiary_error *err);
/* The store calls them expired: finds others, unless somebody just did. False when there are none. */
bool ap_aws_identity_renew(struct ap_aws_identity *identity);

/* A value of the profile in force ("region"), from the config file; false when there is none. */
bool ap_aws_profile_value(const char *profile, const char *name, struct ap_bytes *out);

#endif
