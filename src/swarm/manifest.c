#include "swarm/manifest.h"

#include "core/json.h"
#include "swarm/envelope.h"

#include <inttypes.h>

enum { NEED_BYTES_MAX = 64 };
static const char kind[] = "manifest";

void ap_manifest_done(struct ap_manifest *manifest)
{
    ap_arena_done(&manifest->arena);
    memset(manifest, 0, sizeof *manifest);
}

/* ---- writing ---- */

static enum apiary_code write_task(const struct ap_manifest_task *task, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "{\"node\":\"%s\",\"memory_mb\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"body\":", task->node.text,
        task->memory_mb, task->bytes));
    AP_TRY(ap_json_quote(out, task->body, err));
    return ap_bytes_add_text(out, "}", err);
}

static enum apiary_code write_body(const struct ap_manifest *manifest, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err,
        "{\"query\":\"%s\",\"writes\":%s,\"fleeting\":%s,\"submitter\":\"%s\",\"created_us\":%" PRId64 ",\"deadline_us\":%" PRId64
        ",\"task_timeout_us\":%" PRId64 ",\"tries\":%d,\"needs\":[",
        manifest->id.text, manifest->writes ? "true" : "false", manifest->fleeting ? "true" : "false", manifest->submitter.text, manifest->created_us,
        manifest->deadline_us, manifest->task_timeout_us, manifest->tries));
    for (size_t i = 0; i < manifest->need_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ",", err));
        AP_TRY(ap_json_quote(out, manifest->needs[i], err));
    }
    AP_TRY(ap_bytes_add_text(out, "],\"plan\":", err));
    AP_TRY(ap_json_quote(out, manifest->plan, err));
    AP_TRY(ap_bytes_add_text(out, ",\"tasks\":[", err));
    for (size_t i = 0; i < manifest->task_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ",", err));
        AP_TRY(write_task(&manifest->tasks[i], out, err));
    }
    return ap_bytes_add_text(out, "]}", err);
}

enum apiary_code ap_manifest_write(const struct ap_manifest *manifest, struct ap_str secret, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    if (manifest->task_count == 0 || manifest->task_count > AP_QUERY_TASKS_MAX)
        return ap_fail(err, APIARY_LIMIT, "a query of %zu tasks cannot be shared out (1 to %d)", manifest->task_count, AP_QUERY_TASKS_MAX);
    AP_TRY(write_body(manifest, &body, err));
    if (body.size > AP_MANIFEST_BYTES_MAX)
        return ap_fail(err, APIARY_LIMIT, "the plan of the query takes %zu bytes, and a manifest holds %d", body.size, AP_MANIFEST_BYTES_MAX);
    return ap_envelope_write(secret, kind, ap_query_key(manifest->id.text, "1manifest").text, ap_bytes_view(&body), out, err);
}

/* ---- reading ---- */

static enum apiary_code wrong(const char *id, const char *what, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "manifest of query %s: %s", id, what);
}

static bool node_id(yyjson_val *object, const char *name, struct ap_node_id *out)
{
    struct ap_str text;
    if (!ap_json_str(object, name, &text) || (text.size > 0 && !ap_id_valid(text))) return false;
    memcpy(out->text, text.data, text.size);
    out->text[text.size] = '\0';
    return true;
}

static bool number(yyjson_val *object, const char *name, int64_t least, int64_t most, int64_t *out)
{
    return ap_json_i64(object, name, out) && *out >= least && *out <= most;
}

static bool copied(struct ap_arena *arena, yyjson_val *object, const char *name, struct ap_str *out)
{
    struct ap_str text;
    bool good = true;
    if (!ap_json_str(object, name, &text)) return false;
    *out = ap_arena_str(arena, text, &good);
    return good;
}

