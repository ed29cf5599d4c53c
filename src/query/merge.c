/* merge_schema: columns that only the data has join the frame's schema, behind the others
 * and nullable, in the commit of the rows. Cells that were there give NULL for them. */
#include "query/create.h"
#include "query/types.h"

#include "core/alloc.h"
#include "ledger/column_mapping.h"

enum apiary_code ap_merge_columns(struct ap_session *session, struct ap_arena *arena,
    const struct ap_described_list *columns, struct ap_target *target, bool *changed,
    struct apiary_error *err)
{
    struct ap_schema *schema = &target->metadata.schema;
    size_t count = schema->field_count;
    struct ap_field *fields = ap_arena_alloc(arena, (count + columns->count + 1) * sizeof *fields);
    if (fields == NULL) return ap_fail_memory(err, "a frame's schema");
    for (size_t i = 0; i < count; i++) fields[i] = schema->fields[i];
    for (size_t i = 0; i < columns->count; i++) {
        struct ap_str name = ap_str_from(columns->items[i].name);
        const char *notice = NULL;
        bool ok = true;
        if (ap_schema_find(schema, name) != SIZE_MAX) continue;
        struct ap_field *field = &fields[count++];
        *field = (struct ap_field) { .nullable = true, .metadata = AP_STR("{}"), .field_id = -1 };
        field->name = ap_arena_str(arena, name, &ok);
        if (!ok) return ap_fail_memory(err, "a frame's schema");
        AP_TRY(ap_type_from_engine(
            arena, name, ap_str_from(columns->items[i].type), &field->type, &notice, err));
        ap_session_notice(session, "column \"" AP_FMT "\" was added to frame %s", AP_ARG(name),
            target->name);
        if (notice != NULL) ap_session_notice(session, "column \"" AP_FMT "\": %s", AP_ARG(name), notice);
    }
    *changed = count > schema->field_count;
    *schema = (struct ap_schema) { fields, count };
    return *changed && ap_mapping_on(&target->metadata)
               ? ap_mapping_assign(session->world->env, arena, &target->metadata, err)
               : APIARY_OK;
}
