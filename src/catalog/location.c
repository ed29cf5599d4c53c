/* Where a frame may lie, and names that this room keeps for itself (registry.h). */
#include "catalog/registry.h"

/* Folders of the root that are Apiary's own: no frame lies in them. */
static const char *const own_folders[] = { "_registry", "_swarm", "_queries" };

bool ap_location_is_own(struct ap_str part)
{
    for (size_t i = 0; i < sizeof own_folders / sizeof *own_folders; i++)
        if (ap_str_equal_nocase(part, ap_str_from(own_folders[i]))) return true;
    return false;
}

enum apiary_code ap_registry_name_check(
    enum ap_name_kind kind, const char *name, struct apiary_error *err)
{
    AP_TRY(ap_name_check(kind, ap_str_from(name), err));
    if (kind == AP_NAME_HIVE && ap_location_is_own(ap_str_from(name)))
        return ap_fail(err, APIARY_INVALID, "hive name '%s' is reserved", name);
    return APIARY_OK;
}

static enum apiary_code check_part(
    struct ap_str location, struct ap_str part, struct apiary_error *err)
{
    if (ap_str_is(part, ".") || ap_str_is(part, ".."))
        return ap_fail(err, APIARY_INVALID, "location '" AP_FMT "' has a part '" AP_FMT "'",
            AP_ARG(location), AP_ARG(part));
    if (memchr(part.data, '\\', part.size))
        return ap_fail(
            err, APIARY_INVALID, "location '" AP_FMT "' has a backslash", AP_ARG(location));
    return APIARY_OK;
}

/* Appends the parts of a path with one '/' between them. */
static enum apiary_code add_parts(
    struct ap_str location, struct ap_str path, struct ap_bytes *out, struct apiary_error *err)
{
    bool first = true;
    for (size_t at = 0; at < path.size;) {
        struct ap_str rest = { path.data + at, path.size - at };
        size_t slash = ap_str_find(rest, AP_STR("/"));
        struct ap_str part = { rest.data, slash < rest.size ? slash : rest.size };
        at += part.size + 1;
        if (part.size == 0) continue;
        AP_TRY(check_part(location, part, err));
        if (!first) AP_TRY(ap_bytes_add_text(out, "/", err));
        AP_TRY(ap_bytes_add_str(out, part, err));
        first = false;
    }
    if (first)
        return ap_fail(
            err, APIARY_INVALID, "location '" AP_FMT "' names no folder", AP_ARG(location));
    return APIARY_OK;
}

/* A key prefix inside the root: a key, and nothing of our own. */
static enum apiary_code check_inside(const struct ap_bytes *key, struct apiary_error *err)
{
    AP_TRY(ap_store_key_check(ap_bytes_text(key), err));
    const char *text = ap_bytes_text(key);
    if (ap_location_is_own((struct ap_str) { text, strcspn(text, "/") }))
        return ap_fail(err, APIARY_INVALID,
            "location '%s' lies in a folder that Apiary keeps for itself", text);
    if (text[0] == '.' || strstr(text, "/."))
        return ap_fail(err, APIARY_INVALID, "location '%s' has a part that begins with '.'", text);
    return APIARY_OK;
}

static bool is_scheme(struct ap_str scheme)
{
    if (scheme.size == 0 || scheme.size > 16) return false;
    for (size_t i = 0; i < scheme.size; i++) {
        char c = scheme.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '+' || c == '-';
        if (!letter && !(other && i > 0)) return false;
    }
    return true;
}

/* "scheme://host/path": no password, no query (where signatures travel), no fragment. */
static enum apiary_code add_uri(
    struct ap_str location, size_t colon, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_str rest = { location.data + colon + 3, location.size - colon - 3 };
    size_t host_size = ap_str_find(rest, AP_STR("/"));
    struct ap_str host = { rest.data, host_size < rest.size ? host_size : rest.size };
    if (!is_scheme((struct ap_str) { location.data, colon }))
        return ap_fail(err, APIARY_INVALID, "location '" AP_FMT "' is neither a path nor a URI",
            AP_ARG(location));
    /* Not quoted: the message must not repeat a secret. */
    if (memchr(rest.data, '?', rest.size) || memchr(rest.data, '#', rest.size))
        return ap_fail(err, APIARY_INVALID,
            "a location may have no '?' or '#': credentials do not belong in it");
    if (memchr(host.data, ':', host.size) && memchr(host.data, '@', host.size))
        return ap_fail(err, APIARY_INVALID,
            "a location may hold no password: credentials do not belong in it");
    AP_TRY(ap_bytes_add(out, location.data, colon + 3, err));
    bool local = host.size == 0;
    if (local) AP_TRY(ap_bytes_add_text(out, "/", err));
    return add_parts(location, rest, out, err);
}

static enum apiary_code add_location(
    struct ap_str location, bool external, struct ap_bytes *out, struct apiary_error *err)
{
    if (!external) {
        AP_TRY(add_parts(location, location, out, err));
        return check_inside(out, err);
    }
    if (location.data[0] == '/') {
        AP_TRY(ap_bytes_add_text(out, "/", err));
        return add_parts(location, location, out, err);
    }
    size_t colon = ap_str_find(location, AP_STR("://"));
    if (colon < location.size) return add_uri(location, colon, out, err);
    return ap_fail(err, APIARY_INVALID,
        "location '" AP_FMT "' is neither an absolute path nor a URI", AP_ARG(location));
}

enum apiary_code ap_location_normalise(
    struct ap_str location, bool external, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) normal = { 0 };
    if (location.size == 0) return ap_fail(err, APIARY_INVALID, "the location is empty");
    if (location.size > AP_REGISTRY_LOCATION_MAX)
        return ap_fail(err, APIARY_INVALID, "the location has %zu bytes; %d is the limit",
            location.size, AP_REGISTRY_LOCATION_MAX);
    if (!ap_utf8_valid(location)) return ap_fail(err, APIARY_INVALID, "the location is not UTF-8");
    for (size_t i = 0; i < location.size; i++)
        if ((unsigned char)location.data[i] < 0x20 || location.data[i] == 0x7F)
            return ap_fail(
                err, APIARY_INVALID, "the location has a control character at position %zu", i + 1);
    AP_TRY(add_location(location, external, &normal, err));
    ap_bytes_done(out);
    *out = AP_TAKE(normal);
    return APIARY_OK;
}
