/* The services and programs that give AWS credentials (aws_private.h). Answers come from outside:
 * sizes have bounds, values become headers only when they are one visible word, and bodies never get
 * into errors. Plain http is spoken with this machine and with link-local addresses only. */
#include "storage/aws_private.h"

#include "core/file.h"
#include "core/alloc.h"
#include "core/codec.h"
#include "core/json.h"
#include "core/time.h"
#include "storage/bearer.h"
#include "storage/sigv4.h"
#include "storage/xml.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    TOKEN_FILE_MAX = 64 << 10,
    ANSWER_MAX = 256 << 10,
    TRIES = 3,
    TRY_WAIT_US = 100000,
    SERVICE_MS = 20000,
    METADATA_MS = 2000, /* where nobody answers, everybody waits */
    PROCESS_MS = 60000,
    WORDS_MAX = 64,
    ROLE_SECONDS = 3600,
};

/* ---- asking ---- */

/* One question, repeated where that may help. OK: an answer, whatever its status. */
static enum apiary_code ask(struct ap_aws_identity *identity, struct ap_http_request *request,
    const char *whom, struct apiary_error *err)
{
    int tries = request->time_ms_max == METADATA_MS ? 1 : TRIES;
    request->answer_max = ANSWER_MAX;
    if (request->time_ms_max == 0) request->time_ms_max = SERVICE_MS;
    for (int i = 0; i < tries; i++) {
        if (i) ap_backoff(identity->env, i - 1, TRY_WAIT_US, AP_US_PER_SECOND);
        ap_http_run(identity->http, request, 1, 1);
        if (request->outcome == AP_HTTP_ANSWERED && request->status < 500 && request->status != 429)
            return APIARY_OK;
    }
    if (request->outcome == AP_HTTP_ANSWERED)
        return ap_fail(err, APIARY_IO, "%s answered HTTP %d", whom, request->status);
    return ap_fail(err, APIARY_IO, "cannot ask %s for credentials: %s", whom, request->error.message);
}

static enum apiary_code read_token(
    const char *path, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    enum apiary_code code = ap_file_read(path, TOKEN_FILE_MAX, &text, NULL, err);
    if (code == APIARY_OK)
        code = ap_credential_set(out, "the token of a file", ap_str_trim(ap_bytes_view(&text)), err);
    ap_wipe(&text);
    return code;
}

/* ---- JSON answers ---- */

static bool member(yyjson_val *object, const char *one, const char *other, struct ap_str *out)
{
    return ap_json_str(object, one, out) || (other && ap_json_str(object, other, out));
}

static enum apiary_code take_object(yyjson_val *object, const char *whom,
    struct ap_credentials *out, struct apiary_error *err)
{
    struct ap_str access, secret, token, ends;
    bool had_zone, inexact;
    if (!member(object, "AccessKeyId", "accessKeyId", &access) ||
        !member(object, "SecretAccessKey", "secretAccessKey", &secret))
        return ap_fail(err, APIARY_CONFIG, "%s gave no credentials", whom);
    AP_TRY(ap_credential_set(&out->access_key, "an access key", access, err));
    AP_TRY(ap_credential_set(&out->secret_key, "a secret key", secret, err));
    if (member(object, "Token", "SessionToken", &token) ||
        member(object, "sessionToken", NULL, &token))
        AP_TRY(ap_credential_set(&out->token, "a session token", token, err));
    if (ap_json_str(object, "Expiration", &ends)) {
        if (!ap_timestamp_parse(ends, &out->expires_us, &had_zone, &inexact))
            return ap_fail(err, APIARY_CONFIG, "%s gave credentials that end at no time", whom);
    } else if (ap_json_i64(object, "expiration", &out->expires_us)) {
        out->expires_us *= 1000; /* milliseconds */
    }
    return APIARY_OK;
}

static enum apiary_code take_json(struct ap_str text, const char *inside, const char *whom,
    struct ap_credentials *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    if (ap_json_parse(text, whom, &doc, NULL) != APIARY_OK)
        return ap_fail(err, APIARY_CONFIG, "%s gave no JSON", whom);
    yyjson_val *object = yyjson_doc_get_root(doc);
    if (inside) object = ap_json_member(object, inside);
    return take_object(object, whom, out, err);
}

