#include "ledger/fold.h"

#include "core/alloc.h"
#include "ledger/column_mapping.h"
#include "ledger/protocol.h"

enum { LIST_FIRST = 16 };
/* A fold whose arena holds this much and little of it alive is copied into a fresh one. */
enum { GARBAGE_BYTES_MIN = 8 << 20, GARBAGE_FACTOR = 3 };

void ap_text_unref(struct ap_text *text)
{
    if (!text || --text->references > 0) return;
    ap_arena_done(&text->arena);
    ap_free(text);
}

void ap_block_unref(struct ap_block *block)
{
    if (block && --block->references == 0) ap_free(block);
}

static struct ap_block *block_new(size_t bytes)
{
    if (bytes > SIZE_MAX - sizeof(struct ap_block)) return NULL;
    struct ap_block *block = ap_realloc(NULL, sizeof *block + bytes);
    if (block) block->references = 1;
    return block;
}

/* Room for one more item, and the right to write behind the end. A block that nobody else holds
 * is grown in place. */
static enum apiary_code list_room(
    struct ap_list_of *list, size_t item_size, struct apiary_error *err)
{
    if (list->count < list->capacity) return APIARY_OK;
    size_t capacity = list->capacity ? list->capacity * 2 : LIST_FIRST, bytes;
    if (__builtin_mul_overflow(capacity, item_size, &bytes))
        return ap_fail_memory(err, "a frame's state");
    struct ap_block *block;
    if (list->block && list->block->references == 1) {
        block = ap_realloc(list->block, sizeof *block + bytes);
        if (!block) return ap_fail_memory(err, "a frame's state");
    } else {
        block = block_new(bytes);
        if (!block) return ap_fail_memory(err, "a frame's state");
        if (list->count) memcpy(block->data, list->block->data, list->count * item_size);
        ap_block_unref(list->block);
    }
    list->block = block;
    list->capacity = capacity;
    return APIARY_OK;
}

/* The right to change items that are there: copies the block when a snapshot can see it. */
static enum apiary_code list_own(
    struct ap_list_of *list, size_t item_size, struct apiary_error *err)
{
    if (!list->block || list->block->references == 1) return APIARY_OK;
    struct ap_block *block = block_new(list->capacity * item_size);
    if (!block) return ap_fail_memory(err, "a frame's state");
    memcpy(block->data, list->block->data, list->count * item_size);
    ap_block_unref(list->block);
    list->block = block;
    return APIARY_OK;
}

static void *items_of(const struct ap_list_of *list)
{
    return list->block ? list->block->data : NULL;
}

enum apiary_code ap_fold_init(struct ap_fold *fold, struct apiary_error *err)
{
    *fold = (struct ap_fold) { 0 };
    struct ap_text *text = ap_calloc(1, sizeof *text);
    if (!text) return ap_fail_memory(err, "a frame's state");
    text->references = 1;
    *fold = (struct ap_fold) { .text = text, .empty = true, .checkpoint_version = AP_VERSION_NONE };
    return APIARY_OK;
}

void ap_fold_done(struct ap_fold *fold)
{
    ap_text_unref(fold->text);
    ap_block_unref(fold->cells.block);
    ap_block_unref(fold->tombstones.block);
    ap_block_unref(fold->txns.block);
    ap_block_unref(fold->domains.block);
    ap_cell_index_done(&fold->index);
    *fold = (struct ap_fold) { 0 };
}

static enum apiary_code keep(
    struct ap_fold *fold, struct ap_str text, struct ap_str *out, struct apiary_error *err)
{
    bool ok = true;
    *out = text.size ? ap_arena_str(&fold->text->arena, text, &ok) : AP_STR("");
    return ok ? APIARY_OK : ap_fail_memory(err, "a frame's state");
}

static enum apiary_code keep_list(struct ap_fold *fold, yyjson_val *list, const struct ap_str **out,
    size_t *count, struct apiary_error *err)
{
    size_t total = list ? yyjson_arr_size(list) : 0;
    struct ap_str *items = ap_arena_alloc(&fold->text->arena, total * sizeof *items);
    if (!items) return ap_fail_memory(err, "a frame's state");
    size_t i, n;
    yyjson_val *item;
    if (total)
        yyjson_arr_foreach(list, i, n, item) AP_TRY(keep(
            fold, (struct ap_str) { yyjson_get_str(item), yyjson_get_len(item) }, &items[i], err));
    *out = items;
    *count = total;
    return APIARY_OK;
}

