/* Google Cloud Storage by its JSON interface. put_if_absent is an upload with ifGenerationMatch=0.
 * An object's etag is its generation here: it is the same in lists and answers, and a condition of
 * reads. Uploads are one request each, of a file of any size; whether all of it arrived is seen by
 * the MD5 sum that is sent along, which the store checks. With keys of HMAC (GOOGLE_HMAC_KEY_ID)
 * the XML interface is spoken instead, by s3.c. */
#include "storage/gcs_private.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/json.h"
#include "core/time.h"
#include "storage/bearer.h"
#include "storage/cloud_uri.h"

#include <stdio.h>
#include <stdlib.h>

enum { OPTION_ANONYMOUS, OPTION_ENDPOINT };
static const char *const options[] = { "anonymous", "endpoint", NULL };
static const char google[] = "https://storage.googleapis.com";

struct gcs {
    struct ap_cloud cloud;
    struct ap_cloud_uri uri;
    struct ap_bytes base; /* without '/' at its end */
    struct ap_bearer bearer;
    bool anonymous;
};

static struct gcs *gcs_of(struct ap_cloud *cloud)
{
    return (struct gcs *)(void *)cloud;
}

/* ---- requests ---- */

static enum apiary_code add_query(
    struct ap_bytes *url, char *mark, const char *name, const char *value, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(url, err, "%c%s=", *mark, name));
    *mark = '&';
    return ap_percent_encode(url, ap_str_from(value), "-._~", err);
}

static enum apiary_code object_url(struct gcs *gcs, const struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(url, err, "%s/storage/v1/b/%s/o", ap_bytes_text(&gcs->base),
        ap_bytes_text(&gcs->uri.bucket)));
    if (!call->key) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(url, "/", err));
    AP_TRY(ap_percent_encode(url, ap_bytes_view(&gcs->cloud.prefix), "-._~", err));
    return ap_percent_encode(url, ap_str_from(call->key), "-._~", err);
}

static enum apiary_code upload_url(struct gcs *gcs, const struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    char mark = '?';
    AP_TRY(ap_bytes_printf(&name, err, "%s%s", ap_bytes_text(&gcs->cloud.prefix), call->key));
    AP_TRY(ap_bytes_printf(url, err, "%s/upload/storage/v1/b/%s/o", ap_bytes_text(&gcs->base),
        ap_bytes_text(&gcs->uri.bucket)));
    AP_TRY(add_query(url, &mark, "uploadType", "media", err));
    AP_TRY(add_query(url, &mark, "name", ap_bytes_text(&name), err));
    return call->absent ? add_query(url, &mark, "ifGenerationMatch", "0", err) : APIARY_OK;
}

static enum apiary_code list_url(struct gcs *gcs, const struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    char mark = '?', number[24];
    AP_TRY(object_url(gcs, call, url, err));
    AP_TRY(add_query(
        url, &mark, "fields", "nextPageToken,prefixes,items(name,size,generation,updated)", err));
    AP_TRY(add_query(url, &mark, "prefix", call->list->prefix, err));
    if (call->list->delimited) AP_TRY(add_query(url, &mark, "delimiter", "/", err));
    /* Google's start is inclusive; what is not greater is dropped on our side. */
    if (call->list->start_after)
        AP_TRY(add_query(url, &mark, "startOffset", call->list->start_after, err));
    if (call->page_size) {
        snprintf(number, sizeof number, "%zu", call->page_size + 1);
        AP_TRY(add_query(url, &mark, "maxResults", number, err));
    }
    return *call->token ? add_query(url, &mark, "pageToken", call->token, err) : APIARY_OK;
}

static enum apiary_code read_url(
    struct gcs *gcs, struct ap_cloud_call *call, struct ap_bytes *url, struct apiary_error *err)
{
    char mark = '?', range[64];
    AP_TRY(object_url(gcs, call, url, err));
    if (call->kind == AP_CLOUD_GET) {
        AP_TRY(add_query(url, &mark, "alt", "media", err));
        if (ap_cloud_range_text(call, range)) AP_TRY(ap_cloud_header(call, "Range", range, err));
    }
    return call->if_etag ? add_query(url, &mark, "ifGenerationMatch", call->if_etag, err)
                         : APIARY_OK;
}

