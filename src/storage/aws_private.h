/* Where AWS credentials come from, one by one. */
#ifndef AP_STORAGE_AWS_PRIVATE_H
#define AP_STORAGE_AWS_PRIVATE_H

#include "storage/aws_identity.h"
#include "storage/aws_profile.h"
#include "storage/cloud.h"

enum { SOURCE_NAME_MAX = 200, PROFILE_DEPTH_MAX = 5 };

struct ap_aws_identity {
    struct ap_env *env;
    struct ap_http *http;
    char *profile, *region;
    bool anonymous, google;
    struct ap_lock *lock; /* of what follows */
    struct ap_credentials kept;
    bool known;
    int64_t found_us, next_try_us; /* monotonic */
};

/* CONFIG unless the value is one line of visible characters. */
AP_CHECKED enum apiary_code ap_credential_set(
    struct ap_bytes *out, const char *what, struct ap_str value, struct apiary_error *err);

/* ---- aws_sources.c: each sets *found, or leaves it alone when it is not configured here ---- */

enum apiary_code ap_aws_from_container(struct ap_aws_identity *identity, struct ap_credentials *out,
    bool *found, struct apiary_error *err);
enum apiary_code ap_aws_from_instance(struct ap_aws_identity *identity, struct ap_credentials *out,
    bool *found, struct apiary_error *err);
enum apiary_code ap_aws_from_sso(struct ap_aws_identity *identity, const struct ap_aws_files *files,
    const char *profile, struct ap_credentials *out, struct apiary_error *err);
enum apiary_code ap_aws_from_process(
    struct ap_str command, struct ap_credentials *out, struct apiary_error *err);

struct ap_aws_role {
    struct ap_str arn;
    struct ap_str session, external_id, seconds, region; /* empty: none */
    struct ap_str token_file;                            /* with web identity; or */
    const struct ap_credentials *base;                   /* whoever may assume it */
};
enum apiary_code ap_aws_assume_role(struct ap_aws_identity *identity, const struct ap_aws_role *role,
    struct ap_credentials *out, struct apiary_error *err);

#endif
