/* A complete lexer of the engine's SQL: comments (nested too), quoted names, strings ('…', E'…',
 * X'…', $tag$…$tag$, and '…' continued on the next line), numbers, parameters (?, ?1, $1, $name),
 * operators. Where the engine's own scanner has quirks, so has this one: 0xFF is 0 and a name,
 * 1.5.2 is two numbers, an operator of several characters gives back a trailing + or -, and the
 * wide spaces of Unicode are spaces outside of quotes.
 *
 * Pure; never fails on what is in the text: an unfinished string, name or comment is a token with
 * `unfinished` set, an unknown byte is punctuation. */
#ifndef AP_SQL_LEXER_H
#define AP_SQL_LEXER_H

#include "core/str.h"

enum ap_token_kind {
    AP_TOKEN_END,    /* unfinished: a block comment runs to the end of the text */
    AP_TOKEN_WORD,   /* keyword or plain name */
    AP_TOKEN_QUOTED, /* "name" */
    AP_TOKEN_STRING,
    AP_TOKEN_NUMBER,     /* never signed */
    AP_TOKEN_PARAMETER,  /* ?, ?1, $1, $name */
    AP_TOKEN_PUNCTUATION /* one of ( ) [ ] { } , ; . : or an operator of several characters */
};
struct ap_token {
    enum ap_token_kind kind;
    struct ap_str text; /* as written, view into the source */
    size_t offset;
    int depth; /* of ( [ { around it; an opening and a closing bracket have the outer depth */
    bool unfinished;
};

/* Token after token, without memory: set sql, zero the rest. */
struct ap_lexer {
    struct ap_str sql;
    size_t at;
    int depth;
};
void ap_lexer_next(
    struct ap_lexer *lexer, struct ap_token *out); /* END again and again at the end */

struct ap_tokens {
    struct ap_token *items; /* the last one is END */
    size_t count;
    size_t capacity;
};
void ap_tokens_done(struct ap_tokens *tokens);
enum { AP_SQL_BYTES_MAX = 64 << 20, AP_SQL_TOKENS_MAX = 8 << 20 };
/* All tokens of the text; out must be zeroed and borrows from sql. codes: LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_lex(
    struct ap_str sql, struct ap_tokens *out, struct apiary_error *err);

bool ap_token_is(
    const struct ap_token *token, const char *word); /* WORD or PUNCTUATION, ignoring case */
/* The value of a name (unquoted, "" undone), of a string ('' and escapes undone) or of a
 * parameter (its name without $; empty for ?), appended; other tokens as written.
 * codes: SQL for an unfinished token or an escape that the engine refuses too */
AP_CHECKED enum apiary_code ap_token_value(
    const struct ap_token *token, struct ap_bytes *out, struct apiary_error *err);

/* apiary_next_statement: 1 and [*start, *end) from the first token to the last one before ';', or
 * 0 when only space and comments are left (*start, *end untouched). A ';' ends a statement at any
 * depth: a forgotten bracket then is an error and not a shell that waits for ever. */
int ap_next_statement(
    struct ap_str sql, size_t *position, size_t *start, size_t *end, bool *complete);

/* The text with the wide spaces of Unicode as plain ones, which is what the engine parses: its
 * positions (query_location, error positions) are those of this text. Borrows sql where there is
 * none, else appends to *buffer and borrows that. codes: MEMORY */
AP_CHECKED enum apiary_code ap_sql_plain_spaces(
    struct ap_str sql, struct ap_bytes *buffer, struct ap_str *out, struct apiary_error *err);

/* Quoting for generated SQL, appended. codes: INVALID for a NUL byte (the engine's scanner stops
 * there), MEMORY */
AP_CHECKED enum apiary_code ap_sql_name(
    struct ap_bytes *out, struct ap_str name, struct apiary_error *err); /* "na""me" */
AP_CHECKED enum apiary_code ap_sql_string(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err); /* 'te''xt' */

#endif
