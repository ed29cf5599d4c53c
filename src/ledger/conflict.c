#include "ledger/conflict.h"

#include "ledger/action.h"
#include "ledger/commit_body.h"
#include "ledger/fold.h"
#include "ledger/prune_private.h"

#include <inttypes.h>

/* What the winner did that stands against us; NULL: nothing. */
struct verdict {
    const char *conflict;
    bool same_txn;
    struct ap_commit_info info; /* of the winner; text points into its body's documents */
    struct ap_bytes operation, engine;
};

/* ---- metadata ---- */

static bool same_fit(const struct ap_field *base, const struct ap_field *now)
{
    return ap_type_same(&base->type, &now->type) && (now->nullable || !base->nullable) &&
           ap_str_equal(base->physical_name, now->physical_name) && base->field_id == now->field_id;
}

static bool partition_same(const struct ap_metadata *base, const struct ap_metadata *now)
{
    if (base->partition_count != now->partition_count) return false;
    for (size_t i = 0; i < base->partition_count; i++)
        if (!ap_str_equal(base->partition_by[i], now->partition_by[i])) return false;
    return true;
}

static bool metadata_fits(const struct ap_metadata *base, const struct ap_metadata *now)
{
    if (!ap_str_equal(base->id, now->id) || !partition_same(base, now)) return false;
    for (size_t i = 0; i < base->schema.field_count; i++) {
        size_t at = ap_schema_find(&now->schema, base->schema.fields[i].name);
        if (at == SIZE_MAX || !same_fit(&base->schema.fields[i], &now->schema.fields[at]))
            return false;
    }
    for (size_t i = 0; i < now->schema.field_count; i++)
        if (!now->schema.fields[i].nullable &&
            ap_schema_find(&base->schema, now->schema.fields[i].name) == SIZE_MAX)
            return false;
    return true;
}

bool ap_commit_still_fits(const struct ap_commit *commit, const struct ap_metadata *now)
{
    const struct ap_schema *base = &commit->base->metadata.schema;
    if (!metadata_fits(&commit->base->metadata, now)) return false;
    bool same = !commit->by_position || base->field_count == now->schema.field_count;
    for (size_t i = 0; same && commit->by_position && i < base->field_count; i++)
        same = ap_str_equal_nocase(base->fields[i].name, now->schema.fields[i].name);
    return same;
}

/* ---- files ---- */

/* The values of a file action in the order of base's partition columns. */
static bool read_matches(const struct ap_commit *commit, const struct ap_file_action *file)
{
    const struct ap_snapshot *base = commit->base;
    struct ap_str values[AP_ACTION_PARTITIONS_MAX];
    size_t count = base->metadata.partition_count;
    if (count > AP_ACTION_PARTITIONS_MAX || !file->has_partition) return true;
    for (size_t i = 0; i < count; i++) {
        values[i] = (struct ap_str) { NULL, 0 };
        for (size_t j = 0; j < file->partition_count; j++)
            if (ap_str_equal(file->partition[j].key, base->partition_names[i]) &&
                file->partition[j].value.size)
                values[i] = file->partition[j].value;
    }
    struct ap_cell cell = {
        .path = file->path, .partition_values = values, .row_count = -1, .stats = AP_STR("")
    };
    return ap_prune_may_match(base, commit->read_predicate, &cell);
}

static bool reads(const struct ap_commit *commit, const struct ap_file_action *file)
{
    if (commit->scope == AP_READ_NOTHING) return false;
    return commit->scope == AP_READ_ALL || !commit->read_predicate || read_matches(commit, file);
}

/* By path alone, so that a changed deletion vector counts. */
static bool removes_path(const struct ap_commit *commit, struct ap_str path)
{
    for (size_t i = 0; i < commit->remove_count; i++) {
        struct ap_cell bare = { .path = commit->removes[i]->path };
        if (ap_cell_same(&bare, path, NULL)) return true;
    }
    return false;
}

static const char *judge_add(const struct ap_commit *commit, const struct ap_file_action *file)
{
    /* A commit that only rearranges rows has read no more than the cells it removes. */
    bool rearranges = !commit->data_change && !commit->spec;
    if (!rearranges && reads(commit, file)) return "added rows to what this statement read";
    return removes_path(commit, file->path) ? "changed a cell that this statement replaces" : NULL;
}

