#include "storage/web.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "storage/cloud.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <unistd.h>

enum {
    URL_MAX = 8192,
    REDIRECTS_MAX = 5,
    FIRST_REDIRECT_LESSON = 8, /* a bit of `lessons` for each: behind those of cloud.h */
    MARK_SIZE = 8,             /* hex digits that tell URLs apart that look alike */
};
#define WHOLE_BYTES_MAX (UINT64_C(1) << 30) /* of a file whose server gives no ranges */

/* A URL in its parts; views. */
struct parts {
    struct ap_str scheme, user, host; /* host: with its port; user: with the password */
    struct ap_str path, query;        /* path: from its '/' on; query: with its '?' */
};

struct web {
    struct ap_cloud cloud;
    struct ap_bytes url;    /* without the user */
    struct ap_bytes basic;  /* "Basic …" of the user, or empty */
    struct ap_bytes origin; /* that may see it */
    struct ap_bytes key;
    struct ap_lock *lock; /* guards what follows */
    struct ap_bytes target; /* where redirects have led, else `url` */
    int spool; /* the whole file; -1: none */
    struct ap_object spooled;
    char token[AP_ETAG_MAX]; /* stands for the ETag of a server that tells none */
};

static struct web *web_of(struct ap_cloud *cloud)
{
    return (struct web *)(void *)cloud;
}

/* ---- URLs ---- */

bool ap_web_is(struct ap_str uri)
{
    size_t at = ap_str_find(uri, AP_STR("://"));
    if (at == SIZE_MAX) return false;
    struct ap_str scheme = { uri.data, at };
    return ap_str_equal_nocase(scheme, AP_STR("http")) ||
           ap_str_equal_nocase(scheme, AP_STR("https"));
}

static struct ap_str until_any(struct ap_str text, const char *ends)
{
    size_t size = 0;
    while (size < text.size && !strchr(ends, text.data[size])) size++;
    return (struct ap_str) { text.data, size };
}

static struct ap_str behind(struct ap_str text, size_t skip)
{
    return (struct ap_str) { text.data + skip, text.size - skip };
}

static struct parts parts_of(struct ap_str url)
{
    struct parts parts = { 0 };
    size_t scheme = ap_str_find(url, AP_STR("://"));
    parts.scheme = (struct ap_str) { url.data, scheme };
    struct ap_str rest = until_any(behind(url, scheme + 3), "#");
    struct ap_str authority = until_any(rest, "/?");
    rest = behind(rest, authority.size);
    parts.host = authority;
    for (size_t i = authority.size; i > 0; i--) {
        if (authority.data[i - 1] != '@') continue;
        parts.user = (struct ap_str) { authority.data, i - 1 };
        parts.host = behind(authority, i);
        break;
    }
    parts.path = until_any(rest, "?");
    parts.query = behind(rest, parts.path.size);
    return parts;
}

/* Where the last folder of a path's first bytes ends, with its slash. */
static size_t folder_end(struct ap_str path, size_t size)
{
    while (size > 0 && path.data[size - 1] != '/') size--;
    return size;
}

enum apiary_code ap_web_shown(struct ap_str url, struct ap_bytes *out, struct apiary_error *err)
{
    struct parts parts = parts_of(url);
    return ap_bytes_printf(out, err, AP_FMT "://" AP_FMT AP_FMT, AP_ARG(parts.scheme),
        AP_ARG(parts.host), AP_ARG(parts.path));
}

