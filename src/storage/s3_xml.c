#include "storage/s3_xml.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/time.h"
#include "storage/xml.h"

/* ---- errors ---- */

static enum apiary_code error_leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err)
{
    struct ap_cloud_error *out = context;
    (void)err;
    if (!ap_str_is(parent, "Error")) return APIARY_OK;
    if (ap_str_is(name, "Code")) ap_cloud_text(out->code, sizeof out->code, text);
    if (ap_str_is(name, "Message")) ap_cloud_text(out->message, sizeof out->message, text);
    return APIARY_OK;
}

bool ap_s3_error_parse(struct ap_str document, struct ap_cloud_error *out)
{
    memset(out, 0, sizeof *out);
    return ap_xml_walk(document, AP_STR("Error"), error_leaf, out, NULL) == APIARY_OK;
}

struct deletion {
    struct ap_cloud_error error;
    char key[256];
    bool failed;
};

static enum apiary_code deletion_leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err)
{
    struct deletion *out = context;
    (void)err;
    if (ap_str_is(name, "Error")) out->failed = true;
    if (!ap_str_is(parent, "Error") || out->failed) return APIARY_OK;
    if (ap_str_is(name, "Code")) ap_cloud_text(out->error.code, sizeof out->error.code, text);
    if (ap_str_is(name, "Message")) ap_cloud_text(out->error.message, sizeof out->error.message, text);
    if (ap_str_is(name, "Key")) ap_cloud_text(out->key, sizeof out->key, text);
    return APIARY_OK;
}

enum apiary_code ap_s3_deleted_parse(struct ap_str document, struct apiary_error *err)
{
    struct deletion deletion = { 0 };
    AP_TRY(ap_xml_walk(document, AP_STR("DeleteResult"), deletion_leaf, &deletion, err));
    if (!deletion.failed) return APIARY_OK;
    bool denied = strcmp(deletion.error.code, "AccessDenied") == 0;
    return ap_fail(err, denied ? APIARY_DENIED : APIARY_IO, "cannot delete %s: %s (%s)",
        deletion.key, deletion.error.message, deletion.error.code);
}

/* ---- lists ---- */

struct listing {
    struct ap_cloud_page *page;
    struct ap_bytes key;
    struct ap_object object;
    bool truncated, encoded;
};

static enum apiary_code decode(char **name, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    /* Some servers encode as a form does: '+' is a space (a plus is %2B). */
    for (char *at = *name; *at; at++)
        if (*at == '+') *at = ' ';
    AP_TRY(ap_percent_decode(&text, ap_str_from(*name), err));
    char *decoded = ap_str_dup(ap_bytes_view(&text));
    if (!decoded) return ap_fail_memory(err, "a list of objects");
    ap_free(*name);
    *name = decoded;
    return APIARY_OK;
}

/* Not every server encodes what it was asked to encode; some say that they did behind all names. */
static enum apiary_code decode_all(struct ap_list *list, struct apiary_error *err)
{
    for (size_t i = 0; i < list->count; i++) AP_TRY(decode(&list->objects[i].key, err));
    for (size_t i = 0; i < list->prefixes.count; i++) AP_TRY(decode(&list->prefixes.items[i], err));
    return APIARY_OK;
}

static enum apiary_code take_name(struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    if (memchr(text.data, 0, text.size)) return ap_xml_fail(err, "a name with a NUL");
    ap_bytes_clear(out);
    return ap_bytes_add_str(out, text, err);
}

static enum apiary_code end_object(struct listing *listing, struct apiary_error *err)
{
    struct ap_list *list = &listing->page->list;
    if (listing->key.size == 0) return ap_xml_fail(err, "an object without a key");
    if (list->count + list->prefixes.count >= AP_CLOUD_PAGE_MAX)
        return ap_fail(err, APIARY_LIMIT, "a page of the store's list has more than %d entries",
            AP_CLOUD_PAGE_MAX);
    AP_TRY(ap_list_add(list, ap_bytes_text(&listing->key), &listing->object, err));
    ap_bytes_clear(&listing->key);
    memset(&listing->object, 0, sizeof listing->object);
    return APIARY_OK;
}