static enum apiary_code add_sum(struct ap_cloud_call *call, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sum = { 0 };
    AP_TRY(ap_cloud_md5_text(call, &sum, err));
    AP_TRY(ap_cloud_header(call, "Content-MD5", ap_bytes_text(&sum), err));
    return ap_cloud_header(call, "Content-Type", "application/octet-stream", err);
}

static enum apiary_code authorize(
    struct gcs *gcs, struct ap_cloud_call *call, struct apiary_error *err)
{
    struct ap_bytes token = { 0 };
    if (gcs->anonymous) return APIARY_OK;
    enum apiary_code code = ap_bearer_now(&gcs->bearer, &token, NULL, NULL, err);
    if (code == APIARY_OK)
        code = ap_texts_printf(
            &call->http.headers, err, "Authorization: Bearer %s", ap_bytes_text(&token));
    ap_wipe(&token);
    return code;
}

static enum apiary_code gcs_sign(struct ap_cloud *cloud, struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    struct gcs *gcs = gcs_of(cloud);
    AP_TRY(authorize(gcs, call, err));
    switch (call->kind) {
        case AP_CLOUD_PUT:
            call->http.method = "POST";
            AP_TRY(add_sum(call, err));
            return upload_url(gcs, call, url, err);
        case AP_CLOUD_LIST: call->http.method = "GET"; return list_url(gcs, call, url, err);
        case AP_CLOUD_DELETE: call->http.method = "DELETE"; return object_url(gcs, call, url, err);
        case AP_CLOUD_GET:
        case AP_CLOUD_HEAD: call->http.method = "GET"; return read_url(gcs, call, url, err);
        default: return ap_fail(err, APIARY_INTERNAL, "gs:// has no such request");
    }
}

/* ---- answers ---- */

static void gcs_error(const struct ap_cloud_call *call, struct ap_cloud_error *out)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_str text, body = ap_bytes_view(&call->http.answer);
    if (call->http.status / 100 == 2) return;
    if (ap_json_parse(body, "an error", &doc, NULL) != APIARY_OK) {
        if (!ap_str_starts_with(body, AP_STR("<")))
            ap_cloud_text(out->message, sizeof out->message, ap_str_trim(body));
        return;
    }
    yyjson_val *error = ap_json_member(yyjson_doc_get_root(doc), "error");
    yyjson_val *first = yyjson_arr_get_first(ap_json_member(error, "errors"));
    if (ap_json_str(error, "message", &text))
        ap_cloud_text(out->message, sizeof out->message, text);
    if (ap_json_str(first, "reason", &text)) ap_cloud_text(out->code, sizeof out->code, text);
    if (call->http.status == 404 && strstr(out->message, "bucket"))
        ap_cloud_text(out->code, sizeof out->code, AP_STR("NoSuchBucket"));
}

static unsigned gcs_learn(
    struct ap_cloud *cloud, const struct ap_cloud_call *call, const struct ap_cloud_error *error)
{
    struct gcs *gcs = gcs_of(cloud);
    (void)error;
    if (call->http.status != 401 || gcs->anonymous) return 0;
    return ap_bearer_renew(&gcs->bearer) ? AP_LESSON_CREDENTIALS : 0;
}

static void describe_json(const struct ap_cloud_call *call, struct ap_object *out);

/* Contents tell of themselves in headers, everything else in a JSON resource. */
static void gcs_describe(const struct ap_cloud_call *call, struct ap_object *out)
{
    struct ap_str generation = ap_http_header(&call->http, "x-goog-generation"),
                  modified = ap_http_header(&call->http, "last-modified");
    if (call->kind != AP_CLOUD_GET) {
        describe_json(call, out);
        return;
    }
    if (generation.size < sizeof out->etag) ap_cloud_text(out->etag, sizeof out->etag, generation);
    (void)ap_http_date_parse(modified, &out->modified_us);
}

