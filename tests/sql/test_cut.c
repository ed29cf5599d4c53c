/* Where queries are cut, and into what: tests/sql/trees/cuts.json. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "sql/cut.h"
#include "tree_cases.h"

enum { TABLES_MAX = 16, NAMES_MAX = 32 };

struct found {
    struct ap_arena arena;
    struct ap_tree_names names;
    struct ap_cut_table tables[TABLES_MAX];
    struct ap_cut_options options;
    struct ap_cut cut;
};

/* Of the frames' columns x alone is a float. */
static bool exact_column(void *context, struct ap_str name)
{
    (void)context;
    return !ap_str_is(name, "x") && !ap_str_is(name, "g");
}

static void find(const struct tree_case *tree_case, unsigned mistakes, struct found *out)
{
    struct apiary_error err = { 0 };
    memset(out, 0, sizeof *out);
    assert_ok(ap_tree_names(&out->arena, tree_case->tree, &out->names, &err));
    assert_true_in(tree_case->sql, out->names.table_count <= TABLES_MAX);
    for (size_t i = 0; i < out->names.table_count; i++) {
        struct ap_str name = out->names.tables[i].parts[2];
        out->tables[i].bytes = ap_str_is(name, "t")   ? 300
                               : ap_str_is(name, "u") ? 200
                               : ap_str_is(name, "s") ? 100
                                                      : 0;
        out->tables[i].is_frame = out->tables[i].bytes > 0;
    }
    out->options = (struct ap_cut_options) { .tables = out->tables,
        .exact_column = exact_column,
        .first_bytes = 250,
        .mistakes = mistakes };
    assert_ok(ap_cut_find(
        &out->arena, tree_case->tree, &out->names, &out->options, &out->cut, &err));
}

static void found_done(struct found *found)
{
    ap_texts_done(&found->names.functions);
    ap_arena_done(&found->arena);
}

static size_t place_of(const struct found *found, size_t reference)
{
    size_t place = 0;
    for (size_t i = 0; i < found->names.table_count; i++)
        if (found->names.tables[i].query_location < found->names.tables[reference].query_location)
            place++;
    return place;
}

/* "aggregate t0 first needed": the place of the reference among all in the text; "t0 t2": of several. */
static void show(const struct found *found, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    const struct ap_cut *cut = &found->cut;
    if (cut->kind == AP_CUT_WHOLE) {
        assert_ok(ap_bytes_printf(out, &err, "whole: %s", cut->why));
        return;
    }
    assert_ok(ap_bytes_printf(out, &err, "%s%s%s", cut->plain ? "plain " : "",
        ap_cut_kind_text(cut->kind), cut->rows ? " rows" : ""));
    for (size_t i = 0; i < cut->reference_count; i++)
        assert_ok(ap_bytes_printf(out, &err, " t%zu", place_of(found, cut->references[i])));
    if (cut->wants_from) assert_ok(ap_bytes_add_text(out, " from", &err));
    for (size_t i = 0; i < cut->first_count; i++)
        assert_ok(ap_bytes_printf(
            out, &err, " first %s", cut->firsts[i].needed ? "needed" : "large"));
}

static void check_found(const struct tree_case *tree_case)
{
    struct found found;
    AP_AUTO(ap_bytes) shown = { 0 };
    find(tree_case, 0, &found);
    show(&found, &shown);
    const char *wanted = yyjson_get_str(yyjson_obj_get(tree_case->expected, "found"));
    assert_string_in(tree_case->sql, ap_bytes_text(&shown), wanted);
    found_done(&found);
}

static void references_and_kinds(void **state)
{
    (void)state;
    each_tree_case("cuts", "found", check_found);
}

/* ---- the parts ---- */

static bool ignored(yyjson_val *key, bool aliases)
{
    /* Where a name is looked up, where it stood, what a column of a fragment is called (it goes by
     * its place): not what the parts are about. */
    static const char *const keys[] = { "query_location", "schema", "catalog", "is_operator",
        "named_param_map" };
    for (size_t i = 0; i < AP_COUNT(keys); i++)
        if (yyjson_equals_str(key, keys[i])) return true;
    return !aliases && yyjson_equals_str(key, "alias");
}

