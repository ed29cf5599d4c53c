#include "storage/cloud_uri.h"

#include "core/codec.h"
#include "storage/store.h"

#include <stdio.h>

enum { BUCKET_MIN = 3, BUCKET_MAX = 222 };

void ap_cloud_uri_done(struct ap_cloud_uri *uri)
{
    ap_bytes_done(&uri->bucket);
    ap_bytes_done(&uri->prefix);
    ap_bytes_done(&uri->uri);
    for (size_t i = 0; i < AP_CLOUD_OPTIONS_MAX; i++) ap_bytes_done(&uri->values[i]);
}

static struct ap_str cut(struct ap_str text, char mark, struct ap_str *rest)
{
    const char *at = text.size ? memchr(text.data, mark, text.size) : NULL;
    size_t size = at ? (size_t)(at - text.data) : text.size;
    *rest = at ? (struct ap_str) { at + 1, text.size - size - 1 } : (struct ap_str) { "", 0 };
    return (struct ap_str) { text.data, size };
}

static bool bucket_is_good(struct ap_str bucket)
{
    if (bucket.size < BUCKET_MIN || bucket.size > BUCKET_MAX) return false;
    for (size_t i = 0; i < bucket.size; i++) {
        char c = bucket.data[i];
        bool inner = i > 0 && i + 1 < bucket.size;
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
                (inner && (c == '-' || c == '.' || c == '_'))))
            return false;
    }
    return true;
}

static enum apiary_code parse_options(struct ap_cloud_uri *out, const char *scheme,
    struct ap_str text, const char *const *known, struct apiary_error *err)
{
    while (text.size > 0) {
        struct ap_str value, one = cut(text, '&', &text), name = cut(one, '=', &value);
        size_t i = 0;
        while (known[i] && !ap_str_is(name, known[i])) i++;
        if (!known[i]) {
            AP_AUTO(ap_bytes) names = { 0 };
            for (i = 0; known[i]; i++)
                AP_TRY(ap_bytes_printf(&names, err, "%s%s", i ? ", " : "", known[i]));
            ap_fail(err, APIARY_INVALID, "storage %s://: there is no option '%.*s'", scheme,
                (int)(name.size < 40 ? name.size : 40), name.data);
            return ap_hint(
                err, "%s are known; credentials never stand in a URI", ap_bytes_text(&names));
        }
        ap_bytes_clear(&out->values[i]);
        if (ap_percent_decode(&out->values[i], value, err) != APIARY_OK || !out->values[i].size)
            return ap_fail(
                err, APIARY_INVALID, "storage %s://: bad value of option '%s'", scheme, known[i]);
        for (size_t at = 0; at < out->values[i].size; at++)
            if ((unsigned char)out->values[i].data[at] <= ' ' || out->values[i].data[at] == 0x7f)
                return ap_fail(err, APIARY_INVALID, "storage %s://: bad value of option '%s'",
                    scheme, known[i]);
    }
    return APIARY_OK;
}

static enum apiary_code parse(struct ap_cloud_uri *out, const char *scheme, struct ap_str whole,
    const char *const *known, struct apiary_error *err)
{
    struct ap_str query, path;
    whole = cut(whole, '?', &query);
    struct ap_str bucket = cut(whole, '/', &path);
    if (memchr(bucket.data, '@', bucket.size)) /* what stands before it may be a secret */
        return ap_fail(err, APIARY_INVALID,
            "storage %s://: the bucket's name comes first; credentials never stand in a URI", scheme);
    if (!bucket_is_good(bucket))
        return ap_fail(err, APIARY_INVALID, "storage %s://: '" AP_FMT "' is no bucket name", scheme,
            AP_ARG(bucket));
    while (path.size > 0 && path.data[path.size - 1] == '/') path.size--;
    AP_TRY(ap_bytes_add_str(&out->bucket, bucket, err));
    if (path.size > 0) {
        AP_TRY(ap_bytes_add_str(&out->prefix, path, err));
        AP_TRY(ap_store_key_check(ap_bytes_text(&out->prefix), err));
        AP_TRY(ap_bytes_add_text(&out->prefix, "/", err));
    }
    if (known) AP_TRY(parse_options(out, scheme, query, known, err));
    AP_TRY(ap_bytes_printf(&out->uri, err, "%s://" AP_FMT, scheme, AP_ARG(bucket)));
    if (path.size > 0) AP_TRY(ap_bytes_printf(&out->uri, err, "/" AP_FMT, AP_ARG(path)));
    char mark = '?';
    for (size_t i = 0; known && known[i]; i++) {
        if (out->values[i].size == 0) continue;
        AP_TRY(ap_bytes_printf(&out->uri, err, "%c%s=", mark, known[i]));
        AP_TRY(ap_percent_encode(&out->uri, ap_bytes_view(&out->values[i]), "-._~/:", err));
        mark = '&';
    }
    return APIARY_OK;
}

enum apiary_code ap_cloud_uri_parse(struct ap_cloud_uri *out, const char *scheme, const char *text,
    const char *const *known, struct apiary_error *err)
{
    struct ap_cloud_uri parsed = { 0 };
    const char *rest = strstr(text, "://");
    if (!rest) return ap_fail(err, APIARY_INVALID, "storage %s://: no URI", scheme);
    enum apiary_code code = parse(&parsed, scheme, ap_str_from(rest + 3), known, err);
    if (code != APIARY_OK) {
        ap_cloud_uri_done(&parsed);
        return code;
    }
    *out = parsed;
    return APIARY_OK;
}

enum apiary_code ap_cloud_uri_flag(
    const char *name, const struct ap_bytes *value, bool *out, struct apiary_error *err)
{
    *out = ap_str_is(ap_bytes_view(value), "true");
    if (value->size == 0 || *out || ap_str_is(ap_bytes_view(value), "false")) return APIARY_OK;
    return ap_fail(err, APIARY_INVALID, "storage: option %s is true or false", name);
}

static struct ap_str host_of(struct ap_str endpoint)
{
    size_t skip = ap_str_starts_with(endpoint, AP_STR("http://"))    ? 7
                  : ap_str_starts_with(endpoint, AP_STR("https://")) ? 8
                                                                     : 0;
    struct ap_str rest;
    if (!skip) return (struct ap_str) { "", 0 };
    return cut((struct ap_str) { endpoint.data + skip, endpoint.size - skip }, '/', &rest);
}

bool ap_cloud_endpoint_is_good(struct ap_str endpoint)
{
    for (size_t i = 0; i < endpoint.size; i++) {
        char c = endpoint.data[i];
        bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                    (c && strchr(".-:[]_/~", c));
        if (!good) return false;
    }
    return host_of(endpoint).size > 0;
}

bool ap_cloud_endpoint_is_here(struct ap_str endpoint)
{
    static const char *const here[] = { "localhost", "127.0.0.1", "[::1]" };
    struct ap_str host = host_of(endpoint);
    for (size_t i = 0; i < sizeof here / sizeof *here; i++) {
        size_t size = strlen(here[i]);
        if (ap_str_starts_with(host, ap_str_from(here[i])) &&
            (host.size == size || host.data[size] == ':'))
            return true;
    }
    return false;
}
