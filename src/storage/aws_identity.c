/* The chain, and credentials that are kept until they end (aws_identity.h). */
#include "storage/aws_private.h"

#include "core/alloc.h"
#include "core/time.h"

#include <stdio.h>
#include <stdlib.h>

enum { VALUE_MAX = 16 << 10 };
#define REFRESH_US (5 * 60 * AP_US_PER_SECOND)   /* so long before they end */
#define PATIENCE_US (10 * AP_US_PER_SECOND)      /* between tries while the old ones still hold */

void ap_credentials_done(struct ap_credentials *credentials)
{
    ap_wipe(&credentials->access_key);
    ap_wipe(&credentials->secret_key);
    ap_wipe(&credentials->token);
    memset(credentials, 0, sizeof *credentials);
}

enum apiary_code ap_credentials_copy(const struct ap_credentials *from, struct ap_credentials *to,
    struct apiary_error *err)
{
    struct ap_credentials copy = { .expires_us = from->expires_us };
    memcpy(copy.source, from->source, sizeof copy.source);
    enum apiary_code code =
        ap_bytes_add_str(&copy.access_key, ap_bytes_view(&from->access_key), err);
    if (code == APIARY_OK)
        code = ap_bytes_add_str(&copy.secret_key, ap_bytes_view(&from->secret_key), err);
    if (code == APIARY_OK) code = ap_bytes_add_str(&copy.token, ap_bytes_view(&from->token), err);
    if (code != APIARY_OK) {
        ap_credentials_done(&copy);
        return code;
    }
    ap_credentials_done(to);
    *to = copy;
    return APIARY_OK;
}

/* A key or token is one line of visible characters: it becomes part of a header. */
enum apiary_code ap_credential_set(
    struct ap_bytes *out, const char *what, struct ap_str value, struct apiary_error *err)
{
    if (value.size > VALUE_MAX)
        return ap_fail(err, APIARY_CONFIG, "%s is longer than %d bytes", what, VALUE_MAX);
    for (size_t i = 0; i < value.size; i++)
        if ((unsigned char)value.data[i] <= ' ' || value.data[i] == 0x7f)
            return ap_fail(err, APIARY_CONFIG, "%s holds a blank or control character", what);
    ap_wipe(out);
    return ap_bytes_add_str(out, value, err);
}

/* ---- the chain ---- */

static bool is_set(const char *name)
{
    const char *value = getenv(name);
    return value && *value;
}

static enum apiary_code from_variables(struct ap_credentials *out, const char *access,
    const char *secret, const char *token, struct apiary_error *err)
{
    AP_TRY(ap_credential_set(&out->access_key, access, ap_str_from(getenv(access)), err));
    AP_TRY(ap_credential_set(&out->secret_key, secret, ap_str_from(getenv(secret)), err));
    if (token) AP_TRY(ap_credential_set(&out->token, token, ap_str_from(getenv(token)), err));
    snprintf(out->source, sizeof out->source, "environment (%s)", access);
    return APIARY_OK;
}

static enum apiary_code from_environment(struct ap_credentials *out, struct apiary_error *err)
{
    return from_variables(
        out, "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", err);
}

static enum apiary_code credential_source(struct ap_aws_identity *identity, struct ap_str named,
    struct ap_credentials *out, struct apiary_error *err)
{
    bool found = false;
    if (ap_str_is(named, "Environment") && is_set("AWS_ACCESS_KEY_ID"))
        return from_environment(out, err);
    if (ap_str_is(named, "EcsContainer")) {
        AP_TRY(ap_aws_from_container(identity, out, &found, err));
        if (found) return APIARY_OK;
    }
    if (ap_str_is(named, "Ec2InstanceMetadata")) {
        AP_TRY(ap_aws_from_instance(identity, out, &found, err));
        if (found) return APIARY_OK;
    }
    return ap_fail(err, APIARY_CONFIG, "credential_source " AP_FMT " has no credentials here",
        AP_ARG(named));
}

struct profile {
    struct ap_aws_identity *identity;
    const struct ap_aws_files *files;
    const char *name;
    int depth;
};

static bool value_of(const struct profile *profile, const char *name, struct ap_str *out)
{
    return ap_aws_files_value(profile->files, profile->name, name, out);
}

static enum apiary_code profile_keys(const struct profile *profile, struct ap_credentials *out,
    bool *found, struct apiary_error *err)
{
    struct ap_str access, secret, token;
    if (!value_of(profile, "aws_access_key_id", &access) ||
        !value_of(profile, "aws_secret_access_key", &secret))
        return APIARY_OK;
    AP_TRY(ap_credential_set(&out->access_key, "aws_access_key_id", access, err));
    AP_TRY(ap_credential_set(&out->secret_key, "aws_secret_access_key", secret, err));
    if (value_of(profile, "aws_session_token", &token))
        AP_TRY(ap_credential_set(&out->token, "aws_session_token", token, err));
    snprintf(out->source, sizeof out->source, "profile '%s'", profile->name);
    *found = true;
    return APIARY_OK;
}

