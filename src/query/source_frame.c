/* The frame that a statement rewrites, as a frame that it reads. */
#include "query/target.h"

#include "core/alloc.h"

static enum apiary_code scan_new(const struct ap_target *target, const bool *keep,
    struct ap_scan *out, struct apiary_error *err)
{
    size_t count = target->base->cell_count;
    out->entry = (struct ap_entry) { .kind = AP_ENTRY_FRAME,
        .name = target->entry.name,
        .id = target->entry.id,
        .location = ap_strdup(target->entry.location) };
    out->view = ap_strdup("");
    out->reasons = ap_calloc(count == 0 ? 1 : count, sizeof *out->reasons);
    if (out->entry.location == NULL || out->view == NULL || out->reasons == NULL)
        return ap_fail_memory(err, "a frame's cells");
    out->at = (struct ap_at) { .kind = AP_AT_NEWEST };
    out->ledger = target->ledger;
    out->store = target->store;
    out->prefix = target->prefix;
    out->snapshot = target->base;
    ap_snapshot_ref(out->snapshot);
    for (size_t i = 0; i < count; i++) {
        if (keep != NULL && !keep[i]) {
            out->reasons[i] = AP_DROPPED_STATISTICS;
            continue;
        }
        out->kept++;
        out->kept_bytes += (uint64_t)target->base->cells[i].size_bytes;
    }
    return APIARY_OK;
}

enum apiary_code ap_source_add_target(struct ap_source *source, const struct ap_target *target,
    const bool *keep, struct ap_bytes *select, struct apiary_error *err)
{
    AP_TRY(AP_GROW(source->scans, source->scan_capacity, source->scan_count + 1, err));
    struct ap_scan *scan = &source->scans[source->scan_count++];
    *scan = (struct ap_scan) { 0 }; /* the source frees what is in it, however far we come */
    AP_TRY(scan_new(target, keep, scan, err));
    return ap_shape_sql(source, scan, select, err);
}
