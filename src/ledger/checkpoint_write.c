/* Writing checkpoints: classic, one file, by a chamber (delta.md, section 4).
 *
 * The actions are written as JSON lines, which the engine copies to Parquet with a fixed schema.
 * The hint comes last, and only then. Racing writers of one checkpoint write the same state: who
 * finds it there is content. */
#include "core/alloc.h"
#include "core/time.h"
#include "ledger/ledger_private.h"
#include "ledger/protocol.h"

#include <inttypes.h>

enum { LINE_BYTES_MIN = 1 << 20, LINE_SLACK = 1 << 16 };
#define CHECKPOINT_INPUT_MAX (UINT64_C(4) << 30)
#define RETENTION_DEFAULT_US (7 * AP_US_PER_DAY)

#define VECTOR                                                                                     \
    "STRUCT(storageType VARCHAR, pathOrInlineDv VARCHAR, \"offset\" INTEGER, sizeInBytes "         \
    "INTEGER, cardinality BIGINT)"

static const char columns[] =
    "{"
    "txn: 'STRUCT(appId VARCHAR, \"version\" BIGINT, lastUpdated BIGINT)', "
    "\"add\": 'STRUCT(path VARCHAR, partitionValues MAP(VARCHAR, VARCHAR), size BIGINT, "
    "modificationTime BIGINT, "
    "dataChange BOOLEAN, tags MAP(VARCHAR, VARCHAR), deletionVector " VECTOR ", baseRowId BIGINT, "
    "defaultRowCommitVersion BIGINT, stats VARCHAR)', "
    "\"remove\": 'STRUCT(path VARCHAR, deletionTimestamp BIGINT, dataChange BOOLEAN, "
    "extendedFileMetadata BOOLEAN, "
    "partitionValues MAP(VARCHAR, VARCHAR), size BIGINT, deletionVector " VECTOR ")', "
    "metaData: 'STRUCT(id VARCHAR, \"name\" VARCHAR, description VARCHAR, format STRUCT(provider "
    "VARCHAR, "
    "\"options\" MAP(VARCHAR, VARCHAR)), schemaString VARCHAR, partitionColumns VARCHAR[], "
    "configuration MAP(VARCHAR, VARCHAR), createdTime BIGINT)', "
    "protocol: 'STRUCT(minReaderVersion INTEGER, minWriterVersion INTEGER, readerFeatures "
    "VARCHAR[], writerFeatures VARCHAR[])', "
    "domainMetadata: 'STRUCT(\"domain\" VARCHAR, configuration VARCHAR, removed BOOLEAN)'}";

/* ---- tombstones ---- */

static int64_t retention_us(const struct ap_snapshot *snapshot)
{
    int64_t us;
    struct ap_str text = ap_snapshot_property(snapshot, "delta.deletedFileRetentionDuration");
    return text.data && ap_interval_parse(text, &us) ? us : RETENTION_DEFAULT_US;
}

static struct ap_cell cell_of(const struct ap_tombstone *tombstone)
{
    struct ap_cell cell = { .path = tombstone->path };
    if (tombstone->deletion_vector) cell.deletion_vector = *tombstone->deletion_vector;
    return cell;
}

/* Those that have not expired, whose file is not live again, and each once: the newest. */
struct tombstones {
    struct ap_cell_index live, seen;
    struct ap_cell *cells; /* of those that were seen */
    size_t count;
};

static void tombstones_done(struct tombstones *tombstones)
{
    ap_cell_index_done(&tombstones->live);
    ap_cell_index_done(&tombstones->seen);
    ap_free(tombstones->cells);
}

static enum apiary_code add_tombstone(const struct ap_snapshot *snapshot, struct tombstones *work,
    const struct ap_tombstone *tombstone, struct ap_bytes *out, uint64_t *actions,
    struct apiary_error *err)
{
    struct ap_cell cell = cell_of(tombstone);
    if (ap_cell_index_find(&work->live, snapshot->cells, cell.path, &cell.deletion_vector) !=
        SIZE_MAX)
        return APIARY_OK;
    if (ap_cell_index_find(&work->seen, work->cells, cell.path, &cell.deletion_vector) != SIZE_MAX)
        return APIARY_OK;
    work->cells[work->count] = cell;
    AP_TRY(ap_cell_index_put(
        &work->seen, ap_cell_hash(cell.path, &cell.deletion_vector), work->count++, err));
    (*actions)++;
    return ap_action_write_tombstone(out, tombstone, err);
}

