/* Reading checkpoints (delta.md, section 4): classic, in parts, V2 as Parquet or JSON with
 * sidecars.
 *
 * The engine is asked in three steps: what columns the files have; the state (protocol, metaData,
 * txn, domains, sidecars), whose protocol is checked before anything else is read; the files, with
 * the partition columns that the state named. Files of equal shape are asked together. */
#include "core/alloc.h"
#include "core/codec.h"
#include "ledger/checkpoint_private.h"
#include "ledger/protocol.h"

enum { FILES_MAX = 100000 };
#define JSON_CHECKPOINT_BYTES_MAX (UINT64_C(1) << 30)

struct reading {
    struct ap_ledger *ledger;
    struct ap_fold *fold;
    const struct ap_texts *keys;
    struct ap_texts sidecars;
};

static enum apiary_code ask(struct reading *reading, const struct ap_bytes *sql,
    struct ArrowArrayStream *out, struct apiary_error *err)
{
    struct ap_ledger *ledger = reading->ledger;
    if (!ledger->has_engine)
        return ap_fail(err, APIARY_UNSUPPORTED, "it cannot be read without an engine");
    return ledger->engine.query(ledger->engine.context, ledger->store,
        (const char *const *)reading->keys->items, reading->keys->count, ap_bytes_text(sql), out,
        err);
}

static enum apiary_code read_shapes(
    struct reading *reading, uint32_t *shapes, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_parquet_leaves) leaves = { 0 };
    struct ArrowArrayStream stream = { 0 };
    AP_TRY(ap_checkpoint_schema_sql(&sql, reading->keys->count, err));
    AP_TRY(ask(reading, &sql, &stream, err));
    AP_TRY(ap_rows_schema(&stream, &leaves, err));
    return ap_checkpoint_shapes(leaves.items, leaves.count, shapes, reading->keys->count, err);
}

static enum apiary_code read_state(struct reading *reading, uint32_t shape, const size_t *numbers,
    size_t count, bool with_sidecars, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    struct ArrowArrayStream stream = { 0 };
    AP_TRY(ap_checkpoint_state_sql(&sql, shape, numbers, count, err));
    if (sql.size == 0) return APIARY_OK;
    AP_TRY(ask(reading, &sql, &stream, err));
    return ap_rows_state(&stream, reading->fold, with_sidecars ? &reading->sidecars : NULL, err);
}

static enum apiary_code read_files(struct reading *reading, uint32_t shape, const size_t *numbers,
    size_t count, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    struct ArrowArrayStream stream = { 0 };
    struct ap_fold *fold = reading->fold;
    AP_TRY(ap_checkpoint_files_sql(
        &sql, shape, numbers, count, fold->partition_names, fold->metadata.partition_count, err));
    if (sql.size == 0) return APIARY_OK;
    AP_TRY(ask(reading, &sql, &stream, err));
    return ap_rows_files(&stream, shape, fold, err);
}

/* Numbers of the files whose shape is `shape`. */
static size_t of_shape(const uint32_t *shapes, size_t count, uint32_t shape, size_t *numbers)
{
    size_t found = 0;
    for (size_t i = 0; i < count; i++)
        if (shapes[i] == shape) numbers[found++] = i;
    return found;
}

static bool first_of_shape(const uint32_t *shapes, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (shapes[i] == shapes[at]) return false;
    return true;
}

static enum apiary_code check_state(const struct ap_fold *fold, struct apiary_error *err)
{
    return fold->has_protocol ? ap_protocol_check_readable(&fold->protocol, err) : APIARY_OK;
}

/* Everything in the Parquet files of reading->keys. state: they may hold more than files. */
static enum apiary_code read_parquet(struct reading *reading, bool state, uint32_t *shapes,
    size_t *numbers, struct apiary_error *err)
{
    size_t count = reading->keys->count;
    AP_TRY(read_shapes(reading, shapes, err));
    for (size_t i = 0; state && i < count; i++)
        if (first_of_shape(shapes, i))
            AP_TRY(read_state(reading, shapes[i], numbers,
                of_shape(shapes, count, shapes[i], numbers), true, err));
    AP_TRY(check_state(reading->fold, err));
    for (size_t i = 0; i < count; i++)
        if (first_of_shape(shapes, i))
            AP_TRY(read_files(
                reading, shapes[i], numbers, of_shape(shapes, count, shapes[i], numbers), err));
    return APIARY_OK;
}