static enum apiary_code from_profile(const struct profile *profile, struct ap_credentials *out,
    bool *found, struct apiary_error *err);

static enum apiary_code role_base(
    const struct profile *profile, struct ap_credentials *out, struct apiary_error *err)
{
    struct ap_str source;
    bool found = false;
    char name[SOURCE_NAME_MAX];
    if (value_of(profile, "credential_source", &source))
        return credential_source(profile->identity, source, out, err);
    if (!value_of(profile, "source_profile", &source))
        return ap_fail(err, APIARY_CONFIG,
            "profile '%s' has a role_arn, but no source_profile, credential_source or "
            "web_identity_token_file",
            profile->name);
    if (source.size >= sizeof name)
        return ap_fail(err, APIARY_CONFIG, "the name of a source_profile is too long");
    ap_cloud_text(name, sizeof name, source);
    struct profile base = { profile->identity, profile->files, name, profile->depth + 1 };
    AP_TRY(strcmp(name, profile->name) == 0 ? profile_keys(&base, out, &found, err)
                                            : from_profile(&base, out, &found, err));
    if (found) return APIARY_OK;
    return ap_fail(err, APIARY_CONFIG, "source_profile '%s' of profile '%s' has no credentials",
        name, profile->name);
}

static enum apiary_code profile_role(const struct profile *profile, struct ap_str arn,
    struct ap_credentials *out, struct apiary_error *err)
{
    struct ap_str file, ignored;
    AP_AUTO(ap_credentials) base = { 0 };
    struct ap_aws_role role = { .arn = arn };
    (void)value_of(profile, "role_session_name", &role.session);
    (void)value_of(profile, "external_id", &role.external_id);
    (void)value_of(profile, "duration_seconds", &role.seconds);
    (void)value_of(profile, "region", &role.region);
    if (value_of(profile, "mfa_serial", &ignored))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "profile '%s' wants a second factor (mfa_serial), which cannot be asked for here",
            profile->name);
    if (value_of(profile, "web_identity_token_file", &file)) {
        role.token_file = file;
    } else {
        AP_TRY(role_base(profile, &base, err));
        role.base = &base;
    }
    AP_TRY(ap_aws_assume_role(profile->identity, &role, out, err));
    snprintf(out->source, sizeof out->source, "profile '%.80s': role " AP_FMT, profile->name,
        (int)(arn.size < 200 ? arn.size : 200), arn.data);
    return APIARY_OK;
}

static enum apiary_code from_profile(const struct profile *profile, struct ap_credentials *out,
    bool *found, struct apiary_error *err)
{
    struct ap_str value;
    if (profile->depth > PROFILE_DEPTH_MAX)
        return ap_fail(err, APIARY_CONFIG, "profiles name each other as source_profile");
    if (value_of(profile, "role_arn", &value)) {
        *found = true;
        return profile_role(profile, value, out, err);
    }
    if (value_of(profile, "sso_account_id", &value)) {
        *found = true;
        AP_TRY(ap_aws_from_sso(profile->identity, profile->files, profile->name, out, err));
        snprintf(out->source, sizeof out->source, "profile '%.200s': single sign-on", profile->name);
        return APIARY_OK;
    }
    AP_TRY(profile_keys(profile, out, found, err));
    if (*found || !value_of(profile, "credential_process", &value)) return APIARY_OK;
    *found = true;
    AP_TRY(ap_aws_from_process(value, out, err));
    snprintf(out->source, sizeof out->source, "profile '%.200s': credential_process", profile->name);
    return APIARY_OK;
}

static enum apiary_code from_files(struct ap_aws_identity *identity, const char *name,
    struct ap_credentials *out, bool *found, struct apiary_error *err)
{
    AP_AUTO(ap_aws_files) files = { 0 };
    AP_TRY(ap_aws_files_read(&files, err));
    struct profile profile = { identity, &files, name, 0 };
    return from_profile(&profile, out, found, err);
}

static enum apiary_code from_web_identity(
    struct ap_aws_identity *identity, struct ap_credentials *out, struct apiary_error *err)
{
    struct ap_aws_role role = { .arn = ap_str_from(getenv("AWS_ROLE_ARN")),
        .session = ap_str_from(getenv("AWS_ROLE_SESSION_NAME")),
        .token_file = ap_str_from(getenv("AWS_WEB_IDENTITY_TOKEN_FILE")) };
    AP_TRY(ap_aws_assume_role(identity, &role, out, err));
    snprintf(out->source, sizeof out->source, "web identity: role %.200s", getenv("AWS_ROLE_ARN"));
    return APIARY_OK;
}

static enum apiary_code fail_none(
    const struct ap_aws_identity *identity, const char *profile, struct apiary_error *err)
{
    char config[PATH_MAX], credentials[PATH_MAX];
    ap_aws_file_paths(config, credentials);
    if (identity->profile && *identity->profile)
        ap_fail(err, APIARY_CONFIG, "profile '%s' has no credentials (looked in %s and %s)", profile,
            credentials, config);
    else
        ap_fail(err, APIARY_CONFIG,
            "no S3 credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are not set, there is no "
            "profile '%s' in %s or %s, and no container or instance offers any",
            profile, credentials, config);
    return ap_hint(err,
        "set both variables, write a profile, or add anonymous=true to the URI of a public bucket");
}

