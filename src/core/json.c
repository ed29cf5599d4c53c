#include "core/json.h"

#include "core/alloc.h"

static void *json_malloc(void *context, size_t size)
{
    (void)context;
    return ap_realloc(NULL, size);
}

static void *json_realloc(void *context, void *memory, size_t old_size, size_t size)
{
    (void)context;
    (void)old_size;
    return ap_realloc(memory, size);
}

static void json_free(void *context, void *memory)
{
    (void)context;
    ap_free(memory);
}

const yyjson_alc *ap_json_alc(void)
{
    static const yyjson_alc alc = { json_malloc, json_realloc, json_free, NULL };
    return &alc;
}

/* Offset of the bracket that opens one level too many, or SIZE_MAX. yyjson has no
 * limit of its own. Strings are skipped by their quotes and backslashes; text that
 * is no JSON may be misjudged here and is refused by the parser then. */
static size_t too_deep_at(struct ap_str text, size_t depth_max)
{
    size_t depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '[' || c == '{') {
            if (++depth > depth_max) return i;
        } else if (c == ']' || c == '}') {
            if (depth) depth--;
        }
    }
    return SIZE_MAX;
}

enum apiary_code ap_json_parse(
    struct ap_str text, const char *what, yyjson_doc **out, struct apiary_error *err)
{
    return ap_json_parse_deep(text, what, AP_JSON_DEPTH_MAX, out, err);
}

enum apiary_code ap_json_parse_deep(struct ap_str text, const char *what, size_t depth_max,
    yyjson_doc **out, struct apiary_error *err)
{
    if (text.size > AP_JSON_SIZE_MAX)
        return ap_fail(err, APIARY_CORRUPT, "%s: %zu bytes of JSON are too many", what, text.size);
    size_t deep = too_deep_at(text, depth_max);
    if (deep != SIZE_MAX)
        return ap_fail(err, APIARY_CORRUPT, "%s: JSON nested deeper than %zu levels at byte %zu",
            what, depth_max, deep);
    if (text.size == 0)
        return ap_fail(err, APIARY_CORRUPT, "%s: empty, where JSON is expected", what);
    yyjson_read_err problem = { 0 };
    /* Without YYJSON_READ_INSITU the text is only read, whatever the type says. */
    yyjson_doc *doc = yyjson_read_opts((char *)(uintptr_t)text.data, text.size,
        YYJSON_READ_BIGNUM_AS_RAW, ap_json_alc(), &problem);
    if (!doc && problem.code == YYJSON_READ_ERROR_MEMORY_ALLOCATION)
        return ap_fail_memory(err, what);
    if (!doc)
        return ap_fail(err, APIARY_CORRUPT, "%s: no valid JSON at byte %zu: %s", what, problem.pos,
            problem.msg ? problem.msg : "unknown");
    *out = doc;
    return APIARY_OK;
}

void ap_json_doc_free(yyjson_doc **doc)
{
    yyjson_doc_free(*doc);
    *doc = NULL;
}

void ap_json_mut_free(yyjson_mut_doc **doc)
{
    yyjson_mut_doc_free(*doc);
    *doc = NULL;
}

yyjson_val *ap_json_member(yyjson_val *object, const char *key)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    return value && !yyjson_is_null(value) ? value : NULL;
}

bool ap_json_str(yyjson_val *object, const char *key, struct ap_str *out)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    if (!yyjson_is_str(value)) return false;
    *out = (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) };
    return true;
}

bool ap_json_i64(yyjson_val *object, const char *key, int64_t *out)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    if (yyjson_is_uint(value)) {
        uint64_t number = yyjson_get_uint(value);
        if (number > INT64_MAX) return false;
        *out = (int64_t)number;
        return true;
    }
    if (!yyjson_is_sint(value)) return false;
    *out = yyjson_get_sint(value);
    return true;
}

bool ap_json_bool(yyjson_val *object, const char *key, bool *out)
{
    yyjson_val *value = yyjson_obj_get(object, key);
    if (!yyjson_is_bool(value)) return false;
    *out = yyjson_get_bool(value);
    return true;
}

/* Takes over what yyjson wrote. */
static enum apiary_code add_written(struct ap_bytes *out, char *text, size_t size,
    const yyjson_write_err *problem, struct apiary_error *err)
{
    if (!text && problem->code == YYJSON_WRITE_ERROR_MEMORY_ALLOCATION)
        return ap_fail_memory(err, "JSON text");
    if (!text)
        return ap_fail(err, APIARY_INVALID, "cannot be written as JSON: %s",
            problem->msg ? problem->msg : "unknown");
    enum apiary_code code = ap_bytes_add(out, text, size, err);
    ap_free(text);
    return code;
}

enum apiary_code ap_json_write(yyjson_mut_doc *doc, struct ap_bytes *out, struct apiary_error *err)
{
    yyjson_write_err problem = { 0 };
    size_t size = 0;
    char *text = yyjson_mut_write_opts(doc, YYJSON_WRITE_NOFLAG, ap_json_alc(), &size, &problem);
    return add_written(out, text, size, &problem, err);
}

enum apiary_code ap_json_write_val(yyjson_val *val, struct ap_bytes *out, struct apiary_error *err)
{
    yyjson_write_err problem = { 0 };
    size_t size = 0;
    char *text = yyjson_val_write_opts(val, YYJSON_WRITE_NOFLAG, ap_json_alc(), &size, &problem);
    return add_written(out, text, size, &problem, err);
}

size_t ap_json_escape(struct ap_str text, char out[8], size_t *taken)
{
    static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt",
                      digits[] = "0123456789abcdef";
    size_t length = ap_utf8_length(text);
    *taken = length ? length : 1;
    if (length == 0) {
        memcpy(out, "\xEF\xBF\xBD", 3);
        return 3;
    }
    char c = text.data[0];
    const char *found = c ? strchr(named, c) : NULL;
    if (found) {
        out[0] = '\\';
        out[1] = names[found - named];
        return 2;
    }
    if ((unsigned char)c >= 0x20) {
        memcpy(out, text.data, length);
        return length;
    }
    memcpy(out, "\\u00", 4);
    out[4] = digits[c >> 4];
    out[5] = digits[c & 15];
    return 6;
}

enum apiary_code ap_json_quote(struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    if (text.size > SIZE_MAX / 8) return ap_fail(err, APIARY_LIMIT, "too long for a JSON string");
    AP_TRY(ap_bytes_reserve(out, text.size + 2, err));
    size_t before = out->size;
    out->data[out->size++] = '"';
    while (text.size) {
        char piece[8];
        size_t taken, size = ap_json_escape(text, piece, &taken);
        /* The piece, the rest as it is, and the quote behind it. */
        if (ap_bytes_reserve(out, size + text.size - taken + 1, err) != APIARY_OK) {
            out->size = before;
            out->data[before] = 0;
            return APIARY_MEMORY;
        }
        memcpy(out->data + out->size, piece, size);
        out->size += size;
        text.data += taken;
        text.size -= taken;
    }
    out->data[out->size++] = '"';
    out->data[out->size] = 0;
    return APIARY_OK;
}
