#include "sql/statement_private.h"

#include "core/alloc.h"

/* What may follow a column's type; the type's text ends there. */
static const char *const after_type[] = { ",", "NOT", "NULL", "DEFAULT", "CHECK", "PRIMARY",
    "UNIQUE", "REFERENCES", "GENERATED", "AS", "COLLATE", "COMMENT", "CONSTRAINT", "USING", "FIRST",
    "AFTER", NULL };

static const struct {
    const char *words, *message, *hint;
} refused_constraints[] = {
    { "PRIMARY KEY", "PRIMARY KEY is not supported: a frame does not enforce keys",
        "DELETE the keys, then INSERT: each is one version of the frame" },
    { "UNIQUE", "UNIQUE is not supported: a frame does not enforce keys",
        "DELETE the keys, then INSERT: each is one version of the frame" },
    { "FOREIGN KEY", "FOREIGN KEY is not supported: a frame does not enforce keys",
        "leave it out" },
    { "REFERENCES", "REFERENCES is not supported: a frame does not enforce keys", "leave it out" },
    { "CHECK", "CHECK is not supported",
        "NOT NULL is; other rules stand in the query that writes" },
    { "DEFAULT", "DEFAULT of a column is not supported",
        "give the value in the query that writes" },
    { "GENERATED", "generated columns are not supported", "CREATE VIEW computes columns" },
    { "AS", "generated columns are not supported", "CREATE VIEW computes columns" },
    { "COLLATE", "COLLATE of a column is not supported", "write COLLATE in the query" },
    { "LIKE", "CREATE FRAME … LIKE is not supported", "CREATE FRAME name AS FROM other LIMIT 0" },
};

/* True when a constraint comes that frames do not have; the statement then is REFUSED. */
static bool refuse_constraint(struct ap_reader *reader)
{
    size_t at = reader->at;
    if (ap_reader_accept(reader, "CONSTRAINT") && ap_reader_is_name(reader, 0)) reader->at++;
    for (size_t i = 0; i < sizeof refused_constraints / sizeof *refused_constraints; i++) {
        if (!ap_reader_is(reader, refused_constraints[i].words)) continue;
        (void)ap_reader_refuse(reader, refused_constraints[i].message, refused_constraints[i].hint);
        return true;
    }
    reader->at = at;
    return false;
}

/* A column of that name, or a constraint of the table? "check INT" cannot be: those are reserved.
 */
static bool refuse_table_constraint(struct ap_reader *reader)
{
    if (ap_reader_is(reader, "AS") || ap_reader_is(reader, "GENERATED") ||
        ap_reader_is(reader, "DEFAULT"))
        return false;
    if (ap_reader_is(reader, "LIKE") && !ap_reader_is_name(reader, 1)) return false;
    return refuse_constraint(reader);
}

enum apiary_code ap_read_column(
    struct ap_reader *reader, bool types_may_miss, struct apiary_error *err)
{
    struct ap_column_definition *column;
    AP_TRY(ap_reader_add_column(reader, &column, err));
    const struct ap_token *token = ap_reader_peek(reader, 0);
    bool has_type = token->kind == AP_TOKEN_WORD || token->kind == AP_TOKEN_QUOTED;
    for (const char *const *word = after_type; *word && has_type; word++)
        has_type = !ap_token_is(token, *word);
    if (has_type)
        AP_TRY(ap_reader_range(reader, "a type", after_type, &column->type, err));
    else if (!types_may_miss)
        return ap_reader_fail(reader, "a type", err);
    for (;;) {
        if (refuse_constraint(reader)) return APIARY_OK;
        if (ap_reader_accept(reader, "NOT NULL"))
            column->not_null = true;
        else if (ap_reader_accept(reader, "COMMENT"))
            AP_TRY(ap_reader_string(reader, "a comment in quotes", &column->comment, err));
        else if (!ap_reader_accept(reader, "NULL"))
            return APIARY_OK;
    }
}

