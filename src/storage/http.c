#include "storage/http.h"

#include "core/alloc.h"

#include "storage/curl.h"

#include <stdlib.h>
#include <unistd.h>

enum {
    LANES_KEPT_MAX = 8,
    CONNECT_MS_MAX = 10000,
    STALL_SECONDS = 30, /* so slow for so long: lost */
    STALL_BYTES = 1000, /* a second */
    POLL_MS = 1000,
    /* A request whose answer is small is lost after so long, and so much longer for its own body.
     * An answer of any size may take its time as long as it does not stall. */
    SMALL_ANSWER = 1 << 20,
    TIME_MS = 60000,
    BODY_BYTES_PER_MS = 32,
};

/* A multi handle with its connections and its easy handles; one thread has it at a time. */
struct lane {
    struct lane *next;
    const struct ap_http *http;
    const struct ap_curl *curl;
    CURLM *multi;
    CURL *easy[AP_HTTP_PARALLEL_MAX];
};

struct ap_http {
    struct ap_env *env;
    const struct ap_curl *curl;
    char *authorities; /* file of certificates; NULL: the system's */
    char *no_proxy;
    struct ap_lock *lock;
    struct lane *idle; /* guarded by lock */
    int idle_count;
};

/* One running request. */
struct transfer {
    const struct ap_http *http;
    const struct ap_curl *curl;
    struct ap_http_request *request;
    CURL *easy;
    struct curl_slist *headers;
    uint64_t sent; /* of the body */
    bool too_large, no_memory;
};

/* ---- life ---- */

/* What the environment says, read once. False without memory. */
static bool read_environment(struct ap_http *http)
{
    static const char *const files[] = { "AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE" };
    static const char here[] = "localhost,127.0.0.1,::1";
    const char *exceptions = getenv("no_proxy");
    AP_AUTO(ap_bytes) text = { 0 };
    for (size_t i = 0; i < sizeof files / sizeof *files && !http->authorities; i++) {
        const char *file = getenv(files[i]);
        if (!file || !*file) continue;
        http->authorities = ap_strdup(file);
        if (!http->authorities) return false;
    }
    if (!exceptions) exceptions = getenv("NO_PROXY");
    if (!exceptions) exceptions = "";
    bool none = ap_str_is(ap_str_trim(ap_str_from(exceptions)), "*"); /* for libcurl only when it stands alone */
    return ap_bytes_printf(&text, NULL, "%s%s%s", none ? "*" : exceptions, *exceptions && !none ? "," : "",
               none ? "" : here) == APIARY_OK &&
           ap_bytes_take_text(&text, &http->no_proxy, NULL) == APIARY_OK;
}

enum apiary_code ap_http_open(struct ap_env *env, struct ap_http **out, struct apiary_error *err)
{
    const struct ap_curl *curl = NULL;
    AP_TRY(ap_curl_load(&curl, err));
    struct ap_http *http = ap_calloc(1, sizeof *http);
    if (!http) return ap_fail_memory(err, "an HTTP client");
    http->env = env;
    http->curl = curl;
    http->lock = ap_lock_new(env);
    if (!http->lock || !read_environment(http)) {
        ap_http_close(http);
        return ap_fail_memory(err, "an HTTP client");
    }
    *out = http;
    return APIARY_OK;
}

static void lane_free(struct lane *lane)
{
    for (int i = 0; i < AP_HTTP_PARALLEL_MAX; i++)
        if (lane->easy[i]) lane->curl->easy_cleanup(lane->easy[i]);
    if (lane->multi) lane->curl->multi_cleanup(lane->multi);
    ap_free(lane);
}

void ap_http_close(struct ap_http *http)
{
    if (!http) return;
    while (http->idle) {
        struct lane *lane = http->idle;
        http->idle = lane->next;
        lane_free(lane);
    }
    ap_lock_free(http->env, http->lock);
    ap_free(http->authorities);
    ap_free(http->no_proxy);
    ap_free(http);
}

static struct lane *lane_take(struct ap_http *http)
{
    ap_lock(http->env, http->lock);
    struct lane *lane = http->idle;
    if (lane) {
        http->idle = lane->next;
        http->idle_count--;
    }
    ap_unlock(http->env, http->lock);
    if (lane) return lane;
    lane = ap_calloc(1, sizeof *lane);
    if (!lane) return NULL;
    lane->http = http;
    lane->curl = http->curl;
    lane->multi = http->curl->multi_init();
    if (lane->multi) return lane;
    ap_free(lane);
    return NULL;
}

