/* B is an aggregate.
 *
 *   fragment   SELECT keys, values of DISTINCT, partials FROM … WHERE … GROUP BY the first two
 *   merged     keys as apiary_k0 …, aggregates as apiary_a0 …, GROUPING(…) as apiary_g0 …, by the
 *              original grouping (cut_text.c)
 *   above      the node over `merged`: no grouping any more, HAVING is a WHERE
 *
 * A call with DISTINCT brings its argument (and its FILTER) as further keys: merging sums the others'
 * partials over them, and takes the distinct values once. */
#include "sql/cut_private.h"

enum { NAME_SIZE = 32 };

/* ---- keys ---- */

static bool has_name(const struct ap_cut_inputs *inputs, struct ap_str name)
{
    for (size_t i = 0; i < inputs->from_count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(inputs->from_names[i]))) return true;
    return false;
}

static bool single_name(yyjson_val *column, struct ap_str *out)
{
    yyjson_val *names = yyjson_obj_get(column, "column_names"), *first = yyjson_arr_get_first(names);
    if (!ap_node_is(column, "class", "COLUMN_REF") || yyjson_arr_size(names) != 1) return false;
    *out = (struct ap_str) { yyjson_get_str(first), yyjson_get_len(first) };
    return out->data != NULL;
}

static yyjson_val *item_of_alias(yyjson_val *node, struct ap_str name)
{
    size_t index, count;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(node, "select_list"), index, count,
        item) if (ap_str_equal_nocase(ap_node_str(item, "alias"), name)) return item;
    return NULL;
}

/* A position, an alias or an expression. NULL: not to be told. */
static yyjson_val *key_of(
    yyjson_val *node, const struct ap_cut_inputs *inputs, yyjson_val *expression)
{
    int64_t position = 0;
    struct ap_str name = { 0 };
    yyjson_val *list = yyjson_obj_get(node, "select_list");
    if (ap_node_is(expression, "class", "CONSTANT")) {
        if (!ap_json_i64(yyjson_obj_get(expression, "value"), "value", &position))
            return expression;
        if (position < 1 || (uint64_t)position > yyjson_arr_size(list)) return NULL;
        expression = yyjson_arr_get(list, (size_t)position - 1);
    } else if (single_name(expression, &name) && !has_name(inputs, name)) {
        yyjson_val *item = item_of_alias(node, name);
        if (item != NULL) expression = item;
    }
    return ap_cut_has_star(expression) ? NULL : expression;
}

static const char *find_keys(
    struct ap_cut_state *state, const struct ap_cut_inputs *inputs, struct apiary_error *err)
{
    (void)err;
    yyjson_val *node = state->b->node;
    yyjson_val *list = yyjson_obj_get(node, "group_expressions"), *item;
    bool all = ap_node_is(node, "aggregate_handling", "FORCE_AGGREGATES");
    if (all) list = yyjson_obj_get(node, "select_list");
    size_t index, count;
    state->key_count = 0;
    state->keys = ap_arena_alloc(state->arena, (yyjson_arr_size(list) + 1) * sizeof *state->keys);
    if (state->keys == NULL) return "there is no memory for it";
    yyjson_arr_foreach(list, index, count, item)
    {
        if (all && (ap_cut_has_aggregate(item) || ap_cut_has_window(item))) continue;
        yyjson_val *key = all ? item : key_of(node, inputs, item);
        if (key == NULL) return "what it groups by cannot be told";
        state->keys[state->key_count++] = key;
    }
    return NULL;
}

static size_t key_index(const struct ap_cut_state *state, yyjson_val *expression)
{
    for (size_t i = 0; i < state->key_count; i++) { /* exactly the same goes before nearly the same */
        yyjson_val *names = yyjson_obj_get(state->keys[i], "column_names");
        if (ap_cut_same(state->keys[i], expression) &&
            yyjson_arr_size(names) ==
                yyjson_arr_size(yyjson_obj_get(expression, "column_names")))
            return i;
    }
    for (size_t i = 0; i < state->key_count; i++)
        if (ap_cut_same(state->keys[i], expression)) return i;
    return SIZE_MAX;
}

/* ---- the fragment ---- */