static enum apiary_code fold_protocol(
    struct ap_fold *fold, const struct ap_protocol_action *action, struct apiary_error *err)
{
    struct ap_protocol next = { .min_reader = action->min_reader,
        .min_writer = action->min_writer };
    AP_TRY(keep_list(
        fold, action->reader_features, &next.reader_features, &next.reader_feature_count, err));
    AP_TRY(keep_list(
        fold, action->writer_features, &next.writer_features, &next.writer_feature_count, err));
    fold->protocol = next;
    fold->has_protocol = true;
    return APIARY_OK;
}

static enum apiary_code keep_configuration(
    struct ap_fold *fold, yyjson_val *map, struct ap_metadata *next, struct apiary_error *err)
{
    size_t count = map ? yyjson_obj_size(map) : 0;
    struct ap_property *properties = ap_arena_alloc(&fold->text->arena, count * sizeof *properties);
    if (!properties) return ap_fail_memory(err, "a frame's state");
    size_t i, n, kept = 0;
    yyjson_val *key, *value;
    if (count) yyjson_obj_foreach(map, i, n, key, value)
        {
            if (!yyjson_is_str(value)) continue;
            AP_TRY(keep(fold, (struct ap_str) { yyjson_get_str(key), yyjson_get_len(key) },
                &properties[kept].key, err));
            AP_TRY(keep(fold, (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) },
                &properties[kept].value, err));
            kept++;
        }
    next->configuration = properties;
    next->configuration_count = kept;
    return APIARY_OK;
}

/* Finds the partition columns in the schema, and the names that partitionValues use for them. */
static enum apiary_code resolve_partition(struct ap_fold *fold, struct ap_metadata *next,
    const struct ap_str **names, struct apiary_error *err)
{
    size_t *columns = ap_arena_alloc(&fold->text->arena, next->partition_count * sizeof *columns);
    struct ap_str *keys = ap_arena_alloc(&fold->text->arena, next->partition_count * sizeof *keys);
    if (!columns || !keys) return ap_fail_memory(err, "a frame's state");
    for (size_t i = 0; i < next->partition_count; i++) {
        columns[i] = ap_schema_find(&next->schema, next->partition_by[i]);
        if (columns[i] == SIZE_MAX)
            return ap_fail(err, APIARY_CORRUPT,
                "partition column \"" AP_FMT "\" is not in the schema",
                AP_ARG(next->partition_by[i]));
        keys[i] = ap_field_physical(&next->schema.fields[columns[i]]);
    }
    next->partition_columns = columns;
    *names = keys;
    return APIARY_OK;
}

static bool same_names(
    const struct ap_str *a, size_t a_count, const struct ap_str *b, size_t b_count)
{
    if (a_count != b_count) return false;
    for (size_t i = 0; i < a_count; i++)
        if (!ap_str_equal(a[i], b[i])) return false;
    return true;
}

/* New partition columns: the values of all cells are put into their order. Who changes them
 * rewrites all cells in the same commit, so this is about cells that are removed next. */
static enum apiary_code relayout(
    struct ap_fold *fold, const struct ap_str *names, size_t count, struct apiary_error *err)
{
    AP_TRY(list_own(&fold->cells, sizeof(struct ap_cell), err));
    struct ap_cell *cells = items_of(&fold->cells);
    for (size_t i = 0; i < fold->cells.count; i++) {
        struct ap_str *values = ap_arena_alloc(&fold->text->arena, count * sizeof *values);
        if (!values) return ap_fail_memory(err, "a frame's state");
        for (size_t j = 0; j < count; j++)
            for (size_t k = 0; k < fold->metadata.partition_count; k++)
                if (ap_str_equal(names[j], fold->partition_names[k]))
                    values[j] = cells[i].partition_values[k];
        cells[i].partition_values = count ? values : NULL;
    }
    return APIARY_OK;
}

