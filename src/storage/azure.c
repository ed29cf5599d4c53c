/* Azure Blob Storage. put_if_absent is Put Blob with If-None-Match: *, which an existing blob
 * answers with 409 BlobAlreadyExists or with 412: both are "taken". Parts are blocks, which need no
 * beginning and vanish by themselves. Requests are signed with the account's key (SharedKey), or
 * carry a SAS in their query, or a token of Entra ID. A SAS is a secret: no URL ever gets into an
 * error. */
#include "storage/azure_private.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/time.h"
#include "storage/s3_xml.h"
#include "storage/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    OPTION_ACCOUNT,
    OPTION_ANONYMOUS,
    OPTION_ENDPOINT,
    PAIRS_MAX = 8,
    SKEW_US = 600 * 1000000,
};
static const char *const options[] = { "account", "anonymous", "endpoint", NULL };
static const char version[] = "2021-12-02";

enum way { WAY_KEY, WAY_SAS, WAY_TOKEN, WAY_ANONYMOUS };

struct azure {
    struct ap_cloud cloud;
    struct ap_cloud_uri uri;
    struct ap_bytes account, base; /* base: without '/' at its end */
    struct ap_bytes base_path;     /* of base: "" or "/account" (emulators) */
    struct ap_bytes key, sas;      /* decoded; without '?' */
    struct ap_bearer bearer;
    enum way way;
};

static struct azure *azure_of(struct ap_cloud *cloud)
{
    return (struct azure *)(void *)cloud;
}

/* ---- requests ---- */

/* One request as it is written; texts are borrowed. */
struct draft {
    struct ap_sigv4_pair query[PAIRS_MAX], headers[PAIRS_MAX]; /* headers: x-ms-*, lower case */
    size_t query_count, header_count;
    const char *method;
    char number[24], range[64], date[40];
    struct ap_bytes md5, etag, block;
    const char *content_type, *if_none_match, *if_match;
};

static void draft_done(struct draft *draft)
{
    ap_bytes_done(&draft->md5);
    ap_bytes_done(&draft->etag);
    ap_bytes_done(&draft->block);
}

static void add_query(struct draft *draft, const char *name, const char *value)
{
    ap_assert(draft->query_count < PAIRS_MAX);
    draft->query[draft->query_count++] = (struct ap_sigv4_pair) { name, value };
}

static void add_header(struct draft *draft, const char *name, const char *value)
{
    ap_assert(draft->header_count < PAIRS_MAX);
    draft->headers[draft->header_count++] = (struct ap_sigv4_pair) { name, value };
}

static void draft_list(struct draft *draft, const struct ap_cloud_call *call)
{
    draft->method = "GET";
    add_query(draft, "restype", "container");
    add_query(draft, "comp", "list");
    add_query(draft, "prefix", call->list->prefix);
    if (call->list->delimited) add_query(draft, "delimiter", "/");
    if (*call->token) add_query(draft, "marker", call->token);
    /* There is no start: a limit would be spent on what lies before it. */
    if (!call->page_size || call->list->start_after) return;
    snprintf(draft->number, sizeof draft->number, "%zu", call->page_size);
    add_query(draft, "maxresults", draft->number);
}

/* Blocks of one blob have names of one length. */
static enum apiary_code block_name(struct ap_bytes *out, unsigned part, struct apiary_error *err)
{
    char name[16];
    snprintf(name, sizeof name, "part-%06u", part);
    return ap_base64_encode(out, ap_str_from(name), err);
}

static enum apiary_code draft_call(
    struct draft *draft, const struct ap_cloud_call *call, struct apiary_error *err)
{
    if (call->absent) draft->if_none_match = "*";
    if (call->if_etag) {
        AP_TRY(ap_bytes_printf(&draft->etag, err, "\"%s\"", call->if_etag));
        draft->if_match = ap_bytes_text(&draft->etag);
    }
    switch (call->kind) {
        case AP_CLOUD_PUT:
            draft->method = "PUT";
            add_header(draft, "x-ms-blob-type", "BlockBlob");
            draft->content_type = "application/octet-stream";
            return ap_cloud_md5_text(call, &draft->md5, err);
        case AP_CLOUD_PART:
            draft->method = "PUT";
            AP_TRY(block_name(&draft->block, call->part, err));
            add_query(draft, "comp", "block");
            add_query(draft, "blockid", ap_bytes_text(&draft->block));
            return ap_cloud_md5_text(call, &draft->md5, err);
        case AP_CLOUD_COMPLETE:
            draft->method = "PUT";
            add_query(draft, "comp", "blocklist");
            draft->content_type = "application/xml";
            return ap_cloud_md5_text(call, &draft->md5, err);
        case AP_CLOUD_GET:
            draft->method = "GET";
            if (ap_cloud_range_text(call, draft->range))
                add_header(draft, "x-ms-range", draft->range);
            return APIARY_OK;
        case AP_CLOUD_HEAD: draft->method = "HEAD"; return APIARY_OK;
        case AP_CLOUD_LIST: draft_list(draft, call); return APIARY_OK;
        case AP_CLOUD_DELETE: draft->method = "DELETE"; return APIARY_OK;
        case AP_CLOUD_DELETE_MANY:
        case AP_CLOUD_BEGIN:
        case AP_CLOUD_ABORT: break;
    }
    return ap_fail(err, APIARY_INTERNAL, "az:// has no such request");
}