static void put_filter(
    struct ap_cut_copy *copy, yyjson_mut_val *call, yyjson_val *filter, yyjson_mut_val *also)
{
    yyjson_mut_val *made = filter != NULL ? ap_cut_copy_value(copy, filter) : NULL;
    if (made != NULL && also != NULL)
        made = ap_cut_node(copy, "CONJUNCTION", "CONJUNCTION_AND", made, also);
    else if (made == NULL)
        made = also;
    if (made != NULL) ap_cut_put(copy, call, "filter", made);
}

static yyjson_mut_val *argument(struct ap_cut_copy *copy, yyjson_val *call, size_t index)
{
    return ap_cut_copy_value(copy, yyjson_arr_get(yyjson_obj_get(call, "children"), index));
}

static yyjson_mut_val *partial(
    struct ap_cut_copy *copy, yyjson_val *call, const char *name, yyjson_mut_val *also)
{
    yyjson_mut_val *made = ap_cut_call(copy, name, argument(copy, call, 0), NULL);
    put_filter(copy, made, ap_json_member(call, "filter"), also);
    return made;
}

static bool starts_with_max(yyjson_val *call)
{
    struct ap_str name = ap_node_str(call, "function_name");
    return ap_str_equal_nocase(name, AP_STR("arg_max")) ||
           ap_str_equal_nocase(name, AP_STR("argmax")) ||
           ap_str_equal_nocase(name, AP_STR("max_by"));
}

/* The best value, over the rows that the call looks at: those whose argument is not NULL. */
static yyjson_mut_val *best_value(struct ap_cut_copy *copy, yyjson_val *call)
{
    yyjson_mut_val *made =
        ap_cut_call(copy, starts_with_max(call) ? "max" : "min", argument(copy, call, 1), NULL);
    put_filter(copy, made, ap_json_member(call, "filter"),
        ap_cut_node(copy, "OPERATOR", "OPERATOR_IS_NOT_NULL", argument(copy, call, 0), NULL));
    return made;
}

/* The partials of one call, appended to the select list. The number of them. */
static size_t add_partials(struct ap_cut_copy *copy, yyjson_mut_val *select,
    const struct ap_cut_aggregate_call *call)
{
    yyjson_val *node = call->node;
    switch (call->kind->merge) {
        case AP_MERGE_AVERAGE:
            if (copy->state->options->mistakes & AP_CUT_MISTAKE_AVERAGE) break;
            ap_cut_append(copy, select, "select_list", partial(copy, node, "sum", NULL));
            ap_cut_append(copy, select, "select_list", partial(copy, node, "count", NULL));
            return 2;
        case AP_MERGE_SPREAD: {
            ap_cut_append(copy, select, "select_list", partial(copy, node, "count", NULL));
            ap_cut_append(copy, select, "select_list", partial(copy, node, "avg", NULL));
            yyjson_mut_val *spread = ap_cut_call(copy, "*", partial(copy, node, "var_pop", NULL),
                partial(copy, node, "count", NULL));
            ap_cut_append(copy, select, "select_list", spread);
            return 3;
        }
        case AP_MERGE_BEST:
            ap_cut_append(copy, select, "select_list", ap_cut_copy_value(copy, node));
            ap_cut_append(copy, select, "select_list", best_value(copy, node));
            return 2;
        default: break;
    }
    ap_cut_append(copy, select, "select_list", ap_cut_copy_value(copy, node));
    return 1;
}

static size_t add_distinct(struct ap_cut_copy *copy, yyjson_mut_val *select,
    const struct ap_cut_aggregate_call *call)
{
    yyjson_val *filter = ap_json_member(call->node, "filter");
    ap_cut_append(copy, select, "select_list", argument(copy, call->node, 0));
    if (filter == NULL) return 1;
    ap_cut_append(copy, select, "select_list", ap_cut_copy_value(copy, filter));
    return 2;
}

