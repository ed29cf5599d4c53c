/* The first walk over a syntax tree: which tables, files and functions a statement names.
 *
 * Every value of the tree is visited, whatever it hangs in, so that no name is missed in a kind of
 * node that is new. Only what scopes names is known by its form:
 *   (1) A query node's WITH names are seen by the whole node, each also by the ones after it, never
 *       by itself or by those before it.
 *   (2) The right side of a RECURSIVE_CTE_NODE sees the name that it defines. */
#include "sql/tree_private.h"

#include "core/alloc.h"
#include "core/map.h"
#include "sql/lexer.h"

enum { TABLES_MAX = 100000, FUNCTIONS_MAX = 10000, OPTIONS_MAX = 64 };

struct walk {
    struct ap_arena *arena;
    struct ap_tree_names *out;
    struct ap_map functions;
    size_t table_capacity, file_capacity;
    struct apiary_error *err;
};

static enum apiary_code walk_value(
    struct walk *walk, yyjson_val *value, const struct ap_cte *scope, int depth);

/* Room for one more in an array of the arena; the old one stays behind in it. */
static void *arena_grow(
    struct ap_arena *arena, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return items;
    size_t room = *capacity ? *capacity * 2 : 8;
    void *grown = ap_arena_alloc(arena, room * size);
    if (!grown) return NULL;
    if (count) memcpy(grown, items, count * size);
    *capacity = room;
    return grown;
}

static enum apiary_code add_table(struct walk *walk, const struct ap_table_ref *ref)
{
    struct ap_tree_names *out = walk->out;
    if (out->table_count == TABLES_MAX)
        return ap_fail(
            walk->err, APIARY_LIMIT, "the statement names more than %d tables", TABLES_MAX);
    void *items = arena_grow(
        walk->arena, out->tables, out->table_count, &walk->table_capacity, sizeof *out->tables);
    if (!items) return ap_fail(walk->err, APIARY_MEMORY, "out of memory for the statement's names");
    out->tables = items;
    out->tables[out->table_count++] = *ref;
    return APIARY_OK;
}

static enum apiary_code add_file(struct walk *walk, const struct ap_file_ref *ref)
{
    struct ap_tree_names *out = walk->out;
    if (out->file_count == TABLES_MAX)
        return ap_fail(
            walk->err, APIARY_LIMIT, "the statement names more than %d files", TABLES_MAX);
    void *items = arena_grow(
        walk->arena, out->files, out->file_count, &walk->file_capacity, sizeof *out->files);
    if (!items) return ap_fail(walk->err, APIARY_MEMORY, "out of memory for the statement's names");
    out->files = items;
    out->files[out->file_count++] = *ref;
    return APIARY_OK;
}

static enum apiary_code add_file_name(struct walk *walk, yyjson_val *node, struct ap_str name)
{
    struct ap_str *path = ap_arena_alloc(walk->arena, sizeof *path);
    if (!path) return ap_fail(walk->err, APIARY_MEMORY, "out of memory for the statement's names");
    *path = name;
    struct ap_file_ref ref = { .function = AP_STR(""),
        .paths = path,
        .path_count = 1,
        .constant = true,
        .folders = true,
        .query_location = ap_node_location(node),
        .node = node };
    return add_file(walk, &ref);
}

static enum apiary_code note_base_table(
    struct walk *walk, yyjson_val *node, const struct ap_cte *scope)
{
    struct ap_table_ref ref = { .query_location = ap_node_location(node), .node = node };
    ref.parts[0] = ap_node_str(node, "catalog_name");
    ref.parts[1] = ap_node_str(node, "schema_name");
    ref.parts[2] = ap_node_str(node, "table_name");
    ref.alias = ap_node_str(node, "alias");
    if (ap_cte_of(scope, node)) return APIARY_OK;
    if (!ref.parts[0].size && !ref.parts[1].size && ap_is_file_name(ref.parts[2]))
        return add_file_name(walk, node, ref.parts[2]);
    yyjson_val *at = ap_json_member(node, "at_clause");
    if (at) {
        ref.at_version = ap_str_equal_nocase(ap_node_str(at, "unit"), AP_STR("VERSION"));
        ref.at_time = !ref.at_version;
        ref.at_expression = ap_json_member(at, "expr");
    }
    return add_table(walk, &ref);
}

static bool is_listed(struct ap_str name, const char *const *list)
{
    for (; *list; list++)
        if (ap_str_equal_nocase(name, ap_str_from(*list))) return true;
    return false;
}

static bool constant_text(yyjson_val *expression, struct ap_str *out)
{
    yyjson_val *value = yyjson_obj_get(expression, "value");
    return ap_node_is(expression, "class", "CONSTANT") && ap_json_str(value, "value", out);
}

