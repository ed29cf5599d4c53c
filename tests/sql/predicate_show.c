#include "predicate_show.h"

#include "apiary_test.h"

#include "sql/lexer.h"

static void add(struct ap_bytes *out, const char *text)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_bytes_add_text(out, text, &err));
}

static void show_literal(const struct ap_literal *value, struct ap_bytes *out)
{
    static const char *const before[] = { [AP_LITERAL_NULL] = "NULL",
        [AP_LITERAL_DOUBLE] = "DOUBLE ",
        [AP_LITERAL_DATE] = "DATE ",
        [AP_LITERAL_TIMESTAMP] = "TIMESTAMP ",
        [AP_LITERAL_TIMESTAMP_TZ] = "TIMESTAMPTZ " };
    struct apiary_error err = { 0 };
    if (before[value->type]) add(out, before[value->type]);
    if (value->type == AP_LITERAL_NULL) return;
    if (value->type == AP_LITERAL_TIMESTAMP_TZ)
        assert_ok(ap_bytes_printf(out, &err, "'" AP_FMT "+00'", AP_ARG(value->text)));
    else if (value->type == AP_LITERAL_NUMBER || value->type == AP_LITERAL_BOOL)
        assert_ok(ap_bytes_add_str(out, value->text, &err));
    else
        assert_ok(ap_sql_string(out, value->text, &err));
}

static void show_column(const struct ap_predicate *predicate, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < predicate->column_depth; i++)
        assert_ok(
            ap_bytes_printf(out, &err, "%s" AP_FMT, i ? "." : "", AP_ARG(predicate->column[i])));
}

static void show_values(const struct ap_predicate *predicate, struct ap_bytes *out)
{
    for (size_t i = 0; i < predicate->value_count; i++) {
        if (i) add(out, ", ");
        show_literal(&predicate->values[i], out);
    }
}

static void show_children(const struct ap_predicate *predicate, struct ap_bytes *out)
{
    for (size_t i = 0; i < predicate->child_count; i++) {
        const struct ap_predicate *child = predicate->children[i];
        bool nested = child->kind == AP_PREDICATE_AND || child->kind == AP_PREDICATE_OR;
        if (i) add(out, predicate->kind == AP_PREDICATE_AND ? " AND " : " OR ");
        if (nested) add(out, "(");
        show_predicate(child, out);
        if (nested) add(out, ")");
    }
}

void show_predicate(const struct ap_predicate *predicate, struct ap_bytes *out)
{
    static const char *const compares[] = { " = ", " <> ", " < ", " <= ", " > ", " >= " };
    switch (predicate->kind) {
        case AP_PREDICATE_TRUE: add(out, "TRUE"); return;
        case AP_PREDICATE_FALSE: add(out, "FALSE"); return;
        case AP_PREDICATE_AND:
        case AP_PREDICATE_OR: show_children(predicate, out); return;
        case AP_PREDICATE_PREFIX: add(out, "starts_with("); break;
        default: break;
    }
    show_column(predicate, out);
    switch (predicate->kind) {
        case AP_PREDICATE_COMPARE: add(out, compares[predicate->compare]); break;
        case AP_PREDICATE_IN: add(out, " IN ("); break;
        case AP_PREDICATE_IS_NULL: add(out, " IS NULL"); break;
        case AP_PREDICATE_IS_NOT_NULL: add(out, " IS NOT NULL"); break;
        default: add(out, ", "); break;
    }
    show_values(predicate, out);
    if (predicate->kind == AP_PREDICATE_IN || predicate->kind == AP_PREDICATE_PREFIX) add(out, ")");
}
