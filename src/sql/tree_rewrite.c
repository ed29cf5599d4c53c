#include "sql/tree_private.h"

/* References are few beside the nodes of a tree, but both can be thousands: looked up by address.
 */
#include "core/map.h"

struct rewrite {
    yyjson_mut_doc *doc;
    const struct ap_tree_rename *renames;
    const struct ap_tree_repath *repaths;
    struct ap_map found; /* address of the node → index; renames first, repaths behind them */
    size_t rename_count;
    struct apiary_error *err;
};

static struct ap_str address(const yyjson_val *const *node)
{
    return (struct ap_str) { (const char *)node, sizeof *node };
}

static enum apiary_code set_text(
    struct rewrite *rewrite, yyjson_mut_val *node, const char *key, const char *text)
{
    yyjson_mut_val *name = yyjson_mut_str(rewrite->doc, key),
                   *value = yyjson_mut_strcpy(rewrite->doc, text ? text : "");
    if (!yyjson_mut_obj_put(node, name, value))
        return ap_fail(rewrite->err, APIARY_MEMORY, "out of memory for a syntax tree");
    return APIARY_OK;
}

static enum apiary_code rename_node(
    struct rewrite *rewrite, const struct ap_tree_rename *rename, yyjson_mut_val *node)
{
    AP_TRY(set_text(rewrite, node, "catalog_name", rename->parts[0]));
    AP_TRY(set_text(rewrite, node, "schema_name", rename->parts[1]));
    AP_TRY(set_text(rewrite, node, "table_name", rename->parts[2]));
    if (rename->alias) AP_TRY(set_text(rewrite, node, "alias", rename->alias));
    if (!yyjson_mut_obj_put(
            node, yyjson_mut_str(rewrite->doc, "at_clause"), yyjson_mut_null(rewrite->doc)))
        return ap_fail(rewrite->err, APIARY_MEMORY, "out of memory for a syntax tree");
    return APIARY_OK;
}

/* {"class":"CONSTANT", … "value":{"type":{"id":"VARCHAR"},"is_null":false,"value":path}} */
static yyjson_mut_val *text_constant(yyjson_mut_doc *doc, const char *text)
{
    yyjson_mut_val *node = yyjson_mut_obj(doc), *value = yyjson_mut_obj(doc),
                   *type = yyjson_mut_obj(doc);
    bool ok = yyjson_mut_obj_add_str(doc, type, "id", "VARCHAR") &&
              yyjson_mut_obj_add_null(doc, type, "type_info") &&
              yyjson_mut_obj_add_val(doc, value, "type", type) &&
              yyjson_mut_obj_add_bool(doc, value, "is_null", false) &&
              yyjson_mut_obj_add_strcpy(doc, value, "value", text) &&
              yyjson_mut_obj_add_str(doc, node, "class", "CONSTANT") &&
              yyjson_mut_obj_add_str(doc, node, "type", "VALUE_CONSTANT") &&
              yyjson_mut_obj_add_str(doc, node, "alias", "") &&
              yyjson_mut_obj_add_uint(doc, node, "query_location", UINT64_MAX) &&
              yyjson_mut_obj_add_val(doc, node, "value", value);
    return ok ? node : NULL;
}

/* The path itself, or a list of them. */
static yyjson_mut_val *path_argument(yyjson_mut_doc *doc, const struct ap_tree_repath *repath)
{
    if (repath->path_count == 1) return text_constant(doc, repath->paths[0]);
    yyjson_mut_val *node = yyjson_mut_obj(doc), *children = yyjson_mut_arr(doc),
                   *orders = yyjson_mut_obj(doc);
    for (size_t i = 0; i < repath->path_count; i++)
        if (!yyjson_mut_arr_append(children, text_constant(doc, repath->paths[i]))) return NULL;
    bool ok = yyjson_mut_obj_add_str(doc, orders, "type", "ORDER_MODIFIER") &&
              yyjson_mut_obj_add_arr(doc, orders, "orders") &&
              yyjson_mut_obj_add_str(doc, node, "class", "FUNCTION") &&
              yyjson_mut_obj_add_str(doc, node, "type", "FUNCTION") &&
              yyjson_mut_obj_add_str(doc, node, "alias", "") &&
              yyjson_mut_obj_add_uint(doc, node, "query_location", UINT64_MAX) &&
              yyjson_mut_obj_add_str(doc, node, "function_name", "list_value") &&
              yyjson_mut_obj_add_str(doc, node, "schema", "main") &&
              yyjson_mut_obj_add_val(doc, node, "children", children) &&
              yyjson_mut_obj_add_null(doc, node, "filter") &&
              yyjson_mut_obj_add_val(doc, node, "order_bys", orders) &&
              yyjson_mut_obj_add_bool(doc, node, "distinct", false) &&
              yyjson_mut_obj_add_bool(doc, node, "is_operator", false) &&
              yyjson_mut_obj_add_bool(doc, node, "export_state", false) &&
              yyjson_mut_obj_add_str(doc, node, "catalog", "");
    return ok ? node : NULL;
}

