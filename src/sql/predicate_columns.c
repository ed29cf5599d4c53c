/* Which column a name means. The engine looks at tables by name first, then at columns; what is
 * ambiguous it refuses, so that a column which exactly one table is known to have belongs to it
 * even if other tables' columns are not known. The exceptions are merged columns (USING, NATURAL)
 * and stars, where the engine takes one of several without a word. */
#include "sql/predicate_private.h"

static struct ap_str string_of(yyjson_val *value)
{
    return (
        struct ap_str) { yyjson_is_str(value) ? yyjson_get_str(value) : "", yyjson_get_len(value) };
}

static bool is_inside(const struct ap_from *inner, const struct ap_from *outer)
{
    return inner->first >= outer->first && inner->end <= outer->end;
}

/* May an expression of the scope name the leaf? The right side of a SEMI or ANTI join is seen by
 * that join's ON only. */
static bool is_visible(const struct ap_scope *scope, size_t leaf)
{
    const struct ap_from *behind = scope->query->leaves[leaf].behind;
    if (leaf < scope->at->first || leaf >= scope->at->end) return false;
    if (!behind || !is_inside(behind, scope->at)) return true;
    return behind == scope->at && !scope->above;
}

/* AP_OUTPUT_COLUMN: it has a column of that name. */
static enum ap_output leaf_has(
    struct ap_predicates *run, const struct ap_leaf *leaf, struct ap_str name)
{
    struct ap_named_column unused;
    enum ap_output output = AP_OUTPUT_UNKNOWN;
    if (!ap_predicates_step(run)) return AP_OUTPUT_UNKNOWN;
    switch (leaf->kind) {
        case AP_LEAF_OPAQUE: return AP_OUTPUT_UNKNOWN;
        case AP_LEAF_TABLE:
            if (leaf->renamed || !run->has_column) return AP_OUTPUT_UNKNOWN;
            if (run->has_column(run->context, leaf->table, name)) return AP_OUTPUT_COLUMN;
            return run->has_column(run->context, leaf->table, AP_STR("")) ? AP_OUTPUT_NONE
                                                                          : AP_OUTPUT_UNKNOWN;
        case AP_LEAF_QUERY:
            output = ap_query_output(run, leaf->query, leaf->renamed, name, &unused);
            break;
        case AP_LEAF_WITH:
            if (leaf->renamed) return AP_OUTPUT_UNKNOWN;
            output = ap_query_output(run, leaf->with->query, leaf->with->aliases, name, &unused);
            break;
    }
    return output == AP_OUTPUT_OTHER ? AP_OUTPUT_COLUMN : output;
}

/* One leaf that is called so; NULL for none, and *several for more. */
static const struct ap_leaf *leaf_named(
    const struct ap_scope *scope, const struct ap_str *names, size_t count, bool *several)
{
    const struct ap_leaf *found = NULL;
    for (size_t i = scope->at->first; i < scope->at->end; i++) {
        const struct ap_leaf *leaf = &scope->query->leaves[i];
        if (!is_visible(scope, i)) continue;
        if (!ap_str_equal_nocase(leaf->name, names[count - 1])) continue;
        if (count > 1 && (leaf->has_alias ||
                             (leaf->box.size && !ap_str_equal_nocase(leaf->box, names[count - 2]))))
            continue;
        if (count > 2 && leaf->hive.size && !ap_str_equal_nocase(leaf->hive, names[count - 3]))
            continue;
        *several |= found != NULL;
        /* main.t.x where FROM says t: whether it is the same is for the catalogue to say. */
        if ((count > 1 && !leaf->box.size) || (count > 2 && !leaf->hive.size)) *several = true;
        found = leaf;
    }
    return found;
}

static bool is_merged(yyjson_val *columns, struct ap_str name)
{
    size_t index, count;
    yyjson_val *column;
    yyjson_arr_foreach(columns, index, count,
        column) if (ap_str_equal_nocase(string_of(column), name)) return true;
    return false;
}

