/* The catalogue's writing side: creating, dropping, bringing back, renaming.
 *
 * Each change is one function that alters a copy of a state and is called again when another writer
 * came first, so it decides by that state alone. Entries and boxes live in the hive's own chain;
 * hives in the list.
 *
 * Dropping a hive touches both. Invariants
 *  (1) A hive is alive when the list has it alive and its own state is not closed.
 *  (2) Closing the hive's state is what drops it: from then on nothing can be registered in it, so
 * a registration is either seen by the drop or refused. (3) A closed hive that the list still has
 * (its dropper died) is dropped in the list by whoever finds it so and wants the name. Bringing
 * back opens the state first, then the list. (4) Readers that know a hive's state go by the name
 * that any list they know gives it, unless the state says from which list on names hold ("list"). So
 * renaming says that first, and then changes the very next list; bringing back says it too. */
#include "catalog/catalog_private.h"

#include <stdio.h>

enum { RENAMES_MAX = 64 };

/* One change: what is wanted, and what the altering functions tell. Names are as the user wrote
 * them, which messages repeat. */
struct change {
    struct ap_catalog *catalog;
    const char *hive;              /* spelled as registered; while the hive is altered */
    char hive_id[AP_ID_TEXT_SIZE]; /* told: of the hive that was altered */
    const char *box;
    const char *name; /* of the entry, box or hive that is changed */
    const char *to_box;
    const char *to;
    const struct ap_new_entry *entry;
    const char *location;
    enum ap_entry_kind kind;
    char id[AP_ID_TEXT_SIZE];
    int64_t now_us;
    bool or_there, cascade;
    bool created;
    bool closed;  /* told: the hive was dropped */
    int64_t list; /* version of the list of hives: names hold from it on */
    bool behind;  /* told: another change of the list came first */
};

static struct change change_of(struct ap_catalog *catalog)
{
    struct change change = { .catalog = catalog, .now_us = ap_now_us(catalog->env) };
    ap_id_random(catalog->env, change.id);
    if (change.now_us <= 0) change.now_us = 1; /* 0 means alive */
    return change;
}

/* ---- running a change ---- */

static enum apiary_code found_registry(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    *changed = copy->version < 0;
    return APIARY_OK;
}

static enum apiary_code drop_listed(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    const struct change *change = context;
    struct ap_thing *thing = ap_registry_by_id(copy, change->id);
    *changed = thing && !thing->dropped_us;
    if (*changed) thing->dropped_us = change->now_us;
    return APIARY_OK;
}

/* Invariant (3): finishes the drop of a hive that is closed. */
static enum apiary_code finish_drop(
    struct ap_catalog *catalog, const char *hive_id, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    snprintf(change.id, sizeof change.id, "%s", hive_id);
    return ap_chain_commit(&catalog->hives, drop_listed, &change, err);
}

static void tell_list(struct ap_catalog *catalog, const char *hive_id)
{
    struct apiary_error why = { 0 };
    if (finish_drop(catalog, hive_id, &why) != APIARY_OK)
        ap_log_event(catalog->log, AP_LOG_INFO, "catalog", "drop_hive", "id=%s code=%s", hive_id,
            ap_code_name(why.code));
}

/* The first write of a store makes its list of hives. Nothing depends on it: a store without it
 * has the same hive main. */
static void found(struct ap_catalog *catalog)
{
    struct apiary_error why = { 0 };
    AP_AUTO_REGISTRY *hives = ap_chain_head(&catalog->hives);
    if (hives->version >= 0) return;
    if (ap_chain_commit(&catalog->hives, found_registry, NULL, &why) != APIARY_OK)
        ap_log_event(
            catalog->log, AP_LOG_INFO, "catalog", "found", "code=%s", ap_code_name(why.code));
}

/* Commits a change of the hive that is named so now. */
static enum apiary_code change_hive_locked(struct ap_catalog *catalog, const char *hive,
    ap_chain_alter *alter, struct change *change, struct apiary_error *err)
{
    struct ap_chain *list = &catalog->hives, *chain = NULL;
    char name[AP_NAME_MAX + 1];
    AP_TRY(ap_chain_refresh(&list, 1, INT64_MAX, err));
    {
        AP_AUTO_REGISTRY *hives = ap_chain_head(list);
        const struct ap_thing *thing = ap_registry_find(hives, AP_THING_HIVE, "", hive);
        if (!thing) return ap_no_hive(hives, hive, err);
        snprintf(change->hive_id, sizeof change->hive_id, "%s", thing->id);
        snprintf(name, sizeof name, "%s", thing->name);
    }
    AP_TRY(ap_catalog_chain(catalog, change->hive_id, &chain, err));
    found(catalog);
    change->hive = name;
    enum apiary_code code = ap_chain_commit(chain, alter, change, err);
    change->hive = NULL;
    if (code == APIARY_NOT_FOUND && change->closed) tell_list(catalog, change->hive_id);
    return code;
}

