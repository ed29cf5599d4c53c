/* Texts of DELETE and UPDATE: the statement in parts, and the rows that cells are to hold. */
#include "query/dml_private.h"
#include "query/types.h"

#include "core/alloc.h"

#include <stdio.h>

enum { MARK_MAX = 48 };
#define JUDGED "apiary_judged" /* rows with the column of those that are meant */

/* ---- the statement ---- */

static void mark(char out[MARK_MAX], size_t number, const char *end)
{
    snprintf(out, MARK_MAX, "/*apiary-part-%zu%s*/", number, end);
}

/* The text, whole in itself, with the number of each "?": its parts are put together in another order, and some twice.
 * *last: the highest number so far. */
static enum apiary_code add_numbered(
    struct ap_bytes *out, struct ap_str text, uint64_t *last, struct apiary_error *err)
{
    struct ap_lexer lexer = { .sql = text };
    struct ap_token token = { 0 };
    size_t done = 0, open = 0;
    if (text.size == 0) return APIARY_OK;
    for (ap_lexer_next(&lexer, &token); token.kind != AP_TOKEN_END; ap_lexer_next(&lexer, &token)) {
        uint64_t number = 0;
        if (ap_token_is(&token, ")") && open-- == 0) /* it would close the part's own */
            return ap_fail(err, APIARY_SQL, "syntax error at or near \")\"");
        if (ap_token_is(&token, "(")) open++;
        if (token.kind != AP_TOKEN_PARAMETER) continue;
        if (token.text.size > 1) { /* ?2, $2, $name */
            struct ap_str digits = { token.text.data + 1, token.text.size - 1 };
            if (ap_str_to_u64(digits, &number) && number > *last) *last = number;
            continue;
        }
        AP_TRY(ap_bytes_add(out, text.data + done, token.offset - done, err));
        AP_TRY(ap_bytes_printf(out, err, "$%llu ", (unsigned long long)++*last));
        done = token.offset + token.text.size;
    }
    return ap_bytes_add(out, text.data + done, text.size - done, err);
}

static enum apiary_code add_part(struct ap_bytes *out, size_t number, const char *text, struct apiary_error *err)
{
    char begin[MARK_MAX], end[MARK_MAX];
    mark(begin, number, "");
    mark(end, number, "-end");
    return ap_bytes_printf(out, err, "%s(%s\n)%s", begin, text, end);
}

/* What the statement says, numbered in the order in which it says it. Texts; "": nothing. */
struct said {
    struct ap_texts values;
    struct ap_bytes from, where;
};

static void said_done(struct said *said)
{
    ap_texts_done(&said->values);
    ap_bytes_done(&said->from);
    ap_bytes_done(&said->where);
}

static enum apiary_code said_take(const struct ap_statement *statement, struct said *out, struct apiary_error *err)
{
    uint64_t last = 0;
    for (size_t i = 0; i < statement->option_count; i++) {
        AP_AUTO(ap_bytes) value = { 0 };
        AP_TRY(add_numbered(&value, statement->options[i].value, &last, err));
        AP_TRY(ap_texts_add(&out->values, ap_bytes_view(&value), err));
    }
    AP_TRY(add_numbered(&out->from, statement->using_clause, &last, err));
    return add_numbered(&out->where, statement->condition, &last, err);
}

static enum apiary_code add_target(const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, " FROM ", err));
    for (size_t i = 0; i < statement->name.count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ".", err));
        AP_TRY(ap_sql_name(out, ap_str_from(statement->name.parts[i]), err));
    }
    return statement->alias.size == 0 ? APIARY_OK : ap_bytes_printf(out, err, " AS " AP_FMT, AP_ARG(statement->alias));
}

/* With other tables: asked of those of their rows that meet the condition. */
static enum apiary_code add_asked(
    const struct said *said, const char *what, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "(SELECT %s FROM %s", what, ap_bytes_text(&said->from)));
    if (said->where.size > 0) AP_TRY(ap_bytes_printf(out, err, "\nWHERE %s", ap_bytes_text(&said->where)));
    return ap_bytes_add_text(out, "\n)", err);
}

