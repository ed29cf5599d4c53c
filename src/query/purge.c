#include "query/purge.h"

#include "core/alloc.h"

enum { NOTE_BYTES_MAX = 16384 };
#define NOTES "_registry/purge/"

static enum apiary_code note_key(
    const struct ap_frame_id *id, struct ap_bytes *out, struct apiary_error *err)
{
    return ap_bytes_printf(out, err, NOTES "%s.json", id->text);
}

/* A folder of a frame inside the store: hive/box/frame at least, no folder of ours. */
static bool is_frame_folder(const char *location)
{
    struct apiary_error ignored;
    size_t slashes = 0;
    for (const char *at = location; *at != '\0'; at++) slashes += *at == '/';
    return slashes >= 2 && location[0] != '_' &&
           ap_store_key_check(location, &ignored) == APIARY_OK;
}

static enum apiary_code add_row(struct ap_rows *rows, const char *what, size_t objects,
    int64_t bytes, struct apiary_error *err)
{
    AP_TRY(ap_rows_text(rows, ap_str_from(what), err));
    AP_TRY(ap_rows_int(rows, (int64_t)objects, err));
    return ap_rows_int(rows, bytes, err);
}

/* All objects of the folder, and a row about them. */
static enum apiary_code delete_folder(struct ap_session *session, const char *location,
    const char *what, bool dry_run, struct ap_rows *rows, struct apiary_error *err)
{
    enum { BATCH = 1000 };
    struct ap_store *store = session->world->store;
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    AP_TRY(ap_bytes_printf(&prefix, err, "%s/", location));
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix) };
    AP_TRY(ap_store_list(store, &request, &list, err));
    int64_t bytes = 0;
    for (size_t i = 0; i < list.count; i += BATCH) {
        const char *keys[BATCH];
        size_t count = 0;
        for (; count < BATCH && i + count < list.count; count++) {
            keys[count] = list.objects[i + count].key;
            bytes += (int64_t)list.objects[i + count].size;
        }
        if (!dry_run) AP_TRY(ap_store_delete_many(store, keys, count, err));
    }
    return add_row(rows, what, list.count, bytes, err);
}

/* Is it in the folder, by its own right or because somebody named the place? */
static enum apiary_code lies_there(const struct ap_store *store, const struct ap_entry *entry,
    const char *location, bool *found, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) whole = { 0 };
    if (entry->kind != AP_ENTRY_FRAME) return APIARY_OK;
    if (!entry->external) {
        *found |= strcmp(entry->location, location) == 0;
        return APIARY_OK;
    }
    AP_TRY(ap_bytes_printf(&whole, err, "%s/%s", store->uri, location));
    char next = '\0';
    if (ap_str_starts_with(ap_str_from(entry->location), ap_bytes_view(&whole)))
        next = entry->location[whole.size] == '\0' ? '/' : entry->location[whole.size];
    *found |= next == '/';
    return APIARY_OK;
}

static enum apiary_code look_in_hive(struct ap_session *session, const char *hive,
    const char *location, bool *used, struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    AP_AUTO(ap_texts) boxes = { 0 };
    AP_TRY(ap_catalog_refresh(catalog, hive, err));
    AP_TRY(ap_catalog_boxes(catalog, hive, &boxes, err));
    for (size_t i = 0; i < boxes.count; i++) {
        AP_AUTO(ap_entries) entries = { 0 };
        AP_TRY(ap_catalog_entries(catalog, hive, boxes.items[i], true, &entries, err));
        for (size_t j = 0; j < entries.count; j++)
            AP_TRY(lies_there(session->world->store, &entries.items[j], location, used, err));
    }
    return APIARY_OK;
}

/* Is the folder that of a frame which is registered, dropped or not, under another id? */
static enum apiary_code is_used(struct ap_session *session, const char *location, bool *used,
    struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    AP_AUTO(ap_texts) hives = { 0 };
    *used = false;
    AP_TRY(ap_catalog_refresh(catalog, NULL, err));
    AP_TRY(ap_catalog_hives(catalog, &hives, err));
    for (size_t i = 0; i < hives.count; i++)
        AP_TRY(look_in_hive(session, hives.items[i], location, used, err));
    return APIARY_OK;
}