/* ---- SharedKey ---- */

static int pair_compare(const void *a, const void *b)
{
    const struct ap_sigv4_pair *left = a, *right = b;
    return strcmp(left->name, right->name);
}

/* Source: "Authorize with Shared Key", of Azure Storage, for Blob and versions since 2015-02-21. */
static enum apiary_code string_to_sign(const struct azure *azure, struct draft *draft,
    const struct ap_cloud_call *call, const char *path, struct ap_bytes *out,
    struct apiary_error *err)
{
    char length[24] = "";
    if (call->body.size) snprintf(length, sizeof length, "%zu", call->body.size);
    AP_TRY(ap_bytes_printf(out, err, "%s\n\n\n%s\n%s\n%s\n\n\n%s\n%s\n\n\n", draft->method, length,
        ap_bytes_text(&draft->md5), draft->content_type ? draft->content_type : "",
        draft->if_match ? draft->if_match : "", draft->if_none_match ? draft->if_none_match : ""));
    qsort(draft->headers, draft->header_count, sizeof *draft->headers, pair_compare);
    for (size_t i = 0; i < draft->header_count; i++)
        AP_TRY(
            ap_bytes_printf(out, err, "%s:%s\n", draft->headers[i].name, draft->headers[i].value));
    AP_TRY(ap_bytes_printf(out, err, "/%s%s", ap_bytes_text(&azure->account), path));
    qsort(draft->query, draft->query_count, sizeof *draft->query, pair_compare);
    for (size_t i = 0; i < draft->query_count; i++)
        AP_TRY(ap_bytes_printf(out, err, "\n%s:%s", draft->query[i].name, draft->query[i].value));
    return APIARY_OK;
}

enum apiary_code ap_azure_signature(
    struct ap_str key, struct ap_str text, struct ap_bytes *out, struct apiary_error *err)
{
    uint8_t mac[AP_SHA256_SIZE];
    ap_hmac_sha256(key.data, key.size, text.data, text.size, mac);
    return ap_base64_encode(out, (struct ap_str) { (const char *)mac, sizeof mac }, err);
}

static enum apiary_code authorize(struct azure *azure, struct draft *draft,
    struct ap_cloud_call *call, const char *path, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 }, signature = { 0 };
    struct ap_bytes token = { 0 };
    enum apiary_code code = APIARY_OK;
    switch (azure->way) {
        case WAY_SAS:
        case WAY_ANONYMOUS: return APIARY_OK;
        case WAY_TOKEN:
            code = ap_bearer_now(&azure->bearer, &token, NULL, NULL, err);
            if (code == APIARY_OK)
                code = ap_texts_printf(
                    &call->http.headers, err, "Authorization: Bearer %s", ap_bytes_text(&token));
            ap_wipe(&token);
            return code;
        case WAY_KEY: break;
    }
    AP_TRY(string_to_sign(azure, draft, call, path, &text, err));
    AP_TRY(ap_azure_signature(ap_bytes_view(&azure->key), ap_bytes_view(&text), &signature, err));
    return ap_texts_printf(&call->http.headers, err, "Authorization: SharedKey %s:%s",
        ap_bytes_text(&azure->account), ap_bytes_text(&signature));
}

static void date_text(int64_t now_us, char out[40])
{
    static const char days[] = "ThuFriSatSunMonTueWed",
                      months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    int64_t year, day_number = now_us / AP_US_PER_DAY;
    unsigned month, day, seconds = (unsigned)(now_us % AP_US_PER_DAY / AP_US_PER_SECOND);
    ap_civil_from_days(day_number, &year, &month, &day);
    snprintf(out, 40, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + 3 * (day_number % 7),
        day % 100, months + (size_t)3 * ((month - 1) % 12), (unsigned)year % 10000,
        seconds / 3600 % 100, seconds / 60 % 60, seconds % 60);
}