void ap_web_redact(char *text)
{
    for (char *at = text; (at = strstr(at, "://"));) {
        bool web = (at - text >= 4 && strncasecmp(at - 4, "http", 4) == 0) ||
                   (at - text >= 5 && strncasecmp(at - 5, "https", 5) == 0);
        at += 3;
        if (!web) continue;
        /* It ends where a text of SQL or of a message would. */
        size_t size = strcspn(at, " \t\r\n'\"<>|");
        size_t authority = strcspn(at, "/?# \t\r\n'\"<>|");
        for (size_t i = authority; i > 0; i--) {
            if (at[i - 1] != '@') continue;
            memmove(at, at + i, strlen(at + i) + 1);
            size -= i;
            break;
        }
        size_t query = strcspn(at, "?");
        if (query < size) memmove(at + query, at + size, strlen(at + size) + 1);
        size_t mark = strcspn(at, "#");
        if (mark < size && strspn(at + mark + 1, "0123456789abcdef") == MARK_SIZE)
            memmove(at + mark, at + mark + 1 + MARK_SIZE, strlen(at + mark + 1 + MARK_SIZE) + 1);
    }
}

/* "host", "host:80", "[::1]:80" */
static bool port_is_good(struct ap_str host)
{
    size_t at = host.size;
    while (at > 0 && host.data[at - 1] >= '0' && host.data[at - 1] <= '9') at--;
    if (at > 0 && host.data[at - 1] == ':') return true;
    return !memchr(host.data, ':', host.size) || host.data[host.size - 1] == ']';
}

static enum apiary_code check_url(struct ap_str url, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) shown = { 0 };
    struct parts parts = parts_of(url);
    if (parts.host.size > 0 && !port_is_good(parts.host)) { /* it is not shown: it may be half a password */
        ap_fail(err, APIARY_INVALID, "a URL has a port that is no number");
        return ap_hint(err, "in a user or password, / is written as %%2F, ? as %%3F, # as %%23");
    }
    AP_TRY(ap_web_shown(url, &shown, err));
    if (url.size > URL_MAX)
        return ap_fail(err, APIARY_LIMIT, "a URL may have at most %d bytes", (int)URL_MAX);
    for (size_t i = 0; i < url.size; i++)
        if ((unsigned char)url.data[i] <= ' ' || url.data[i] == 0x7f)
            return ap_fail(err, APIARY_INVALID,
                "a URL holds a blank or a control character: write it as %%20");
    if (parts.host.size == 0)
        return ap_fail(err, APIARY_INVALID, "%s names no server", ap_bytes_text(&shown));
    if (parts.path.size < 2 || parts.path.data[parts.path.size - 1] == '/')
        return ap_fail(err, APIARY_INVALID, "%s names no file", ap_bytes_text(&shown));
    return APIARY_OK;
}

enum apiary_code ap_web_name(
    struct ap_str url, struct ap_bytes *uri, struct ap_bytes *key, struct apiary_error *err)
{
    AP_TRY(check_url(url, err));
    struct parts parts = parts_of(url);
    size_t slash = folder_end(parts.path, parts.path.size);
    AP_TRY(ap_bytes_printf(uri, err, AP_FMT "://" AP_FMT AP_FMT, AP_ARG(parts.scheme),
        AP_ARG(parts.host), (int)slash - 1, parts.path.data));
    if (parts.user.size || parts.query.size) {
        uint8_t sum[AP_SHA256_SIZE];
        char mark[2 * AP_SHA256_SIZE + 1];
        ap_sha256(url.data, url.size, sum);
        ap_hex(sum, sizeof sum, mark);
        AP_TRY(ap_bytes_printf(uri, err, "#%.*s", (int)MARK_SIZE, mark));
    }
    AP_TRY(ap_bytes_add_str(key, behind(parts.path, slash), err));
    return ap_store_key_check(ap_bytes_text(key), err);
}

