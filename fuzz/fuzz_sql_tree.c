/* A syntax tree as a chamber would send it, which is not trusted. */
#include "core/arena.h"
#include "sql/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool has_column(void *context, size_t table, struct ap_str column)
{
    return column.size == 0 || (column.data[0] + table) % 3 != 0;
}

static void rewrite(yyjson_doc *tree, const struct ap_tree_names *names)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_tree_rename renames[4] = { 0 };
    size_t count = 0;
    for (; count < 4 && count < names->table_count; count++)
        renames[count] = (struct ap_tree_rename) {
            .node = names->tables[count].node, .parts = { "h", "b", "t" }, .alias = "x"
        };
    static const char *const paths[] = { "/files/0/x", "/files/0/y" };
    struct ap_tree_repath repath = { .paths = paths, .path_count = 2 };
    if (names->file_count) repath.node = names->files[0].node;
    enum apiary_code code =
        ap_tree_rewrite(tree, renames, count, &repath, names->file_count > 0, &text, &err);
    ap_assert(code == APIARY_OK || code == APIARY_CORRUPT);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO_JSON *tree = NULL;
    struct ap_tree_names names = { 0 };
    struct ap_ledger_ask asks[8];
    if (ap_tree_parse((struct ap_str) { (const char *)data, size }, &tree, &err) != APIARY_OK)
        return 0;
    if (ap_tree_names(&arena, tree, &names, &err) != APIARY_OK) return 0;
    ap_assert(ap_tree_predicates(&arena, tree, &names, has_column, NULL, &err) == APIARY_OK);
    for (size_t i = 0; i < names.table_count; i++) ap_assert(names.tables[i].predicate);
    (void)ap_tree_ledger_asks(&names, tree, asks, 8);
    rewrite(tree, &names);
    ap_texts_done(&names.functions);
    return 0;
}