static void lane_give(struct ap_http *http, struct lane *lane)
{
    ap_lock(http->env, http->lock);
    bool keep = http->idle_count < LANES_KEPT_MAX;
    if (keep) {
        lane->next = http->idle;
        http->idle = lane;
        http->idle_count++;
    }
    ap_unlock(http->env, http->lock);
    if (!keep) lane_free(lane);
}

void ap_http_request_done(struct ap_http_request *request)
{
    ap_texts_done(&request->headers);
    ap_bytes_done(&request->answer);
    ap_bytes_done(&request->answer_headers);
}

/* ---- what libcurl calls ---- */

/* How long the answer that comes may be. */
static uint64_t body_max(const struct transfer *transfer)
{
    const struct ap_http_request *request = transfer->request;
    uint64_t most = request->answer_max ? request->answer_max : AP_HTTP_ANSWER_MAX;
    long status = 0;
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    if (status == 206 && request->part_max) return request->part_max;
    return status / 100 != 2 && most > AP_HTTP_REFUSAL_MAX ? AP_HTTP_REFUSAL_MAX : most;
}

static size_t take_body(char *data, size_t one, size_t size, void *self)
{
    struct transfer *transfer = self;
    struct ap_http_request *request = transfer->request;
    (void)one;
    transfer->too_large = request->answer.size + size > body_max(transfer);
    if (transfer->too_large) return 0;
    transfer->no_memory = ap_bytes_add(&request->answer, data, size, NULL) != APIARY_OK;
    return transfer->no_memory ? 0 : size;
}

/* Headers of the last answer only: an interim one (100) comes before it. */
static size_t take_header(char *data, size_t one, size_t size, void *self)
{
    struct transfer *transfer = self;
    struct ap_bytes *headers = &transfer->request->answer_headers;
    (void)one;
    if (size >= 5 && memcmp(data, "HTTP/", 5) == 0) ap_bytes_clear(headers);
    transfer->too_large = headers->size + size > AP_HTTP_HEADERS_MAX;
    if (transfer->too_large) return 0;
    transfer->no_memory = ap_bytes_add(headers, data, size, NULL) != APIARY_OK;
    return transfer->no_memory ? 0 : size;
}

static size_t give_body(char *out, size_t one, size_t room, void *self)
{
    struct transfer *transfer = self;
    const struct ap_http_request *request = transfer->request;
    uint64_t left = request->body.size - transfer->sent;
    size_t size = (one * room) < left ? one * room : (size_t)left;
    if (request->body_fd >= 0) {
        ssize_t got = pread(
            request->body_fd, out, size, (off_t)(request->body_offset + transfer->sent));
        if (got < 0 || (got == 0 && size > 0)) return CURL_READFUNC_ABORT;
        size = (size_t)got;
    } else if (size) {
        memcpy(out, request->body.data + transfer->sent, size);
    }
    transfer->sent += size;
    return size;
}

/* A connection that was found dead is replaced, and the body sent anew. */
static int rewind_body(void *self, curl_off_t offset, int origin)
{
    struct transfer *transfer = self;
    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > transfer->request->body.size)
        return CURL_SEEKFUNC_FAIL;
    transfer->sent = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

/* Before each sending of the request over a connection. */
static int count_delivery(void *self, char *ours, char *theirs, int our_port, int their_port)
{
    struct transfer *transfer = self;
    transfer->request->deliveries++;
    return CURL_PREREQFUNC_OK;
}

/* ---- one request ---- */

static void fail_start(struct ap_http_request *request)
{
    request->outcome = AP_HTTP_NOT_SENT;
    ap_fail_memory(&request->error, "an HTTP request");
}

static bool set_headers(struct transfer *transfer)
{
    const struct ap_texts *texts = &transfer->request->headers;
    for (size_t i = 0; i <= texts->count; i++) {
        /* "Expect:" without a value: no waiting for 100-continue. */
        struct curl_slist *more = transfer->curl->slist_append(
            transfer->headers, i < texts->count ? texts->items[i] : "Expect:");
        if (!more) return false;
        transfer->headers = more;
    }
    return true;
}

/* 0: no bound. */
static long time_ms_max(const struct ap_http_request *request)
{
    if (request->time_ms_max > 0) return (long)request->time_ms_max;
    bool small = strcmp(request->method, "GET") != 0 ||
                 (request->answer_max > 0 && request->answer_max <= SMALL_ANSWER);
    return small ? TIME_MS + (long)(request->body.size / BODY_BYTES_PER_MS) : 0;
}