/* Where an answer's Location leads from `base`. */
static enum apiary_code follow(
    struct ap_str base, struct ap_str location, struct ap_bytes *out, struct apiary_error *err)
{
    struct parts parts = parts_of(base);
    location = until_any(location, "#");
    if (ap_web_is(location)) return ap_bytes_add_str(out, location, err);
    AP_TRY(ap_bytes_printf(out, err, AP_FMT ":", AP_ARG(parts.scheme)));
    if (ap_str_starts_with(location, AP_STR("//"))) return ap_bytes_add_str(out, location, err);
    AP_TRY(ap_bytes_printf(out, err, "//" AP_FMT, AP_ARG(parts.host)));
    if (ap_str_starts_with(location, AP_STR("/"))) return ap_bytes_add_str(out, location, err);
    size_t slash = folder_end(parts.path, parts.path.size);
    if (ap_str_starts_with(location, AP_STR("?"))) slash = parts.path.size; /* the same file, asked for otherwise */
    for (;;) {
        if (ap_str_starts_with(location, AP_STR("./"))) {
            location = behind(location, 2);
        } else if (ap_str_starts_with(location, AP_STR("../"))) {
            location = behind(location, 3);
            slash = slash > 1 ? folder_end(parts.path, slash - 1) : slash;
        } else
            break;
    }
    AP_TRY(ap_bytes_add(out, parts.path.data, slash, err));
    return ap_bytes_add_str(out, location, err);
}

static bool same_origin(struct ap_str url, struct ap_str origin)
{
    struct parts parts = parts_of(url);
    size_t size = parts.scheme.size + 3 + parts.host.size;
    return parts.user.size == 0 &&
           ap_str_equal_nocase((struct ap_str) { url.data, size }, origin);
}

/* ---- the provider ---- */

static enum apiary_code web_sign(struct ap_cloud *cloud, struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    struct web *web = web_of(cloud);
    char range[64];
    ap_lock(cloud->store.env, web->lock);
    enum apiary_code code = ap_bytes_add_str(url, ap_bytes_view(&web->target), err);
    ap_unlock(cloud->store.env, web->lock);
    AP_TRY(code);
    call->http.method = "GET";
    if (web->basic.size && same_origin(ap_bytes_view(url), ap_bytes_view(&web->origin)))
        AP_TRY(ap_cloud_header(call, "Authorization", ap_bytes_text(&web->basic), err));
    AP_TRY(ap_cloud_header(call, "User-Agent", "apiary/" AP_VERSION, err));
    if (!ap_cloud_range_text(call, range)) return APIARY_OK;
    return ap_cloud_header(call, "Range", range, err);
}

/* Pages for people are no messages. */
static void web_error(const struct ap_cloud_call *call, struct ap_cloud_error *out)
{
    (void)call, (void)out;
}