static enum apiary_code read_tasks(const char *id, yyjson_val *list, struct ap_manifest *out, struct apiary_error *err)
{
    size_t i, count = yyjson_arr_size(list);
    yyjson_val *item;
    if (!yyjson_is_arr(list) || count == 0 || count > AP_QUERY_TASKS_MAX) return wrong(id, "its number of tasks is out of bounds", err);
    out->tasks = ap_arena_alloc(&out->arena, count * sizeof *out->tasks);
    if (out->tasks == NULL) return ap_fail(err, APIARY_MEMORY, "out of memory for a manifest");
    yyjson_arr_foreach(list, i, count, item)
    {
        struct ap_manifest_task *task = &out->tasks[i];
        int64_t memory = 0, bytes = 0;
        if (!node_id(item, "node", &task->node) || !number(item, "memory_mb", 0, INT64_MAX, &memory)
            || !number(item, "bytes", 0, INT64_MAX, &bytes) || !copied(&out->arena, item, "body", &task->body))
            return wrong(id, "a task is incomplete", err);
        task->memory_mb = (uint64_t)memory;
        task->bytes = (uint64_t)bytes;
    }
    out->task_count = count;
    return APIARY_OK;
}

static enum apiary_code read_needs(const char *id, yyjson_val *list, struct ap_manifest *out, struct apiary_error *err)
{
    size_t i, count = yyjson_arr_size(list);
    yyjson_val *item;
    if (!yyjson_is_arr(list) || count > AP_MANIFEST_NEEDS_MAX) return wrong(id, "it needs too much", err);
    yyjson_arr_foreach(list, i, count, item)
    {
        bool good = true;
        if (!yyjson_is_str(item) || yyjson_get_len(item) > NEED_BYTES_MAX) return wrong(id, "what it needs is not words", err);
        out->needs[i] = ap_arena_str(&out->arena, (struct ap_str) { yyjson_get_str(item), yyjson_get_len(item) }, &good);
        if (!good) return ap_fail(err, APIARY_MEMORY, "out of memory for a manifest");
    }
    out->need_count = count;
    return APIARY_OK;
}

static enum apiary_code read_body(const char *id, yyjson_val *root, struct ap_manifest *out, struct apiary_error *err)
{
    struct ap_str text;
    int64_t tries = 0;
    if (!ap_json_str(root, "query", &text) || !ap_str_is(text, id)) return wrong(id, "it is of another query", err);
    memcpy(out->id.text, text.data, text.size);
    if (!ap_json_bool(root, "writes", &out->writes)) return wrong(id, "it does not say whether it writes", err);
    if (!ap_json_bool(root, "fleeting", &out->fleeting) || out->writes) out->fleeting = false; /* earlier versions say nothing of it */
    if (!node_id(root, "submitter", &out->submitter)) return wrong(id, "its submitter is no node", err);
    if (!number(root, "created_us", 0, INT64_MAX - AP_MANIFEST_LIFE_US, &out->created_us)
        || !number(root, "deadline_us", out->created_us, out->created_us + AP_MANIFEST_LIFE_US, &out->deadline_us)
        || !number(root, "task_timeout_us", 1, AP_MANIFEST_LIFE_US, &out->task_timeout_us))
        return wrong(id, "its times are out of bounds", err);
    if (!number(root, "tries", 1, AP_MANIFEST_TRIES_MAX, &tries)) return wrong(id, "its number of tries is out of bounds", err);
    out->tries = (int)tries;
    if (!copied(&out->arena, root, "plan", &out->plan)) return wrong(id, "it has no plan", err);
    AP_TRY(read_needs(id, ap_json_member(root, "needs"), out, err));
    return read_tasks(id, ap_json_member(root, "tasks"), out, err);
}

static enum apiary_code read_text(const char *id, const char *key, struct ap_str body, struct ap_manifest *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_TRY(ap_json_parse(body, key, &doc, err));
    AP_TRY(read_body(id, yyjson_doc_get_root(doc), &manifest, err));
    *out = AP_TAKE(manifest);
    return APIARY_OK;
}

enum apiary_code ap_manifest_read(const char *id, struct ap_str secret, struct ap_str text, struct ap_manifest *out, struct apiary_error *err)
{
    struct ap_query_key key = ap_query_key(id, "1manifest");
    struct ap_str body;
    AP_TRY(ap_envelope_read(secret, kind, key.text, text, &body, err));
    return read_text(id, key.text, body, out, err);
}

enum apiary_code ap_manifest_get(struct ap_store *store, struct ap_str secret, const char *id, struct ap_manifest *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_query_key key = ap_query_key(id, "1manifest");
    struct ap_str body;
    AP_TRY(ap_envelope_get(store, secret, kind, key.text, AP_MANIFEST_BYTES_MAX, &text, &body, err));
    return read_text(id, key.text, body, out, err);
}