static enum apiary_code change_hive(
    const char *hive, ap_chain_alter *alter, struct change *change, struct apiary_error *err)
{
    struct ap_catalog *catalog = change->catalog;
    ap_lock(catalog->env, catalog->writer);
    enum apiary_code code = change_hive_locked(catalog, hive, alter, change, err);
    ap_unlock(catalog->env, catalog->writer);
    return code;
}

static enum apiary_code change_list(
    ap_chain_alter *alter, struct change *change, struct apiary_error *err)
{
    struct ap_catalog *catalog = change->catalog;
    ap_lock(catalog->env, catalog->writer);
    enum apiary_code code = ap_chain_commit(&catalog->hives, alter, change, err);
    ap_unlock(catalog->env, catalog->writer);
    return code;
}

/* ---- what the altering functions share ---- */

static enum apiary_code check_open(
    const struct ap_registry *copy, struct change *change, struct apiary_error *err)
{
    change->closed = copy->closed_us != 0;
    if (!change->closed) return APIARY_OK;
    return ap_fail(err, APIARY_NOT_FOUND, "no hive %s: it was dropped", change->hive);
}

static enum apiary_code find_box(const struct ap_registry *copy, struct change *change,
    const char *name, struct ap_thing **out, struct apiary_error *err)
{
    AP_TRY(check_open(copy, change, err));
    struct ap_thing *box = ap_registry_find(copy, AP_THING_BOX, "", name);
    if (!box) return ap_no_box(copy, change->hive, name, err);
    *out = box;
    return APIARY_OK;
}

static const char *kind_text(const struct ap_thing *thing)
{
    return thing->kind == AP_THING_VIEW ? "view" : "frame";
}

static enum apiary_code exists(const struct change *change, const struct ap_thing *box,
    const struct ap_thing *thing, struct apiary_error *err)
{
    return ap_fail(err, APIARY_EXISTS, "%s %s.%s.%s exists", kind_text(thing), change->hive,
        box->name, thing->name);
}

static enum apiary_code find_entry(const struct ap_registry *copy, struct change *change,
    struct ap_thing **box, struct ap_thing **out, struct apiary_error *err)
{
    struct ap_name3 name = { "", "", "" };
    AP_TRY(find_box(copy, change, change->box, box, err));
    struct ap_thing *thing = ap_registry_find(copy, AP_THING_FRAME, (*box)->id, change->name);
    if (thing) {
        *out = thing;
        return APIARY_OK;
    }
    snprintf(name.hive, sizeof name.hive, "%s", change->hive);
    snprintf(name.frame, sizeof name.frame, "%s", change->name);
    return ap_no_entry(copy, *box, &name, err);
}

/* ---- hives ---- */

static enum apiary_code create_hive(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_HIVE, "", change->name);
    change->created = *changed = !there;
    if (there && change->or_there) return APIARY_OK;
    if (there) return ap_fail(err, APIARY_EXISTS, "hive %s exists", there->name);
    struct ap_thing thing = {
        .kind = AP_THING_HIVE, .id = change->id, .name = change->name, .created_us = change->now_us
    };
    return ap_registry_add(copy, &thing, err);
}

/* A hive of the name that is closed, though the list still has it, is in nobody's way. */
static enum apiary_code clear_closed(
    struct ap_catalog *catalog, const char *name, struct apiary_error *err)
{
    struct ap_chain *chain = NULL;
    char id[AP_ID_TEXT_SIZE];
    AP_TRY(ap_catalog_refresh(catalog, name, err));
    {
        AP_AUTO_REGISTRY *hives = ap_chain_head(&catalog->hives);
        const struct ap_thing *thing = ap_registry_find(hives, AP_THING_HIVE, "", name);
        if (!thing) return APIARY_OK;
        snprintf(id, sizeof id, "%s", thing->id);
    }
    AP_TRY(ap_catalog_chain(catalog, id, &chain, err));
    AP_AUTO_REGISTRY *state = ap_chain_head(chain);
    return state && state->closed_us ? finish_drop(catalog, id, err) : APIARY_OK;
}

