#include "storage/azure_private.h"

#include "storage/xml.h"

struct listing {
    struct ap_cloud_page *page;
    struct ap_bytes name;
    struct ap_object object;
};

static enum apiary_code check_room(const struct ap_list *list, struct apiary_error *err)
{
    if (list->count + list->prefixes.count < AP_CLOUD_PAGE_MAX) return APIARY_OK;
    return ap_fail(err, APIARY_LIMIT, "a page of the store's list has more than %d entries",
        AP_CLOUD_PAGE_MAX);
}

static enum apiary_code end_blob(struct listing *listing, struct apiary_error *err)
{
    struct ap_list *list = &listing->page->list;
    if (listing->name.size == 0) return ap_xml_fail(err, "a blob without a name");
    AP_TRY(check_room(list, err));
    AP_TRY(ap_list_add(list, ap_bytes_text(&listing->name), &listing->object, err));
    ap_bytes_clear(&listing->name);
    memset(&listing->object, 0, sizeof listing->object);
    return APIARY_OK;
}

static enum apiary_code end_prefix(struct listing *listing, struct apiary_error *err)
{
    struct ap_list *list = &listing->page->list;
    if (listing->name.size == 0) return ap_xml_fail(err, "a prefix without a name");
    AP_TRY(check_room(list, err));
    AP_TRY(ap_texts_add(&list->prefixes, ap_bytes_view(&listing->name), err));
    ap_bytes_clear(&listing->name);
    return APIARY_OK;
}

static enum apiary_code property(
    struct listing *listing, struct ap_str name, struct ap_str text, struct apiary_error *err)
{
    struct ap_object *object = &listing->object;
    if (ap_str_is(name, "Content-Length") && !ap_str_to_u64(text, &object->size))
        return ap_xml_fail(err, "a size that is no number");
    if (ap_str_is(name, "Last-Modified") && !ap_http_date_parse(text, &object->modified_us))
        return ap_xml_fail(err, "a time that is none");
    if (ap_str_is(name, "Etag") && text.size < sizeof object->etag) {
        if (text.size >= 2 && text.data[0] == '"')
            text = (struct ap_str) { text.data + 1, text.size - 2 };
        ap_cloud_text(object->etag, sizeof object->etag, text);
    }
    return APIARY_OK;
}

static enum apiary_code leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err)
{
    struct listing *listing = context;
    bool named = ap_str_is(parent, "Blob") || ap_str_is(parent, "BlobPrefix");
    if (named && ap_str_is(name, "Name")) {
        ap_bytes_clear(&listing->name);
        if (memchr(text.data, 0, text.size)) return ap_xml_fail(err, "a name with a NUL");
        return ap_bytes_add_str(&listing->name, text, err);
    }
    if (ap_str_is(parent, "Properties")) return property(listing, name, text, err);
    if (ap_str_is(parent, "Blobs") && ap_str_is(name, "Blob")) return end_blob(listing, err);
    if (ap_str_is(parent, "Blobs") && ap_str_is(name, "BlobPrefix"))
        return end_prefix(listing, err);
    if (ap_str_is(parent, "EnumerationResults") && ap_str_is(name, "NextMarker")) {
        ap_bytes_clear(&listing->page->next);
        return ap_bytes_add_str(&listing->page->next, text, err);
    }
    return APIARY_OK;
}

enum apiary_code ap_azure_page_parse(
    struct ap_str document, struct ap_cloud_page *out, struct apiary_error *err)
{
    AP_AUTO(ap_cloud_page) page = { 0 };
    struct listing listing = { .page = &page };
    /* A mark of byte order may come first. */
    if (ap_str_starts_with(document, AP_STR("\xEF\xBB\xBF")))
        document = (struct ap_str) { document.data + 3, document.size - 3 };
    enum apiary_code code =
        ap_xml_walk(document, AP_STR("EnumerationResults"), leaf, &listing, err);
    ap_bytes_done(&listing.name);
    AP_TRY(code);
    *out = AP_TAKE(page);
    return APIARY_OK;
}
