/* The S3 backend against a server that misbehaves as told, and places and credentials. That all is
 * well on a good day is shown by tests/contract. */
#include "apiary_test.h"

#include "fault_store.h"
#include "s3_server.h"
#include "storage/s3_private.h"
#include "storage/prove.h"
#include "storage/slot.h"

#include <pthread.h>

static struct fault_env patient; /* waits take no time */

static struct ap_store *open_with(const char *bucket, const char *options)
{
    struct apiary_error err;
    char uri[300];
    struct ap_store *store = NULL;
    int port = s3_server_start();
    if (!port) skip();
    snprintf(
        uri, sizeof uri, "s3://%s/s3-tests?endpoint=http://127.0.0.1:%d%s", bucket, port, options);
    fault_env_init(&patient);
    assert_ok(ap_store_open(&patient.env, uri, NULL, &store, &err));
    return store;
}

static struct ap_store *open_store(const char *bucket)
{
    return open_with(bucket, "");
}

/* ---- Google's XML interface ---- */

/* As gs:// with GOOGLE_HMAC_KEY_ID opens it, but for where it lies. */
static void google_is_spoken_to_by_its_names(void **state)
{
    enum { PARTS = 3 };
    (void)state;
    struct ap_store *store = open_with("bucket", "&region=auto");
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    struct ap_object object = { 0 };
    const struct ap_range part = { 1, 2, false };
    const struct ap_list_request all = { .prefix = "google/" };
    const char *keys[] = { "google/a", "google/b" };
    struct ap_s3 *s3 = ap_s3_of(ap_cloud_of(store));
    s3->place.is_google = s3->cloud.deletes_each = true;
    s3->cloud.part_bytes = 1000;
    assert_ok(ap_store_put(store, "google/a", AP_STR("1234"), &err));
    assert_ok(ap_store_put_if_absent(store, "google/b", AP_STR("mine"), &err));
    assert_code(
        ap_store_put_if_absent(store, "google/b", AP_STR("other"), &err), APIARY_CONFLICT);
    assert_ok(ap_store_get(store, "google/a", part, &body, &object, &err));
    assert_string_equal(ap_bytes_text(&body), "23");
    struct ap_stage *stage = NULL;
    char bytes[PARTS * 1000 - 1] = { 0 };
    assert_ok(ap_store_stage(store, &stage, &err));
    assert_int_equal(write(stage->fd, bytes, sizeof bytes), sizeof bytes);
    assert_ok(ap_stage_commit(stage, "google/large", &object, &err));
    ap_stage_close(stage);
    assert_int_equal(object.size, sizeof bytes);
    assert_ok(ap_store_list(store, &all, &list, &err));
    assert_int_equal(list.count, 3);
    s3_server_faults(s3_server_start(), "");
    assert_ok(ap_store_delete_many(store, keys, 2, &err));
    assert_int_equal(s3_server_seen(s3_server_start(), "DELETE"), 2); /* it knows no other way */
    ap_store_close(store);
}

/* ---- what the caller is told ---- */

enum call { PUT, PUT_IF_ABSENT, GET, PART_OF, LIST, DELETE, COMMIT };

static enum apiary_code make_call(
    enum call call, struct ap_store *store, const char *key, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    struct ap_stage *stage = NULL;
    enum apiary_code code;
    switch (call) {
        case PUT: return ap_store_put(store, key, AP_STR("mine"), err);
        case PUT_IF_ABSENT: return ap_store_put_if_absent(store, key, AP_STR("mine"), err);
        case GET: return ap_store_get(store, "always", AP_RANGE_ALL, &body, NULL, err);
        case PART_OF: return ap_store_get(store, "always", (struct ap_range) { 1, 2, false }, &body, NULL, err);
        case LIST: return ap_store_list(store, &request, &list, err);
        case DELETE: return ap_store_delete(store, key, err);
        case COMMIT:
            code = ap_store_stage(store, &stage, err);
            if (code == APIARY_OK && write(stage->fd, "mine", 4) != 4) code = APIARY_IO;
            if (code == APIARY_OK) code = ap_stage_commit(stage, key, NULL, err);
            ap_stage_close(stage);
            return code;
    }
    return APIARY_INTERNAL;
}

