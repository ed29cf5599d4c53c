#include "query/temporary.h"

#include "core/alloc.h"

#include <stdio.h>
#include <strings.h>

enum { TEMPORARY_MAX = 1000 };

bool ap_name_temporary(const struct ap_name3 *name)
{
    return strcasecmp(name->hive, "temp") == 0;
}

static size_t find(const struct ap_session *session, const char *frame)
{
    for (size_t i = 0; i < session->temporary.count; i++)
        if (strcasecmp(session->temporary.items[i].name.frame, frame) == 0) return i;
    return SIZE_MAX;
}

bool ap_temporary_has(const struct ap_session *session, const char *frame)
{
    return find(session, frame) != SIZE_MAX;
}

static enum apiary_code find_named(const struct ap_session *session, const struct ap_name3 *name,
    size_t *at, struct apiary_error *err)
{
    *at = strcasecmp(name->box, "main") == 0 ? find(session, name->frame) : SIZE_MAX;
    if (*at != SIZE_MAX) return APIARY_OK;
    ap_fail(err, APIARY_NOT_FOUND, "no temporary frame %s", name->frame);
    return ap_hint(err, "temporary frames belong to the session that made them");
}

static enum apiary_code copy_entry(
    const struct ap_entry *entry, struct ap_entry *out, struct apiary_error *err)
{
    char *location = ap_strdup(entry->location);
    if (location == NULL) return ap_fail_memory(err, "a temporary frame");
    *out = *entry;
    out->location = location;
    return APIARY_OK;
}

enum apiary_code ap_session_find(struct ap_session *session, const struct ap_name3 *name,
    struct ap_entry *out, struct apiary_error *err)
{
    return ap_session_find_since(session, name, ap_mono_us(session->world->env), out, err);
}

enum apiary_code ap_session_find_since(struct ap_session *session, const struct ap_name3 *name,
    int64_t since_us, struct ap_entry *out, struct apiary_error *err)
{
    size_t at = 0;
    if (!ap_name_temporary(name)) {
        AP_TRY(ap_catalog_refresh_since(session->world->catalog, name->hive, since_us, err));
        return ap_catalog_find(session->world->catalog, name, out, err);
    }
    AP_TRY(find_named(session, name, &at, err));
    return copy_entry(&session->temporary.items[at], out, err);
}

enum apiary_code ap_temporary_new(struct ap_session *session, const struct ap_name3 *name,
    struct ap_entry *out, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    AP_AUTO(ap_bytes) place = { 0 };
    AP_AUTO(ap_entry) entry = { .kind = AP_ENTRY_FRAME, .external = true };
    AP_TRY(ap_name_check(AP_NAME_FRAME, ap_str_from(name->frame), err));
    if (ap_session_replayed(session, AP_OBJECT_VIEW, ap_str_from(name->frame)) != NULL)
        return ap_fail(err, APIARY_EXISTS, "temporary view %s exists already", name->frame);
    if (session->scratch == NULL) {
        struct ap_pool *pool = NULL;
        AP_TRY(ap_world_pool(world, &pool, err));
        AP_TRY(ap_pool_scratch(pool, &session->scratch, err));
    }
    snprintf(entry.name.hive, sizeof entry.name.hive, "temp");
    snprintf(entry.name.box, sizeof entry.name.box, "main");
    memcpy(entry.name.frame, name->frame, sizeof entry.name.frame);
    ap_id_random(world->env, entry.id.text);
    entry.created_us = ap_now_us(world->env);
    AP_TRY(ap_bytes_printf(
        &place, err, "%s/%s", ap_scratch_path(session->scratch), entry.id.text));
    AP_TRY(ap_bytes_take_text(&place, &entry.location, err));
    *out = AP_TAKE(entry);
    return APIARY_OK;
}

enum apiary_code ap_temporary_add(
    struct ap_session *session, const struct ap_entry *entry, struct apiary_error *err)
{
    struct ap_entries *list = &session->temporary;
    struct ap_entry copy = { 0 };
    if (find(session, entry->name.frame) != SIZE_MAX)
        return ap_fail(err, APIARY_EXISTS, "temporary frame %s exists already", entry->name.frame);
    if (list->count >= TEMPORARY_MAX)
        return ap_fail(
            err, APIARY_LIMIT, "a session keeps at most %d temporary frames", TEMPORARY_MAX);
    AP_TRY(AP_GROW(list->items, list->capacity, list->count + 1, err));
    AP_TRY(copy_entry(entry, &copy, err));
    list->items[list->count++] = copy;
    return APIARY_OK;
}

enum apiary_code ap_temporary_drop(
    struct ap_session *session, const struct ap_name3 *name, struct apiary_error *err)
{
    struct ap_entries *list = &session->temporary;
    size_t at = 0;
    AP_TRY(find_named(session, name, &at, err));
    ap_frames_forget(session->world->frames, list->items[at].location);
    ap_scratch_remove(list->items[at].location);
    ap_entry_done(&list->items[at]);
    memmove(&list->items[at], &list->items[at + 1], (list->count - at - 1) * sizeof *list->items);
    list->count--;
    return APIARY_OK;
}

enum apiary_code ap_temporary_rename(struct ap_session *session, const struct ap_name3 *from,
    const struct ap_name3 *to, struct apiary_error *err)
{
    size_t at = 0, taken = find(session, to->frame);
    AP_TRY(find_named(session, from, &at, err));
    AP_TRY(ap_name_check(AP_NAME_FRAME, ap_str_from(to->frame), err));
    if (!ap_name_temporary(to) || strcasecmp(to->box, "main") != 0) {
        ap_fail(err, APIARY_UNSUPPORTED, "a temporary frame stays one: it lies in no box");
        return ap_hint(err, "CREATE FRAME %s AS FROM %s", to->frame, from->frame);
    }
    if (taken != SIZE_MAX && taken != at)
        return ap_fail(err, APIARY_EXISTS, "temporary frame %s exists already", to->frame);
    memcpy(session->temporary.items[at].name.frame, to->frame, sizeof to->frame);
    return APIARY_OK;
}

void ap_temporary_done(struct ap_session *session)
{
    for (size_t i = 0; i < session->temporary.count; i++)
        ap_frames_forget(session->world->frames, session->temporary.items[i].location);
    ap_entries_done(&session->temporary);
    ap_scratch_close(session->scratch);
    session->scratch = NULL;
}
