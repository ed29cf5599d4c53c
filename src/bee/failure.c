#include "bee/failure.h"

#include "core/json.h"

#include <errno.h>
#include <inttypes.h>
#include <nanoarrow/nanoarrow.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENGINE_TEXT_MAX = 1 << 20 };

void bee_failure_init(struct bee_failure *why)
{
    memset(why, 0, sizeof *why);
    why->position = -1;
    why->setup = -1;
}

/* "Out of Memory" → "out_of_memory" */
static void set_type(struct bee_failure *why, struct ap_str type)
{
    size_t size = type.size < sizeof why->type - 1 ? type.size : sizeof why->type - 1;
    for (size_t i = 0; i < size; i++) {
        char c = type.data[i];
        bool word = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        why->type[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : word ? c : '_';
    }
    why->type[size] = '\0';
}

enum apiary_code bee_fail(
    struct bee_failure *why, const char *type, enum apiary_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ap_vfail(&why->err, code, format, args);
    va_end(args);
    set_type(why, ap_str_from(type));
    return code;
}

enum apiary_code bee_fail_arrow(
    struct bee_failure *why, int code, const struct ArrowError *error, const char *what)
{
    if (code == ENOMEM) return bee_fail(why, "memory", APIARY_MEMORY, "out of memory for %s", what);
    const char *text = error && error->message[0] ? error->message : "unknown error";
    return bee_fail(why, "internal", APIARY_INTERNAL, "%s: %s (%d)", what, text, code);
}

/* Sets a message of several lines as one: what follows the first line is joined to it. */
static enum apiary_code set_message(
    struct bee_failure *why, enum apiary_code code, struct ap_str text)
{
    char line[sizeof why->err.message];
    size_t used = 0;
    text = ap_str_trim(text);
    for (size_t i = 0; i < text.size && used + 1 < sizeof line; i++) {
        char c = text.data[i];
        bool space = c == '\n' || c == '\r' || c == '\t' || c == ' ';
        if (space && used && line[used - 1] == ' ') continue;
        line[used++] = space ? ' ' : c;
    }
    line[used] = '\0';
    return ap_fail(&why->err, code, "%s", line);
}

/* Drops what the engine's advice says about settings that are locked here. */
static struct ap_str without_advice(struct ap_str text)
{
    static const struct ap_str marks[] = { { "\n\nPossible solutions:", 21 },
        { " Use \"SET ", 10 } };
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        size_t advice = ap_str_find(text, marks[i]);
        if (advice != SIZE_MAX) text.size = advice;
    }
    return text;
}

static enum apiary_code settle(struct bee_failure *why, struct ap_str text)
{
    text = without_advice(text);
    if (ap_str_is(ap_str_from(why->type), "out_of_memory") ||
        ap_str_find(text, AP_STR("std::bad_alloc")) != SIZE_MAX) {
        set_type(why, AP_STR("memory"));
        return set_message(why, APIARY_MEMORY, text);
    }
    if (ap_str_is(ap_str_from(why->type), "interrupt")) set_type(why, AP_STR("cancelled"));
    bool cancelled = ap_str_is(ap_str_from(why->type), "cancelled");
    return set_message(why, cancelled ? APIARY_CANCELLED : APIARY_SQL, text);
}

/* {"exception_type":…,"exception_message":…,"position":"12",…}; false: not that. */
static bool from_json(struct bee_failure *why, struct ap_str json, enum apiary_code *code)
{
    AP_AUTO_JSON *doc = NULL;
    if (ap_json_parse(json, "engine error", &doc, NULL) != APIARY_OK) return false;
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct ap_str type, text, position;
    if (!ap_json_str(root, "exception_type", &type) ||
        !ap_json_str(root, "exception_message", &text))
        return false;
    set_type(why, type);
    uint64_t at = 0;
    if (ap_json_str(root, "position", &position) && ap_str_to_u64(position, &at) && at < INT64_MAX)
        why->position = (int64_t)at;
    *code = settle(why, text);
    return true;
}

/* "Binder Error: text" → type and text; other texts are kept whole. */
static enum apiary_code from_text(struct bee_failure *why, struct ap_str text)
{
    static const char mark[] = " Error: ";
    size_t at = ap_str_find(text, AP_STR(" Error: "));
    set_type(why, AP_STR("unknown"));
    if (at != SIZE_MAX && at < sizeof why->type) {
        set_type(why, (struct ap_str) { text.data, at });
        size_t skip = at + sizeof mark - 1;
        text = (struct ap_str) { text.data + skip, text.size - skip };
    }
    size_t line = ap_str_find(text, AP_STR("\n\nLINE "));
    if (line != SIZE_MAX) text.size = line;
    return settle(why, text);
}

enum apiary_code bee_fail_engine(struct bee_failure *why, const char *message)
{
    struct ap_str text = ap_str_from(message && *message ? message : "the engine gave no reason");
    if (text.size > ENGINE_TEXT_MAX) text.size = ENGINE_TEXT_MAX;
    size_t brace = ap_str_find(text, AP_STR("{\"exception_type\""));
    enum apiary_code code = APIARY_SQL;
    if (brace != SIZE_MAX &&
        from_json(why, (struct ap_str) { text.data + brace, text.size - brace }, &code))
        return code;
    static const char wrapper[] =
        "Attempting to execute an unsuccessful or closed pending query result";
    size_t wrapped = ap_str_find(text, AP_STR("\nError: "));
    if (wrapped != SIZE_MAX && ap_str_find(text, ap_str_from(wrapper)) != SIZE_MAX)
        text = (struct ap_str) { text.data + wrapped + 8, text.size - wrapped - 8 };
    return from_text(why, text);
}

static const char *type_of(const struct bee_failure *why)
{
    if (why->type[0]) return why->type;
    switch (why->err.code) {
        case APIARY_MEMORY: return "memory";
        case APIARY_CANCELLED: return "cancelled";
        case APIARY_INVALID: return "invalid_input";
        case APIARY_DENIED: return "permission";
        default: return "internal";
    }
}

static enum apiary_code add_number(
    struct ap_bytes *out, const char *name, int64_t number, struct apiary_error *err)
{
    if (number < 0) return ap_bytes_printf(out, err, ",\"%s\":null", name);
    return ap_bytes_printf(out, err, ",\"%s\":%" PRId64, name, number);
}

enum apiary_code bee_failure_json(
    const struct bee_failure *why, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "{\"type\":\"%s\",\"message\":", type_of(why)));
    AP_TRY(ap_json_quote(out, ap_str_from(why->err.message), err));
    AP_TRY(add_number(out, "position", why->position, err));
    AP_TRY(add_number(out, "setup", why->setup, err));
    return ap_bytes_add_text(out, "}", err);
}