static const struct {
    const char *label;
    enum call call;
    const char *faults;
    enum apiary_code code;
    const char *then; /* what the key holds afterwards; NULL: nothing; "*": not asked */
} cases[] = {
    { "put", PUT, "ok", APIARY_OK, "mine" },
    { "put: repeated after 500", PUT, "500 503 429", APIARY_OK, "mine" },
    { "put: repeated after a lost answer", PUT, "lost", APIARY_OK, "mine" },
    { "put: repeated after a dropped request", PUT, "drop", APIARY_OK, "mine" },
    { "put: given up", PUT, "500 500 500 500 500 500 500 500", APIARY_IO, NULL },
    { "absent", PUT_IF_ABSENT, "ok", APIARY_OK, "mine" },
    { "absent: 500 is unclear", PUT_IF_ABSENT, "500", APIARY_UNCERTAIN, NULL },
    { "absent: 503 is unclear", PUT_IF_ABSENT, "503", APIARY_UNCERTAIN, NULL },
    { "absent: 429 is unclear", PUT_IF_ABSENT, "429", APIARY_UNCERTAIN, NULL },
    { "absent: in flight is not", PUT_IF_ABSENT, "409", APIARY_IO, NULL },
    { "absent: lost", PUT_IF_ABSENT, "lost", APIARY_UNCERTAIN, "mine" },
    { "absent: 500 after it was done", PUT_IF_ABSENT, "500done", APIARY_UNCERTAIN, "mine" },
    { "absent: the bucket moved", PUT_IF_ABSENT, "moved", APIARY_OK, "mine" },
    { "absent: moved twice is an error", PUT_IF_ABSENT, "moved moved", APIARY_INVALID, NULL },
    { "absent: the token ended", PUT_IF_ABSENT, "expired", APIARY_OK, "mine" },
    { "absent: all lessons at once", PUT_IF_ABSENT, "expired 403skew moved", APIARY_OK, "mine" },
    { "put: the token ended twice", PUT, "expired expired", APIARY_DENIED, NULL },
    /* On a connection that was in use before libcurl repeats by itself; the second is the last. */
    { "absent: dropped", PUT_IF_ABSENT, "drop", APIARY_OK, "mine" },
    { "absent: refused when it was delivered again", PUT_IF_ABSENT, "lost 403", APIARY_UNCERTAIN, "mine" },
    { "absent: in flight when it was delivered again", PUT_IF_ABSENT, "lost 409", APIARY_UNCERTAIN, "mine" },
    { "absent: dropped twice", PUT_IF_ABSENT, "drop drop", APIARY_UNCERTAIN, NULL },
    { "absent: a store without it", PUT_IF_ABSENT, "501", APIARY_UNSUPPORTED, NULL },
    { "absent: the clock", PUT_IF_ABSENT, "403skew", APIARY_OK, "mine" },
    { "absent: an answer that goes on", PUT_IF_ABSENT, "long", APIARY_UNCERTAIN, "mine" },
    { "put: an answer that goes on", PUT, "long", APIARY_LIMIT, "mine" },
    { "commit: an answer that goes on", COMMIT, "long", APIARY_OK, "mine" },
    { "part: an answer that goes on", PART_OF, "long", APIARY_LIMIT, "*" },
    { "get: repeated", GET, "500 lost drop", APIARY_OK, "*" },
    { "get: a short body is read again", GET, "short", APIARY_OK, "*" },
    { "get: given up", GET, "503 503 503 503 503 503 503 503", APIARY_IO, "*" },
    { "list: repeated", LIST, "lost 503 short", APIARY_OK, "*" },
    { "delete: repeated", DELETE, "500 lost", APIARY_OK, NULL },
    { "commit", COMMIT, "ok", APIARY_OK, "mine" },
    { "commit: settled after a lost answer", COMMIT, "lost", APIARY_OK, "mine" },
    { "commit: repeated", COMMIT, "500 drop 503", APIARY_OK, "mine" },
};

static void codes_are_honest(void **state)
{
    (void)state;
    struct ap_store *store = open_store("bucket");
    struct apiary_error err;
    int port = s3_server_start();
    assert_ok(ap_store_put(store, "always", AP_STR("there"), &err));
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        const char *label = cases[i].label;
        char key[40];
        AP_AUTO(ap_bytes) body = { 0 };
        snprintf(key, sizeof key, "case/%zu", i);
        s3_server_faults(port, cases[i].faults);
        assert_code_in(label, make_call(cases[i].call, store, key, &err), cases[i].code);
        if (cases[i].code != APIARY_OK)
            assert_true_in(label, strstr(err.message, key) || strstr(err.message, "s3://"));
        if (cases[i].code == APIARY_UNSUPPORTED) assert_false(store->shared_writing);
        s3_server_faults(port, "");
        if (cases[i].then && cases[i].then[0] == '*') continue;
        enum apiary_code code = ap_store_get(store, key, AP_RANGE_ALL, &body, NULL, &err);
        assert_int_in(label, code, cases[i].then ? APIARY_OK : APIARY_NOT_FOUND);
        if (cases[i].then) assert_string_in(label, ap_bytes_text(&body), cases[i].then);
    }
    ap_store_close(store);
}

static void slots_settle_here_too(void **state)
{
    static const char *const faults[] = { "ok", "lost", "500 drop lost", "409 429 lost 503 500" };
    (void)state;
    struct ap_store *store = open_store("bucket");
    struct apiary_error err;
    assert_ok(ap_store_prove(store, &err));
    for (size_t i = 0; i < AP_COUNT(faults); i++) {
        struct ap_slot_options options = { .deadline_mono_us = INT64_MAX, .body_max = 1000 };
        enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
        char key[40];
        AP_AUTO(ap_bytes) theirs = { 0 };
        snprintf(key, sizeof key, "slot/%zu", i);
        s3_server_faults(s3_server_start(), faults[i]);
        assert_ok(ap_slot_settle(store, key, AP_STR("one"), &options, &outcome, &theirs, &err));
        assert_int_in(faults[i], outcome, AP_SLOT_MINE);
        s3_server_faults(s3_server_start(), faults[i]);
        assert_ok(ap_slot_settle(store, key, AP_STR("two"), &options, &outcome, &theirs, &err));
        assert_int_in(faults[i], outcome, AP_SLOT_THEIRS);
        assert_string_in(faults[i], ap_bytes_text(&theirs), "one");
    }
    s3_server_faults(s3_server_start(), "");
    ap_store_close(store);
}

