#include "core/alloc.h"
#include "ledger/ledger_private.h"

void ap_history_done(struct ap_history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        struct ap_history_entry *entry = &history->entries[i];
        ap_free(entry->operation);
        ap_free(entry->parameters);
        ap_free(entry->metrics);
        ap_free(entry->engine);
        ap_free(entry->txn_id);
    }
    ap_free(history->entries);
    *history = (struct ap_history) { 0 };
}

static enum apiary_code dup_json(yyjson_val *value, char **out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    if (value) AP_TRY(ap_json_write_val(value, &text, err));
    return ap_bytes_take_text(&text, out, err);
}

static enum apiary_code fill(
    struct ap_history_entry *entry, const struct ap_commit_info *info, struct apiary_error *err)
{
    if (info->in_commit_timestamp_ms >= 0)
        entry->timestamp_ms = info->in_commit_timestamp_ms;
    else if (entry->timestamp_ms < 0)
        entry->timestamp_ms = info->timestamp_ms;
    entry->read_version = info->read_version;
    entry->blind_append = info->blind_append;
    entry->operation = ap_str_dup(info->operation);
    entry->engine = ap_str_dup(info->engine);
    entry->txn_id = ap_str_dup(info->txn_id);
    if (!entry->operation || !entry->engine || !entry->txn_id)
        return ap_fail_memory(err, "a history");
    AP_TRY(dup_json(info->parameters, &entry->parameters, err));
    return dup_json(info->metrics, &entry->metrics, err);
}

static enum apiary_code take(void *context, uint64_t version, struct ap_str body, const char *key,
    const struct ap_object *object, struct apiary_error *err)
{
    struct ap_history *history = context;
    AP_TRY(AP_GROW(history->entries, history->capacity, history->count + 1, err));
    struct ap_history_entry *entry = &history->entries[history->count++];
    *entry = (struct ap_history_entry) {
        .version = version, .timestamp_ms = object->modified_us / 1000, .read_version = -1
    };
    struct ap_action_reader reader = { 0 };
    struct ap_str line;
    enum apiary_code code = APIARY_OK;
    bool found = false;
    while (code == APIARY_OK && !found && ap_commit_next_line(&body, &line)) {
        if (ap_action_peek(line) != AP_ACTION_COMMIT_INFO) continue;
        struct ap_action action;
        code = ap_action_parse(&reader, line, &action, err);
        if (code == APIARY_OK && action.kind == AP_ACTION_COMMIT_INFO) {
            code = fill(entry, &action.info, err);
            found = true;
        }
    }
    ap_action_reader_done(&reader);
    struct ap_commit_info nothing = { .timestamp_ms = -1,
        .in_commit_timestamp_ms = -1,
        .read_version = -1,
        .operation = AP_STR(""),
        .engine = AP_STR(""),
        .txn_id = AP_STR("") };
    if (code == APIARY_OK && !found) code = fill(entry, &nothing, err);
    return code == APIARY_OK ? APIARY_OK : ap_context(err, code, "%s", key);
}

static void reverse(struct ap_history *history)
{
    for (size_t i = 0, j = history->count; i + 1 < j; i++) {
        struct ap_history_entry entry = history->entries[i];
        history->entries[i] = history->entries[--j];
        history->entries[j] = entry;
    }
}

enum apiary_code ap_ledger_history(
    struct ap_ledger *ledger, size_t limit, struct ap_history *out, struct apiary_error *err)
{
    struct ap_snapshot *newest = NULL;
    enum apiary_code code = ap_ledger_refresh(ledger, &newest, err);
    if (code != APIARY_OK)
        return *ledger->name ? ap_context(err, code, "frame %s", ledger->name) : code;
    uint64_t version = newest->version;
    ap_snapshot_unref(newest);

    struct ap_log_commit *commits = NULL;
    size_t count = 0;
    uint64_t after = limit <= version ? version - limit : AP_VERSION_NONE;
    AP_TRY(ap_log_list_commits(&ledger->place, after, &commits, &count, err));
    while (count && commits[count - 1].version > version) count--;
    size_t first = count > limit ? count - limit : 0;
    struct ap_history history = { 0 };
    struct ap_log_visit visit = { take, &history };
    code = ap_log_get_commits(&ledger->place, commits + first, count - first, visit, err);
    ap_free(commits);
    if (code != APIARY_OK) {
        ap_history_done(&history);
        return code;
    }
    reverse(&history);
    ap_history_done(out);
    *out = history;
    return APIARY_OK;
}