static enum apiary_code fold_metadata(
    struct ap_fold *fold, const struct ap_metadata_action *action, struct apiary_error *err)
{
    struct ap_metadata next = { .created_ms = action->created_ms };
    const struct ap_str *names = NULL;
    AP_TRY(keep(fold, action->id, &next.id, err));
    AP_TRY(keep(fold, action->name, &next.name, err));
    AP_TRY(keep(fold, action->description, &next.description, err));
    AP_TRY(keep(fold, action->schema_json, &next.schema_json, err));
    if (next.schema_json.size)
        AP_TRY(ap_schema_parse(&fold->text->arena, next.schema_json, &next.schema, err));
    AP_TRY(ap_schema_check_twins(&next.schema, err));
    AP_TRY(
        keep_list(fold, action->partition_columns, &next.partition_by, &next.partition_count, err));
    AP_TRY(keep_configuration(fold, action->configuration, &next, err));
    AP_TRY(resolve_partition(fold, &next, &names, err));
    if (fold->cells.count && !same_names(names, next.partition_count, fold->partition_names,
                                 fold->metadata.partition_count))
        AP_TRY(relayout(fold, names, next.partition_count, err));
    fold->metadata = next;
    fold->partition_names = names;
    fold->has_metadata = true;
    return APIARY_OK;
}

/* Null is what the log calls null, and "" too: the protocol says that it means null. */
static struct ap_str partition_value(
    const struct ap_file_action *action, struct ap_str name, size_t guess)
{
    const struct ap_property *found = NULL;
    if (guess < action->partition_count && ap_str_equal(action->partition[guess].key, name)) {
        found = &action->partition[guess];
    } else {
        for (size_t i = 0; i < action->partition_count && !found; i++)
            if (ap_str_equal(action->partition[i].key, name)) found = &action->partition[i];
    }
    if (!found || found->value.size == 0) return (struct ap_str) { NULL, 0 };
    return found->value;
}

/* Cells of one partition tend to stand together and then share one array of values. */
static enum apiary_code keep_partition(struct ap_fold *fold, const struct ap_file_action *action,
    const struct ap_str **out, struct apiary_error *err)
{
    size_t count = fold->metadata.partition_count;
    *out = NULL;
    if (count == 0) return APIARY_OK;
    const struct ap_cell *cells = items_of(&fold->cells);
    const struct ap_str *before =
        fold->cells.count ? cells[fold->cells.count - 1].partition_values : NULL;
    bool same = before != NULL;
    for (size_t i = 0; i < count && same; i++) {
        struct ap_str value = partition_value(action, fold->partition_names[i], i);
        same = (value.data == NULL) == (before[i].data == NULL) && ap_str_equal(value, before[i]);
    }
    if (same) {
        *out = before;
        return APIARY_OK;
    }
    struct ap_str *values = ap_arena_alloc(&fold->text->arena, count * sizeof *values);
    if (!values) return ap_fail_memory(err, "a frame's state");
    for (size_t i = 0; i < count; i++) {
        struct ap_str value = partition_value(action, fold->partition_names[i], i);
        values[i] = (struct ap_str) { NULL, 0 };
        if (value.data) AP_TRY(keep(fold, value, &values[i], err));
    }
    *out = values;
    return APIARY_OK;
}

/* The storage types are three and constant. */
static struct ap_str storage_text(struct ap_str storage)
{
    if (storage.size == 0) return AP_STR("");
    return storage.data[0] == 'u'   ? AP_STR("u")
           : storage.data[0] == 'i' ? AP_STR("i")
                                    : AP_STR("p");
}

static enum apiary_code keep_vector(struct ap_fold *fold, const struct ap_deletion_vector *vector,
    struct ap_deletion_vector *out, struct apiary_error *err)
{
    *out = *vector;
    out->storage = storage_text(vector->storage);
    if (out->storage.size == 0) {
        out->path_or_inline = AP_STR("");
        return APIARY_OK;
    }
    return keep(fold, vector->path_or_inline, &out->path_or_inline, err);
}

static size_t text_bytes(const struct ap_cell *cell)
{
    return cell->path.size + cell->stats.size + cell->tags.size +
           cell->deletion_vector.path_or_inline.size + 48;
}

