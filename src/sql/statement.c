/* Dispatch on the first word. A statement of Apiary's own goes to its reader; what the engine
 * answers with rows stays as it is written. */
#include "sql/statement_private.h"

#include "core/alloc.h"
#include "core/name.h"

static void name_done(struct ap_object_name *name)
{
    for (size_t i = 0; i < AP_NAME_PARTS_MAX; i++) ap_free(name->parts[i]);
}

void ap_statement_done(struct ap_statement *statement)
{
    name_done(&statement->name);
    name_done(&statement->new_name);
    for (size_t i = 0; i < statement->column_count; i++) {
        ap_free(statement->columns[i].name);
        ap_free(statement->columns[i].comment);
    }
    ap_free(statement->columns);
    for (size_t i = 0; i < statement->option_count; i++) ap_free(statement->options[i].name);
    ap_free(statement->options);
    ap_texts_done(&statement->partition_by);
    ap_texts_done(&statement->cluster_by);
    ap_free(statement->location);
    ap_free(statement->path);
    ap_free(statement->pattern);
    ap_free(statement->setting);
    ap_free(statement->comment);
    ap_free(statement->new_column);
    *statement = (struct ap_statement) { 0 };
}

static enum apiary_code read_query(struct ap_reader *reader, struct apiary_error *err)
{
    reader->out->kind = AP_STATEMENT_QUERY;
    reader->out->body = reader->out->text;
    return APIARY_OK;
}

/* WITH … may stand before INSERT, DELETE, UPDATE and MERGE in the engine: the verb then follows
 * the bracket that closes the last of the WITH's queries. */
static enum apiary_code read_with(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const verbs[] = { "INSERT", "DELETE", "UPDATE", "MERGE" };
    for (size_t i = 1; i < reader->tokens.count; i++) {
        const struct ap_token *token = &reader->tokens.items[i];
        if (token->depth > 0 || !ap_token_is(token - 1, ")")) continue;
        for (size_t v = 0; v < sizeof verbs / sizeof *verbs; v++)
            if (ap_token_is(token, verbs[v]))
                return ap_reader_refuse(reader,
                    "WITH before a statement that writes is not supported",
                    "move it into the query: INSERT INTO name WITH … SELECT …");
    }
    return read_query(reader, err);
}

static enum apiary_code read_explain(struct ap_reader *reader, struct apiary_error *err)
{
    reader->at++;
    reader->out->kind = AP_STATEMENT_EXPLAIN;
    reader->out->flags.analyze =
        ap_reader_accept(reader, "ANALYZE") || ap_reader_accept(reader, "ANALYSE");
    if (ap_reader_is(reader, "(") && !ap_reader_is_query(reader, 1)) {
        AP_TRY(ap_reader_options(reader, err));
        for (size_t i = 0; i < reader->out->option_count; i++)
            if (ap_str_equal_nocase(ap_str_from(reader->out->options[i].name), AP_STR("analyze")))
                reader->out->flags.analyze = true;
    }
    if (!ap_reader_is_query(reader, 0) && !ap_reader_at_end(reader))
        return ap_reader_refuse(
            reader, "EXPLAIN takes a query", "explain the SELECT of the statement alone");
    return ap_reader_rest(reader, "a query", &reader->out->body, err);
}

static const struct verb {
    const char *word;
    enum apiary_code (*read)(struct ap_reader *reader, struct apiary_error *err);
} verbs[] = {
    { "SELECT", read_query },
    { "WITH", read_with },
    { "FROM", read_query },
    { "VALUES", read_query },
    { "TABLE", read_query },
    { "PIVOT", read_query },
    { "UNPIVOT", read_query },
    { "PIVOT_WIDER", read_query },
    { "PIVOT_LONGER", read_query },
    { "SUMMARIZE", read_query },
    { "(", read_query },
    { "EXPLAIN", read_explain },
    { "USE", ap_read_use },
    { "SHOW", ap_read_show },
    { "DESCRIBE", ap_read_describe },
    { "DESC", ap_read_describe },
    { "CREATE", ap_read_create },
    { "DROP", ap_read_drop },
    { "UNDROP", ap_read_undrop },
    { "ALTER", ap_read_alter },
    { "COMMENT", ap_read_comment },
    { "INSERT", ap_read_insert },
    { "DELETE", ap_read_delete },
    { "UPDATE", ap_read_update },
    { "MERGE", ap_read_merge },
    { "TRUNCATE", ap_read_truncate },
    { "COPY", ap_read_copy },
    { "SET", ap_read_set },
    { "RESET", ap_read_reset },
    { "OPTIMIZE", ap_read_optimize },
    { "VACUUM", ap_read_vacuum },
    { "RESTORE", ap_read_restore },
    { "PIN", ap_read_pin },
    { "UNPIN", ap_read_unpin },
    { "FSCK", ap_read_fsck },
};
enum { VERBS = sizeof verbs / sizeof *verbs };