/* Everything but the originals of the calls, which the probe adds. */
static yyjson_mut_val *fragment_of(struct ap_cut_copy *copy, struct ap_cut_state *state)
{
    yyjson_mut_val *select = ap_cut_select(copy), *set = yyjson_mut_arr(copy->doc),
                   *sets = yyjson_mut_arr(copy->doc);
    size_t columns = state->key_count;
    for (size_t i = 0; i < state->key_count; i++)
        ap_cut_append(copy, select, "select_list", ap_cut_copy_value(copy, state->keys[i]));
    for (size_t i = 0; i < state->call_count; i++) {
        if (!state->calls[i].distinct) continue;
        state->calls[i].first = columns;
        columns += add_distinct(copy, select, &state->calls[i]);
    }
    for (size_t i = 0; i < columns; i++) {
        ap_cut_append(copy, select, "group_expressions", ap_cut_number(copy, (int64_t)i + 1));
        yyjson_mut_arr_add_uint(copy->doc, set, i);
    }
    if (columns > 0) {
        yyjson_mut_arr_append(sets, set);
        ap_cut_put(copy, select, "group_sets", sets);
    }
    for (size_t i = 0; i < state->call_count; i++) {
        if (state->calls[i].distinct) continue;
        state->calls[i].first = columns;
        columns += add_partials(copy, select, &state->calls[i]);
    }
    if (columns == 0) { /* HAVING over nothing but constants: there must be a column */
        ap_cut_append(copy, select, "select_list", ap_cut_call(copy, "count_star", NULL, NULL));
        columns = 1;
    }
    state->partial_count = columns;
    yyjson_val *node = state->b->node;
    ap_cut_put(copy, select, "from_table", ap_cut_copy_value(copy, yyjson_obj_get(node, "from_table")));
    ap_cut_put(copy, select, "where_clause", ap_cut_copy_value(copy, yyjson_obj_get(node, "where_clause")));
    return select;
}

static enum apiary_code write_fragment(struct ap_cut *cut, const struct ap_cut_inputs *inputs,
    bool probe, struct ap_bytes *out, bool *refused, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "the parts of a statement");
    struct ap_cut_copy copy = {
        .doc = doc, .state = cut->state, .cut = cut, .inputs = inputs, .fragment = true
    };
    yyjson_mut_val *select = fragment_of(&copy, cut->state);
    for (size_t i = 0; probe && i < cut->state->call_count; i++)
        ap_cut_append(
            &copy, select, "select_list", ap_cut_copy_value(&copy, cut->state->calls[i].node));
    *refused = !ap_cut_with_map(&copy, cut->state->b, select);
    return *refused ? APIARY_OK : ap_cut_write(&copy, select, out, err);
}

/* ---- above ---- */

static yyjson_mut_val *merged_column(
    struct ap_cut_copy *copy, char kind, size_t index, yyjson_val *instead_of)
{
    char name[NAME_SIZE];
    snprintf(name, sizeof name, AP_CUT_PREFIX "%c%zu", kind, index);
    yyjson_mut_val *column = ap_cut_column(copy, name);
    ap_cut_put_text(copy, column, "alias", ap_node_str(instead_of, "alias"));
    return column;
}

/* Aggregates and keys become columns of the merged relation; queries have their own. */
static yyjson_mut_val *over_merged(struct ap_cut_copy *copy, yyjson_val *value)
{
    const struct ap_cut_state *state = copy->state;
    if (ap_node_is_query(value)) {
        copy->replace = NULL;
        yyjson_mut_val *made = ap_cut_copy_members(copy, value);
        copy->replace = over_merged;
        return made;
    }
    if (yyjson_obj_get(value, "class") == NULL || ap_node_is(value, "class", "CONSTANT"))
        return NULL;
    if (ap_cut_is_aggregate_call(value)) {
        for (size_t i = 0; i < state->call_count; i++)
            if (ap_cut_same(state->calls[i].node, value)) return merged_column(copy, 'a', i, value);
        return NULL;
    }
    if (ap_node_is(value, "type", "GROUPING_FUNCTION"))
        for (size_t i = 0; i < state->grouping_count; i++)
            if (ap_cut_same(state->groupings[i], value))
                return merged_column(copy, 'g', i, value);
    size_t key = key_index(state, value);
    return key != SIZE_MAX ? merged_column(copy, 'k', key, value) : NULL;
}

