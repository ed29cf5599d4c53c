/* Rewritten trees: every reference and every file under its new name, the rest as it was. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "tree_cases.h"

enum { REFERENCES_MAX = 16 };
static const char *const one[] = { "/files/0/x.csv" };
static const char *const two[] = { "/files/0/x.csv", "/files/1/y.csv" };

struct plan {
    struct ap_tree_rename renames[REFERENCES_MAX];
    struct ap_tree_repath repaths[REFERENCES_MAX];
    size_t rename_count, repath_count;
};

static void make_plan(const struct ap_tree_names *names, struct plan *plan)
{
    *plan = (struct plan) { 0 };
    for (size_t i = 0; i < names->table_count; i++) {
        if (names->tables[i].query_location == SIZE_MAX) continue; /* SHOW TABLES, query_table */
        assert_true(plan->rename_count < REFERENCES_MAX);
        plan->renames[plan->rename_count++] = (struct ap_tree_rename) {
            .node = names->tables[i].node, .parts = { "h2", "b2", "t2" }, .alias = "known"
        };
    }
    for (size_t i = 0; i < names->file_count; i++) {
        if (!names->files[i].path_count) continue;
        bool several = names->files[i].function.size > 0;
        assert_true(plan->repath_count < REFERENCES_MAX);
        plan->repaths[plan->repath_count++] =
            (struct ap_tree_repath) { .node = names->files[i].node,
                .paths = several ? two : one,
                .path_count = several ? 2 : 1 };
    }
}

static void check_rewritten(
    const struct ap_tree_names *before, const struct ap_tree_names *after, const char *sql)
{
    assert_int_in(sql, after->table_count, before->table_count);
    assert_int_in(sql, after->file_count, before->file_count);
    for (size_t i = 0; i < after->table_count; i++) {
        const struct ap_table_ref *table = &after->tables[i];
        if (before->tables[i].query_location == SIZE_MAX) continue;
        assert_true_in(sql, ap_str_is(table->parts[0], "h2") && ap_str_is(table->parts[1], "b2") &&
                                ap_str_is(table->parts[2], "t2"));
        assert_true_in(
            sql, ap_str_is(table->alias, "known") && !table->at_version && !table->at_time);
    }
    for (size_t i = 0; i < after->file_count; i++) {
        const struct ap_file_ref *file = &after->files[i];
        if (!before->files[i].path_count) continue;
        assert_int_in(sql, file->path_count, file->function.size ? 2 : 1);
        for (size_t path = 0; path < file->path_count; path++)
            assert_true_in(sql, ap_str_is(file->paths[path], two[path]));
    }
}

static void check_rewrite(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO_JSON *rewritten = NULL;
    struct ap_tree_names before = { 0 }, after = { 0 };
    struct plan plan;
    assert_ok(ap_tree_names(&arena, tree_case->tree, &before, &err));
    make_plan(&before, &plan);
    assert_code_in(tree_case->sql,
        ap_tree_rewrite(tree_case->tree, plan.renames, plan.rename_count, plan.repaths,
            plan.repath_count, &text, &err),
        APIARY_OK);
    assert_ok(ap_tree_parse(ap_bytes_view(&text), &rewritten, &err));
    assert_code_in(tree_case->sql, ap_tree_names(&arena, rewritten, &after, &err), APIARY_OK);
    check_rewritten(&before, &after, tree_case->sql);
    ap_texts_done(&before.functions);
    ap_texts_done(&after.functions);
}

static void names_are_replaced(void **state)
{
    each_tree_case("names", "names", check_rewrite);
}

static void check_unchanged(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_bytes) same = { 0 };
    assert_ok(ap_json_write_val(yyjson_doc_get_root(tree_case->tree), &same, &err));
    assert_ok(ap_tree_rewrite(tree_case->tree, NULL, 0, NULL, 0, &text, &err));
    assert_string_in(tree_case->sql, ap_bytes_text(&text), ap_bytes_text(&same));
}

static void nothing_else_is_touched(void **state)
{
    each_tree_case("names", "names", check_unchanged);
}

static void check_without_memory(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    struct ap_tree_names names = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct plan plan;
    assert_ok(ap_tree_names(&arena, tree_case->tree, &names, &err));
    make_plan(&names, &plan);
    for (long n = 1;; n++) {
        AP_AUTO(ap_bytes) text = { 0 };
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_tree_rewrite(tree_case->tree, plan.renames, plan.rename_count,
            plan.repaths, plan.repath_count, &text, &err);
        ap_alloc_fail_after(0);
        if (code == APIARY_OK) break;
        assert_int_in(tree_case->sql, code, APIARY_MEMORY);
        assert_true(n < 1000);
    }
    ap_texts_done(&names.functions);
}

static void rewriting_without_memory(void **state)
{
    each_tree_case("names", "names", check_without_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_replaced),
        cmocka_unit_test(nothing_else_is_touched),
        cmocka_unit_test(rewriting_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
