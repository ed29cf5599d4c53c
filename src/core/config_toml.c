#include "core/config_toml.h"

struct reader {
    const char *path;
    int line;
    struct ap_str rest; /* of the current line */
    struct ap_bytes key;
    struct ap_bytes value;
};

static void reader_done(struct reader *reader)
{
    ap_bytes_done(&reader->key);
    ap_bytes_done(&reader->value);
}

static enum apiary_code wrong(struct reader *reader, struct apiary_error *err, const char *what)
{
    return ap_fail(err, APIARY_CONFIG, "%s:%d: %s", reader->path, reader->line, what);
}

static void advance(struct ap_str *text, size_t count)
{
    text->data += count;
    text->size -= count;
}

static void skip_blanks(struct ap_str *text)
{
    while (text->size && (text->data[0] == ' ' || text->data[0] == '\t')) advance(text, 1);
}

static bool is_bare(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

/* ---- strings ---- */

static enum apiary_code add_code_point(
    struct reader *reader, uint32_t point, struct apiary_error *err)
{
    char out[4];
    size_t size;
    if (point == 0 || point > 0x10FFFF || (point >= 0xD800 && point < 0xE000))
        return wrong(reader, err, "a \\u escape that is no character");
    if (point < 0x80) {
        out[0] = (char)point;
        size = 1;
    } else if (point < 0x800) {
        out[0] = (char)(0xC0 | point >> 6);
        out[1] = (char)(0x80 | (point & 0x3F));
        size = 2;
    } else if (point < 0x10000) {
        out[0] = (char)(0xE0 | point >> 12);
        out[1] = (char)(0x80 | (point >> 6 & 0x3F));
        out[2] = (char)(0x80 | (point & 0x3F));
        size = 3;
    } else {
        out[0] = (char)(0xF0 | point >> 18);
        out[1] = (char)(0x80 | (point >> 12 & 0x3F));
        out[2] = (char)(0x80 | (point >> 6 & 0x3F));
        out[3] = (char)(0x80 | (point & 0x3F));
        size = 4;
    }
    return ap_bytes_add(&reader->value, out, size, err);
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Behind the backslash. */
static enum apiary_code read_escape(struct reader *reader, struct apiary_error *err)
{
    static const char named[] = "btnfr\"\\", means[] = "\b\t\n\f\r\"\\";
    if (reader->rest.size == 0) return wrong(reader, err, "the string has no end");
    char c = reader->rest.data[0];
    advance(&reader->rest, 1);
    const char *found = c ? strchr(named, c) : NULL;
    if (found) return ap_bytes_add(&reader->value, &means[found - named], 1, err);
    size_t digits = c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (digits == 0)
        return wrong(reader, err,
            "an unknown escape in a string ('single quotes' take backslashes as they are)");
    uint32_t point = 0;
    for (size_t i = 0; i < digits; i++) {
        int value = i < reader->rest.size ? hex_value(reader->rest.data[i]) : -1;
        if (value < 0) return wrong(reader, err, "a \\u escape without its digits");
        point = point << 4 | (uint32_t)value;
    }
    advance(&reader->rest, digits);
    return add_code_point(reader, point, err);
}

static enum apiary_code read_string(struct reader *reader, struct apiary_error *err)
{
    char quote = reader->rest.data[0];
    if (reader->rest.size >= 3 && reader->rest.data[1] == quote && reader->rest.data[2] == quote)
        return wrong(reader, err, "strings over several lines are not supported");
    advance(&reader->rest, 1);
    while (reader->rest.size && reader->rest.data[0] != quote) {
        char c = reader->rest.data[0];
        if (((unsigned char)c < ' ' && c != '\t') || c == 0x7F)
            return wrong(reader, err, "a control character in a string");
        advance(&reader->rest, 1);
        if (c == '\\' && quote == '"')
            AP_TRY(read_escape(reader, err));
        else
            AP_TRY(ap_bytes_add(&reader->value, &c, 1, err));
        if (reader->value.size > AP_TOML_VALUE_MAX)
            return wrong(reader, err, "the value is too long");
    }
    if (reader->rest.size == 0) return wrong(reader, err, "the string has no end");
    advance(&reader->rest, 1);
    return APIARY_OK;
}

/* ---- numbers and booleans ---- */

/* digits with single underscores between them; the value gets the digits */
static size_t take_digits(struct reader *reader, struct ap_str word, size_t at,
    struct apiary_error *err, enum apiary_code *code)
{
    size_t start = at;
    while (at < word.size) {
        bool digit = word.data[at] >= '0' && word.data[at] <= '9';
        bool joint = word.data[at] == '_' && at > start && word.data[at - 1] != '_' &&
                     at + 1 < word.size && word.data[at + 1] >= '0' && word.data[at + 1] <= '9';
        if (!digit && !joint) break;
        if (digit && *code == APIARY_OK)
            *code = ap_bytes_add(&reader->value, word.data + at, 1, err);
        at++;
    }
    return at;
}

/* *is: the word is a decimal number; no sign but '-', no exponent: no setting needs them */
static enum apiary_code read_number(
    struct reader *reader, struct ap_str word, bool *is, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    size_t at = 0;
    *is = false;
    if (word.size && word.data[0] == '-') {
        AP_TRY(ap_bytes_add(&reader->value, "-", 1, err));
        at = 1;
    }
    size_t whole = take_digits(reader, word, at, err, &code);
    AP_TRY(code);
    if (whole == at) return APIARY_OK;
    if (whole < word.size && word.data[whole] == '.') {
        AP_TRY(ap_bytes_add(&reader->value, ".", 1, err));
        size_t end = take_digits(reader, word, whole + 1, err, &code);
        AP_TRY(code);
        if (end == whole + 1) return APIARY_OK;
        whole = end;
    }
    *is = whole == word.size;
    return APIARY_OK;
}

static enum apiary_code read_word(struct reader *reader, struct apiary_error *err)
{
    size_t size = 0;
    while (size < reader->rest.size && !strchr(" \t#", reader->rest.data[size])) size++;
    struct ap_str word = { reader->rest.data, size };
    advance(&reader->rest, size);
    if (ap_str_is(word, "true")) return ap_bytes_add_text(&reader->value, "on", err);
    if (ap_str_is(word, "false")) return ap_bytes_add_text(&reader->value, "off", err);
    bool number;
    AP_TRY(read_number(reader, word, &number, err));
    if (number) return APIARY_OK;
    return ap_fail(err, APIARY_CONFIG,
        "%s:%d: " AP_FMT " is no number, true or false; text stands in quotes: \"" AP_FMT "\"",
        reader->path, reader->line, AP_ARG(word), AP_ARG(word));
}

static enum apiary_code read_value(struct reader *reader, struct apiary_error *err)
{
    if (reader->rest.size == 0 || reader->rest.data[0] == '#')
        return wrong(reader, err, "a value is missing behind '='");
    switch (reader->rest.data[0]) {
        case '"':
        case '\'': return read_string(reader, err);
        case '[': return wrong(reader, err, "lists are not supported: no setting has one");
        case '{': return wrong(reader, err, "inline tables are not supported: no setting has one");
        default: return read_word(reader, err);
    }
}

/* ---- lines ---- */

static enum apiary_code read_key(struct reader *reader, struct apiary_error *err)
{
    char quote = reader->rest.data[0];
    if (quote == '"' || quote == '\'') {
        AP_TRY(read_string(reader, err));
        AP_TRY(ap_bytes_add_str(&reader->key, ap_bytes_view(&reader->value), err));
        ap_bytes_clear(&reader->value);
    } else {
        size_t size = 0;
        while (size < reader->rest.size && is_bare(reader->rest.data[size])) size++;
        AP_TRY(ap_bytes_add(&reader->key, reader->rest.data, size, err));
        advance(&reader->rest, size);
    }
    if (reader->key.size == 0) return wrong(reader, err, "expected a line like: key = value");
    if (reader->key.size > AP_TOML_KEY_MAX) return wrong(reader, err, "the key is too long");
    skip_blanks(&reader->rest);
    if (reader->rest.size && reader->rest.data[0] == '.')
        return wrong(reader, err, "dotted keys are not supported");
    return APIARY_OK;
}

static enum apiary_code read_pair(
    struct reader *reader, ap_toml_each *each, void *context, struct apiary_error *err)
{
    if (reader->rest.data[0] == '[')
        return wrong(reader, err, "tables are not supported: settings stand at the top level");
    AP_TRY(read_key(reader, err));
    if (reader->rest.size == 0 || reader->rest.data[0] != '=')
        return wrong(reader, err, "expected a line like: key = value");
    advance(&reader->rest, 1);
    skip_blanks(&reader->rest);
    AP_TRY(read_value(reader, err));
    skip_blanks(&reader->rest);
    if (reader->rest.size && reader->rest.data[0] != '#')
        return wrong(reader, err, "something stands behind the value");
    return each(
        context, ap_bytes_view(&reader->key), ap_bytes_view(&reader->value), reader->line, err);
}

enum apiary_code ap_toml_parse(struct ap_str text, const char *path, ap_toml_each *each,
    void *context, struct apiary_error *err)
{
    __attribute__((cleanup(reader_done))) struct reader reader = { .path = path };
    if (text.size > AP_TOML_SIZE_MAX)
        return ap_fail(err, APIARY_CONFIG, "%s: %zu bytes are more than the %d of a settings file",
            path, text.size, (int)AP_TOML_SIZE_MAX);
    if (ap_str_starts_with(text, AP_STR("\xEF\xBB\xBF"))) advance(&text, 3);
    while (text.size) {
        const char *end = memchr(text.data, '\n', text.size);
        size_t size = end ? (size_t)(end - text.data) : text.size;
        reader.rest = (struct ap_str) { text.data, size };
        advance(&text, end ? size + 1 : size);
        reader.line++;
        if (reader.rest.size && reader.rest.data[reader.rest.size - 1] == '\r') reader.rest.size--;
        if (!ap_utf8_valid(reader.rest) ||
            (reader.rest.size && memchr(reader.rest.data, 0, reader.rest.size)))
            return wrong(&reader, err, "this is no UTF-8 text");
        skip_blanks(&reader.rest);
        if (reader.rest.size == 0 || reader.rest.data[0] == '#') continue;
        ap_bytes_clear(&reader.key);
        ap_bytes_clear(&reader.value);
        AP_TRY(read_pair(&reader, each, context, err));
    }
    return APIARY_OK;
}
