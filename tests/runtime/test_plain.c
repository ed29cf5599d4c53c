/* Arrays of every layout, cut anywhere, become plain ones of the same values: random tables
 * against a rendering that reads both sides value by value. AP_SEED replays. */
#include "apiary_test.h"

#include "core/str.h"
#include "runtime/plain.h"

#include <nanoarrow/nanoarrow.h>

#include <inttypes.h>

enum { ROWS_MAX = 60, ROUNDS = 150, TEXT_MAX = 8192 };

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != NANOARROW_OK) fail_msg("%s failed", #call);                                  \
    } while (0)

static uint64_t seed_state;
static uint64_t dice(uint64_t sides)
{
    seed_state ^= seed_state << 13;
    seed_state ^= seed_state >> 7;
    seed_state ^= seed_state << 17;
    return seed_state % sides;
}

/* ---- schemas ---- */

static void leaf(struct ArrowSchema *schema, const char *name, const char *format)
{
    ArrowSchemaInit(schema);
    MUST(ArrowSchemaSetFormat(schema, format));
    MUST(ArrowSchemaSetName(schema, name));
}

static void nest(struct ArrowSchema *schema, const char *name, const char *format, int children)
{
    leaf(schema, name, format);
    MUST(ArrowSchemaAllocateChildren(schema, children));
    for (int i = 0; i < children; i++) ArrowSchemaInit(schema->children[i]);
}

static void dictionary(
    struct ArrowSchema *schema, const char *name, const char *index, const char *values)
{
    leaf(schema, name, index);
    MUST(ArrowSchemaAllocateDictionary(schema));
    leaf(schema->dictionary, "", values);
}

static const char *const leaves[] = { "n", "b", "c", "S", "i", "L", "g", "e", "u", "z", "U", "Z",
    "vu", "vz", "w:5", "d:20,3", "tdD", "tsu:UTC", "tin" };

/* nanoarrow 0.9 overruns its buffer when it appends several empty booleans at once, as it does
 * for a null above a fixed-size list: none is made there. */
static void random_schema(struct ArrowSchema *schema, const char *name, int depth, bool fixed)
{
    uint64_t kind = depth > 2 ? 0 : dice(12);
    switch (kind) {
        default: {
            const char *format = leaves[dice(AP_COUNT(leaves))];
            leaf(schema, name, fixed && strcmp(format, "b") == 0 ? "i" : format);
            break;
        }
        case 5: dictionary(schema, name, "c", dice(2) ? "u" : "vu"); break;
        case 6: dictionary(schema, name, "I", dice(2) ? "i" : "b"); break;
        case 7: nest(schema, name, dice(2) ? "+l" : "+L", 1); break;
        case 8: nest(schema, name, dice(2) ? "+vl" : "+vL", 1); break;
        case 9: nest(schema, name, "+w:3", 1); break;
        case 10: nest(schema, name, "+s", 2); break;
        case 11: nest(schema, name, "+us:0,1", 2); break;
    }
    for (int64_t i = 0; i < schema->n_children; i++) {
        char child[8];
        snprintf(child, sizeof child, "c%d", (int)i);
        schema->children[i]->release = NULL;
        random_schema(schema->children[i], child, depth + 1, fixed || kind == 9);
    }
}

/* ---- values ---- */

