/* The query of a statement that writes: opened, and fitted to the frame it goes into. */
#include "query/body.h"

#include "core/alloc.h"

void ap_fitted_done(struct ap_fitted *fitted)
{
    ap_bytes_done(&fitted->head);
    ap_bytes_done(&fitted->tail);
}

enum apiary_code ap_fitted_make(struct ap_session *session, const struct ap_target *target,
    const struct ap_fit *fit, struct ap_fitted *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(&out->head, "SELECT ", err));
    AP_TRY(ap_fit_columns(session, target, fit, &out->head, err));
    AP_TRY(ap_bytes_add_text(&out->head, " FROM (", err));
    AP_TRY(ap_bytes_add_text(&out->tail, "\n) AS apiary_rows", err));
    return ap_fit_aliases(target, fit, &out->tail, err);
}

enum apiary_code ap_fitted_select(const struct ap_source *source, const struct ap_fitted *fitted,
    struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&fitted->head), err));
    AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&source->sql), err));
    return ap_bytes_add_str(out, ap_bytes_view(&fitted->tail), err);
}

enum apiary_code ap_plan_columns(
    const struct ap_plan *plan, struct ap_described_list *out, struct apiary_error *err)
{
    const struct ap_plan_stage *last = &plan->stages[plan->stage_count - 1];
    for (size_t i = 0; i < last->column_count; i++)
        AP_TRY(ap_described_add(out, last->columns[i].name, last->columns[i].type, err));
    return APIARY_OK;
}

bool ap_reads_frame(const struct ap_source *source, const struct ap_target *target)
{
    for (size_t i = 0; i < source->scan_count; i++)
        if (strcmp(source->scans[i].entry.id.text, target->entry.id.text) == 0) return true;
    return false;
}

enum apiary_code ap_reads_base(
    const struct ap_source *source, const struct ap_target *target, bool *reads, struct apiary_error *err)
{
    *reads = ap_reads_frame(source, target);
    if (target->base == NULL) return APIARY_OK;
    for (size_t i = 0; i < source->scan_count; i++) {
        const struct ap_scan *scan = &source->scans[i];
        const struct ap_name3 *a = &scan->entry.name, *b = &target->entry.name;
        bool same = strcmp(scan->entry.id.text, target->entry.id.text) == 0;
        bool named = strcmp(a->hive, b->hive) == 0 && strcmp(a->box, b->box) == 0 && strcmp(a->frame, b->frame) == 0;
        if (scan->at.kind != AP_AT_NEWEST || (!same && !named)) continue;
        if (same && scan->snapshot->version >= target->base->version) continue;
        ap_fail(err, APIARY_CONFLICT, "frame %s was changed by another statement while this one read it", target->name);
        return ap_hint(err, "nothing was written: run it again");
    }
    return APIARY_OK;
}

enum apiary_code ap_body_open(struct ap_request *request, bool alone, struct ap_source **source,
    struct ap_plan **plan, struct apiary_error *err)
{
    *plan = NULL;
    AP_TRY(ap_source_resolve(
        request->session, request->statement->body, request->query, source, err));
    enum apiary_code code =
        alone ? APIARY_OK : ap_write_plan(*source, request->query, plan, err);
    if (code == APIARY_OK && *plan == NULL) code = ap_handover_refuse(request->session, err);
    if (code == APIARY_OK && *plan == NULL) code = ap_source_prepare(*source, err);
    if (code == APIARY_OK) return APIARY_OK;
    ap_source_close(*source);
    *source = NULL;
    return code;
}