static enum apiary_code find(
    struct ap_aws_identity *identity, struct ap_credentials *out, struct apiary_error *err)
{
    bool found = false, named = identity->profile && *identity->profile;
    const char *profile = named ? identity->profile : ap_aws_profile_default();
    if (identity->anonymous) {
        snprintf(out->source, sizeof out->source, "anonymous");
        return APIARY_OK;
    }
    if (identity->google && is_set("GOOGLE_HMAC_KEY_ID") && is_set("GOOGLE_HMAC_SECRET"))
        return from_variables(out, "GOOGLE_HMAC_KEY_ID", "GOOGLE_HMAC_SECRET", NULL, err);
    if (!named && is_set("AWS_ACCESS_KEY_ID") && is_set("AWS_SECRET_ACCESS_KEY"))
        return from_environment(out, err);
    if (!named && is_set("AWS_WEB_IDENTITY_TOKEN_FILE") && is_set("AWS_ROLE_ARN"))
        return from_web_identity(identity, out, err);
    AP_TRY(from_files(identity, profile, out, &found, err));
    if (!found && !named) AP_TRY(ap_aws_from_container(identity, out, &found, err));
    if (!found && !named) AP_TRY(ap_aws_from_instance(identity, out, &found, err));
    return found ? APIARY_OK : fail_none(identity, profile, err);
}

/* ---- keeping ---- */

enum apiary_code ap_aws_identity_open(struct ap_env *env, struct ap_http *http,
    const struct ap_aws_options *options, struct ap_aws_identity **out, struct apiary_error *err)
{
    struct ap_aws_identity *identity = ap_calloc(1, sizeof *identity);
    if (!identity) return ap_fail_memory(err, "credentials");
    *identity = (struct ap_aws_identity) { .env = env,
        .http = http,
        .lock = ap_lock_new(env),
        .profile = ap_strdup(options->profile ? options->profile : ""),
        .region = ap_strdup(options->region && *options->region ? options->region : "us-east-1"),
        .anonymous = options->anonymous,
        .google = options->google };
    if (!identity->lock || !identity->profile || !identity->region) {
        ap_aws_identity_close(identity);
        return ap_fail_memory(err, "credentials");
    }
    *out = identity;
    return APIARY_OK;
}

void ap_aws_identity_close(struct ap_aws_identity *identity)
{
    if (!identity) return;
    ap_credentials_done(&identity->kept);
    ap_lock_free(identity->env, identity->lock);
    ap_free(identity->profile);
    ap_free(identity->region);
    ap_free(identity);
}

static bool must_refresh(const struct ap_aws_identity *identity)
{
    int64_t now = ap_now_us(identity->env), ends = identity->kept.expires_us;
    if (!identity->known) return true;
    if (ends == 0 || now < ends - REFRESH_US) return false;
    return now >= ends || ap_mono_us(identity->env) >= identity->next_try_us;
}

/* With the lock held: who else needs them waits for the same answer. */
static enum apiary_code refresh_locked(struct ap_aws_identity *identity, struct apiary_error *err)
{
    struct ap_credentials found = { 0 };
    int64_t jitter = (int64_t)(ap_random_u64(identity->env) % PATIENCE_US);
    enum apiary_code code = find(identity, &found, err);
    identity->next_try_us = ap_mono_us(identity->env) + PATIENCE_US + jitter;
    if (code != APIARY_OK) {
        ap_credentials_done(&found);
        bool still_good = identity->known && ap_now_us(identity->env) < identity->kept.expires_us;
        return still_good ? APIARY_OK : code;
    }
    ap_credentials_done(&identity->kept);
    identity->kept = found;
    identity->known = true;
    identity->found_us = ap_mono_us(identity->env);
    return APIARY_OK;
}

enum apiary_code ap_aws_identity_now(
    struct ap_aws_identity *identity, struct ap_credentials *out, struct apiary_error *err)
{
    ap_lock(identity->env, identity->lock);
    enum apiary_code code = APIARY_OK;
    if (must_refresh(identity)) code = refresh_locked(identity, err);
    if (code == APIARY_OK) code = ap_credentials_copy(&identity->kept, out, err);
    ap_unlock(identity->env, identity->lock);
    return code;
}

bool ap_aws_identity_renew(struct ap_aws_identity *identity)
{
    ap_lock(identity->env, identity->lock);
    bool fresh = identity->known &&
                 ap_mono_us(identity->env) - identity->found_us < AP_US_PER_SECOND;
    if (!fresh) {
        identity->known = false;
        fresh = refresh_locked(identity, NULL) == APIARY_OK;
    }
    ap_unlock(identity->env, identity->lock);
    return fresh;
}
