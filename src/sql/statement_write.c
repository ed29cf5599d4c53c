#include "sql/statement_private.h"

static const char returning_message[] = "RETURNING is not supported";
static const char returning_hint[] = "SELECT the rows before they are changed or after";

/* The tables a statement writes may be called FRAME or TABLE. */
static enum apiary_code read_target(struct ap_reader *reader, struct apiary_error *err)
{
    (void)ap_reader_accept(reader, "TABLE");
    if (ap_reader_is_name(reader, 1) && !ap_token_is(ap_reader_peek(reader, 1), "SET") &&
        !ap_token_is(ap_reader_peek(reader, 1), "BY") &&
        !ap_token_is(ap_reader_peek(reader, 1), "VALUES"))
        (void)ap_reader_accept(reader, "FRAME");
    reader->out->object = AP_OBJECT_FRAME;
    return ap_reader_object_name(reader, &reader->out->name, err);
}

/* RETURNING and ON CONFLICT at the end of a statement that writes. RETURNING is reserved; ON may
 * belong to a join, so that CONFLICT must be followed by what only the clause has. */
static bool refuse_tail(struct ap_reader *reader)
{
    const struct ap_tokens *tokens = &reader->tokens;
    for (size_t i = reader->at; i + 1 < tokens->count; i++) {
        const struct ap_token *token = &tokens->items[i];
        if (token->depth > 0) continue;
        if (ap_token_is(token, "RETURNING")) {
            (void)ap_reader_refuse(reader, returning_message, returning_hint);
            return true;
        }
        if (!ap_token_is(token, "ON") || !ap_token_is(token + 1, "CONFLICT") ||
            i + 2 >= tokens->count)
            continue;
        if (!ap_token_is(token + 2, "(") && !ap_token_is(token + 2, "DO") &&
            !ap_token_is(token + 2, "ON") && !ap_token_is(token + 2, "WHERE"))
            continue;
        (void)ap_reader_refuse(reader, "INSERT … ON CONFLICT is not supported: a frame has no keys",
            "MERGE INTO name USING (…) AS s ON name.key = s.key WHEN MATCHED THEN UPDATE … WHEN "
            "NOT MATCHED THEN INSERT …");
        return true;
    }
    return false;
}

/* REPLACE WHERE condition, up to the word that begins the query. */
static enum apiary_code read_replace_where(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const stops[] = { "SELECT", "WITH", "VALUES", "TABLE", NULL };
    reader->out->flags.overwrite = true;
    return ap_reader_range(reader, "a condition", stops, &reader->out->condition, err);
}

enum apiary_code ap_read_insert(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_INSERT;
    if (ap_reader_is(reader, "OR"))
        return ap_reader_refuse(reader,
            "INSERT OR REPLACE and INSERT OR IGNORE are not supported: a frame has no keys",
            "DELETE the keys, then INSERT: each is one version of the frame");
    out->flags.overwrite = ap_reader_accept(reader, "OVERWRITE");
    bool into = ap_reader_accept(reader, "INTO");
    if (!into && !out->flags.overwrite) return ap_reader_fail(reader, "INTO or OVERWRITE", err);
    AP_TRY(read_target(reader, err));
    if (ap_reader_is(reader, "AS")) AP_TRY(ap_reader_alias(reader, err));
    if (ap_reader_is(reader, "PARTITION"))
        return ap_reader_refuse(reader, "INSERT … PARTITION is not supported",
            "INSERT INTO name REPLACE WHERE partition = value SELECT …");
    if (ap_reader_is(reader, "(") && !ap_reader_is_query(reader, 1))
        AP_TRY(ap_reader_column_names(reader, err));
    if (ap_reader_accept(reader, "BY NAME"))
        out->flags.by_name = true;
    else
        (void)ap_reader_accept(reader, "BY POSITION");
    if (ap_reader_accept(reader, "REPLACE WHERE")) AP_TRY(read_replace_where(reader, err));
    if (ap_reader_accept(reader, "DEFAULT VALUES")) {
        out->flags.default_values = true;
        if (refuse_tail(reader)) return APIARY_OK;
        return ap_reader_expect_end(reader, err);
    }
    if (refuse_tail(reader)) return APIARY_OK;
    if (!ap_reader_is_query(reader, 0))
        return ap_reader_fail(reader, "VALUES, DEFAULT VALUES or a query", err);
    return ap_reader_rest(reader, "VALUES or a query", &out->body, err);
}

