#include "core/alloc.h"
#include "ledger/snapshot_private.h"

void ap_snapshot_ref(struct ap_snapshot *snapshot)
{
    snapshot->references++;
}

void ap_snapshot_unref(struct ap_snapshot *snapshot)
{
    if (!snapshot || --snapshot->references > 0) return;
    ap_text_unref(snapshot->memory->text);
    for (int i = 0; i < 4; i++) ap_block_unref(snapshot->memory->blocks[i]);
    ap_free(snapshot->memory);
    ap_free(snapshot);
}

struct ap_str ap_snapshot_property(const struct ap_snapshot *snapshot, const char *key)
{
    const struct ap_metadata *metadata = &snapshot->metadata;
    for (size_t i = 0; i < metadata->configuration_count; i++)
        if (ap_str_is(metadata->configuration[i].key, key)) return metadata->configuration[i].value;
    return (struct ap_str) { NULL, 0 };
}

static bool lists(const struct ap_str *features, size_t count, const char *feature)
{
    for (size_t i = 0; i < count; i++)
        if (ap_str_is(features[i], feature)) return true;
    return false;
}

bool ap_snapshot_has_feature(const struct ap_snapshot *snapshot, const char *feature)
{
    const struct ap_protocol *protocol = &snapshot->protocol;
    return lists(protocol->writer_features, protocol->writer_feature_count, feature) ||
           lists(protocol->reader_features, protocol->reader_feature_count, feature);
}

bool ap_snapshot_row_count(const struct ap_snapshot *snapshot, int64_t *rows)
{
    int64_t sum = 0;
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        const struct ap_cell *cell = &snapshot->cells[i];
        int64_t gone = cell->deletion_vector.storage.size ? cell->deletion_vector.cardinality : 0;
        if (cell->row_count < 0 || gone > cell->row_count) return false;
        if (__builtin_add_overflow(sum, cell->row_count - gone, &sum)) return false;
    }
    *rows = sum;
    return true;
}

uint64_t ap_snapshot_bytes(const struct ap_snapshot *snapshot)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < snapshot->cell_count; i++)
        if (snapshot->cells[i].size_bytes > 0) sum += (uint64_t)snapshot->cells[i].size_bytes;
    return sum;
}