enum apiary_code ap_catalog_create_hive(struct ap_catalog *catalog, const char *name, bool or_there,
    bool *created, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.name = name;
    change.or_there = or_there;
    AP_TRY(ap_registry_name_check(AP_NAME_HIVE, name, err));
    AP_TRY(clear_closed(catalog, name, err));
    AP_TRY(change_list(create_hive, &change, err));
    if (!change
             .created) { /* hive main is there before anything is written: now the store is made */
        ap_lock(catalog->env, catalog->writer);
        found(catalog);
        ap_unlock(catalog->env, catalog->writer);
    }
    if (created) *created = change.created;
    return APIARY_OK;
}

static enum apiary_code close_hive(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    size_t boxes = 0, entries = 0;
    AP_TRY(check_open(copy, change, err));
    for (size_t i = 0; i < copy->count; i++) {
        if (copy->things[i].dropped_us) continue;
        if (copy->things[i].kind == AP_THING_BOX)
            boxes++;
        else
            entries++;
    }
    if ((boxes || entries) && !change->cascade) {
        ap_fail(err, APIARY_EXISTS, "hive %s holds %zu box%s and %zu frame%s or view%s",
            change->hive, boxes, boxes == 1 ? "" : "es", entries, entries == 1 ? "" : "s",
            entries == 1 ? "" : "s");
        ap_hint(err, "DROP HIVE %s CASCADE drops them with it", change->hive);
        return APIARY_EXISTS;
    }
    copy->closed_us = change->now_us;
    *changed = true;
    return APIARY_OK;
}

enum apiary_code ap_catalog_drop_hive(
    struct ap_catalog *catalog, const char *hive, bool cascade, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.cascade = cascade;
    AP_TRY(clear_closed(catalog, hive, err));
    AP_TRY(change_hive(hive, close_hive, &change, err));
    /* Closed is dropped, whether the list can be told or not. */
    tell_list(catalog, change.hive_id);
    return APIARY_OK;
}

static enum apiary_code open_hive(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    const struct change *change = context;
    *changed = copy->closed_us != 0;
    copy->closed_us = 0;
    if (copy->list < change->list) copy->list = change->list;
    return APIARY_OK;
}

static enum apiary_code undrop_hive(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    const struct change *change = context;
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_HIVE, "", change->name);
    if (there) return ap_fail(err, APIARY_EXISTS, "hive %s exists", there->name);
    struct ap_thing *thing = ap_registry_by_id(copy, change->id);
    if (!thing) return ap_no_hive(copy, change->name, err);
    *changed = true;
    thing->dropped_us = 0;
    return APIARY_OK;
}

/* The thing of that kind and name that was dropped last, or NULL. box "" for any. */
static struct ap_thing *newest_dropped(
    const struct ap_registry *state, enum ap_thing_kind kind, const char *box, const char *name)
{
    struct ap_thing *newest = NULL;
    for (size_t i = 0; i < state->count; i++) {
        struct ap_thing *thing = &state->things[i];
        bool fits = kind == AP_THING_FRAME ? ap_thing_is_entry(thing) : thing->kind == kind;
        if (!fits || !thing->dropped_us || (*box && strcmp(thing->box, box) != 0)) continue;
        if (!ap_str_equal_nocase(ap_str_from(thing->name), ap_str_from(name))) continue;
        if (!newest || thing->dropped_us >= newest->dropped_us) newest = thing;
    }
    return newest;
}

enum apiary_code ap_catalog_undrop_hive(
    struct ap_catalog *catalog, const char *hive, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    struct ap_chain *chain = NULL;
    change.name = hive;
    AP_TRY(clear_closed(catalog, hive, err));
    {
        AP_AUTO_REGISTRY *hives = ap_chain_head(&catalog->hives);
        const struct ap_thing *there = ap_registry_find(hives, AP_THING_HIVE, "", hive);
        if (there) return ap_fail(err, APIARY_EXISTS, "hive %s exists", there->name);
        const struct ap_thing *thing = newest_dropped(hives, AP_THING_HIVE, "", hive);
        if (!thing) return ap_no_hive(hives, hive, err);
        snprintf(change.id, sizeof change.id, "%s", thing->id);
        change.list = hives->version; /* of those that have it dropped */
    }
    AP_TRY(ap_catalog_chain(catalog, change.id, &chain, err));
    ap_lock(catalog->env, catalog->writer);
    enum apiary_code code = ap_chain_commit(chain, open_hive, &change, err);
    if (code == APIARY_OK) code = ap_chain_commit(&catalog->hives, undrop_hive, &change, err);
    ap_unlock(catalog->env, catalog->writer);
    return code;
}

