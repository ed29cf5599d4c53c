/* The statement table: every example parses to its own row, every refusal has its message, and
 * docs/sql.md shows both. AP_PRINT_TABLE=1 prints what docs/sql.md has to hold. */
#include "apiary_test.h"

#include "sql/statement_table.h"

static void examples_find_their_row(void **state)
{
    size_t count;
    const struct ap_statement_rule *rules = ap_statement_rules(&count);
    for (size_t i = 0; i < count; i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_statement) statement = { 0 };
        assert_code_in(rules[i].example,
            ap_statement_parse(ap_str_from(rules[i].example), &statement, &err), APIARY_OK);
        const struct ap_statement_rule *found = ap_statement_rule(&statement);
        assert_true_in(rules[i].example, found != NULL);
        assert_string_in(rules[i].example, found->syntax, rules[i].syntax);
    }
}

static void every_kind_has_a_row(void **state)
{
    size_t count;
    const struct ap_statement_rule *rules = ap_statement_rules(&count);
    for (int kind = AP_STATEMENT_QUERY; kind < AP_STATEMENT_REFUSED; kind++) {
        bool found = false;
        for (size_t i = 0; i < count; i++) found |= (int)rules[i].kind == kind;
        if (!found) fail_msg("no row for kind %d", kind);
    }
    struct ap_statement empty = { 0 };
    assert_null(ap_statement_rule(&empty));
}

static void refused_statements_have_their_way_out(void **state)
{
    size_t count;
    const struct ap_refused_rule *rules = ap_refused_rules(&count);
    for (size_t i = 0; i < count; i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_statement) statement = { 0 };
        const char *example = rules[i].example;
        assert_code_in(
            example, ap_statement_parse(ap_str_from(example), &statement, &err), APIARY_OK);
        assert_int_in(example, statement.kind, AP_STATEMENT_REFUSED);
        assert_string_in(example, statement.message, rules[i].message);
        assert_true_in(example, strncmp(example, rules[i].words, strlen(rules[i].words)) == 0);
    }
}

static const char *yes(bool value)
{
    return value ? "yes" : "";
}

static void print_table(struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    size_t count;
    const struct ap_statement_rule *rules = ap_statement_rules(&count);
    assert_ok(ap_bytes_add_text(out,
        "| statement | served by | snapshot | may distribute | writes a frame |\n| --- | --- | --- "
        "| --- | --- |\n",
        &err));
    for (size_t i = 0; i < count; i++)
        assert_ok(ap_bytes_printf(out, &err, "| `%s` | %s | %s | %s | %s |\n", rules[i].syntax,
            ap_served_text(rules[i].served), yes(rules[i].needs_snapshot),
            yes(rules[i].may_distribute), yes(rules[i].writes_frame)));
    const struct ap_refused_rule *refused = ap_refused_rules(&count);
    assert_ok(ap_bytes_add_text(out, "\n| refused | instead |\n| --- | --- |\n", &err));
    for (size_t i = 0; i < count; i++)
        assert_ok(ap_bytes_printf(out, &err, "| `%s` | %s |\n", refused[i].words,
            refused[i].hint ? refused[i].hint : ""));
}

static void the_documentation_shows_the_table(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) table = { 0 };
    AP_AUTO(ap_bytes) page = { 0 };
    const char *root = getenv("APIARY_SOURCE_DIR");
    char path[AP_TEST_PATH_MAX], buffer[4096];
    print_table(&table);
    if (getenv("AP_PRINT_TABLE")) printf("%s", ap_bytes_text(&table));
    snprintf(path, sizeof path, "%s/docs/sql.md", root ? root : ".");
    FILE *file = fopen(path, "r");
    if (!file) fail_msg("cannot read %s", path);
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, file)) > 0;)
        assert_ok(ap_bytes_add(&page, buffer, n, &err));
    fclose(file);
    /* Line by line, so that a failure names the line. */
    char *line = table.data;
    for (char *end; (end = strchr(line, '\n')); line = end + 1) {
        *end = 0;
        if (*line && !strstr(ap_bytes_text(&page), line)) fail_msg("docs/sql.md lacks: %s", line);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_find_their_row),
        cmocka_unit_test(every_kind_has_a_row),
        cmocka_unit_test(refused_statements_have_their_way_out),
        cmocka_unit_test(the_documentation_shows_the_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
