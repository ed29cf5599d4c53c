/* RESTORE: an older version's cells and metadata as a new commit. A pin of its own keeps vacuum away
 * from the cells between the look and the commit (vacuum.h, invariant 4). */
#include "ledger/vacuum_private.h"

#include "core/alloc.h"
#include "core/id.h"

#include <inttypes.h>

/* What tells one live cell from another: path and deletion vector. */
static enum apiary_code identity(
    const struct ap_cell *cell, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_deletion_vector *vector = &cell->deletion_vector;
    ap_bytes_clear(out);
    AP_TRY(ap_bytes_add_str(out, cell->path, err));
    if (vector->storage.size == 0) return APIARY_OK;
    AP_TRY(ap_bytes_printf(
        out, err, "\n" AP_FMT AP_FMT, AP_ARG(vector->storage), AP_ARG(vector->path_or_inline)));
    return vector->has_offset ? ap_bytes_printf(out, err, "@%" PRId64, vector->offset) : APIARY_OK;
}

/* The cells of `from` that `other` lacks. */
static enum apiary_code difference(const struct ap_snapshot *from, const struct ap_snapshot *other,
    const struct ap_cell ***cells, size_t *count, struct apiary_error *err)
{
    AP_AUTO(ap_map) there = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    for (size_t i = 0; i < other->cell_count; i++) {
        AP_TRY(identity(&other->cells[i], &text, err));
        AP_TRY(ap_map_put(&there, ap_bytes_view(&text), i, err));
    }
    AP_AUTO_FREE const struct ap_cell **list = ap_calloc(from->cell_count + 1, sizeof *list);
    if (list == NULL) return ap_fail_memory(err, "the cells of a version");
    size_t found = 0;
    for (size_t i = 0; i < from->cell_count; i++) {
        AP_TRY(identity(&from->cells[i], &text, err));
        if (!ap_map_has(&there, ap_bytes_view(&text))) list[found++] = &from->cells[i];
    }
    *cells = AP_TAKE(list);
    *count = found;
    return APIARY_OK;
}

static bool same_metadata(const struct ap_metadata *a, const struct ap_metadata *b)
{
    if (!ap_str_equal(a->schema_json, b->schema_json) ||
        !ap_str_equal(a->description, b->description) ||
        a->partition_count != b->partition_count ||
        a->configuration_count != b->configuration_count)
        return false;
    for (size_t i = 0; i < a->partition_count; i++)
        if (!ap_str_equal(a->partition_by[i], b->partition_by[i])) return false;
    for (size_t i = 0; i < a->configuration_count; i++)
        if (!ap_str_equal(a->configuration[i].key, b->configuration[i].key) ||
            !ap_str_equal(a->configuration[i].value, b->configuration[i].value))
            return false;
    return true;
}

static enum apiary_code commit_old(struct ap_ledger *ledger, struct ap_snapshot *old,
    struct ap_snapshot *head, const struct ap_cancel *cancel, struct ap_restored *out,
    struct apiary_error *err)
{
    AP_AUTO_FREE const struct ap_cell **back = NULL;
    AP_AUTO_FREE const struct ap_cell **gone = NULL;
    AP_AUTO(ap_bytes) parameters = { 0 };
    AP_TRY(difference(old, head, &back, &out->cells_back, err));
    AP_TRY(difference(head, old, &gone, &out->cells_gone, err));
    out->version = head->version;
    bool same = same_metadata(&old->metadata, &head->metadata);
    if (same && out->cells_back == 0 && out->cells_gone == 0) return APIARY_OK;
    AP_TRY(ap_bytes_printf(&parameters, err, "{\"version\":\"%" PRIu64 "\"}", old->version));
    const struct ap_metadata *metadata = &old->metadata;
    struct ap_table_spec spec = { .schema = metadata->schema,
        .partition_by = metadata->partition_by,
        .partition_count = metadata->partition_count,
        .configuration = metadata->configuration,
        .configuration_count = metadata->configuration_count,
        .name = metadata->name,
        .description = metadata->description };
    struct ap_commit commit = { .base = head,
        .spec = same ? NULL : &spec,
        .restores = back,
        .restore_count = out->cells_back,
        .removes = gone,
        .remove_count = out->cells_gone,
        .data_change = true,
        .scope = AP_READ_ALL,
        .operation = "RESTORE",
        .operation_parameters = ap_bytes_text(&parameters),
        .cancel = cancel };
    return ap_ledger_commit(ledger, &commit, &out->version, NULL, err);
}

enum apiary_code ap_ledger_restore(struct ap_ledger *ledger, const struct ap_at *at,
    const struct ap_cancel *cancel, struct ap_restored *out, struct apiary_error *err)
{
    struct ap_snapshot *old = NULL, *head = NULL;
    char id[AP_ID_TEXT_SIZE], pin[AP_ID_TEXT_SIZE + 16];
    struct ap_restored done = { 0 };
    AP_TRY(ap_ledger_snapshot(ledger, at, &old, err));
    ap_id_random(ledger->env, id);
    snprintf(pin, sizeof pin, AP_PIN_OF_RESTORE "%s", id);
    done.from = old->version;
    enum apiary_code code = ap_ledger_pin(ledger, pin, old->version, err);
    bool pinned = code == APIARY_OK;
    if (code == APIARY_OK) code = ap_ledger_snapshot(ledger, NULL, &head, err);
    if (code == APIARY_OK) code = commit_old(ledger, old, head, cancel, &done, err);
    struct apiary_error ignored; /* it ends by itself after a day */
    if (pinned && code != APIARY_UNCERTAIN &&
        ap_ledger_unpin(ledger, pin, &ignored) != APIARY_OK)
        ap_log_event(ledger->log, AP_LOG_WARNING, "ledger", "pin_left", "name=%s", pin);
    ap_snapshot_unref(head);
    ap_snapshot_unref(old);
    if (code == APIARY_OK) *out = done;
    return code;
}