static bool is_redirect(int status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

/* The next lesson of redirects that the call has not had yet; 0: it had all. */
static unsigned next_redirect(const struct ap_cloud_call *call)
{
    for (int i = 0; i < REDIRECTS_MAX; i++)
        if (!(call->lessons & 1U << (FIRST_REDIRECT_LESSON + i)))
            return 1U << (FIRST_REDIRECT_LESSON + i);
    return 0;
}

static unsigned web_learn(
    struct ap_cloud *cloud, const struct ap_cloud_call *call, const struct ap_cloud_error *error)
{
    struct web *web = web_of(cloud);
    AP_AUTO(ap_bytes) to = { 0 };
    (void)error;
    struct ap_str location = ap_http_header(&call->http, "location");
    unsigned lesson = next_redirect(call);
    if (!is_redirect(call->http.status) || location.size == 0 || !lesson) return 0;
    struct ap_str from = ap_str_from(call->http.url);
    if (follow(from, location, &to, NULL) != APIARY_OK) return 0;
    if (check_url(ap_bytes_view(&to), NULL) != APIARY_OK) return 0;
    struct ap_str now = parts_of(ap_bytes_view(&to)).scheme;
    bool was_safe = ap_str_equal_nocase(parts_of(from).scheme, AP_STR("https"));
    if (was_safe && !ap_str_equal_nocase(now, AP_STR("https"))) return 0;
    ap_lock(cloud->store.env, web->lock);
    ap_bytes_done(&web->target);
    web->target = AP_TAKE(to);
    ap_unlock(cloud->store.env, web->lock);
    return lesson;
}

static void web_describe(const struct ap_cloud_call *call, struct ap_object *out)
{
    struct ap_str etag = ap_http_header(&call->http, "etag");
    struct ap_str modified = ap_http_header(&call->http, "last-modified");
    (void)ap_http_date_parse(modified, &out->modified_us);
    if (etag.size == 0) etag = modified;
    ap_cloud_text(out->etag, sizeof out->etag, etag);
}

static enum apiary_code web_identity(
    struct ap_cloud *cloud, struct ap_store_identity *out, struct apiary_error *err)
{
    snprintf(out->source, sizeof out->source, "%s",
        web_of(cloud)->basic.size ? "the URL" : "none needed");
    return APIARY_OK;
}

static void web_close(struct ap_cloud *cloud)
{
    struct web *web = web_of(cloud);
    if (web->spool >= 0) close(web->spool);
    ap_bytes_done(&web->url);
    ap_bytes_done(&web->basic);
    ap_bytes_done(&web->origin);
    ap_bytes_done(&web->key);
    ap_bytes_done(&web->target);
    if (web->lock) ap_lock_free(cloud->store.env, web->lock);
}

static const struct ap_cloud_provider provider = {
    .identity = web_identity,
    .has_suffix = true,
    .sign = web_sign,
    .error = web_error,
    .learn = web_learn,
    .describe = web_describe,
    .close = web_close,
};

/* ---- the question ---- */

static int spool_file(struct ap_str body)
{
    const char *folder = getenv("TMPDIR");
    int fd = open(folder && *folder ? folder : "/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    for (size_t at = 0; fd >= 0 && at < body.size;) {
        ssize_t done = write(fd, body.data + at, body.size - at);
        if (done < 0 && errno == EINTR) continue;
        if (done <= 0) {
            int error = errno;
            close(fd);
            errno = error;
            return -1;
        }
        at += (size_t)done;
    }
    return fd;
}

/* A server that tells neither ETag nor time may have another file each time it is asked. */
static void make_token(struct web *web)
{
    uint8_t random[16];
    char hex[2 * sizeof random + 1];
    ap_random(web->cloud.store.env, random, sizeof random);
    ap_hex(random, sizeof random, hex);
    snprintf(web->token, sizeof web->token, "asked-%s", hex);
}

/* Takes in what the question gave: a part of the file, all of it, or that it is empty. */
static enum apiary_code take_answer(
    struct web *web, const struct ap_cloud_call *call, struct ap_object *out, struct apiary_error *err)
{
    struct ap_store *store = &web->cloud.store;
    struct ap_str body = ap_bytes_view(&call->http.answer);
    struct ap_object object = { 0 };
    uint64_t first = 0;
    bool part = call->http.status == 206 || call->http.status == 416;
    int spool = -1;
    web_describe(call, &object);
    object.size = body.size;
    if (part && !ap_cloud_content_range(call, &first, &object.size))
        return ap_fail(err, APIARY_CORRUPT, "%s/%s: a part without its place", store->uri,
            ap_bytes_text(&web->key));
    if (!part) spool = spool_file(body);
    if (!part && spool < 0)
        return ap_fail_errno(err, errno, "cannot keep %s/%s", store->uri, ap_bytes_text(&web->key));
    ap_lock(store->env, web->lock);
    make_token(web);
    if (!object.etag[0]) memcpy(object.etag, web->token, sizeof object.etag);
    if (web->spool >= 0) close(web->spool);
    web->spool = spool;
    web->spooled = object;
    ap_unlock(store->env, web->lock);
    *out = object;
    return APIARY_OK;
}

static enum apiary_code question(struct web *web, struct ap_object *out, struct apiary_error *err)
{
    struct ap_cloud *cloud = &web->cloud;
    struct ap_cloud_call call = { .kind = AP_CLOUD_GET,
        .key = ap_bytes_text(&web->key),
        .ranged = true,
        .range = { 0, 1, false },
        .answer_max = WHOLE_BYTES_MAX };
    /* Where a redirect has led may hold for minutes only. */
    ap_lock(cloud->store.env, web->lock);
    ap_bytes_clear(&web->target);
    enum apiary_code code = ap_bytes_add_str(&web->target, ap_bytes_view(&web->url), err);
    ap_unlock(cloud->store.env, web->lock);
    AP_TRY(code);
    ap_cloud_run(cloud, &call, 1);
    bool empty = call.prepared == APIARY_OK && call.http.outcome == AP_HTTP_ANSWERED &&
                 call.http.status == 416;
    if (ap_cloud_good(cloud, &call) || empty)
        code = take_answer(web, &call, out, err);
    else
        code = ap_cloud_fail(cloud, &call, "read", err);
    if (code == APIARY_LIMIT)
        ap_hint(err, "its server gives no parts of it, so all of it must be fetched at once");
    else if (code == APIARY_DENIED)
        ap_hint(err, "a user and password can stand in the URL: https://user:password@server/…");
    else if (code != APIARY_OK && is_redirect(call.http.status))
        ap_hint(err, "redirects are followed %d times, and never from https to http",
            (int)REDIRECTS_MAX);
    ap_cloud_call_done(&call);
    return code;
}

/* ---- reading ---- */

static bool asks_size(const struct ap_get *get)
{
    return get->range.length == 0;
}

static enum apiary_code changed(struct web *web, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CONFLICT, "%s/%s is another file by now", web->cloud.store.uri,
        ap_bytes_text(&web->key));
}