static enum apiary_code read_columns(struct ap_reader *reader, struct apiary_error *err)
{
    AP_TRY(ap_reader_expect(reader, "(", err));
    do {
        if (refuse_table_constraint(reader)) return APIARY_OK;
        AP_TRY(ap_read_column(reader, true, err));
        if (reader->out->kind == AP_STATEMENT_REFUSED) return APIARY_OK;
    } while (ap_reader_accept(reader, ","));
    return ap_reader_accept(reader, ")") ? APIARY_OK : ap_reader_fail(reader, "',' or ')'", err);
}

/* AS query [WITH [NO] DATA] */
static enum apiary_code read_as(struct ap_reader *reader, struct apiary_error *err)
{
    if (!ap_reader_is_query(reader, 0)) return ap_reader_fail(reader, "a query", err);
    struct ap_tokens *tokens = &reader->tokens;
    size_t count = tokens->count - 1, data = 0;
    struct ap_reader tail = *reader;
    tail.at = count >= 3 ? count - 3 : 0;
    if (tail.at > reader->at && ap_reader_is(&tail, "WITH NO DATA")) data = 3;
    tail.at = count >= 2 ? count - 2 : 0;
    if (!data && tail.at > reader->at && ap_reader_is(&tail, "WITH DATA")) data = 2;
    reader->out->flags.no_data = data == 3;
    if (data) {
        tokens->items[count - data] = tokens->items[count];
        tokens->count -= data;
    }
    return ap_reader_rest(reader, "a query", &reader->out->body, err);
}

static bool accept_properties(struct ap_reader *reader)
{
    return ap_reader_accept(reader, "WITH") || ap_reader_accept(reader, "TBLPROPERTIES") ||
           ap_reader_accept(reader, "PROPERTIES") || ap_reader_accept(reader, "OPTIONS");
}

/* One clause behind the columns; *found tells whether one stood there. */
static enum apiary_code read_clause(struct ap_reader *reader, bool *found, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    *found = true;
    if (ap_reader_accept(reader, "PARTITIONED BY") || ap_reader_accept(reader, "PARTITION BY")) {
        if (ap_reader_is(reader, "(") && ap_reader_is_name(reader, 1) &&
            ap_token_is(ap_reader_peek(reader, 2), "("))
            return ap_reader_refuse(reader, "a frame is partitioned by columns, not by expressions",
                "add a column with the value and partition by that");
        return ap_reader_names(reader, &out->partition_by, err);
    }
    if (ap_reader_accept(reader, "CLUSTER BY") || ap_reader_accept(reader, "CLUSTERED BY"))
        return ap_reader_names(reader, &out->cluster_by, err);
    if (ap_reader_accept(reader, "LOCATION"))
        return ap_reader_string(reader, "a place in quotes", &out->location, err);
    if (ap_reader_accept(reader, "COMMENT"))
        return ap_reader_string(reader, "a comment in quotes", &out->comment, err);
    if (ap_reader_accept(reader, "USING")) {
        if (ap_reader_accept(reader, "DELTA")) return APIARY_OK;
        return ap_reader_refuse(reader,
            "a frame is a Delta table: USING takes DELTA and nothing else", "leave USING out");
    }
    if (accept_properties(reader)) return ap_reader_options(reader, err);
    if (ap_reader_accept(reader, "AS")) return read_as(reader, err);
    *found = false;
    return APIARY_OK;
}

static enum apiary_code read_frame(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    out->kind = AP_STATEMENT_CREATE_FRAME;
    out->object = AP_OBJECT_FRAME;
    out->flags.if_not_exists = ap_reader_accept(reader, "IF NOT EXISTS");
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    if (ap_reader_is(reader, "LIKE") && refuse_constraint(reader)) return APIARY_OK;
    if (ap_reader_is(reader, "(")) AP_TRY(read_columns(reader, err));
    bool more = out->kind != AP_STATEMENT_REFUSED;
    while (more) {
        AP_TRY(read_clause(reader, &more, err));
        if (out->kind == AP_STATEMENT_REFUSED) more = false;
    }
    if (out->kind == AP_STATEMENT_REFUSED) return APIARY_OK;
    if (!out->column_count && !out->body.size && !out->location)
        return ap_reader_fail(reader, "columns in brackets, AS query or LOCATION", err);
    for (size_t i = 0; i < out->column_count && !out->body.size; i++)
        if (!out->columns[i].type.size)
            return ap_fail(err, APIARY_SQL, "expected a type for column %s", out->columns[i].name);
    return ap_reader_expect_end(reader, err);
}