/* 'a' or ['a', 'b']; false when it is no constant. */
static bool constant_texts(
    struct walk *walk, yyjson_val *expression, struct ap_str **out, size_t *count)
{
    struct ap_str text;
    yyjson_val *items = NULL, *item;
    size_t index, size;
    bool single = constant_text(expression, &text);
    if (!single && !ap_node_is(expression, "function_name", "list_value")) return false;
    if (!single) items = yyjson_obj_get(expression, "children");
    size = single ? 1 : yyjson_arr_size(items);
    struct ap_str *texts = ap_arena_alloc(walk->arena, size * sizeof *texts);
    if (!texts) return false;
    if (single) texts[0] = text;
    yyjson_arr_foreach(
        items, index, size, item) if (!constant_text(item, &texts[index])) return false;
    *out = texts;
    *count = single ? 1 : yyjson_arr_size(items);
    return true;
}

/* query_table('a.b'): the name in the text, as parts. */
static enum apiary_code note_query_table(struct walk *walk, yyjson_val *node, struct ap_str text)
{
    struct ap_table_ref ref = { .query_location = SIZE_MAX, .node = node };
    struct ap_str parts[4] = { 0 };
    struct ap_lexer lexer = { .sql = text };
    struct ap_token token;
    size_t count = 0;
    do {
        struct apiary_error err;
        AP_AUTO(ap_bytes) value = { 0 };
        bool ok = true;
        ap_lexer_next(&lexer, &token);
        if (count == 3 || ap_token_value(&token, &value, &err) != APIARY_OK) return APIARY_OK;
        parts[count++] = ap_arena_str(walk->arena, ap_bytes_view(&value), &ok);
        if (!ok)
            return ap_fail(walk->err, APIARY_MEMORY, "out of memory for the statement's names");
        ap_lexer_next(&lexer, &token);
    } while (ap_token_is(&token, "."));
    for (size_t i = 0; i < count; i++) ref.parts[3 - count + i] = parts[i];
    for (size_t i = 0; i < 3 - count; i++) ref.parts[i] = AP_STR("");
    ref.alias = AP_STR("");
    return add_table(walk, &ref);
}

/* Rows that come from the call's own arguments. */
static bool is_series(struct ap_str name)
{
    static const char *const series[] = { "range", "generate_series", "unnest" };
    for (size_t i = 0; i < sizeof series / sizeof *series; i++)
        if (ap_str_equal_nocase(name, ap_str_from(series[i]))) return true;
    return false;
}

/* An argument that is neither of the two that are known. */
static enum apiary_code note_option(struct walk *walk, struct ap_str name, yyjson_val *value, struct ap_file_ref *ref)
{
    AP_AUTO(ap_bytes) text = { 0 };
    bool constant = false, good = true;
    AP_TRY(ap_node_constant(value, &text, &constant, walk->err));
    if (ref->options == NULL) ref->options = ap_arena_alloc(walk->arena, OPTIONS_MAX * sizeof *ref->options);
    if (ref->options == NULL) return ap_fail_memory(walk->err, "a statement's names");
    bool ours = ap_str_equal_nocase(name, AP_STR("union_by_name")) || ap_str_equal_nocase(name, AP_STR("hive_partitioning"));
    ref->others |= !constant || ours || name.size == 0 || ref->option_count == OPTIONS_MAX;
    if (ref->others) return APIARY_OK;
    ref->options[ref->option_count++] = (struct ap_file_option) { name, ap_arena_str(walk->arena, ap_bytes_view(&text), &good) };
    return good ? APIARY_OK : ap_fail_memory(walk->err, "a statement's names");
}

/* The arguments behind the first of a call of a reader: name = value, or name := value. */
static enum apiary_code note_options(struct walk *walk, yyjson_val *node, struct ap_file_ref *ref)
{
    yyjson_val *children = yyjson_obj_get(yyjson_obj_get(node, "function"), "children"), *child;
    struct ap_str ordinality = ap_node_str(node, "with_ordinality");
    size_t index, count;
    ref->others = ordinality.size > 0 && !ap_str_is(ordinality, "WITHOUT_ORDINALITY");
    yyjson_arr_foreach(children, index, count, child)
    {
        if (index == 0) continue;
        bool compares = ap_node_is(child, "type", "COMPARE_EQUAL"), value = false;
        yyjson_val *names = yyjson_obj_get(yyjson_obj_get(child, "left"), "column_names");
        yyjson_val *first = yyjson_arr_get_first(names);
        struct ap_str name = compares ? (struct ap_str) { yyjson_get_str(first), yyjson_get_len(first) }
                                      : ap_node_str(child, "alias");
        yyjson_val *given = compares ? yyjson_obj_get(child, "right") : child;
        bool known = ap_node_bool(given, &value);
        if (known && ap_str_equal_nocase(name, AP_STR("union_by_name"))) ref->by_name = value;
        else if (known && ap_str_equal_nocase(name, AP_STR("hive_partitioning"))) ref->folders = ref->folders_asked = value;
        else AP_TRY(note_option(walk, name, given, ref));
    }
    return APIARY_OK;
}

