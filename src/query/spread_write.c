#include "query/spread_write.h"

#include "core/alloc.h"

bool ap_write_shared(const struct ap_session *session, uint64_t bytes, const char **why)
{
    /* Also where `distributed = force` asks for no second node. */
    if (ap_spread_worth(session, bytes, why) && ap_spread_nodes_of(session).nodes < 2) *why = "no other node is there";
    return *why == NULL;
}

enum apiary_code ap_write_plan(struct ap_source *source, const struct apiary_query *query, struct ap_plan **out, struct apiary_error *err)
{
    const struct ap_session *session = source->session;
    AP_AUTO(ap_plan_made) made = { 0 };
    struct ap_plan_wish wish = ap_plan_wish_of_tests();
    const char *why = NULL;
    wish.query = query;
    *out = NULL;
    if (source->scan_count + source->named_count == 0) return APIARY_OK;
    if (session->handover == NULL && !ap_write_shared(session, ap_spread_bytes(source), &why)) return APIARY_OK;
    AP_TRY(ap_plan_make(source, &wish, &made, err));
    if (ap_plan_in_parts(made.plan) || session->handover == NULL) *out = AP_TAKE(made.plan); /* else earlier stages would be run here */
    return APIARY_OK;
}

enum apiary_code ap_handover_refuse(struct ap_session *session, struct apiary_error *err)
{
    if (session->handover == NULL) return APIARY_OK;
    session->handover->whole = true;
    return ap_fail(err, APIARY_UNSUPPORTED, "the statement cannot be submitted in parts");
}

enum apiary_code ap_handover_fail(struct ap_session *session, const char *why, struct apiary_error *err)
{
    if (session->handover == NULL) return APIARY_OK;
    return ap_fail(err, APIARY_UNSUPPORTED, "the statement cannot be submitted: %s", why);
}

enum apiary_code ap_plan_keep(struct ap_plan *plan, struct ap_str text, const char **out, struct apiary_error *err)
{
    *out = ap_arena_dup(&plan->arena, text);
    return *out != NULL ? APIARY_OK : ap_fail_memory(err, "a plan");
}

static enum apiary_code keep_spec(struct ap_plan *plan, const struct ap_metadata *metadata, struct ap_plan_write *write, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) schema = { 0 };
    AP_TRY(ap_schema_write(&metadata->schema, &schema, err));
    AP_TRY(ap_plan_keep(plan, ap_bytes_view(&schema), &write->schema, err));
    AP_TRY(ap_plan_keep(plan, metadata->description, &write->description, err));
    write->partition_by = ap_arena_alloc(&plan->arena, (metadata->partition_count + 1) * sizeof *write->partition_by);
    write->properties = ap_arena_alloc(&plan->arena, (2 * metadata->configuration_count + 1) * sizeof *write->properties);
    if (write->partition_by == NULL || write->properties == NULL) return ap_fail_memory(err, "a plan");
    for (; write->partition_count < metadata->partition_count; write->partition_count++)
        AP_TRY(ap_plan_keep(plan, metadata->partition_by[write->partition_count], &write->partition_by[write->partition_count], err));
    for (; write->property_count < metadata->configuration_count; write->property_count++) {
        const struct ap_property *property = &metadata->configuration[write->property_count];
        AP_TRY(ap_plan_keep(plan, property->key, &write->properties[2 * write->property_count], err));
        AP_TRY(ap_plan_keep(plan, property->value, &write->properties[2 * write->property_count + 1], err));
    }
    return APIARY_OK;
}

/* plan->write, as `spread` says. */
static enum apiary_code fill(struct ap_session *session, struct ap_plan *plan, const struct ap_write_spread *spread, struct apiary_error *err)
{
    const struct ap_target *target = spread->target;
    struct ap_plan_write *write = ap_arena_alloc(&plan->arena, sizeof *write);
    if (write == NULL) return ap_fail_memory(err, "a plan");
    *write = (struct ap_plan_write) { .name = target->entry.name, .description = "", .operation = spread->how->operation,
        .replace_all = spread->how->replace_all, .reads_target = spread->how->reads_target, .in_tasks = plan->plain, .sort = true,
        .cell_bytes = spread->cell_bytes > 0 ? spread->cell_bytes : ap_config_size(&session->config, AP_CONFIG_target_cell_size, 0),
        .compaction = spread->compaction,
        .partitions_max = (uint64_t)ap_partitions_max(session) };
    AP_TRY(ap_plan_keep(plan, spread->head, &write->head, err));
    AP_TRY(ap_plan_keep(plan, spread->tail, &write->tail, err));
    if (target->base != NULL) {
        write->id = target->entry.id;
        write->base = target->base->version;
    } else
        AP_TRY(ap_plan_keep(plan, ap_str_from(target->entry.location), &write->location, err));
    if (target->base == NULL || spread->how->spec != NULL) AP_TRY(keep_spec(plan, &target->metadata, write, err));
    plan->write = write;
    return APIARY_OK;
}

enum apiary_code ap_write_spread_run(struct ap_session *session, struct ap_plan *plan, const struct ap_write_spread *spread, struct ap_plan_wrote *wrote,
    struct apiary_error *err)
{
    const struct ap_spread_port *port = session->world->spread;
    AP_AUTO(ap_spread_files) files = { 0 };
    AP_AUTO(ap_spread_told) told = { 0 };
    AP_TRY(fill(session, plan, spread, err));
    AP_TRY(ap_spread_firsts(session, plan, &files, &told, err));
    struct ap_plan_run run = { .session = session, .plan = plan, .stage = plan->stage_count - 1, .results = files.results };
    return port->run_write(port->context, &run, wrote, err);
}

enum apiary_code ap_write_hold(struct ap_session *session, const struct ap_target *target, const struct ap_written *written,
    const struct ap_write_commit *how, struct apiary_error *err)
{
    struct ap_bytes *out = &session->held->text;
    struct ap_plan_stage stage = { .kind = AP_CUT_WHOLE, .merge_sql = "" };
    struct ap_write_spread spread = { .target = target, .how = how };
    if (how->remove_count > 0 || out->size > 0) return ap_fail(err, APIARY_UNSUPPORTED, "only statements that add rows or replace all of them can be submitted");
    struct ap_plan *plan = ap_calloc(1, sizeof *plan);
    if (plan == NULL) return ap_fail_memory(err, "a plan");
    *plan = (struct ap_plan) { .use = "", .settings = "{}", .values = "[]", .stages = &stage, .stage_count = 1 };
    enum apiary_code code = fill(session, plan, &spread, err);
    if (code == APIARY_OK) code = ap_plan_write(plan, out, err);
    if (code == APIARY_OK) code = ap_bytes_add_text(out, "\n", err);
    if (code == APIARY_OK) code = ap_written_write(written, &target->metadata, out, err);
    ap_plan_free(plan);
    return code;
}