static enum apiary_code rename_hive(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *thing = ap_registry_find(copy, AP_THING_HIVE, "", change->name);
    if (!thing) return ap_no_hive(copy, change->name, err);
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_HIVE, "", change->to);
    if (there && there != thing) return ap_fail(err, APIARY_EXISTS, "hive %s exists", there->name);
    change->behind = copy->version + 1 != change->list;
    if (change->behind) return ap_fail(err, APIARY_CONFLICT, "the list of hives was changed");
    *changed = strcmp(thing->name, change->to) != 0;
    return ap_registry_set_name(copy, thing, change->to, err);
}

/* The hive's state says that its name holds from the next list on. */
static enum apiary_code say_list(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    AP_TRY(check_open(copy, change, err));
    *changed = copy->list < change->list;
    if (*changed) copy->list = change->list;
    return APIARY_OK;
}

static enum apiary_code rename_hive_locked(
    struct ap_catalog *catalog, struct change *change, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    for (int attempt = 0; attempt < RENAMES_MAX; attempt++) {
        AP_TRY(ap_catalog_refresh(catalog, NULL, err));
        {
            AP_AUTO_REGISTRY *hives = ap_chain_head(&catalog->hives);
            change->list = hives->version + 1;
        }
        AP_TRY(change_hive_locked(catalog, change->name, say_list, change, err));
        code = ap_chain_commit(&catalog->hives, rename_hive, change, err);
        if (code != APIARY_CONFLICT || !change->behind) return code;
    }
    return code;
}

enum apiary_code ap_catalog_rename_hive(
    struct ap_catalog *catalog, const char *from, const char *to, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.name = from;
    change.to = to;
    AP_TRY(ap_registry_name_check(AP_NAME_HIVE, to, err));
    AP_TRY(clear_closed(catalog, from, err));
    AP_TRY(clear_closed(catalog, to, err));
    ap_lock(catalog->env, catalog->writer);
    enum apiary_code code = rename_hive_locked(catalog, &change, err);
    ap_unlock(catalog->env, catalog->writer);
    return code;
}

/* ---- boxes ---- */

static enum apiary_code create_box(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    AP_TRY(check_open(copy, change, err));
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_BOX, "", change->name);
    change->created = *changed = !there;
    if (there && change->or_there) return APIARY_OK;
    if (there) return ap_fail(err, APIARY_EXISTS, "box %s.%s exists", change->hive, there->name);
    struct ap_thing thing = {
        .kind = AP_THING_BOX, .id = change->id, .name = change->name, .created_us = change->now_us
    };
    return ap_registry_add(copy, &thing, err);
}

enum apiary_code ap_catalog_create_box(struct ap_catalog *catalog, const char *hive,
    const char *name, bool or_there, bool *created, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.name = name;
    change.or_there = or_there;
    AP_TRY(ap_registry_name_check(AP_NAME_BOX, name, err));
    AP_TRY(change_hive(hive, create_box, &change, err));
    if (created) *created = change.created;
    return APIARY_OK;
}

static enum apiary_code drop_box(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *box = NULL;
    size_t entries = 0;
    AP_TRY(find_box(copy, change, change->name, &box, err));
    for (size_t i = 0; i < copy->count; i++) {
        struct ap_thing *thing = &copy->things[i];
        if (!ap_thing_is_entry(thing) || thing->dropped_us || strcmp(thing->box, box->id) != 0)
            continue;
        entries++;
        thing->dropped_us = change->now_us;
    }
    if (entries && !change->cascade) {
        ap_fail(err, APIARY_EXISTS, "box %s.%s holds %zu frame%s or view%s", change->hive,
            box->name, entries, entries == 1 ? "" : "s", entries == 1 ? "" : "s");
        ap_hint(err, "DROP BOX %s.%s CASCADE drops them with it", change->hive, box->name);
        return APIARY_EXISTS;
    }
    *changed = true;
    box->dropped_us = change->now_us;
    return APIARY_OK;
}

