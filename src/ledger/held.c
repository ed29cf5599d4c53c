#include "ledger/held.h"

#include "ledger/action.h"

void ap_held_done(struct ap_held *held)
{
    ap_map_done(&held->keys);
    ap_map_done(&held->names);
    memset(held, 0, sizeof *held);
}

static struct ap_str last_part(struct ap_str path)
{
    size_t at = path.size;
    while (at > 0 && path.data[at - 1] != '/') at--;
    return (struct ap_str) { path.data + at, path.size - at };
}

bool ap_held_has(const struct ap_held *held, struct ap_str key)
{
    return ap_map_has(&held->keys, key) || ap_map_has(&held->names, last_part(key));
}

static enum apiary_code add_path(struct ap_held *held, const struct ap_ledger *ledger,
    struct ap_str path, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) relative = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    bool absolute = false;
    struct ap_cell cell = { .path = path };
    AP_TRY(ap_cell_key(&cell, &relative, &absolute, err));
    if (absolute)
        return ap_map_put(&held->names, last_part(ap_bytes_view(&relative)), 1, err);
    if (*ledger->prefix != '\0') AP_TRY(ap_bytes_printf(&key, err, "%s/", ledger->prefix));
    AP_TRY(ap_bytes_add_str(&key, ap_bytes_view(&relative), err));
    return ap_map_put(&held->keys, ap_bytes_view(&key), 1, err);
}

static enum apiary_code add_vector(struct ap_held *held, const struct ap_ledger *ledger,
    const struct ap_deletion_vector *vector, struct apiary_error *err)
{
    if (vector == NULL || vector->storage.size == 0 || vector->storage.data[0] == 'i')
        return APIARY_OK;
    if (vector->storage.data[0] == 'p')
        return ap_map_put(&held->names, last_part(vector->path_or_inline), 1, err);
    AP_AUTO(ap_bytes) key = { 0 };
    AP_TRY(ap_deletion_vector_key(ledger, vector->path_or_inline, &key, err));
    return ap_map_put(&held->keys, ap_bytes_view(&key), 1, err);
}

enum apiary_code ap_held_add_snapshot(struct ap_held *held, const struct ap_ledger *ledger,
    const struct ap_snapshot *snapshot, struct apiary_error *err)
{
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        AP_TRY(add_path(held, ledger, snapshot->cells[i].path, err));
        AP_TRY(add_vector(held, ledger, &snapshot->cells[i].deletion_vector, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_held_add_tombstones(struct ap_held *held, const struct ap_ledger *ledger,
    const struct ap_snapshot *snapshot, struct apiary_error *err)
{
    for (size_t i = 0; i < snapshot->tombstone_count; i++) {
        AP_TRY(add_path(held, ledger, snapshot->tombstones[i].path, err));
        AP_TRY(add_vector(held, ledger, snapshot->tombstones[i].deletion_vector, err));
    }
    return APIARY_OK;
}

/* ---- commits ---- */

struct visit {
    struct ap_held *held;
    struct ap_ledger *ledger;
};

static enum apiary_code hold_commit(void *context, uint64_t version, struct ap_str body,
    const char *key, const struct ap_object *object, struct apiary_error *err)
{
    struct visit *visit = context;
    struct ap_action_reader reader = { 0 };
    struct ap_str line;
    enum apiary_code code = APIARY_OK;
    while (code == APIARY_OK && ap_commit_next_line(&body, &line)) {
        struct ap_action action;
        code = ap_action_parse(&reader, line, &action, err);
        bool file = action.kind == AP_ACTION_ADD || action.kind == AP_ACTION_REMOVE ||
                    action.kind == AP_ACTION_CDC;
        if (code != APIARY_OK || !file) continue;
        code = add_path(visit->held, visit->ledger, action.file.path, err);
        if (code == APIARY_OK)
            code = add_vector(visit->held, visit->ledger, &action.file.deletion_vector, err);
    }
    ap_action_reader_done(&reader);
    return code == APIARY_OK ? APIARY_OK : ap_context(err, code, "%s", key);
}

enum apiary_code ap_held_add_commits(struct ap_held *held, struct ap_ledger *ledger,
    uint64_t after, uint64_t to, struct apiary_error *err)
{
    enum { BATCH = 256 };
    struct visit visit = { held, ledger };
    uint64_t next = after == AP_VERSION_NONE ? 0 : after + 1;
    while (next <= to) {
        struct ap_log_commit commits[BATCH];
        size_t count = 0;
        while (count < BATCH && next <= to)
            commits[count++] = (struct ap_log_commit) { .version = next++ };
        AP_TRY(ap_log_get_commits(
            &ledger->place, commits, count, (struct ap_log_visit) { hold_commit, &visit }, err));
    }
    return APIARY_OK;
}
