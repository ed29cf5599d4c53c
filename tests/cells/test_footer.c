/* Footers of Parquet files that other writers made (fuzz/corpus/footer), and broken ones. */
#include "cells/footer.h"

#include "apiary_test.h"

#include "core/alloc.h"

enum { FILE_MAX = 64 * 1024 };

static char file[FILE_MAX];
static size_t file_size;

static void load(const char *name)
{
    char path[AP_TEST_PATH_MAX];
    const char *source = getenv("APIARY_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/fuzz/corpus/footer/%s", source ? source : ".", name);
    FILE *from = fopen(path, "rb");
    assert_non_null(from);
    file_size = fread(file, 1, sizeof file, from);
    fclose(from);
}

static enum apiary_code read_footer(struct ap_footer *out, struct apiary_error *err)
{
    uint64_t length = 0;
    AP_TRY(ap_footer_length((struct ap_str) { file, file_size }, file_size, &length, err));
    struct ap_str metadata = { file + file_size - AP_FOOTER_TAIL - length, (size_t)length };
    return ap_footer_parse(metadata, file_size, out, err);
}

/* As pyarrow tells them. */
static const struct {
    const char *path;
    uint64_t offset[3], length[3];
} nested[] = {
    { "a", { 4, 222, 419 }, { 56, 56, 48 } },
    { "b", { 60, 278, 467 }, { 50, 46, 45 } },
    { "s.p", { 110, 324, 512 }, { 56, 49, 48 } },
    { "s.q.list.element", { 166, 373, 560 }, { 56, 46, 62 } },
};

static void test_nested(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_footer footer = { 0 };
    load("nested.parquet");
    assert_ok(read_footer(&footer, &err));
    assert_int_equal(footer.row_count, 5);
    assert_int_equal(footer.group_count, 3);
    assert_int_equal(footer.column_count, AP_COUNT(nested));
    assert_int_equal(footer.group_rows[0], 2);
    assert_int_equal(footer.group_rows[2], 1);
    for (size_t column = 0; column < AP_COUNT(nested); column++) {
        assert_true_in(nested[column].path,
            ap_str_is(footer.columns[column], nested[column].path));
        for (size_t group = 0; group < 3; group++) {
            const struct ap_footer_chunk *chunk =
                &footer.chunks[group * footer.column_count + column];
            assert_int_in(nested[column].path, chunk->data.offset, nested[column].offset[group]);
            assert_int_in(nested[column].path, chunk->data.length, nested[column].length[group]);
            assert_true_in(nested[column].path, chunk->offset_index.length > 0);
        }
    }
    ap_footer_done(&footer);
}

static void test_small(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_footer footer = { 0 };
    load("plain.parquet");
    assert_ok(read_footer(&footer, &err));
    assert_int_equal(footer.row_count, 10);
    assert_int_equal(footer.chunks[0].data.offset, 4);
    ap_footer_done(&footer);
    load("empty.parquet");
    assert_ok(read_footer(&footer, &err));
    assert_int_equal(footer.row_count, 0);
    ap_footer_done(&footer);
}

static void test_refused(void **state)
{
    static const struct {
        const char *name;
        enum apiary_code code;
    } cases[] = {
        { "cut", APIARY_CORRUPT },
        { "no_magic", APIARY_CORRUPT },
        { "encrypted", APIARY_UNSUPPORTED },
    };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        struct apiary_error err = { 0 };
        struct ap_footer footer = { 0 };
        load(cases[i].name);
        assert_code_in(cases[i].name, read_footer(&footer, &err), cases[i].code);
        assert_int_in(cases[i].name, footer.group_count, 0);
    }
}

/* No byte of the footer, whatever it becomes, leads outside of the file or outside of memory (the
 * sanitizers watch); most changes are noticed, some are harmless. */
static void test_every_byte(void **state)
{
    struct apiary_error err = { 0 };
    uint64_t length = 0;
    load("nested.parquet");
    assert_ok(ap_footer_length((struct ap_str) { file, file_size }, file_size, &length, &err));
    size_t begin = file_size - AP_FOOTER_TAIL - (size_t)length, refused = 0;
    for (size_t at = begin; at < file_size - AP_FOOTER_TAIL; at++) {
        static const uint8_t masks[] = { 0xFF, 0x80, 0x01 };
        for (size_t i = 0; i < AP_COUNT(masks); i++) {
            struct ap_footer footer = { 0 };
            file[at] = (char)(file[at] ^ masks[i]);
            refused += read_footer(&footer, &err) != APIARY_OK;
            file[at] = (char)(file[at] ^ masks[i]);
            ap_footer_done(&footer);
        }
    }
    assert_true(refused > 0);
    for (uint64_t cut = 0; cut < length; cut++) {
        struct ap_footer footer = { 0 };
        struct ap_str part = { file + begin, (size_t)cut };
        assert_code(ap_footer_parse(part, file_size, &footer, &err), APIARY_CORRUPT);
    }
}

static void test_no_memory(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_footer footer = { 0 };
    load("nested.parquet");
    assert_memory_failures(
        read_footer(&footer, &err), footer.group_count == 0, ap_footer_done(&footer));
    ap_footer_done(&footer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested),
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_every_byte),
        cmocka_unit_test(test_no_memory),
    };
    return cmocka_run_group_tests_name("footer", tests, NULL, NULL);
}
