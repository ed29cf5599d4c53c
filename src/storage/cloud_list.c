/* Lists of a bucket: page after page, in our own order, only what is a key of ours (cloud.h). */
#include "storage/cloud.h"

#include "core/alloc.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGES_MAX = 100000, ANSWER_MAX = 64 << 20 };

static int object_compare(const void *a, const void *b)
{
    const struct ap_object *left = a, *right = b;
    return strcmp(left->key, right->key);
}

/* A key of the bucket below our root; NULL when it is none of ours (a folder marker, a name that
 * another tool made and that no call would accept). */
static const char *own_key(const struct ap_cloud *cloud, const char *key)
{
    size_t size = cloud->prefix.size;
    if (strncmp(key, ap_bytes_text(&cloud->prefix), size) != 0) return NULL;
    key += size;
    if (key[0] == '.' || strstr(key, "/.")) return NULL;
    return ap_store_key_check(key, NULL) == APIARY_OK ? key : NULL;
}

static enum apiary_code take_page(struct ap_cloud *cloud, const struct ap_cloud_page *page,
    const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err)
{
    for (size_t i = 0; i < page->list.count; i++) {
        const char *key = own_key(cloud, page->list.objects[i].key);
        /* Some servers ignore start-after; whoever asks for it relies on it. */
        if (!key || (request->start_after && strcmp(key, request->start_after) <= 0)) continue;
        AP_TRY(ap_list_add(out, key, &page->list.objects[i], err));
    }
    for (size_t i = 0; i < page->list.prefixes.count; i++) {
        struct ap_str prefix = ap_str_from(page->list.prefixes.items[i]);
        size_t root = cloud->prefix.size;
        if (prefix.size <= root + 1) continue;
        prefix = (struct ap_str) { prefix.data + root, prefix.size - root };
        char key[AP_KEY_MAX + 1];
        if (prefix.size > AP_KEY_MAX) continue;
        if (request->start_after && ap_str_compare(prefix, ap_str_from(request->start_after)) <= 0)
            continue;
        snprintf(key, sizeof key, AP_FMT, (int)prefix.size - 1, prefix.data);
        if (key[0] == '.' || strstr(key, "/.") || ap_store_key_check(key, NULL) != APIARY_OK)
            continue;
        AP_TRY(ap_texts_add(&out->prefixes, prefix, err));
    }
    return APIARY_OK;
}

static enum apiary_code get_page(struct ap_cloud *cloud, const struct ap_list_request *whole,
    const struct ap_bytes *token, bool first, struct ap_cloud_page *page, int64_t *now_us,
    struct apiary_error *err)
{
    struct ap_cloud_call call = { .kind = AP_CLOUD_LIST,
        .list = whole,
        .token = ap_bytes_text(token),
        .answer_max = ANSWER_MAX };
    /* One more than wanted, to know whether there is more. */
    if (whole->limit && whole->limit < AP_LIST_PAGE) call.page_size = whole->limit + 1;
    if (!first) ap_cloud_count(cloud, &call);
    ap_cloud_run(cloud, &call, 1);
    enum apiary_code code = APIARY_OK;
    if (!ap_cloud_good(cloud, &call))
        code = ap_cloud_fail(cloud, &call, "list", err);
    else if (!ap_http_date_parse(ap_http_header(&call.http, "date"), now_us))
        code = ap_fail(err, APIARY_CORRUPT, "%s answers without a date", cloud->store.uri);
    else
        code = cloud->provider->page(ap_bytes_view(&call.http.answer), page, err);
    ap_cloud_call_done(&call);
    return code;
}

/* A folder that spans two pages may be told twice. Sorted. */
static void drop_twins(struct ap_texts *texts)
{
    size_t kept = 0;
    for (size_t i = 0; i < texts->count; i++) {
        if (kept > 0 && strcmp(texts->items[kept - 1], texts->items[i]) == 0)
            ap_free(texts->items[i]);
        else
            texts->items[kept++] = texts->items[i];
    }
    texts->count = kept;
}

/* Cuts the merged order of keys and prefixes at the limit. */
static void cut_at(struct ap_list *list, size_t limit)
{
    size_t keys = 0, prefixes = 0;
    if (limit == 0 || list->count + list->prefixes.count <= limit) return;
    while (keys + prefixes < limit) {
        bool key = keys < list->count &&
                   (prefixes == list->prefixes.count ||
                       strcmp(list->objects[keys].key, list->prefixes.items[prefixes]) < 0);
        if (key)
            keys++;
        else
            prefixes++;
    }
    for (size_t i = keys; i < list->count; i++) ap_free(list->objects[i].key);
    for (size_t i = prefixes; i < list->prefixes.count; i++) ap_free(list->prefixes.items[i]);
    list->count = keys;
    list->prefixes.count = prefixes;
    list->more = true;
}

enum apiary_code ap_cloud_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    struct ap_cloud *cloud = ap_cloud_of(store);
    AP_AUTO(ap_bytes) prefix = { 0 }, after = { 0 }, token = { 0 };
    AP_TRY(
        ap_bytes_printf(&prefix, err, "%s%s", ap_bytes_text(&cloud->prefix), request->prefix));
    if (request->start_after)
        AP_TRY(ap_bytes_printf(
            &after, err, "%s%s", ap_bytes_text(&cloud->prefix), request->start_after));
    struct ap_list_request whole = *request;
    whole.prefix = ap_bytes_text(&prefix);
    if (request->start_after) whole.start_after = ap_bytes_text(&after);
    for (int pages = 0;; pages++) {
        struct ap_cloud_page page = { 0 };
        if (pages == PAGES_MAX)
            return ap_fail(
                err, APIARY_LIMIT, "%s: a list of more than %d pages", store->uri, PAGES_MAX);
        AP_TRY(get_page(cloud, &whole, &token, pages == 0, &page, &out->now_us, err));
        enum apiary_code code = take_page(cloud, &page, request, out, err);
        if (code == APIARY_OK && page.next.size && ap_str_equal(ap_bytes_view(&page.next), ap_bytes_view(&token)))
            code = ap_fail(err, APIARY_CORRUPT, "%s: a list goes on where it was", store->uri);
        ap_bytes_done(&token);
        token = AP_TAKE(page.next);
        ap_cloud_page_done(&page);
        if (code != APIARY_OK) return code;
        if (token.size == 0 ||
            (request->limit && out->count + out->prefixes.count > request->limit))
            break;
    }
    /* Not every server sorts by bytes. */
    if (out->count > 1) qsort(out->objects, out->count, sizeof *out->objects, object_compare);
    ap_texts_sort(&out->prefixes);
    drop_twins(&out->prefixes);
    cut_at(out, request->limit);
    return APIARY_OK;
}