static void random_item(struct ArrowArray *array, const struct ArrowSchema *schema)
{
    struct ArrowSchemaView view;
    MUST(ArrowSchemaViewInit(&view, schema, NULL));
    char text[40];
    for (size_t i = 0; i + 1 < sizeof text; i++) text[i] = (char)('a' + dice(26));
    struct ArrowBufferView bytes = { .data.data = text, .size_bytes = (int64_t)dice(30) };
    enum ArrowType type = view.storage_type;
    if (type != NANOARROW_TYPE_SPARSE_UNION && (type == NANOARROW_TYPE_NA || dice(4) == 0)) {
        MUST(ArrowArrayAppendNull(array, 1));
        return;
    }
    struct ArrowDecimal decimal;
    struct ArrowInterval interval;
    switch (type) {
        case NANOARROW_TYPE_BOOL: MUST(ArrowArrayAppendInt(array, (int64_t)dice(2))); break;
        case NANOARROW_TYPE_INT8:
        case NANOARROW_TYPE_UINT32:
            MUST(ArrowArrayAppendInt(array, (int64_t)dice(schema->dictionary ? 3 : 100)));
            break;
        case NANOARROW_TYPE_UINT16:
        case NANOARROW_TYPE_INT32:
        case NANOARROW_TYPE_UINT64:
        case NANOARROW_TYPE_INT64: MUST(ArrowArrayAppendInt(array, (int64_t)dice(60000))); break;
        case NANOARROW_TYPE_DOUBLE:
        case NANOARROW_TYPE_HALF_FLOAT:
            MUST(ArrowArrayAppendDouble(array, (double)dice(1000)));
            break;
        case NANOARROW_TYPE_FIXED_SIZE_BINARY: bytes.size_bytes = 5; __attribute__((fallthrough));
        case NANOARROW_TYPE_STRING:
        case NANOARROW_TYPE_BINARY:
        case NANOARROW_TYPE_LARGE_STRING:
        case NANOARROW_TYPE_LARGE_BINARY:
        case NANOARROW_TYPE_STRING_VIEW:
        case NANOARROW_TYPE_BINARY_VIEW: MUST(ArrowArrayAppendBytes(array, bytes)); break;
        case NANOARROW_TYPE_DECIMAL128:
            ArrowDecimalInit(&decimal, 128, 20, 3);
            ArrowDecimalSetInt(&decimal, (int64_t)dice(1000000));
            MUST(ArrowArrayAppendDecimal(array, &decimal));
            break;
        case NANOARROW_TYPE_INTERVAL_MONTH_DAY_NANO:
            ArrowIntervalInit(&interval, type);
            interval.months = (int32_t)dice(9);
            interval.ns = (int64_t)dice(99);
            MUST(ArrowArrayAppendInterval(array, &interval));
            break;
        case NANOARROW_TYPE_STRUCT:
            for (int64_t i = 0; i < schema->n_children; i++)
                random_item(array->children[i], schema->children[i]);
            MUST(ArrowArrayFinishElement(array));
            break;
        case NANOARROW_TYPE_SPARSE_UNION: {
            int8_t id = (int8_t)dice(2);
            random_item(array->children[id], schema->children[id]);
            if (array->children[!id]->length < array->children[id]->length)
                random_item(array->children[!id], schema->children[!id]);
            MUST(ArrowArrayFinishUnionElement(array, id));
            break;
        }
        default: { /* lists */
            int64_t items = type == NANOARROW_TYPE_FIXED_SIZE_LIST ? 3 : (int64_t)dice(4);
            for (int64_t i = 0; i < items; i++)
                random_item(array->children[0], schema->children[0]);
            MUST(ArrowArrayFinishElement(array));
        }
    }
}

static void fill_dictionaries(struct ArrowArray *array, const struct ArrowSchema *schema)
{
    if (schema->dictionary)
        for (int i = 0; i < 3; i++) random_item(array->dictionary, schema->dictionary);
    for (int64_t i = 0; i < schema->n_children; i++)
        fill_dictionaries(array->children[i], schema->children[i]);
}

/* ---- rendering ---- */

__attribute__((format(printf, 2, 3))) static void put(char *out, const char *format, ...)
{
    size_t size = strlen(out);
    va_list args;
    va_start(args, format);
    vsnprintf(out + size, TEXT_MAX - size, format, args);
    va_end(args);
}