/* From the file that holds all of it. */
static enum apiary_code give_kept_locked(struct web *web, struct ap_get *get)
{
    uint64_t offset, length;
    get->object = web->spooled;
    if (get->if_etag && strcmp(get->if_etag, web->spooled.etag) != 0)
        return changed(web, &get->error);
    ap_range_resolve(get->range, web->spooled.size, &offset, &length);
    if (get->size_max && length > get->size_max)
        return ap_fail(&get->error, APIARY_LIMIT, "%s/%s is larger than the limit",
            web->cloud.store.uri, ap_bytes_text(&web->key));
    AP_TRY(ap_bytes_reserve(&get->body, length + 1, &get->error));
    if (length && pread(web->spool, get->body.data, length, (off_t)offset) != (ssize_t)length)
        return ap_fail(&get->error, APIARY_IO, "cannot read what was fetched of %s",
            web->cloud.store.uri);
    get->body.size = length;
    return APIARY_OK;
}

/* What needs no range of the server: false. *token: stands for the ETag of a server that tells none. */
static bool goes_out(struct web *web, struct ap_get *get, char token[AP_ETAG_MAX])
{
    struct ap_env *env = web->cloud.store.env;
    if (strcmp(get->key, ap_bytes_text(&web->key)) != 0) {
        get->code = ap_fail(&get->error, APIARY_NOT_FOUND, "there is no %s here", get->key);
        return false;
    }
    ap_lock(env, web->lock);
    bool ask = asks_size(get) || web->token[0] == 0;
    ap_unlock(env, web->lock);
    if (ask) {
        get->code = question(web, &get->object, &get->error);
        if (get->code != APIARY_OK || asks_size(get)) return false;
    }
    ap_lock(env, web->lock);
    bool whole = web->spool >= 0;
    if (whole) get->code = give_kept_locked(web, get);
    memcpy(token, web->token, AP_ETAG_MAX);
    ap_unlock(env, web->lock);
    return !whole;
}

enum { TOGETHER_MAX = 16 };

/* Ranges, side by side. A server without marks of its own is asked without one; the question's stands for it. */
static void get_ranges(struct web *web, struct ap_get *gets, size_t count, const char *token)
{
    const char *wanted[TOGETHER_MAX];
    for (size_t i = 0; i < count; i++) {
        wanted[i] = gets[i].if_etag;
        gets[i].if_etag = NULL;
    }
    ap_cloud_get_many(&web->cloud.store, gets, count);
    for (size_t i = 0; i < count; i++) {
        struct ap_get *get = &gets[i];
        get->if_etag = wanted[i];
        if (get->code != APIARY_OK) continue;
        if (!get->object.etag[0]) memcpy(get->object.etag, token, AP_ETAG_MAX);
        if (wanted[i] && strcmp(wanted[i], get->object.etag) != 0) get->code = changed(web, &get->error);
    }
}