static void who_we_are_matters(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_store *store = open_store("missing");
    assert_code(ap_store_put(store, "k", AP_STR("x"), &err), APIARY_NOT_FOUND);
    assert_non_null(strstr(err.message, "NoSuchBucket"));
    assert_code(ap_store_delete(store, "k", &err), APIARY_NOT_FOUND);
    ap_store_close(store);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "wrong-secret", 1), 0);
    store = open_store("bucket");
    assert_code(ap_store_get(store, "always", AP_RANGE_ALL, &body, NULL, &err), APIARY_DENIED);
    assert_non_null(strstr(err.message, "SignatureDoesNotMatch"));
    assert_null(strstr(err.message, "wrong-secret"));
    ap_store_close(store);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
}

static void nobody_there(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_store *store = NULL;
    AP_AUTO(ap_bytes) body = { 0 };
    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "test", 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
    fault_env_init(&patient);
    assert_ok(
        ap_store_open(&patient.env, "s3://bucket?endpoint=http://127.0.0.1:1", NULL, &store, &err));
    /* Nothing was sent: IO, also for a conditional put. */
    assert_code(ap_store_put_if_absent(store, "k", AP_STR("x"), &err), APIARY_IO);
    assert_code(ap_store_get(store, "k", AP_RANGE_ALL, &body, NULL, &err), APIARY_IO);
    ap_store_close(store);
}

/* Reads a request whose body is "x". */
static void take_request(int fd)
{
    static const char end[] = "\r\n\r\nx";
    enum { END = sizeof end - 1 };
    char text[8192];
    size_t have = 0;
    for (ssize_t got; have < END || memcmp(text + have - END, end, END) != 0; have += (size_t)got) {
        got = read(fd, text + have, sizeof text - have);
        if (got <= 0) return;
    }
}

/* Answers one request, takes another on the same connection, and is gone. */
static void *leave(void *self)
{
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    int *listener = self, fd = accept(*listener, NULL, NULL);
    take_request(fd);
    (void)!write(fd, answer, sizeof answer - 1);
    take_request(fd);
    close(*listener);
    close(fd);
    return NULL;
}

/* libcurl sends a request again when the connection that was kept is dead. That nobody is there for the second
 * does not undo the first. */
static void gone_after_it_took_all(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_store *store = NULL;
    struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof address;
    pthread_t thread;
    char uri[80];
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    assert_int_equal(pthread_create(&thread, NULL, leave, &listener), 0);
    assert_int_equal(setenv("AWS_ACCESS_KEY_ID", "test", 1), 0);
    assert_int_equal(setenv("AWS_SECRET_ACCESS_KEY", "secret", 1), 0);
    snprintf(uri, sizeof uri, "s3://bucket?endpoint=http://127.0.0.1:%d", ntohs(address.sin_port));
    fault_env_init(&patient);
    assert_ok(ap_store_open(&patient.env, uri, NULL, &store, &err));
    assert_ok(ap_store_put(store, "first", AP_STR("x"), &err));
    assert_code(ap_store_put_if_absent(store, "second", AP_STR("x"), &err), APIARY_UNCERTAIN);
    assert_int_equal(pthread_join(thread, NULL), 0);
    ap_store_close(store);
}

static void names_are_what_they_are(void **state)
{
    static const char *const buckets[] = { "bucket", "literal" },
                      *const names[] = { "names/%2F", "names/100%", "names/a b", "names/a%20b", "names/a&b", "names/a+b", "names/\u00e9" };
    const struct ap_list_request all = { .prefix = "names/" };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(buckets); i++) {
        struct apiary_error err;
        struct ap_store *store = open_store(buckets[i]);
        AP_AUTO(ap_list) list = { 0 };
        for (size_t j = 0; j < AP_COUNT(names); j++)
            assert_ok(ap_store_put(store, names[j], AP_STR("x"), &err));
        assert_ok(ap_store_list(store, &all, &list, &err));
        assert_int_in(buckets[i], list.count, AP_COUNT(names));
        for (size_t j = 0; j < AP_COUNT(names); j++)
            assert_string_in(buckets[i], list.objects[j].key, names[j]);
        ap_store_close(store);
    }
}

static void lists_end(void **state)
{
    enum { MORE_THAN_A_PAGE = 10 };
    (void)state;
    struct apiary_error err;
    struct ap_store *store = open_store("still");
    AP_AUTO(ap_list) list = { 0 };
    const struct ap_list_request all = { .prefix = "names/" };
    for (int i = 0; i < MORE_THAN_A_PAGE; i++) {
        char key[40];
        snprintf(key, sizeof key, "names/%d", i);
        assert_ok(ap_store_put(store, key, AP_STR("x"), &err));
    }
    assert_code(ap_store_list(store, &all, &list, &err), APIARY_CORRUPT);
    assert_non_null(strstr(err.message, "goes on where it was"));
    ap_store_close(store);
}

