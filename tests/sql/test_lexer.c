/* Tokens, values and quoting. What the engine's own tokenizer says of these texts was looked up in
 * duckdb 1.5.5 (duckdb.tokenize). */
#include "apiary_test.h"

#include "core/alloc.h"
#include "sql/lexer.h"

static struct ap_str str(const char *text)
{
    return ap_str_from(text);
}

static const char kinds[] = "EWQSN?P"; /* by enum ap_token_kind */

/* "W:select N:1": kind, text, '!' when unfinished */
static void show(const struct ap_tokens *tokens, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < tokens->count; i++) {
        const struct ap_token *token = &tokens->items[i];
        if (token->kind == AP_TOKEN_END && !token->unfinished) break;
        assert_ok(ap_bytes_printf(out, &err, "%s%c:" AP_FMT "%s", i ? " " : "", kinds[token->kind],
            AP_ARG(token->text), token->unfinished ? "!" : ""));
    }
}

static void tokens_are_those_of_the_engine(void **state)
{
    static const struct {
        const char *label, *sql, *tokens;
    } cases[] = {
        { "empty", "", "" },
        { "words", "select a_1 from é", "W:select W:a_1 W:from W:é" },
        { "comment", "1 -- x\n+2", "N:1 P:+ N:2" },
        { "comment ends at a carriage return", "1--x\r2", "N:1 N:2" },
        { "block comments nest", "a /* b /* c */ d */ e", "W:a W:e" },
        { "unfinished comment", "a /* b /* c */ d", "W:a E:!" },
        { "comment in an operator", "a+--b\n c*/*d*/e", "W:a P:+ W:c P:* W:e" },
        { "doubled quotes", "'a''b' \"c\"\"d\"", "S:'a''b' Q:\"c\"\"d\"" },
        { "unfinished string", "a 'b", "W:a S:'b!" },
        { "unfinished name", "a \"b", "W:a Q:\"b!" },
        { "string goes on in the next line", "'a' --c\n 'b'", "S:'a' --c\n 'b'" },
        { "not over a block comment", "'a' /*x*/ \n 'b'", "S:'a' S:'b'" },
        { "not in one line", "'a' 'b'", "S:'a' S:'b'" },
        { "escapes", "E'a\\'b' e'x' x'0f' B'01'", "S:E'a\\'b' S:e'x' S:x'0f' S:B'01'" },
        { "escape at the end", "E'a\\", "S:E'a\\!" },
        { "no escape in plain quotes", "'a\\' b", "S:'a\\' W:b" },
        { "hex string has no doubled quotes", "x'a''b'", "S:x'a' S:'b'" },
        { "dollar quotes", "$$a$b$$ $x$ a $$ b $x$", "S:$$a$b$$ S:$x$ a $$ b $x$" },
        { "unfinished dollar quotes", "$a$1", "S:$a$1!" },
        { "name with a dollar", "a$$b$$ a$b", "W:a$$b$$ W:a$b" },
        { "parameters", "$1 $name ? ?1 x=? $1a$", "?:$1 ?:$name ?:? ?:?1 W:x P:= ?:? ?:$1 W:a$" },
        { "lonely dollar", "$ a", "P:$ W:a" },
        { "numbers", "1 1.5 .5 5. 1e5 1.e-5 1_000", "N:1 N:1.5 N:.5 N:5. N:1e5 N:1.e-5 N:1_000" },
        { "numbers that end early", "1e 0xFF 1_ 1.5.2 1..2",
            "N:1 W:e N:0 W:xFF N:1 W:_ N:1.5 N:.2 N:1 P:.. N:2" },
        { "number and name", "1a a.1", "N:1 W:a W:a N:.1" },
        { "operators", "a->>b::c:=d=>e<>f//g**h==i",
            "W:a P:->> W:b P::: W:c P::= W:d P:=> W:e P:<> W:f P:// W:g P:** W:h P:== W:i" },
        { "trailing signs are given back", "a=-1 a*-+1 a->-1",
            "W:a P:= P:- N:1 W:a P:* P:- P:+ N:1 W:a P:-> P:- N:1" },
        { "but not behind these", "a@-1 a!=-1 a%-1", "W:a P:@- N:1 W:a P:!=- N:1 W:a P:%- N:1" },
        { "positional", "#1", "P:# N:1" },
        { "semicolons", "a;;b", "W:a P:; P:; W:b" },
        { "wide spaces",
            "a\xC2\xA0"
            "b\xE2\x80\x83"
            "c\xE3\x80\x80\xEF\xBB\xBF"
            "d",
            "W:a W:b W:c W:d" },
        { "unknown bytes", "\x01\\", "P:\x01 P:\\" },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_tokens) tokens = { 0 };
        AP_AUTO(ap_bytes) shown = { 0 };
        assert_code_in(cases[i].label, ap_lex(str(cases[i].sql), &tokens, &err), APIARY_OK);
        show(&tokens, &shown);
        assert_string_in(cases[i].label, ap_bytes_text(&shown), cases[i].tokens);
    }
}