static enum apiary_code add_tombstones(const struct ap_snapshot *snapshot, int64_t now_us,
    struct ap_bytes *out, uint64_t *actions, struct apiary_error *err)
{
    if (snapshot->tombstone_count == 0) return APIARY_OK;
    int64_t oldest_ms = (now_us - retention_us(snapshot)) / 1000;
    struct tombstones work = { .cells =
                                   ap_calloc(snapshot->tombstone_count, sizeof(struct ap_cell)) };
    enum apiary_code code = work.cells ? APIARY_OK : ap_fail_memory(err, "a checkpoint");
    for (size_t i = 0; code == APIARY_OK && i < snapshot->cell_count; i++)
        code = ap_cell_index_put(&work.live,
            ap_cell_hash(snapshot->cells[i].path, &snapshot->cells[i].deletion_vector), i, err);
    for (size_t i = snapshot->tombstone_count; code == APIARY_OK && i-- > 0;) {
        const struct ap_tombstone *tombstone = &snapshot->tombstones[i];
        if (tombstone->deleted_ms > oldest_ms)
            code = add_tombstone(snapshot, &work, tombstone, out, actions, err);
    }
    tombstones_done(&work);
    return code;
}

/* ---- all actions ---- */

static enum apiary_code add_actions(const struct ap_snapshot *snapshot, int64_t now_us,
    struct ap_bytes *out, uint64_t *actions, struct apiary_error *err)
{
    struct ap_metadata metadata = snapshot->metadata;
    AP_TRY(ap_action_write_protocol(out, &snapshot->protocol, err));
    AP_TRY(ap_action_write_metadata(out, &metadata, err));
    for (size_t i = 0; i < snapshot->txn_count; i++)
        AP_TRY(ap_action_write_txn(out, &snapshot->txns[i], err));
    for (size_t i = 0; i < snapshot->domain_count; i++)
        AP_TRY(ap_action_write_domain(out, &snapshot->domains[i], err));
    *actions = 2 + snapshot->txn_count + snapshot->domain_count + snapshot->cell_count;
    AP_TRY(add_tombstones(snapshot, now_us, out, actions, err));
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        AP_TRY(ap_action_write_add(out, &snapshot->cells[i], snapshot->partition_names,
            metadata.partition_count, false, err));
        if (out->size > CHECKPOINT_INPUT_MAX)
            return ap_fail(
                err, APIARY_LIMIT, "the table's state is too large for one checkpoint file");
    }
    return APIARY_OK;
}

static size_t longest_line(struct ap_str text)
{
    size_t longest = 0;
    struct ap_str line;
    while (ap_commit_next_line(&text, &line))
        if (line.size > longest) longest = line.size;
    return longest;
}

static enum apiary_code make_sql(
    struct ap_str input, struct ap_bytes *out, struct apiary_error *err)
{
    size_t line = longest_line(input) + LINE_SLACK;
    return ap_bytes_printf(out, err,
        "COPY (SELECT * FROM read_json('/files/0/input.json', format = 'newline_delimited', "
        "columns = %s, "
        "maximum_object_size = %zu)) TO '/out/0/o.parquet' (FORMAT parquet, COMPRESSION zstd)",
        columns, line > LINE_BYTES_MIN ? line : LINE_BYTES_MIN);
}

static enum apiary_code write_hint(struct ap_ledger *ledger, const struct ap_snapshot *snapshot,
    uint64_t actions, uint64_t size, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) key = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(ap_log_key(&key, ledger->prefix, "_last_checkpoint", err));
    AP_TRY(ap_bytes_printf(&body, err,
        "{\"version\":%" PRIu64 ",\"size\":%" PRIu64 ",\"sizeInBytes\":%" PRIu64
        ",\"numOfAddFiles\":%zu}",
        snapshot->version, actions, size, snapshot->cell_count));
    return ap_store_put(ledger->store, ap_bytes_text(&key), ap_bytes_view(&body), err);
}