static enum apiary_code note_table_function(struct walk *walk, yyjson_val *node)
{
    yyjson_val *function = yyjson_obj_get(node, "function");
    struct ap_str name = ap_node_str(function, "function_name");
    yyjson_val *argument = yyjson_arr_get_first(yyjson_obj_get(function, "children"));
    struct ap_file_ref ref = {
        .function = name, .query_location = ap_node_location(function), .folders = true, .node = node
    };
    if (ap_is_file_function(name)) {
        AP_TRY(note_options(walk, node, &ref));
        ref.constant = constant_texts(walk, argument, &ref.paths, &ref.path_count);
        return add_file(walk, &ref);
    }
    if (!is_series(name)) walk->out->other_sources = true;
    if (!ap_str_equal_nocase(name, AP_STR("query_table")) ||
        !constant_texts(walk, argument, &ref.paths, &ref.path_count))
        return APIARY_OK;
    for (size_t i = 0; i < ref.path_count; i++) AP_TRY(note_query_table(walk, node, ref.paths[i]));
    return APIARY_OK;
}

/* SHOW TABLES and the like in a FROM look at the engine's own catalogue. */
static enum apiary_code note_show(struct walk *walk, yyjson_val *node)
{
    if (ap_json_member(node, "query")) return APIARY_OK;
    struct ap_table_ref ref = { .parts = { AP_STR(""), AP_STR(""), AP_STR("duckdb_tables") },
        .alias = AP_STR(""),
        .query_location = SIZE_MAX,
        .node = node };
    return add_table(walk, &ref);
}

static enum apiary_code note_function(struct walk *walk, yyjson_val *node)
{
    static const char *const volatiles[] = { "random", "uuid", "gen_random_uuid", "uuidv4",
        "uuidv7", "nextval", "currval", "setseed", "txid_current", NULL };
    static const char *const nows[] = { "now", "today", "transaction_timestamp",
        "get_current_timestamp", "get_current_time", "current_date", "current_time",
        "current_timestamp", "current_localtime", "current_localtimestamp", "current_localdate",
        "localtime", "localtimestamp", NULL };
    struct ap_str name = ap_node_str(node, "function_name");
    if (!name.size || name.size > 200) return APIARY_OK;
    char lower[201];
    for (size_t i = 0; i < name.size; i++)
        lower[i] = (char)(name.data[i] | (name.data[i] >= 'A' && name.data[i] <= 'Z' ? 0x20 : 0));
    struct ap_str folded = { lower, name.size };
    if (ap_map_has(&walk->functions, folded)) return APIARY_OK;
    if (walk->functions.used == FUNCTIONS_MAX)
        return ap_fail(
            walk->err, APIARY_LIMIT, "the statement calls more than %d functions", FUNCTIONS_MAX);
    AP_TRY(ap_map_put(&walk->functions, folded, 1, walk->err));
    walk->out->is_volatile |= is_listed(folded, volatiles);
    walk->out->uses_now |= is_listed(folded, nows) || ap_str_is(folded, "age");
    return ap_texts_add(&walk->out->functions, folded, walk->err);
}

/* current_date and its kin are column names until the engine finds no such column. */
static void note_column(struct walk *walk, yyjson_val *node)
{
    static const char *const nows[] = { "current_date", "current_time", "current_timestamp",
        "current_localtime", "current_localtimestamp", "localtime", "localtimestamp", NULL };
    yyjson_val *names = yyjson_obj_get(node, "column_names"), *first = yyjson_arr_get_first(names);
    if (yyjson_arr_size(names) != 1 || !yyjson_is_str(first)) return;
    walk->out->uses_now |=
        is_listed((struct ap_str) { yyjson_get_str(first), yyjson_get_len(first) }, nows);
}

static enum apiary_code walk_children(
    struct walk *walk, yyjson_val *node, const char *but, const struct ap_cte *scope, int depth)
{
    size_t index, count;
    yyjson_val *key, *value;
    yyjson_obj_foreach(node, index, count, key, value)
    {
        if (but && yyjson_equals_str(key, but)) continue;
        AP_TRY(walk_value(walk, value, scope, depth));
    }
    return APIARY_OK;
}

