/* The S3 backend: AWS S3 and what speaks its language, Google's XML interface among it. A PUT with
 * If-None-Match: * (Google: x-goog-if-generation-match: 0) is put_if_absent. What all buckets have
 * in common is in cloud.h; here is how a request is written and what is S3's own in an answer.
 *
 * Lessons. RequestTimeTooSkewed: the answer's Date gives the offset of our clock, which is used for
 * signing and nothing else. A bucket of another region: signed anew for that one; redirects are
 * never followed by libcurl, since the signature covers the host and must not leave for another. An
 * expired token: credentials are found again.
 *
 * Two invariants of keys hold by care of the callers only: that no key is a path of another one is
 * not checked here (a bucket would hold both). */
#include "storage/s3_private.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "storage/xml.h"

#include <stdio.h>

enum { DELETE_MANY_MAX = 1000, HEADERS_MAX = 16, QUERY_MAX = 10 };

/* ---- signing ---- */

/* Names and values of one request; the texts live as long as it is being written. */
struct draft {
    struct ap_sigv4_pair query[QUERY_MAX], headers[HEADERS_MAX];
    size_t query_count, header_count;
    char number[24], range[64];
};

static void add_query(struct draft *draft, const char *name, const char *value)
{
    ap_assert(draft->query_count < QUERY_MAX);
    draft->query[draft->query_count++] = (struct ap_sigv4_pair) { name, value };
}

static void add_header(struct draft *draft, const char *name, const char *value)
{
    ap_assert(draft->header_count < HEADERS_MAX);
    draft->headers[draft->header_count++] = (struct ap_sigv4_pair) { name, value };
}

static void draft_list(struct draft *draft, const struct ap_cloud_call *call)
{
    add_query(draft, "list-type", "2");
    add_query(draft, "encoding-type", "url");
    add_query(draft, "prefix", call->list->prefix);
    if (call->list->delimited) add_query(draft, "delimiter", "/");
    if (call->page_size) {
        snprintf(draft->number, sizeof draft->number, "%zu", call->page_size);
        add_query(draft, "max-keys", draft->number);
    }
    if (*call->token)
        add_query(draft, "continuation-token", call->token);
    else if (call->list->start_after)
        add_query(draft, "start-after", call->list->start_after);
}

static void draft_encryption(const struct ap_s3 *s3, struct draft *draft)
{
    if (!s3->place.sse.size) return;
    add_header(draft, "x-amz-server-side-encryption", ap_bytes_text(&s3->place.sse));
    if (s3->place.sse_key.size)
        add_header(draft, "x-amz-server-side-encryption-aws-kms-key-id",
            ap_bytes_text(&s3->place.sse_key));
}

static const char *draft_call(
    const struct ap_s3 *s3, struct draft *draft, const struct ap_cloud_call *call)
{
    bool absent = call->absent && !s3->cloud.store.one_writer; /* else it was looked for */
    if (absent && s3->place.is_google)
        add_header(draft, "x-goog-if-generation-match", "0");
    else if (absent)
        add_header(draft, "if-none-match", "*");
    if (call->if_etag) add_header(draft, "if-match", call->if_etag);
    if (s3->place.requester_pays) add_header(draft, "x-amz-request-payer", "requester");
    switch (call->kind) {
        case AP_CLOUD_PUT: draft_encryption(s3, draft); return "PUT";
        case AP_CLOUD_GET:
            if (ap_cloud_range_text(call, draft->range)) add_header(draft, "range", draft->range);
            return "GET";
        case AP_CLOUD_HEAD: return "HEAD";
        case AP_CLOUD_LIST: draft_list(draft, call); return "GET";
        case AP_CLOUD_DELETE: return "DELETE";
        case AP_CLOUD_DELETE_MANY:
            add_query(draft, "delete", "");
            add_header(draft, "content-md5", call->md5);
            add_header(draft, "content-type", "application/xml");
            return "POST";
        case AP_CLOUD_BEGIN:
            add_query(draft, "uploads", "");
            draft_encryption(s3, draft);
            return "POST";
        case AP_CLOUD_PART:
            snprintf(draft->number, sizeof draft->number, "%u", call->part);
            add_query(draft, "partNumber", draft->number);
            add_query(draft, "uploadId", call->upload);
            return "PUT";
        case AP_CLOUD_COMPLETE:
            add_query(draft, "uploadId", call->upload);
            add_header(draft, "content-type", "application/xml");
            return "POST";
        case AP_CLOUD_ABORT: add_query(draft, "uploadId", call->upload); return "DELETE";
    }
    return "GET";
}