static enum apiary_code add_value(const struct said *said, size_t index, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_bytes) what = { 0 };
    if (said->from.size == 0) return add_part(out, index + 1, said->values.items[index], err);
    /* Rows that say the same are one; of others nobody knows which is meant, and the engine refuses. */
    AP_TRY(ap_bytes_printf(&what, err, "DISTINCT (%s\n)", said->values.items[index]));
    AP_TRY(add_asked(said, ap_bytes_text(&what), &text, err));
    return add_part(out, index + 1, ap_bytes_text(&text), err);
}

static enum apiary_code add_condition(const struct said *said, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    if (said->from.size == 0 && said->where.size == 0) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(out, " WHERE ", err));
    if (said->from.size == 0) return add_part(out, 0, ap_bytes_text(&said->where), err);
    AP_TRY(ap_bytes_add_text(&text, "EXISTS ", err));
    AP_TRY(add_asked(said, "1", &text, err));
    return add_part(out, 0, ap_bytes_text(&text), err);
}

/* Part 0 is the condition, part i + 1 the i-th value. */
enum apiary_code ap_dml_text(
    const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err)
{
    __attribute__((cleanup(said_done))) struct said said = { 0 };
    AP_TRY(said_take(statement, &said, err));
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    for (size_t i = 0; i < statement->option_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(add_value(&said, i, out, err));
    }
    if (statement->option_count == 0) AP_TRY(ap_bytes_add_text(out, "*", err));
    AP_TRY(add_target(statement, out, err));
    return add_condition(&said, out, err);
}

enum apiary_code ap_dml_joined(const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err)
{
    __attribute__((cleanup(said_done))) struct said said = { 0 };
    AP_TRY(said_take(statement, &said, err));
    AP_TRY(ap_bytes_add_text(out, "SELECT 1", err));
    for (size_t i = 0; i < said.values.count; i++) AP_TRY(ap_bytes_printf(out, err, ", (%s\n)", said.values.items[i]));
    AP_TRY(add_target(statement, out, err));
    AP_TRY(ap_bytes_printf(out, err, ", %s", ap_bytes_text(&said.from)));
    return said.where.size == 0 ? APIARY_OK : ap_bytes_printf(out, err, "\nWHERE %s", ap_bytes_text(&said.where));
}

enum apiary_code ap_dml_part(
    struct ap_str text, size_t number, struct ap_str *out, struct apiary_error *err)
{
    char begin[MARK_MAX], end[MARK_MAX];
    mark(begin, number, "");
    mark(end, number, "-end");
    size_t from = ap_str_find(text, ap_str_from(begin)), until = ap_str_find(text, ap_str_from(end));
    if (from == SIZE_MAX || until == SIZE_MAX || from > until)
        return ap_fail(err, APIARY_SQL, "the statement holds a comment that is kept for Apiary");
    from += strlen(begin);
    *out = (struct ap_str) { text.data + from, until - from };
    return APIARY_OK;
}

/* ---- rows ---- */

enum apiary_code ap_dml_from(const struct ap_rewriting *rewriting, struct ap_str rows,
    struct ap_bytes *out, struct apiary_error *err)
{
    return ap_bytes_printf(out, err, " FROM (" AP_FMT ") AS %s", AP_ARG(rows),
        ap_bytes_text(&rewriting->alias));
}

struct ap_str ap_dml_condition(const struct ap_rewriting *rewriting)
{
    return rewriting->condition.size > 0 ? rewriting->condition : AP_STR("true");
}

/* Is there a query in the text, as far as its words tell? */
bool ap_dml_has_query(struct ap_str text)
{
    struct ap_lexer lexer = { .sql = text };
    struct ap_token token = { 0 };
    if (text.size == 0) return false;
    for (ap_lexer_next(&lexer, &token); token.kind != AP_TOKEN_END; ap_lexer_next(&lexer, &token))
        if (ap_token_is(&token, "SELECT") || ap_token_is(&token, "FROM")) return true;
    return false;
}