static enum apiary_code object_leaf(
    struct listing *listing, struct ap_str name, struct ap_str text, struct apiary_error *err)
{
    bool had_zone, inexact;
    struct ap_object *object = &listing->object;
    if (ap_str_is(name, "Key")) return take_name(&listing->key, text, err);
    if (ap_str_is(name, "Size") && !ap_str_to_u64(text, &object->size))
        return ap_xml_fail(err, "a size that is no number");
    if (ap_str_is(name, "LastModified") &&
        !ap_timestamp_parse(text, &object->modified_us, &had_zone, &inexact))
        return ap_xml_fail(err, "a time that is none");
    if (ap_str_is(name, "ETag")) ap_cloud_text(object->etag, sizeof object->etag, text);
    return APIARY_OK;
}

static enum apiary_code list_leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err)
{
    struct listing *listing = context;
    struct ap_list *list = &listing->page->list;
    if (ap_str_is(parent, "Contents")) return object_leaf(listing, name, text, err);
    if (ap_str_is(parent, "CommonPrefixes") && ap_str_is(name, "Prefix")) {
        AP_AUTO(ap_bytes) prefix = { 0 };
        AP_TRY(take_name(&prefix, text, err));
        if (list->count + list->prefixes.count >= AP_CLOUD_PAGE_MAX)
            return ap_fail(err, APIARY_LIMIT, "a page of the store's list has more than %d entries",
                AP_CLOUD_PAGE_MAX);
        return ap_texts_add(&list->prefixes, ap_bytes_view(&prefix), err);
    }
    if (!ap_str_is(parent, "ListBucketResult")) return APIARY_OK;
    if (ap_str_is(name, "Contents")) return end_object(listing, err);
    if (ap_str_is(name, "IsTruncated")) listing->truncated = ap_str_is(text, "true");
    if (ap_str_is(name, "EncodingType")) listing->encoded = ap_str_is(text, "url");
    if (ap_str_is(name, "NextContinuationToken")) {
        ap_bytes_clear(&listing->page->next);
        return ap_bytes_add_str(&listing->page->next, text, err);
    }
    return APIARY_OK;
}

enum apiary_code ap_s3_page_parse(
    struct ap_str document, struct ap_cloud_page *out, struct apiary_error *err)
{
    struct ap_cloud_page page = { 0 };
    struct listing listing = { .page = &page };
    enum apiary_code code = ap_xml_walk(document, AP_STR("ListBucketResult"), list_leaf, &listing, err);
    ap_bytes_done(&listing.key);
    if (code == APIARY_OK && listing.encoded) code = decode_all(&page.list, err);
    if (code == APIARY_OK && listing.truncated && page.next.size == 0)
        code = ap_xml_fail(err, "a list that goes on without saying where");
    if (code != APIARY_OK) {
        ap_cloud_page_done(&page);
        return code;
    }
    if (!listing.truncated) ap_bytes_clear(&page.next);
    *out = page;
    return APIARY_OK;
}

/* ---- uploads ---- */

static enum apiary_code upload_leaf(void *context, struct ap_str parent, struct ap_str name,
    struct ap_str text, struct apiary_error *err)
{
    struct ap_bytes *id = context;
    if (!ap_str_is(parent, "InitiateMultipartUploadResult") || !ap_str_is(name, "UploadId"))
        return APIARY_OK;
    ap_bytes_clear(id);
    return ap_bytes_add_str(id, text, err);
}

enum apiary_code ap_s3_upload_parse(
    struct ap_str document, struct ap_bytes *id, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) found = { 0 };
    AP_TRY(ap_xml_walk(document, AP_STR("InitiateMultipartUploadResult"), upload_leaf, &found, err));
    if (found.size == 0) return ap_xml_fail(err, "an upload without an id");
    ap_bytes_done(id);
    *id = AP_TAKE(found);
    return APIARY_OK;
}
