/* Rows in memory as one Arrow batch: what SHOW, DESCRIBE and EXPLAIN answer. */
#include "query/query.h"

#include "core/alloc.h"

#include <nanoarrow/nanoarrow.h>

enum { COLUMNS_MAX = 32 };

struct column {
    struct ArrowSchema schema;
    struct ArrowArray array;
    enum ap_rows_type type;
};
struct ap_rows {
    struct column columns[COLUMNS_MAX];
    size_t column_count;
    size_t next; /* the column of the next value */
    int64_t rows;
};

enum apiary_code ap_rows_new(struct ap_rows **out, struct apiary_error *err)
{
    struct ap_rows *rows = ap_calloc(1, sizeof *rows);
    if (rows == NULL) return ap_fail_memory(err, "rows");
    *out = rows;
    return APIARY_OK;
}

static void column_done(struct column *column)
{
    if (column->schema.release != NULL) ArrowSchemaRelease(&column->schema);
    if (column->array.release != NULL) ArrowArrayRelease(&column->array);
}

void ap_rows_free(struct ap_rows *rows)
{
    if (rows == NULL) return;
    for (size_t i = 0; i < rows->column_count; i++) column_done(&rows->columns[i]);
    ap_free(rows);
}

/* nanoarrow fails here for want of memory only. */
static enum apiary_code arrow(int failed, struct apiary_error *err)
{
    return failed ? ap_fail_memory(err, "rows") : APIARY_OK;
}

static int schema_make(struct column *column, const char *name, enum ap_rows_type type)
{
    static const enum ArrowType types[] = { [AP_ROWS_TEXT] = NANOARROW_TYPE_STRING,
        [AP_ROWS_INT64] = NANOARROW_TYPE_INT64,
        [AP_ROWS_BOOL] = NANOARROW_TYPE_BOOL,
        [AP_ROWS_DOUBLE] = NANOARROW_TYPE_DOUBLE };
    ArrowSchemaInit(&column->schema);
    int failed = type == AP_ROWS_TIMESTAMP_TZ
                     ? ArrowSchemaSetTypeDateTime(&column->schema, NANOARROW_TYPE_TIMESTAMP,
                           NANOARROW_TIME_UNIT_MICRO, "UTC")
                     : ArrowSchemaSetType(&column->schema, types[type]);
    if (!failed) failed = ArrowSchemaSetName(&column->schema, name);
    if (!failed) failed = ArrowArrayInitFromSchema(&column->array, &column->schema, NULL);
    if (!failed) failed = ArrowArrayStartAppending(&column->array);
    return failed;
}

enum apiary_code ap_rows_column(
    struct ap_rows *rows, const char *name, enum ap_rows_type type, struct apiary_error *err)
{
    ap_assert(rows->column_count < COLUMNS_MAX && rows->rows == 0 && rows->next == 0);
    struct column *column = &rows->columns[rows->column_count];
    column->type = type;
    int failed = schema_make(column, name, type);
    if (failed) {
        column_done(column);
        memset(column, 0, sizeof *column);
    } else
        rows->column_count++;
    return arrow(failed, err);
}

/* The column that the next value belongs to. */
static struct column *next_column(struct ap_rows *rows)
{
    ap_assert(rows->column_count > 0);
    return &rows->columns[rows->next];
}

static enum apiary_code appended(struct ap_rows *rows, int failed, struct apiary_error *err)
{
    AP_TRY(arrow(failed, err));
    rows->next = (rows->next + 1) % rows->column_count;
    rows->rows += rows->next == 0;
    return APIARY_OK;
}

enum apiary_code ap_rows_null(struct ap_rows *rows, struct apiary_error *err)
{
    return appended(rows, ArrowArrayAppendNull(&next_column(rows)->array, 1), err);
}

enum apiary_code ap_rows_text(struct ap_rows *rows, struct ap_str value, struct apiary_error *err)
{
    struct column *column = next_column(rows);
    ap_assert(column->type == AP_ROWS_TEXT);
    if (value.data == NULL) return ap_rows_null(rows, err);
    struct ArrowStringView view = { value.data, (int64_t)value.size };
    int failed = ArrowArrayAppendString(&column->array, view);
    if (failed == EOVERFLOW)
        return ap_fail(err, APIARY_LIMIT, "the answer has more than 2 GiB of text");
    return appended(rows, failed, err);
}

enum apiary_code ap_rows_say(
    struct ap_rows *rows, struct apiary_error *err, const char *format, ...)
{
    char text[4096];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return ap_rows_text(rows, ap_str_from(text), err);
}

enum apiary_code ap_rows_int(struct ap_rows *rows, int64_t value, struct apiary_error *err)
{
    struct column *column = next_column(rows);
    ap_assert(column->type == AP_ROWS_INT64 || column->type == AP_ROWS_BOOL ||
              column->type == AP_ROWS_TIMESTAMP_TZ);
    return appended(rows, ArrowArrayAppendInt(&column->array, value), err);
}

enum apiary_code ap_rows_double(struct ap_rows *rows, double value, struct apiary_error *err)
{
    struct column *column = next_column(rows);
    ap_assert(column->type == AP_ROWS_DOUBLE);
    return appended(rows, ArrowArrayAppendDouble(&column->array, value), err);
}

/* The batch and its schema out of the columns, which are moved. */
static int assemble(struct ap_rows *rows, struct ArrowSchema *schema, struct ArrowArray *array)
{
    ArrowSchemaInit(schema);
    int failed = ArrowSchemaSetTypeStruct(schema, (int64_t)rows->column_count);
    if (!failed) failed = ArrowArrayInitFromType(array, NANOARROW_TYPE_STRUCT);
    if (!failed) failed = ArrowArrayAllocateChildren(array, (int64_t)rows->column_count);
    for (size_t i = 0; !failed && i < rows->column_count; i++) {
        struct column *column = &rows->columns[i];
        failed = ArrowArrayFinishBuildingDefault(&column->array, NULL);
        if (failed) break;
        if (schema->children[i]->release != NULL) ArrowSchemaRelease(schema->children[i]);
        ArrowSchemaMove(&column->schema, schema->children[i]);
        ArrowArrayMove(&column->array, array->children[i]);
    }
    if (failed) return failed;
    array->length = rows->rows;
    array->null_count = 0;
    return ArrowArrayFinishBuilding(array, NANOARROW_VALIDATION_LEVEL_NONE, NULL);
}

enum apiary_code ap_rows_finish(
    struct ap_rows *rows, struct ap_result *result, struct apiary_error *err)
{
    struct ArrowSchema schema = { 0 };
    struct ArrowArray array = { 0 };
    struct ArrowArrayStream stream = { 0 };
    ap_assert(rows->column_count > 0 && rows->next == 0 && !result->has_rows);
    int failed = assemble(rows, &schema, &array);
    if (!failed) failed = ArrowBasicArrayStreamInit(&stream, &schema, 1);
    if (failed) {
        if (schema.release != NULL) ArrowSchemaRelease(&schema);
        if (array.release != NULL) ArrowArrayRelease(&array);
        return arrow(failed, err);
    }
    ArrowBasicArrayStreamSetArray(&stream, 0, &array);
    result->memory = stream;
    result->has_rows = true;
    return APIARY_OK;
}