/* The region in force and its host. */
static enum apiary_code where(struct ap_s3 *s3, struct ap_bytes *region, struct ap_bytes *base,
    struct ap_bytes *host, struct apiary_error *err)
{
    struct ap_env *env = s3->cloud.store.env;
    ap_lock(env, s3->lock);
    const struct ap_bytes *now = s3->moved.size ? &s3->moved : &s3->place.region;
    enum apiary_code code = ap_bytes_add_str(region, ap_bytes_view(now), err);
    ap_unlock(env, s3->lock);
    AP_TRY(code);
    return ap_s3_place_host(&s3->place, ap_bytes_view(region), base, host, err);
}

static enum apiary_code sign_as(struct ap_s3 *s3, const struct ap_credentials *who,
    struct ap_cloud_call *call, struct ap_bytes *url, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) path = { 0 }, query = { 0 }, authorization = { 0 }, region = { 0 },
                      base = { 0 }, host = { 0 };
    unsigned char sum[AP_CLOUD_SUM_MAX];
    char time[AP_SIGV4_TIME_SIZE], hash[AP_SIGV4_HASH_SIZE];
    struct draft draft = { 0 };
    const struct ap_s3_place *place = &s3->place;
    AP_TRY(where(s3, &region, &base, &host, err));

    AP_TRY(ap_bytes_add_str(&path, ap_bytes_view(&place->root), err));
    if (call->key) {
        AP_TRY(ap_sigv4_path(&path, ap_bytes_view(&s3->cloud.prefix), err));
        AP_TRY(ap_sigv4_path(&path, ap_str_from(call->key), err));
    } else if (path.size > 1) {
        path.data[--path.size] = 0; /* the bucket: "/bucket" */
    }
    call->http.method = draft_call(s3, &draft, call);
    AP_TRY(ap_sigv4_query(&query, draft.query, draft.query_count, err));
    ap_sigv4_time(ap_now_us(s3->cloud.store.env) + s3->cloud.clock_offset_us, time);
    AP_TRY(ap_cloud_digest(call, AP_CLOUD_SHA256, sum, err));
    ap_hex(sum, AP_SHA256_SIZE, hash);

    add_header(&draft, "host", ap_bytes_text(&host));
    /* Google knows the names of both, but not of both in one request. */
    bool google = place->is_google;
    add_header(&draft, google ? "x-goog-date" : "x-amz-date", time);
    add_header(&draft, google ? "x-goog-content-sha256" : "x-amz-content-sha256", hash);
    if (who->token.size && !google) add_header(&draft, "x-amz-security-token", ap_bytes_text(&who->token));
    if (who->access_key.size) {
        struct ap_sigv4_key key = { ap_bytes_text(&who->access_key),
            ap_bytes_text(&who->secret_key), ap_bytes_text(&region), google ? "storage" : "s3", google };
        struct ap_sigv4_request request = { .method = call->http.method,
            .path = ap_bytes_text(&path),
            .query = ap_bytes_text(&query),
            .headers = draft.headers,
            .header_count = draft.header_count,
            .payload_hash = hash,
            .time = time };
        AP_TRY(ap_sigv4_authorize(&authorization, &key, &request, err));
        AP_TRY(ap_cloud_header(call, "Authorization", ap_bytes_text(&authorization), err));
    }
    for (size_t i = 0; i < draft.header_count; i++)
        AP_TRY(ap_cloud_header(call, draft.headers[i].name, draft.headers[i].value, err));
    AP_TRY(ap_bytes_printf(url, err, "%s%s", ap_bytes_text(&base), ap_bytes_text(&path)));
    return query.size ? ap_bytes_printf(url, err, "?%s", ap_bytes_text(&query)) : APIARY_OK;
}

static enum apiary_code s3_sign(struct ap_cloud *cloud, struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    struct ap_s3 *s3 = ap_s3_of(cloud);
    AP_AUTO(ap_credentials) who = { 0 };
    AP_TRY(ap_aws_identity_now(s3->identity, &who, err));
    return sign_as(s3, &who, call, url, err);
}

/* ---- answers ---- */

static void s3_error(const struct ap_cloud_call *call, struct ap_cloud_error *out)
{
    struct ap_str said = ap_http_header(&call->http, "x-amz-error-code"); /* HEAD has no body */
    if (!ap_s3_error_parse(ap_bytes_view(&call->http.answer), out) && said.size)
        ap_cloud_text(out->code, sizeof out->code, said);
}

static bool says(const struct ap_cloud_error *error, const char *part)
{
    return strstr(error->code, part) != NULL;
}