/* ---- uploads in parts ---- */

enum { PART = 1 << 18, BIG = 5 * PART / 2, STEP = 1 << 16 };

/* Writes [from, to) of a file whose every byte follows from its place. */
static void write_bytes(int fd, size_t from, size_t to)
{
    static unsigned char step[STEP];
    for (size_t at = from; at < to;) {
        size_t size = to - at < STEP ? to - at : STEP;
        for (size_t i = 0; i < size; i++) step[i] = (unsigned char)((at + i) * 2654435761u >> 13);
        assert_int_equal(pwrite(fd, step, size, (off_t)at), size);
        at += size;
    }
}

static void assert_bytes(struct ap_store *store, const char *key, size_t size)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_store_get(store, key, AP_RANGE_ALL, &body, NULL, &err));
    assert_int_equal(body.size, size);
    size_t wrong = 0;
    for (size_t i = 0; i < size; i++)
        wrong += (unsigned char)body.data[i] != (unsigned char)(i * 2654435761u >> 13);
    assert_int_equal(wrong, 0);
}

static struct ap_store *open_with_small_parts(void)
{
    struct ap_store *store = open_store("bucket");
    ap_cloud_of(store)->part_bytes = PART;
    return store;
}

static struct ap_stage *stage_big(struct ap_store *store, size_t size)
{
    struct apiary_error err;
    struct ap_stage *stage = NULL;
    assert_ok(ap_store_stage(store, &stage, &err));
    write_bytes(stage->fd, 0, size);
    return stage;
}

static void large_files_go_in_parts(void **state)
{
    static const struct {
        const char *label, *faults;
        enum apiary_code code;
        bool there;
    } rows[] = {
        { "all is well", "", APIARY_OK, true },
        { "parts are sent again", "ok 500 lost 503 drop", APIARY_OK, true },
        { "the end is lost", "ok ok ok ok lost", APIARY_OK, true },
        { "the end says 200 and an error", "ok ok ok ok 200error", APIARY_OK, true },
        { "the end says 500 when it is done", "ok ok ok ok 500done", APIARY_OK, true },
        { "no conditions", "ok ok ok ok 501", APIARY_UNSUPPORTED, false },
        { "no beginning", "500 500 500 500 500 500 500 500", APIARY_IO, false },
    };
    (void)state;
    struct ap_store *store = open_with_small_parts();
    struct apiary_error err;
    int port = s3_server_start();
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        char key[40];
        struct ap_object object = { 0 };
        struct ap_stage *stage = stage_big(store, BIG);
        snprintf(key, sizeof key, "big/%zu", i);
        s3_server_faults(port, rows[i].faults);
        assert_code_in(rows[i].label, ap_stage_commit(stage, key, &object, &err), rows[i].code);
        ap_stage_close(stage);
        s3_server_faults(port, "");
        assert_int_in(rows[i].label, s3_server_seen(port, "uploads"), 0);
        if (rows[i].there) {
            assert_int_in(rows[i].label, object.size, BIG);
            assert_bytes(store, key, BIG);
        } else {
            assert_code_in(rows[i].label, ap_store_get(store, key, AP_RANGE_ALL, NULL, NULL, &err),
                APIARY_NOT_FOUND);
        }
    }
    /* The key is somebody's. */
    struct ap_stage *stage = stage_big(store, BIG);
    assert_code(ap_stage_commit(stage, "big/0", NULL, &err), APIARY_CONFLICT);
    ap_stage_close(stage);
    assert_int_equal(s3_server_seen(port, "uploads"), 0);
    ap_store_close(store);
}

/* Requests are counted as the server sees them. */
static void growing_files_go_ahead(void **state)
{
    (void)state;
    struct ap_store *store = open_with_small_parts();
    struct apiary_error err;
    int port = s3_server_start();
    struct ap_stage *stage = NULL;
    s3_server_faults(port, "");
    assert_ok(ap_store_stage(store, &stage, &err));
    for (size_t at = 0; at < BIG; at += STEP) {
        write_bytes(stage->fd, at, at + STEP);
        assert_ok(ap_stage_advance(stage, "grown", at + STEP, &err));
    }
    assert_int_equal(s3_server_seen(port, "uploads"), 1);
    assert_int_equal(s3_server_seen(port, "PUT"), 2); /* before the commit */
    assert_code(ap_store_get(store, "grown", AP_RANGE_ALL, NULL, NULL, &err), APIARY_NOT_FOUND);
    assert_ok(ap_stage_commit(stage, "grown", NULL, &err));
    ap_stage_close(stage);
    assert_bytes(store, "grown", BIG);
    assert_int_equal(s3_server_seen(port, "uploads"), 0);
    struct ap_store_counts *counts = &store->counts;
    assert_int_equal(counts->puts + counts->puts_if_absent,
        s3_server_seen(port, "PUT") + s3_server_seen(port, "POST"));
    assert_int_equal(
        counts->gets + counts->ranges, s3_server_seen(port, "GET") + s3_server_seen(port, "HEAD"));
    assert_int_equal(counts->bytes_out, BIG);
    /* What is given up leaves nothing. */
    stage = stage_big(store, BIG);
    assert_ok(ap_stage_advance(stage, "dropped", BIG, &err));
    assert_int_equal(s3_server_seen(port, "uploads"), 1);
    ap_stage_close(stage);
    assert_int_equal(s3_server_seen(port, "uploads"), 0);
    ap_store_close(store);
}