static void brackets_have_the_depth_around_them(void **state)
{
    static const int depths[] = { 0, 0, 1, 1, 2, 1, 0, 0, 0 };
    struct apiary_error err = { 0 };
    AP_AUTO(ap_tokens) tokens = { 0 };
    assert_ok(ap_lex(AP_STR("a (b [c]) } d"), &tokens, &err));
    assert_int_equal(tokens.count, AP_COUNT(depths) + 1);
    for (size_t i = 0; i < AP_COUNT(depths); i++)
        assert_int_in("depth", tokens.items[i].depth, depths[i]);
}

static void values_undo_quotes_and_escapes(void **state)
{
    static const struct {
        const char *sql, *value; /* value NULL: refused, message below */
        const char *message;
    } cases[] = {
        { "Word", "Word" },
        { "\"a\"\"b\"", "a\"b" },
        { "''", "" },
        { "'a''b'", "a'b" },
        { "'a\\n'", "a\\n" },
        { "'a' --'x'\n 'b'", "ab" },
        { "E'a\\'b\\n\\x41\\101\\q'", "a'b\nAAq" },
        { "E'a' \n 'b\\'c'", "ab'c" },
        { "E'\\\\'", "\\" },
        { "x'0f'", "x0f" },
        { "$$a'b$$", "a'b" },
        { "$t$a$$b$t$", "a$$b" },
        { "$$$$", "" },
        { "$name", "name" },
        { "$12", "12" },
        { "?", "" },
        { "1.5e3", "1.5e3" },
        { "E'\\u0041'", NULL, "\\u escapes are not supported in E'…' strings: E'\\u0041'" },
        { "E'\\x'", "x" },
        { "E'\\0'", NULL, "an escape of the string is no ASCII character: E'\\0'" },
        { "E'\\xff'", NULL, "an escape of the string is no ASCII character: E'\\xff'" },
        { "U&'a'", NULL, "U&'…' strings are not supported: U&'a'" },
        { "U&\"a\"", NULL, "U&\"…\" names are not supported: U&\"a\"" },
        { "'abc", NULL, "unfinished string: 'abc" },
        { "\"abc", NULL, "unfinished quoted name: \"abc" },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) value = { 0 };
        struct ap_lexer lexer = { .sql = str(cases[i].sql) };
        struct ap_token token;
        ap_lexer_next(&lexer, &token);
        assert_ok(ap_bytes_add_text(&value, "<", &err));
        enum apiary_code code = ap_token_value(&token, &value, &err);
        assert_int_in(cases[i].sql, code, cases[i].value ? APIARY_OK : APIARY_SQL);
        assert_string_in(
            cases[i].sql, ap_bytes_text(&value) + 1, cases[i].value ? cases[i].value : "");
        if (!cases[i].value) assert_string_in(cases[i].sql, err.message, cases[i].message);
    }
}

static void quoting(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) out = { 0 };
    assert_ok(ap_sql_name(&out, AP_STR("a\"b"), &err));
    assert_ok(ap_sql_string(&out, AP_STR("c'd\""), &err));
    assert_ok(ap_sql_string(&out, (struct ap_str) { NULL, 0 }, &err));
    assert_string_equal(ap_bytes_text(&out), "\"a\"\"b\"'c''d\"'''");
    assert_code(ap_sql_name(&out, AP_STR("a\0b"), &err), APIARY_INVALID);
    assert_string_equal(err.message, "a name holds a NUL byte");
    assert_string_equal(ap_bytes_text(&out), "\"a\"\"b\"'c''d\"'''");
}

