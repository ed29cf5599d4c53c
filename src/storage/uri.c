/* The URI of a root: what users type, made absolute and unique.
 *
 * Two names of one directory (through a link, "..", or a relative path) give one canonical URI, so
 * that caches and comparisons by URI hold. What exists already is resolved by the kernel's rules;
 * the part that is still to be created is cleaned as text. */
#include "storage/store_private.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "storage/s3_private.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

enum { URI_MAX = PATH_MAX };

void ap_root_done(struct ap_root *root)
{
    ap_bytes_done(&root->uri);
    ap_bytes_done(&root->path);
}

/* "name://" at the front: its length without "://", else 0. */
static size_t scheme_length(struct ap_str uri)
{
    size_t at = ap_str_find(uri, AP_STR("://"));
    if (at == SIZE_MAX || at == 0) return 0;
    for (size_t i = 0; i < at; i++) {
        char c = uri.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool later = (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.';
        if (!letter && !(i > 0 && later)) return 0;
    }
    return at;
}

/* Adds text's segments to an absolute path, cleaning "", "." and "..". */
static enum apiary_code add_segments(
    struct ap_bytes *path, struct ap_str text, struct apiary_error *err)
{
    size_t at = 0;
    while (at < text.size) {
        size_t end = at;
        while (end < text.size && text.data[end] != '/') end++;
        struct ap_str segment = { text.data + at, end - at };
        at = end + 1;
        if (segment.size == 0 || ap_str_is(segment, ".")) continue;
        if (ap_str_is(segment, "..")) {
            while (path->size > 0 && path->data[path->size - 1] != '/') path->size--;
            if (path->size > 0) path->size--;
            if (path->data) path->data[path->size] = 0;
            continue;
        }
        AP_TRY(ap_bytes_add_text(path, "/", err));
        AP_TRY(ap_bytes_add_str(path, segment, err));
    }
    return APIARY_OK;
}

/* The longest part of an absolute path that exists, resolved, and the rest as text. */
static enum apiary_code resolve(struct ap_str path, struct ap_bytes *out, struct apiary_error *err)
{
    char head[PATH_MAX], resolved[PATH_MAX];
    size_t size = path.size;
    if (size >= sizeof head)
        return ap_fail(err, APIARY_INVALID, "storage path is longer than %d bytes", PATH_MAX);
    memcpy(head, path.data, size);
    for (;;) {
        head[size] = 0;
        if (realpath(size ? head : "/", resolved)) break;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return ap_fail_errno(err, errno, "storage %s", head);
        while (size > 0 && head[size - 1] == '/') size--;
        while (size > 0 && head[size - 1] != '/') size--;
    }
    if (strcmp(resolved, "/") != 0) AP_TRY(ap_bytes_add_text(out, resolved, err));
    return add_segments(out, (struct ap_str) { path.data + size, path.size - size }, err);
}

static enum apiary_code absolute(struct ap_str text, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) whole = { 0 };
    if (text.size == 0) return ap_fail(err, APIARY_INVALID, "the storage path is empty");
    if (memchr(text.data, 0, text.size))
        return ap_fail(err, APIARY_INVALID, "the storage path holds a NUL byte");
    if (text.data[0] == '~' && (text.size == 1 || text.data[1] == '/')) {
        const char *home = getenv("HOME");
        if (!home || home[0] != '/')
            return ap_fail(
                err, APIARY_INVALID, "storage '" AP_FMT "': HOME is not set", AP_ARG(text));
        AP_TRY(ap_bytes_add_text(&whole, home, err));
        text = (struct ap_str) { text.data + 1, text.size - 1 };
    } else if (text.data[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here))
            return ap_fail_errno(err, errno, "cannot tell the current directory");
        AP_TRY(ap_bytes_add_text(&whole, here, err));
        AP_TRY(ap_bytes_add_text(&whole, "/", err));
    }
    AP_TRY(ap_bytes_add_str(&whole, text, err));
    AP_TRY(resolve(ap_bytes_view(&whole), out, err));
    if (out->size == 0) AP_TRY(ap_bytes_add_text(out, "/", err));
    return APIARY_OK;
}