static void render(const struct ArrowArrayView *view, int64_t i, char *out)
{
    if (ArrowArrayViewIsNull(view, i)) {
        put(out, "null");
        return;
    }
    if (view->dictionary) {
        render(view->dictionary, ArrowArrayViewGetIntUnsafe(view, i), out);
        return;
    }
    int64_t at = view->offset + i, from = 0, count = 0;
    switch (view->storage_type) {
        case NANOARROW_TYPE_STRING:
        case NANOARROW_TYPE_BINARY:
        case NANOARROW_TYPE_LARGE_STRING:
        case NANOARROW_TYPE_LARGE_BINARY:
        case NANOARROW_TYPE_STRING_VIEW:
        case NANOARROW_TYPE_BINARY_VIEW:
        case NANOARROW_TYPE_FIXED_SIZE_BINARY: {
            struct ArrowBufferView bytes = ArrowArrayViewGetBytesUnsafe(view, i);
            put(out, "\"%.*s\"", (int)bytes.size_bytes, bytes.size_bytes ? bytes.data.as_char : "");
            return;
        }
        case NANOARROW_TYPE_DOUBLE:
        case NANOARROW_TYPE_HALF_FLOAT:
            put(out, "%g", ArrowArrayViewGetDoubleUnsafe(view, i));
            return;
        case NANOARROW_TYPE_DECIMAL128:
        case NANOARROW_TYPE_INTERVAL_MONTH_DAY_NANO:
            for (int b = 0; b < 16; b++)
                put(out, "%02x", view->buffer_views[1].data.as_uint8[at * 16 + b]);
            return;
        case NANOARROW_TYPE_STRUCT:
            put(out, "{");
            for (int64_t c = 0; c < view->n_children; c++)
                render(view->children[c], at, out), put(out, ",");
            put(out, "}");
            return;
        case NANOARROW_TYPE_SPARSE_UNION: {
            int8_t id = view->buffer_views[0].data.as_int8[at];
            put(out, "%d:", id);
            render(view->children[id], at, out);
            return;
        }
        case NANOARROW_TYPE_FIXED_SIZE_LIST: from = at * 3, count = 3; break;
        case NANOARROW_TYPE_LIST:
            from = view->buffer_views[1].data.as_int32[at],
            count = view->buffer_views[1].data.as_int32[at + 1] - from;
            break;
        case NANOARROW_TYPE_LARGE_LIST:
            from = view->buffer_views[1].data.as_int64[at],
            count = view->buffer_views[1].data.as_int64[at + 1] - from;
            break;
        case NANOARROW_TYPE_LIST_VIEW:
            from = view->buffer_views[1].data.as_int32[at],
            count = view->buffer_views[2].data.as_int32[at];
            break;
        case NANOARROW_TYPE_LARGE_LIST_VIEW:
            from = view->buffer_views[1].data.as_int64[at],
            count = view->buffer_views[2].data.as_int64[at];
            break;
        default: put(out, "%" PRId64, ArrowArrayViewGetIntUnsafe(view, i)); return;
    }
    put(out, "[");
    for (int64_t c = 0; c < count; c++) render(view->children[0], from + c, out), put(out, ",");
    put(out, "]");
}

/* ---- the property ---- */

/* Cuts rows off both ends of the table, and off the columns inside it. */
static void slice(struct ArrowArray *array)
{
    for (int64_t i = 0; i < array->n_children; i++) {
        struct ArrowArray *child = array->children[i];
        int64_t cut = (int64_t)dice(4);
        if (cut > child->length) cut = child->length;
        child->offset += cut;
        child->length -= cut;
        if (child->n_buffers && child->buffers[0]) child->null_count = -1;
        if (child->length < array->length) array->length = child->length;
    }
    int64_t cut = array->length ? (int64_t)dice((uint64_t)array->length) : 0;
    array->offset = cut;
    array->length -= cut;
    if (array->length) array->length -= (int64_t)dice((uint64_t)array->length);
}

/* Columns that are lendable, shown without being copied: the same values again. */
static void lend_some(const struct ArrowArrayView *table, const struct ArrowSchema *plain, uint64_t seed)
{
    struct apiary_error err = { 0 };
    static char wanted[TEXT_MAX], got[TEXT_MAX];
    for (int64_t c = 0; c < table->n_children; c++) {
        const struct ArrowArrayView *column = table->children[c];
        if (!ap_plain_lendable(column) || table->length == 0) continue;
        struct ArrowArray room;
        struct ArrowArrayView view;
        int64_t start = (int64_t)dice((uint64_t)table->length);
        int64_t count = 1 + (int64_t)dice((uint64_t)(table->length - start));
        MUST(ArrowArrayInitFromSchema(&room, plain->children[c], NULL));
        MUST(ArrowArrayStartAppending(&room));
        MUST(ArrowArrayViewInitFromSchema(&view, plain->children[c], NULL));
        assert_ok(ap_plain_lend(&room, column, table->offset + start, count, &view, &err));
        uint64_t bytes = 0;
        for (int64_t i = 0; i < room.n_buffers; i++) bytes += (uint64_t)view.buffer_views[i].size_bytes;
        assert_true(bytes <= ap_plain_lent_bytes(column, table->offset + start, count));
        assert_int_equal(view.null_count, ArrowArrayViewComputeNullCount(&view));
        for (int64_t i = 0; i < count; i++) {
            wanted[0] = got[0] = 0;
            render(column, table->offset + start + i, wanted);
            render(&view, i, got);
            if (strcmp(wanted, got) != 0)
                fail_msg("seed %" PRIu64 ", lent row %" PRId64 ": %s became %s", seed, i, wanted, got);
        }
        ArrowArrayViewReset(&view);
        ArrowArrayRelease(&room);
    }
}

