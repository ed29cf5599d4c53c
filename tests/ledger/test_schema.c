#include "ledger_help.h"

#define FIELD(name, type)                                                                          \
    "{\"name\":\"" name "\",\"type\":" type ",\"nullable\":true,\"metadata\":{}}"
#define SCHEMA(fields) "{\"type\":\"struct\",\"fields\":[" fields "]}"

/* Each text is written back as it was. */
static void round_trips(void **state)
{
    static const char *const texts[] = {
        SCHEMA(""),
        SCHEMA(FIELD("a", "\"long\"") "," FIELD("b", "\"decimal(10,2)\"") "," FIELD(
            "c", "\"timestamp_ntz\"")),
        SCHEMA(
            FIELD("l", "{\"type\":\"array\",\"elementType\":\"string\",\"containsNull\":false}")),
        SCHEMA(FIELD("m",
            "{\"type\":\"map\",\"keyType\":\"string\",\"valueType\":{\"type\":\"struct\","
            "\"fields\":[" FIELD("x", "\"date\"") "]},\"valueContainsNull\":true}")),
        "{\"type\":\"struct\",\"fields\":[{\"name\":\"\xC3\xA9\\\"\",\"type\":\"boolean\","
        "\"nullable\":false,\"metadata\":{\"delta.columnMapping.id\":7,\"delta.columnMapping."
        "physicalName\":\"col-7\"}}]}",
    };
    for (size_t i = 0; i < AP_COUNT(texts); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_bytes) out = { 0 };
        struct ap_schema schema;
        assert_code_in(
            texts[i], ap_schema_parse(&arena, ap_str_from(texts[i]), &schema, &err), APIARY_OK);
        assert_code_in(texts[i], ap_schema_write(&schema, &out, &err), APIARY_OK);
        assert_string_equal(ap_bytes_text(&out), texts[i]);
        assert_true(ap_schema_same(&schema, &schema, NULL));
    }
}

static void column_mapping_is_kept(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_schema schema;
    assert_ok(ap_schema_parse(&arena,
        AP_STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":\"long\",\"nullable\":"
               "true,\"metadata\":{\"delta.columnMapping.id\":7,\"delta.columnMapping."
               "physicalName\":\"col-7\"}}]}"),
        &schema, &err));
    assert_int_equal(schema.fields[0].field_id, 7);
    assert_true(ap_str_is(schema.fields[0].physical_name, "col-7"));
}

static void bad_schemas(void **state)
{
    static const struct {
        const char *text;
        enum apiary_code code;
        const char *says;
    } rows[] = {
        { "", APIARY_CORRUPT, "empty" },
        { "[]", APIARY_CORRUPT, "no name" },
        { "\"long\"", APIARY_CORRUPT, "not a struct" },
        { "{\"type\":\"struct\"}", APIARY_CORRUPT, "no fields" },
        { SCHEMA("{\"type\":\"long\"}"), APIARY_CORRUPT, "no name" },
        { SCHEMA("{\"name\":\"a\"}"), APIARY_CORRUPT, "\"a\" has no type" },
        { SCHEMA(FIELD("a", "\"interval day\"")), APIARY_UNSUPPORTED,
            "column \"a\": type \"interval day\"" },
        { SCHEMA(FIELD("a", "\"decimal(39,0)\"")), APIARY_UNSUPPORTED, "decimal(39,0)" },
        { SCHEMA(FIELD("a", "\"decimal(3,4)\"")), APIARY_UNSUPPORTED, "decimal(3,4)" },
        { SCHEMA(FIELD("a", "{\"type\":\"array\"}")), APIARY_CORRUPT, "elementType" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        struct ap_schema schema;
        assert_code_in(rows[i].text,
            ap_schema_parse(&arena, ap_str_from(rows[i].text), &schema, &err), rows[i].code);
        if (!strstr(err.message, rows[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, err.message, rows[i].says);
    }
}

static void depth_is_bounded(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_schema schema;
    assert_ok(ap_bytes_add_text(
        &text, "{\"type\":\"struct\",\"fields\":[{\"name\":\"a\",\"type\":", &err));
    for (int i = 0; i < 40; i++)
        assert_ok(ap_bytes_add_text(
            &text, "{\"type\":\"array\",\"containsNull\":true,\"elementType\":", &err));
    assert_ok(ap_bytes_add_text(&text, "\"long\"", &err));
    for (int i = 0; i < 40; i++) assert_ok(ap_bytes_add_text(&text, "}", &err));
    assert_ok(ap_bytes_add_text(&text, "}]}", &err));
    assert_code(ap_schema_parse(&arena, ap_bytes_view(&text), &schema, &err), APIARY_LIMIT);
}

static void rules_for_ours(void **state)
{
    static const struct {
        const char *columns, *partition;
        enum apiary_code code;
        const char *says;
    } rows[] = {
        { "a long; b string", "b", APIARY_OK, "" },
        { "a long; b string", "B", APIARY_OK, "" },
        { "a long; A string", NULL, APIARY_SCHEMA, "\"A\" is there twice" },
        { "a,b long", NULL, APIARY_SCHEMA, "holds ','" },
        { "a long", "c", APIARY_SCHEMA, "\"c\" is not a column" },
        { "a long", "a", APIARY_SCHEMA, "no partition column" },
        { "a long; b double", "b", APIARY_SCHEMA, "type double cannot be a partition" },
        { "a void; b long", NULL, APIARY_SCHEMA, "void" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_texts) by = { 0 };
        struct ap_schema schema = help_schema(&arena, rows[i].columns);
        if (rows[i].partition) assert_ok(ap_texts_add(&by, ap_str_from(rows[i].partition), &err));
        assert_code_in(rows[i].columns, ap_schema_check(&schema, &by, &err), rows[i].code);
        if (rows[i].code && !strstr(err.message, rows[i].says))
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].columns, err.message, rows[i].says);
    }
}

static void differences_are_named(void **state)
{
    static const struct {
        const char *a, *b, *says; /* says NULL: the same */
    } rows[] = {
        { "a long; b string", "A long; B string", NULL },
        { "a long", "a integer", "\"a\" is long here and integer there" },
        { "a decimal(10,2)", "a decimal(10,3)", "decimal(10,3) there" },
        { "a long", "a long!", "may be null here" },
        { "a long; b long", "a long", "2 columns here and 1 there" },
        { "a long; b long", "b long; a long", "column 1 is \"a\" here" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_arena) arena = { 0 };
        AP_AUTO(ap_bytes) why = { 0 };
        struct ap_schema a = help_schema(&arena, rows[i].a), b = help_schema(&arena, rows[i].b);
        assert_int_in(rows[i].a, ap_schema_same(&a, &b, &why), rows[i].says == NULL);
        if (rows[i].says && !strstr(ap_bytes_text(&why), rows[i].says))
            fail_msg(
                "%s: \"%s\" does not say \"%s\"", rows[i].a, ap_bytes_text(&why), rows[i].says);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(round_trips),
        cmocka_unit_test(column_mapping_is_kept),
        cmocka_unit_test(bad_schemas),
        cmocka_unit_test(depth_is_bounded),
        cmocka_unit_test(rules_for_ours),
        cmocka_unit_test(differences_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