/* Asks and takes, with at most two headers of one text. */
static enum apiary_code ask_json(struct ap_aws_identity *identity, const char *url,
    const char *header, const struct ap_bytes *value, int64_t time_ms, const char *inside,
    const char *whom, struct ap_credentials *out, struct apiary_error *err)
{
    struct ap_http_request request = { .method = "GET", .url = url, .body_fd = -1,
        .time_ms_max = time_ms };
    enum apiary_code code = APIARY_OK;
    if (value && value->size)
        code = ap_texts_printf(&request.headers, err, "%s: %s", header, ap_bytes_text(value));
    if (code == APIARY_OK) code = ask(identity, &request, whom, err);
    if (code == APIARY_OK && request.status != 200)
        code = ap_fail(err, APIARY_DENIED, "%s answered HTTP %d", whom, request.status);
    if (code == APIARY_OK)
        code = take_json(ap_bytes_view(&request.answer), inside, whom, out, err);
    ap_wipe(&request.answer);
    ap_http_request_done(&request);
    return code;
}

/* ---- container ---- */

static bool is_near(const char *url)
{
    static const char *const near[] = { "http://localhost", "http://127.0.0.1", "http://[::1]",
        "http://169.254.170.2", "http://169.254.170.23", "http://[fd00:ec2::23]" };
    if (strncmp(url, "https://", 8) == 0) return true;
    if (strchr(url, '@')) return false; /* what stands before it is a user, not a host */
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        size_t size = strlen(near[i]);
        if (strncmp(url, near[i], size) == 0 &&
            (url[size] == 0 || url[size] == ':' || url[size] == '/'))
            return true;
    }
    return false;
}

enum apiary_code ap_aws_from_container(struct ap_aws_identity *identity, struct ap_credentials *out,
    bool *found, struct apiary_error *err)
{
    static const char whom[] = "the container's credential service";
    const char *path = getenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"),
               *full = getenv("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
               *file = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
               *given = getenv("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    AP_AUTO(ap_bytes) url = { 0 };
    struct ap_bytes token = { 0 };
    if (path && *path)
        AP_TRY(ap_bytes_printf(&url, err, "http://169.254.170.2%s%s", *path == '/' ? "" : "/", path));
    else if (full && *full)
        AP_TRY(ap_bytes_add_text(&url, full, err));
    else
        return APIARY_OK;
    if (!is_near(ap_bytes_text(&url)))
        return ap_fail(err, APIARY_CONFIG,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI must be https, or an address of this machine");
    enum apiary_code code = APIARY_OK;
    if (file && *file)
        code = read_token(file, &token, err);
    else if (given && *given)
        code = ap_credential_set(
            &token, "AWS_CONTAINER_AUTHORIZATION_TOKEN", ap_str_from(given), err);
    if (code == APIARY_OK)
        code = ask_json(identity, ap_bytes_text(&url), "Authorization", &token, SERVICE_MS, NULL,
            whom, out, err);
    ap_wipe(&token);
    if (code != APIARY_OK) return code;
    snprintf(out->source, sizeof out->source, "container");
    *found = true;
    return APIARY_OK;
}

/* ---- instance metadata, version 2 ---- */

/* A text that the metadata service has at a path; *there false when nobody answers or it has none. */
static enum apiary_code metadata(struct ap_aws_identity *identity, const char *method,
    const char *base, const char *path, const char *header, const char *value, struct ap_bytes *out,
    bool *there, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) url = { 0 };
    AP_TRY(ap_bytes_printf(&url, err, "%s%s", base, path));
    struct ap_http_request request = { .method = method, .url = ap_bytes_text(&url), .body_fd = -1,
        .time_ms_max = METADATA_MS };
    enum apiary_code code = ap_texts_printf(&request.headers, err, "%s: %s", header, value);
    if (code == APIARY_OK)
        *there = ask(identity, &request, "the metadata service", NULL) == APIARY_OK &&
                 request.status == 200;
    if (code == APIARY_OK && *there)
        code = ap_credential_set(out, "an answer of the metadata service",
            ap_str_trim(ap_bytes_view(&request.answer)), err);
    ap_wipe(&request.answer);
    ap_http_request_done(&request);
    return code;
}

static enum apiary_code instance_ask(struct ap_aws_identity *identity, const char *base,
    struct ap_bytes *token, struct ap_credentials *out, bool *found, struct apiary_error *err)
{
    static const char folder[] = "/latest/meta-data/iam/security-credentials/";
    AP_AUTO(ap_bytes) role = { 0 }, url = { 0 };
    bool there = false;
    AP_TRY(metadata(identity, "PUT", base, "/latest/api/token",
        "X-aws-ec2-metadata-token-ttl-seconds", "21600", token, &there, err));
    if (!there) return APIARY_OK;
    AP_TRY(metadata(identity, "GET", base, folder, "X-aws-ec2-metadata-token",
        ap_bytes_text(token), &role, &there, err));
    if (!there || role.size == 0) return APIARY_OK; /* the machine has no role */
    AP_TRY(ap_bytes_printf(&url, err, "%s%s", base, folder));
    AP_TRY(ap_percent_encode(&url, ap_bytes_view(&role), "-._~+=@,", err));
    AP_TRY(ask_json(identity, ap_bytes_text(&url), "X-aws-ec2-metadata-token", token, SERVICE_MS,
        NULL, "the metadata service", out, err));
    snprintf(out->source, sizeof out->source, "instance: role %.200s", ap_bytes_text(&role));
    *found = true;
    return APIARY_OK;
}

enum apiary_code ap_aws_from_instance(struct ap_aws_identity *identity, struct ap_credentials *out,
    bool *found, struct apiary_error *err)
{
    const char *off = getenv("AWS_EC2_METADATA_DISABLED"),
               *other = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"),
               *mode = getenv("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE");
    AP_AUTO(ap_bytes) base = { 0 };
    struct ap_bytes token = { 0 };
    if (off && strcasecmp(off, "true") == 0) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(&base,
        other && *other                          ? other
        : mode && strcasecmp(mode, "IPv6") == 0 ? "http://[fd00:ec2::254]"
                                                 : "http://169.254.169.254",
        err));
    if (base.data[base.size - 1] == '/') base.data[--base.size] = 0;
    enum apiary_code code = instance_ask(identity, ap_bytes_text(&base), &token, out, found, err);
    ap_wipe(&token);
    return code;
}

/* ---- single sign-on ---- */

static enum apiary_code sso_cache_path(
    struct ap_str name, struct ap_bytes *out, struct apiary_error *err)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    const char *home = getenv("HOME");
    if (!EVP_Digest(name.data, name.size, hash, &size, EVP_sha1(), NULL))
        return ap_fail(err, APIARY_INTERNAL, "no SHA-1");
    ap_hex(hash, size, hex);
    return ap_bytes_printf(out, err, "%s/.aws/sso/cache/%s.json", home ? home : "", hex);
}

