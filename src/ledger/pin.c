/* Pins, and what stands in the plans of vacuums (vacuum.h). */
#include "ledger/vacuum_private.h"

#include "core/alloc.h"
#include "core/id.h"
#include "core/name.h"
#include "storage/slot.h"

#include <inttypes.h>

enum { PIN_BYTES_MAX = 4096, PLANS_MAX = 10000 };
#define SETTLE_US (INT64_C(120) * 1000 * 1000)

void ap_pins_done(struct ap_pins *pins)
{
    for (size_t i = 0; i < pins->count; i++) ap_free(pins->items[i].name);
    ap_free(pins->items);
    memset(pins, 0, sizeof *pins);
}

enum apiary_code ap_care_key(const struct ap_ledger *ledger, const char *folder, const char *name,
    struct ap_bytes *out, struct apiary_error *err)
{
    return ap_bytes_printf(out, err, "%s%s%s/%s", ledger->prefix,
        *ledger->prefix != '\0' ? "/" : "", folder, name);
}

enum apiary_code ap_care_settle(struct ap_ledger *ledger, const char *key, struct ap_str body,
    enum ap_slot_outcome *outcome, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) theirs = { 0 };
    struct ap_slot_options options = { .deadline_mono_us = ap_mono_us(ledger->env) + SETTLE_US,
        .body_max = AP_VACUUM_PLAN_BYTES_MAX };
    return ap_slot_settle(ledger->store, key, body, &options, outcome, &theirs, err);
}

static enum apiary_code context(
    const struct ap_ledger *ledger, enum apiary_code code, struct apiary_error *err)
{
    return code == APIARY_OK || *ledger->name == '\0'
               ? code
               : ap_context(err, code, "frame %s", ledger->name);
}

/* ---- pins ---- */

static enum apiary_code read_pin(struct ap_ledger *ledger, const struct ap_object *object,
    struct ap_str name, struct ap_pins *pins, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO_JSON *doc = NULL;
    int64_t format = 0, version = -1;
    enum apiary_code code =
        ap_store_get(ledger->store, object->key, (struct ap_range) { 0, PIN_BYTES_MAX, false },
            &body, NULL, err);
    if (code == APIARY_NOT_FOUND) return APIARY_OK; /* unpinned meanwhile */
    if (code != APIARY_OK) return code;
    code = ap_json_parse(ap_bytes_view(&body), object->key, &doc, err);
    if (code != APIARY_OK) return code;
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!ap_json_i64(root, "format", &format) || format != 1 ||
        !ap_json_i64(root, "version", &version) || version < 0)
        return ap_fail(err, APIARY_CORRUPT, "%s is no pin of format 1", object->key);
    AP_TRY(AP_GROW(pins->items, pins->capacity, pins->count + 1, err));
    struct ap_pin pin = { ap_str_dup(name), (uint64_t)version, object->modified_us };
    if (pin.name == NULL) return ap_fail_memory(err, "pins");
    pins->items[pins->count++] = pin;
    return APIARY_OK;
}

enum apiary_code ap_ledger_pins(
    struct ap_ledger *ledger, struct ap_pins *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    AP_AUTO(ap_pins) pins = { 0 };
    AP_TRY(ap_care_key(ledger, AP_PINS_FOLDER, "", &prefix, err));
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    AP_TRY(ap_store_list(ledger->store, &request, &list, err));
    for (size_t i = 0; i < list.count; i++) {
        struct ap_str name = ap_str_from(list.objects[i].key + prefix.size);
        if (!ap_str_ends_with(name, AP_STR(".json"))) continue;
        name.size -= 5;
        bool expired = ap_str_starts_with(name, AP_STR(AP_PIN_OF_RESTORE)) &&
                       list.now_us - list.objects[i].modified_us > AP_VACUUM_FORGET_US;
        if (!expired) AP_TRY(read_pin(ledger, &list.objects[i], name, &pins, err));
    }
    *out = AP_TAKE(pins);
    return APIARY_OK;
}