static enum apiary_code s3_code(
    const struct ap_cloud_call *call, const struct ap_cloud_error *error, enum apiary_code usual)
{
    (void)call;
    if (says(error, "StorageFull") || says(error, "QuotaExceeded")) return APIARY_FULL;
    /* Stores over a file system cannot hold "a" and "a/b". */
    if (call->http.status == 409 && (says(error, "Directory") || says(error, "Parent")))
        return APIARY_INVALID;
    if (says(error, "NotImplemented")) return APIARY_UNSUPPORTED;
    if (says(error, "ExpiredToken") || says(error, "InvalidToken") || says(error, "TokenRefresh"))
        return APIARY_DENIED;
    return usual;
}

static unsigned learn_clock(struct ap_s3 *s3, const struct ap_cloud_call *call)
{
    int64_t theirs;
    if (!ap_http_date_parse(ap_http_header(&call->http, "date"), &theirs)) return 0;
    s3->cloud.clock_offset_us = theirs - ap_now_us(s3->cloud.store.env);
    return AP_LESSON_CLOCK;
}

/* The message of AuthorizationHeaderMalformed is "…; expecting 'eu-west-1'". */
static struct ap_str region_of(const struct ap_cloud_call *call, const struct ap_cloud_error *error)
{
    struct ap_str region = ap_http_header(&call->http, "x-amz-bucket-region"),
                  text = ap_str_from(error->message);
    size_t at = ap_str_find(text, AP_STR("expecting '"));
    if (region.size || at == SIZE_MAX) return region;
    text = (struct ap_str) { text.data + at + 11, text.size - at - 11 };
    size_t end = ap_str_find(text, AP_STR("'"));
    return (struct ap_str) { text.data, end == SIZE_MAX ? 0 : end };
}

/* From now on the bucket is in that region. */
static bool move(struct ap_s3 *s3, struct ap_str region)
{
    struct ap_env *env = s3->cloud.store.env;
    if (!ap_s3_region_is_good(region)) return false;
    ap_lock(env, s3->lock);
    ap_bytes_clear(&s3->moved);
    bool done = ap_bytes_add_str(&s3->moved, region, NULL) == APIARY_OK;
    ap_unlock(env, s3->lock);
    return done;
}

static unsigned s3_learn(
    struct ap_cloud *cloud, const struct ap_cloud_call *call, const struct ap_cloud_error *error)
{
    struct ap_s3 *s3 = ap_s3_of(cloud);
    int status = call->http.status;
    if (says(error, "RequestTimeTooSkewed") || says(error, "RequestExpired"))
        return learn_clock(s3, call);
    if (says(error, "ExpiredToken") || says(error, "TokenRefreshRequired"))
        return ap_aws_identity_renew(s3->identity) ? AP_LESSON_CREDENTIALS : 0;
    if (status == 301 || status == 307 || status == 400) {
        struct ap_str region = region_of(call, error);
        return region.size && move(s3, region) ? AP_LESSON_PLACE : 0;
    }
    return 0;
}

static void s3_describe(const struct ap_cloud_call *call, struct ap_object *out)
{
    struct ap_str etag = ap_http_header(&call->http, "etag");
    if (etag.size < sizeof out->etag) ap_cloud_text(out->etag, sizeof out->etag, etag);
    (void)ap_http_date_parse(ap_http_header(&call->http, "last-modified"), &out->modified_us);
    (void)ap_str_to_u64(ap_http_header(&call->http, "content-length"), &out->size);
}

/* ---- many deletions ---- */

static enum apiary_code delete_document(struct ap_cloud *cloud, const char *const *keys,
    size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(
        out, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>", err));
    for (size_t i = 0; i < count; i++) {
        AP_TRY(ap_bytes_add_text(out, "<Object><Key>", err));
        AP_TRY(ap_xml_escape(out, ap_bytes_view(&cloud->prefix), err));
        AP_TRY(ap_xml_escape(out, ap_str_from(keys[i]), err));
        AP_TRY(ap_bytes_add_text(out, "</Key></Object>", err));
    }
    return ap_bytes_add_text(out, "</Delete>", err);
}

static enum apiary_code s3_delete_many(
    struct ap_cloud *cloud, const char *const *keys, size_t count, struct apiary_error *err)
{
    uint8_t sum[AP_MD5_SIZE];
    AP_AUTO(ap_bytes) document = { 0 }, checksum = { 0 };
    AP_TRY(delete_document(cloud, keys, count, &document, err));
    ap_md5(document.data, document.size, sum);
    AP_TRY(ap_base64_encode(&checksum, (struct ap_str) { (const char *)sum, sizeof sum }, err));
    struct ap_cloud_call call = { .kind = AP_CLOUD_DELETE_MANY,
        .body = ap_bytes_view(&document),
        .md5 = ap_bytes_text(&checksum) };
    ap_cloud_run(cloud, &call, 1);
    enum apiary_code code = ap_cloud_good(cloud, &call)
                                ? ap_s3_deleted_parse(ap_bytes_view(&call.http.answer), err)
                                : ap_cloud_fail(cloud, &call, "delete objects of", err);
    ap_cloud_call_done(&call);
    return code;
}

/* ---- uploads in parts ---- */

static enum apiary_code s3_upload_id(
    const struct ap_cloud_call *call, struct ap_bytes *id, struct apiary_error *err)
{
    return ap_s3_upload_parse(ap_bytes_view(&call->http.answer), id, err);
}

static enum apiary_code s3_complete_body(
    const struct ap_cloud_upload *upload, struct ap_bytes *body, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(
        body, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">", err));
    for (size_t i = 0; i < upload->count; i++) {
        AP_TRY(ap_bytes_printf(body, err, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1));
        AP_TRY(ap_xml_escape(body, ap_str_from(upload->etags[i]), err));
        AP_TRY(ap_bytes_add_text(body, "</ETag></Part>", err));
    }
    return ap_bytes_add_text(body, "</CompleteMultipartUpload>", err);
}