enum apiary_code ap_read_delete(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const before_where[] = { "WHERE", NULL };
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_DELETE;
    AP_TRY(ap_reader_expect(reader, "FROM", err));
    AP_TRY(read_target(reader, err));
    if (refuse_tail(reader)) return APIARY_OK;
    AP_TRY(ap_reader_alias(reader, err));
    if (ap_reader_accept(reader, "USING"))
        AP_TRY(ap_reader_range(reader, "a table", before_where, &out->using_clause, err));
    if (ap_reader_accept(reader, "WHERE"))
        return ap_reader_rest(reader, "a condition", &out->condition, err);
    return ap_reader_expect_end(reader, err);
}

/* column = expression, … */
static enum apiary_code read_assignments(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const stops[] = { ",", "FROM", "WHERE", NULL };
    struct ap_statement *out = reader->out;
    const struct ap_token *first = ap_reader_peek(reader, 0);
    do {
        struct ap_option *option;
        if (ap_reader_is(reader, "("))
            return ap_fail(err, APIARY_SQL,
                "SET (…) = (…) is not supported: write column = value for each column");
        AP_TRY(ap_reader_add_option(reader, &option, err));
        AP_TRY(ap_reader_name(reader, &option->name, err));
        if (ap_reader_is(reader, "."))
            return ap_fail(err, APIARY_SQL, "SET takes plain columns of the frame: %s. is not one",
                option->name);
        AP_TRY(ap_reader_expect(reader, "=", err));
        const struct ap_token *from = ap_reader_peek(reader, 0);
        AP_TRY(ap_reader_range(reader, "an expression", stops, &option->value, err));
        /* FROM is also part of IS [NOT] DISTINCT FROM. */
        while (ap_reader_is(reader, "FROM") &&
               ap_token_is(ap_reader_peek(reader, 0) - 1, "DISTINCT")) {
            reader->at++;
            AP_TRY(ap_reader_range(reader, "an expression", stops, &option->value, err));
        }
        const struct ap_token *last = ap_reader_peek(reader, 0) - 1;
        option->value =
            (struct ap_str) { from->text.data, last->offset + last->text.size - from->offset };
        out->assignments =
            (struct ap_str) { first->text.data, last->offset + last->text.size - first->offset };
    } while (ap_reader_accept(reader, ","));
    return APIARY_OK;
}

enum apiary_code ap_read_update(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const before_where[] = { "WHERE", NULL };
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_UPDATE;
    AP_TRY(read_target(reader, err));
    if (refuse_tail(reader)) return APIARY_OK;
    AP_TRY(ap_reader_alias(reader, err));
    AP_TRY(ap_reader_expect(reader, "SET", err));
    AP_TRY(read_assignments(reader, err));
    if (ap_reader_accept(reader, "FROM"))
        AP_TRY(ap_reader_range(reader, "a table", before_where, &out->using_clause, err));
    if (ap_reader_accept(reader, "WHERE"))
        return ap_reader_rest(reader, "a condition", &out->condition, err);
    return ap_reader_expect_end(reader, err);
}

enum apiary_code ap_read_merge(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const before_on[] = { "ON", "USING", "WHEN", NULL }, *const before_when[] = {
        "WHEN", NULL
    };
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_MERGE;
    out->body = out->text;
    AP_TRY(ap_reader_expect(reader, "INTO", err));
    AP_TRY(read_target(reader, err));
    if (refuse_tail(reader)) return APIARY_OK;
    AP_TRY(ap_reader_alias(reader, err));
    AP_TRY(ap_reader_expect(reader, "USING", err));
    AP_TRY(ap_reader_range(reader, "a table", before_on, &out->using_clause, err));
    if (!ap_reader_is(reader, "ON") && !ap_reader_is(reader, "USING"))
        return ap_reader_fail(reader, "ON", err);
    size_t on = reader->at;
    if (ap_reader_accept(reader, "ON")) {
        AP_TRY(ap_reader_range(reader, "a condition", before_when, &out->condition, err));
    } else {
        reader->at++;
        if (!ap_reader_is(reader, "(")) return ap_reader_fail(reader, "columns in brackets", err);
        AP_TRY(ap_reader_range(reader, "columns in brackets", before_when, &out->condition, err));
        const struct ap_token *from = &reader->tokens.items[on];
        out->condition = (struct ap_str) {
            from->text.data, (size_t)(out->condition.data - from->text.data) + out->condition.size
        }; /* USING (a, b) */
    }
    if (!ap_reader_is(reader, "WHEN")) return ap_reader_fail(reader, "WHEN", err);
    return ap_reader_rest(reader, "WHEN", &out->action, err);
}

enum apiary_code ap_read_truncate(struct ap_reader *reader, struct apiary_error *err)
{
    reader->at++;
    reader->out->kind = AP_STATEMENT_TRUNCATE;
    AP_TRY(read_target(reader, err));
    return ap_reader_expect_end(reader, err);
}
