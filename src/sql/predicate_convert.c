/* One expression to what it demands of one table. SQL has three truth values: an expression is
 * asked to be true, or to be false; NULL is neither. So NOT turns the wish around, AND wishes both
 * of its sides true or one of them false, and a comparison that must be false is the opposite
 * comparison (of a column that is not NULL). */
#include "sql/predicate_private.h"

enum { DEPTH_MAX = 200, NOT_IN_MAX = 100 };

static const struct ap_predicate never = { .kind = AP_PREDICATE_FALSE };

static const struct ap_predicate *make(struct ap_predicates *run, const struct ap_predicate *from)
{
    if (!ap_predicates_step(run)) return NULL;
    struct ap_predicate *made = ap_predicates_alloc(run, sizeof *made);
    if (made) *made = *from;
    return made;
}

/* Children of the same kind are taken in: AND(AND(a, b), c) is AND(a, b, c). */
static const struct ap_predicate *join(struct ap_predicates *run, enum ap_predicate_kind kind,
    const struct ap_predicate *const *list, size_t count)
{
    size_t total = 0;
    for (size_t i = 0; i < count; i++) total += list[i]->kind == kind ? list[i]->child_count : 1;
    struct ap_predicate **children = ap_predicates_alloc(run, total * sizeof *children);
    if (!children || !ap_predicates_step(run)) return NULL;
    total = 0;
    for (size_t i = 0; i < count; i++) {
        if (list[i]->kind != kind) {
            children[total++] = (struct ap_predicate *)(uintptr_t)list[i];
            continue;
        }
        memcpy(children + total, list[i]->children, list[i]->child_count * sizeof *children);
        total += list[i]->child_count;
    }
    run->steps += total;
    struct ap_predicate made = { .kind = kind, .children = children, .child_count = total };
    return make(run, &made);
}

const struct ap_predicate *ap_predicate_list(struct ap_predicates *run, enum ap_predicate_kind kind,
    const struct ap_predicate **list, size_t count)
{
    bool all = kind == AP_PREDICATE_AND;
    size_t kept = 0;
    for (size_t i = 0; i < count; i++) {
        if (!list[i] && !all) return NULL;
        if (!list[i]) continue;
        if (list[i]->kind == AP_PREDICATE_FALSE) {
            if (all) return &never;
            continue;
        }
        list[kept++] = list[i];
    }
    if (kept == 0) return all ? NULL : &never;
    return kept == 1 ? list[0] : join(run, kind, list, kept);
}

const struct ap_predicate *ap_predicate_both(
    struct ap_predicates *run, const struct ap_predicate *a, const struct ap_predicate *b)
{
    const struct ap_predicate *list[] = { a, b };
    return ap_predicate_list(run, AP_PREDICATE_AND, list, 2);
}

const struct ap_predicate *ap_predicate_either(
    struct ap_predicates *run, const struct ap_predicate *a, const struct ap_predicate *b)
{
    const struct ap_predicate *list[] = { a, b };
    return ap_predicate_list(run, AP_PREDICATE_OR, list, 2);
}

bool ap_predicate_takes_null(const struct ap_predicate *predicate)
{
    if (!predicate) return true;
    switch (predicate->kind) {
        case AP_PREDICATE_TRUE:
        case AP_PREDICATE_IS_NULL: return true;
        case AP_PREDICATE_AND:
            for (size_t i = 0; i < predicate->child_count; i++)
                if (!ap_predicate_takes_null(predicate->children[i])) return false;
            return true;
        case AP_PREDICATE_OR:
            for (size_t i = 0; i < predicate->child_count; i++)
                if (ap_predicate_takes_null(predicate->children[i])) return true;
            return false;
        default: return false;
    }
}

/* The column, when the expression is one of the leaf. */
static bool column_of_leaf(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, struct ap_named_column *out)
{
    return ap_named_column_of(run, scope, expression, out) && out->leaf == leaf;
}

static const struct ap_predicate *on_column(struct ap_predicates *run, enum ap_predicate_kind kind,
    const struct ap_named_column *column, enum ap_compare compare, const struct ap_literal *values,
    size_t count)
{
    struct ap_predicate made = { .kind = kind,
        .column = column->path,
        .column_depth = column->depth,
        .compare = compare,
        .value_count = count };
    struct ap_literal *copy = count ? ap_predicates_alloc(run, count * sizeof *copy) : NULL;
    if (count && !copy) return NULL;
    if (count) memcpy(copy, values, count * sizeof *copy);
    made.values = copy;
    return make(run, &made);
}