/* ---- what else is asked ---- */

static void options_become_headers(void **state)
{
    (void)state;
    struct apiary_error err;
    int port = s3_server_start();
    struct ap_store *store = open_with("bucket", "&sse=aws:kms&sse_key=key-1&requester_pays=true");
    assert_ok(ap_store_put(store, "sealed", AP_STR("x"), &err));
    assert_true(s3_server_saw(port, "\"x-amz-server-side-encryption\": \"aws:kms\""));
    assert_true(s3_server_saw(port, "\"x-amz-server-side-encryption-aws-kms-key-id\": \"key-1\""));
    assert_true(s3_server_saw(port, "\"x-amz-request-payer\": \"requester\""));
    ap_store_close(store);
    store = open_with("bucket", "&region=eu-west-3");
    assert_ok(ap_store_put(store, "there", AP_STR("x"), &err));
    assert_true(s3_server_saw(port, "\"region\": \"eu-west-3\""));
    s3_server_faults(port, "moved");
    assert_ok(ap_store_put(store, "there", AP_STR("x"), &err));
    assert_true(s3_server_saw(port, "\"region\": \"us-other-7\""));
    ap_store_close(store);
}

static void a_pinned_object_is_the_same(void **state)
{
    (void)state;
    struct apiary_error err;
    struct ap_store *store = open_store("bucket");
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_object object;
    assert_ok(ap_store_put(store, "pinned", AP_STR("first"), &err));
    assert_ok(ap_store_get(store, "pinned", AP_RANGE_ALL, &body, &object, &err));
    struct ap_get get = { .key = "pinned", .range = { 1, 2, false }, .if_etag = object.etag };
    ap_store_get_many(store, &get, 1);
    assert_int_equal(get.code, APIARY_OK);
    assert_string_equal(ap_bytes_text(&get.body), "ir");
    assert_ok(ap_store_put(store, "pinned", AP_STR("other"), &err));
    ap_store_get_many(store, &get, 1);
    assert_int_equal(get.code, APIARY_CONFLICT);
    assert_non_null(strstr(get.error.message, "pinned is another one by now"));
    ap_get_done(&get);
    ap_store_close(store);
}

/* A store that says "slow down" gets fewer requests at a time, and waits as it says. */
static void throttling_slows_down(void **state)
{
    enum { MANY = 64 };
    (void)state;
    struct ap_store *store = open_store("bucket");
    struct apiary_error err;
    int port = s3_server_start();
    static struct ap_get gets[MANY];
    assert_ok(ap_store_put(store, "hot", AP_STR("x"), &err));
    for (int i = 0; i < MANY; i++)
        gets[i] = (struct ap_get) { .key = "hot", .range = AP_RANGE_ALL };
    struct ap_cloud *cloud = ap_cloud_of(store);
    int before = cloud->window;
    for (int round = 0; round < 4; round++) {
        s3_server_faults(port, "503 503 503");
        ap_store_get_many(store, gets, MANY);
        for (int i = 0; i < MANY; i++) assert_int_equal(gets[i].code, APIARY_OK);
        patient.slept_us += 1000000;
    }
    assert_true(cloud->window < before / 2);
    assert_int_equal(store->counts.retries, 12);
    assert_true(patient.slept_us > 4000000);
    int slow = cloud->window;
    s3_server_faults(port, "");
    for (int round = 0; round < 8; round++) ap_store_get_many(store, gets, MANY);
    assert_true(cloud->window > slow);
    for (int i = 0; i < MANY; i++) ap_get_done(&gets[i]);
    ap_store_close(store);
}

static const struct {
    const char *faults;
    int64_t least_s, most_s; /* that are slept through, with the random waits between repetitions */
} waits[] = {
    { "503after7", 7, 9 },
    { "429after3", 3, 5 },
    { "503after+20", 18, 22 },
    { "429after100000", 30, 33 }, /* bounded */
    { "503after+100000", 30, 33 },
    { "503after4 429after6", 10, 14 },
    { "503after-5", 0, 3 }, /* no number of seconds */
};

