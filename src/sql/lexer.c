#include "sql/lexer.h"

#include "core/alloc.h"

#include <limits.h>

/* The rules are those of the engine's scanner (itself that of PostgreSQL), checked against its
 * tokenizer in tests/sql/test_lexer.c. */

static unsigned char byte_at(const struct ap_lexer *lexer, size_t at)
{
    return at < lexer->sql.size ? (unsigned char)lexer->sql.data[at] : 0;
}

static bool is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_name(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c >= 0x80;
}

static bool is_operator(unsigned char c)
{
    return c && strchr("~!@^&|`+-*/%<>=", c);
}

/* Bytes of the Unicode space at `at` that the engine takes for a blank, else 0. */
static size_t wide_space(const struct ap_lexer *lexer, size_t at)
{
    unsigned char a = byte_at(lexer, at), b = byte_at(lexer, at + 1), c = byte_at(lexer, at + 2);
    if (a == 0xC2 && b == 0xA0) return 2;                             /* U+00A0 */
    if (a == 0xE2 && b == 0x80 && c >= 0x80 && c <= 0x8B) return 3;   /* U+2000 to U+200B */
    if (a == 0xE2 && b == 0x80 && c == 0xAF) return 3;                /* U+202F */
    if (a == 0xE2 && b == 0x81 && (c == 0x9F || c == 0xA0)) return 3; /* U+205F, U+2060 */
    if (a == 0xE3 && b == 0x80 && c == 0x80) return 3;                /* U+3000 */
    if (a == 0xEF && b == 0xBB && c == 0xBF) return 3;                /* U+FEFF */
    return 0;
}