/* ---- life ---- */

static void s3_close(struct ap_cloud *cloud)
{
    struct ap_s3 *s3 = ap_s3_of(cloud);
    ap_s3_place_done(&s3->place);
    ap_aws_identity_close(s3->identity);
    ap_bytes_done(&s3->moved);
    if (s3->lock) ap_lock_free(cloud->store.env, s3->lock);
}

static enum apiary_code s3_identity(
    struct ap_cloud *cloud, struct ap_store_identity *out, struct apiary_error *err)
{
    AP_AUTO(ap_credentials) who = { 0 };
    AP_TRY(ap_aws_identity_now(ap_s3_of(cloud)->identity, &who, err));
    ap_cloud_text(out->source, sizeof out->source, ap_str_from(who.source));
    /* The key's id is no secret, but nobody needs the whole of it. */
    size_t size = who.access_key.size;
    const char *id = ap_bytes_text(&who.access_key);
    if (size > 8)
        snprintf(out->who, sizeof out->who, "key %.4s…%s", id, id + size - 4);
    else if (size > 0)
        snprintf(out->who, sizeof out->who, "key %s", id);
    out->expires_us = who.expires_us;
    return APIARY_OK;
}

static const struct ap_cloud_provider provider = {
    .identity = s3_identity,
    .has_suffix = true,
    .has_parts = true,
    .has_begin = true,
    .sign = s3_sign,
    .error = s3_error,
    .code = s3_code,
    .learn = s3_learn,
    .describe = s3_describe,
    .page = ap_s3_page_parse,
    .delete_many = s3_delete_many,
    .delete_many_max = DELETE_MANY_MAX,
    .upload_id = s3_upload_id,
    .complete_body = s3_complete_body,
    .close = s3_close,
};

static enum apiary_code open_at(struct ap_s3 *s3, struct apiary_error *err)
{
    struct ap_env *env = s3->cloud.store.env;
    s3->cloud.store.one_writer = s3->place.one_writer;
    if (s3->place.one_writer) s3->cloud.store.shared_writing = false;
    s3->lock = ap_lock_new(env);
    if (!s3->lock) return ap_fail_memory(err, "a store");
    AP_TRY(ap_bytes_add_str(&s3->cloud.prefix, ap_bytes_view(&s3->place.prefix), err));
    struct ap_aws_options options = { .profile = ap_bytes_text(&s3->place.profile),
        .region = ap_bytes_text(&s3->place.region),
        .anonymous = s3->place.anonymous,
        .google = s3->place.is_google };
    return ap_aws_identity_open(env, s3->cloud.http, &options, &s3->identity, err);
}

enum apiary_code ap_s3_open(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err)
{
    struct ap_s3_place place = { 0 };
    AP_TRY(ap_s3_place_parse(&place, uri, err));
    struct ap_s3 *s3 = ap_calloc(1, sizeof *s3);
    if (!s3) {
        ap_s3_place_done(&place);
        return ap_fail_memory(err, "a store");
    }
    s3->place = place;
    enum apiary_code code = ap_cloud_init(&s3->cloud, env, &provider, err);
    /* Google's XML interface knows no deletion of many. */
    s3->cloud.deletes_each = place.is_google;
    if (code == APIARY_OK) code = open_at(s3, err);
    if (code != APIARY_OK) {
        ap_cloud_close(&s3->cloud.store);
        return code;
    }
    *out = &s3->cloud.store;
    return APIARY_OK;
}