/* The access token that 'aws sso login' left, if it still holds. */
static enum apiary_code sso_token(struct ap_aws_identity *identity, struct ap_str name,
    struct ap_bytes *token, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) path = { 0 };
    struct ap_bytes text = { 0 };
    AP_AUTO_JSON *doc = NULL;
    struct ap_str value, ends;
    int64_t ends_us = 0;
    bool there = false, had_zone, inexact;
    AP_TRY(sso_cache_path(name, &path, err));
    enum apiary_code code = ap_file_read(ap_bytes_text(&path), TOKEN_FILE_MAX, &text, &there, err);
    if (code == APIARY_OK && there &&
        ap_json_parse(ap_bytes_view(&text), "a token of single sign-on", &doc, NULL) == APIARY_OK) {
        yyjson_val *root = yyjson_doc_get_root(doc);
        there = ap_json_str(root, "accessToken", &value) && ap_json_str(root, "expiresAt", &ends) &&
                ap_timestamp_parse(ends, &ends_us, &had_zone, &inexact) &&
                ends_us > ap_now_us(identity->env);
        if (there) code = ap_credential_set(token, "a token of single sign-on", value, err);
    } else {
        there = false;
    }
    ap_wipe(&text);
    if (code != APIARY_OK || there) return code;
    ap_fail(err, APIARY_CONFIG, "the single sign-on of '" AP_FMT "' has ended or never began",
        AP_ARG(name));
    return ap_hint(err, "run 'aws sso login' for this profile");
}

static bool sso_value(const struct ap_aws_files *files, const char *profile, const char *session,
    const char *name, struct ap_str *out)
{
    return (*session && ap_aws_files_session(files, session, name, out)) ||
           ap_aws_files_value(files, profile, name, out);
}

