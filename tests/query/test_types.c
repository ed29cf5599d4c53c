/* Types between the engine's text, Delta's schema and Arrow; text spliced by position. */
#include "apiary_test.h"

#include "query/import.h"
#include "query/mapping.h"
#include "query/splice.h"
#include "query/types.h"

#include <stdlib.h>
#include <unistd.h>

static void engine_types_become_frame_types(void **state)
{
    static const struct {
        const char *engine, *delta, *back, *refused;
    } cases[] = {
        { "BIGINT", "long", "BIGINT", NULL },
        { "UTINYINT", "short", "SMALLINT", NULL },
        { "UBIGINT", "decimal(20,0)", "DECIMAL(20,0)", NULL },
        { "HUGEINT", "decimal(38,0)", "DECIMAL(38,0)", NULL },
        { "DECIMAL(10,2)", "decimal(10,2)", "DECIMAL(10,2)", NULL },
        { "TIMESTAMP WITH TIME ZONE", "timestamp", "TIMESTAMP WITH TIME ZONE", NULL },
        { "TIMESTAMP_NS", "timestamp_ntz", "TIMESTAMP", NULL },
        { "UUID", "string", "VARCHAR", NULL },
        { "ENUM('a', 'b)')", "string", "VARCHAR", NULL },
        { "\"NULL\"", "string", "VARCHAR", NULL },
        { "INTEGER[]", "array<integer>", "INTEGER[]", NULL },
        { "INTEGER[3]", "array<integer>", "INTEGER[]", NULL },
        { "STRUCT(a INTEGER, \"b c\" VARCHAR[])", "struct<a:integer,\"b c\":array<string>>",
            "STRUCT(\"a\" INTEGER, \"b c\" VARCHAR[])", NULL },
        { "MAP(VARCHAR, STRUCT(x DOUBLE))[]", "array<map<string,struct<x:double>>>",
            "MAP(VARCHAR, STRUCT(\"x\" DOUBLE))[]", NULL },
        { "INTERVAL", NULL, NULL, "INTERVAL" },
        { "BIT", NULL, NULL, "BIT" },
        { "TIME WITH TIME ZONE", NULL, NULL, "TIME WITH TIME ZONE" },
        { "UNION(a INTEGER)", NULL, NULL, "UNION" },
        { "NO_SUCH", NULL, NULL, "NO_SUCH" },
        { "STRUCT(a", NULL, NULL, "has type" },
        { "DECIMAL(99,2)", NULL, NULL, "cannot be read" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_bytes) delta = { 0 };
        AP_AUTO(ap_bytes) back = { 0 };
        struct ap_type type = { 0 };
        struct apiary_error err = { 0 };
        enum apiary_code code = ap_type_from_engine(
            &arena, AP_STR("c"), ap_str_from(cases[i].engine), &type, NULL, &err);
        if (cases[i].refused != NULL) {
            if (code != APIARY_SCHEMA || strstr(err.message, cases[i].refused) == NULL)
                fail_msg("%s: %d %s", cases[i].engine, code, err.message);
            continue;
        }
        if (code != APIARY_OK) fail_msg("%s: %s", cases[i].engine, err.message);
        assert_int_equal(ap_type_text(&type, &delta, &err), APIARY_OK);
        assert_int_equal(ap_type_to_engine(&type, &back, &err), APIARY_OK);
        assert_string_equal(ap_bytes_text(&delta), cases[i].delta);
        assert_string_equal(ap_bytes_text(&back), cases[i].back);
    }
}

static void only_safe_widening_passes(void **state)
{
    static const struct {
        const char *from, *to;
        bool fits;
    } cases[] = {
        { "INTEGER", "BIGINT", true },
        { "BIGINT", "INTEGER", false },
        { "INTEGER", "DOUBLE", true },
        { "BIGINT", "DOUBLE", false },
        { "SMALLINT", "FLOAT", true },
        { "INTEGER", "FLOAT", false },
        { "INTEGER", "DECIMAL(12,2)", true },
        { "INTEGER", "DECIMAL(11,2)", false },
        { "DECIMAL(5,2)", "DECIMAL(7,3)", true },
        { "DECIMAL(5,2)", "DECIMAL(6,4)", false },
        { "FLOAT", "DOUBLE", true },
        { "DOUBLE", "FLOAT", false },
        { "DATE", "TIMESTAMP", true },
        { "VARCHAR", "INTEGER", false },
        { "\"NULL\"", "DATE", true },
        { "INTEGER[]", "BIGINT[]", true },
        { "STRUCT(a INTEGER)", "STRUCT(b INTEGER, a BIGINT)", true },
        { "STRUCT(z INTEGER)", "STRUCT(a INTEGER)", false },
        { "MAP(VARCHAR, INTEGER)", "MAP(VARCHAR, BIGINT)", true },
        { "UUID", "VARCHAR", true },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AP_AUTO(ap_arena) arena = { 0 };
        struct ap_type to = { 0 };
        assert_int_equal(
            ap_type_from_engine(&arena, AP_STR("c"), ap_str_from(cases[i].to), &to, NULL, NULL),
            APIARY_OK);
        if (ap_type_widens(ap_str_from(cases[i].from), &to) != cases[i].fits)
            fail_msg("%s into %s: expected %d", cases[i].from, cases[i].to, cases[i].fits);
    }
}