static bool same(yyjson_val *a, yyjson_val *b, bool aliases)
{
    size_t index, count;
    yyjson_val *key, *item;
    if (yyjson_get_type(a) != yyjson_get_type(b)) return false;
    if (yyjson_is_arr(a)) {
        if (yyjson_arr_size(a) != yyjson_arr_size(b)) return false;
        yyjson_arr_foreach(
            a, index, count, item) if (!same(item, yyjson_arr_get(b, index), aliases)) return false;
        return true;
    }
    if (!yyjson_is_obj(a)) return yyjson_equals(a, b);
    yyjson_obj_foreach(a, index, count, key, item)
    {
        yyjson_val *other = yyjson_obj_get(b, yyjson_get_str(key));
        if (!ignored(key, aliases) && (other == NULL || !same(item, other, aliases))) return false;
    }
    return true;
}

static void check_part(const struct tree_case *tree_case, const char *key, struct ap_bytes *part)
{
    struct apiary_error err = { 0 };
    AP_AUTO_JSON *made = NULL;
    yyjson_val *wanted = yyjson_obj_get(tree_case->expected, key);
    if (wanted == NULL) return;
    assert_ok(ap_tree_parse(ap_bytes_view(part), &made, &err));
    if (same(wanted, yyjson_doc_get_root(made), strcmp(key, "above") == 0)) return;
    AP_AUTO(ap_bytes) text = { 0 };
    assert_ok(ap_json_write_val(wanted, &text, &err));
    print_error("%s: %s\n  made   %s\n  wanted %s\n", tree_case->sql, key, ap_bytes_text(part),
        ap_bytes_text(&text));
    fail();
}

static size_t names_of(const struct tree_case *tree_case, const char *key, const char **out)
{
    size_t index, count, size = 0;
    yyjson_val *item;
    yyjson_arr_foreach(yyjson_obj_get(tree_case->expected, key), index, count, item)
        if (size < NAMES_MAX) out[size++] = yyjson_get_str(item);
    return size;
}

static void check_parts(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    struct found found;
    AP_AUTO(ap_cut_parts) parts = { 0 };
    const char *names[NAMES_MAX], *from[NAMES_MAX];
    struct ap_cut_inputs inputs = { .from_names = from, .node_names = names };
    AP_AUTO(ap_bytes) node = { 0 };
    find(tree_case, 0, &found);
    inputs.from_count = names_of(tree_case, "from", from);
    inputs.node_count = names_of(tree_case, "names", names);
    assert_ok(ap_cut_node_tree(&found.cut, &node, &err));
    assert_ok(ap_cut_build(&found.cut, &inputs, &parts, &err));
    assert_true_in(tree_case->sql, found.cut.kind != AP_CUT_WHOLE);
    check_part(tree_case, "fragment", &parts.fragment);
    check_part(tree_case, "above", &parts.above);
    found_done(&found);
}

static void fragments_and_what_stands_above(void **state)
{
    (void)state;
    each_tree_case("cuts", "fragment", check_parts);
}

/* A failing allocation is an error, never half a cut. */
static void check_memory(const struct tree_case *tree_case)
{
    for (long n = 1; n < 100000; n++) {
        struct apiary_error err = { 0 };
        struct found found;
        struct ap_cut_parts parts = { 0 };
        const char *names[NAMES_MAX], *from[NAMES_MAX];
        struct ap_cut_inputs inputs = { .from_names = from, .node_names = names };
        find(tree_case, 0, &found);
        inputs.from_count = names_of(tree_case, "from", from);
        inputs.node_count = names_of(tree_case, "names", names);
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_cut_build(&found.cut, &inputs, &parts, &err);
        bool failed = ap_alloc_fail_left() == 0;
        ap_alloc_fail_after(0);
        ap_cut_parts_done(&parts);
        bool whole = found.cut.kind == AP_CUT_WHOLE;
        found_done(&found);
        if (!failed) {
            assert_code_in(tree_case->sql, code, APIARY_OK);
            return;
        }
        assert_true_in(tree_case->sql, code == APIARY_MEMORY || whole);
    }
    fail_msg("%s: no end of allocations", tree_case->sql);
}

