#include "ledger_help.h"

#include "core/arena.h"
#include "ledger/column_mapping.h"
#include "ledger/protocol.h"

static struct ap_metadata metadata_of(struct ap_arena *arena, const char *columns)
{
    return (struct ap_metadata) { .schema = help_schema(arena, columns) };
}

static void names_that_ask_for_it(void **state)
{
    static const struct {
        const char *name;
        bool asks;
    } rows[] = { { "plain", false }, { "a b", true }, { "a,b", true }, { "a;b", true }, { "{", true },
        { "}", true }, { "(", true }, { ")", true }, { "a\nb", true }, { "a\tb", true }, { "a=b", true },
        { "a.b", false }, { "\xC3\xA9", false }, { "", false } };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_field inner = { .name = ap_str_from(rows[i].name), .field_id = -1 };
        struct ap_field element = { .name = AP_STR("element"),
            .type = { .kind = AP_TYPE_STRUCT, .children = &inner, .child_count = 1 } };
        struct ap_field list = { .name = AP_STR("l"),
            .type = { .kind = AP_TYPE_ARRAY, .children = &element, .child_count = 1 } };
        struct ap_schema flat = { &inner, 1 }, nested = { &list, 1 };
        if (ap_mapping_asked(&flat) != rows[i].asks || ap_mapping_asked(&nested) != rows[i].asks)
            fail_msg("\"%s\" should %sask for column mapping", rows[i].name, rows[i].asks ? "" : "not ");
    }
}

static void every_field_gets_an_id(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_field fields[2] = { { .name = AP_STR("x y"), .field_id = -1 }, { .name = AP_STR("z"), .field_id = -1 } };
    struct ap_field element = { .name = AP_STR("element"), .field_id = -1,
        .type = { .kind = AP_TYPE_STRUCT, .children = fields, .child_count = 2 } };
    struct ap_field columns[2] = { { .name = AP_STR("l"), .field_id = -1, .metadata = AP_STR("{\"comment\":\"c\"}"),
                                       .type = { .kind = AP_TYPE_ARRAY, .children = &element, .child_count = 1 } },
        { .name = AP_STR("n"), .field_id = -1 } };
    struct ap_metadata metadata = { .schema = { columns, 2 } };
    assert_ok(ap_mapping_assign(ap_env_system(), &arena, &metadata, &err));
    const struct ap_field *list = &metadata.schema.fields[0], *inside = &list->type.children[0];
    assert_int_equal(list->field_id, 1);
    assert_int_equal(inside->field_id, -1); /* what a list holds has no name, so none of its own */
    assert_int_equal(inside->physical_name.size, 0);
    assert_int_equal(inside->type.children[0].field_id, 2);
    assert_int_equal(inside->type.children[1].field_id, 3);
    assert_int_equal(metadata.schema.fields[1].field_id, 4);
    assert_true(ap_str_starts_with(list->metadata, AP_STR("{\"comment\":\"c\",\"delta.columnMapping.id\":1,")));
    assert_true(ap_str_is(ap_metadata_property(&metadata, AP_MAPPING_MODE), "name"));
    assert_true(ap_str_is(ap_metadata_property(&metadata, AP_MAPPING_LAST_ID), "4"));
    assert_int_equal(columns[0].field_id, -1); /* what came in stays as it was */

    /* Once more: those that have one keep it, a new one comes behind all that ever were. */
    struct ap_property last = { AP_STR(AP_MAPPING_LAST_ID), AP_STR("9") };
    struct ap_field more[2] = { metadata.schema.fields[1], { .name = AP_STR("new"), .field_id = -1 } };
    struct ap_metadata next = { .schema = { more, 2 }, .configuration = &last, .configuration_count = 1 };
    assert_ok(ap_mapping_assign(ap_env_system(), &arena, &next, &err));
    assert_int_equal(next.schema.fields[0].field_id, 4);
    assert_int_equal(next.schema.fields[1].field_id, 10);
}

static void settling(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_metadata plain = metadata_of(&arena, "a long"), mapped = plain, bare = plain;
    assert_ok(ap_mapping_assign(ap_env_system(), &arena, &mapped, &err));
    struct ap_property mode = { AP_STR(AP_MAPPING_MODE), AP_STR("name") };
    bare.configuration = &mode;
    bare.configuration_count = 1;
    struct ap_property old[2] = { mode, { AP_STR(AP_MAPPING_LAST_ID), AP_STR("7") } };
    struct ap_metadata before = mapped;
    before.configuration = old;
    before.configuration_count = 2;
    const struct {
        const char *label;
        const struct ap_metadata *base, *next;
        enum apiary_code code;
    } rows[] = {
        { "plain", NULL, &plain, APIARY_OK },
        { "plain over plain", &plain, &plain, APIARY_OK },
        { "new and mapped", NULL, &mapped, APIARY_OK },
        { "mapped over mapped", &mapped, &mapped, APIARY_OK },
        { "switched on", &plain, &mapped, APIARY_UNSUPPORTED },
        { "switched off", &mapped, &plain, APIARY_UNSUPPORTED },
        { "without physical names", NULL, &bare, APIARY_UNSUPPORTED },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_metadata next = *rows[i].next;
        assert_code_in(rows[i].label, ap_mapping_settle(&arena, rows[i].base, &next, &err), rows[i].code);
    }
    struct ap_metadata next = mapped;
    assert_ok(ap_mapping_settle(&arena, &before, &next, &err));
    assert_true(ap_str_is(ap_metadata_property(&next, AP_MAPPING_LAST_ID), "7"));
}

static void ids_end(void **state)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_metadata metadata = metadata_of(&arena, "a long");
    struct ap_property last = { AP_STR(AP_MAPPING_LAST_ID), AP_STR("2147483647") };
    metadata.configuration = &last;
    metadata.configuration_count = 1;
    assert_code(ap_mapping_assign(ap_env_system(), &arena, &metadata, &err), APIARY_CORRUPT);
    assert_int_equal(metadata.configuration_count, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_that_ask_for_it),
        cmocka_unit_test(every_field_gets_an_id),
        cmocka_unit_test(settling),
        cmocka_unit_test(ids_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