/* Joins of the scope that merge the column: only what stands on their left remains in [first, end)
 * of the candidates (`out` flags). False when the merged column is not simply the left one. */
static bool drop_merged(struct ap_predicates *run, const struct ap_scope *scope,
    const struct ap_from *from, struct ap_str name, bool *candidates)
{
    if (!from->left) return true;
    if (!drop_merged(run, scope, from->left, name, candidates)) return false;
    if (!drop_merged(run, scope, from->right, name, candidates)) return false;
    bool merges = is_merged(from->merged, name);
    if (from->natural) {
        bool on_left = false, on_right = false;
        for (size_t i = from->first; i < from->end; i++) {
            enum ap_output has = leaf_has(run, &scope->query->leaves[i], name);
            bool left = i < from->left->end;
            if (left && has != AP_OUTPUT_NONE) on_left = true;
            if (!left && has != AP_OUTPUT_NONE) on_right = true;
        }
        merges = on_left && on_right;
    }
    if (!merges) return true;
    bool left_wins = from->kind == AP_JOIN_INNER || from->kind == AP_JOIN_LEFT ||
                     from->kind == AP_JOIN_SEMI || from->kind == AP_JOIN_ANTI;
    if (!left_wins) return false;
    for (size_t i = from->right->first; i < from->right->end; i++) candidates[i] = false;
    return true;
}

static bool resolve_plain(struct ap_predicates *run, const struct ap_scope *scope,
    struct ap_str name, const struct ap_leaf **out)
{
    bool candidates[LEAVES_MAX] = { false };
    const struct ap_leaf *found = NULL;
    if (!run->has_column) { /* a single table must be meant */
        if (scope->at->end - scope->at->first != 1) return false;
        *out = &scope->query->leaves[scope->at->first];
        if ((*out)->kind == AP_LEAF_TABLE) return !(*out)->renamed;
        return leaf_has(run, *out, name) == AP_OUTPUT_COLUMN;
    }
    for (size_t i = scope->at->first; i < scope->at->end; i++)
        candidates[i] = is_visible(scope, i) &&
                        leaf_has(run, &scope->query->leaves[i], name) == AP_OUTPUT_COLUMN;
    if (!drop_merged(run, scope, scope->at, name, candidates)) return false;
    for (size_t i = scope->at->first; i < scope->at->end; i++) {
        if (!candidates[i]) continue;
        if (found) return false;
        found = &scope->query->leaves[i];
    }
    *out = found;
    return found != NULL;
}

bool ap_named_column(struct ap_predicates *run, const struct ap_scope *scope,
    const struct ap_str *names, size_t count, struct ap_named_column *out)
{
    const struct ap_leaf *leaf = NULL;
    size_t table_parts = 0;
    bool several = false;
    for (size_t parts = 1; parts < count && parts <= 3; parts++) {
        const struct ap_leaf *named = leaf_named(scope, names, parts, &several);
        if (!named) continue;
        several |= leaf != NULL;
        leaf = named;
        table_parts = parts;
    }
    if (several || !count) return false;
    if (leaf) {
        bool known = leaf->kind == AP_LEAF_TABLE && !run->has_column && !leaf->renamed;
        if (!known && leaf_has(run, leaf, names[table_parts]) != AP_OUTPUT_COLUMN) return false;
    } else if (!resolve_plain(run, scope, names[0], &leaf)) {
        return false;
    }
    *out = (struct ap_named_column) {
        .leaf = leaf, .path = names + table_parts, .depth = count - table_parts
    };
    return true;
}

bool ap_named_column_of(struct ap_predicates *run, const struct ap_scope *scope,
    yyjson_val *column_ref, struct ap_named_column *out)
{
    yyjson_val *list = yyjson_obj_get(column_ref, "column_names"), *name;
    size_t index, count, size = yyjson_arr_size(list);
    if (!ap_node_is(column_ref, "class", "COLUMN_REF") || size > PATH_MAX_PARTS ||
        !ap_predicates_step(run))
        return false;
    struct ap_str *names = ap_predicates_alloc(run, size * sizeof *names);
    if (!names || !scope->query->from) return false;
    yyjson_arr_foreach(list, index, count, name) names[index] = string_of(name);
    return ap_named_column(run, scope, names, size, out);
}