static void web_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct web *web = web_of(ap_cloud_of(store));
    char token[AP_ETAG_MAX] = "";
    size_t first = 0; /* of those that wait to go out together */
    for (size_t i = 0; i < count; i++) {
        bool out = goes_out(web, &gets[i], token);
        size_t end = out ? i + 1 : i;
        if (end > first && (!out || end == count || end - first == TOGETHER_MAX)) {
            get_ranges(web, gets + first, end - first, token);
            first = end;
        }
        if (!out) first = i + 1;
    }
}

/* ---- what it cannot do ---- */

static enum apiary_code refuse(const struct ap_store *store, const char *what, struct apiary_error *err)
{
    return ap_fail(err, APIARY_UNSUPPORTED, "%s: files of a web server %s", store->uri, what);
}

static enum apiary_code web_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return refuse(store, "can only be read", err);
}

static enum apiary_code web_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    return refuse(store, "cannot be listed", err);
}

static enum apiary_code web_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    return refuse(store, "can only be read", err);
}

static enum apiary_code web_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    return refuse(store, "can only be read", err);
}

static enum apiary_code web_identify(
    struct ap_store *store, struct ap_store_identity *out, struct apiary_error *err)
{
    return web_identity(ap_cloud_of(store), out, err);
}

static const struct ap_store_ops web_ops = {
    .put = web_put,
    .put_if_absent = web_put,
    .get_many = web_get_many,
    .list = web_list,
    .delete_many = web_delete_many,
    .stage = web_stage,
    .identity = web_identify,
    .close = ap_cloud_close,
};

/* ---- opening ---- */

static enum apiary_code set_user(struct web *web, struct ap_str user, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) plain = { 0 };
    if (user.size == 0) return APIARY_OK;
    if (ap_percent_decode(&plain, user, NULL) != APIARY_OK)
        return ap_fail(err, APIARY_INVALID, "the user in a URL has a bad %% escape");
    AP_TRY(ap_bytes_add_text(&web->basic, "Basic ", err));
    return ap_base64_encode(&web->basic, ap_bytes_view(&plain), err);
}

static enum apiary_code set_up(struct web *web, struct ap_str url, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) uri = { 0 };
    struct parts parts = parts_of(url);
    web->lock = ap_lock_new(web->cloud.store.env);
    if (!web->lock) return ap_fail_memory(err, "a store");
    AP_TRY(ap_web_name(url, &uri, &web->key, err));
    AP_TRY(ap_bytes_printf(
        &web->origin, err, AP_FMT "://" AP_FMT, AP_ARG(parts.scheme), AP_ARG(parts.host)));
    AP_TRY(ap_bytes_printf(&web->url, err, AP_FMT AP_FMT AP_FMT,
        AP_ARG(ap_bytes_view(&web->origin)), AP_ARG(parts.path), AP_ARG(parts.query)));
    AP_TRY(ap_bytes_add_str(&web->target, ap_bytes_view(&web->url), err));
    AP_TRY(set_user(web, parts.user, err));
    web->cloud.store.uri = ap_str_dup(ap_bytes_view(&uri));
    return web->cloud.store.uri ? APIARY_OK : ap_fail_memory(err, "a store");
}

enum apiary_code ap_web_open(
    struct ap_env *env, struct ap_str url, struct ap_store **out, struct apiary_error *err)
{
    AP_TRY(check_url(url, err));
    struct web *web = ap_calloc(1, sizeof *web);
    if (!web) return ap_fail_memory(err, "a store");
    web->spool = -1;
    enum apiary_code code = ap_cloud_init(&web->cloud, env, &provider, err);
    if (code == APIARY_OK) code = set_up(web, url, err);
    if (code != APIARY_OK) {
        ap_store_close(&web->cloud.store);
        return code;
    }
    web->cloud.store.ops = &web_ops;
    *out = &web->cloud.store;
    return APIARY_OK;
}
