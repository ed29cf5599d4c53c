/* Names in syntax trees and, for queries that have none, in tokens. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "tree_cases.h"

static void show_table(const struct ap_table_ref *table, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_bytes_printf(out, &err, "table " AP_FMT "." AP_FMT "." AP_FMT "%s" AP_FMT "%s",
        AP_ARG(table->parts[0]), AP_ARG(table->parts[1]), AP_ARG(table->parts[2]),
        table->alias.size ? " " : "", AP_ARG(table->alias),
        table->at_version ? " @version"
        : table->at_time  ? " @time"
                          : ""));
    if (table->query_location != SIZE_MAX)
        assert_ok(ap_bytes_printf(out, &err, " at %zu", table->query_location));
    assert_ok(ap_bytes_add_text(out, "\n", &err));
}

static void show_file(const struct ap_file_ref *file, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_bytes_printf(
        out, &err, "file " AP_FMT "(%s", AP_ARG(file->function), file->constant ? "" : "?"));
    for (size_t i = 0; file->constant && i < file->path_count; i++)
        assert_ok(ap_bytes_printf(out, &err, "%s" AP_FMT, i ? "," : "", AP_ARG(file->paths[i])));
    assert_ok(ap_bytes_printf(out, &err, ") at %zu\n", file->query_location));
}

static void show(const struct ap_tree_names *names, struct ap_bytes *out)
{
    for (size_t i = 0; i < names->table_count; i++) show_table(&names->tables[i], out);
    for (size_t i = 0; i < names->file_count; i++) show_file(&names->files[i], out);
}

static void check_names(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) shown = { 0 };
    AP_AUTO(ap_bytes) wanted = { 0 };
    struct ap_tree_names names = { 0 };
    size_t index, count;
    yyjson_val *line;
    assert_code_in(tree_case->sql, ap_tree_names(&arena, tree_case->tree, &names, &err), APIARY_OK);
    show(&names, &shown);
    yyjson_arr_foreach(yyjson_obj_get(tree_case->expected, "names"), index, count, line)
        assert_ok(ap_bytes_printf(&wanted, &err, "%s\n", yyjson_get_str(line)));
    assert_string_in(tree_case->sql, ap_bytes_text(&shown), ap_bytes_text(&wanted));
    ap_texts_done(&names.functions);
}

static void tables_and_files(void **state)
{
    each_tree_case("names", "names", check_names);
}

static void check_flags(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) shown = { 0 };
    struct ap_tree_names names = { 0 };
    assert_code_in(tree_case->sql, ap_tree_names(&arena, tree_case->tree, &names, &err), APIARY_OK);
    for (size_t i = 0; i < names.functions.count; i++)
        assert_ok(ap_bytes_printf(&shown, &err, "%s%s", i ? " " : "", names.functions.items[i]));
    assert_string_in(tree_case->sql, ap_bytes_text(&shown),
        yyjson_get_str(yyjson_obj_get(tree_case->expected, "functions")));
    ap_bytes_clear(&shown);
    assert_ok(ap_bytes_printf(&shown, &err, "%s%s%s%s", names.is_volatile ? "v" : "",
        names.uses_now ? "n" : "", names.has_order_by ? "o" : "", names.ledger_only ? "l" : ""));
    assert_string_in(tree_case->sql, ap_bytes_text(&shown),
        yyjson_get_str(yyjson_obj_get(tree_case->expected, "flags")));
    ap_texts_done(&names.functions);
}

static void functions_and_flags(void **state)
{
    each_tree_case("names", "flags", check_flags);
}

static void check_columns(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_tree_names names = { 0 };
    assert_code_in(tree_case->sql, ap_tree_names(&arena, tree_case->tree, &names, &err), APIARY_OK);
    assert_int_in(tree_case->sql, names.columns_differ,
        yyjson_get_bool(yyjson_obj_get(tree_case->expected, "differ")));
    ap_texts_done(&names.functions);
}

static void columns_that_differ_in_name(void **state)
{
    each_tree_case("names", "differ", check_columns);
}

static void check_asks(const struct tree_case *tree_case)
{
    static const char *const figures[] = { "count", "min", "max" };
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) shown = { 0 };
    struct ap_tree_names names = { 0 };
    struct ap_ledger_ask asks[4];
    assert_code_in(tree_case->sql, ap_tree_names(&arena, tree_case->tree, &names, &err), APIARY_OK);
    size_t count = ap_tree_ledger_asks(&names, tree_case->tree, asks, AP_COUNT(asks));
    for (size_t i = 0; i < count; i++)
        assert_ok(ap_bytes_printf(&shown, &err, "%s%s(" AP_FMT ")=" AP_FMT, i ? " " : "",
            figures[asks[i].figure], AP_ARG(asks[i].column), AP_ARG(asks[i].alias)));
    assert_string_in(tree_case->sql, ap_bytes_text(&shown),
        yyjson_get_str(yyjson_obj_get(tree_case->expected, "asks")));
    if (count > 1)
        assert_int_in(
            tree_case->sql, ap_tree_ledger_asks(&names, tree_case->tree, asks, count - 1), 0);
    ap_texts_done(&names.functions);
}

static void asks_of_the_ledger(void **state)
{
    each_tree_case("names", "asks", check_asks);
}

static void names_by_tokens(void **state)
{
    static const struct {
        const char *sql, *names;
    } cases[] = {
        { "PIVOT h.b.t ON a USING sum(b)", "table h.b.t at 6\n" },
        { "PIVOT (FROM a JOIN \"B c\".d x ON a.x = x.y, e) ON a",
            "table ..a at 12\ntable ..e at 43\ntable .B c.d at 19\n" },
        { "WITH a AS (FROM b), c (x, y) AS MATERIALIZED (FROM a) PIVOT c ON x",
            "table ..b at 16\n" },
        { "PIVOT t ON a IN (SELECT x FROM u WHERE y IS DISTINCT FROM z)",
            "table ..t at 6\ntable ..u at 31\n" },
        { "FROM (a JOIN b USING (x)), (SELECT 1), c, LATERAL (FROM d)",
            "table ..a at 6\ntable ..c at 39\ntable ..b at 13\ntable ..d at 56\n" },
        { "UNPIVOT t ON a, b INTO NAME n VALUE v", "table ..t at 8\ntable ..NAME at 23\n" },
        { "PIVOT 'x.csv' ON a", "file (x.csv) at 6\n" },
        { "PIVOT read_csv('a.csv', header = true) ON a", "file read_csv(a.csv) at 6\n" },
        { "FROM read_parquet(['a', 'b']), range(3), read_json(x), t PIVOT (sum(a) FOR b IN (1))",
            "table ..t at 55\nfile read_parquet(a,b) at 5\nfile read_json(?) at 41\n" },
        { "SUMMARIZE a.b", "table .a.b at 10\n" },
        { "", "" },
        { "FROM", "" },
        { "FROM a.", "" },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_bytes) shown = { 0 };
        struct ap_tree_names names = { 0 };
        assert_code_in(cases[i].sql,
            ap_token_names(&arena, ap_str_from(cases[i].sql), &names, &err), APIARY_OK);
        show(&names, &shown);
        assert_string_in(cases[i].sql, ap_bytes_text(&shown), cases[i].names);
    }
}

#define TRUE_TREE "{\"class\":\"CAST\",\"child\":{\"class\":\"CONSTANT\",\"value\":{\"value\":\"t\"}},\"cast_type\":{\"id\":\"BOOLEAN\"}}"
#define FALSE_TREE "{\"class\":\"CONSTANT\",\"value\":{\"value\":false}}"
#define OPTION(name, value) \
    ",{\"class\":\"COMPARISON\",\"type\":\"COMPARE_EQUAL\",\"left\":{\"column_names\":[\"" name "\"]},\"right\":" value "}"

#define TYPED(type, value) "{\"class\":\"CONSTANT\",\"alias\":\"\",\"value\":{\"type\":{\"id\":\"" type "\"},\"is_null\":false,\"value\":" value "}}"
#define CALL(name, children) "{\"class\":\"FUNCTION\",\"function_name\":\"" name "\",\"children\":[" children "]}"

/* What of a reader's arguments is known, and what makes it more than a list of files. */
static void options_of_readers(void **state)
{
    static const struct {
        const char *label, *options, *ordinality;
        bool by_name, folders, others, asked;
        const char *kept; /* of the other arguments */
    } cases[] = {
        { "none", "", "WITHOUT_ORDINALITY", false, true, false },
        { "by name", OPTION("union_by_name", TRUE_TREE), "WITHOUT_ORDINALITY", true, true, false },
        { "no folders", OPTION("Hive_Partitioning", FALSE_TREE), "WITHOUT_ORDINALITY", false, false, false },
        { "both", OPTION("union_by_name", FALSE_TREE) OPTION("hive_partitioning", TRUE_TREE), "", false, true, false, true },
        { ":=", ",{\"class\":\"CONSTANT\",\"alias\":\"union_by_name\",\"value\":{\"value\":true}}", "", true, true, false },
        { "another", OPTION("filename", TRUE_TREE), "", false, true, false, false, "filename=true;" },
        { "texts and numbers", OPTION("delim", TYPED("VARCHAR", "\"'\"")) OPTION("skip", TYPED("INTEGER", "-1")), "", false, true, false, false, "delim='''';skip=-1;" },
        { "lists", OPTION("nullstr", CALL("list_value", TYPED("VARCHAR", "\"a\"") "," TYPED("VARCHAR", "\"\""))), "", false, true, false, false,
            "nullstr=['a', ''];" },
        { "structs", OPTION("types", CALL("struct_pack", "{\"class\":\"CONSTANT\",\"alias\":\"a b\",\"value\":{\"type\":{\"id\":\"VARCHAR\"},\"value\":\"DATE\"}}")),
            "", false, true, false, false, "types={'a b': 'DATE'};" },
        { "a struct without names", OPTION("types", CALL("struct_pack", TYPED("VARCHAR", "\"DATE\""))), "", false, true, true },
        { "a parameter in a list", OPTION("nullstr", CALL("list_value", "{\"class\":\"PARAMETER\"}")), "", false, true, true },
        { "an empty list", OPTION("nullstr", CALL("list_value", "")), "", false, true, true },
        { "a call", OPTION("delim", CALL("chr", TYPED("INTEGER", "9"))), "", false, true, true },
        { "NULL", OPTION("nullstr", "{\"class\":\"CONSTANT\",\"value\":{\"type\":{\"id\":\"VARCHAR\"},\"is_null\":true,\"value\":\"x\"}}"), "", false, true, true },
        { "a fraction", OPTION("f", TYPED("DECIMAL", "5")), "", false, true, true },
        { "a cast", OPTION("f", "{\"class\":\"CAST\",\"child\":" TYPED("VARCHAR", "\"t\"") ",\"cast_type\":{\"id\":\"DATE\"}}"), "", false, true, true },
        { "no constant", OPTION("union_by_name", "{\"class\":\"COLUMN_REF\",\"column_names\":[\"x\"]}"), "", false, true, true },
        { "no boolean", OPTION("union_by_name", "{\"class\":\"CONSTANT\",\"value\":{\"value\":1}}"), "", false, true, true },
        { "by position", ",{\"class\":\"CONSTANT\",\"alias\":\"\",\"value\":{\"value\":true}}", "", false, true, true },
        { "rows numbered", "", "WITH_ORDINALITY", false, true, true },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_bytes) text = { 0 };
        struct ap_tree_names names = { 0 };
        yyjson_doc *tree = NULL;
        assert_ok(ap_bytes_printf(&text, &err,
            "{\"error\":false,\"statements\":[{\"node\":{\"type\":\"SELECT_NODE\",\"cte_map\":{\"map\":[]},\"from_table\":{\"type\":\"TABLE_FUNCTION\",\"with_ordinality\":\"%s\","
            "\"function\":{\"class\":\"FUNCTION\",\"function_name\":\"read_parquet\",\"children\":[{\"class\":\"CONSTANT\",\"value\":{\"value\":\"a\"}}%s]}}}}]}",
            cases[i].ordinality, cases[i].options));
        assert_code_in(cases[i].label, ap_tree_parse(ap_bytes_view(&text), &tree, &err), APIARY_OK);
        assert_code_in(cases[i].label, ap_tree_names(&arena, tree, &names, &err), APIARY_OK);
        assert_int_in(cases[i].label, names.file_count, 1);
        assert_true_in(cases[i].label, names.files[0].constant);
        assert_int_in(cases[i].label, names.files[0].by_name, cases[i].by_name);
        assert_int_in(cases[i].label, names.files[0].folders, cases[i].folders);
        assert_int_in(cases[i].label, names.files[0].others, cases[i].others);
        assert_int_in(cases[i].label, names.files[0].folders_asked, cases[i].asked);
        ap_bytes_clear(&text);
        for (size_t j = 0; j < names.files[0].option_count; j++)
            assert_ok(ap_bytes_printf(&text, &err, AP_FMT "=" AP_FMT ";", AP_ARG(names.files[0].options[j].name), AP_ARG(names.files[0].options[j].value)));
        assert_string_in(cases[i].label, ap_bytes_text(&text), cases[i].kept != NULL ? cases[i].kept : "");
        ap_texts_done(&names.functions);
        yyjson_doc_free(tree);
    }
}

