/* HTTP for object stores: many requests at once, overlapped in the caller's thread.
 *
 * What matters to a store is not whether a request "failed" but whether it may have been carried
 * out: NOT_SENT, LOST and ANSWERED are told apart, and nothing is retried here (a repeated
 * connection inside libcurl may deliver a request twice; stores settle that).
 *
 * Redirects are not followed, credentials never leave for another host, bodies and headers have
 * bounds. Thread-safe: connections are kept in a pool that all threads draw from. */
#ifndef AP_STORAGE_HTTP_H
#define AP_STORAGE_HTTP_H

#include "core/env.h"
#include "core/str.h"

struct ap_http;

enum ap_http_outcome {
    AP_HTTP_ANSWERED,  /* status, headers and body are whole */
    AP_HTTP_NOT_SENT,  /* no connection: nothing reached the server */
    AP_HTTP_LOST,      /* sent, in part or whole, and no whole answer came back */
    AP_HTTP_TOO_LARGE, /* the answer is longer than answer_max */
};

enum { AP_HTTP_HEADERS_MAX = 64 << 10, AP_HTTP_REFUSAL_MAX = 8 << 20 /* of an answer that is not 2xx */ };

struct ap_http_request {
    const char *method; /* GET, HEAD, PUT, POST, DELETE */
    const char *url;
    struct ap_texts headers; /* "Name: value", owned */
    struct ap_str body;      /* borrowed; or */
    int body_fd;             /* `body.size` bytes of it from body_offset on, when >= 0 */
    uint64_t body_offset;
    uint64_t answer_max; /* bytes of an answer's body; 0: AP_HTTP_ANSWER_MAX */
    uint64_t part_max;   /* of one that is a part (206); 0: answer_max */
    int64_t time_ms_max; /* for all of it; 0: by the body and by how fast it goes, see http.c */
    /* answer */
    enum ap_http_outcome outcome;
    int status;
    int deliveries; /* more than 1: libcurl found a connection dead and sent it all again */
    struct ap_bytes answer;
    struct ap_bytes answer_headers; /* lines as they came, "Name: value\r\n" */
    /* unless ANSWERED; never holds a URL's query or a header. CONFIG: asking again is of no use, the
     * server's certificate is not trusted; else IO, LIMIT, MEMORY */
    struct apiary_error error;
};
#define AP_HTTP_ANSWER_MAX (UINT64_C(1) << 40)
void ap_http_request_done(struct ap_http_request *request);

/* env: for its lock. Certificates are checked against the file that AWS_CA_BUNDLE, CURL_CA_BUNDLE or
 * SSL_CERT_FILE names, else the system's; proxies are those of http_proxy, https_proxy, all_proxy and
 * no_proxy, and never for this machine itself. */
AP_CHECKED enum apiary_code ap_http_open(
    struct ap_env *env, struct ap_http **out, struct apiary_error *err);
void ap_http_close(struct ap_http *http); /* no request may be running */

/* Runs them all, at most `parallel` (1 to AP_HTTP_PARALLEL_MAX) at a time, and returns when each
 * has its outcome. */
void ap_http_run(
    struct ap_http *http, struct ap_http_request *requests, size_t count, size_t parallel);
enum { AP_HTTP_PARALLEL_MAX = 32 };

/* The value of an answer's header, any case; the last when there are several; empty when none. */
struct ap_str ap_http_header(const struct ap_http_request *request, const char *name);

#endif