bool ap_named_column_same(const struct ap_named_column *a, const struct ap_named_column *b)
{
    if (a->leaf != b->leaf || a->depth != b->depth) return false;
    for (size_t i = 0; i < a->depth; i++)
        if (!ap_str_equal_nocase(a->path[i], b->path[i])) return false;
    return true;
}

/* ---- what a query gives under a name ---- */

static bool lists_name(yyjson_val *list, struct ap_str name)
{
    size_t index, count;
    yyjson_val *item, *key, *value;
    if (yyjson_is_obj(list)) {
        yyjson_obj_foreach(list, index, count, key,
            value) if (ap_str_equal_nocase(string_of(key), name)) return true;
        return false;
    }
    yyjson_arr_foreach(list, index, count, item)
    {
        if (yyjson_is_obj(item)) item = yyjson_obj_get(item, "key");
        if (ap_str_equal_nocase(string_of(item), name)) return true;
    }
    return false;
}

static bool is_empty(yyjson_val *list)
{
    return !yyjson_is_ctn(list) || yyjson_get_len(list) == 0;
}

/* SELECT *: the first of several columns of a name keeps it, so that every table must be known. */
static enum ap_output star_output(struct ap_predicates *run, const struct ap_scope *scope,
    yyjson_val *star, struct ap_str name, struct ap_named_column *out)
{
    bool columns = false, several = false;
    struct ap_str relation = ap_node_str(star, "relation_name");
    if ((ap_json_bool(star, "columns", &columns) && columns) || ap_json_member(star, "expr"))
        return AP_OUTPUT_UNKNOWN;
    if (!is_empty(yyjson_obj_get(star, "rename_list")) ||
        !is_empty(yyjson_obj_get(star, "qualified_exclude_list")))
        return AP_OUTPUT_UNKNOWN;
    if (lists_name(yyjson_obj_get(star, "replace_list"), name)) return AP_OUTPUT_OTHER;
    if (lists_name(yyjson_obj_get(star, "exclude_list"), name)) return AP_OUTPUT_NONE;
    struct ap_str *path = ap_predicates_alloc(run, sizeof *path);
    if (!path || !scope->query->from) return AP_OUTPUT_UNKNOWN;
    *path = name;
    if (relation.size) {
        const struct ap_leaf *leaf = leaf_named(scope, &relation, 1, &several);
        if (!leaf || several) return AP_OUTPUT_UNKNOWN;
        *out = (struct ap_named_column) { .leaf = leaf, .path = path, .depth = 1 };
        return leaf_has(run, leaf, name);
    }
    bool single = scope->at->end - scope->at->first == 1, any = false;
    const struct ap_leaf *only = &scope->query->leaves[scope->at->first];
    if (single && only->kind == AP_LEAF_TABLE && !only->renamed && !run->has_column) {
        *out = (struct ap_named_column) { .leaf = only, .path = path, .depth = 1 };
        return AP_OUTPUT_COLUMN;
    }
    for (size_t i = scope->at->first; i < scope->at->end; i++) {
        if (!is_visible(scope, i)) continue;
        enum ap_output has = leaf_has(run, &scope->query->leaves[i], name);
        if (has == AP_OUTPUT_UNKNOWN) return AP_OUTPUT_UNKNOWN;
        any |= has == AP_OUTPUT_COLUMN;
    }
    if (!any) return AP_OUTPUT_NONE;
    return ap_named_column(run, scope, path, 1, out) ? AP_OUTPUT_COLUMN : AP_OUTPUT_OTHER;
}