/* True when every option was taken. */
static bool set_options(struct transfer *transfer)
{
    CURL *easy = transfer->easy;
    const struct ap_http_request *request = transfer->request;
    CURLcode bad = CURLE_OK;
#define SET(option, value)                                                                         \
    do {                                                                                           \
        if (bad == CURLE_OK) bad = transfer->curl->easy_setopt(easy, option, value);               \
    } while (0)
    SET(CURLOPT_URL, request->url);
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_2TLS);
    SET(CURLOPT_NOPROXY, transfer->http->no_proxy);
    if (transfer->http->authorities) SET(CURLOPT_CAINFO, transfer->http->authorities);
    SET(CURLOPT_CONNECTTIMEOUT_MS,
        request->time_ms_max > 0 && request->time_ms_max < CONNECT_MS_MAX
            ? (long)request->time_ms_max
            : (long)CONNECT_MS_MAX);
    SET(CURLOPT_LOW_SPEED_LIMIT, (long)STALL_BYTES);
    SET(CURLOPT_LOW_SPEED_TIME, (long)STALL_SECONDS);
    SET(CURLOPT_TIMEOUT_MS, time_ms_max(request));
    SET(CURLOPT_HTTPHEADER, transfer->headers);
    SET(CURLOPT_WRITEFUNCTION, take_body);
    SET(CURLOPT_WRITEDATA, transfer);
    SET(CURLOPT_HEADERFUNCTION, take_header);
    SET(CURLOPT_HEADERDATA, transfer);
    SET(CURLOPT_PRIVATE, transfer);
    SET(CURLOPT_PREREQFUNCTION, count_delivery);
    SET(CURLOPT_PREREQDATA, transfer);
    bool body = strcmp(request->method, "PUT") == 0 || strcmp(request->method, "POST") == 0;
    if (body) {
        SET(CURLOPT_UPLOAD, 1L);
        SET(CURLOPT_INFILESIZE_LARGE, (curl_off_t)request->body.size);
        SET(CURLOPT_READFUNCTION, give_body);
        SET(CURLOPT_READDATA, transfer);
        SET(CURLOPT_SEEKFUNCTION, rewind_body);
        SET(CURLOPT_SEEKDATA, transfer);
    } else if (strcmp(request->method, "HEAD") == 0) {
        SET(CURLOPT_NOBODY, 1L);
    }
    if (strcmp(request->method, "GET") != 0 && strcmp(request->method, "HEAD") != 0)
        SET(CURLOPT_CUSTOMREQUEST, request->method);
#undef SET
    return bad == CURLE_OK;
}

static bool start(struct lane *lane, CURL *easy, struct transfer *transfer)
{
    ap_bytes_clear(&transfer->request->answer);
    ap_bytes_clear(&transfer->request->answer_headers);
    transfer->request->status = 0;
    transfer->request->deliveries = 0;
    transfer->easy = easy;
    lane->curl->easy_reset(easy);
    if (set_headers(transfer) && set_options(transfer) &&
        lane->curl->multi_add_handle(lane->multi, easy) == CURLM_OK)
        return true;
    transfer->curl->slist_free_all(transfer->headers);
    transfer->headers = NULL;
    fail_start(transfer->request);
    return false;
}

/* Did any byte of the request leave? How it ended tells of the last connection only: the one before it, on which all
 * was sent, may have died. */
static bool was_sent(const struct transfer *transfer, CURLcode result)
{
    curl_off_t ready_us = 0;
    if (transfer->request->deliveries > 0) return true;
    switch (result) {
        case CURLE_UNSUPPORTED_PROTOCOL:
        case CURLE_URL_MALFORMAT:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_CONNECT:
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE: return false;
        default: break;
    }
    /* The time at which all was ready to send; zero until then. */
    return transfer->curl->easy_getinfo(transfer->easy, CURLINFO_PRETRANSFER_TIME_T, &ready_us) !=
               CURLE_OK ||
           ready_us > 0;
}

static bool is_distrusted(CURLcode result)
{
    return result == CURLE_PEER_FAILED_VERIFICATION || result == CURLE_SSL_CACERT_BADFILE;
}