static enum apiary_code fail_unknown(const struct ap_reader *reader, struct apiary_error *err)
{
    const struct ap_token *first = ap_reader_peek(reader, 0);
    if (first->kind != AP_TOKEN_WORD) return ap_reader_fail(reader, "a statement", err);
    struct ap_str word = first->text;
    if (word.size > 40) word.size = 40;
    ap_fail(err, APIARY_SQL, "no statement begins with '" AP_FMT "'", AP_ARG(word));
    const char *words[VERBS];
    for (size_t i = 0; i < VERBS; i++) words[i] = verbs[i].word;
    const char *near = ap_nearest(word, words, VERBS);
    if (near) ap_hint(err, "did you mean %s?", near);
    return APIARY_SQL;
}

static enum apiary_code read_statement(struct ap_reader *reader, struct apiary_error *err)
{
    if (ap_reader_refused_words(reader)) return APIARY_OK;
    for (size_t i = 0; i < VERBS; i++)
        if (ap_reader_is(reader, verbs[i].word)) return verbs[i].read(reader, err);
    return fail_unknown(reader, err);
}

/* Trims the text to its tokens; a ';' may stand at its end, no other one in it. */
static enum apiary_code settle_text(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_tokens *tokens = &reader->tokens;
    struct ap_token end = tokens->items[tokens->count - 1];
    while (tokens->count > 1 && ap_token_is(&tokens->items[tokens->count - 2], ";"))
        tokens->count--;
    tokens->items[tokens->count - 1] = end;
    for (reader->at = 0; reader->at + 1 < tokens->count; reader->at++)
        if (ap_reader_is(reader, ";")) return ap_reader_fail(reader, "one statement", err);
    reader->at = 0;
    if (tokens->count == 1) return APIARY_OK;
    const struct ap_token *first = tokens->items, *last = &tokens->items[tokens->count - 2];
    reader->out->text =
        (struct ap_str) { first->text.data, last->offset + last->text.size - first->offset };
    return APIARY_OK;
}

enum apiary_code ap_statement_parse(
    struct ap_str text, struct ap_statement *out, struct apiary_error *err)
{
    AP_AUTO(ap_statement) statement = { .retain_hours = -1 };
    AP_AUTO(ap_tokens) tokens = { 0 };
    const char *nul = text.size ? memchr(text.data, 0, text.size) : NULL;
    if (nul)
        return ap_fail(err, APIARY_SQL, "the statement holds a NUL byte at offset %zu",
            (size_t)(nul - text.data));
    AP_TRY(ap_lex(text, &tokens, err));
    struct ap_reader reader = { .text = text, .tokens = tokens, .out = &statement };
    enum apiary_code code = settle_text(&reader, err);
    if (code == APIARY_OK && reader.tokens.count > 1) code = read_statement(&reader, err);
    if (code != APIARY_OK) return code;
    *out = AP_TAKE(statement);
    return APIARY_OK;
}

enum apiary_code ap_sql_constant(struct ap_str text, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_lexer lexer = { .sql = text };
    struct ap_token token, next;
    ap_lexer_next(&lexer, &token);
    if (token.kind == AP_TOKEN_END && !token.unfinished) return APIARY_OK;
    bool sign = ap_token_is(&token, "-") || ap_token_is(&token, "+");
    bool minus = ap_token_is(&token, "-");
    if (sign) ap_lexer_next(&lexer, &token);
    bool fits = sign ? token.kind == AP_TOKEN_NUMBER
                     : token.kind == AP_TOKEN_WORD || token.kind == AP_TOKEN_QUOTED ||
                           token.kind == AP_TOKEN_STRING || token.kind == AP_TOKEN_NUMBER;
    struct ap_lexer after = lexer;
    ap_lexer_next(&after, &next);
    if (!fits || next.kind != AP_TOKEN_END || next.unfinished)
        return ap_fail(err, APIARY_SQL, "expected a constant, found %.*s",
            (int)(text.size < 60 ? text.size : 60), text.data);
    if (minus) AP_TRY(ap_bytes_add_text(out, "-", err));
    return ap_token_value(&token, out, err);
}