static enum ap_output item_output(struct ap_predicates *run, const struct ap_scope *scope,
    yyjson_val *item, struct ap_str name, struct ap_named_column *out)
{
    if (ap_node_is(item, "class", "STAR")) return star_output(run, scope, item, name, out);
    struct ap_str alias = ap_node_str(item, "alias");
    bool column = ap_node_is(item, "class", "COLUMN_REF");
    if (!alias.size && column)
        alias = string_of(yyjson_arr_get_last(yyjson_obj_get(item, "column_names")));
    if (!ap_str_equal_nocase(alias, name)) return AP_OUTPUT_NONE;
    return column && ap_named_column_of(run, scope, item, out) ? AP_OUTPUT_COLUMN : AP_OUTPUT_OTHER;
}

static enum ap_output list_output(struct ap_predicates *run, const struct ap_scope *scope,
    struct ap_str name, struct ap_named_column *out)
{
    size_t index, count;
    yyjson_val *item;
    enum ap_output found = AP_OUTPUT_NONE;
    yyjson_arr_foreach(yyjson_obj_get(scope->query->node, "select_list"), index, count, item)
    {
        struct ap_named_column column = { 0 };
        enum ap_output output = item_output(run, scope, item, name, &column);
        if (output == AP_OUTPUT_UNKNOWN) return AP_OUTPUT_UNKNOWN;
        if (output == AP_OUTPUT_NONE) continue;
        if (found != AP_OUTPUT_NONE) return AP_OUTPUT_OTHER; /* the second is called name_1 */
        found = output;
        *out = column;
    }
    return found;
}

/* FROM (SELECT …) AS q(a, b), WITH q(a, b): the n-th name is the n-th item. */
static enum ap_output renamed_output(struct ap_predicates *run, const struct ap_scope *scope,
    yyjson_val *renamed, struct ap_str name, struct ap_named_column *out)
{
    yyjson_val *list = yyjson_obj_get(scope->query->node, "select_list"), *item, *found = NULL;
    size_t index, count;
    yyjson_arr_foreach(
        list, index, count, item) if (ap_node_is(item, "class", "STAR")) return AP_OUTPUT_UNKNOWN;
    if (yyjson_arr_size(renamed) != yyjson_arr_size(list)) return AP_OUTPUT_UNKNOWN;
    yyjson_arr_foreach(renamed, index, count, item)
    {
        if (!ap_str_equal_nocase(string_of(item), name)) continue;
        if (found) return AP_OUTPUT_OTHER;
        found = yyjson_arr_get(list, index);
    }
    if (!found) return AP_OUTPUT_NONE;
    return ap_named_column_of(run, scope, found, out) ? AP_OUTPUT_COLUMN : AP_OUTPUT_OTHER;
}

/* Plain names are never those that the engine makes up for expressions; x_1 may be, for a second
 * column x. */
static bool is_made_up(struct ap_predicates *run, const struct ap_scope *scope, struct ap_str name)
{
    size_t end = name.size;
    struct ap_named_column unused;
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '_' || (c & 0x80);
        if (!plain) return true;
    }
    if (!name.size || (name.data[0] >= '0' && name.data[0] <= '9')) return true;
    while (end > 0 && name.data[end - 1] >= '0' && name.data[end - 1] <= '9') end--;
    if (end == name.size || end < 2 || name.data[end - 1] != '_') return false;
    enum ap_output first = list_output(run, scope, (struct ap_str) { name.data, end - 1 }, &unused);
    return first == AP_OUTPUT_OTHER || first == AP_OUTPUT_UNKNOWN;
}

enum ap_output ap_query_output(struct ap_predicates *run, const struct ap_query *query,
    yyjson_val *renamed, struct ap_str name, struct ap_named_column *out)
{
    struct ap_scope scope = { .query = query, .at = query->from, .above = true };
    if (!query->is_select || !query->from || !ap_predicates_step(run)) return AP_OUTPUT_UNKNOWN;
    if (renamed) return renamed_output(run, &scope, renamed, name, out);
    if (is_made_up(run, &scope, name)) return AP_OUTPUT_UNKNOWN;
    return list_output(run, &scope, name, out);
}