static void retry_after_is_honoured(void **state)
{
    (void)state;
    struct ap_store *store = open_store("bucket");
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_store_put(store, "hot", AP_STR("x"), &err));
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        s3_server_faults(s3_server_start(), waits[i].faults);
        int64_t before_us = patient.slept_us;
        assert_ok(ap_store_get(store, "hot", AP_RANGE_ALL, &body, NULL, &err));
        int64_t slept_us = patient.slept_us - before_us;
        /* What passed by itself needs no sleep. */
        if (slept_us < waits[i].least_s * 1000000 - 500000 || slept_us > waits[i].most_s * 1000000)
            fail_msg("%s: slept %lld us", waits[i].faults, (long long)slept_us);
    }
    s3_server_faults(s3_server_start(), "");
    ap_store_close(store);
}

/* A store that is down costs a bounded number of requests. */
static void repetitions_have_a_budget(void **state)
{
    (void)state;
    struct ap_store *store = open_store("bucket");
    struct apiary_error err;
    char faults[800] = "";
    AP_AUTO(ap_bytes) body = { 0 };
    for (int i = 0; i < 190; i++) strcat(faults, "500 ");
    s3_server_faults(s3_server_start(), faults);
    for (int i = 0; i < 50; i++)
        assert_code(ap_store_get(store, "x", AP_RANGE_ALL, &body, NULL, &err), APIARY_IO);
    assert_true(store->counts.retries <= 100);
    s3_server_faults(s3_server_start(), "");
    ap_store_close(store);
}

/* ---- certificates and proxies ---- */

static void certificates_are_checked(void **state)
{
    char folder[AP_TEST_PATH_MAX], pem[AP_TEST_PATH_MAX + 20], uri[200];
    char command[6 * AP_TEST_PATH_MAX];
    struct apiary_error err;
    (void)state;
    ap_test_folder(folder);
    snprintf(pem, sizeof pem, "%s/both.pem", folder);
    snprintf(command, sizeof command,
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=localhost "
        "-addext subjectAltName=DNS:localhost -keyout %s/k.pem -out %s/c.pem 2>/dev/null && "
        "cat %s/k.pem %s/c.pem > %s",
        folder, folder, folder, folder, pem);
    if (!s3_server_start()) skip();
    assert_int_equal(system(command), 0);
    setenv("S3_SERVER_PEM", pem, 1);
    int port = test_server_start("tests/contract/s3_server.py");
    unsetenv("S3_SERVER_PEM");
    assert_true(port > 0);
    snprintf(uri, sizeof uri, "s3://bucket/x?endpoint=https://localhost:%d", port);
    snprintf(pem, sizeof pem, "%s/c.pem", folder);
    setenv("https_proxy", "http://127.0.0.1:1", 1); /* nobody; not for this machine */
    for (int trusted = 0; trusted < 2; trusted++) {
        struct ap_store *store = NULL;
        if (trusted) setenv("AWS_CA_BUNDLE", pem, 1);
        assert_ok(ap_store_open(ap_env_system(), uri, NULL, &store, &err));
        enum apiary_code code = ap_store_put(store, "k", AP_STR("x"), &err);
        assert_int_equal(code, trusted ? APIARY_OK : APIARY_CONFIG);
        if (!trusted) {
            assert_non_null(strstr(err.message, "its certificate is not trusted"));
            assert_non_null(strstr(err.hint, "SSL_CERT_FILE"));
            assert_int_equal(store->counts.retries, 0);
        }
        ap_store_close(store);
    }
    unsetenv("AWS_CA_BUNDLE");
    unsetenv("https_proxy");
    ap_test_folder_remove(folder);
}

/* 0.0.0.0 is this machine, but not by a name that is never asked for by a proxy. */
static void proxies_can_be_switched_off(void **state)
{
    static const char *const exceptions[] = { "*", " * ", "0.0.0.0", "other.test,0.0.0.0" };
    struct apiary_error err;
    char uri[200];
    (void)state;
    int port = s3_server_start();
    if (!port) skip();
    snprintf(uri, sizeof uri, "s3://bucket/x?endpoint=http://0.0.0.0:%d", port);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody */
    fault_env_init(&patient);
    for (size_t i = 0; i < AP_COUNT(exceptions); i++) {
        struct ap_store *store = NULL;
        setenv("no_proxy", exceptions[i], 1);
        assert_ok(ap_store_open(&patient.env, uri, NULL, &store, &err));
        assert_int_in(exceptions[i], ap_store_put(store, "k", AP_STR("x"), &err), APIARY_OK);
        ap_store_close(store);
    }
    unsetenv("no_proxy");
    unsetenv("http_proxy");
}

/* ---- proofs ---- */

/* A store that is one for writers says so for good; one that is not is refused, and stays refused.
 */
