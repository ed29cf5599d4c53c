/* What queries demand of the rows of their tables. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "predicate_show.h"
#include "tree_cases.h"

static yyjson_doc *columns; /* {"t": ["a", …]} */

static void keep_columns(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    assert_ok(ap_json_write_val(yyjson_obj_get(tree_case->expected, "columns"), &text, &err));
    assert_ok(ap_json_parse(ap_bytes_view(&text), "columns", &columns, &err));
}

static int read_columns(void **state)
{
    each_tree_case("predicates", "columns", keep_columns);
    return 0;
}

static int free_columns(void **state)
{
    ap_json_doc_free(&columns);
    return 0;
}

static bool has_column(void *context, size_t table, struct ap_str column)
{
    const struct ap_tree_names *names = context;
    char name[64];
    snprintf(name, sizeof name, AP_FMT, AP_ARG(names->tables[table].parts[2]));
    yyjson_val *list = yyjson_obj_get(yyjson_doc_get_root(columns), name), *item;
    size_t index, count;
    if (!column.size) return list != NULL;
    yyjson_arr_foreach(list, index, count,
        item) if (ap_str_equal_nocase(ap_str_from(yyjson_get_str(item)), column)) return true;
    return false;
}

static void check_demands(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_tree_names names = { 0 };
    yyjson_val *demands = yyjson_obj_get(tree_case->expected, "demands");
    assert_code_in(tree_case->sql, ap_tree_names(&arena, tree_case->tree, &names, &err), APIARY_OK);
    assert_code_in(tree_case->sql,
        ap_tree_predicates(&arena, tree_case->tree, &names, has_column, &names, &err), APIARY_OK);
    assert_int_in(tree_case->sql, names.table_count, yyjson_arr_size(demands));
    for (size_t i = 0; i < names.table_count; i++) {
        AP_AUTO(ap_bytes) shown = { 0 };
        show_predicate(names.tables[i].predicate, &shown);
        assert_string_in(
            tree_case->sql, ap_bytes_text(&shown), yyjson_get_str(yyjson_arr_get(demands, i)));
    }
    ap_texts_done(&names.functions);
}

static void demands_of_queries(void **state)
{
    each_tree_case("predicates", "demands", check_demands);
}

/* Without columns a single table takes all, several take what is qualified. */
static void check_without_columns(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_tree_names names = { 0 };
    assert_ok(ap_tree_names(&arena, tree_case->tree, &names, &err));
    assert_ok(ap_tree_predicates(&arena, tree_case->tree, &names, NULL, NULL, &err));
    for (size_t i = 0; i < names.table_count; i++) {
        AP_AUTO(ap_bytes) shown = { 0 };
        show_predicate(names.tables[i].predicate, &shown);
        if (strcmp(tree_case->sql, "from t where a = 1") == 0)
            assert_string_equal(ap_bytes_text(&shown), "a = 1");
        if (strcmp(tree_case->sql, "from t, u where a = 1") == 0)
            assert_string_equal(ap_bytes_text(&shown), "TRUE");
        if (strcmp(tree_case->sql, "from (from t) where b = 1") == 0)
            assert_string_equal(ap_bytes_text(&shown), "b = 1");
    }
    ap_texts_done(&names.functions);
}

static void columns_that_nobody_knows(void **state)
{
    each_tree_case("predicates", "demands", check_without_columns);
}

static void check_without_memory(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    for (long n = 1;; n++) {
        AP_AUTO(ap_arena) arena = { 0 };
        struct ap_tree_names names = { 0 };
        assert_ok(ap_tree_names(&arena, tree_case->tree, &names, &err));
        ap_alloc_fail_after(n);
        enum apiary_code code =
            ap_tree_predicates(&arena, tree_case->tree, &names, has_column, &names, &err);
        ap_alloc_fail_after(0);
        ap_texts_done(&names.functions);
        if (code == APIARY_OK) break;
        assert_int_in(tree_case->sql, code, APIARY_MEMORY);
        assert_true(n < 1000);
    }
}

static void pushing_without_memory(void **state)
{
    each_tree_case("predicates", "demands", check_without_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(demands_of_queries),
        cmocka_unit_test(columns_that_nobody_knows),
        cmocka_unit_test(pushing_without_memory),
    };
    return cmocka_run_group_tests(tests, read_columns, free_columns);
}
