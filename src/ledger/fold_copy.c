/* A fold's living state copied whole, so that the text of what died can go. */
#include "core/alloc.h"
#include "ledger/fold.h"

struct copier {
    struct ap_arena *arena;
    bool ok; /* false: out of memory at some point */
};

static struct ap_str copy(struct copier *copier, struct ap_str text)
{
    return text.data && text.size ? ap_arena_str(copier->arena, text, &copier->ok) : text;
}

static void *reserve(struct copier *copier, size_t count, size_t size)
{
    void *memory = ap_arena_alloc(copier->arena, count * size);
    if (!memory) copier->ok = false;
    return memory;
}

static const struct ap_str *copy_texts(
    struct copier *copier, const struct ap_str *from, size_t count)
{
    struct ap_str *to = reserve(copier, count, sizeof *to);
    for (size_t i = 0; to && i < count; i++) to[i] = copy(copier, from[i]);
    return to;
}

static enum apiary_code copy_metadata(
    struct copier *copier, const struct ap_fold *from, struct ap_fold *to, struct apiary_error *err)
{
    const struct ap_metadata *old = &from->metadata;
    struct ap_metadata *next = &to->metadata;
    *next = *old;
    next->id = copy(copier, old->id);
    next->name = copy(copier, old->name);
    next->description = copy(copier, old->description);
    next->schema_json = copy(copier, old->schema_json);
    next->partition_by = copy_texts(copier, old->partition_by, old->partition_count);
    to->partition_names = copy_texts(copier, from->partition_names, old->partition_count);
    size_t *columns = reserve(copier, old->partition_count, sizeof *columns);
    if (columns && old->partition_count)
        memcpy(columns, old->partition_columns, old->partition_count * sizeof *columns);
    next->partition_columns = columns;
    struct ap_property *properties = reserve(copier, old->configuration_count, sizeof *properties);
    for (size_t i = 0; properties && i < old->configuration_count; i++)
        properties[i] = (struct ap_property) { copy(copier, old->configuration[i].key),
            copy(copier, old->configuration[i].value) };
    next->configuration = properties;
    if (next->schema_json.size == 0) return APIARY_OK;
    return ap_schema_parse(copier->arena, next->schema_json, &next->schema, err);
}

static void copy_vector(struct copier *copier, struct ap_deletion_vector *vector)
{
    vector->path_or_inline = copy(copier, vector->path_or_inline); /* storage is constant text */
}

static void *new_list(
    struct copier *copier, const struct ap_list_of *from, struct ap_list_of *to, size_t item_size)
{
    struct ap_block *block =
        ap_realloc(NULL, sizeof *block + (from->count ? from->count : 1) * item_size);
    if (!block) {
        copier->ok = false;
        return NULL;
    }
    block->references = 1;
    if (from->count) memcpy(block->data, from->block->data, from->count * item_size);
    *to = (struct ap_list_of) { block, from->count, from->count ? from->count : 1 };
    return block->data;
}

static enum apiary_code copy_cells(
    struct copier *copier, const struct ap_fold *from, struct ap_fold *to, struct apiary_error *err)
{
    struct ap_cell *cells = new_list(copier, &from->cells, &to->cells, sizeof *cells);
    const struct ap_str *old_values = NULL;
    for (size_t i = 0; cells && i < to->cells.count; i++) {
        struct ap_cell *cell = &cells[i];
        const struct ap_str *values = cell->partition_values;
        if (i && values == old_values)
            cell->partition_values = cells[i - 1].partition_values;
        else if (values)
            cell->partition_values = copy_texts(copier, values, from->metadata.partition_count);
        old_values = values;
        cell->path = copy(copier, cell->path);
        cell->stats = copy(copier, cell->stats);
        cell->tags = copy(copier, cell->tags);
        copy_vector(copier, &cell->deletion_vector);
        AP_TRY(ap_cell_index_put(
            &to->index, ap_cell_hash(cell->path, &cell->deletion_vector), i, err));
    }
    return APIARY_OK;
}

static void copy_rest(struct copier *copier, const struct ap_fold *from, struct ap_fold *to)
{
    struct ap_tombstone *tombstones =
        new_list(copier, &from->tombstones, &to->tombstones, sizeof *tombstones);
    for (size_t i = 0; tombstones && i < to->tombstones.count; i++) {
        tombstones[i].path = copy(copier, tombstones[i].path);
        if (!tombstones[i].deletion_vector) continue;
        struct ap_deletion_vector *vector = reserve(copier, 1, sizeof *vector);
        if (!vector) return;
        *vector = *tombstones[i].deletion_vector;
        copy_vector(copier, vector);
        tombstones[i].deletion_vector = vector;
    }
    struct ap_txn *txns = new_list(copier, &from->txns, &to->txns, sizeof *txns);
    for (size_t i = 0; txns && i < to->txns.count; i++)
        txns[i].app_id = copy(copier, txns[i].app_id);
    struct ap_domain *domains = new_list(copier, &from->domains, &to->domains, sizeof *domains);
    for (size_t i = 0; domains && i < to->domains.count; i++)
        domains[i] = (struct ap_domain) { copy(copier, domains[i].domain),
            copy(copier, domains[i].configuration) };
}

/* `from` has no dead cells. `to` must be done by the caller when this fails. */
enum apiary_code ap_fold_copy(
    const struct ap_fold *from, struct ap_fold *to, struct apiary_error *err)
{
    struct copier copier = { .arena = &to->text->arena, .ok = true };
    to->has_protocol = from->has_protocol;
    to->has_metadata = from->has_metadata;
    to->empty = from->empty;
    to->version = from->version;
    to->timestamp_ms = from->timestamp_ms;
    to->live_bytes = from->live_bytes;
    to->checkpoint_version = from->checkpoint_version;
    to->protocol = from->protocol;
    to->protocol.reader_features =
        copy_texts(&copier, from->protocol.reader_features, from->protocol.reader_feature_count);
    to->protocol.writer_features =
        copy_texts(&copier, from->protocol.writer_features, from->protocol.writer_feature_count);
    if (from->has_metadata) AP_TRY(copy_metadata(&copier, from, to, err));
    AP_TRY(copy_cells(&copier, from, to, err));
    copy_rest(&copier, from, to);
    return copier.ok ? APIARY_OK : ap_fail_memory(err, "a frame's state");
}