enum apiary_code ap_aws_from_sso(struct ap_aws_identity *identity, const struct ap_aws_files *files,
    const char *profile, struct ap_credentials *out, struct apiary_error *err)
{
    struct ap_str named = { "", 0 }, start, region, account, role;
    char session[SOURCE_NAME_MAX];
    AP_AUTO(ap_bytes) url = { 0 };
    struct ap_bytes token = { 0 };
    (void)ap_aws_files_value(files, profile, "sso_session", &named);
    ap_cloud_text(session, sizeof session, named);
    if (!sso_value(files, profile, session, "sso_start_url", &start) ||
        !sso_value(files, profile, session, "sso_region", &region) ||
        !ap_aws_files_value(files, profile, "sso_account_id", &account) ||
        !ap_aws_files_value(files, profile, "sso_role_name", &role))
        return ap_fail(err, APIARY_CONFIG,
            "profile '%s' lacks one of sso_start_url, sso_region, sso_account_id, sso_role_name",
            profile);
    const char *other = getenv("AWS_ENDPOINT_URL_SSO");
    if (other && *other)
        AP_TRY(ap_bytes_add_text(&url, other, err));
    else
        AP_TRY(ap_bytes_printf(
            &url, err, "https://portal.sso." AP_FMT ".amazonaws.com", AP_ARG(region)));
    AP_TRY(ap_bytes_add_text(&url, "/federation/credentials?role_name=", err));
    AP_TRY(ap_percent_encode(&url, role, "-._~", err));
    AP_TRY(ap_bytes_add_text(&url, "&account_id=", err));
    AP_TRY(ap_percent_encode(&url, account, "-._~", err));
    enum apiary_code code = sso_token(identity, named.size ? named : start, &token, err);
    if (code == APIARY_OK)
        code = ask_json(identity, ap_bytes_text(&url), "x-amz-sso_bearer_token", &token, SERVICE_MS,
            "roleCredentials", "single sign-on", out, err);
    ap_wipe(&token);
    return code;
}

/* ---- credential_process ---- */

/* Splits a command as a shell would, without anything else that a shell does. `text` is written to. */
static bool split_words(char *text, char *words[WORDS_MAX + 1])
{
    size_t count = 0;
    char *to = text;
    for (char *at = text; *at;) {
        while (*at == ' ' || *at == '\t') at++;
        if (!*at) break;
        if (count == WORDS_MAX) return false;
        words[count++] = to;
        char quote = 0;
        for (; *at && (quote || (*at != ' ' && *at != '\t')); at++) {
            if (quote ? *at == quote : *at == '"' || *at == '\'')
                quote = quote ? 0 : *at;
            else if (*at == '\\' && quote != '\'' && at[1])
                *to++ = *++at;
            else
                *to++ = *at;
        }
        if (quote) return false;
        if (*at) at++;
        *to++ = 0;
    }
    words[count] = NULL;
    return count > 0;
}

static bool read_all(int fd, struct ap_bytes *out)
{
    struct pollfd wait = { .fd = fd, .events = POLLIN };
    for (;;) {
        char step[4096];
        if (poll(&wait, 1, PROCESS_MS) <= 0) return false;
        ssize_t got = read(fd, step, sizeof step);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return got == 0;
        if (out->size + (size_t)got > ANSWER_MAX ||
            ap_bytes_add(out, step, (size_t)got, NULL) != APIARY_OK)
            return false;
        explicit_bzero(step, sizeof step);
    }
}

static enum apiary_code run_process(
    char *const words[], struct ap_bytes *out, struct apiary_error *err)
{
    int from[2], status = -1;
    pid_t child;
    posix_spawn_file_actions_t actions;
    if (pipe2(from, O_CLOEXEC) != 0) return ap_fail_errno(err, errno, "credential_process");
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&actions, from[1], 1);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    int failed = posix_spawnp(&child, words[0], &actions, NULL, words, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(from[1]);
    if (failed) {
        close(from[0]);
        return ap_fail_errno(err, failed, "cannot run the credential_process %s", words[0]);
    }
    bool whole = read_all(from[0], out);
    close(from[0]);
    if (!whole) kill(child, SIGKILL);
    pid_t ended;
    while ((ended = waitpid(child, &status, 0)) < 0 && errno == EINTR) {}
    /* A host that ignores SIGCHLD is not told how it ended; what it said is looked at anyway. */
    if (whole && ended < 0 && errno == ECHILD) return APIARY_OK;
    if (whole && WIFEXITED(status) && WEXITSTATUS(status) == 0) return APIARY_OK;
    return ap_fail(err, APIARY_CONFIG, "the credential_process %s failed", words[0]);
}

