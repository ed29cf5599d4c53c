/* The engine's side of an input: a table function that hands out slices of batches.
 *
 * The engine's own duckdb_arrow_scan is not used: it pushes projections and filters
 * down into a stream that never learns of them, and then answers wrongly without an
 * error (seen in 1.5.5: WHERE gave no rows, a single text column crashed).
 *
 * Vectors point into the batch they came from. A thread keeps its batch, and the one
 * before it, until it asks for more: by then the engine has consumed or copied them,
 * which is what it expects of every table function. */
#include "bee/input_private.h"
#include "core/alloc.h"

#include <inttypes.h>
#include <stdio.h>

enum { COLUMNS_MAX = 100000 };

struct scan { /* of one engine thread */
    struct bee_input *input;
    struct ArrowArray batch, before;
    int64_t next_row;
    struct ArrowArray *children;  /* room for a slice of each column */
    struct ArrowArray **pointers; /* to them */
};

static void array_release(struct ArrowArray *array)
{
    if (array->release) ArrowArrayRelease(array);
}

static void scan_free(void *data)
{
    struct scan *scan = data;
    array_release(&scan->batch);
    array_release(&scan->before);
    ap_free(scan->children);
    ap_free(scan->pointers);
    ap_free(scan);
}

/* ---- slices ---- */

static void release_nothing(struct ArrowArray *array)
{
    array->release = NULL;
}

/* Rows [start, start + count) of the batch, borrowing everything from it. */
static struct ArrowArray slice_of(struct scan *scan, int64_t start, int64_t count)
{
    struct ArrowArray slice = scan->batch;
    for (int64_t c = 0; c < slice.n_children; c++) {
        scan->children[c] = *scan->batch.children[c];
        scan->children[c].offset += start;
        scan->children[c].length = count;
        scan->children[c].null_count = -1;
        scan->children[c].release = release_nothing;
        scan->pointers[c] = &scan->children[c];
    }
    slice.children = scan->pointers;
    slice.length = count;
    slice.release = release_nothing;
    return slice;
}

/* Converts a slice; false: *error was set on the function. */
static bool convert(struct bee_input *input, struct ArrowArray *slice, duckdb_data_chunk *out,
    char *text, size_t size)
{
    duckdb_error_data error =
        duckdb_data_chunk_from_arrow(input->connection, slice, input->converted, out);
    bool ok = error == NULL || !duckdb_error_data_has_error(error);
    if (!ok) snprintf(text, size, "%s", duckdb_error_data_message(error));
    if (error) duckdb_destroy_error_data(&error);
    return ok;
}

/* The engine does not take what an input holds: its words, told as the input's fault. */
static enum apiary_code refuse(struct bee_input *input, const char *text)
{
    char words[sizeof input->why.err.message];
    (void)bee_fail_engine(&input->why, text);
    memcpy(words, input->why.err.message, sizeof words);
    return bee_fail(&input->why, "input", APIARY_UNSUPPORTED, "input %zu: %s", input->index, words);
}

/* ---- callbacks of the engine ---- */

static void on_bind(duckdb_bind_info info)
{
    struct bee_input **gate = duckdb_bind_get_extra_info(info), *input = *gate;
    if (input == NULL) {
        duckdb_bind_set_error(info, "this stream of rows was another statement's");
        return;
    }
    for (int64_t c = 0; c < input->schema.n_children; c++) {
        const char *name = input->schema.children[c]->name;
        duckdb_bind_add_result_column(info, name ? name : "", input->types[c]);
    }
}

static void on_init(duckdb_init_info info)
{
    struct bee_input *input = *(struct bee_input **)duckdb_init_get_extra_info(info);
    duckdb_init_set_max_threads(info, BEE_INPUT_THREADS_MAX);
    if (atomic_fetch_add(&input->scans, 1) == 0) return;
    pthread_mutex_lock(&input->mutex);
    if (!input->failed)
        (void)bee_fail(&input->why, "input", APIARY_INVALID,
            "a stream of rows can be read only once by a statement");
    input->failed = true;
    pthread_mutex_unlock(&input->mutex);
    duckdb_init_set_error(info, "a stream of rows can be read only once by a statement");
}

