/* Failures of a chamber in the user's words: virtual names become the files and cells that they
 * stand for, the engine's long CSV report becomes one line. */
#include "query/import.h"

#include "core/alloc.h"

enum { NAME_MAX_BYTES = 4096 };

static bool ends_name(char c)
{
    return c == '\0' || c == ' ' || c == '\'' || c == '"' || c == '\n' || c == ',' || c == ')';
}

/* Replaces every "/files/…" and "/cells/…" by what it stands for. */
static enum apiary_code real_names(
    struct ap_cell_set *cells, const char *message, struct ap_bytes *out)
{
    while (*message != '\0') {
        bool name = strncmp(message, "/files/", 7) == 0 || strncmp(message, "/cells/", 7) == 0;
        size_t length = 0;
        while (name && !ends_name(message[length]) && length < NAME_MAX_BYTES) length++;
        AP_AUTO(ap_bytes) real = { 0 };
        if (name && ap_cell_set_real_name(cells, (struct ap_str) { message, length }, &real)) {
            AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&real), NULL));
            message += length;
        } else
            AP_TRY(ap_bytes_add(out, message++, 1, NULL));
    }
    return APIARY_OK;
}

/* The text between two marks, or empty. */
static struct ap_str between(struct ap_str text, const char *from, const char *until)
{
    size_t start = ap_str_find(text, ap_str_from(from));
    if (start == SIZE_MAX) return (struct ap_str) { "", 0 };
    start += strlen(from);
    struct ap_str rest = { text.data + start, text.size - start };
    size_t end = ap_str_find(rest, ap_str_from(until));
    if (end != SIZE_MAX) rest.size = end;
    return ap_str_trim(rest);
}

/* "x.csv, line 3: Error when converting column "v". Could not convert string "x" to 'DOUBLE'" */
static enum apiary_code tell_csv(struct ap_str message, struct apiary_error *err)
{
    struct ap_str line = between(message, "CSV Error on Line: ", " "),
                  file = between(message, " file = ", " delimiter =");
    struct ap_str what = between(message, " Original Line: ", " Column ");
    size_t start = ap_str_find(what, AP_STR("Error when converting"));
    if (start == SIZE_MAX) start = ap_str_find(what, AP_STR("Expected Number of Columns"));
    if (start != SIZE_MAX) what = (struct ap_str) { what.data + start, what.size - start };
    size_t advice = ap_str_find(what, AP_STR(" Possible"));
    if (advice != SIZE_MAX) what.size = advice;
    return ap_fail(err, APIARY_SQL, AP_FMT ", line " AP_FMT ": " AP_FMT, AP_ARG(file), AP_ARG(line),
        AP_ARG(what));
}

/* The sniffer only says that it gave up, and a page of advice. */
static enum apiary_code tell_sniffing(
    struct ap_str message, enum apiary_code code, struct apiary_error *err)
{
    AP_AUTO_FREE char *path = ap_str_dup(between(message, "sniffing file \"", "\""));
    uint64_t line = 0;
    size_t columns = 0, expected = 0;
    if (path == NULL) return code;
    if (ap_csv_odd_row(path, &line, &columns, &expected))
        return ap_fail(err, APIARY_SQL, "%s, line %llu: %zu column%s where the first line has %zu",
            path, (unsigned long long)line, columns, columns == 1 ? "" : "s", expected);
    return ap_fail(err, APIARY_SQL, "%s cannot be read as CSV", path);
}

/* "JSON transform error in file "x.json", in line 3: …": the advice behind it is about how the engine was called. */
static enum apiary_code tell_json(struct ap_str message, struct apiary_error *err)
{
    static const char *const advices[] = { " Try increasing '", " Try setting '" };
    for (size_t i = 0; i < sizeof advices / sizeof *advices; i++) {
        struct ap_str advice = ap_str_from(advices[i]), rest = message;
        size_t at, last = 0;
        for (; (at = ap_str_find(rest, advice)) != SIZE_MAX; rest = (struct ap_str) { message.data + last, message.size - last })
            last = (size_t)(rest.data - message.data) + at + advice.size;
        if (last > 0) message.size = last - advice.size; /* words of the file may be like it: the last one is the engine's */
    }
    ap_fail(err, APIARY_SQL, AP_FMT, AP_ARG(ap_str_trim(message)));
    return ap_hint(err, "read_json takes columns, or a sample_size of -1 to look at every line before");
}

enum apiary_code ap_source_explain_failure(
    struct ap_source *source, enum apiary_code code, struct apiary_error *err)
{
    struct apiary_error trouble = { 0 };
    const char *mark = strstr(err->message, AP_SCHEMA_MARK);
    if (mark != NULL) { /* error() of a NULL check that fit.c wrote */
        trouble = *err;
        return ap_fail(err, APIARY_SCHEMA, "%s",
            trouble.message + (mark - err->message) + strlen(AP_SCHEMA_MARK));
    }
    bool ours = code == APIARY_CANCELLED || code == APIARY_MEMORY || code == APIARY_TIMEOUT ||
                code == APIARY_CHAMBER;
    if (source == NULL || ours) return code;
    /* The engine only saw an errno; the cell set knows which object it was. */
    if (ap_cell_set_trouble(source->cells, &trouble) != APIARY_OK) {
        *err = trouble;
        return (enum apiary_code)trouble.code;
    }
    AP_AUTO(ap_bytes) message = { 0 };
    if (real_names(source->cells, err->message, &message) != APIARY_OK) return code;
    if (ap_str_find(ap_bytes_view(&message), AP_STR("CSV Error on Line: ")) != SIZE_MAX)
        return tell_csv(ap_bytes_view(&message), err);
    if (ap_str_find(ap_bytes_view(&message),
            AP_STR("Set operations can only apply to expressions with the same number")) !=
        SIZE_MAX)
        return ap_fail(err, APIARY_SCHEMA, "the number of columns differs: %s",
            "each row needs a value for each column");
    if (ap_str_find(ap_bytes_view(&message), AP_STR("Error when sniffing file")) != SIZE_MAX)
        return tell_sniffing(ap_bytes_view(&message), code, err);
    if (code == APIARY_SQL && ap_str_starts_with(ap_bytes_view(&message), AP_STR("JSON transform error in file ")))
        return tell_json(ap_bytes_view(&message), err);
    snprintf(err->message, sizeof err->message, "%s", ap_bytes_text(&message));
    return code;
}