static const struct ap_predicate *null_test(
    struct ap_predicates *run, const struct ap_named_column *column, bool is_null)
{
    return on_column(
        run, is_null ? AP_PREDICATE_IS_NULL : AP_PREDICATE_IS_NOT_NULL, column, AP_EQ, NULL, 0);
}

static const enum ap_compare opposite[] = { [AP_EQ] = AP_NE,
    [AP_NE] = AP_EQ,
    [AP_LT] = AP_GE,
    [AP_LE] = AP_GT,
    [AP_GT] = AP_LE,
    [AP_GE] = AP_LT };
static const enum ap_compare mirrored[] = { [AP_EQ] = AP_EQ,
    [AP_NE] = AP_NE,
    [AP_LT] = AP_GT,
    [AP_LE] = AP_GE,
    [AP_GT] = AP_LT,
    [AP_GE] = AP_LE };

/* A column and a constant, on whichever side. */
struct sides {
    struct ap_named_column column;
    struct ap_literal value;
    bool mirrored;
};

static bool find_sides(struct ap_predicates *run, yyjson_val *left, yyjson_val *right,
    const struct ap_scope *scope, const struct ap_leaf *leaf, struct sides *out)
{
    out->mirrored = ap_node_is(right, "class", "COLUMN_REF");
    yyjson_val *column = out->mirrored ? right : left, *value = out->mirrored ? left : right;
    return column_of_leaf(run, column, scope, leaf, &out->column) &&
           ap_literal_of(run, value, &out->value);
}

static const struct ap_predicate *compare(struct ap_predicates *run, yyjson_val *left,
    yyjson_val *right, enum ap_compare operator, const struct ap_scope * scope,
    const struct ap_leaf *leaf, bool want)
{
    struct sides sides;
    if (!find_sides(run, left, right, scope, leaf, &sides)) return NULL;
    if (sides.value.type == AP_LITERAL_NULL) return &never; /* neither true nor false of any row */
    if (sides.mirrored) operator= mirrored[operator];
    if (!want) operator= opposite[operator];
    return on_column(run, AP_PREDICATE_COMPARE, &sides.column, operator, & sides.value, 1);
}

/* IS [NOT] DISTINCT FROM is never NULL. */
static const struct ap_predicate *compare_distinct(struct ap_predicates *run,
    yyjson_val *expression, bool distinct, const struct ap_scope *scope, const struct ap_leaf *leaf)
{
    struct sides sides;
    if (!find_sides(run, yyjson_obj_get(expression, "left"), yyjson_obj_get(expression, "right"),
            scope, leaf, &sides))
        return NULL;
    if (sides.value.type == AP_LITERAL_NULL) return null_test(run, &sides.column, !distinct);
    if (!distinct)
        return on_column(run, AP_PREDICATE_COMPARE, &sides.column, AP_EQ, &sides.value, 1);
    return ap_predicate_either(run, null_test(run, &sides.column, true),
        on_column(run, AP_PREDICATE_COMPARE, &sides.column, AP_NE, &sides.value, 1));
}

static const struct ap_predicate *comparison(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want)
{
    static const struct {
        const char *type;
        enum ap_compare operator;
    } operators[] = { { "COMPARE_EQUAL", AP_EQ }, { "COMPARE_NOTEQUAL", AP_NE },
        { "COMPARE_LESSTHAN", AP_LT }, { "COMPARE_LESSTHANOREQUALTO", AP_LE },
        { "COMPARE_GREATERTHAN", AP_GT }, { "COMPARE_GREATERTHANOREQUALTO", AP_GE } };
    struct ap_str type = ap_node_str(expression, "type");
    if (ap_str_is(type, "COMPARE_DISTINCT_FROM"))
        return compare_distinct(run, expression, want, scope, leaf);
    if (ap_str_is(type, "COMPARE_NOT_DISTINCT_FROM"))
        return compare_distinct(run, expression, !want, scope, leaf);
    for (size_t i = 0; i < sizeof operators / sizeof *operators; i++)
        if (ap_str_is(type, operators[i].type))
            return compare(run, yyjson_obj_get(expression, "left"),
                yyjson_obj_get(expression, "right"), operators[i].operator, scope, leaf, want);
    return NULL;
}