static void documents_that_are_no_tree(void **state)
{
    static const struct {
        const char *json;
        enum apiary_code code;
        const char *message;
    } cases[] = {
        { "[]", APIARY_CORRUPT, "a syntax tree without \"error\"" },
        { "{\"error\":false}", APIARY_CORRUPT, "a syntax tree of not exactly one statement" },
        { "{\"error\":false,\"statements\":[]}", APIARY_CORRUPT,
            "a syntax tree of not exactly one statement" },
        { "{\"error\":false,\"statements\":[{},{}]}", APIARY_CORRUPT,
            "a syntax tree of not exactly one statement" },
        { "{\"error\":false,\"statements\":[{\"node\":3}]}", APIARY_CORRUPT,
            "a syntax tree without a query" },
        { "{\"error\":true,\"error_type\":\"parser\",\"error_message\":\"syntax error at end of "
          "input\"}",
            APIARY_SQL, "syntax error at end of input" },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO_JSON *tree = NULL;
        struct ap_tree_names names = { 0 };
        assert_ok(ap_tree_parse(ap_str_from(cases[i].json), &tree, &err));
        assert_code_in(cases[i].json, ap_tree_names(&arena, tree, &names, &err), cases[i].code);
        assert_string_in(cases[i].json, err.message, cases[i].message);
    }
}