static void conditions_are_proved(void **state)
{
    static const struct {
        const char *bucket, *options;
        enum apiary_code code;
        const char *verdict;
    } rows[] = {
        { "proof", "", APIARY_OK, "\"holds\"" },
        { "careless", "", APIARY_UNSUPPORTED, "\"fails\"" },
        { "plain", "", APIARY_UNSUPPORTED, "\"fails\"" },
        { "proof", "&writers=one", APIARY_UNSUPPORTED, NULL },
    };
    struct ap_slot_options options = { .deadline_mono_us = INT64_MAX, .body_max = 1000 };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err;
        AP_AUTO(ap_bytes) body = { 0 };
        AP_AUTO(ap_list) list = { 0 };
        struct ap_list_request left = { .prefix = "_registry/proof/" };
        enum ap_slot_outcome outcome;
        for (int again = 0; again < 2; again++) {
            struct ap_store *store = open_with(rows[i].bucket, rows[i].options);
            s3_server_faults(s3_server_start(), "");
            assert_code_in(rows[i].bucket, ap_store_prove(store, &err), rows[i].code);
            long puts = s3_server_seen(s3_server_start(), "PUT");
            assert_true_in(rows[i].bucket, again ? puts == 0 : puts > 0 || store->one_writer);
            if (rows[i].code != APIARY_OK) {
                assert_non_null(strstr(err.message, "cannot be shared"));
                assert_code_in(rows[i].bucket,
                    ap_slot_settle(store, "slot", AP_STR("x"), &options, &outcome, NULL, &err),
                    store->one_writer ? APIARY_OK : APIARY_UNSUPPORTED);
            }
            assert_int_in(rows[i].bucket, store->shared_writing, rows[i].code == APIARY_OK);
            assert_ok(ap_store_list(store, &left, &list, &err));
            assert_int_in(rows[i].bucket, list.count, 0);
            if (rows[i].verdict) {
                assert_ok(
                    ap_store_get(store, "_registry/proof.json", AP_RANGE_ALL, &body, NULL, &err));
                assert_non_null(strstr(ap_bytes_text(&body), rows[i].verdict));
            }
            ap_store_close(store);
        }
    }
    /* With one writer, what is there is seen. */
    struct apiary_error err;
    struct ap_store *store = open_with("plain", "&writers=one");
    assert_ok(ap_store_put_if_absent(store, "once", AP_STR("1"), &err));
    assert_code(ap_store_put_if_absent(store, "once", AP_STR("2"), &err), APIARY_CONFLICT);
    /* What may have been written is not said to have failed. */
    s3_server_faults(s3_server_start(), "ok lost lost lost lost lost lost lost lost lost lost lost lost lost lost lost lost lost");
    assert_code(ap_store_put_if_absent(store, "unclear", AP_STR("1"), &err), APIARY_UNCERTAIN);
    s3_server_faults(s3_server_start(), "");
    assert_code(ap_store_put_if_absent(store, "unclear", AP_STR("2"), &err), APIARY_CONFLICT);
    ap_store_close(store);
}

/* ---- places ---- */

static void places(void **state)
{
    static const struct {
        const char *uri, *canonical, *base, *root, *prefix, *region;
    } rows[] = {
        { "s3://bucket", "s3://bucket", "https://bucket.s3.us-east-1.amazonaws.com", "/", "",
            "us-east-1" },
        { "s3://bucket/", "s3://bucket", "https://bucket.s3.us-east-1.amazonaws.com", "/", "",
            "us-east-1" },
        { "s3://bucket/a/b/?region=eu-west-3", "s3://bucket/a/b?region=eu-west-3",
            "https://bucket.s3.eu-west-3.amazonaws.com", "/", "a/b/", "eu-west-3" },
        { "s3://my.bucket/x", "s3://my.bucket/x", "https://s3.us-east-1.amazonaws.com",
            "/my.bucket/", "x/", "us-east-1" },
        { "s3://bucket?endpoint=http://localhost:9000/",
            "s3://bucket?endpoint=http://localhost:9000/", "http://localhost:9000", "/bucket/", "",
            "us-east-1" },
        { "s3://bucket/p?style=virtual&endpoint=https%3A%2F%2Fs3.example",
            "s3://bucket/p?endpoint=https://s3.example&style=virtual", "https://bucket.s3.example",
            "/", "p/", "us-east-1" },
        { "s3://bucket?style=path", "s3://bucket?style=path", "https://s3.us-east-1.amazonaws.com",
            "/bucket/", "", "us-east-1" },
    };
    static const char *const bad[] = { "s3://b/p?endpoint=https://storage.googleapis.com&sse=AES256",
        "s3://b/p?endpoint=https://storage.googleapis.com&requester_pays=true", "s3://", "s3:///x", "s3://B_ucket", "s3://ab", "s3://-abc",
        "s3://bucket//x", "s3://bucket/../x", "s3://bucket?secret=x",
        "s3://bucket?endpoint=ftp://x", "s3://bucket?endpoint=http://a/b",
        "s3://bucket?endpoint=http://a%0d%0ab", "s3://bucket?region=a%0ab",
        "s3://bucket?style=other", "s3://bucket?region=" };
    struct apiary_error err;
    (void)state;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_s3_place) place = { 0 };
        AP_AUTO(ap_bytes) uri = { 0 };
        assert_code_in(rows[i].uri, ap_s3_place_parse(&place, rows[i].uri, &err), APIARY_OK);
        assert_string_in(rows[i].uri, ap_bytes_text(&place.base), rows[i].base);
        assert_string_in(rows[i].uri, ap_bytes_text(&place.root), rows[i].root);
        assert_string_in(rows[i].uri, ap_bytes_text(&place.prefix), rows[i].prefix);
        assert_string_in(rows[i].uri, ap_bytes_text(&place.region), rows[i].region);
        assert_ok(ap_store_canonical(rows[i].uri, &uri, &err));
        assert_string_in(rows[i].uri, ap_bytes_text(&uri), rows[i].canonical);
        assert_ok(ap_store_canonical(rows[i].canonical, &uri, &err));
        assert_string_in(rows[i].uri, ap_bytes_text(&uri), rows[i].canonical);
    }
    for (size_t i = 0; i < AP_COUNT(bad); i++) {
        AP_AUTO(ap_s3_place) place = { 0 };
        assert_code_in(bad[i], ap_s3_place_parse(&place, bad[i], &err), APIARY_INVALID);
    }
}

