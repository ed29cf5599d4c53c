/* Ranges of objects, many at once (cloud.h).
 *
 * What was asked for and what came are compared here for all providers: some servers answer a range
 * with the whole, some ignore If-Match, some cannot tell the size of what they refuse. */
#include "storage/cloud.h"

#include "core/alloc.h"

static bool has_no_bytes(struct ap_range range)
{
    return range.length == 0 || (!range.suffix && range.offset > INT64_MAX);
}

bool ap_cloud_content_range(const struct ap_cloud_call *call, uint64_t *first, uint64_t *size)
{
    struct ap_str text = ap_http_header(&call->http, "content-range");
    size_t slash = ap_str_find(text, AP_STR("/"));
    if (slash == SIZE_MAX || !ap_str_starts_with(text, AP_STR("bytes "))) return false;
    if (!ap_str_to_u64((struct ap_str) { text.data + slash + 1, text.size - slash - 1 }, size))
        return false;
    struct ap_str span = { text.data + 6, slash - 6 };
    size_t dash = ap_str_find(span, AP_STR("-"));
    *first = 0;
    return dash == SIZE_MAX ? ap_str_is(span, "*")
                            : ap_str_to_u64((struct ap_str) { span.data, dash }, first);
}

static enum apiary_code fail_answer(struct ap_cloud *cloud, struct ap_get *get, const char *what)
{
    return ap_fail(
        &get->error, APIARY_CORRUPT, "object %s/%s: %s", cloud->store.uri, get->key, what);
}

static enum apiary_code fail_changed(struct ap_cloud *cloud, struct ap_get *get)
{
    return ap_fail(&get->error, APIARY_CONFLICT, "object %s/%s is another one by now",
        cloud->store.uri, get->key);
}

/* Cuts a whole answer down to the range that was asked for. */
static void cut_body(struct ap_bytes *body, struct ap_range range)
{
    uint64_t offset, length;
    ap_range_resolve(range, body->size, &offset, &length);
    if (length) memmove(body->data, body->data + offset, length);
    body->size = length;
    if (body->data) body->data[length] = 0;
}

static enum apiary_code describe(
    struct ap_cloud *cloud, struct ap_cloud_call *call, struct ap_get *get, uint64_t size)
{
    memset(&get->object, 0, sizeof get->object);
    cloud->provider->describe(call, &get->object);
    get->object.size = size;
    if (get->if_etag && get->object.etag[0] && strcmp(get->if_etag, get->object.etag) != 0)
        return fail_changed(cloud, get);
    return APIARY_OK;
}

static bool is_behind_end(const struct ap_cloud_call *call)
{
    return call->prepared == APIARY_OK && call->http.outcome == AP_HTTP_ANSWERED &&
           call->http.status == 416;
}

static enum apiary_code take_answer(
    struct ap_cloud *cloud, struct ap_cloud_call *call, struct ap_get *get)
{
    uint64_t first = 0, size = 0;
    if (is_behind_end(call) && ap_cloud_content_range(call, &first, &size))
        return describe(cloud, call, get, size); /* or it is empty */
    if (!ap_cloud_good(cloud, call)) {
        enum apiary_code code = ap_cloud_fail(cloud, call, "read", &get->error);
        return code == APIARY_CONFLICT ? fail_changed(cloud, get) : code;
    }
    if (call->kind == AP_CLOUD_HEAD) {
        struct ap_object object = { .size = UINT64_MAX };
        cloud->provider->describe(call, &object);
        if (object.size == UINT64_MAX) return fail_answer(cloud, get, "no length");
        return describe(cloud, call, get, object.size);
    }
    get->body = AP_TAKE(call->http.answer);
    if (call->http.status == 206) {
        uint64_t offset, length;
        if (!ap_cloud_content_range(call, &first, &size))
            return fail_answer(cloud, get, "a part without its place");
        ap_range_resolve(get->range, size, &offset, &length);
        if (first != offset) return fail_answer(cloud, get, "another part than asked for");
    } else { /* 200: the server knows no ranges, or none was asked for */
        size = get->body.size;
        cut_body(&get->body, get->range);
    }
    AP_TRY(describe(cloud, call, get, size));
    if (get->size_max && get->body.size > get->size_max)
        return ap_fail(&get->error, APIARY_LIMIT,
            "object %s/%s: %zu bytes are more than the limit of %llu", cloud->store.uri, get->key,
            get->body.size, (unsigned long long)get->size_max);
    return APIARY_OK;
}

static void ask_head(struct ap_cloud *cloud, struct ap_cloud_call *call, const struct ap_get *get)
{
    ap_cloud_call_done(call);
    *call = (struct ap_cloud_call) {
        .kind = AP_CLOUD_HEAD, .key = get->key, .if_etag = get->if_etag
    };
    ap_cloud_count(cloud, call);
    ap_cloud_run(cloud, call, 1);
}

/* The last bytes of an object, from a store that counts from the beginning only: its size first. */
static void get_suffix(struct ap_cloud *cloud, struct ap_get *get)
{
    struct ap_cloud_call call = { .kind = AP_CLOUD_HEAD, .key = get->key, .if_etag = get->if_etag };
    struct ap_range wanted = get->range;
    char etag[AP_ETAG_MAX];
    const char *if_etag = get->if_etag;
    ap_cloud_count(cloud, &call);
    ap_cloud_run(cloud, &call, 1);
    get->code = take_answer(cloud, &call, get);
    ap_cloud_call_done(&call);
    if (get->code != APIARY_OK) return;
    uint64_t offset, length;
    ap_range_resolve(wanted, get->object.size, &offset, &length);
    if (length == 0) return;
    /* The same object, or the place would be another one. */
    memcpy(etag, get->object.etag, sizeof etag);
    get->range = (struct ap_range) { offset, length, false };
    get->if_etag = etag;
    ap_cloud_get_many(&cloud->store, get, 1);
    get->range = wanted;
    get->if_etag = if_etag;
}

void ap_cloud_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    struct ap_cloud_call *calls = ap_calloc(count, sizeof *calls);
    size_t *which = ap_calloc(count, sizeof *which), some = 0;
    for (size_t i = 0; i < count; i++) {
        struct ap_get *get = &gets[i];
        if (!calls || !which) {
            get->code = ap_fail_memory(&get->error, "requests");
            continue;
        }
        if (get->range.suffix && get->range.length > 0 && !cloud->provider->has_suffix) {
            get_suffix(cloud, get);
            continue;
        }
        bool whole = !get->range.suffix && get->range.offset == 0 && get->range.length == UINT64_MAX;
        which[some] = i;
        calls[some++] = (struct ap_cloud_call) {
            .kind = has_no_bytes(get->range) ? AP_CLOUD_HEAD : AP_CLOUD_GET,
            .key = get->key,
            .ranged = !whole,
            .range = get->range,
            .if_etag = get->if_etag,
            .answer_max = get->size_max,
        };
    }
    if (some > 0) ap_cloud_run(cloud, calls, some);
    for (size_t i = 0; i < some; i++) {
        struct ap_get *get = &gets[which[i]];
        uint64_t first, size;
        /* Not every server says how long an object is behind whose end a range begins. */
        if (is_behind_end(&calls[i]) && !ap_cloud_content_range(&calls[i], &first, &size))
            ask_head(cloud, &calls[i], get);
        get->code = take_answer(cloud, &calls[i], get);
        ap_cloud_call_done(&calls[i]);
    }
    ap_free(calls);
    ap_free(which);
}
