#include "storage/bearer.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/json.h"
#include "core/time.h"
#include "storage/aws_private.h"

enum { ANSWER_MAX = 256 << 10, SERVICE_MS = 20000, MOMENT_MS = 2000, TRIES = 3 };
#define REFRESH_US (5 * 60 * AP_US_PER_SECOND)
#define TRY_WAIT_US 100000

void ap_bearer_token_done(struct ap_bearer_token *token)
{
    ap_wipe(&token->token);
    memset(token, 0, sizeof *token);
}

enum apiary_code ap_bearer_init(struct ap_bearer *bearer, struct ap_env *env, struct ap_http *http,
    ap_bearer_find *find, struct apiary_error *err)
{
    *bearer = (struct ap_bearer) {
        .env = env, .http = http, .find = find, .lock = ap_lock_new(env)
    };
    return bearer->lock ? APIARY_OK : ap_fail_memory(err, "credentials");
}

void ap_bearer_done(struct ap_bearer *bearer)
{
    ap_bearer_token_done(&bearer->kept);
    if (bearer->lock) ap_lock_free(bearer->env, bearer->lock);
    memset(bearer, 0, sizeof *bearer);
}

static enum apiary_code refresh_locked(struct ap_bearer *bearer, struct apiary_error *err)
{
    struct ap_bearer_token found = { 0 };
    enum apiary_code code = bearer->find(bearer, &found, err);
    if (code != APIARY_OK) {
        ap_bearer_token_done(&found);
        bool still_good = bearer->known && ap_now_us(bearer->env) < bearer->kept.expires_us;
        return still_good ? APIARY_OK : code;
    }
    ap_bearer_token_done(&bearer->kept);
    bearer->kept = found;
    bearer->known = true;
    bearer->found_us = ap_mono_us(bearer->env);
    return APIARY_OK;
}

/* A token that lives less than five minutes is not asked for at each request. */
static bool must_refresh(const struct ap_bearer *bearer)
{
    int64_t now = ap_now_us(bearer->env), ends = bearer->kept.expires_us;
    if (!bearer->known) return true;
    if (ends == 0 || now < ends - REFRESH_US) return false;
    return now >= ends ||
           ap_mono_us(bearer->env) - bearer->found_us > 10 * AP_US_PER_SECOND;
}

enum apiary_code ap_bearer_now(struct ap_bearer *bearer, struct ap_bytes *token,
    char source[AP_SOURCE_MAX], int64_t *expires_us, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    ap_lock(bearer->env, bearer->lock);
    if (must_refresh(bearer)) code = refresh_locked(bearer, err);
    if (code == APIARY_OK) code = ap_bytes_add_str(token, ap_bytes_view(&bearer->kept.token), err);
    if (code == APIARY_OK && source) memcpy(source, bearer->kept.source, AP_SOURCE_MAX);
    if (code == APIARY_OK && expires_us) *expires_us = bearer->kept.expires_us;
    ap_unlock(bearer->env, bearer->lock);
    return code;
}

bool ap_bearer_renew(struct ap_bearer *bearer)
{
    ap_lock(bearer->env, bearer->lock);
    bool fresh = bearer->known && ap_mono_us(bearer->env) - bearer->found_us < AP_US_PER_SECOND;
    if (!fresh) {
        bearer->known = false;
        fresh = refresh_locked(bearer, NULL) == APIARY_OK;
    }
    ap_unlock(bearer->env, bearer->lock);
    return fresh;
}

/* ---- asking ---- */

enum apiary_code ap_form_add(
    struct ap_bytes *form, const char *name, struct ap_str value, struct apiary_error *err)
{
    if (value.size == 0) return APIARY_OK;
    AP_TRY(ap_bytes_printf(form, err, "%s%s=", form->size ? "&" : "", name));
    return ap_percent_encode(form, value, "-._~", err);
}

/* A number, or a number in quotes: both are in use. */
static bool number_of(yyjson_val *object, const char *name, int64_t *out)
{
    struct ap_str text;
    return ap_json_i64(object, name, out) ||
           (ap_json_str(object, name, &text) && ap_str_to_i64(text, out));
}

static enum apiary_code take_answer(struct ap_bearer *bearer, const struct ap_http_request *request,
    const char *whom, struct ap_bearer_token *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_str token, said = { "", 0 };
    int64_t seconds;
    bool json = ap_json_parse(ap_bytes_view(&request->answer), whom, &doc, NULL) == APIARY_OK;
    yyjson_val *root = json ? yyjson_doc_get_root(doc) : NULL;
    if (request->status != 200) {
        if (root) (void)ap_json_str(root, "error", &said);
        return ap_fail(err, APIARY_DENIED, "%s answered HTTP %d " AP_FMT, whom, request->status,
            (int)(said.size < 80 ? said.size : 80), said.data);
    }
    if (!root || !ap_json_str(root, "access_token", &token))
        return ap_fail(err, APIARY_CONFIG, "%s gave no token", whom);
    AP_TRY(ap_credential_set(&out->token, "a token", token, err));
    if (number_of(root, "expires_in", &seconds) && seconds >= 0 && seconds < INT32_MAX)
        out->expires_us = ap_now_us(bearer->env) + seconds * AP_US_PER_SECOND;
    else if (number_of(root, "expires_on", &seconds) && seconds > 0 && seconds < INT64_C(1) << 40)
        out->expires_us = seconds * AP_US_PER_SECOND;
    return APIARY_OK;
}

enum apiary_code ap_bearer_ask(struct ap_bearer *bearer, const char *url, const char *header,
    const char *value, struct ap_str form, const char *whom, bool *there,
    struct ap_bearer_token *out, struct apiary_error *err)
{
    struct ap_http_request request = { .method = form.size ? "POST" : "GET",
        .url = url,
        .body = form,
        .body_fd = -1,
        .answer_max = ANSWER_MAX,
        .time_ms_max = there ? MOMENT_MS : SERVICE_MS };
    enum apiary_code code = APIARY_OK;
    if (header) code = ap_texts_printf(&request.headers, err, "%s: %s", header, value);
    if (code == APIARY_OK && form.size)
        code = ap_texts_printf(
            &request.headers, err, "Content-Type: application/x-www-form-urlencoded");
    for (int i = 0; code == APIARY_OK && i < (there ? 1 : TRIES); i++) {
        if (i) ap_backoff(bearer->env, i - 1, TRY_WAIT_US, AP_US_PER_SECOND);
        ap_http_run(bearer->http, &request, 1, 1);
        if (request.outcome == AP_HTTP_ANSWERED && request.status < 500 && request.status != 429)
            break;
    }
    bool answered = request.outcome == AP_HTTP_ANSWERED;
    if (there) *there = answered;
    if (code == APIARY_OK && answered)
        code = take_answer(bearer, &request, whom, out, err);
    else if (code == APIARY_OK && !there)
        code = ap_fail(
            err, APIARY_IO, "cannot ask %s for a token: %s", whom, request.error.message);
    ap_wipe(&request.answer);
    ap_http_request_done(&request);
    return code;
}