/* ---- credentials ---- */

static enum apiary_code find_credentials(struct ap_credentials *out, struct apiary_error *error)
{
    struct apiary_error err;
    struct ap_http *http = NULL;
    struct ap_aws_identity *identity = NULL;
    struct ap_aws_options options = { .region = "us-east-1" };
    assert_ok(ap_http_open(ap_env_system(), &http, &err));
    assert_ok(ap_aws_identity_open(ap_env_system(), http, &options, &identity, &err));
    enum apiary_code code = ap_aws_identity_now(identity, out, error);
    ap_aws_identity_close(identity);
    ap_http_close(http);
    return code;
}

static void credentials(void **state)
{
    char folder[AP_TEST_PATH_MAX], path[AP_TEST_PATH_MAX + 16];
    struct apiary_error err;
    (void)state;
    ap_test_folder(folder);
    snprintf(path, sizeof path, "%s/credentials", folder);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(
        fputs(
            "# mine\n[default]\naws_access_key_id = AKID1\naws_secret_access_key=s1\n[ other ]\r\n"
            "aws_access_key_id=AKID2\r\naws_secret_access_key = s2=x\r\naws_session_token = "
            "t2\r\n[bad]\naws_access_key_id = a b\n",
            file) >= 0);
    assert_int_equal(fclose(file), 0);
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
    unsetenv("AWS_SESSION_TOKEN");
    setenv("AWS_SHARED_CREDENTIALS_FILE", path, 1);
    static const struct {
        const char *profile, *access, *secret, *token;
        enum apiary_code code;
    } rows[] = { { "", "AKID1", "s1", "", APIARY_OK },
        { "other", "AKID2", "s2=x", "t2", APIARY_OK }, { "none", "", "", "", APIARY_CONFIG },
        { "bad", "", "", "", APIARY_CONFIG } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_credentials) found = { 0 };
        setenv("AWS_PROFILE", rows[i].profile, 1);
        assert_code_in(rows[i].profile, find_credentials(&found, &err), rows[i].code);
        assert_string_in(rows[i].profile, ap_bytes_text(&found.access_key), rows[i].access);
        assert_string_in(rows[i].profile, ap_bytes_text(&found.secret_key), rows[i].secret);
        assert_string_in(rows[i].profile, ap_bytes_text(&found.token), rows[i].token);
    }
    AP_AUTO(ap_credentials) found = { 0 };
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/file", 1);
    assert_code(find_credentials(&found, &err), APIARY_CONFIG);
    assert_non_null(strstr(err.message, "/nonexistent/file"));
    setenv("AWS_ACCESS_KEY_ID", "AKID3", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "s3", 1);
    assert_ok(find_credentials(&found, &err));
    assert_string_equal(ap_bytes_text(&found.access_key), "AKID3");
    ap_test_folder_remove(folder);
}

int main(void)
{
    /* What the machine has must not change the results. */
    static const char *const variables[] = { "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL",
        "AWS_ENDPOINT_URL_S3", "AWS_PROFILE", "AWS_SESSION_TOKEN", "http_proxy", "https_proxy",
        "HTTPS_PROXY", "ALL_PROXY", "all_proxy" };
    for (size_t i = 0; i < AP_COUNT(variables); i++) unsetenv(variables[i]);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("AWS_CONFIG_FILE", "/nonexistent/config", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/credentials", 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(google_is_spoken_to_by_its_names),
        cmocka_unit_test(codes_are_honest),
        cmocka_unit_test(slots_settle_here_too),
        cmocka_unit_test(who_we_are_matters),
        cmocka_unit_test(nobody_there),
        cmocka_unit_test(names_are_what_they_are),
        cmocka_unit_test(lists_end),
        cmocka_unit_test(gone_after_it_took_all),
        cmocka_unit_test(large_files_go_in_parts),
        cmocka_unit_test(growing_files_go_ahead),
        cmocka_unit_test(options_become_headers),
        cmocka_unit_test(a_pinned_object_is_the_same),
        cmocka_unit_test(throttling_slows_down),
        cmocka_unit_test(retry_after_is_honoured),
        cmocka_unit_test(repetitions_have_a_budget),
        cmocka_unit_test(certificates_are_checked),
        cmocka_unit_test(proxies_can_be_switched_off),
        cmocka_unit_test(conditions_are_proved),
        cmocka_unit_test(places),
        cmocka_unit_test(credentials),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