/* From the note on: forget, delete, take the note away. */
static enum apiary_code finish(struct ap_session *session, const char *hive,
    const struct ap_frame_id *id, const char *location, bool external, const char *what,
    struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    AP_AUTO(ap_bytes) key = { 0 };
    bool used = false;
    AP_TRY(note_key(id, &key, err));
    enum apiary_code code = ap_catalog_forget(world->catalog, hive, id, err);
    if (code == APIARY_EXISTS) /* it was brought back */
        return ap_store_delete(world->store, ap_bytes_text(&key), err);
    if (code != APIARY_OK) return code;
    AP_TRY(is_used(session, location, &used, err));
    if (!external && !used && is_frame_folder(location))
        AP_TRY(delete_folder(session, location, what, false, rows, err));
    else
        AP_TRY(add_row(rows, what, 0, 0, err));
    return ap_store_delete(world->store, ap_bytes_text(&key), err);
}

static enum apiary_code purge(struct ap_session *session, const struct ap_entry *entry,
    const char *what, struct ap_rows *rows, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) key = { 0 };
    AP_AUTO(ap_bytes) note = { 0 };
    AP_TRY(note_key(&entry->id, &key, err));
    AP_TRY(ap_bytes_add_text(&note, "{\"format\":1,\"hive\":", err));
    AP_TRY(ap_json_quote(&note, ap_str_from(entry->name.hive), err));
    AP_TRY(ap_bytes_add_text(&note, ",\"name\":", err));
    AP_TRY(ap_json_quote(&note, ap_str_from(what), err));
    AP_TRY(ap_bytes_add_text(&note, ",\"location\":", err));
    AP_TRY(ap_json_quote(&note, ap_str_from(entry->location), err));
    AP_TRY(ap_bytes_printf(&note, err, ",\"external\":%s}\n", entry->external ? "true" : "false"));
    AP_TRY(ap_store_put(
        session->world->store, ap_bytes_text(&key), ap_bytes_view(&note), err));
    return finish(session, entry->name.hive, &entry->id, entry->location, entry->external, what,
        rows, err);
}

/* A purge of this hive that was cut short. */
static enum apiary_code resume(struct ap_session *session, const char *hive, const char *key,
    struct ap_rows *rows, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO_JSON *doc = NULL;
    struct ap_str home = { 0 }, name = { 0 }, location = { 0 };
    struct ap_frame_id id = { 0 };
    bool external = false;
    struct ap_range range = { 0, NOTE_BYTES_MAX, false };
    AP_TRY(ap_store_get(session->world->store, key, range, &body, NULL, err));
    AP_TRY(ap_json_parse(ap_bytes_view(&body), key, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    struct ap_str text = { key + strlen(NOTES), AP_ID_TEXT_SIZE - 1 };
    if (strlen(key) != strlen(NOTES) + AP_ID_TEXT_SIZE - 1 + 5 || !ap_id_valid(text) ||
        !ap_json_str(root, "hive", &home) || !ap_json_str(root, "name", &name) ||
        !ap_json_str(root, "location", &location) || !ap_json_bool(root, "external", &external))
        return ap_fail(err, APIARY_CORRUPT, "%s is no note of a dropped frame", key);
    if (!ap_str_equal_nocase(home, ap_str_from(hive))) return APIARY_OK;
    memcpy(id.text, text.data, text.size);
    AP_AUTO_FREE char *place = ap_str_dup(location);
    AP_AUTO_FREE char *what = ap_str_dup(name);
    if (place == NULL || what == NULL) return ap_fail_memory(err, "a dropped frame");
    return finish(session, hive, &id, place, external, what, rows, err);
}

enum apiary_code ap_purge_hive(struct ap_session *session, const char *hive, int64_t age_us,
    bool dry_run, struct ap_rows *rows, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    AP_AUTO(ap_list) notes = { 0 };
    AP_AUTO(ap_entries) entries = { 0 };
    char what[3 * AP_NAME_MAX + 32];
    struct ap_list_request request = { .prefix = NOTES };
    AP_TRY(ap_store_list(world->store, &request, &notes, err));
    for (size_t i = 0; !dry_run && i < notes.count; i++)
        AP_TRY(resume(session, hive, notes.objects[i].key, rows, err));
    AP_TRY(ap_catalog_dropped_for(world->catalog, hive, age_us, &entries, err));
    for (size_t i = 0; i < entries.count; i++) {
        const struct ap_entry *entry = &entries.items[i];
        snprintf(what, sizeof what, "%s.%s.%s (dropped)", entry->name.hive, entry->name.box,
            entry->name.frame);
        if (!dry_run)
            AP_TRY(purge(session, entry, what, rows, err));
        else if (!entry->external && is_frame_folder(entry->location))
            AP_TRY(delete_folder(session, entry->location, what, true, rows, err));
    }
    return APIARY_OK;
}
