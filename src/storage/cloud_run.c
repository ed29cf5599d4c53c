/* Requests, their repetitions, and the judgement of answers (cloud.h).
 *
 * A call is sent again, after a wait that doubles with full jitter, while (a) it may be, (b) it has
 * attempts left and (c) the store's budget of repetitions has some left: each costs REPEAT_COST,
 * each success gives one back. So a store that is down costs a bounded number of requests, not
 * attempts × callers. Throttling (429, 503) halves how many requests go out at a time, at most once
 * in SLOW_DOWN_US; each success adds a little (a whole request after as many successes as go at a
 * time). Retry-After is obeyed up to a bound. */
#include "storage/cloud.h"

#include "core/alloc.h"
#include "core/time.h"

#include <stdatomic.h>
#include <stdio.h>

enum {
    ATTEMPTS_MAX = 8,
    BACKOFF_BASE_US = 50000,
    BACKOFF_CAP_US = 5000000,
    ERROR_BODY_MAX = 64 << 10,
    BUDGET_MAX = 500,
    REPEAT_COST = 5,
    WINDOW_UNIT = 16,
    SLOW_DOWN_US = 200000,
    QUIET_BASE_US = 50000,
    RETRY_AFTER_MAX_S = 30,
    MESSAGE_MAX = 4 << 20, /* an answer that holds no object and no list */
};
#define WHOLE_FOR_PART_MAX (UINT64_C(1) << 30) /* of a store that gives no parts */

void ap_cloud_text(char *out, size_t room, struct ap_str text)
{
    size_t size = text.size < room - 1 ? text.size : room - 1;
    memcpy(out, text.data, size);
    out[size] = 0;
}

void ap_cloud_page_done(struct ap_cloud_page *page)
{
    ap_list_done(&page->list);
    ap_bytes_done(&page->next);
}

void ap_cloud_call_done(struct ap_cloud_call *call)
{
    ap_http_request_done(&call->http);
}

/* ---- life ---- */

enum apiary_code ap_cloud_init(struct ap_cloud *cloud, struct ap_env *env,
    const struct ap_cloud_provider *provider, struct apiary_error *err)
{
    cloud->store = (struct ap_store) {
        .ops = &ap_cloud_ops, .env = env, .shared_writing = true, .is_remote = true
    };
    cloud->provider = provider;
    cloud->window = AP_HTTP_PARALLEL_MAX * WINDOW_UNIT;
    cloud->budget = BUDGET_MAX;
    cloud->part_bytes = AP_CLOUD_PART_BYTES;
    cloud->one_writer = ap_lock_new(env);
    if (!cloud->one_writer) return ap_fail_memory(err, "a store");
    return ap_http_open(env, &cloud->http, err);
}

void ap_cloud_close(struct ap_store *store)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    if (cloud->provider) cloud->provider->close(cloud);
    ap_http_close(cloud->http);
    ap_bytes_done(&cloud->prefix);
    if (cloud->one_writer) ap_lock_free(cloud->store.env, cloud->one_writer);
    ap_free(cloud);
}

/* ---- for providers ---- */

enum apiary_code ap_cloud_header(
    struct ap_cloud_call *call, const char *name, const char *value, struct apiary_error *err)
{
    return ap_texts_printf(&call->http.headers, err, "%s: %s", name, value);
}

bool ap_cloud_range_text(const struct ap_cloud_call *call, char out[64])
{
    const struct ap_range range = call->range;
    if (!call->ranged) return false;
    if (range.suffix) {
        snprintf(out, 64, "bytes=-%llu", (unsigned long long)range.length);
        return true;
    }
    if (range.offset == 0 && range.length == UINT64_MAX) return false;
    unsigned long long last =
        range.length > UINT64_MAX - range.offset ? INT64_MAX : range.offset + range.length - 1;
    if (last > INT64_MAX) last = INT64_MAX;
    snprintf(out, 64, "bytes=%llu-%llu", (unsigned long long)range.offset, last);
    return true;
}

/* ---- judging ---- */

static bool is_conditional(const struct ap_cloud_call *call)
{
    return call->absent && (call->kind == AP_CLOUD_PUT || call->kind == AP_CLOUD_COMPLETE);
}

static bool has_answer(const struct ap_cloud_call *call)
{
    return call->prepared == APIARY_OK && call->http.outcome == AP_HTTP_ANSWERED;
}

static void error_of(
    const struct ap_cloud *cloud, const struct ap_cloud_call *call, struct ap_cloud_error *out)
{
    memset(out, 0, sizeof *out);
    if (call->http.answer.size > 0 && call->http.answer.size <= ERROR_BODY_MAX)
        cloud->provider->error(call, out);
}