static enum apiary_code write_checkpoint(
    struct ap_ledger *ledger, const struct ap_snapshot *snapshot, struct apiary_error *err)
{
    if (!ledger->has_engine)
        return ap_fail(err, APIARY_UNSUPPORTED, "a checkpoint cannot be written without an engine");
    AP_TRY(ap_snapshot_check_writable(snapshot, err));
    if (ap_metadata_property_is(&snapshot->metadata, "delta.checkpointPolicy", "v2"))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the table asks for V2 checkpoints (delta.checkpointPolicy), which are read and not "
            "written");
    AP_AUTO(ap_bytes) input = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    char name[64];
    uint64_t actions = 0;
    struct ap_object object = { 0 };
    AP_TRY(add_actions(snapshot, ap_now_us(ledger->env), &input, &actions, err));
    AP_TRY(make_sql(ap_bytes_view(&input), &sql, err));
    snprintf(name, sizeof name, "%020" PRIu64 ".checkpoint.parquet", snapshot->version);
    AP_TRY(ap_log_key(&key, ledger->prefix, name, err));
    enum apiary_code code = ledger->engine.write_parquet(ledger->engine.context, ledger->store,
        ap_bytes_view(&input), ap_bytes_text(&sql), ap_bytes_text(&key), &object, err);
    if (code == APIARY_CONFLICT || code == APIARY_EXISTS)
        return APIARY_OK; /* another writer's, who writes the hint */
    AP_TRY(code);
    uint64_t size = object.size;
    ap_free(object.key);
    return write_hint(ledger, snapshot, actions, size, err);
}

enum apiary_code ap_ledger_checkpoint(
    struct ap_ledger *ledger, struct ap_snapshot *snapshot, struct apiary_error *err)
{
    enum apiary_code code = write_checkpoint(ledger, snapshot, err);
    if (code != APIARY_OK)
        return ap_context(err, code, "checkpoint of version %" PRIu64 " of frame %s",
            snapshot->version, ledger->name);
    ap_log_event(ledger->log, AP_LOG_INFO, "ledger", "checkpoint", "version=%" PRIu64 " cells=%zu",
        snapshot->version, snapshot->cell_count);
    return APIARY_OK;
}

static uint64_t interval_of(const struct ap_ledger *ledger, const struct ap_snapshot *snapshot)
{
    uint64_t interval;
    struct ap_str text = ap_snapshot_property(snapshot, "delta.checkpointInterval");
    return text.data && ap_str_to_u64(text, &interval) && interval > 0
               ? interval
               : ledger->checkpoint_interval;
}

void ap_checkpoint_after_commit(
    struct ap_ledger *ledger, struct ap_snapshot *snapshot, uint64_t version)
{
    if (!ledger->has_engine || version == 0 || version % interval_of(ledger, snapshot) != 0) return;
    struct apiary_error problem = { 0 };
    enum apiary_code code = ap_ledger_checkpoint(ledger, snapshot, &problem);
    if (code != APIARY_OK)
        ap_log_event(ledger->log, AP_LOG_WARNING, "ledger", "checkpoint_failed",
            "version=%" PRIu64 " code=%s", version, ap_code_name(code));
}

enum apiary_code ap_ledger_tail(struct ap_ledger *ledger, const struct ap_snapshot *snapshot,
    uint64_t *versions, struct apiary_error *err)
{
    uint64_t known = snapshot->checkpoint_version == AP_VERSION_NONE ? 0 : snapshot->checkpoint_version;
    uint64_t hint = 0;
    AP_TRY(ap_log_hint_read(&ledger->place, &hint, err));
    if (hint > known && hint <= snapshot->version) known = hint;
    *versions = snapshot->version - known;
    return APIARY_OK;
}