static void wide_spaces_become_plain(void **state)
{
    static const struct {
        const char *sql, *plain;
    } cases[] = {
        { "select 1", "select 1" },
        { "", "" },
        { "select\xC2\xA0 1 \xE2\x80\x83", "select  1  " },
        { "'\xC2\xA0' \"\xC2\xA0\"\xC2\xA0$$\xC2\xA0$$", "'\xC2\xA0' \"\xC2\xA0\" $$\xC2\xA0$$" },
        { "a -- \xC2\xA0\n\xC2\xA0"
          "b /* -- \xC2\xA0 */ c",
            "a -- \xC2\xA0\n b /* --   */ c" },
        { "/* \xE3\x80\x80", "/*  " },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) buffer = { 0 };
        struct ap_str plain = { 0 };
        assert_ok(ap_sql_plain_spaces(str(cases[i].sql), &buffer, &plain, &err));
        char text[128];
        snprintf(text, sizeof text, AP_FMT, AP_ARG(plain));
        assert_string_in(cases[i].sql, text, cases[i].plain);
        assert_int_in(cases[i].sql, buffer.size > 0, strcmp(cases[i].sql, cases[i].plain) != 0);
    }
}

static void limits(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_tokens tokens = { 0 };
    struct ap_str large = { "x", (size_t)AP_SQL_BYTES_MAX + 1 };
    assert_code(ap_lex(large, &tokens, &err), APIARY_LIMIT);
    assert_string_equal(err.message, "the SQL text has 67108865 bytes, more than 67108864");
}

static void splitting(void **state)
{
    static const struct {
        const char *label, *sql;
        const char *statements; /* each in <>, '+' behind it when its ';' is there */
    } cases[] = {
        { "nothing", "", "" },
        { "only space and comments", " -- x\n /* y; */ ;; ;", "" },
        { "one", "select 1", "<select 1>" },
        { "one with its end", " select 1 ; ", "<select 1>+" },
        { "two", "a;b", "<a>+<b>" },
        { "comments around", "/*x*/ a /*y*/ b -- z\n;-- w\nc", "<a /*y*/ b>+<c>" },
        { "in strings", "select ';', \";\", $$;$$, E'\\';'; b",
            "<select ';', \";\", $$;$$, E'\\';'>+<b>" },
        { "in comments", "a -- ;\n /* ; */ b; c", "<a -- ;\n /* ; */ b>+<c>" },
        { "in brackets", "select (1; 2", "<select (1>+<2>" },
        { "unfinished string", "a 'b; c", "<a 'b; c>" },
        { "unfinished comment", "a; b /* c; d", "<a>+<b>" },
        { "empty ones between", "a;; ;b;", "<a>+<b>+" },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_bytes) shown = { 0 };
        struct ap_str sql = str(cases[i].sql);
        size_t position = 0, start = 0, end = 0;
        bool complete = false;
        while (ap_next_statement(sql, &position, &start, &end, &complete)) {
            assert_true_in(cases[i].label, start < end && end <= position && position <= sql.size);
            assert_ok(ap_bytes_printf(&shown, &err, "<%.*s>%s", (int)(end - start),
                sql.data + start, complete ? "+" : ""));
        }
        assert_string_in(cases[i].label, ap_bytes_text(&shown), cases[i].statements);
        assert_int_in(
            cases[i].label, ap_next_statement(sql, &position, &start, &end, &complete), 0);
    }
}

static void lexing_without_memory(void **state)
{
    for (long n = 1;; n++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_tokens) tokens = { 0 };
        ap_alloc_fail_after(n);
        enum apiary_code code =
            ap_lex(AP_STR("select a, b, c, d, e, f, g, h, i, j, k, l from t"), &tokens, &err);
        ap_alloc_fail_after(0);
        if (code == APIARY_OK) break;
        assert_int_equal(code, APIARY_MEMORY);
        assert_null(tokens.items);
        assert_true(n < 100);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tokens_are_those_of_the_engine),
        cmocka_unit_test(brackets_have_the_depth_around_them),
        cmocka_unit_test(values_undo_quotes_and_escapes),
        cmocka_unit_test(quoting),
        cmocka_unit_test(wide_spaces_become_plain),
        cmocka_unit_test(limits),
        cmocka_unit_test(splitting),
        cmocka_unit_test(lexing_without_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