/* The status that an answer means: S3 ends an upload with 200 before it knows whether that went
 * well, and says in the body that it did not. */
static int status_of(const struct ap_cloud *cloud, const struct ap_cloud_call *call)
{
    struct ap_cloud_error error;
    int status = call->http.status;
    if (status / 100 != 2 || call->kind != AP_CLOUD_COMPLETE) return status;
    error_of(cloud, call, &error);
    if (!error.code[0]) return status;
    return strcmp(error.code, "SlowDown") == 0 ? 503 : 500;
}

bool ap_cloud_good(const struct ap_cloud *cloud, const struct ap_cloud_call *call)
{
    return has_answer(call) && status_of(cloud, call) / 100 == 2;
}

static bool is_throttled(int status)
{
    return status == 429 || status == 503;
}

static bool is_busy(int status)
{
    return status >= 500 ? status != 501 && status != 505 && status != 507
                         : status == 429 || status == 408;
}

static bool is_timeout_code(const struct ap_cloud_error *error)
{
    return strcmp(error->code, "RequestTimeout") == 0 || strcmp(error->code, "SlowDown") == 0 ||
           strcmp(error->code, "ThrottlingException") == 0 ||
           strcmp(error->code, "Throttling") == 0;
}

static enum apiary_code code_of(const struct ap_cloud *cloud, const struct ap_cloud_call *call,
    const struct ap_cloud_error *error)
{
    int status = status_of(cloud, call);
    enum apiary_code usual = APIARY_INVALID;
    if (is_busy(status) || is_timeout_code(error))
        usual = is_conditional(call) ? APIARY_UNCERTAIN : APIARY_IO;
    else if (status == 404 || status == 410)
        usual = APIARY_NOT_FOUND;
    else if (status == 412 || (status == 304 && call->if_etag))
        usual = APIARY_CONFLICT;
    else if (status == 409)
        usual = APIARY_IO; /* another conditional request was in flight: nothing was written */
    else if (status == 507)
        usual = APIARY_FULL;
    else if (status == 401 || status == 403 || status == 407)
        usual = APIARY_DENIED;
    else if (status == 501)
        usual = APIARY_UNSUPPORTED;
    return cloud->provider->code ? cloud->provider->code(call, error, usual) : usual;
}

/* After an unclear end a conditional write is left to whoever settles the slot. */
static bool may_repeat(const struct ap_cloud *cloud, const struct ap_cloud_call *call)
{
    struct ap_cloud_error error;
    if (call->prepared != APIARY_OK) return false;
    switch (call->http.outcome) {
        case AP_HTTP_NOT_SENT: return call->http.error.code != APIARY_CONFIG;
        case AP_HTTP_LOST: return !is_conditional(call);
        case AP_HTTP_TOO_LARGE: return false;
        case AP_HTTP_ANSWERED: break;
    }
    if (is_conditional(call)) return false;
    error_of(cloud, call, &error);
    return !ap_cloud_good(cloud, call) &&
           (is_busy(status_of(cloud, call)) || is_timeout_code(&error));
}

enum apiary_code ap_cloud_fail(struct ap_cloud *cloud, const struct ap_cloud_call *call,
    const char *what, struct apiary_error *err)
{
    struct ap_cloud_error error;
    const char *slash = call->key ? "/" : "", *key = call->key ? call->key : "",
               *uri = cloud->store.uri ? cloud->store.uri : "the store";
    const struct apiary_error *cause = &call->http.error;
    if (call->prepared != APIARY_OK) {
        ap_fail(err, call->prepared, "%s", cause->message);
        return cause->hint[0] ? ap_hint(err, "%s", cause->hint) : call->prepared;
    }
    switch (call->http.outcome) {
        case AP_HTTP_NOT_SENT:
        case AP_HTTP_LOST: {
            bool unclear = is_conditional(call) && call->http.outcome == AP_HTTP_LOST;
            enum apiary_code code = unclear                       ? APIARY_UNCERTAIN
                                    : cause->code == APIARY_CONFIG ? APIARY_CONFIG
                                                                   : APIARY_IO;
            ap_fail(err, code, "cannot %s %s%s%s: %s", what, uri, slash, key, cause->message);
            return cause->hint[0] ? ap_hint(err, "%s", cause->hint) : code;
        }
        case AP_HTTP_TOO_LARGE:
            return ap_fail(
                err, is_conditional(call) ? APIARY_UNCERTAIN : APIARY_LIMIT, "cannot %s %s%s%s: %s", what, uri, slash, key, cause->message);
        case AP_HTTP_ANSWERED: break;
    }
    error_of(cloud, call, &error);
    enum apiary_code code = code_of(cloud, call, &error);
    ap_fail(err, code, "cannot %s %s%s%s: HTTP %d %s%s%s", what, uri, slash, key, call->http.status,
        error.code, error.message[0] ? ": " : "", error.message);
    struct ap_str region = ap_http_header(&call->http, "x-amz-bucket-region");
    if (code == APIARY_INVALID && region.size)
        return ap_hint(err, "the bucket is in region " AP_FMT, AP_ARG(region));
    if (code == APIARY_DENIED)
        return ap_hint(err,
            "'apiary whoami' shows whose credentials are used, 'apiary doctor' what they permit");
    return code;
}