static void depth_is_bounded(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    yyjson_doc *tree = NULL;
    for (int i = 0; i <= AP_TREE_DEPTH_MAX; i++) assert_ok(ap_bytes_add_text(&text, "[", &err));
    assert_code(ap_tree_parse(ap_bytes_view(&text), &tree, &err), APIARY_CORRUPT);
    assert_string_equal(err.message,
        "the statement's syntax tree: JSON nested deeper than 4000 levels at byte 4000");
}

static void check_without_memory(const struct tree_case *tree_case)
{
    for (long n = 1;; n++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        struct ap_tree_names names = { 0 };
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_tree_names(&arena, tree_case->tree, &names, &err);
        ap_alloc_fail_after(0);
        ap_texts_done(&names.functions);
        if (code == APIARY_OK) break;
        assert_int_in(tree_case->sql, code, APIARY_MEMORY);
        assert_true(n < 1000);
    }
}

static void walking_without_memory(void **state)
{
    each_tree_case("names", "flags", check_without_memory);
    each_tree_case("names", "asks", check_without_memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_and_files),
        cmocka_unit_test(functions_and_flags),
        cmocka_unit_test(columns_that_differ_in_name),
        cmocka_unit_test(asks_of_the_ledger),
        cmocka_unit_test(names_by_tokens),
        cmocka_unit_test(options_of_readers),
        cmocka_unit_test(documents_that_are_no_tree),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(walking_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