/* ORDER BY x means the select list's x before any column's. */
static yyjson_mut_val *copy_modifiers(struct ap_cut_copy *copy, yyjson_val *node)
{
    size_t index, count, at, order_count;
    yyjson_val *modifier, *order;
    yyjson_mut_val *list = yyjson_mut_arr(copy->doc);
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count, modifier)
    {
        yyjson_mut_val *made = ap_cut_copy_value(copy, modifier);
        yyjson_arr_foreach(yyjson_obj_get(modifier, "orders"), at, order_count, order)
        {
            struct ap_str name = { 0 };
            yyjson_val *expression = yyjson_obj_get(order, "expression");
            bool number = ap_node_is(expression, "class", "CONSTANT");
            bool alias = single_name(expression, &name) && item_of_alias(node, name) != NULL;
            if (!number && !alias) continue;
            ap_cut_replace replace = copy->replace;
            copy->replace = NULL;
            ap_cut_put(copy, yyjson_mut_arr_get(yyjson_mut_obj_get(made, "orders"), at),
                "expression", ap_cut_copy_value(copy, expression));
            copy->replace = replace;
        }
        if (made == NULL || !yyjson_mut_arr_append(list, made)) copy->failed = true;
    }
    return list;
}

static const char *make_above(struct ap_cut_copy *copy, const struct ap_cut_inputs *inputs,
    yyjson_mut_val **out)
{
    yyjson_val *node = copy->state->b->node, *item;
    yyjson_val *list = yyjson_obj_get(node, "select_list");
    size_t index, count;
    if (yyjson_arr_size(list) != inputs->node_count)
        return "its columns cannot be told apart";
    yyjson_mut_val *select = ap_cut_select(copy);
    copy->replace = over_merged;
    yyjson_arr_foreach(list, index, count, item)
    {
        yyjson_mut_val *made = ap_cut_copy_value(copy, item);
        ap_cut_put_text(copy, made, "alias", ap_str_from(inputs->node_names[index]));
        ap_cut_append(copy, select, "select_list", made);
    }
    ap_cut_put(copy, select, "from_table", ap_cut_table_ref(copy, AP_CUT_MERGED, AP_STR("")));
    if (ap_json_member(node, "having") != NULL)
        ap_cut_put(copy, select, "where_clause",
            ap_cut_copy_value(copy, yyjson_obj_get(node, "having")));
    if (ap_json_member(node, "qualify") != NULL)
        ap_cut_put(
            copy, select, "qualify", ap_cut_copy_value(copy, yyjson_obj_get(node, "qualify")));
    ap_cut_put(copy, select, "modifiers", copy_modifiers(copy, node));
    copy->replace = NULL;
    ap_cut_put(copy, select, "cte_map", ap_cut_copy_value(copy, yyjson_obj_get(node, "cte_map")));
    *out = select;
    return NULL;
}

/* GROUPING(a, b): the numbers of its keys, each list ended by SIZE_MAX. */
static const char *find_grouping_keys(struct ap_cut_state *state)
{
    size_t total = 1, at = 0, index, count;
    yyjson_val *child;
    for (size_t i = 0; i < state->grouping_count; i++)
        total += yyjson_arr_size(yyjson_obj_get(state->groupings[i], "children")) + 1;
    state->grouping_keys = ap_arena_alloc(state->arena, total * sizeof *state->grouping_keys);
    if (state->grouping_keys == NULL) return "there is no memory for it";
    for (size_t i = 0; i < state->grouping_count; i++) {
        yyjson_arr_foreach(
            yyjson_obj_get(state->groupings[i], "children"), index, count, child)
        {
            size_t key = key_index(state, child);
            if (key == SIZE_MAX) return "GROUPING asks for what is no key";
            state->grouping_keys[at++] = key;
        }
        state->grouping_keys[at++] = SIZE_MAX;
    }
    return NULL;
}

enum apiary_code ap_cut_build_aggregate(struct ap_cut *cut, const struct ap_cut_inputs *inputs,
    struct ap_cut_parts *out, struct apiary_error *err)
{
    const char *why = find_keys(cut->state, inputs, err);
    if (why == NULL) why = find_grouping_keys(cut->state);
    if (why != NULL) return ap_cut_whole(cut, why);
    bool refused = false;
    AP_TRY(write_fragment(cut, inputs, false, &out->fragment, &refused, err));
    if (refused) return ap_cut_whole(cut, "two names of WITH are the same");
    AP_TRY(write_fragment(cut, inputs, true, &out->probe, &refused, err));
    out->partial_count = cut->state->partial_count;

    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "the parts of a statement");
    struct ap_cut_copy copy = { .doc = doc, .state = cut->state, .cut = cut, .inputs = inputs };
    yyjson_mut_val *above = NULL;
    why = make_above(&copy, inputs, &above);
    if (why != NULL) return ap_cut_whole(cut, why);
    return ap_cut_write_above(&copy, above, &out->above, err);
}