enum apiary_code ap_catalog_drop_box(struct ap_catalog *catalog, const char *hive, const char *box,
    bool cascade, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.name = box;
    change.cascade = cascade;
    return change_hive(hive, drop_box, &change, err);
}

/* What was dropped with the box carries the same time. */
static enum apiary_code undrop_box(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    AP_TRY(check_open(copy, change, err));
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_BOX, "", change->name);
    if (there) return ap_fail(err, APIARY_EXISTS, "box %s.%s exists", change->hive, there->name);
    struct ap_thing *box = newest_dropped(copy, AP_THING_BOX, "", change->name);
    if (!box) return ap_no_box(copy, change->hive, change->name, err);
    for (size_t i = 0; i < copy->count; i++) {
        struct ap_thing *thing = &copy->things[i];
        if (ap_thing_is_entry(thing) && thing->dropped_us == box->dropped_us &&
            strcmp(thing->box, box->id) == 0)
            thing->dropped_us = 0;
    }
    *changed = true;
    box->dropped_us = 0;
    return APIARY_OK;
}

enum apiary_code ap_catalog_undrop_box(
    struct ap_catalog *catalog, const char *hive, const char *box, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.name = box;
    return change_hive(hive, undrop_box, &change, err);
}

static enum apiary_code rename_box(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *box = NULL;
    AP_TRY(find_box(copy, change, change->name, &box, err));
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_BOX, "", change->to);
    if (there && there != box)
        return ap_fail(err, APIARY_EXISTS, "box %s.%s exists", change->hive, there->name);
    *changed = strcmp(box->name, change->to) != 0;
    return ap_registry_set_name(copy, box, change->to, err);
}

enum apiary_code ap_catalog_rename_box(struct ap_catalog *catalog, const char *hive,
    const char *from, const char *to, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.name = from;
    change.to = to;
    AP_TRY(ap_registry_name_check(AP_NAME_BOX, to, err));
    return change_hive(hive, rename_box, &change, err);
}

/* ---- frames and views ---- */

static enum apiary_code register_entry(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *box = NULL;
    const struct ap_new_entry *entry = change->entry;
    bool view = entry->kind == AP_ENTRY_VIEW;
    AP_TRY(find_box(copy, change, entry->name->box, &box, err));
    struct ap_thing *there = ap_registry_find(copy, AP_THING_FRAME, box->id, entry->name->frame);
    if (there && !(entry->replace && view && there->kind == AP_THING_VIEW))
        return exists(change, box, there, err);
    /* The one that is replaced stays among the dropped ones, so that UNDROP is possible. */
    if (there) there->dropped_us = change->now_us;
    struct ap_thing thing = { .kind = view ? AP_THING_VIEW : AP_THING_FRAME,
        .id = change->id,
        .box = box->id,
        .name = entry->name->frame,
        .location = change->location,
        .sql = view ? entry->view_sql : "",
        .columns = view ? entry->view_columns : "",
        .external = !view && entry->external,
        .created_us = change->now_us };
    *changed = true;
    return ap_registry_add(copy, &thing, err);
}

static enum apiary_code check_view(const struct ap_new_entry *entry, struct apiary_error *err)
{
    struct ap_str sql = ap_str_from(entry->view_sql), columns = ap_str_from(entry->view_columns);
    if (sql.size == 0)
        return ap_fail(err, APIARY_INVALID, "the view %s has no query", entry->name->frame);
    if (sql.size > AP_REGISTRY_VIEW_MAX || columns.size > AP_REGISTRY_VIEW_MAX)
        return ap_fail(err, APIARY_LIMIT, "the view %s is longer than %d bytes", entry->name->frame,
            AP_REGISTRY_VIEW_MAX);
    if (!ap_utf8_valid(sql) || !ap_utf8_valid(columns))
        return ap_fail(err, APIARY_INVALID, "the view %s is not UTF-8", entry->name->frame);
    return APIARY_OK;
}

enum apiary_code ap_catalog_register(
    struct ap_catalog *catalog, const struct ap_new_entry *entry, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) location = { 0 };
    struct change change = change_of(catalog);
    AP_TRY(ap_registry_name_check(AP_NAME_FRAME, entry->name->frame, err));
    if (entry->kind == AP_ENTRY_VIEW)
        AP_TRY(check_view(entry, err));
    else
        AP_TRY(
            ap_location_normalise(ap_str_from(entry->location), entry->external, &location, err));
    change.entry = entry;
    change.location = ap_bytes_text(&location);
    return change_hive(entry->name->hive, register_entry, &change, err);
}