static enum apiary_code write_headers(
    const struct draft *draft, struct ap_cloud_call *call, struct apiary_error *err)
{
    const struct ap_sigv4_pair plain[] = { { "Content-MD5", ap_bytes_text(&draft->md5) },
        { "Content-Type", draft->content_type }, { "If-Match", draft->if_match },
        { "If-None-Match", draft->if_none_match } };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (plain[i].value && *plain[i].value)
            AP_TRY(ap_cloud_header(call, plain[i].name, plain[i].value, err));
    for (size_t i = 0; i < draft->header_count; i++)
        AP_TRY(ap_cloud_header(call, draft->headers[i].name, draft->headers[i].value, err));
    return APIARY_OK;
}

static enum apiary_code sign_draft(struct azure *azure, struct draft *draft,
    struct ap_cloud_call *call, struct ap_bytes *url, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) path = { 0 }, query = { 0 };
    AP_TRY(draft_call(draft, call, err));
    date_text(ap_now_us(azure->cloud.store.env) + azure->cloud.clock_offset_us, draft->date);
    add_header(draft, "x-ms-date", draft->date);
    add_header(draft, "x-ms-version", version);
    AP_TRY(ap_bytes_printf(
        &path, err, "%s/%s", ap_bytes_text(&azure->base_path), ap_bytes_text(&azure->uri.bucket)));
    if (call->key) {
        AP_TRY(ap_bytes_add_text(&path, "/", err));
        AP_TRY(ap_sigv4_path(&path, ap_bytes_view(&azure->cloud.prefix), err));
        AP_TRY(ap_sigv4_path(&path, ap_str_from(call->key), err));
    }
    AP_TRY(authorize(azure, draft, call, ap_bytes_text(&path), err));
    AP_TRY(write_headers(draft, call, err));
    AP_TRY(ap_sigv4_query(&query, draft->query, draft->query_count, err));
    call->http.method = draft->method;
    size_t host = azure->base.size - azure->base_path.size;
    AP_TRY(ap_bytes_printf(
        url, err, "%.*s%s", (int)host, ap_bytes_text(&azure->base), ap_bytes_text(&path)));
    if (query.size) AP_TRY(ap_bytes_printf(url, err, "?%s", ap_bytes_text(&query)));
    if (azure->way != WAY_SAS) return APIARY_OK;
    return ap_bytes_printf(url, err, "%c%s", query.size ? '&' : '?', ap_bytes_text(&azure->sas));
}

static enum apiary_code azure_sign(struct ap_cloud *cloud, struct ap_cloud_call *call,
    struct ap_bytes *url, struct apiary_error *err)
{
    AP_AUTO(draft) draft = { 0 };
    return sign_draft(azure_of(cloud), &draft, call, url, err);
}

/* ---- answers ---- */

static void azure_error(const struct ap_cloud_call *call, struct ap_cloud_error *out)
{
    struct ap_str said = ap_http_header(&call->http, "x-ms-error-code");
    if (call->http.status / 100 == 2) return;
    (void)ap_s3_error_parse(ap_bytes_view(&call->http.answer), out); /* the same form */
    if (said.size) ap_cloud_text(out->code, sizeof out->code, said);
    char *line = strchr(out->message, '\n'); /* behind it: the request's id, and what was signed */
    if (line) *line = 0;
}

static enum apiary_code azure_code(
    const struct ap_cloud_call *call, const struct ap_cloud_error *error, enum apiary_code usual)
{
    (void)call;
    if (strcmp(error->code, "BlobAlreadyExists") == 0) return APIARY_CONFLICT;
    if (strncmp(error->code, "Lease", 5) == 0) return APIARY_DENIED; /* someone holds a lease */
    if (strcmp(error->code, "ServerBusy") == 0 || strcmp(error->code, "OperationTimedOut") == 0)
        return call->absent ? APIARY_UNCERTAIN : APIARY_IO;
    return usual;
}