/* The engine casts all that BETWEEN and IN compare to one type. A text beside a number would make
 * numbers of the column's texts, a double would round: only constants of one type are safe. */
static bool same_type(const struct ap_literal *a, const struct ap_literal *b)
{
    return a->type == b->type || a->type == AP_LITERAL_NULL || b->type == AP_LITERAL_NULL;
}

/* x >= lower AND x <= upper */
static const struct ap_predicate *between(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want)
{
    yyjson_val *input = yyjson_obj_get(expression, "input");
    struct ap_literal from, to;
    if (!ap_literal_of(run, yyjson_obj_get(expression, "lower"), &from) ||
        !ap_literal_of(run, yyjson_obj_get(expression, "upper"), &to))
        return NULL;
    if (!same_type(&from, &to)) return NULL;
    const struct ap_predicate *lower =
        compare(run, input, yyjson_obj_get(expression, "lower"), AP_GE, scope, leaf, want);
    const struct ap_predicate *upper =
        compare(run, input, yyjson_obj_get(expression, "upper"), AP_LE, scope, leaf, want);
    return want ? ap_predicate_both(run, lower, upper) : ap_predicate_either(run, lower, upper);
}

/* Not one of the values, and no NULL among them. */
static const struct ap_predicate *none_of(struct ap_predicates *run,
    const struct ap_named_column *column, const struct ap_literal *values, size_t count,
    bool with_null)
{
    const struct ap_predicate *list[NOT_IN_MAX];
    if (with_null) return &never; /* x NOT IN (1, NULL) is never true */
    if (count > NOT_IN_MAX) return NULL;
    for (size_t i = 0; i < count; i++)
        list[i] = on_column(run, AP_PREDICATE_COMPARE, column, AP_NE, &values[i], 1);
    return ap_predicate_list(run, AP_PREDICATE_AND, list, count);
}

/* children: the value, then the list */
static const struct ap_predicate *in_list(struct ap_predicates *run, yyjson_val *expression,
    bool in, const struct ap_scope *scope, const struct ap_leaf *leaf)
{
    yyjson_val *children = yyjson_obj_get(expression, "children"), *item;
    size_t index, count, size = yyjson_arr_size(children), kept = 0;
    struct ap_named_column column;
    bool with_null = false;
    if (size < 2 || !column_of_leaf(run, yyjson_arr_get_first(children), scope, leaf, &column))
        return NULL;
    struct ap_literal *values = ap_predicates_alloc(run, size * sizeof *values);
    if (!values) return NULL;
    yyjson_arr_foreach(children, index, count, item)
    {
        if (index == 0) continue;
        if (!ap_predicates_step(run) || !ap_literal_of(run, item, &values[kept])) return NULL;
        if (!same_type(&values[0], &values[kept])) return NULL;
        if (values[kept].type == AP_LITERAL_NULL)
            with_null = true;
        else
            kept++;
    }
    if (!in) return none_of(run, &column, values, kept, with_null);
    if (kept == 0) return &never;
    struct ap_predicate made = { .kind = AP_PREDICATE_IN,
        .column = column.path,
        .column_depth = column.depth,
        .values = values,
        .value_count = kept };
    return make(run, &made);
}

static const struct ap_predicate *operator(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want, int depth)
{
    struct ap_str type = ap_node_str(expression, "type");
    yyjson_val *first = yyjson_arr_get_first(yyjson_obj_get(expression, "children"));
    struct ap_named_column column;
    if (ap_str_is(type, "OPERATOR_NOT"))
        return ap_expression_demand(run, first, scope, leaf, !want, depth + 1);
    if (ap_str_is(type, "COMPARE_IN")) return in_list(run, expression, want, scope, leaf);
    if (ap_str_is(type, "COMPARE_NOT_IN")) return in_list(run, expression, !want, scope, leaf);
    bool is_null = ap_str_is(type, "OPERATOR_IS_NULL");
    if (!is_null && !ap_str_is(type, "OPERATOR_IS_NOT_NULL")) return NULL;
    if (!column_of_leaf(run, first, scope, leaf, &column)) return NULL;
    return null_test(run, &column, is_null == want);
}