static enum apiary_code walk_query(
    struct walk *walk, yyjson_val *node, const struct ap_cte *scope, int depth)
{
    size_t index, count;
    yyjson_val *entry, *map = yyjson_obj_get(yyjson_obj_get(node, "cte_map"), "map");
    yyjson_arr_foreach(map, index, count, entry)
    {
        AP_TRY(walk_value(walk, yyjson_obj_get(entry, "value"), scope, depth));
        struct ap_cte *cte = ap_arena_alloc(walk->arena, sizeof *cte);
        if (!cte)
            return ap_fail(walk->err, APIARY_MEMORY, "out of memory for the statement's names");
        *cte = (struct ap_cte) { .name = ap_node_str(entry, "key"), .outer = scope };
        scope = cte;
    }
    if (!ap_node_is(node, "type", "RECURSIVE_CTE_NODE"))
        return walk_children(walk, node, "cte_map", scope, depth);
    struct ap_cte self = { .name = ap_node_str(node, "cte_name"), .outer = scope };
    yyjson_val *key, *value;
    yyjson_obj_foreach(node, index, count, key, value)
    {
        if (yyjson_equals_str(key, "cte_map")) continue;
        AP_TRY(walk_value(walk, value, yyjson_equals_str(key, "right") ? &self : scope, depth));
    }
    return APIARY_OK;
}

static enum apiary_code note(struct walk *walk, yyjson_val *node, const struct ap_cte *scope)
{
    if (ap_node_is(node, "type", "BASE_TABLE") && yyjson_obj_get(node, "table_name"))
        return note_base_table(walk, node, scope);
    if (ap_node_is(node, "type", "TABLE_FUNCTION")) return note_table_function(walk, node);
    if (ap_node_is(node, "type", "SHOW_REF")) return note_show(walk, node);
    if (ap_node_is(node, "class", "FUNCTION") || ap_node_is(node, "class", "WINDOW"))
        return note_function(walk, node);
    if (ap_node_is(node, "class", "COLUMN_REF")) note_column(walk, node);
    return APIARY_OK;
}

static enum apiary_code walk_value(
    struct walk *walk, yyjson_val *value, const struct ap_cte *scope, int depth)
{
    size_t index, count;
    yyjson_val *item;
    if (!yyjson_is_ctn(value)) return APIARY_OK;
    if (depth > AP_TREE_DEPTH_MAX)
        return ap_fail(walk->err, APIARY_LIMIT, "the statement is nested too deeply");
    if (yyjson_is_obj(value)) {
        if (ap_node_is_query(value)) return walk_query(walk, value, scope, depth + 1);
        AP_TRY(note(walk, value, scope));
        return walk_children(walk, value, NULL, scope, depth + 1);
    }
    yyjson_arr_foreach(value, index, count, item) AP_TRY(walk_value(walk, item, scope, depth + 1));
    return APIARY_OK;
}

static bool has_modifier(yyjson_val *node, const char *type)
{
    size_t index, count;
    yyjson_val *modifier;
    yyjson_arr_foreach(yyjson_obj_get(node, "modifiers"), index, count,
        modifier) if (ap_node_is(modifier, "type", type)) return true;
    return false;
}

static bool is_limit(yyjson_val *node)
{
    return ap_node_is(node, "type", "LIMIT_MODIFIER") || ap_node_is(node, "type", "LIMIT_PERCENT_MODIFIER");
}

/* How many LIMITs and samples there are in it. */
static size_t count_limits(yyjson_val *value, int depth)
{
    size_t index, count, found = 0;
    yyjson_val *key, *item;
    if (!yyjson_is_ctn(value) || depth > AP_TREE_DEPTH_MAX) return yyjson_is_ctn(value); /* deeper than we look: there may be one */
    if (yyjson_is_arr(value)) {
        yyjson_arr_foreach(value, index, count, item) found += count_limits(item, depth + 1);
        return found;
    }
    if (is_limit(value) || yyjson_is_obj(yyjson_obj_get(value, "sample"))) found++;
    yyjson_obj_foreach(value, index, count, key, item) found += count_limits(item, depth + 1);
    return found;
}

enum apiary_code ap_tree_names(
    struct ap_arena *arena, yyjson_doc *tree, struct ap_tree_names *out, struct apiary_error *err)
{
    yyjson_val *node;
    AP_TRY(ap_tree_root(tree, &node, err));
    struct ap_tree_names names = { 0 };
    struct walk walk = { .arena = arena, .out = &names, .err = err };
    enum apiary_code code = walk_value(&walk, node, NULL, 0);
    if (code == APIARY_OK && names.table_count == 1 && !names.file_count)
        code = ap_tree_find_asks(arena, node, &names, err);
    ap_map_done(&walk.functions);
    if (code != APIARY_OK) {
        ap_texts_done(&names.functions);
        return code;
    }
    names.has_order_by = has_modifier(node, "ORDER_MODIFIER");
    names.columns_differ = ap_tree_columns_differ(node);
    names.limit_at_top = has_modifier(node, "LIMIT_MODIFIER") || has_modifier(node, "LIMIT_PERCENT_MODIFIER");
    names.limit_below = count_limits(node, 0) > names.limit_at_top;
    *out = names;
    return APIARY_OK;
}