static unsigned azure_learn(
    struct ap_cloud *cloud, const struct ap_cloud_call *call, const struct ap_cloud_error *error)
{
    struct azure *azure = azure_of(cloud);
    int64_t theirs, ours = ap_now_us(cloud->store.env);
    if (call->http.status == 401 && azure->way == WAY_TOKEN)
        return ap_bearer_renew(&azure->bearer) ? AP_LESSON_CREDENTIALS : 0;
    /* A date that is off by a quarter of an hour is refused without saying so. */
    if (call->http.status != 403 || azure->way != WAY_KEY ||
        strcmp(error->code, "AuthenticationFailed") != 0 ||
        !ap_http_date_parse(ap_http_header(&call->http, "date"), &theirs))
        return 0;
    int64_t offset = theirs - ours;
    if (llabs(offset - cloud->clock_offset_us) < SKEW_US) return 0;
    cloud->clock_offset_us = offset;
    return AP_LESSON_CLOCK;
}

/* Without quotes, as lists have them. */
static void azure_describe(const struct ap_cloud_call *call, struct ap_object *out)
{
    struct ap_str etag = ap_http_header(&call->http, "etag");
    if (etag.size >= 2 && etag.data[0] == '"') {
        etag.data++;
        etag.size -= 2;
    }
    if (etag.size < sizeof out->etag) ap_cloud_text(out->etag, sizeof out->etag, etag);
    (void)ap_http_date_parse(ap_http_header(&call->http, "last-modified"), &out->modified_us);
    (void)ap_str_to_u64(ap_http_header(&call->http, "content-length"), &out->size);
}

static enum apiary_code azure_complete_body(
    const struct ap_cloud_upload *upload, struct ap_bytes *body, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(body, "<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>", err));
    for (size_t i = 0; i < upload->count; i++) {
        AP_TRY(ap_bytes_add_text(body, "<Latest>", err));
        AP_TRY(block_name(body, (unsigned)i + 1, err));
        AP_TRY(ap_bytes_add_text(body, "</Latest>", err));
    }
    return ap_bytes_add_text(body, "</BlockList>", err);
}

/* ---- life ---- */

static void azure_close(struct ap_cloud *cloud)
{
    struct azure *azure = azure_of(cloud);
    ap_cloud_uri_done(&azure->uri);
    ap_bytes_done(&azure->account);
    ap_bytes_done(&azure->base);
    ap_bytes_done(&azure->base_path);
    ap_wipe(&azure->key);
    ap_wipe(&azure->sas);
    ap_bearer_done(&azure->bearer);
}

static enum apiary_code azure_identity(
    struct ap_cloud *cloud, struct ap_store_identity *out, struct apiary_error *err)
{
    static const char *const names[] = { [WAY_KEY] = "account key",
        [WAY_SAS] = "shared access signature",
        [WAY_ANONYMOUS] = "anonymous" };
    struct azure *azure = azure_of(cloud);
    struct ap_bytes token = { 0 };
    snprintf(out->who, sizeof out->who, "account %.200s", ap_bytes_text(&azure->account));
    if (azure->way != WAY_TOKEN) {
        ap_cloud_text(out->source, sizeof out->source, ap_str_from(names[azure->way]));
        return APIARY_OK;
    }
    enum apiary_code code =
        ap_bearer_now(&azure->bearer, &token, out->source, &out->expires_us, err);
    ap_wipe(&token);
    return code;
}

static const struct ap_cloud_provider provider = {
    .identity = azure_identity,
    .has_parts = true,
    .sign = azure_sign,
    .error = azure_error,
    .code = azure_code,
    .learn = azure_learn,
    .describe = azure_describe,
    .page = ap_azure_page_parse,
    .complete_body = azure_complete_body,
    .close = azure_close,
};

/* "AccountName" of "DefaultEndpointsProtocol=https;AccountName=x;AccountKey=y;…" */
static struct ap_str connection_value(const char *name)
{
    const char *text = getenv("AZURE_STORAGE_CONNECTION_STRING");
    size_t size = strlen(name);
    while (text && *text) {
        size_t end = strcspn(text, ";");
        if (end > size && text[size] == '=' && strncasecmp(text, name, size) == 0)
            return (struct ap_str) { text + size + 1, end - size - 1 };
        text += end;
        if (*text) text++;
    }
    return (struct ap_str) { "", 0 };
}

/* The first that is not empty: the URI's, a variable's, the connection string's. */
static struct ap_str choose(const struct ap_bytes *named, const char *variable, const char *part)
{
    struct ap_str value = named ? ap_bytes_view(named) : (struct ap_str) { "", 0 };
    if (value.size == 0) value = ap_str_from(getenv(variable));
    return value.size ? value : connection_value(part);
}