static bool resource(yyjson_val *item, struct ap_object *out)
{
    struct ap_str size, generation, updated;
    bool had_zone, inexact;
    if (!ap_json_str(item, "size", &size) || !ap_str_to_u64(size, &out->size) ||
        !ap_json_str(item, "generation", &generation) || generation.size >= sizeof out->etag)
        return false;
    ap_cloud_text(out->etag, sizeof out->etag, generation);
    return !ap_json_str(item, "updated", &updated) ||
           ap_timestamp_parse(updated, &out->modified_us, &had_zone, &inexact);
}

static void describe_json(const struct ap_cloud_call *call, struct ap_object *out)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_object found = *out;
    if (ap_json_parse(ap_bytes_view(&call->http.answer), "an object", &doc, NULL) == APIARY_OK &&
        resource(yyjson_doc_get_root(doc), &found))
        *out = found;
}

static enum apiary_code fail_list(struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "the store's list is not what was asked for");
}

enum apiary_code ap_gcs_page_parse(
    struct ap_str answer, struct ap_cloud_page *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_AUTO(ap_cloud_page) page = { 0 };
    struct ap_str text;
    size_t i, most;
    yyjson_val *one;
    AP_TRY(ap_json_parse(answer, "the store's list", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc), *items = ap_json_member(root, "items"),
               *prefixes = ap_json_member(root, "prefixes");
    if (!yyjson_is_obj(root)) return fail_list(err);
    if (yyjson_arr_size(items) + yyjson_arr_size(prefixes) > AP_CLOUD_PAGE_MAX)
        return ap_fail(err, APIARY_LIMIT, "a page of the store's list has more than %d entries",
            AP_CLOUD_PAGE_MAX);
    yyjson_arr_foreach(items, i, most, one)
    {
        struct ap_object object = { 0 };
        AP_AUTO(ap_bytes) key = { 0 };
        if (!ap_json_str(one, "name", &text) || text.size == 0 || memchr(text.data, 0, text.size) ||
            !resource(one, &object))
            return fail_list(err);
        AP_TRY(ap_bytes_add_str(&key, text, err));
        AP_TRY(ap_list_add(&page.list, ap_bytes_text(&key), &object, err));
    }
    yyjson_arr_foreach(prefixes, i, most, one)
    {
        if (!yyjson_is_str(one)) return fail_list(err);
        text = (struct ap_str) { yyjson_get_str(one), yyjson_get_len(one) };
        AP_TRY(ap_texts_add(&page.list.prefixes, text, err));
    }
    if (ap_json_str(root, "nextPageToken", &text)) AP_TRY(ap_bytes_add_str(&page.next, text, err));
    *out = AP_TAKE(page);
    return APIARY_OK;
}

/* ---- life ---- */

static void gcs_close(struct ap_cloud *cloud)
{
    struct gcs *gcs = gcs_of(cloud);
    ap_cloud_uri_done(&gcs->uri);
    ap_bytes_done(&gcs->base);
    ap_bearer_done(&gcs->bearer);
}

static enum apiary_code gcs_identity(
    struct ap_cloud *cloud, struct ap_store_identity *out, struct apiary_error *err)
{
    struct gcs *gcs = gcs_of(cloud);
    struct ap_bytes token = { 0 };
    ap_cloud_text(out->source, sizeof out->source, AP_STR("anonymous"));
    if (gcs->anonymous) return APIARY_OK;
    enum apiary_code code = ap_bearer_now(&gcs->bearer, &token, out->source, &out->expires_us, err);
    ap_wipe(&token);
    return code;
}

static const struct ap_cloud_provider provider = {
    .identity = gcs_identity,
    .has_suffix = true,
    .sign = gcs_sign,
    .error = gcs_error,
    .learn = gcs_learn,
    .describe = gcs_describe,
    .page = ap_gcs_page_parse,
    .close = gcs_close,
};

static enum apiary_code choose_base(struct gcs *gcs, struct apiary_error *err)
{
    const struct ap_bytes *named = &gcs->uri.values[OPTION_ENDPOINT];
    const char *emulator = getenv("STORAGE_EMULATOR_HOST");
    if (named->size)
        AP_TRY(ap_bytes_add_str(&gcs->base, ap_bytes_view(named), err));
    else if (emulator && *emulator)
        AP_TRY(ap_bytes_printf(
            &gcs->base, err, "%s%s", strstr(emulator, "://") ? "" : "http://", emulator));
    else
        AP_TRY(ap_bytes_add_text(&gcs->base, google, err));
    while (gcs->base.size && gcs->base.data[gcs->base.size - 1] == '/')
        gcs->base.data[--gcs->base.size] = 0;
    struct ap_str base = ap_bytes_view(&gcs->base);
    if (!ap_cloud_endpoint_is_good(base))
        return ap_fail(err, APIARY_INVALID, "storage gs://: the endpoint is no address");
    AP_TRY(
        ap_cloud_uri_flag("anonymous", &gcs->uri.values[OPTION_ANONYMOUS], &gcs->anonymous, err));
    /* An emulator on this machine knows nobody. A token over plain http would be anybody's. */
    bool plain = ap_str_starts_with(base, AP_STR("http://"));
    if (plain && ap_cloud_endpoint_is_here(base)) gcs->anonymous = true;
    if (!plain || gcs->anonymous) return APIARY_OK;
    ap_fail(
        err, APIARY_INVALID, "storage gs://: a token is not sent over http:// to another machine");
    return ap_hint(err, "use https://, or add anonymous=true");
}

enum apiary_code ap_gcs_canonical(const char *uri, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_cloud_uri) parsed = { 0 };
    AP_TRY(ap_cloud_uri_parse(&parsed, "gs", uri, options, err));
    *out = AP_TAKE(parsed.uri);
    return APIARY_OK;
}