static void one_round(uint64_t seed)
{
    struct apiary_error err = { 0 };
    struct ArrowSchema schema, plain;
    struct ArrowArray source, target;
    struct ArrowArrayView source_view, target_view;
    seed_state = seed * UINT64_C(0x9E3779B97F4A7C15) + 1;
    nest(&schema, "", "+s", 3);
    const char *const names[] = { "x", "y", "z" };
    for (int i = 0; i < 3; i++)
        schema.children[i]->release = NULL, random_schema(schema.children[i], names[i], 0, false);
    MUST(ArrowArrayInitFromSchema(&source, &schema, NULL));
    MUST(ArrowArrayStartAppending(&source));
    int rows = (int)dice(ROWS_MAX);
    for (int r = 0; r < rows; r++) {
        for (int i = 0; i < 3; i++) random_item(source.children[i], schema.children[i]);
        MUST(ArrowArrayFinishElement(&source));
    }
    fill_dictionaries(&source, &schema);
    MUST(ArrowArrayFinishBuildingDefault(&source, NULL));
    slice(&source);
    MUST(ArrowArrayViewInitFromSchema(&source_view, &schema, NULL));
    MUST(ArrowArrayViewSetArray(&source_view, &source, NULL));

    assert_ok(ap_plain_schema(&schema, &plain, &err));
    MUST(ArrowArrayInitFromSchema(&target, &plain, NULL));
    MUST(ArrowArrayStartAppending(&target));
    for (int64_t at = 0, step; at < source.length; at += step) {
        step = 1 + (int64_t)dice((uint64_t)(source.length - at));
        assert_ok(ap_plain_append(&target, &source_view, at, step, &err));
    }
    struct ArrowError error = { { 0 } };
    if (ArrowArrayFinishBuilding(&target, NANOARROW_VALIDATION_LEVEL_FULL, &error) !=
        NANOARROW_OK) {
        /* Without a schema nanoarrow cannot check a union's ids; the view below can. */
        if (!strstr(error.message, "union")) fail_msg("seed %" PRIu64 ": %s", seed, error.message);
    }
    MUST(ArrowArrayViewInitFromSchema(&target_view, &plain, NULL));
    if (ArrowArrayViewSetArray(&target_view, &target, &error) != NANOARROW_OK ||
        ArrowArrayViewValidate(&target_view, NANOARROW_VALIDATION_LEVEL_FULL, &error) !=
            NANOARROW_OK)
        fail_msg("seed %" PRIu64 ": %s", seed, error.message);
    assert_int_equal(target.length, source.length);
    static char wanted[TEXT_MAX], got[TEXT_MAX];
    for (int64_t i = 0; i < source.length; i++) {
        wanted[0] = got[0] = 0;
        render(&source_view, i, wanted);
        render(&target_view, i, got);
        if (strcmp(wanted, got) != 0)
            fail_msg(
                "seed %" PRIu64 ", row %" PRId64 ":\n    %s became\n    %s", seed, i, wanted, got);
    }
    /* A plain array says how many nulls it has, and says it right. */
    for (int64_t c = 0; c < 3; c++)
        assert_int_equal(target.children[c]->null_count,
            ArrowArrayViewComputeNullCount(target_view.children[c]));
    lend_some(&source_view, &plain, seed);
    ArrowArrayViewReset(&source_view);
    ArrowArrayViewReset(&target_view);
    ArrowArrayRelease(&source);
    ArrowArrayRelease(&target);
    ArrowSchemaRelease(&schema);
    ArrowSchemaRelease(&plain);
}

static void same_values(void **state)
{
    (void)state;
    uint64_t first = ap_test_seed(1);
    uint64_t rounds = getenv("AP_SEED") ? 1 : ROUNDS;
    for (uint64_t seed = first; seed < first + rounds; seed++) one_round(seed);
}

static void refused(void **state)
{
    (void)state;
    struct apiary_error err = { 0 };
    struct ArrowSchema schema, plain = { 0 };
    nest(&schema, "", "+s", 1);
    schema.children[0]->release = NULL;
    nest(schema.children[0], "runs", "+r", 2);
    leaf(schema.children[0]->children[0], "run_ends", "i");
    leaf(schema.children[0]->children[1], "values", "i");
    assert_code(ap_plain_schema(&schema, &plain, &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.message, "column runs is run-end encoded"));
    assert_null(plain.release);
    ArrowSchemaRelease(&schema);

    leaf(&schema, "", "i");
    assert_code(ap_plain_schema(&schema, &plain, &err), APIARY_INVALID);
    assert_non_null(strstr(err.message, "no table"));
    ArrowSchemaRelease(&schema);

    nest(&schema, "", "+s", 1);
    schema.children[0]->release = NULL;
    leaf(schema.children[0], "odd", "+Q");
    assert_code(ap_plain_schema(&schema, &plain, &err), APIARY_INVALID);
    assert_non_null(strstr(err.message, "column odd"));
    ArrowSchemaRelease(&schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_values), cmocka_unit_test(refused) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