static enum apiary_code read_view(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    out->kind = AP_STATEMENT_CREATE_VIEW;
    out->object = AP_OBJECT_VIEW;
    out->flags.if_not_exists = ap_reader_accept(reader, "IF NOT EXISTS");
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    if (ap_reader_is(reader, "(")) AP_TRY(ap_reader_column_names(reader, err));
    if (ap_reader_accept(reader, "COMMENT"))
        AP_TRY(ap_reader_string(reader, "a comment in quotes", &out->comment, err));
    AP_TRY(ap_reader_expect(reader, "AS", err));
    if (!ap_reader_is_query(reader, 0)) return ap_reader_fail(reader, "a query", err);
    return ap_reader_rest(reader, "a query", &out->body, err);
}

/* CREATE MACRO name(…) AS …: the engine reads the rest when it is replayed. */
static enum apiary_code read_macro(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    out->kind = AP_STATEMENT_CREATE_MACRO;
    out->object = AP_OBJECT_MACRO;
    out->flags.if_not_exists = ap_reader_accept(reader, "IF NOT EXISTS");
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    if (!ap_reader_is(reader, "(")) return ap_reader_fail(reader, "parameters in brackets", err);
    AP_TRY(ap_reader_rest(reader, "parameters in brackets", &out->action, err));
    out->body = out->text;
    return APIARY_OK;
}

static enum apiary_code read_hive_or_box(
    struct ap_reader *reader, enum ap_object_kind object, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    out->kind = object == AP_OBJECT_HIVE ? AP_STATEMENT_CREATE_HIVE : AP_STATEMENT_CREATE_BOX;
    out->object = object;
    if (out->flags.or_replace || out->flags.temporary)
        return ap_reader_refuse(
            reader, "hives and boxes are neither replaced nor temporary", "CREATE … IF NOT EXISTS");
    out->flags.if_not_exists = ap_reader_accept(reader, "IF NOT EXISTS");
    size_t parts_max = object == AP_OBJECT_HIVE ? 1 : 2;
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    if (out->name.count > parts_max)
        return ap_fail(err, APIARY_SQL,
            object == AP_OBJECT_HIVE
                ? "the name of a hive has one part, this has %zu"
                : "the name of a box has at most two parts (hive.box), this has %zu",
            out->name.count);
    if (ap_reader_accept(reader, "COMMENT"))
        AP_TRY(ap_reader_string(reader, "a comment in quotes", &out->comment, err));
    return ap_reader_expect_end(reader, err);
}

enum apiary_code ap_read_create(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->flags.or_replace = ap_reader_accept(reader, "OR REPLACE");
    (void)(ap_reader_accept(reader, "LOCAL") || ap_reader_accept(reader, "GLOBAL"));
    out->flags.temporary =
        ap_reader_accept(reader, "TEMP") || ap_reader_accept(reader, "TEMPORARY");
    (void)ap_reader_accept(reader, "EXTERNAL"); /* what other engines call a table with LOCATION */
    switch (ap_reader_object(reader)) {
        case AP_OBJECT_HIVE: return read_hive_or_box(reader, AP_OBJECT_HIVE, err);
        case AP_OBJECT_BOX: return read_hive_or_box(reader, AP_OBJECT_BOX, err);
        case AP_OBJECT_FRAME: return read_frame(reader, err);
        case AP_OBJECT_VIEW: return read_view(reader, err);
        case AP_OBJECT_MACRO: return read_macro(reader, err);
        default: return ap_reader_fail(reader, "HIVE, BOX, FRAME, VIEW or MACRO", err);
    }
}
