#include "query/remote_files.h"
#include "query/file_list.h"

#include "core/alloc.h"
#include "storage/web.h"

enum { FILES_MAX = 100000, MATCH_STEPS_MAX = 100000 };

bool ap_files_remote(struct ap_str pattern)
{
    return ap_str_find(pattern, AP_STR("://")) != SIZE_MAX &&
           !ap_str_starts_with(pattern, AP_STR("file://"));
}

/* ---- patterns ---- */

/* [a-z] at `pattern`: does `c` belong to it? *end is behind the ']'. False too when it has none. */
static bool in_class(const char *pattern, char c, const char **end)
{
    const char *at = pattern + 1;
    bool negated = *at == '!' || *at == '^', found = false;
    if (negated) at++;
    for (const char *first = at; *at && (*at != ']' || at == first); at++) {
        if (at[1] == '-' && at[2] && at[2] != ']') {
            found |= c >= at[0] && c <= at[2];
            at += 2;
        } else
            found |= c == *at;
    }
    *end = *at ? at + 1 : at;
    return *at && c && c != '/' && found != negated;
}

static bool match(const char *pattern, const char *key, int *steps)
{
    while (*pattern) {
        if (--*steps < 0) return false;
        if (*pattern == '*') {
            bool deep = pattern[1] == '*';
            while (*pattern == '*') pattern++;
            if (deep && *pattern == '/' && match(pattern + 1, key, steps)) return true;
            for (;; key++) {
                if (match(pattern, key, steps)) return true;
                if (!*key || (*key == '/' && !deep)) return false;
            }
        }
        if (*pattern == '[') {
            if (!in_class(pattern, *key, &pattern)) return false;
        } else {
            bool one = *pattern == '?' ? *key && *key != '/' : *pattern == *key;
            if (!one) return false;
            pattern++;
        }
        key++;
    }
    return !*key;
}

bool ap_glob_match(const char *pattern, const char *key)
{
    int steps = MATCH_STEPS_MAX;
    return match(pattern, key, &steps);
}

/* ---- places ---- */

/* Where its options begin, or its end. A '?' is a pattern too; options have a '=' and no '/' before
 * it. */
static size_t options_of(struct ap_str uri)
{
    for (size_t i = uri.size; i > 0; i--) {
        if (uri.data[i - 1] != '?') continue;
        const char *equal = memchr(uri.data + i, '=', uri.size - i);
        if (equal && !memchr(uri.data + i, '/', (size_t)(equal - uri.data) - i)) return i - 1;
    }
    return uri.size;
}

struct ap_str ap_remote_plain(struct ap_str uri)
{
    size_t size = options_of(uri);
    if (ap_web_is(uri))
        for (size = 0; size < uri.size && uri.data[size] != '?' && uri.data[size] != '#';) size++;
    return (struct ap_str) { uri.data, size };
}

enum apiary_code ap_remote_shown(struct ap_str uri, struct ap_bytes *out, struct apiary_error *err)
{
    return ap_web_is(uri) ? ap_web_shown(uri, out, err) : ap_bytes_add_str(out, uri, err);
}

/* Where the path begins: at a '/', or where the options do. */
static size_t path_of(struct ap_str uri, size_t options_at)
{
    size_t scheme = ap_str_find(uri, AP_STR("://"));
    ap_assert(scheme != SIZE_MAX);
    const char *slash = memchr(uri.data + scheme + 3, '/', options_at - scheme - 3);
    return slash ? (size_t)(slash - uri.data) : options_at;
}

enum apiary_code ap_remote_bucket(struct ap_str uri, struct ap_bytes *out, struct apiary_error *err)
{
    size_t options_at = options_of(uri);
    AP_TRY(ap_bytes_add(out, uri.data, path_of(uri, options_at), err));
    return ap_bytes_add(out, uri.data + options_at, uri.size - options_at, err);
}

enum apiary_code ap_remote_place(struct ap_world *world, struct ap_str uri,
    struct ap_store **store, struct ap_bytes *key, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) root = { 0 };
    if (ap_web_is(uri)) return ap_frames_web(world->frames, uri, store, key, err);
    size_t options_at = options_of(uri), path_at = path_of(uri, options_at);
    if (path_at + 1 >= options_at)
        return ap_fail(err, APIARY_INVALID, AP_FMT " names no file", AP_ARG(uri));
    AP_TRY(ap_remote_bucket(uri, &root, err));
    AP_TRY(ap_bytes_add(key, uri.data + path_at + 1, options_at - path_at - 1, err));
    return ap_frames_store(world->frames, ap_bytes_text(&root), store, err);
}

/* ---- granting ---- */

static enum apiary_code grant(struct ap_source *source, struct ap_store *store, const char *key,
    const struct ap_object *object, bool parquet, struct ap_texts *names, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    AP_TRY(ap_cell_set_add_object(source->cells, store, key, object, parquet, &name, err));
    struct ap_named_file file = { .name = ap_bytes_text(&name), .store = store, .key = key, .object = *object };
    AP_TRY(ap_file_note(source, &file, err));
    return ap_texts_add(names, ap_bytes_view(&name), err);
}

static enum apiary_code grant_one(struct ap_source *source, struct ap_store *store, const char *key,
    struct ap_str uri, bool parquet, struct ap_texts *names, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) nothing = { 0 };
    struct ap_object object = { 0 };
    enum apiary_code code =
        ap_store_get(store, key, (struct ap_range) { 0, 0, false }, &nothing, &object, err);
    if (code == APIARY_NOT_FOUND) {
        AP_AUTO(ap_bytes) shown = { 0 };
        AP_TRY(ap_remote_shown(uri, &shown, err));
        return ap_fail(err, APIARY_NOT_FOUND, "there is no file %s", ap_bytes_text(&shown));
    }
    if (code != APIARY_OK) return code;
    return grant(source, store, key, &object, parquet, names, err);
}

enum apiary_code ap_remote_grant(struct ap_source *source, struct ap_str uri, bool parquet,
    struct ap_texts *names, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) pattern = { 0 };
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    struct ap_store *store = NULL;
    AP_TRY(ap_remote_place(source->session->world, uri, &store, &pattern, err));
    const char *text = ap_bytes_text(&pattern);
    size_t plain = strcspn(text, "*?[");
    if (ap_web_is(uri) && text[plain]) {
        AP_AUTO(ap_bytes) shown = { 0 };
        AP_TRY(ap_remote_shown(uri, &shown, err));
        ap_fail(err, APIARY_UNSUPPORTED, "%s: files of a web server cannot be listed",
            ap_bytes_text(&shown));
        return ap_hint(err, "name each file: ['https://…/1.parquet', 'https://…/2.parquet']");
    }
    if (!text[plain]) return grant_one(source, store, text, uri, parquet, names, err);

    AP_TRY(ap_bytes_add(&prefix, text, plain, err));
    const struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    AP_TRY(ap_store_list(store, &request, &list, err));
    size_t found = 0;
    for (size_t i = 0; i < list.count; i++) {
        const char *key = list.objects[i].key;
        if (!ap_glob_match(text, key)) continue;
        if (++found > FILES_MAX)
            return ap_fail(
                err, APIARY_LIMIT, AP_FMT " means more than %d files", AP_ARG(uri), FILES_MAX);
        AP_TRY(grant(source, store, key, &list.objects[i], parquet, names, err));
    }
    return found ? APIARY_OK
                 : ap_fail(err, APIARY_NOT_FOUND, "there is no file " AP_FMT, AP_ARG(uri));
}