/* LIKE 'ab%c_': a text that begins with ab. Without a wildcard the text itself. */
static const struct ap_predicate *like(
    struct ap_predicates *run, const struct ap_named_column *column, struct ap_literal pattern)
{
    size_t prefix = 0;
    while (prefix < pattern.text.size && pattern.text.data[prefix] != '%' &&
           pattern.text.data[prefix] != '_')
        prefix++;
    if (prefix == pattern.text.size)
        return on_column(run, AP_PREDICATE_COMPARE, column, AP_EQ, &pattern, 1);
    pattern.text.size = prefix;
    return prefix ? on_column(run, AP_PREDICATE_PREFIX, column, AP_EQ, &pattern, 1) : NULL;
}

static const struct ap_predicate *function(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want)
{
    struct ap_str name = ap_node_str(expression, "function_name"),
                  schema = ap_node_str(expression, "schema");
    yyjson_val *children = yyjson_obj_get(expression, "children");
    struct ap_literal value;
    struct ap_named_column column;
    bool is_like = ap_str_is(name, "~~"), is_not_like = ap_str_is(name, "!~~");
    bool prefix = ap_str_is(name, "^@") || ap_str_equal_nocase(name, AP_STR("starts_with")) ||
                  ap_str_equal_nocase(name, AP_STR("prefix"));
    if (!is_like && !is_not_like && !prefix) return NULL;
    if (want == is_not_like || yyjson_arr_size(children) != 2 ||
        (schema.size && !ap_str_is(schema, "main")))
        return NULL;
    if (!column_of_leaf(run, yyjson_arr_get_first(children), scope, leaf, &column)) return NULL;
    if (!ap_literal_of(run, yyjson_arr_get(children, 1), &value)) return NULL;
    if (value.type == AP_LITERAL_NULL) return &never;
    if (value.type != AP_LITERAL_STRING) return NULL;
    if (!prefix) return like(run, &column, value);
    return value.text.size ? on_column(run, AP_PREDICATE_PREFIX, &column, AP_EQ, &value, 1) : NULL;
}

/* WHERE flag, WHERE TRUE */
static const struct ap_predicate *truth(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want)
{
    struct ap_literal value;
    struct ap_named_column column;
    if (column_of_leaf(run, expression, scope, leaf, &column)) {
        value = (struct ap_literal) { AP_LITERAL_BOOL, want ? AP_STR("true") : AP_STR("false") };
        return on_column(run, AP_PREDICATE_COMPARE, &column, AP_EQ, &value, 1);
    }
    if (!ap_literal_of(run, expression, &value)) return NULL;
    if (value.type == AP_LITERAL_NULL) return &never;
    if (value.type != AP_LITERAL_BOOL) return NULL;
    return ap_str_is(value.text, want ? "true" : "false") ? NULL : &never;
}

static const struct ap_predicate *conjunction(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want, int depth)
{
    yyjson_val *children = yyjson_obj_get(expression, "children"), *child;
    size_t index, count, size = yyjson_arr_size(children);
    bool is_and = ap_node_is(expression, "type", "CONJUNCTION_AND");
    if (!is_and && !ap_node_is(expression, "type", "CONJUNCTION_OR")) return NULL;
    const struct ap_predicate **list = ap_predicates_alloc(run, size * sizeof *list);
    if (!list || !size) return NULL;
    yyjson_arr_foreach(children, index, count, child) list[index] =
        ap_expression_demand(run, child, scope, leaf, want, depth + 1);
    return ap_predicate_list(run, is_and == want ? AP_PREDICATE_AND : AP_PREDICATE_OR, list, size);
}

const struct ap_predicate *ap_expression_demand(struct ap_predicates *run, yyjson_val *expression,
    const struct ap_scope *scope, const struct ap_leaf *leaf, bool want, int depth)
{
    struct ap_str class = ap_node_str(expression, "class");
    if (depth > DEPTH_MAX || !ap_predicates_step(run)) return NULL;
    if (ap_str_is(class, "CONJUNCTION"))
        return conjunction(run, expression, scope, leaf, want, depth);
    if (ap_str_is(class, "COMPARISON")) return comparison(run, expression, scope, leaf, want);
    if (ap_str_is(class, "BETWEEN")) return between(run, expression, scope, leaf, want);
    if (ap_str_is(class, "OPERATOR")) return operator(run, expression, scope, leaf, want, depth);
    if (ap_str_is(class, "FUNCTION")) return function(run, expression, scope, leaf, want);
    if (ap_str_is(class, "COLUMN_REF") || ap_str_is(class, "CONSTANT") || ap_str_is(class, "CAST"))
        return truth(run, expression, scope, leaf, want);
    return NULL;
}