static void on_local_init(duckdb_init_info info)
{
    struct bee_input *input = *(struct bee_input **)duckdb_init_get_extra_info(info);
    size_t columns = (size_t)input->schema.n_children;
    struct scan *scan = ap_calloc(1, sizeof *scan);
    if (scan) {
        scan->input = input;
        scan->children = ap_calloc(columns ? columns : 1, sizeof *scan->children);
        scan->pointers = ap_calloc(columns ? columns : 1, sizeof(struct ArrowArray *));
    }
    if (scan == NULL || scan->children == NULL || scan->pointers == NULL) {
        if (scan) scan_free(scan);
        duckdb_init_set_error(info, "out of memory for an input");
        return;
    }
    duckdb_init_set_init_data(info, scan, scan_free);
}

/* The next batch with rows becomes the current one; false: end or failure. */
static bool advance(duckdb_function_info info, struct scan *scan)
{
    while (scan->batch.release == NULL || scan->next_row >= scan->batch.length) {
        struct ArrowArray batch = { .release = NULL };
        if (bee_input_next(scan->input, &batch) != APIARY_OK) {
            duckdb_function_set_error(info, scan->input->why.err.message);
            return false;
        }
        array_release(&scan->before);
        scan->before = scan->batch;
        scan->batch = batch;
        scan->next_row = 0;
        if (batch.release == NULL) return false;
    }
    return true;
}

static void on_scan(duckdb_function_info info, duckdb_data_chunk output)
{
    struct scan *scan = duckdb_function_get_local_init_data(info);
    if (!advance(info, scan)) {
        duckdb_data_chunk_set_size(output, 0);
        return;
    }
    int64_t left = scan->batch.length - scan->next_row, most = (int64_t)duckdb_vector_size();
    int64_t count = left < most ? left : most;
    struct ArrowArray slice = slice_of(scan, scan->next_row, count);
    duckdb_data_chunk chunk = NULL;
    char text[512];
    if (!convert(scan->input, &slice, &chunk, text, sizeof text)) {
        pthread_mutex_lock(&scan->input->mutex);
        if (!scan->input->failed) (void)refuse(scan->input, text);
        scan->input->failed = true;
        pthread_mutex_unlock(&scan->input->mutex);
        duckdb_function_set_error(info, scan->input->why.err.message);
        return;
    }
    for (idx_t c = 0; c < (idx_t)scan->input->schema.n_children; c++)
        duckdb_vector_reference_vector(
            duckdb_data_chunk_get_vector(output, c), duckdb_data_chunk_get_vector(chunk, c));
    duckdb_data_chunk_set_size(output, (idx_t)count);
    duckdb_destroy_data_chunk(&chunk);
    scan->next_row += count;
}

/* ---- registration ---- */

/* The engine's types of the columns: those of a chunk without rows. */
static enum apiary_code learn_types(struct bee_input *input)
{
    struct ArrowError said = { .message = "" };
    struct ArrowArray none;
    char text[512] = "";
    int rc = ArrowArrayInitFromSchema(&none, &input->schema, &said);
    if (rc == NANOARROW_OK) {
        rc = ArrowArrayStartAppending(&none);
        if (rc == NANOARROW_OK) rc = ArrowArrayFinishBuildingDefault(&none, &said);
        if (rc != NANOARROW_OK) ArrowArrayRelease(&none);
    }
    if (rc != NANOARROW_OK) return bee_fail_arrow(&input->why, rc, &said, "an input");
    duckdb_data_chunk chunk = NULL;
    bool ok = convert(input, &none, &chunk, text, sizeof text); /* takes `none` over */
    if (none.release) ArrowArrayRelease(&none);
    if (!ok) return refuse(input, text);
    for (idx_t c = 0; c < (idx_t)input->schema.n_children; c++)
        input->types[c] = duckdb_vector_get_column_type(duckdb_data_chunk_get_vector(chunk, c));
    duckdb_destroy_data_chunk(&chunk);
    return APIARY_OK;
}