/* The same of finding it. */
static void check_find_memory(const struct tree_case *tree_case)
{
    struct apiary_error err = { 0 };
    struct found found;
    find(tree_case, 0, &found);
    for (long n = 1; n < 100000; n++) {
        struct ap_arena arena = { 0 };
        struct ap_cut cut;
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_cut_find(&arena, tree_case->tree, &found.names, &found.options, &cut, &err);
        bool failed = ap_alloc_fail_left() == 0;
        ap_alloc_fail_after(0);
        ap_arena_done(&arena);
        if (failed) assert_code_in(tree_case->sql, code, APIARY_MEMORY);
        if (failed) continue;
        assert_code_in(tree_case->sql, code, APIARY_OK);
        assert_int_in(tree_case->sql, cut.kind, found.cut.kind);
        found_done(&found);
        return;
    }
    fail_msg("%s: no end of allocations", tree_case->sql);
}

static void no_memory(void **state)
{
    (void)state;
    each_tree_case("cuts", "memory", check_memory);
    each_tree_case("cuts", "found", check_find_memory);
}

/* ---- text ---- */

static void columns_that_travel(void **state)
{
    static const struct {
        const char *type, *packed;
        bool travels;
    } cases[] = {
        { "BIGINT", "SELECT c0 FROM (q) AS apiary_f(c0)", true },
        { "HUGEINT", "SELECT CAST(c0 AS DECIMAL(38,0)) AS c0 FROM (q) AS apiary_f(c0)", true },
        { "STRUCT(\"HUGEINT\" INTEGER, b UHUGEINT[])",
            "SELECT CAST(c0 AS STRUCT(\"HUGEINT\" INTEGER, b DECIMAL(38,0)[])) AS c0 FROM (q) AS "
            "apiary_f(c0)",
            true },
        { "UUID", "SELECT CAST(c0 AS VARCHAR) AS c0 FROM (q) AS apiary_f(c0)", true },
        { "ENUM('a', 'UNION')", "SELECT CAST(c0 AS VARCHAR) AS c0 FROM (q) AS apiary_f(c0)", true },
        { "TIME WITH TIME ZONE", "SELECT CAST(c0 AS VARCHAR) AS c0 FROM (q) AS apiary_f(c0)",
            true },
        { "TIMESTAMP WITH TIME ZONE", "SELECT c0 FROM (q) AS apiary_f(c0)", true },
        { "UUID[]", NULL, false },
        { "ENUM('a')[]", NULL, false },
        { "UNION(a INTEGER)", NULL, false },
        { "TIME WITH TIME ZONE[]", NULL, false },
        { "\"NULL\"", NULL, false },
    };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) out = { 0 };
        bool travels = false;
        assert_ok(ap_cut_pack_sql(AP_STR("q"), &cases[i].type, 1, &out, &travels, &err));
        assert_int_in(cases[i].type, travels, cases[i].travels);
        if (travels) assert_string_in(cases[i].type, ap_bytes_text(&out), cases[i].packed);
    }
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) back = { 0 };
    const char *types[] = { "HUGEINT", "DATE" }, *names[] = { "a \"b\"", "c" };
    assert_ok(ap_cut_unpack_sql("x", types, names, 2, &back, &err));
    assert_string_equal(ap_bytes_text(&back),
        "SELECT CAST(c0 AS HUGEINT) AS \"a \"\"b\"\"\", CAST(c1 AS DATE) AS \"c\" FROM x");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(references_and_kinds),
        cmocka_unit_test(fragments_and_what_stands_above),
        cmocka_unit_test(no_memory),
        cmocka_unit_test(columns_that_travel),
    };
    return cmocka_run_group_tests_name("cut", tests, NULL, NULL);
}