static enum apiary_code kill_cell(
    struct ap_fold *fold, size_t place, uint32_t hash, struct apiary_error *err)
{
    AP_TRY(list_own(&fold->cells, sizeof(struct ap_cell), err));
    struct ap_cell *cell = (struct ap_cell *)items_of(&fold->cells) + place;
    fold->live_bytes -= text_bytes(cell);
    cell->path.data = NULL;
    cell->path.size = 0;
    fold->dead++;
    ap_cell_index_remove(&fold->index, hash, place);
    return APIARY_OK;
}

enum apiary_code ap_fold_add(
    struct ap_fold *fold, const struct ap_file_action *add, struct apiary_error *err)
{
    if (!fold->has_metadata)
        return ap_fail(err, APIARY_CORRUPT, "a cell is added before any metaData");
    uint32_t hash = ap_cell_hash(add->path, &add->deletion_vector);
    size_t place =
        ap_cell_index_find(&fold->index, items_of(&fold->cells), add->path, &add->deletion_vector);
    if (place != SIZE_MAX) AP_TRY(kill_cell(fold, place, hash, err));

    struct ap_cell cell = { .size_bytes = add->size_bytes,
        .modified_ms = add->modified_ms,
        .base_row_id = add->base_row_id,
        .default_row_commit_version = add->default_row_commit_version,
        .row_count = ap_stats_row_count(add->stats) };
    AP_TRY(keep_partition(fold, add, &cell.partition_values, err));
    AP_TRY(keep(fold, add->path, &cell.path, err));
    AP_TRY(keep(fold, add->stats, &cell.stats, err));
    AP_TRY(keep(fold, add->tags, &cell.tags, err));
    AP_TRY(keep_vector(fold, &add->deletion_vector, &cell.deletion_vector, err));
    AP_TRY(list_room(&fold->cells, sizeof cell, err));
    AP_TRY(ap_cell_index_put(&fold->index, hash, fold->cells.count, err));
    ((struct ap_cell *)items_of(&fold->cells))[fold->cells.count++] = cell;
    fold->live_bytes += text_bytes(&cell);
    return APIARY_OK;
}

enum apiary_code ap_fold_remove(
    struct ap_fold *fold, const struct ap_file_action *remove, struct apiary_error *err)
{
    struct ap_tombstone tombstone = { .deleted_ms = remove->deleted_ms,
        .size_bytes = remove->size_bytes };
    size_t place = ap_cell_index_find(
        &fold->index, items_of(&fold->cells), remove->path, &remove->deletion_vector);
    if (place != SIZE_MAX) {
        const struct ap_cell *cell = (const struct ap_cell *)items_of(&fold->cells) + place;
        tombstone.path = cell->path; /* its text stays in the arena */
        if (tombstone.size_bytes < 0) tombstone.size_bytes = cell->size_bytes;
        AP_TRY(kill_cell(fold, place, ap_cell_hash(remove->path, &remove->deletion_vector), err));
    } else {
        AP_TRY(keep(fold, remove->path, &tombstone.path, err));
    }
    if (remove->deletion_vector.storage.size) {
        struct ap_deletion_vector *vector = ap_arena_alloc(&fold->text->arena, sizeof *vector);
        if (!vector) return ap_fail_memory(err, "a frame's state");
        AP_TRY(keep_vector(fold, &remove->deletion_vector, vector, err));
        tombstone.deletion_vector = vector;
    }
    AP_TRY(list_room(&fold->tombstones, sizeof tombstone, err));
    fold->live_bytes += tombstone.path.size + sizeof tombstone;
    ((struct ap_tombstone *)items_of(&fold->tombstones))[fold->tombstones.count++] = tombstone;
    return APIARY_OK;
}

static enum apiary_code fold_txn(
    struct ap_fold *fold, const struct ap_txn *txn, struct apiary_error *err)
{
    struct ap_txn *items = items_of(&fold->txns);
    size_t i = 0;
    while (i < fold->txns.count && !ap_str_equal(items[i].app_id, txn->app_id)) i++;
    struct ap_txn kept = *txn;
    if (i < fold->txns.count) {
        AP_TRY(list_own(&fold->txns, sizeof kept, err));
        items = items_of(&fold->txns);
        kept.app_id = items[i].app_id;
    } else {
        AP_TRY(keep(fold, txn->app_id, &kept.app_id, err));
        AP_TRY(list_room(&fold->txns, sizeof kept, err));
        items = items_of(&fold->txns);
        fold->txns.count++;
    }
    items[i] = kept;
    return APIARY_OK;
}