enum apiary_code ap_ledger_unpin(
    struct ap_ledger *ledger, const char *name, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) file = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(ap_name_check(AP_NAME_FRAME, ap_str_from(name), err));
    AP_TRY(ap_bytes_printf(&file, err, "%s.json", name));
    AP_TRY(ap_care_key(ledger, AP_PINS_FOLDER, ap_bytes_text(&file), &key, err));
    enum apiary_code code =
        ap_store_get(ledger->store, ap_bytes_text(&key), AP_RANGE_ALL, &body, NULL, err);
    if (code == APIARY_NOT_FOUND)
        return ap_fail(err, code, "frame %s has no pin '%s'", ledger->name, name);
    if (code != APIARY_OK) return code;
    return ap_store_delete(ledger->store, ap_bytes_text(&key), err);
}

/* ---- plans ---- */

static enum apiary_code hold_plan(struct ap_ledger *ledger, const char *key, struct ap_map *planned,
    struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO_JSON *doc = NULL;
    enum apiary_code code = ap_store_get(ledger->store, key,
        (struct ap_range) { 0, AP_VACUUM_PLAN_BYTES_MAX, false }, &body, NULL, err);
    if (code == APIARY_NOT_FOUND) return APIARY_OK;
    if (code != APIARY_OK) return code;
    AP_TRY(ap_json_parse(ap_bytes_view(&body), key, &doc, err));
    yyjson_val *item = NULL, *keys = ap_json_member(yyjson_doc_get_root(doc), "keys");
    size_t index = 0, count = 0;
    yyjson_arr_foreach(keys, index, count, item)
    {
        if (!yyjson_is_str(item)) continue;
        AP_TRY(ap_map_put(planned,
            (struct ap_str) { yyjson_get_str(item), yyjson_get_len(item) }, 1, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_vacuum_plans(
    struct ap_ledger *ledger, struct ap_vacuum_log *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    AP_TRY(ap_care_key(ledger, AP_VACUUM_FOLDER, "", &prefix, err));
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    AP_TRY(ap_store_list(ledger->store, &request, &list, err));
    *out = (struct ap_vacuum_log) { .now_us = list.now_us };
    for (size_t i = list.count; i-- > 0;) { /* newest first; "done" sorts before "plan" */
        struct ap_str name = ap_str_from(list.objects[i].key + prefix.size);
        uint64_t number = 0;
        if (name.size != 20 + 10 || !ap_str_to_u64((struct ap_str) { name.data, 20 }, &number))
            continue;
        if (out->next <= number) out->next = number + 1;
        if (!ap_str_ends_with(name, AP_STR(".plan.json"))) continue;
        bool done = i > 0 && strncmp(list.objects[i - 1].key, list.objects[i].key,
                                 prefix.size + 20) == 0;
        bool forgotten = list.now_us - list.objects[i].modified_us > AP_VACUUM_FORGET_US;
        if (done || forgotten) continue;
        if (out->open == 0) out->newest_us = list.objects[i].modified_us;
        if (out->open == AP_VACUUM_OPEN_MAX)
            return ap_fail(err, APIARY_LIMIT, "%d vacuums of frame %s are not finished",
                AP_VACUUM_OPEN_MAX, ledger->name);
        snprintf(out->keys[out->open++], AP_KEY_MAX + 1, "%s", list.objects[i].key);
    }
    return APIARY_OK;
}

struct check {
    struct ap_map there, planned;
};

static void check_done(struct check *check)
{
    ap_map_done(&check->there);
    ap_map_done(&check->planned);
}

static enum apiary_code check_one(struct ap_ledger *ledger, const struct check *check,
    const struct ap_snapshot *snapshot, const struct ap_cell *cell, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) relative = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    bool absolute = false;
    AP_TRY(ap_cell_key(cell, &relative, &absolute, err));
    if (absolute) return APIARY_OK; /* not ours to vacuum */
    AP_TRY(ap_bytes_printf(&key, err, "%s%s%s", ledger->prefix, *ledger->prefix ? "/" : "",
        ap_bytes_text(&relative)));
    if (ap_map_has(&check->planned, ap_bytes_view(&relative))) {
        ap_fail(err, APIARY_BUSY,
            "a vacuum is about to delete %s, which version %" PRIu64 " needs; nothing was changed",
            ap_bytes_text(&key), snapshot->version);
        return ap_hint(err, "try again when it has ended");
    }
    if (!ap_map_has(&check->there, ap_bytes_view(&key)))
        return ap_fail(err, APIARY_NOT_FOUND,
            "version %" PRIu64 " was vacuumed: its cell %s is gone; nothing was changed",
            snapshot->version, ap_bytes_text(&key));
    if (cell->deletion_vector.storage.size == 0 || cell->deletion_vector.storage.data[0] != 'u')
        return APIARY_OK;
    ap_bytes_clear(&key);
    AP_TRY(ap_deletion_vector_key(ledger, cell->deletion_vector.path_or_inline, &key, err));
    struct ap_str name = ap_bytes_view(&key);
    if (*ledger->prefix)
        name = (struct ap_str) { name.data + strlen(ledger->prefix) + 1,
            name.size - strlen(ledger->prefix) - 1 };
    if (ap_map_has(&check->planned, name))
        return ap_fail(err, APIARY_BUSY,
            "a vacuum is about to delete %s, which version %" PRIu64 " needs; nothing was changed",
            ap_bytes_text(&key), snapshot->version);
    if (!ap_map_has(&check->there, ap_bytes_view(&key)))
        return ap_fail(err, APIARY_NOT_FOUND,
            "version %" PRIu64 " was vacuumed: %s is gone; nothing was changed", snapshot->version,
            ap_bytes_text(&key));
    return APIARY_OK;
}

static enum apiary_code check_cells(struct ap_ledger *ledger, const struct ap_snapshot *snapshot,
    struct check *check, struct apiary_error *err)
{
    struct ap_vacuum_log *plans = ap_calloc(1, sizeof *plans);
    if (plans == NULL) return ap_fail_memory(err, "the plans of vacuums");
    enum apiary_code code = ap_vacuum_plans(ledger, plans, err);
    for (size_t i = 0; code == APIARY_OK && i < plans->open; i++)
        code = hold_plan(ledger, plans->keys[i], &check->planned, err);
    ap_free(plans);
    if (code != APIARY_OK) return code;
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    if (*ledger->prefix) AP_TRY(ap_bytes_printf(&prefix, err, "%s/", ledger->prefix));
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    AP_TRY(ap_store_list(ledger->store, &request, &list, err));
    for (size_t i = 0; i < list.count; i++)
        AP_TRY(ap_map_put(&check->there, ap_str_from(list.objects[i].key), 1, err));
    for (size_t i = 0; i < snapshot->cell_count; i++)
        AP_TRY(check_one(ledger, check, snapshot, &snapshot->cells[i], err));
    return APIARY_OK;
}

enum apiary_code ap_ledger_check_cells(
    struct ap_ledger *ledger, const struct ap_snapshot *snapshot, struct apiary_error *err)
{
    __attribute__((cleanup(check_done))) struct check check = { 0 };
    return context(ledger, check_cells(ledger, snapshot, &check, err), err);
}

enum apiary_code ap_ledger_pin(
    struct ap_ledger *ledger, const char *name, uint64_t version, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) file = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_snapshot *snapshot = NULL;
    char id[AP_ID_TEXT_SIZE];
    enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
    AP_TRY(ap_name_check(AP_NAME_FRAME, ap_str_from(name), err));
    AP_TRY(ap_ledger_snapshot(
        ledger, &(struct ap_at) { .kind = AP_AT_VERSION, .version = version }, &snapshot, err));
    ap_id_random(ledger->env, id);
    enum apiary_code code = ap_bytes_printf(&file, err, "%s.json", name);
    if (code == APIARY_OK)
        code = ap_care_key(ledger, AP_PINS_FOLDER, ap_bytes_text(&file), &key, err);
    if (code == APIARY_OK)
        code = ap_bytes_printf(&body, err, "{\"format\":1,\"txnId\":\"%s\",\"version\":%" PRIu64 "}\n",
            id, version);
    if (code == APIARY_OK)
        code = ap_care_settle(ledger, ap_bytes_text(&key), ap_bytes_view(&body), &outcome, err);
    if (code == APIARY_OK && outcome == AP_SLOT_THEIRS)
        code = ap_fail(err, APIARY_EXISTS, "frame %s has a pin '%s' already", ledger->name, name);
    else if (code == APIARY_OK) { /* first the pin, then the look: see invariant 4 */
        code = ap_ledger_check_cells(ledger, snapshot, err);
        struct apiary_error ignored;
        if (code != APIARY_OK && ap_store_delete(ledger->store, ap_bytes_text(&key), &ignored))
            ap_log_event(ledger->log, AP_LOG_WARNING, "ledger", "pin_left", "key=%s",
                ap_bytes_text(&key));
    }
    ap_snapshot_unref(snapshot);
    return code;
}