static enum apiary_code drop_entry(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *box = NULL, *thing = NULL;
    AP_TRY(find_entry(copy, change, &box, &thing, err));
    if ((thing->kind == AP_THING_VIEW) != (change->kind == AP_ENTRY_VIEW)) {
        const char *is = kind_text(thing);
        ap_fail(err, APIARY_INVALID, "%s.%s.%s is a %s", change->hive, box->name, thing->name, is);
        ap_hint(err, "use DROP %s", thing->kind == AP_THING_VIEW ? "VIEW" : "FRAME");
        return APIARY_INVALID;
    }
    *changed = true;
    thing->dropped_us = change->now_us;
    return APIARY_OK;
}

enum apiary_code ap_catalog_drop_entry(struct ap_catalog *catalog, const struct ap_name3 *name,
    enum ap_entry_kind kind, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.box = name->box;
    change.name = name->frame;
    change.kind = kind;
    return change_hive(name->hive, drop_entry, &change, err);
}

static enum apiary_code undrop_entry(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *box = NULL;
    struct ap_name3 name = { "", "", "" };
    AP_TRY(find_box(copy, change, change->box, &box, err));
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_FRAME, box->id, change->name);
    if (there) return exists(change, box, there, err);
    struct ap_thing *thing = newest_dropped(copy, AP_THING_FRAME, box->id, change->name);
    snprintf(name.hive, sizeof name.hive, "%s", change->hive);
    snprintf(name.frame, sizeof name.frame, "%s", change->name);
    if (!thing) return ap_no_entry(copy, box, &name, err);
    *changed = true;
    thing->dropped_us = 0;
    return APIARY_OK;
}

enum apiary_code ap_catalog_undrop(
    struct ap_catalog *catalog, const struct ap_name3 *name, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    change.box = name->box;
    change.name = name->frame;
    return change_hive(name->hive, undrop_entry, &change, err);
}

static enum apiary_code rename_entry(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    struct change *change = context;
    struct ap_thing *box = NULL, *thing = NULL, *to_box = NULL;
    AP_TRY(find_entry(copy, change, &box, &thing, err));
    AP_TRY(find_box(copy, change, change->to_box, &to_box, err));
    const struct ap_thing *there = ap_registry_find(copy, AP_THING_FRAME, to_box->id, change->to);
    if (there && there != thing) return exists(change, to_box, there, err);
    *changed = to_box != box || strcmp(thing->name, change->to) != 0;
    thing->box = to_box->id;
    return ap_registry_set_name(copy, thing, change->to, err);
}

enum apiary_code ap_catalog_rename_entry(struct ap_catalog *catalog, const struct ap_name3 *from,
    const struct ap_name3 *to, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    if (!ap_str_equal_nocase(ap_str_from(from->hive), ap_str_from(to->hive)))
        return ap_fail(err, APIARY_UNSUPPORTED,
            "%s.%s.%s cannot move to hive %s: a frame stays in its hive", from->hive, from->box,
            from->frame, to->hive);
    AP_TRY(ap_registry_name_check(AP_NAME_FRAME, to->frame, err));
    change.box = from->box;
    change.name = from->frame;
    change.to_box = to->box;
    change.to = to->frame;
    return change_hive(from->hive, rename_entry, &change, err);
}

static enum apiary_code forget(
    struct ap_registry *copy, void *context, bool *changed, struct apiary_error *err)
{
    const struct change *change = context;
    const struct ap_thing *thing = ap_registry_by_id(copy, change->id);
    if (!thing) return APIARY_OK;
    if (!thing->dropped_us)
        return ap_fail(err, APIARY_EXISTS, "%s %s was brought back", kind_text(thing), thing->name);
    size_t at = (size_t)(thing - copy->things);
    memmove(
        &copy->things[at], &copy->things[at + 1], (copy->count - at - 1) * sizeof *copy->things);
    copy->count--;
    *changed = true;
    return APIARY_OK;
}

enum apiary_code ap_catalog_forget(struct ap_catalog *catalog, const char *hive,
    const struct ap_frame_id *id, struct apiary_error *err)
{
    struct change change = change_of(catalog);
    snprintf(change.id, sizeof change.id, "%s", id->text);
    return change_hive(hive, forget, &change, err);
}