static enum apiary_code fold_domain(
    struct ap_fold *fold, const struct ap_domain *domain, bool removed, struct apiary_error *err)
{
    struct ap_domain *items = items_of(&fold->domains);
    size_t i = 0;
    while (i < fold->domains.count && !ap_str_equal(items[i].domain, domain->domain)) i++;
    bool there = i < fold->domains.count;
    if (there) {
        AP_TRY(list_own(&fold->domains, sizeof *items, err));
        items = items_of(&fold->domains);
    }
    if (removed) {
        if (there) memmove(&items[i], &items[i + 1], (--fold->domains.count - i) * sizeof *items);
        return APIARY_OK;
    }
    struct ap_domain kept;
    AP_TRY(keep(fold, domain->domain, &kept.domain, err));
    AP_TRY(keep(fold, domain->configuration, &kept.configuration, err));
    if (!there) {
        AP_TRY(list_room(&fold->domains, sizeof kept, err));
        items = items_of(&fold->domains);
        fold->domains.count++;
    }
    items[i] = kept;
    return APIARY_OK;
}

enum apiary_code ap_fold_action(
    struct ap_fold *fold, const struct ap_action *action, struct apiary_error *err)
{
    switch (action->kind) {
        case AP_ACTION_PROTOCOL: return fold_protocol(fold, &action->protocol, err);
        case AP_ACTION_METADATA: return fold_metadata(fold, &action->metadata, err);
        case AP_ACTION_ADD: return ap_fold_add(fold, &action->file, err);
        case AP_ACTION_REMOVE: return ap_fold_remove(fold, &action->file, err);
        case AP_ACTION_TXN: return fold_txn(fold, &action->txn, err);
        case AP_ACTION_DOMAIN:
            return fold_domain(fold, &action->domain.domain, action->domain.removed, err);
        case AP_ACTION_CDC:
        case AP_ACTION_COMMIT_INFO:
        case AP_ACTION_SIDECAR:
        case AP_ACTION_CHECKPOINT_METADATA:
        case AP_ACTION_UNKNOWN: return APIARY_OK;
    }
    return APIARY_OK;
}

static bool is_state(enum ap_action_kind kind)
{
    return kind == AP_ACTION_PROTOCOL || kind == AP_ACTION_METADATA;
}