static void references_are_spliced(void **state)
{
    static const struct {
        const char *sql, *name, *alias, *expected;
    } cases[] = {
        { "SELECT * FROM main.t WHERE 1", "main.t", "", "SELECT * FROM X WHERE 1" },
        { "FROM t AT (VERSION => 3)", "t", "t", "FROM X AS \"t\"  " },
        { "FROM a.b.c AS d AT (VERSION => (1 + 2)) WHERE d.x", "a.b.c", "",
            "FROM X AS d   WHERE d.x" },
        { "FROM \"a\" . \"b\", z", "\"a\"", "", "FROM X, z" },
        { "FROM t u(x, y) AT (TIMESTAMP => now()) JOIN v", "t", "", "FROM X u(x, y)   JOIN v" },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AP_AUTO(ap_tokens) tokens = { 0 };
        AP_AUTO(ap_splice) splice = { 0 };
        AP_AUTO(ap_bytes) out = { 0 };
        struct apiary_error err = { 0 };
        struct ap_str sql = ap_str_from(cases[i].sql);
        size_t offset = ap_str_find(sql, ap_str_from(cases[i].name));
        if (strcmp(cases[i].name, "t") == 0) offset = ap_str_find(sql, AP_STR("FROM ")) + 5;
        assert_int_equal(ap_lex(sql, &tokens, &err), APIARY_OK);
        assert_int_equal(ap_splice_reference(&splice, &tokens, offset, AP_STR("X"),
                             ap_str_from(cases[i].alias), &err),
            APIARY_OK);
        assert_int_equal(ap_splice_apply(&splice, sql, &out, &err), APIARY_OK);
        AP_AUTO(ap_bytes) expected = { 0 };
        for (const char *at = cases[i].expected; *at != '\0';
             at++) /* runs of blanks do not matter */
            if (*at != ' ') assert_int_equal(ap_bytes_add(&expected, at, 1, &err), APIARY_OK);
        AP_AUTO(ap_bytes) got = { 0 };
        for (size_t j = 0; j < out.size; j++)
            if (out.data[j] != ' ')
                assert_int_equal(ap_bytes_add(&got, &out.data[j], 1, &err), APIARY_OK);
        assert_string_equal(ap_bytes_text(&got), ap_bytes_text(&expected));
    }
}

static void overlapping_edits_are_refused(void **state)
{
    AP_AUTO(ap_splice) splice = { 0 };
    AP_AUTO(ap_bytes) out = { 0 };
    struct apiary_error err = { 0 };
    (void)state;
    assert_int_equal(ap_splice_add(&splice, 2, 4, AP_STR("x"), &err), APIARY_OK);
    assert_int_equal(ap_splice_add(&splice, 4, 1, AP_STR("y"), &err), APIARY_OK);
    assert_int_equal(ap_splice_apply(&splice, AP_STR("0123456789"), &out, &err), APIARY_INTERNAL);
}

static void odd_rows_are_found(void **state)
{
    static const struct {
        const char *text;
        char delimiter;
        bool odd;
        uint64_t line;
    } cases[] = {
        { "a,b\n1,2\n3,4\n", ',', false, 0 },
        { "a;b\n1;2\n3\n", ';', true, 3 },
        { "a,b\n\"x,\ny\",2\n1\n", ',', true, 4 },
        { "a\n1\n2\n", '\0', false, 0 },
        { "a\tb\n1\t2\t3", '\t', true, 2 },
        { "a,b\n\n1,2\n", ',', false, 0 },
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char path[] = "/tmp/apiary-dialect-XXXXXX";
        int fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(
            write(fd, cases[i].text, strlen(cases[i].text)), (ssize_t)strlen(cases[i].text));
        close(fd);
        uint64_t line = 0;
        size_t columns = 0, expected = 0;
        char delimiter = ap_csv_delimiter(path);
        bool odd = ap_csv_odd_row(path, &line, &columns, &expected);
        unlink(path);
        assert_int_equal(delimiter, cases[i].delimiter);
        if (odd != cases[i].odd || (odd && line != cases[i].line))
            fail_msg("case %zu: odd %d at line %llu", i, odd, (unsigned long long)line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engine_types_become_frame_types),
        cmocka_unit_test(only_safe_widening_passes),
        cmocka_unit_test(references_are_spliced),
        cmocka_unit_test(overlapping_edits_are_refused),
        cmocka_unit_test(odd_rows_are_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