static enum apiary_code open_xml(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err)
{
    AP_AUTO(ap_cloud_uri) parsed = { 0 };
    AP_AUTO(ap_bytes) s3 = { 0 };
    AP_TRY(ap_cloud_uri_parse(&parsed, "gs", uri, options, err));
    AP_TRY(ap_bytes_printf(&s3, err, "s3://%s/%s?endpoint=%s&region=auto",
        ap_bytes_text(&parsed.bucket), ap_bytes_text(&parsed.prefix), google));
    return ap_s3_open(env, ap_bytes_text(&s3), out, err);
}

enum apiary_code ap_gcs_open(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err)
{
    const char *key = getenv("GOOGLE_HMAC_KEY_ID"), *secret = getenv("GOOGLE_HMAC_SECRET");
    if (key && *key && secret && *secret && !strstr(uri, "endpoint="))
        return open_xml(env, uri, out, err);
    struct gcs *gcs = ap_calloc(1, sizeof *gcs);
    if (!gcs) return ap_fail_memory(err, "a store");
    enum apiary_code code = ap_cloud_init(&gcs->cloud, env, &provider, err);
    if (code == APIARY_OK) code = ap_cloud_uri_parse(&gcs->uri, "gs", uri, options, err);
    if (code == APIARY_OK)
        code = ap_bytes_add_str(&gcs->cloud.prefix, ap_bytes_view(&gcs->uri.prefix), err);
    if (code == APIARY_OK) code = choose_base(gcs, err);
    if (code == APIARY_OK)
        code = ap_bearer_init(&gcs->bearer, env, gcs->cloud.http, ap_google_find, err);
    if (code != APIARY_OK) {
        ap_cloud_close(&gcs->cloud.store);
        return code;
    }
    *out = &gcs->cloud.store;
    return APIARY_OK;
}