/* One pass over the lines: first those of the state, then the rest. */
static enum apiary_code fold_lines(struct ap_fold *fold, struct ap_action_reader *reader,
    struct ap_str body, bool state, int64_t *info_ms, int64_t *ict_ms, bool *any,
    struct apiary_error *err)
{
    struct ap_str line;
    while (ap_commit_next_line(&body, &line)) {
        enum ap_action_kind peeked = ap_action_peek(line);
        /* What the first key does not tell is parsed in both passes. */
        if (peeked != AP_ACTION_UNKNOWN && is_state(peeked) != state) continue;
        struct ap_action action;
        AP_TRY(ap_action_parse(reader, line, &action, err));
        *any = true;
        if (is_state(action.kind) != state) continue;
        if (action.kind == AP_ACTION_COMMIT_INFO) {
            *info_ms = action.info.timestamp_ms;
            *ict_ms = action.info.in_commit_timestamp_ms;
        }
        AP_TRY(ap_fold_action(fold, &action, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_fold_commit(struct ap_fold *fold, uint64_t version, struct ap_str body,
    const char *key, int64_t modified_ms, struct apiary_error *err)
{
    struct ap_action_reader reader = { 0 };
    int64_t info_ms = -1, ict_ms = -1;
    bool any = false;
    enum apiary_code code = fold_lines(fold, &reader, body, true, &info_ms, &ict_ms, &any, err);
    if (code == APIARY_OK)
        code = fold_lines(fold, &reader, body, false, &info_ms, &ict_ms, &any, err);
    ap_action_reader_done(&reader);
    if (code != APIARY_OK) return ap_context(err, code, "%s", key);
    if (!any) return ap_fail(err, APIARY_CORRUPT, "%s: the commit is empty", key);
    fold->version = version;
    fold->timestamp_ms = ict_ms >= 0 ? ict_ms : modified_ms >= 0 ? modified_ms : info_ms;
    fold->empty = false;
    return APIARY_OK;
}

/* Closes the gaps that dead cells left. The block is ours: killing copied it. */
static enum apiary_code compact(struct ap_fold *fold, struct apiary_error *err)
{
    if (fold->dead == 0) return APIARY_OK;
    struct ap_cell *cells = items_of(&fold->cells);
    struct ap_cell_index index = { 0 };
    size_t kept = 0;
    for (size_t i = 0; i < fold->cells.count; i++) {
        if (!cells[i].path.data) continue;
        enum apiary_code code = ap_cell_index_put(
            &index, ap_cell_hash(cells[i].path, &cells[i].deletion_vector), kept, err);
        if (code != APIARY_OK) {
            ap_cell_index_done(&index);
            return code;
        }
        cells[kept++] = cells[i];
    }
    ap_cell_index_done(&fold->index);
    fold->index = index;
    fold->cells.count = kept;
    fold->dead = 0;
    return APIARY_OK;
}

/* Copies the text that is alive into a fresh arena, when most of the old one is not. */
static enum apiary_code collect_garbage(struct ap_fold *fold, struct apiary_error *err)
{
    size_t bytes = fold->text->arena.bytes_total;
    if (bytes < GARBAGE_BYTES_MIN || bytes / GARBAGE_FACTOR < fold->live_bytes) return APIARY_OK;
    struct ap_fold fresh;
    AP_TRY(ap_fold_init(&fresh, err));
    enum apiary_code code = ap_fold_copy(fold, &fresh, err);
    if (code != APIARY_OK) {
        ap_fold_done(&fresh);
        return code;
    }
    ap_fold_done(fold);
    *fold = fresh;
    return APIARY_OK;
}

static enum apiary_code snapshot_new(
    struct ap_fold *fold, struct ap_snapshot **out, struct apiary_error *err)
{
    struct ap_snapshot *snapshot = ap_calloc(1, sizeof *snapshot);
    struct ap_memory *memory = ap_calloc(1, sizeof *memory);
    if (!snapshot || !memory) {
        ap_free(snapshot);
        ap_free(memory);
        return ap_fail_memory(err, "a snapshot");
    }
    memory->text = fold->text;
    memory->text->references++;
    const struct ap_list_of *lists[] = { &fold->cells, &fold->tombstones, &fold->txns,
        &fold->domains };
    for (int i = 0; i < 4; i++) {
        memory->blocks[i] = lists[i]->block;
        if (memory->blocks[i]) memory->blocks[i]->references++;
    }
    snapshot->references = 1;
    snapshot->memory = memory;
    snapshot->version = fold->version;
    snapshot->timestamp_ms = fold->timestamp_ms;
    snapshot->protocol = fold->protocol;
    snapshot->metadata = fold->metadata;
    snapshot->partition_names = fold->partition_names;
    snapshot->cells = items_of(&fold->cells);
    snapshot->cell_count = fold->cells.count;
    snapshot->tombstones = items_of(&fold->tombstones);
    snapshot->tombstone_count = fold->tombstones.count;
    snapshot->txns = items_of(&fold->txns);
    snapshot->txn_count = fold->txns.count;
    snapshot->domains = items_of(&fold->domains);
    snapshot->domain_count = fold->domains.count;
    snapshot->checkpoint_version = fold->checkpoint_version;
    *out = snapshot;
    return APIARY_OK;
}

enum apiary_code ap_fold_publish(
    struct ap_fold *fold, struct ap_snapshot **out, struct apiary_error *err)
{
    if (!fold->has_protocol) return ap_fail(err, APIARY_CORRUPT, "the log has no protocol");
    AP_TRY(ap_protocol_check_readable(&fold->protocol, err));
    if (!fold->has_metadata) return ap_fail(err, APIARY_CORRUPT, "the log has no metaData");
    AP_TRY(ap_protocol_check_schema(&fold->protocol, &fold->metadata, err));
    AP_TRY(compact(fold, err));
    AP_TRY(collect_garbage(fold, err));
    return snapshot_new(fold, out, err);
}