static const char *judge_remove(const struct ap_commit *commit, const struct ap_file_action *file)
{
    if (removes_path(commit, file->path)) return "removed a cell that this statement removes too";
    return reads(commit, file) ? "removed rows from what this statement read" : NULL;
}

static enum apiary_code judge_metadata(const struct ap_commit *commit,
    const struct ap_metadata_action *action, const char **conflict, struct apiary_error *err)
{
    if (!ap_commit_is_blind(commit)) {
        *conflict = "changed the schema or the properties";
        return APIARY_OK;
    }
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_metadata now = { .id = action->id };
    if (action->schema_json.size)
        AP_TRY(ap_schema_parse(&arena, action->schema_json, &now.schema, err));
    struct ap_str names[AP_ACTION_PARTITIONS_MAX];
    size_t i, total;
    yyjson_val *item;
    if (action->partition_columns)
        yyjson_arr_foreach(action->partition_columns, i, total, item) names[now.partition_count++] =
            (struct ap_str) { yyjson_get_str(item), yyjson_get_len(item) };
    now.partition_by = names;
    if (!ap_commit_still_fits(commit, &now))
        *conflict = "changed the schema so that these rows do not fit any more";
    return APIARY_OK;
}

static enum apiary_code judge(const struct ap_commit *commit, const struct ap_action *action,
    struct verdict *verdict, struct apiary_error *err)
{
    const char *conflict = NULL;
    switch (action->kind) {
        case AP_ACTION_PROTOCOL:
            /* Whether we can write to what it became is checked on the state. */
            if (!ap_commit_is_blind(commit)) conflict = "changed the table's protocol";
            break;
        case AP_ACTION_METADATA:
            AP_TRY(judge_metadata(commit, &action->metadata, &conflict, err));
            break;
        case AP_ACTION_TXN:
            if (commit->txn_app_id && ap_str_is(action->txn.app_id, commit->txn_app_id))
                verdict->same_txn = true;
            break;
        case AP_ACTION_ADD: conflict = judge_add(commit, &action->file); break;
        case AP_ACTION_REMOVE: conflict = judge_remove(commit, &action->file); break;
        case AP_ACTION_COMMIT_INFO:
            AP_TRY(ap_bytes_add_str(&verdict->operation, action->info.operation, err));
            AP_TRY(ap_bytes_add_str(&verdict->engine, action->info.engine, err));
            break;
        default: break;
    }
    if (conflict && !verdict->conflict) verdict->conflict = conflict;
    return APIARY_OK;
}

static enum apiary_code read_winner(const struct ap_commit *commit, struct ap_str body,
    struct verdict *verdict, struct apiary_error *err)
{
    struct ap_action_reader reader = { 0 };
    struct ap_str line;
    enum apiary_code code = APIARY_OK;
    while (code == APIARY_OK && ap_commit_next_line(&body, &line)) {
        struct ap_action action;
        code = ap_action_parse(&reader, line, &action, err);
        if (code == APIARY_OK) code = judge(commit, &action, verdict, err);
    }
    ap_action_reader_done(&reader);
    return code;
}

static const char *or_unknown(const struct ap_bytes *text)
{
    return text->size ? ap_bytes_text(text) : "unknown";
}

enum apiary_code ap_conflict_check(
    const struct ap_commit *commit, uint64_t version, struct ap_str body, struct apiary_error *err)
{
    struct verdict verdict = { 0 };
    enum apiary_code code = read_winner(commit, body, &verdict, err);
    if (code == APIARY_OK && verdict.same_txn)
        code = ap_fail(err, APIARY_EXISTS,
            "version %" PRIu64 " has committed transaction \"%s\" already", version,
            commit->txn_app_id);
    else if (code == APIARY_OK && verdict.conflict) {
        code = ap_fail(err, APIARY_CONFLICT,
            "version %" PRIu64 " (%s by %s) %s; nothing was written", version,
            or_unknown(&verdict.operation), or_unknown(&verdict.engine), verdict.conflict);
        ap_hint(err, "run the statement again");
    } else if (code != APIARY_OK) {
        code = ap_context(err, code, "version %" PRIu64, version);
    }
    ap_bytes_done(&verdict.operation);
    ap_bytes_done(&verdict.engine);
    return code;
}