static enum apiary_code parse_memory(
    struct ap_root *root, struct ap_str name, struct apiary_error *err)
{
    for (size_t i = 0; i < name.size; i++) {
        unsigned char c = (unsigned char)name.data[i];
        if (c <= ' ' || c == 0x7f || c == '/')
            return ap_fail(err, APIARY_INVALID,
                "storage 'memory://" AP_FMT "': a plain name is wanted", AP_ARG(name));
    }
    root->kind = AP_ROOT_MEMORY;
    AP_TRY(ap_bytes_add_text(&root->uri, "memory://", err));
    return ap_bytes_add_str(&root->uri, name, err);
}

static enum apiary_code parse_s3(struct ap_root *root, const char *uri, struct apiary_error *err)
{
    AP_AUTO(ap_s3_place) place = { 0 };
    AP_TRY(ap_s3_place_parse(&place, uri, err));
    root->kind = AP_ROOT_S3;
    root->uri = AP_TAKE(place.uri);
    return APIARY_OK;
}

static enum apiary_code parse(struct ap_root *root, const char *uri, struct apiary_error *err)
{
    struct ap_str text = ap_str_from(uri);
    if (text.size > URI_MAX)
        return ap_fail(err, APIARY_INVALID, "storage URI is longer than %d bytes", URI_MAX);
    size_t length = scheme_length(text);
    if (length == 0) {
        AP_TRY(absolute(text, &root->path, err));
    } else {
        struct ap_str scheme = { text.data, length };
        struct ap_str rest = { text.data + length + 3, text.size - length - 3 };
        if (ap_str_equal_nocase(scheme, AP_STR("memory"))) return parse_memory(root, rest, err);
        if (ap_str_equal_nocase(scheme, AP_STR("file"))) {
            AP_AUTO(ap_bytes) decoded = { 0 };
            if (ap_str_starts_with(rest, AP_STR("localhost/")))
                rest = (struct ap_str) { rest.data + 9, rest.size - 9 };
            if (rest.size == 0 || rest.data[0] != '/')
                return ap_fail(err, APIARY_INVALID,
                    "storage '%s': file:// wants an absolute path of this machine", uri);
            if (ap_percent_decode(&decoded, rest, err) != APIARY_OK)
                return ap_fail(err, APIARY_INVALID, "storage '%s': bad %% escape", uri);
            AP_TRY(absolute(ap_bytes_view(&decoded), &root->path, err));
        } else if (ap_str_equal_nocase(scheme, AP_STR("local"))) {
            AP_TRY(absolute(rest, &root->path, err));
        } else if (ap_str_is(scheme, "s3")) {
            return parse_s3(root, uri, err);
        } else if (ap_str_is(scheme, "gs")) {
            root->kind = AP_ROOT_GCS;
            return ap_gcs_canonical(uri, &root->uri, err);
        } else if (ap_str_is(scheme, "az") || ap_str_is(scheme, "azure")) {
            root->kind = AP_ROOT_AZURE;
            return ap_azure_canonical(uri, &root->uri, err);
        } else {
            /* Only the scheme is named: what follows may hold a secret. */
            ap_fail(err, APIARY_UNSUPPORTED, "storage of kind '" AP_FMT "://' is not supported",
                AP_ARG(scheme));
            return ap_hint(
                err, "use a directory, local://, file://, s3://, gs://, az:// or memory://");
        }
    }
    AP_TRY(ap_bytes_add_text(&root->uri, "local://", err));
    return ap_bytes_add_str(&root->uri, ap_bytes_view(&root->path), err);
}

enum apiary_code ap_root_parse(struct ap_root *root, const char *uri, struct apiary_error *err)
{
    struct ap_root parsed = { 0 };
    enum apiary_code code = parse(&parsed, uri, err);
    if (code != APIARY_OK) {
        ap_root_done(&parsed);
        return code;
    }
    *root = parsed;
    return APIARY_OK;
}

enum apiary_code ap_store_canonical(const char *uri, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_root) root = { 0 };
    AP_TRY(ap_root_parse(&root, uri, err));
    ap_bytes_done(out);
    *out = AP_TAKE(root.uri);
    return APIARY_OK;
}