static size_t space_length(const struct ap_lexer *lexer, size_t at)
{
    unsigned char c = byte_at(lexer, at);
    if (at < lexer->sql.size && (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f'))
        return 1;
    return c >= 0x80 ? wide_space(lexer, at) : 0;
}

static size_t line_end(const struct ap_lexer *lexer, size_t at)
{
    while (at < lexer->sql.size && lexer->sql.data[at] != '\n' && lexer->sql.data[at] != '\r') at++;
    return at;
}

/* Behind the block comment that begins at `at`; SIZE_MAX when it has no end. Comments nest. */
static size_t comment_end(const struct ap_lexer *lexer, size_t at)
{
    size_t depth = 0;
    while (at < lexer->sql.size) {
        unsigned char a = byte_at(lexer, at), b = byte_at(lexer, at + 1);
        if (a == '/' && b == '*') {
            depth++;
            at += 2;
        } else if (a == '*' && b == '/') {
            at += 2;
            if (--depth == 0) return at;
        } else {
            at++;
        }
    }
    return SIZE_MAX;
}

/* Moves over spaces and comments; false when a block comment runs to the end. */
static bool skip_blank(struct ap_lexer *lexer)
{
    while (lexer->at < lexer->sql.size) {
        size_t space = space_length(lexer, lexer->at);
        unsigned char a = byte_at(lexer, lexer->at), b = byte_at(lexer, lexer->at + 1);
        if (space) {
            lexer->at += space;
        } else if (a == '-' && b == '-') {
            lexer->at = line_end(lexer, lexer->at);
        } else if (a == '/' && b == '*') {
            size_t end = comment_end(lexer, lexer->at);
            lexer->at = end == SIZE_MAX ? lexer->sql.size : end;
            if (end == SIZE_MAX) return false;
        } else {
            return true;
        }
    }
    return true;
}

/* Behind the closing quote of what opens at `at`; SIZE_MAX when there is none. */
static size_t quoted_end(const struct ap_lexer *lexer, size_t at, bool doubled, bool backslash)
{
    unsigned char quote = byte_at(lexer, at++);
    for (; at < lexer->sql.size; at++) {
        unsigned char c = byte_at(lexer, at);
        if (c == '\\' && backslash) {
            at++;
        } else if (c == quote) {
            if (!doubled || byte_at(lexer, at + 1) != quote) return at + 1;
            at++;
        }
    }
    return SIZE_MAX;
}

/* A string goes on in the next quotes when only space with a line break, or line comments that
 * follow one, lie between (block comments do not count). Gives where those quotes open. */
static size_t string_goes_on(const struct ap_lexer *lexer, size_t at)
{
    bool line_break = false;
    while (at < lexer->sql.size) {
        unsigned char c = byte_at(lexer, at);
        if (c == '\'') return line_break ? at : SIZE_MAX;
        if (c == '-' && byte_at(lexer, at + 1) == '-') {
            at = line_end(lexer, at);
        } else if (space_length(lexer, at)) {
            if (c == '\n' || c == '\r') line_break = true;
            at += space_length(lexer, at);
        } else {
            break;
        }
    }
    return SIZE_MAX;
}

/* String whose quote opens at `quote`; prefix is 'e', 'x', 'b', 'u' or 0. */
static size_t string_end(const struct ap_lexer *lexer, size_t quote, char prefix)
{
    bool bits = prefix == 'x' || prefix == 'b';
    for (;;) {
        size_t end = quoted_end(lexer, quote, !bits, prefix == 'e');
        if (end == SIZE_MAX) return SIZE_MAX;
        quote = string_goes_on(lexer, end);
        if (quote == SIZE_MAX) return end;
    }
}

/* The length of $tag$ at `at`, or 0. */
static size_t dollar_tag(const struct ap_lexer *lexer, size_t at)
{
    size_t end = at + 1;
    if (starts_name(byte_at(lexer, end)))
        while (starts_name(byte_at(lexer, end)) || is_digit(byte_at(lexer, end))) end++;
    return byte_at(lexer, end) == '$' ? end + 1 - at : 0;
}

static size_t dollar_end(const struct ap_lexer *lexer, size_t at, size_t tag)
{
    struct ap_str rest = { lexer->sql.data + at + tag, lexer->sql.size - at - tag };
    size_t found = ap_str_find(rest, (struct ap_str) { lexer->sql.data + at, tag });
    return found == SIZE_MAX ? SIZE_MAX : at + tag + found + tag;
}

/* Digits, with single _ between them. */
static size_t digits_end(const struct ap_lexer *lexer, size_t at)
{
    while (is_digit(byte_at(lexer, at)) ||
           (byte_at(lexer, at) == '_' && is_digit(byte_at(lexer, at + 1))))
        at++;
    return at;
}

static size_t number_end(const struct ap_lexer *lexer, size_t at)
{
    if (is_digit(byte_at(lexer, at))) at = digits_end(lexer, at);
    if (byte_at(lexer, at) == '.' && byte_at(lexer, at + 1) != '.') {
        at++;
        if (is_digit(byte_at(lexer, at))) at = digits_end(lexer, at);
    }
    unsigned char c = byte_at(lexer, at);
    if (c != 'e' && c != 'E') return at;
    size_t exponent = at + 1;
    if (byte_at(lexer, exponent) == '+' || byte_at(lexer, exponent) == '-') exponent++;
    return is_digit(byte_at(lexer, exponent)) ? digits_end(lexer, exponent) : at;
}

static size_t operator_end(const struct ap_lexer *lexer, size_t at)
{
    size_t end = at;
    bool special = false; /* one of these lets an operator end in + or - */
    while (is_operator(byte_at(lexer, end))) {
        unsigned char a = byte_at(lexer, end), b = byte_at(lexer, end + 1);
        if (end > at && ((a == '-' && b == '-') || (a == '/' && b == '*'))) break;
        if (strchr("~!@^&|`%", a)) special = true;
        end++;
    }
    while (!special && end - at > 1 &&
           (byte_at(lexer, end - 1) == '+' || byte_at(lexer, end - 1) == '-'))
        end--;
    return end;
}

static size_t punctuation_end(const struct ap_lexer *lexer, size_t at)
{
    unsigned char a = byte_at(lexer, at), b = byte_at(lexer, at + 1);
    if ((a == ':' && (b == ':' || b == '=')) || (a == '.' && b == '.')) return at + 2;
    return is_operator(a) ? operator_end(lexer, at) : at + 1;
}

/* 'e', 'x', 'b' or 'u' when a string with that prefix begins at `at` (*quote: where it opens). */
static char string_prefix(const struct ap_lexer *lexer, size_t at, size_t *quote)
{
    unsigned char c = byte_at(lexer, at) | 0x20;
    *quote = at + 1;
    if (byte_at(lexer, at + 1) == '\'') return strchr("exb", c) ? (char)c : 0;
    if (c != 'u' || byte_at(lexer, at + 1) != '&') return 0;
    *quote = at + 2;
    return byte_at(lexer, at + 2) == '\'' || byte_at(lexer, at + 2) == '"' ? 'u' : 0;
}

static size_t word_end(const struct ap_lexer *lexer, size_t at)
{
    for (;; at++) {
        unsigned char c = byte_at(lexer, at);
        if (!starts_name(c) && !is_digit(c) && c != '$') return at;
        if (c >= 0x80 && wide_space(lexer, at)) return at;
    }
}

static size_t name_or_string(const struct ap_lexer *lexer, size_t at, enum ap_token_kind *kind)
{
    size_t quote;
    char prefix = string_prefix(lexer, at, &quote);
    *kind = AP_TOKEN_WORD;
    if (!prefix) return word_end(lexer, at);
    if (byte_at(lexer, quote) == '"') {
        *kind = AP_TOKEN_QUOTED;
        return quoted_end(lexer, quote, true, false);
    }
    *kind = AP_TOKEN_STRING;
    return string_end(lexer, quote, prefix);
}

static size_t parameter_or_dollar(const struct ap_lexer *lexer, size_t at, enum ap_token_kind *kind)
{
    size_t tag = dollar_tag(lexer, at), quote;
    *kind = AP_TOKEN_STRING;
    if (tag) return dollar_end(lexer, at, tag);
    *kind = AP_TOKEN_PARAMETER;
    if (is_digit(byte_at(lexer, at + 1))) return digits_end(lexer, at + 1);
    bool name = starts_name(byte_at(lexer, at + 1)) && !wide_space(lexer, at + 1);
    if (name && !string_prefix(lexer, at + 1, &quote)) return word_end(lexer, at + 1);
    *kind = AP_TOKEN_PUNCTUATION;
    return at + 1;
}

/* Where the token that begins at `at` ends; SIZE_MAX when it is unfinished. */
static size_t token_end(const struct ap_lexer *lexer, size_t at, enum ap_token_kind *kind)
{
    unsigned char c = byte_at(lexer, at);
    if (starts_name(c)) return name_or_string(lexer, at, kind);
    if (c == '$') return parameter_or_dollar(lexer, at, kind);
    if (c == '\'') {
        *kind = AP_TOKEN_STRING;
        return string_end(lexer, at, 0);
    }
    if (c == '"') {
        *kind = AP_TOKEN_QUOTED;
        return quoted_end(lexer, at, true, false);
    }
    if (is_digit(c) || (c == '.' && is_digit(byte_at(lexer, at + 1)))) {
        *kind = AP_TOKEN_NUMBER;
        return number_end(lexer, at);
    }
    if (c == '?') {
        *kind = AP_TOKEN_PARAMETER;
        return is_digit(byte_at(lexer, at + 1)) ? digits_end(lexer, at + 1) : at + 1;
    }
    *kind = AP_TOKEN_PUNCTUATION;
    return punctuation_end(lexer, at);
}

void ap_lexer_next(struct ap_lexer *lexer, struct ap_token *out)
{
    struct ap_token token = { .kind = AP_TOKEN_END };
    bool finished = skip_blank(lexer);
    size_t at = lexer->at, end = at;
    if (at < lexer->sql.size) {
        end = token_end(lexer, at, &token.kind);
        finished = end != SIZE_MAX && end <= lexer->sql.size;
        if (!finished) end = lexer->sql.size;
    }
    token.text = (struct ap_str) { lexer->sql.data + at, end - at };
    token.offset = at;
    token.unfinished = !finished;
    char c = token.kind == AP_TOKEN_PUNCTUATION && end - at == 1 ? lexer->sql.data[at] : 0;
    if (c && strchr(")]}", c) && lexer->depth > 0) lexer->depth--;
    token.depth = lexer->depth;
    if (c && strchr("([{", c) && lexer->depth < INT_MAX) lexer->depth++;
    lexer->at = end;
    *out = token;
}

void ap_tokens_done(struct ap_tokens *tokens)
{
    ap_free(tokens->items);
    *tokens = (struct ap_tokens) { 0 };
}

enum apiary_code ap_lex(struct ap_str sql, struct ap_tokens *out, struct apiary_error *err)
{
    if (sql.size > AP_SQL_BYTES_MAX)
        return ap_fail(err, APIARY_LIMIT, "the SQL text has %zu bytes, more than %d", sql.size,
            AP_SQL_BYTES_MAX);
    struct ap_lexer lexer = { .sql = sql };
    AP_AUTO(ap_tokens) tokens = { 0 };
    do {
        if (tokens.count == AP_SQL_TOKENS_MAX)
            return ap_fail(
                err, APIARY_LIMIT, "the statement has more than %d words", AP_SQL_TOKENS_MAX);
        AP_TRY(AP_GROW(tokens.items, tokens.capacity, tokens.count + 1, err));
        ap_lexer_next(&lexer, &tokens.items[tokens.count++]);
    } while (tokens.items[tokens.count - 1].kind != AP_TOKEN_END);
    *out = AP_TAKE(tokens);
    return APIARY_OK;
}

bool ap_token_is(const struct ap_token *token, const char *word)
{
    if (token->kind != AP_TOKEN_WORD && token->kind != AP_TOKEN_PUNCTUATION) return false;
    return ap_str_equal_nocase(token->text, ap_str_from(word));
}

/* What lies between two tokens. The engine leaves line comments alone; block comments it does not
 * know of when it looks for spaces. */
static enum apiary_code copy_blank(const struct ap_lexer *lexer, size_t at, size_t end,
    struct ap_bytes *out, struct apiary_error *err)
{
    bool block = false;
    while (at < end) {
        unsigned char a = byte_at(lexer, at), b = byte_at(lexer, at + 1);
        size_t wide = wide_space(lexer, at), from = at;
        if (a == '/' && b == '*') block = true;
        if (a == '*' && b == '/') block = false;
        if (wide)
            at += wide;
        else if (!block && a == '-' && b == '-')
            at = line_end(lexer, at);
        else
            at++;
        if (wide)
            AP_TRY(ap_bytes_add(out, " ", 1, err));
        else
            AP_TRY(ap_bytes_add(out, lexer->sql.data + from, at - from, err));
    }
    return APIARY_OK;
}

static bool has_wide_space(const struct ap_lexer *lexer)
{
    for (size_t i = 0; i < lexer->sql.size; i++)
        if (byte_at(lexer, i) >= 0x80 && wide_space(lexer, i)) return true;
    return false;
}

enum apiary_code ap_sql_plain_spaces(
    struct ap_str sql, struct ap_bytes *buffer, struct ap_str *out, struct apiary_error *err)
{
    struct ap_lexer lexer = { .sql = sql };
    struct ap_token token;
    if (!has_wide_space(&lexer)) {
        *out = sql;
        return APIARY_OK;
    }
    size_t from = buffer->size;
    do {
        size_t at = lexer.at;
        ap_lexer_next(&lexer, &token);
        AP_TRY(copy_blank(&lexer, at, token.offset, buffer, err));
        AP_TRY(ap_bytes_add_str(buffer, token.text, err));
    } while (token.kind != AP_TOKEN_END);
    *out = (struct ap_str) { buffer->data + from, buffer->size - from };
    return APIARY_OK;
}