static enum apiary_code read_parquet_files(
    struct reading *reading, const struct ap_texts *keys, bool state, struct apiary_error *err)
{
    if (keys->count == 0) return APIARY_OK;
    if (keys->count > FILES_MAX)
        return ap_fail(
            err, APIARY_LIMIT, "checkpoint of %zu files; %d is the limit", keys->count, FILES_MAX);
    uint32_t *shapes = ap_calloc(keys->count, sizeof *shapes);
    size_t *numbers = ap_calloc(keys->count, sizeof *numbers);
    enum apiary_code code = shapes && numbers ? APIARY_OK : ap_fail_memory(err, "a checkpoint");
    reading->keys = keys;
    if (code == APIARY_OK) code = read_parquet(reading, state, shapes, numbers, err);
    ap_free(shapes);
    ap_free(numbers);
    if (code == APIARY_SQL) { /* the text is ours: it is the file that is wrong */
        code = APIARY_CORRUPT;
        if (err) err->code = code;
    }
    return code == APIARY_OK ? APIARY_OK : ap_context(err, code, "checkpoint %s", keys->items[0]);
}

/* One pass over the lines of a V2 checkpoint that is JSON. */
static enum apiary_code read_json_lines(
    struct reading *reading, struct ap_str body, bool state, struct apiary_error *err)
{
    struct ap_action_reader reader = { 0 };
    struct ap_str line;
    enum apiary_code code = APIARY_OK;
    while (code == APIARY_OK && ap_commit_next_line(&body, &line)) {
        struct ap_action action;
        code = ap_action_parse(&reader, line, &action, err);
        if (code != APIARY_OK) break;
        bool is_file = action.kind == AP_ACTION_ADD || action.kind == AP_ACTION_REMOVE;
        if (is_file == state) continue;
        if (action.kind == AP_ACTION_SIDECAR)
            code = ap_texts_add(&reading->sidecars, action.sidecar.path, err);
        else
            code = ap_fold_action(reading->fold, &action, err);
    }
    ap_action_reader_done(&reader);
    return code;
}

static enum apiary_code read_json(
    struct reading *reading, const char *key, struct apiary_error *err)
{
    struct ap_get get = {
        .key = key, .range = AP_RANGE_ALL, .size_max = JSON_CHECKPOINT_BYTES_MAX
    };
    ap_store_get_many(reading->ledger->store, &get, 1);
    enum apiary_code code = get.code;
    if (code != APIARY_OK && err) *err = get.error;
    if (code == APIARY_OK) code = read_json_lines(reading, ap_bytes_view(&get.body), true, err);
    if (code == APIARY_OK) code = check_state(reading->fold, err);
    if (code == APIARY_OK) code = read_json_lines(reading, ap_bytes_view(&get.body), false, err);
    ap_get_done(&get);
    return code == APIARY_OK ? APIARY_OK : ap_context(err, code, "checkpoint %s", key);
}

/* A sidecar is named by its file in _sidecars, percent-encoded; another place is refused. */
static enum apiary_code sidecar_key(
    struct reading *reading, const char *path, struct ap_texts *keys, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    AP_TRY(ap_percent_decode(&name, ap_str_from(path), err));
    if (strchr(ap_bytes_text(&name), '/') || strlen(ap_bytes_text(&name)) != name.size ||
        name.size == 0 || name.data[0] == '.')
        return ap_fail(
            err, APIARY_CORRUPT, "checkpoint names a sidecar \"%s\" outside of _sidecars", path);
    AP_TRY(ap_log_key(&key, reading->ledger->prefix, "_sidecars/", err));
    AP_TRY(ap_bytes_add_str(&key, ap_bytes_view(&name), err));
    return ap_texts_add(keys, ap_bytes_view(&key), err);
}

static enum apiary_code read_sidecars(struct reading *reading, struct apiary_error *err)
{
    AP_AUTO(ap_texts) keys = { 0 };
    for (size_t i = 0; i < reading->sidecars.count; i++)
        AP_TRY(sidecar_key(reading, reading->sidecars.items[i], &keys, err));
    return read_parquet_files(reading, &keys, false, err);
}

enum apiary_code ap_checkpoint_read(struct ap_ledger *ledger, const struct ap_log_segment *segment,
    struct ap_fold *fold, struct apiary_error *err)
{
    struct reading reading = { .ledger = ledger, .fold = fold };
    enum apiary_code code = segment->kind == AP_CHECKPOINT_JSON
                                ? read_json(&reading, segment->checkpoint.items[0], err)
                                : read_parquet_files(&reading, &segment->checkpoint, true, err);
    if (code == APIARY_OK) code = read_sidecars(&reading, err);
    ap_texts_done(&reading.sidecars);
    return code;
}
