/* ALTER FRAME where no cell changes: properties, CLUSTER BY, the frame's comment. One commit of
 * metadata, which conflicts with other changes of it and with no append. */
#include "query/cluster.h"
#include "query/optimize.h"

#include "core/alloc.h"

enum { PROPERTIES_MAX = 256 };

struct change {
    struct ap_arena arena;
    struct ap_property *properties;
    size_t count;
};

static void change_done(struct change *change) { ap_arena_done(&change->arena); }

static enum apiary_code change_begin(
    struct change *change, const struct ap_metadata *metadata, size_t more, struct apiary_error *err)
{
    size_t most = metadata->configuration_count + more;
    if (most > PROPERTIES_MAX)
        return ap_fail(err, APIARY_LIMIT, "a frame has at most %d properties", PROPERTIES_MAX);
    change->properties = ap_arena_alloc(&change->arena, (most + 1) * sizeof *change->properties);
    if (change->properties == NULL) return ap_fail_memory(err, "a frame's properties");
    for (size_t i = 0; i < metadata->configuration_count; i++)
        change->properties[change->count++] = metadata->configuration[i];
    return APIARY_OK;
}

static size_t find(const struct change *change, struct ap_str key)
{
    for (size_t i = 0; i < change->count; i++)
        if (ap_str_equal(change->properties[i].key, key)) return i;
    return SIZE_MAX;
}

static enum apiary_code set(
    struct change *change, struct ap_str key, struct ap_str value, struct apiary_error *err)
{
    bool ok = true, also = true;
    size_t at = find(change, key);
    if (at == SIZE_MAX) at = change->count++;
    change->properties[at].key = ap_arena_str(&change->arena, key, &ok);
    change->properties[at].value = ap_arena_str(&change->arena, value, &also);
    return ok && also ? APIARY_OK : ap_fail_memory(err, "a frame's properties");
}

static void unset(struct change *change, size_t at)
{
    memmove(&change->properties[at], &change->properties[at + 1],
        (change->count - at - 1) * sizeof *change->properties);
    change->count--;
}

static enum apiary_code change_properties(const struct ap_statement *statement,
    const struct ap_target *target, struct change *change, struct apiary_error *err)
{
    for (size_t i = 0; i < statement->option_count; i++) {
        struct ap_str key = ap_str_from(statement->options[i].name);
        AP_AUTO(ap_bytes) value = { 0 };
        size_t at = find(change, key);
        if (ap_str_is(key, AP_CLUSTER_PROPERTY)) {
            ap_fail(err, APIARY_INVALID, AP_CLUSTER_PROPERTY " is not set by hand");
            return ap_hint(err, "ALTER FRAME %s CLUSTER BY (columns)", target->name);
        }
        if (statement->alter == AP_ALTER_SET_PROPERTIES) {
            AP_TRY(ap_sql_constant(statement->options[i].value, &value, err));
            AP_TRY(set(change, key, (struct ap_str) { ap_bytes_text(&value), value.size }, err));
        } else if (at != SIZE_MAX)
            unset(change, at);
        else if (!statement->flags.if_exists_column)
            return ap_fail(err, APIARY_NOT_FOUND, "frame %s has no property \"%s\"", target->name,
                statement->options[i].name);
    }
    return APIARY_OK;
}

static enum apiary_code change_clustering(const struct ap_statement *statement,
    const struct ap_target *target, struct change *change, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) value = { 0 };
    size_t at = find(change, AP_STR(AP_CLUSTER_PROPERTY));
    if (statement->cluster_by.count == 0) {
        if (at != SIZE_MAX) unset(change, at);
        return APIARY_OK;
    }
    AP_TRY(ap_cluster_value(&target->metadata, &statement->cluster_by, &value, err));
    return set(change, AP_STR(AP_CLUSTER_PROPERTY), ap_bytes_view(&value), err);
}

static enum apiary_code commit(struct ap_session *session, const struct ap_target *target,
    const struct change *change, struct ap_str description, uint64_t *version,
    struct apiary_error *err)
{
    const struct ap_metadata *metadata = &target->metadata;
    struct ap_table_spec spec = { .schema = metadata->schema,
        .partition_by = metadata->partition_by,
        .partition_count = metadata->partition_count,
        .configuration = change->properties,
        .configuration_count = change->count,
        .name = metadata->name,
        .description = description };
    struct ap_commit commit = { .base = target->base,
        .spec = &spec,
        .data_change = true,
        .scope = AP_READ_NOTHING,
        .operation = "SET TBLPROPERTIES",
        .cancel = &session->cancel };
    return ap_ledger_commit(target->ledger, &commit, version, NULL, err);
}

static enum apiary_code alter(struct ap_request *request, struct ap_target *target,
    struct change *change, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    struct ap_str description = target->metadata.description;
    uint64_t version = 0;
    AP_TRY(change_begin(change, &target->metadata, statement->option_count + 1, err));
    switch (statement->alter) {
        case AP_ALTER_SET_PROPERTIES:
        case AP_ALTER_UNSET_PROPERTIES:
            AP_TRY(change_properties(statement, target, change, err));
            break;
        case AP_ALTER_CLUSTER_BY:
            AP_TRY(change_clustering(statement, target, change, err));
            break;
        case AP_ALTER_COMMENT:
            if (statement->column_count == 0) {
                description = ap_str_from(statement->comment != NULL ? statement->comment : "");
                break;
            }
            /* fallthrough */
        default:
            ap_fail(err, APIARY_UNSUPPORTED, "ALTER FRAME of columns is not supported yet");
            return ap_hint(err, "CREATE OR REPLACE FRAME f AS SELECT … FROM f makes other columns; from Python, merge_schema=True adds them");
    }
    AP_TRY(commit(request->session, target, change, description, &version, err));
    if (statement->alter == AP_ALTER_CLUSTER_BY && statement->cluster_by.count > 0)
        return ap_result_message(result, err,
            "Altered frame %s (version %llu). OPTIMIZE sorts the cells that are there.",
            target->name, (unsigned long long)version);
    return ap_result_message(result, err, "Altered frame %s (version %llu).", target->name,
        (unsigned long long)version);
}

enum apiary_code ap_run_alter(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 };
    struct apiary_error why = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_TRY(ap_names_find(session, &statement->name, &name, err));
    enum apiary_code code = ap_target_open(session, &name, &target, &why);
    if (code == APIARY_NOT_FOUND && statement->flags.if_exists) {
        ap_session_notice(session, "%s; nothing was done", why.message);
        return APIARY_OK;
    }
    if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    }
    struct change change = { 0 };
    code = alter(request, &target, &change, result, err);
    change_done(&change);
    return code;
}