static void finish(struct transfer *transfer, CURLcode result)
{
    struct ap_http_request *request = transfer->request;
    long status = 0;
    transfer->curl->easy_getinfo(transfer->easy, CURLINFO_RESPONSE_CODE, &status);
    request->status = (int)status;
    if (result == CURLE_OK) {
        request->outcome = AP_HTTP_ANSWERED;
    } else if (transfer->too_large) {
        request->outcome = AP_HTTP_TOO_LARGE;
        ap_fail(&request->error, APIARY_LIMIT, "the answer is larger than its limit");
    } else {
        request->outcome = was_sent(transfer, result) ? AP_HTTP_LOST : AP_HTTP_NOT_SENT;
        ap_fail(&request->error, transfer->no_memory ? APIARY_MEMORY : APIARY_IO, "%s",
            transfer->no_memory ? "out of memory for an answer"
                                : transfer->curl->easy_strerror(result));
        if (is_distrusted(result)) {
            ap_fail(&request->error, APIARY_CONFIG, "its certificate is not trusted");
            ap_hint(&request->error,
                "name the file of your authority's certificates in SSL_CERT_FILE or AWS_CA_BUNDLE");
        }
    }
    transfer->curl->slist_free_all(transfer->headers);
    transfer->headers = NULL;
}

/* ---- many ---- */

static CURL *easy_of(struct lane *lane, size_t i)
{
    if (!lane->easy[i]) lane->easy[i] = lane->curl->easy_init();
    return lane->easy[i];
}

/* Ends what ended; returns how many. Their places are free again (request NULL). */
static size_t collect(struct lane *lane)
{
    int left;
    size_t ended = 0;
    for (CURLMsg *message; (message = lane->curl->multi_info_read(lane->multi, &left));) {
        void *self = NULL;
        if (message->msg != CURLMSG_DONE) continue;
        CURLcode result = message->data.result;
        CURL *easy = message->easy_handle;
        lane->curl->easy_getinfo(easy, CURLINFO_PRIVATE, (char **)&self);
        struct transfer *transfer = self;
        finish(transfer, result);
        lane->curl->multi_remove_handle(lane->multi, easy);
        transfer->request = NULL;
        ended++;
    }
    return ended;
}

static void run_on(
    struct lane *lane, struct ap_http_request *requests, size_t count, size_t parallel)
{
    struct transfer transfers[AP_HTTP_PARALLEL_MAX] = { { 0 } };
    size_t next = 0, running = 0;
    for (;;) {
        for (size_t i = 0; i < parallel && next < count; i++) {
            if (transfers[i].request) continue;
            CURL *easy = easy_of(lane, i);
            transfers[i] = (struct transfer) {
                .http = lane->http, .curl = lane->curl, .request = &requests[next++]
            };
            if (easy && start(lane, easy, &transfers[i])) {
                running++;
                continue;
            }
            if (!easy) fail_start(transfers[i].request);
            transfers[i].request = NULL;
        }
        if (running == 0 && next == count) return;
        int active = 0;
        CURLMcode code = lane->curl->multi_perform(lane->multi, &active);
        running -= collect(lane);
        if (code == CURLM_OK && active > 0)
            code = lane->curl->multi_poll(lane->multi, NULL, 0, POLL_MS, NULL);
        if (code != CURLM_OK) break;
    }
    /* The multi handle itself is broken: what runs is lost, what waits was not sent. */
    for (size_t i = 0; i < AP_HTTP_PARALLEL_MAX; i++) {
        if (!transfers[i].request) continue;
        lane->curl->multi_remove_handle(lane->multi, transfers[i].easy);
        finish(&transfers[i], CURLE_RECV_ERROR);
    }
    while (next < count) fail_start(&requests[next++]);
}

void ap_http_run(
    struct ap_http *http, struct ap_http_request *requests, size_t count, size_t parallel)
{
    ap_assert(parallel > 0 && parallel <= AP_HTTP_PARALLEL_MAX);
    struct lane *lane = lane_take(http);
    for (size_t i = 0; i < count && !lane; i++) fail_start(&requests[i]);
    if (!lane) return;
    run_on(lane, requests, count, parallel);
    lane_give(http, lane);
}

struct ap_str ap_http_header(const struct ap_http_request *request, const char *name)
{
    struct ap_str left = ap_bytes_view(&request->answer_headers), wanted = ap_str_from(name),
                  found = { "", 0 };
    while (left.size > 0) {
        size_t end = ap_str_find(left, AP_STR("\n"));
        struct ap_str line = { left.data, end == SIZE_MAX ? left.size : end };
        left = end == SIZE_MAX ? (struct ap_str) { "", 0 }
                               : (struct ap_str) { left.data + end + 1, left.size - end - 1 };
        size_t colon = ap_str_find(line, AP_STR(":"));
        if (colon == SIZE_MAX || !ap_str_equal_nocase((struct ap_str) { line.data, colon }, wanted))
            continue;
        found = ap_str_trim((struct ap_str) { line.data + colon + 1, line.size - colon - 1 });
    }
    return found;
}