enum apiary_code ap_aws_from_process(
    struct ap_str command, struct ap_credentials *out, struct apiary_error *err)
{
    char *words[WORDS_MAX + 1], *text = ap_str_dup(command);
    struct ap_bytes answer = { 0 };
    if (!text) return ap_fail_memory(err, "a command");
    enum apiary_code code =
        split_words(text, words)
            ? run_process(words, &answer, err)
            : ap_fail(err, APIARY_CONFIG, "the credential_process is no command");
    if (code == APIARY_OK)
        code = take_json(
            ap_bytes_view(&answer), NULL, "the credential_process", out, err);
    ap_wipe(&answer);
    ap_free(text);
    return code;
}

/* ---- roles ---- */

static enum apiary_code role_form(struct ap_aws_identity *identity, const struct ap_aws_role *role,
    struct ap_bytes *form, struct apiary_error *err)
{
    char name[40], seconds[16];
    AP_AUTO(ap_bytes) path = { 0 };
    struct ap_bytes token = { 0 };
    bool web = role->token_file.size > 0;
    snprintf(name, sizeof name, "apiary-%016llx", (unsigned long long)ap_random_u64(identity->env));
    snprintf(seconds, sizeof seconds, "%d", ROLE_SECONDS);
    AP_TRY(ap_form_add(
        form, "Action", ap_str_from(web ? "AssumeRoleWithWebIdentity" : "AssumeRole"), err));
    AP_TRY(ap_form_add(form, "Version", AP_STR("2011-06-15"), err));
    AP_TRY(ap_form_add(form, "RoleArn", role->arn, err));
    AP_TRY(ap_form_add(
        form, "RoleSessionName", role->session.size ? role->session : ap_str_from(name), err));
    AP_TRY(ap_form_add(
        form, "DurationSeconds", role->seconds.size ? role->seconds : ap_str_from(seconds), err));
    AP_TRY(ap_form_add(form, "ExternalId", role->external_id, err));
    if (!web) return APIARY_OK;
    AP_TRY(ap_bytes_add_str(&path, role->token_file, err));
    enum apiary_code code = read_token(ap_bytes_text(&path), &token, err);
    if (code == APIARY_OK) code = ap_form_add(form, "WebIdentityToken", ap_bytes_view(&token), err);
    ap_wipe(&token);
    return code;
}

static enum apiary_code sign_form(struct ap_aws_identity *identity,
    const struct ap_credentials *who, const char *region, const char *host,
    const struct ap_bytes *form, struct ap_http_request *request, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) authorization = { 0 };
    char time[AP_SIGV4_TIME_SIZE], hash[AP_SIGV4_HASH_SIZE];
    struct ap_sigv4_pair headers[4] = { { "host", host }, { "x-amz-date", time } };
    size_t count = 2;
    ap_sigv4_time(ap_now_us(identity->env), time);
    ap_sigv4_hash(ap_bytes_view(form), hash);
    if (who->token.size)
        headers[count++] =
            (struct ap_sigv4_pair) { "x-amz-security-token", ap_bytes_text(&who->token) };
    struct ap_sigv4_key key = { ap_bytes_text(&who->access_key), ap_bytes_text(&who->secret_key),
        region, "sts" };
    struct ap_sigv4_request wanted = { .method = "POST",
        .path = "/",
        .query = "",
        .headers = headers,
        .header_count = count,
        .payload_hash = hash,
        .time = time };
    AP_TRY(ap_sigv4_authorize(&authorization, &key, &wanted, err));
    for (size_t i = 0; i < count; i++)
        AP_TRY(ap_texts_printf(&request->headers, err, "%s: %s", headers[i].name, headers[i].value));
    return ap_texts_printf(
        &request->headers, err, "Authorization: %s", ap_bytes_text(&authorization));
}

struct sts_answer {
    struct ap_credentials *out;
    struct ap_cloud_error error;
};