static enum apiary_code find_place(struct azure *azure, struct apiary_error *err)
{
    struct ap_str account =
        choose(&azure->uri.values[OPTION_ACCOUNT], "AZURE_STORAGE_ACCOUNT", "AccountName");
    struct ap_str endpoint =
        choose(&azure->uri.values[OPTION_ENDPOINT], "AZURE_STORAGE_ENDPOINT", "BlobEndpoint");
    if (account.size == 0) account = ap_str_from(getenv("AZURE_STORAGE_ACCOUNT_NAME"));
    if (account.size == 0 && endpoint.size == 0) {
        ap_fail(err, APIARY_CONFIG, "storage az://: which account is not known");
        return ap_hint(err, "add ?account=NAME to the URI, or set AZURE_STORAGE_ACCOUNT");
    }
    AP_TRY(ap_bytes_add_str(&azure->account, account, err));
    if (endpoint.size)
        AP_TRY(ap_bytes_add_str(&azure->base, endpoint, err));
    else
        AP_TRY(ap_bytes_printf(
            &azure->base, err, "https://" AP_FMT ".blob.core.windows.net", AP_ARG(account)));
    while (azure->base.size && azure->base.data[azure->base.size - 1] == '/')
        azure->base.data[--azure->base.size] = 0;
    if (!ap_cloud_endpoint_is_good(ap_bytes_view(&azure->base)))
        return ap_fail(err, APIARY_INVALID, "storage az://: the endpoint is no address");
    const char *host = strstr(ap_bytes_text(&azure->base), "://") + 3, *path = strchr(host, '/');
    return path ? ap_bytes_add_text(&azure->base_path, path, err) : APIARY_OK;
}

static enum apiary_code find_way(struct azure *azure, struct apiary_error *err)
{
    struct ap_str key = choose(NULL, "AZURE_STORAGE_KEY", "AccountKey"),
                  sas = choose(NULL, "AZURE_STORAGE_SAS_TOKEN", "SharedAccessSignature");
    bool anonymous;
    if (key.size == 0) key = ap_str_from(getenv("AZURE_STORAGE_ACCOUNT_KEY"));
    AP_TRY(ap_cloud_uri_flag("anonymous", &azure->uri.values[OPTION_ANONYMOUS], &anonymous, err));
    azure->way = anonymous ? WAY_ANONYMOUS : key.size ? WAY_KEY : sas.size ? WAY_SAS : WAY_TOKEN;
    bool plain = ap_str_starts_with(ap_bytes_view(&azure->base), AP_STR("http://"));
    bool here = ap_cloud_endpoint_is_here(ap_bytes_view(&azure->base));
    if (plain && !here && (azure->way == WAY_SAS || azure->way == WAY_TOKEN))
        return ap_fail(err, APIARY_INVALID,
            "storage az://: a SAS or a token is not sent over http:// to another machine");
    if (azure->way == WAY_KEY && ap_base64_decode(&azure->key, key, NULL) != APIARY_OK)
        return ap_fail(err, APIARY_CONFIG, "the Azure account's key is no base64");
    if (azure->way != WAY_SAS) return APIARY_OK;
    if (sas.data[0] == '?') sas = (struct ap_str) { sas.data + 1, sas.size - 1 };
    for (size_t i = 0; i < sas.size; i++)
        if ((unsigned char)sas.data[i] <= ' ' || sas.data[i] == 0x7f)
            return ap_fail(err, APIARY_CONFIG, "the Azure SAS holds a blank or control character");
    return ap_bytes_add_str(&azure->sas, sas, err);
}

enum apiary_code ap_azure_canonical(const char *uri, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_cloud_uri) parsed = { 0 };
    AP_TRY(ap_cloud_uri_parse(&parsed, "az", uri, options, err));
    *out = AP_TAKE(parsed.uri);
    return APIARY_OK;
}

enum apiary_code ap_azure_open(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err)
{
    struct azure *azure = ap_calloc(1, sizeof *azure);
    if (!azure) return ap_fail_memory(err, "a store");
    enum apiary_code code = ap_cloud_init(&azure->cloud, env, &provider, err);
    if (code == APIARY_OK) code = ap_cloud_uri_parse(&azure->uri, "az", uri, options, err);
    if (code == APIARY_OK)
        code = ap_bytes_add_str(&azure->cloud.prefix, ap_bytes_view(&azure->uri.prefix), err);
    if (code == APIARY_OK) code = find_place(azure, err);
    if (code == APIARY_OK) code = find_way(azure, err);
    if (code == APIARY_OK)
        code = ap_bearer_init(&azure->bearer, env, azure->cloud.http, ap_azure_find, err);
    if (code != APIARY_OK) {
        ap_cloud_close(&azure->cloud.store);
        return code;
    }
    *out = &azure->cloud.store;
    return APIARY_OK;
}
