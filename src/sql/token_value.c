#include "sql/lexer.h"

static enum apiary_code fail_token(
    const struct ap_token *token, const char *why, struct apiary_error *err)
{
    enum { SHOWN_MAX = 60 };
    bool cut = token->text.size > SHOWN_MAX;
    return ap_fail(err, APIARY_SQL, "%s: %.*s%s", why, cut ? SHOWN_MAX : (int)token->text.size,
        token->text.data, cut ? "…" : "");
}

/* One escape of an E'…' string at *at (behind the backslash). \u and bytes above 7F are refused by
 * the engine as well. */
static enum apiary_code add_escape(const struct ap_token *token, struct ap_str text, size_t *at,
    struct ap_bytes *out, struct apiary_error *err)
{
    static const char names[] = "bfnrt", bytes[] = "\b\f\n\r\t";
    char c = *at < text.size ? text.data[*at] : 0;
    const char *named = c ? strchr(names, c) : NULL;
    unsigned value = 0;
    size_t digits = 0;
    if (named) {
        c = bytes[named - names];
        (*at)++;
        return ap_bytes_add(out, &c, 1, err);
    }
    if (c == 'u' || c == 'U')
        return fail_token(token, "\\u escapes are not supported in E'…' strings", err);
    if (c == 'x') {
        for (*at += 1; digits < 2 && *at < text.size; digits++, (*at)++) {
            char h = text.data[*at];
            if (h >= '0' && h <= '9')
                value = value * 16 + (unsigned)(h - '0');
            else if ((h | 0x20) >= 'a' && (h | 0x20) <= 'f')
                value = value * 16 + (unsigned)((h | 0x20) - 'a' + 10);
            else
                break;
        }
        if (!digits) return ap_bytes_add(out, "x", 1, err);
    } else if (c >= '0' && c <= '7') {
        for (; digits < 3 && *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '7';
             digits++, (*at)++)
            value = value * 8 + (unsigned)(text.data[*at] - '0');
    } else {
        (*at)++;
        return ap_bytes_add(out, &c, 1, err);
    }
    if (value == 0 || value > 0x7F)
        return fail_token(token, "an escape of the string is no ASCII character", err);
    c = (char)value;
    return ap_bytes_add(out, &c, 1, err);
}

/* The inside of quotes, with the doubled quote undone; *at moves behind the closing quote. */
static enum apiary_code add_quoted(const struct ap_token *token, size_t *at, bool backslash,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_str text = token->text;
    char quote = text.data[(*at)++];
    while (*at < text.size) {
        size_t from = *at;
        while (*at < text.size && text.data[*at] != quote && !(backslash && text.data[*at] == '\\'))
            (*at)++;
        AP_TRY(ap_bytes_add(out, text.data + from, *at - from, err));
        if (*at == text.size) break;
        if (text.data[(*at)++] == '\\' && backslash) {
            AP_TRY(add_escape(token, text, at, out, err));
        } else if (*at < text.size && text.data[*at] == quote) {
            AP_TRY(ap_bytes_add(out, &quote, 1, err));
            (*at)++;
        } else {
            return APIARY_OK;
        }
    }
    return APIARY_OK;
}

/* '…' and its continuations; what lies between them is space and comments. */
static enum apiary_code add_string(
    const struct ap_token *token, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_str text = token->text;
    char prefix = text.data[0] == '\'' ? 0 : (char)(text.data[0] | 0x20);
    size_t at = prefix ? 1 : 0;
    if (prefix == 'u') return fail_token(token, "U&'…' strings are not supported", err);
    /* The engine reads X'0f' as the text x0f, to be cast to BLOB or BIT. */
    if (prefix == 'x' || prefix == 'b') AP_TRY(ap_bytes_add(out, &prefix, 1, err));
    while (at < text.size) {
        if (text.data[at] == '\'') {
            AP_TRY(add_quoted(token, &at, prefix == 'e', out, err));
        } else if (text.data[at] == '-') {
            while (at < text.size && text.data[at] != '\n' && text.data[at] != '\r') at++;
        } else {
            at++;
        }
    }
    return APIARY_OK;
}

static enum apiary_code add_value(
    const struct ap_token *token, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_str text = token->text;
    size_t at = 0;
    switch (token->kind) {
        case AP_TOKEN_QUOTED:
            if (text.data[0] != '"')
                return fail_token(token, "U&\"…\" names are not supported", err);
            return add_quoted(token, &at, false, out, err);
        case AP_TOKEN_STRING:
            if (text.data[0] != '$') return add_string(token, out, err);
            while (text.data[++at] != '$') continue;
            at++;
            return ap_bytes_add(out, text.data + at, text.size - 2 * at, err);
        case AP_TOKEN_PARAMETER: return ap_bytes_add(out, text.data + 1, text.size - 1, err);
        default: return ap_bytes_add_str(out, text, err);
    }
}

enum apiary_code ap_token_value(
    const struct ap_token *token, struct ap_bytes *out, struct apiary_error *err)
{
    if (token->unfinished) {
        const char *why =
            token->kind == AP_TOKEN_QUOTED ? "unfinished quoted name" : "unfinished string";
        return fail_token(token, why, err);
    }
    size_t before = out->size;
    enum apiary_code code = add_value(token, out, err);
    if (code != APIARY_OK && out->data) out->data[out->size = before] = 0;
    return code;
}

static enum apiary_code add_quotes(
    struct ap_bytes *out, struct ap_str text, char quote, struct apiary_error *err)
{
    if (text.size && memchr(text.data, 0, text.size))
        return ap_fail(
            err, APIARY_INVALID, "a %s holds a NUL byte", quote == '"' ? "name" : "text");
    size_t quotes = 2;
    for (size_t i = 0; i < text.size; i++) quotes += text.data[i] == quote;
    AP_TRY(ap_bytes_reserve(out, text.size + quotes, err));
    char *to = out->data + out->size;
    *to++ = quote;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == quote) *to++ = quote;
        *to++ = text.data[i];
    }
    *to++ = quote;
    *to = 0;
    out->size += text.size + quotes;
    return APIARY_OK;
}

enum apiary_code ap_sql_name(struct ap_bytes *out, struct ap_str name, struct apiary_error *err)
{
    return add_quotes(out, name, '"', err);
}

enum apiary_code ap_sql_string(struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    return add_quotes(out, text, '\'', err);
}