static enum apiary_code sts_leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err)
{
    struct sts_answer *answer = context;
    struct ap_credentials *out = answer->out;
    bool had_zone, inexact;
    if (ap_str_is(parent, "Error") && ap_str_is(name, "Code"))
        ap_cloud_text(answer->error.code, sizeof answer->error.code, text);
    if (ap_str_is(parent, "Error") && ap_str_is(name, "Message"))
        ap_cloud_text(answer->error.message, sizeof answer->error.message, text);
    if (!ap_str_is(parent, "Credentials")) return APIARY_OK;
    if (ap_str_is(name, "AccessKeyId"))
        return ap_credential_set(&out->access_key, "an access key", text, err);
    if (ap_str_is(name, "SecretAccessKey"))
        return ap_credential_set(&out->secret_key, "a secret key", text, err);
    if (ap_str_is(name, "SessionToken"))
        return ap_credential_set(&out->token, "a session token", text, err);
    if (ap_str_is(name, "Expiration") &&
        !ap_timestamp_parse(text, &out->expires_us, &had_zone, &inexact))
        return ap_fail(err, APIARY_CONFIG, "the token service gave a time that is none");
    return APIARY_OK;
}

static enum apiary_code take_sts(const struct ap_http_request *request,
    const struct ap_aws_role *role, struct ap_credentials *out, struct apiary_error *err)
{
    struct sts_answer answer = { .out = out };
    struct ap_str text = ap_bytes_view(&request->answer);
    bool web = role->token_file.size > 0, good = request->status == 200;
    struct ap_str root = !good ? AP_STR("ErrorResponse")
                         : web ? AP_STR("AssumeRoleWithWebIdentityResponse")
                               : AP_STR("AssumeRoleResponse");
    enum apiary_code code = ap_xml_walk(text, root, sts_leaf, &answer, good ? err : NULL);
    if (!good)
        return ap_fail(err, APIARY_DENIED, "cannot assume role " AP_FMT ": HTTP %d %s%s%s",
            AP_ARG(role->arn), request->status, answer.error.code,
            answer.error.message[0] ? ": " : "", answer.error.message);
    AP_TRY(code);
    if (out->access_key.size && out->secret_key.size) return APIARY_OK;
    return ap_fail(
        err, APIARY_CONFIG, "the token service gave no credentials for " AP_FMT, AP_ARG(role->arn));
}

enum apiary_code ap_aws_assume_role(struct ap_aws_identity *identity, const struct ap_aws_role *role,
    struct ap_credentials *out, struct apiary_error *err)
{
    const char *other = getenv("AWS_ENDPOINT_URL_STS");
    AP_AUTO(ap_bytes) region = { 0 }, base = { 0 };
    struct ap_bytes form = { 0 };
    struct ap_http_request request = { .method = "POST", .body_fd = -1 };
    AP_TRY(role->region.size ? ap_bytes_add_str(&region, role->region, err)
                             : ap_bytes_add_text(&region, identity->region, err));
    if (other && *other)
        AP_TRY(ap_bytes_add_text(&base, other, err));
    else
        AP_TRY(ap_bytes_printf(&base, err, "https://sts.%s.amazonaws.com%s", ap_bytes_text(&region),
            ap_str_starts_with(ap_bytes_view(&region), AP_STR("cn-")) ? ".cn" : ""));
    while (base.size && base.data[base.size - 1] == '/') base.data[--base.size] = 0;
    const char *host = strstr(ap_bytes_text(&base), "://"); /* until base changes */
    if (!host) return ap_fail(err, APIARY_CONFIG, "AWS_ENDPOINT_URL_STS is no address");
    enum apiary_code code = role_form(identity, role, &form, err);
    if (code == APIARY_OK && role->base)
        code = sign_form(identity, role->base, ap_bytes_text(&region), host + 3, &form, &request, err);
    if (code == APIARY_OK)
        code = ap_texts_printf(
            &request.headers, err, "Content-Type: application/x-www-form-urlencoded");
    if (code == APIARY_OK) code = ap_bytes_add_text(&base, "/", err);
    request.url = ap_bytes_text(&base);
    request.body = ap_bytes_view(&form);
    if (code == APIARY_OK) code = ask(identity, &request, "the token service (STS)", err);
    if (code == APIARY_OK) code = take_sts(&request, role, out, err);
    ap_wipe(&form);
    ap_wipe(&request.answer);
    ap_http_request_done(&request);
    return code;
}
