/* The chamber's words in ours: a FAILED body becomes a code to branch on and one line.
 *
 * The engine's text is of several lines: the message, perhaps "Candidate bindings: …" or
 * "Did you mean …", perhaps the statement with a caret below. The first is ours to show, the
 * second is a hint, the third goes (positions refer to a text that the user may not have
 * written so). */
#include "core/json.h"
#include "core/time.h"
#include "runtime/pool_private.h"

#include <ctype.h>

struct kind {
    const char *type;
    enum apiary_code code;
    bool doubtful; /* the chamber should not serve another job */
};

static const struct kind kinds[] = {
    { "out_of_memory", APIARY_MEMORY, true },
    { "memory", APIARY_MEMORY, true },
    { "interrupt", APIARY_CANCELLED, false },
    { "cancelled", APIARY_CANCELLED, false },
    { "io", APIARY_IO, false },
    { "http", APIARY_DENIED, false },
    { "network", APIARY_DENIED, false },
    { "permission", APIARY_DENIED, false },
    { "missing_extension", APIARY_UNSUPPORTED, false },
    { "autoload", APIARY_UNSUPPORTED, false },
    { "not_implemented", APIARY_UNSUPPORTED, false },
    { "internal", APIARY_INTERNAL, true },
    { "fatal", APIARY_INTERNAL, true },
    { "null_pointer", APIARY_INTERNAL, true },
    { "input", APIARY_IO, false },
    { "corrupt", APIARY_CORRUPT, false },
    { "limit", APIARY_LIMIT, false },
};

static bool same_type(struct ap_str given, const char *type)
{
    if (given.size != strlen(type)) return false;
    for (size_t i = 0; i < given.size; i++) {
        char c = (char)tolower((unsigned char)given.data[i]);
        if (c == ' ' || c == '-') c = '_';
        if (c != type[i]) return false;
    }
    return true;
}

/* Cuts `text` before the first of these marks and says which part came behind it. */
static struct ap_str cut(struct ap_str *text, struct ap_str mark)
{
    size_t at = ap_str_find(*text, mark);
    if (at == SIZE_MAX) return (struct ap_str) { 0 };
    struct ap_str rest = { text->data + at, text->size - at };
    text->size = at;
    return rest;
}

static bool holds(struct ap_str text, const char *part)
{
    return ap_str_find(text, ap_str_from(part)) != SIZE_MAX;
}

enum apiary_code ap_failure(
    struct ap_str body, uint64_t budget_bytes, bool *doubtful, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_str type = AP_STR("internal"), message = AP_STR("");
    *doubtful = true;
    AP_TRY(ap_json_parse(body, "the chamber's error", &doc, err));
    ap_json_str(yyjson_doc_get_root(doc), "type", &type);
    ap_json_str(yyjson_doc_get_root(doc), "message", &message);

    enum apiary_code code = APIARY_SQL;
    *doubtful = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (!same_type(type, kinds[i].type)) continue;
        code = kinds[i].code;
        *doubtful = kinds[i].doubtful;
        break;
    }

    /* The chamber may have made one line of it already, without the statement. */
    static const char *const hint_marks[] = { "\nCandidate ",
        " Candidate bindings: ", "\nDid you mean ", " Did you mean \"" };
    struct ap_str hint = { 0 };
    cut(&message, AP_STR("\n\nLINE "));
    cut(&message, AP_STR("\nLINE "));
    for (size_t i = 0; i < sizeof hint_marks / sizeof hint_marks[0] && !hint.data; i++)
        hint = cut(&message, ap_str_from(hint_marks[i]));
    hint = ap_str_trim(hint);
    message = ap_str_trim(message);
    if (!message.size) message = AP_STR("the engine gave no reason");

    if (code == APIARY_MEMORY && holds(message, "max_temp_directory_size")) {
        ap_fail(
            err, APIARY_FULL, "the statement needs more scratch space than scratch_limit allows");
        ap_hint(err, "raise scratch_limit, or memory_limit so that less is spilled");
        return APIARY_FULL;
    }
    if (code == APIARY_MEMORY) {
        char budget[32];
        ap_size_format(budget_bytes, budget);
        ap_fail(err, code, "the statement needs more memory than its budget of %s", budget);
        ap_hint(err, "raise memory_limit, or lower bees so that each has more");
        return code;
    }
    if (code == APIARY_IO && holds(message, "No space left on device")) code = APIARY_FULL;
    if (code == APIARY_IO &&
        (holds(message, "Permission denied") || holds(message, "Operation not permitted")))
        code = APIARY_DENIED;
    if (code == APIARY_IO && (holds(message, "No files found") || holds(message, "No such file")))
        code = APIARY_NOT_FOUND;
    ap_fail(err, code, AP_FMT, AP_ARG(message));
    if (hint.size) ap_hint(err, AP_FMT, AP_ARG(hint));
    return code;
}