/* ---- pace ---- */

static void spend(struct ap_cloud *cloud, int tokens)
{
    atomic_fetch_sub_explicit(&cloud->budget, tokens, memory_order_relaxed);
}

/* How long an answer says to wait: seconds, or a date by the clock of who answers. -1: it does not say. */
static int64_t retry_after_us(const struct ap_http_request *http)
{
    const int64_t most = RETRY_AFTER_MAX_S * AP_US_PER_SECOND;
    struct ap_str text = ap_http_header(http, "retry-after");
    uint64_t seconds = 0;
    int64_t then_us, now_us;
    if (ap_str_to_u64(text, &seconds))
        return seconds < RETRY_AFTER_MAX_S ? (int64_t)seconds * AP_US_PER_SECOND : most;
    if (!ap_http_date_parse(text, &then_us) ||
        !ap_http_date_parse(ap_http_header(http, "date"), &now_us))
        return -1;
    int64_t wait_us = then_us - now_us;
    return wait_us < 0 ? 0 : wait_us < most ? wait_us : most;
}

static void slow_down(struct ap_cloud *cloud, const struct ap_cloud_call *call)
{
    int64_t now = ap_mono_us(cloud->store.env), last = cloud->slowed_us,
            quiet = retry_after_us(&call->http);
    if (quiet < 0)
        quiet = QUIET_BASE_US + (int64_t)(ap_random_u64(cloud->store.env) % QUIET_BASE_US);
    if (now + quiet > cloud->quiet_until_us) cloud->quiet_until_us = now + quiet;
    if (now - last < SLOW_DOWN_US && last) return;
    cloud->slowed_us = now;
    int window = cloud->window / 2;
    cloud->window = window > WINDOW_UNIT ? window : WINDOW_UNIT;
}

static void speed_up(struct ap_cloud *cloud)
{
    int window = cloud->window;
    if (window < AP_HTTP_PARALLEL_MAX * WINDOW_UNIT)
        cloud->window = window + 1 + WINDOW_UNIT * WINDOW_UNIT / (window * 2);
    if (cloud->budget < BUDGET_MAX) spend(cloud, -1);
}

static size_t parallel_of(const struct ap_cloud *cloud)
{
    int window = cloud->window / WINDOW_UNIT;
    return window < 1 ? 1 : window > AP_HTTP_PARALLEL_MAX ? AP_HTTP_PARALLEL_MAX : (size_t)window;
}

static void keep_quiet(struct ap_cloud *cloud)
{
    int64_t left = cloud->quiet_until_us - ap_mono_us(cloud->store.env);
    if (left > 0) ap_sleep_us(cloud->store.env, left);
}

/* ---- counting ---- */

/* store.c has counted the first request of each call of the interface; what a backend adds to that
 * (repetitions, pages, parts) is counted here. */
void ap_cloud_count(struct ap_cloud *cloud, const struct ap_cloud_call *call)
{
    struct ap_store *store = &cloud->store;
    switch (call->kind) {
        case AP_CLOUD_PUT:
            if (call->absent)
                ap_store_tally(store, puts_if_absent, 1);
            else
                ap_store_tally(store, puts, 1);
            break;
        case AP_CLOUD_BEGIN:
        case AP_CLOUD_PART:
        case AP_CLOUD_COMPLETE: ap_store_tally(store, puts, 1); break;
        case AP_CLOUD_HEAD: ap_store_tally(store, gets, 1); break;
        case AP_CLOUD_GET:
            if (call->ranged)
                ap_store_tally(store, ranges, 1);
            else
                ap_store_tally(store, gets, 1);
            break;
        case AP_CLOUD_LIST: ap_store_tally(store, lists, 1); break;
        case AP_CLOUD_DELETE:
        case AP_CLOUD_DELETE_MANY:
        case AP_CLOUD_ABORT: ap_store_tally(store, deletes, 1); break;
    }
}

/* ---- running ---- */

static uint64_t answer_max(const struct ap_cloud_call *call)
{
    if (call->answer_max) return call->answer_max;
    if (call->kind != AP_CLOUD_GET) return MESSAGE_MAX;
    if (!call->ranged) return 0;
    return call->range.length < WHOLE_FOR_PART_MAX ? WHOLE_FOR_PART_MAX : call->range.length;
}