/* A table function gets its first argument, a quoted name (one path) its name. */
static enum apiary_code repath_node(
    struct rewrite *rewrite, const struct ap_tree_repath *repath, yyjson_mut_val *node)
{
    yyjson_mut_val *children = yyjson_mut_obj_get(yyjson_mut_obj_get(node, "function"), "children");
    if (!children && repath->path_count == 1)
        return set_text(rewrite, node, "table_name", repath->paths[0]);
    yyjson_mut_val *argument = path_argument(rewrite->doc, repath);
    if (!argument) return ap_fail(rewrite->err, APIARY_MEMORY, "out of memory for a syntax tree");
    if (!yyjson_mut_arr_replace(children, 0, argument))
        return ap_fail(
            rewrite->err, APIARY_CORRUPT, "a syntax tree with a file that is no argument");
    return APIARY_OK;
}

/* The copy has the shape of the original: both are walked side by side. */
static enum apiary_code walk(struct rewrite *rewrite, yyjson_val *from, yyjson_mut_val *to)
{
    size_t index, count;
    yyjson_val *key, *item;
    uint64_t found;
    if (yyjson_is_obj(from)) {
        yyjson_mut_obj_iter copies = yyjson_mut_obj_iter_with(to);
        yyjson_obj_foreach(from, index, count, key, item) AP_TRY(
            walk(rewrite, item, yyjson_mut_obj_iter_get_val(yyjson_mut_obj_iter_next(&copies))));
        if (!ap_map_get(&rewrite->found, address((const yyjson_val *const *)&from), &found))
            return APIARY_OK;
        if (found < rewrite->rename_count)
            return rename_node(rewrite, &rewrite->renames[found], to);
        return repath_node(rewrite, &rewrite->repaths[found - rewrite->rename_count], to);
    }
    if (!yyjson_is_arr(from)) return APIARY_OK;
    yyjson_mut_arr_iter copies = yyjson_mut_arr_iter_with(to);
    yyjson_arr_foreach(from, index, count, item)
        AP_TRY(walk(rewrite, item, yyjson_mut_arr_iter_next(&copies)));
    return APIARY_OK;
}

static enum apiary_code rewrite_copy(struct rewrite *rewrite, yyjson_doc *tree,
    const struct ap_tree_repath *repaths, size_t repath_count, struct ap_bytes *out)
{
    yyjson_val *root = yyjson_doc_get_root(tree);
    for (size_t i = 0; i < rewrite->rename_count; i++)
        AP_TRY(ap_map_put(&rewrite->found, address(&rewrite->renames[i].node), i, rewrite->err));
    for (size_t i = 0; i < repath_count; i++)
        AP_TRY(ap_map_put(
            &rewrite->found, address(&repaths[i].node), rewrite->rename_count + i, rewrite->err));
    AP_AUTO_JSON_MUT *copy = yyjson_mut_doc_new(ap_json_alc());
    yyjson_mut_val *value = copy ? yyjson_val_mut_copy(copy, root) : NULL;
    if (!value) return ap_fail(rewrite->err, APIARY_MEMORY, "out of memory for a syntax tree");
    yyjson_mut_doc_set_root(copy, value);
    rewrite->doc = copy;
    AP_TRY(walk(rewrite, root, value));
    return ap_json_write(copy, out, rewrite->err);
}

enum apiary_code ap_tree_rewrite(yyjson_doc *tree, const struct ap_tree_rename *renames,
    size_t rename_count, const struct ap_tree_repath *repaths, size_t repath_count,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct rewrite rewrite = {
        .renames = renames, .rename_count = rename_count, .repaths = repaths, .err = err
    };
    enum apiary_code code = rewrite_copy(&rewrite, tree, repaths, repath_count, out);
    ap_map_done(&rewrite.found);
    return code;
}