/* CASE WHEN meant THEN CAST(value AS type) ELSE column END; a NULL that the cast gives counts too. */
static enum apiary_code add_assigned(const struct ap_rewriting *rewriting, size_t column,
    struct ap_str value, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_field *field = &rewriting->target.metadata.schema.fields[column];
    AP_AUTO(ap_bytes) type = { 0 };
    AP_AUTO(ap_bytes) name = { 0 };
    AP_AUTO(ap_bytes) message = { 0 };
    AP_AUTO(ap_bytes) cast = { 0 };
    AP_TRY(ap_type_to_engine(&field->type, &type, err));
    AP_TRY(ap_sql_name(&name, field->name, err));
    AP_TRY(ap_bytes_printf(&cast, err, "CAST(" AP_FMT " AS %s)", AP_ARG(value), ap_bytes_text(&type)));
    AP_TRY(ap_fit_within(&cast, field, rewriting->target.name, err));
    AP_TRY(ap_bytes_printf(out, err, "CASE WHEN " AP_DML_MEANT " THEN %s%s", field->nullable ? "" : "coalesce(", ap_bytes_text(&cast)));
    if (!field->nullable) {
        AP_TRY(ap_bytes_printf(&message, err,
            AP_SCHEMA_MARK "column \"" AP_FMT "\" of frame %s cannot hold NULL",
            AP_ARG(field->name), rewriting->target.name));
        AP_TRY(ap_bytes_add_text(out, ", error(", err));
        AP_TRY(ap_sql_string(out, ap_bytes_view(&message), err));
        AP_TRY(ap_bytes_add_text(out, "))", err));
    }
    return ap_bytes_printf(
        out, err, " ELSE %s.%s END AS %s", ap_bytes_text(&rewriting->alias), ap_bytes_text(&name),
        ap_bytes_text(&name));
}

/* The columns of the cells as they will be; `update`: with what is assigned. */
static enum apiary_code add_columns(
    const struct ap_rewriting *rewriting, bool update, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &rewriting->target.metadata;
    bool any = false;
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        size_t value = 0;
        if (!ap_lies_in_cells(metadata, field)) continue;
        if (any) AP_TRY(ap_bytes_add_text(out, ", ", err));
        any = true;
        while (value < rewriting->count && rewriting->columns[value] != i) value++;
        if (update && value < rewriting->count) {
            AP_TRY(add_assigned(rewriting, i, rewriting->values[value], out, err));
            continue;
        }
        AP_TRY(ap_bytes_printf(out, err, "%s.", ap_bytes_text(&rewriting->alias)));
        AP_TRY(ap_sql_name(out, field->name, err));
    }
    return APIARY_OK;
}

static bool assigns_queries(const struct ap_rewriting *rewriting)
{
    for (size_t i = 0; i < rewriting->count; i++)
        if (ap_dml_has_query(rewriting->values[i])) return true;
    return false;
}

/* The condition is asked once of a row, whatever it hangs on: all its columns change or none. A query in a value is
 * a join to the engine, which a CASE does not keep from rows that are not meant: those go past it. */
enum apiary_code ap_dml_updated(const struct ap_rewriting *rewriting, struct ap_str rows,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) judged = { 0 };
    const char *alias = ap_bytes_text(&rewriting->alias);
    AP_TRY(ap_bytes_printf(&judged, err, "SELECT *, " AP_FMT " AS " AP_DML_MEANT, AP_ARG(ap_dml_condition(rewriting))));
    AP_TRY(ap_dml_from(rewriting, rows, &judged, err));
    if (!assigns_queries(rewriting)) {
        AP_TRY(add_columns(rewriting, true, out, err));
        return ap_dml_from(rewriting, ap_bytes_view(&judged), out, err);
    }
    AP_TRY(ap_bytes_printf(out, err, "WITH " JUDGED " AS MATERIALIZED (%s) ", ap_bytes_text(&judged)));
    AP_TRY(add_columns(rewriting, true, out, err));
    AP_TRY(ap_bytes_printf(out, err, " FROM " JUDGED " AS %s WHERE " AP_DML_MEANT " UNION ALL ", alias));
    AP_TRY(add_columns(rewriting, false, out, err));
    return ap_bytes_printf(out, err, " FROM " JUDGED " AS %s WHERE " AP_DML_MEANT " IS NOT TRUE", alias);
}

enum apiary_code ap_dml_remaining(const struct ap_rewriting *rewriting, struct ap_str rows,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    AP_TRY(ap_cell_columns(&rewriting->target.metadata, out, err));
    AP_TRY(ap_dml_from(rewriting, rows, out, err));
    return ap_bytes_printf(
        out, err, " WHERE " AP_FMT " IS NOT TRUE", AP_ARG(ap_dml_condition(rewriting)));
}