static void run_round(struct ap_cloud *cloud, struct ap_cloud_call *const *calls, size_t count,
    struct ap_bytes *urls, struct ap_http_request *requests)
{
    size_t good = 0;
    for (size_t i = 0; i < count; i++) {
        struct ap_cloud_call *call = calls[i];
        ap_bytes_clear(&call->http.answer);
        ap_texts_done(&call->http.headers);
        ap_bytes_clear(&urls[i]);
        call->http.body = call->body;
        call->http.body_fd = call->from_file ? call->body_fd : -1;
        call->http.body_offset = call->body_offset;
        call->http.answer_max = answer_max(call);
        call->http.part_max = call->ranged ? call->range.length : 0;
        call->prepared = cloud->provider->sign(cloud, call, &urls[i], &call->http.error);
        call->http.url = ap_bytes_text(&urls[i]);
        if (call->prepared == APIARY_OK) requests[good++] = call->http;
    }
    keep_quiet(cloud);
    ap_http_run(cloud->http, requests, good, parallel_of(cloud));
    for (size_t i = 0, at = 0; i < count; i++)
        if (calls[i]->prepared == APIARY_OK) calls[i]->http = requests[at++];
}

static bool learn(struct ap_cloud *cloud, struct ap_cloud_call *call)
{
    struct ap_cloud_error error;
    if (!has_answer(call) || ap_cloud_good(cloud, call)) return false;
    error_of(cloud, call, &error);
    if (!cloud->provider->learn) return false;
    unsigned lesson = cloud->provider->learn(cloud, call, &error);
    if (!lesson || call->lessons & lesson) return false;
    call->lessons |= lesson;
    return true;
}

/* Keeps in `open` those that go again; *wait: at least one of them only after a while. */
static size_t keep_open(
    struct ap_cloud *cloud, struct ap_cloud_call **open, size_t count, bool last, bool *wait)
{
    size_t left = 0;
    *wait = false;
    for (size_t i = 0; i < count; i++) {
        struct ap_cloud_call *call = open[i];
        if (has_answer(call) && is_throttled(status_of(cloud, call))) slow_down(cloud, call);
        if (ap_cloud_good(cloud, call)) {
            speed_up(cloud);
            continue;
        }
        bool at_once = learn(cloud, call);
        if (!at_once && (last || !may_repeat(cloud, call) || cloud->budget < REPEAT_COST)) continue;
        if (!at_once) spend(cloud, REPEAT_COST);
        *wait |= !at_once;
        ap_store_tally(&cloud->store, retries, 1);
        ap_cloud_count(cloud, call);
        open[left++] = call;
    }
    return left;
}

void ap_cloud_run(struct ap_cloud *cloud, struct ap_cloud_call *calls, size_t total)
{
    size_t count = total;
    struct ap_cloud_call **open = ap_calloc(count, sizeof *open);
    struct ap_bytes *urls = ap_calloc(count, sizeof *urls);
    struct ap_http_request *requests = ap_calloc(count, sizeof *requests);
    bool ready = open && urls && requests;
    for (size_t i = 0; i < count; i++) {
        if (ready)
            open[i] = &calls[i];
        else
            calls[i].prepared = ap_fail_memory(&calls[i].http.error, "requests");
    }
    for (int attempt = 0; ready && count > 0; attempt++) {
        bool wait;
        run_round(cloud, open, count, urls, requests);
        count = keep_open(cloud, open, count, attempt + 1 >= ATTEMPTS_MAX, &wait);
        if (count > 0 && wait)
            ap_backoff(cloud->store.env, attempt, BACKOFF_BASE_US, BACKOFF_CAP_US);
    }
    for (size_t i = 0; urls && i < total; i++) ap_bytes_done(&urls[i]);
    ap_free(urls);
    ap_free(open);
    ap_free(requests);
}

bool ap_http_date_parse(struct ap_str text, int64_t *us)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    char date[AP_TIME_TEXT_MAX];
    bool had_zone, inexact;
    /* "Fri, 24 May 2013 00:00:00 GMT" */
    if (text.size != 29 || !ap_str_ends_with(text, AP_STR(" GMT"))) return false;
    for (unsigned month = 0; month < 12; month++) {
        if (memcmp(text.data + 8, months + (size_t)month * 3, 3) != 0) continue;
        snprintf(date, sizeof date, "%.4s-%02u-%.2sT%.8sZ", text.data + 12, month + 1,
            text.data + 5, text.data + 17);
        return ap_timestamp_parse(ap_str_from(date), us, &had_zone, &inexact);
    }
    return false;
}