static enum apiary_code convert_schema(struct bee_input *input)
{
    size_t columns = (size_t)input->schema.n_children;
    if (columns > COLUMNS_MAX)
        return bee_fail(
            &input->why, "limit", APIARY_LIMIT, "%zu columns, at most %d", columns, COLUMNS_MAX);
    input->types = ap_calloc(columns ? columns : 1, sizeof *input->types);
    if (input->types == NULL) return ap_fail_memory(&input->why.err, "an input");
    duckdb_error_data error =
        duckdb_schema_from_arrow(input->connection, &input->schema, &input->converted);
    enum apiary_code code = APIARY_OK;
    if (error && duckdb_error_data_has_error(error))
        code = refuse(input, duckdb_error_data_message(error));
    if (error) duckdb_destroy_error_data(&error);
    return code == APIARY_OK ? learn_types(input) : code;
}

static enum apiary_code register_function(struct bee_input *input, const char *function_name)
{
    struct bee_input **gate = ap_calloc(1, sizeof *gate);
    if (gate == NULL) return ap_fail_memory(&input->why.err, "an input");
    *gate = input;
    input->gate = gate;
    duckdb_table_function function = duckdb_create_table_function();
    duckdb_table_function_set_name(function, function_name);
    duckdb_table_function_set_extra_info(function, gate, ap_free);
    duckdb_table_function_set_bind(function, on_bind);
    duckdb_table_function_set_init(function, on_init);
    duckdb_table_function_set_local_init(function, on_local_init);
    duckdb_table_function_set_function(function, on_scan);
    bool ok = duckdb_register_table_function(input->connection, function) == DuckDBSuccess;
    duckdb_destroy_table_function(&function);
    if (ok) return APIARY_OK;
    input->gate = NULL; /* went with the function */
    return bee_fail(&input->why, "internal", APIARY_INTERNAL, "the engine did not take an input");
}

static enum apiary_code create_view(
    struct bee_input *input, const char *function_name, const char *name)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(ap_bytes_add_text(&sql, "CREATE OR REPLACE TEMP VIEW \"", &input->why.err));
    for (const char *at = name; *at; at++) {
        if (*at == '"') AP_TRY(ap_bytes_add(&sql, "\"", 1, &input->why.err));
        AP_TRY(ap_bytes_add(&sql, at, 1, &input->why.err));
    }
    AP_TRY(ap_bytes_printf(&sql, &input->why.err, "\" AS SELECT * FROM %s()", function_name));
    duckdb_result result;
    bool ok = duckdb_query(input->connection, ap_bytes_text(&sql), &result) == DuckDBSuccess;
    enum apiary_code code =
        ok ? APIARY_OK : bee_fail_engine(&input->why, duckdb_result_error(&result));
    duckdb_destroy_result(&result);
    return code;
}

enum apiary_code bee_input_register(
    struct bee_input *input, duckdb_connection connection, const char *name)
{
    char function_name[64];
    snprintf(function_name, sizeof function_name, "apiary_input_%" PRIu32 "_%zu", input->job,
        input->index);
    input->connection = connection;
    AP_TRY(convert_schema(input));
    AP_TRY(register_function(input, function_name));
    return create_view(input, function_name, name);
}

void bee_input_unregister(struct bee_input *input)
{
    if (input->gate) *input->gate = NULL;
    for (int64_t c = 0; input->types && c < input->schema.n_children; c++)
        if (input->types[c]) duckdb_destroy_logical_type(&input->types[c]);
    ap_free(input->types);
    if (input->converted) duckdb_destroy_arrow_converted_schema(&input->converted);
}
