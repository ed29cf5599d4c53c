/* The catalogue's reading side: what there is, from the states at hand (catalog.h). */
#include "catalog/catalog_private.h"

#include "core/alloc.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- life ---- */

void ap_catalog_close(struct ap_catalog *catalog)
{
    if (!catalog) return;
    for (size_t i = 0; i < catalog->count; i++) {
        ap_chain_done(catalog->chains[i]);
        ap_free(catalog->chains[i]);
    }
    ap_free(catalog->chains);
    ap_chain_done(&catalog->hives);
    ap_lock_free(catalog->env, catalog->lock);
    ap_lock_free(catalog->env, catalog->writer);
    ap_free(catalog);
}

enum apiary_code ap_catalog_open(struct ap_env *env, struct ap_store *store, struct ap_log *log,
    struct ap_catalog **out, struct apiary_error *err)
{
    struct ap_catalog *catalog = ap_calloc(1, sizeof *catalog);
    if (!catalog) return ap_fail_memory(err, "the catalogue");
    catalog->env = env;
    catalog->store = store;
    catalog->log = log;
    catalog->lock = ap_lock_new(env);
    catalog->writer = ap_lock_new(env);
    ap_chain_init(&catalog->hives, env, store, log, catalog->lock, NULL);
    if (!catalog->lock || !catalog->writer) {
        ap_catalog_close(catalog);
        return ap_fail_memory(err, "the catalogue");
    }
    *out = catalog;
    return APIARY_OK;
}

/* ---- chains ---- */

static struct ap_chain *chain_locked(struct ap_catalog *catalog, const char *hive_id)
{
    for (size_t i = 0; i < catalog->count; i++)
        if (strcmp(catalog->chains[i]->id, hive_id) == 0) return catalog->chains[i];
    return NULL;
}

static enum apiary_code chain_make_locked(struct ap_catalog *catalog, const char *hive_id,
    struct ap_chain **out, struct apiary_error *err)
{
    AP_TRY(AP_GROW(catalog->chains, catalog->capacity, catalog->count + 1, err));
    struct ap_chain *chain = ap_calloc(1, sizeof *chain);
    if (!chain) return ap_fail_memory(err, "the catalogue");
    ap_chain_init(chain, catalog->env, catalog->store, catalog->log, catalog->lock, hive_id);
    catalog->chains[catalog->count++] = chain;
    *out = chain;
    return APIARY_OK;
}

enum apiary_code ap_catalog_chain(struct ap_catalog *catalog, const char *hive_id,
    struct ap_chain **out, struct apiary_error *err)
{
    ap_lock(catalog->env, catalog->lock);
    struct ap_chain *chain = chain_locked(catalog, hive_id);
    enum apiary_code code = APIARY_OK;
    if (!chain) code = chain_make_locked(catalog, hive_id, &chain, err);
    ap_unlock(catalog->env, catalog->lock);
    if (code == APIARY_OK) *out = chain;
    return code;
}

/* The newest state, read when none was read before. */
static enum apiary_code head_of(
    struct ap_chain *chain, struct ap_registry **out, struct apiary_error *err)
{
    struct ap_registry *head = ap_chain_head(chain);
    if (!head) {
        struct ap_chain *one[] = { chain };
        AP_TRY(ap_chain_refresh(one, 1, INT64_MAX, err));
        head = ap_chain_head(chain);
    }
    *out = head;
    return APIARY_OK;
}

/* The chain of a hive's name by the list at hand; NULL when the list or the hive is not there. */
static enum apiary_code known_chain(
    struct ap_catalog *catalog, const char *hive, struct ap_chain **out, struct apiary_error *err)
{
    AP_AUTO_REGISTRY *hives = ap_chain_head(&catalog->hives);
    const struct ap_thing *thing = hives ? ap_registry_find(hives, AP_THING_HIVE, "", hive) : NULL;
    *out = NULL;
    return thing ? ap_catalog_chain(catalog, thing->id, out, err) : APIARY_OK;
}

/* Does the hive's own state vouch for its name? A drop closes it; who renames it or brings it back says
 * there from which list on the name holds (change.c). */
static bool vouches(struct ap_catalog *catalog, struct ap_chain *chain)
{
    AP_AUTO_REGISTRY *hives = ap_chain_head(&catalog->hives);
    AP_AUTO_REGISTRY *state = ap_chain_head(chain);
    return hives && state && !state->closed_us && state->list <= hives->version;
}

enum { LOOKS_MAX = 4 };

enum apiary_code ap_catalog_refresh_since(
    struct ap_catalog *catalog, const char *hive, int64_t since_us, struct apiary_error *err)
{
    struct ap_chain *list = &catalog->hives, *chain = NULL, *now = NULL;
    if (!hive) return ap_chain_refresh(&list, 1, since_us, err);
    AP_TRY(known_chain(catalog, hive, &chain, err));
    for (int look = 0; look < LOOKS_MAX; look++) {
        struct ap_chain *chains[2];
        size_t count = 0;
        /* A chain that was not looked at for long may have been taken away with its hive. */
        bool with_list = look > 0 || !chain || !ap_chain_trusted(chain);
        if (with_list) chains[count++] = list;
        if (chain) chains[count++] = chain;
        AP_TRY(ap_chain_refresh(chains, count, since_us, err));
        AP_TRY(known_chain(catalog, hive, &now, err));
        if (now == chain && (look > 0 || (chain && vouches(catalog, chain)))) break;
        if (now == chain && !chain) break; /* the list was asked: there is none */
        chain = now;
    }
    return APIARY_OK;
}

enum apiary_code ap_catalog_refresh(
    struct ap_catalog *catalog, const char *hive, struct apiary_error *err)
{
    return ap_catalog_refresh_since(catalog, hive, ap_mono_us(catalog->env), err);
}

bool ap_catalog_look_begin(struct ap_catalog *catalog, const char *hive, int64_t since_us,
    struct ap_catalog_look *look)
{
    struct ap_chain *chain = NULL;
    if (known_chain(catalog, hive, &chain, NULL) != APIARY_OK || !chain) return false;
    if (ap_chain_fresh(chain, since_us) || !ap_chain_trusted(chain)) return false;
    ap_chain_look_begin(chain, look);
    return true;
}

void ap_catalog_look_end(struct ap_catalog_look *look)
{
    ap_chain_look_end(look->chain, look);
}

/* ---- what is missing ---- */

struct nearest {
    const char **names;
    size_t count, capacity;
};

/* Best effort: without memory there is no hint. */
static void nearest_offer(struct nearest *nearest, const char *name)
{
    if (AP_GROW(nearest->names, nearest->capacity, nearest->count + 1, NULL) == APIARY_OK)
        nearest->names[nearest->count++] = name;
}

static const char *nearest_done(struct nearest *nearest, const char *word)
{
    const char *found = ap_nearest(ap_str_from(word), nearest->names, nearest->count);
    ap_free(nearest->names);
    return found;
}

static bool same_name(const char *a, const char *b)
{
    return ap_str_equal_nocase(ap_str_from(a), ap_str_from(b));
}

enum apiary_code ap_no_hive(
    const struct ap_registry *hives, const char *name, struct apiary_error *err)
{
    struct nearest nearest = { 0 };
    bool dropped = false;
    for (size_t i = 0; i < hives->count; i++) {
        const struct ap_thing *thing = &hives->things[i];
        if (!thing->dropped_us)
            nearest_offer(&nearest, thing->name);
        else
            dropped |= same_name(thing->name, name);
    }
    const char *meant = nearest_done(&nearest, name);
    ap_fail(err, APIARY_NOT_FOUND, "no hive %s", name);
    if (dropped)
        ap_hint(err, "it was dropped; UNDROP HIVE %s brings it back", name);
    else if (meant)
        ap_hint(err, "did you mean %s?", meant);
    else if (same_name(name, "main"))
        ap_hint(err, "sessions begin in main.main, which is gone: USE another one (SHOW HIVES)");
    return APIARY_NOT_FOUND;
}

enum apiary_code ap_no_box(
    const struct ap_registry *state, const char *hive, const char *name, struct apiary_error *err)
{
    struct nearest nearest = { 0 };
    bool dropped = false;
    for (size_t i = 0; i < state->count; i++) {
        const struct ap_thing *thing = &state->things[i];
        if (thing->kind != AP_THING_BOX) continue;
        if (!thing->dropped_us)
            nearest_offer(&nearest, thing->name);
        else
            dropped |= same_name(thing->name, name);
    }
    const char *meant = nearest_done(&nearest, name);
    ap_fail(err, APIARY_NOT_FOUND, "no box %s.%s", hive, name);
    if (dropped)
        ap_hint(err, "it was dropped; UNDROP BOX %s.%s brings it back", hive, name);
    else if (meant)
        ap_hint(err, "did you mean %s.%s?", hive, meant);
    else if (same_name(name, "main"))
        ap_hint(err, "sessions begin in main.main, which is gone: USE another one (SHOW BOXES IN %s)", hive);
    return APIARY_NOT_FOUND;
}

enum apiary_code ap_no_entry(const struct ap_registry *state, const struct ap_thing *box,
    const struct ap_name3 *name, struct apiary_error *err)
{
    struct nearest nearest = { 0 };
    const char *elsewhere = NULL; /* the box of the same name in another box */
    bool dropped = false;
    for (size_t i = 0; i < state->count; i++) {
        const struct ap_thing *thing = &state->things[i];
        if (!ap_thing_is_entry(thing)) continue;
        bool here = strcmp(thing->box, box->id) == 0, same = same_name(thing->name, name->frame);
        if (here && !thing->dropped_us)
            nearest_offer(&nearest, thing->name);
        else if (here)
            dropped |= same;
        else if (same && !thing->dropped_us)
            elsewhere = thing->box;
    }
    const char *meant = nearest_done(&nearest, name->frame);
    const struct ap_thing *other = elsewhere ? ap_registry_by_id(state, elsewhere) : NULL;
    ap_fail(err, APIARY_NOT_FOUND, "no frame %s.%s.%s", name->hive, box->name, name->frame);
    if (dropped)
        ap_hint(err, "it was dropped; UNDROP FRAME %s.%s.%s brings it back", name->hive, box->name,
            name->frame);
    else if (meant)
        ap_hint(err, "did you mean %s.%s.%s?", name->hive, box->name, meant);
    else if (other)
        ap_hint(err, "there is %s.%s.%s", name->hive, other->name, name->frame);
    return APIARY_NOT_FOUND;
}

/* ---- finding ---- */

void ap_hive_view_done(struct ap_hive_view *view)
{
    ap_registry_drop(view->hives);
    ap_registry_drop(view->state);
    memset(view, 0, sizeof *view);
}

enum apiary_code ap_catalog_view(struct ap_catalog *catalog, const char *hive,
    struct ap_hive_view *out, struct apiary_error *err)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    AP_TRY(head_of(&catalog->hives, &view.hives, err));
    view.hive = ap_registry_find(view.hives, AP_THING_HIVE, "", hive);
    if (!view.hive) return ap_no_hive(view.hives, hive, err);
    AP_TRY(ap_catalog_chain(catalog, view.hive->id, &view.chain, err));
    AP_TRY(head_of(view.chain, &view.state, err));
    if (view.state->closed_us) return ap_no_hive(view.hives, hive, err);
    *out = AP_TAKE(view);
    return APIARY_OK;
}

bool ap_catalog_has_hive(struct ap_catalog *catalog, const char *hive)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    return ap_catalog_view(catalog, hive, &view, NULL) == APIARY_OK;
}

bool ap_catalog_has_box(struct ap_catalog *catalog, const char *hive, const char *box)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    if (ap_catalog_view(catalog, hive, &view, NULL) != APIARY_OK) return false;
    return ap_registry_find(view.state, AP_THING_BOX, "", box) != NULL;
}

static void spell(char out[AP_NAME_MAX + 1], const char *name)
{
    snprintf(out, AP_NAME_MAX + 1, "%s", name);
}

enum apiary_code ap_catalog_spell(struct ap_catalog *catalog, const char *hive, const char *box,
    struct ap_name3 *out, struct apiary_error *err)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    struct ap_name3 name = { "", "", "" };
    AP_TRY(ap_catalog_view(catalog, hive, &view, err));
    spell(name.hive, view.hive->name);
    if (box) {
        const struct ap_thing *thing = ap_registry_find(view.state, AP_THING_BOX, "", box);
        if (!thing) return ap_no_box(view.state, name.hive, box, err);
        spell(name.box, thing->name);
    }
    *out = name;
    return APIARY_OK;
}

/* ---- entries ---- */

void ap_entry_done(struct ap_entry *entry)
{
    ap_free(entry->location);
    ap_free(entry->view_sql);
    ap_free(entry->view_columns);
    memset(entry, 0, sizeof *entry);
}

void ap_entries_done(struct ap_entries *entries)
{
    for (size_t i = 0; i < entries->count; i++) ap_entry_done(&entries->items[i]);
    ap_free(entries->items);
    memset(entries, 0, sizeof *entries);
}

enum apiary_code ap_entry_make(const struct ap_thing *hive, const struct ap_thing *box,
    const struct ap_thing *thing, struct ap_entry *out, struct apiary_error *err)
{
    AP_AUTO(ap_entry) entry = { 0 };
    entry.kind = thing->kind == AP_THING_VIEW ? AP_ENTRY_VIEW : AP_ENTRY_FRAME;
    spell(entry.name.hive, hive->name);
    spell(entry.name.box, box->name);
    spell(entry.name.frame, thing->name);
    snprintf(entry.id.text, sizeof entry.id.text, "%s", thing->id);
    entry.location = ap_strdup(thing->location);
    entry.view_sql = ap_strdup(thing->sql);
    entry.view_columns = ap_strdup(thing->columns);
    if (!entry.location || !entry.view_sql || !entry.view_columns)
        return ap_fail_memory(err, "a catalogue entry");
    entry.external = thing->external;
    entry.created_us = thing->created_us;
    entry.dropped_us = thing->dropped_us;
    *out = AP_TAKE(entry);
    return APIARY_OK;
}

enum apiary_code ap_catalog_find(struct ap_catalog *catalog, const struct ap_name3 *name,
    struct ap_entry *out, struct apiary_error *err)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    AP_TRY(ap_catalog_view(catalog, name->hive, &view, err));
    const struct ap_thing *box = ap_registry_find(view.state, AP_THING_BOX, "", name->box);
    if (!box) return ap_no_box(view.state, view.hive->name, name->box, err);
    const struct ap_thing *thing =
        ap_registry_find(view.state, AP_THING_FRAME, box->id, name->frame);
    if (!thing) return ap_no_entry(view.state, box, name, err);
    return ap_entry_make(view.hive, box, thing, out, err);
}

bool ap_catalog_known(
    struct ap_catalog *catalog, const struct ap_name3 *name, struct ap_entry *out)
{
    struct ap_chain *chain = NULL;
    if (known_chain(catalog, name->hive, &chain, NULL) != APIARY_OK || !chain) return false;
    AP_AUTO_REGISTRY *state = ap_chain_head(chain);
    return state && ap_catalog_find(catalog, name, out, NULL) == APIARY_OK;
}

/* ---- lists ---- */

enum apiary_code ap_catalog_hives(
    struct ap_catalog *catalog, struct ap_texts *out, struct apiary_error *err)
{
    AP_AUTO_REGISTRY *hives = NULL;
    AP_AUTO(ap_texts) names = { 0 };
    AP_TRY(head_of(&catalog->hives, &hives, err));
    for (size_t i = 0; i < hives->count; i++)
        if (!hives->things[i].dropped_us)
            AP_TRY(ap_texts_add(&names, ap_str_from(hives->things[i].name), err));
    ap_texts_sort(&names);
    ap_texts_done(out);
    *out = AP_TAKE(names);
    return APIARY_OK;
}

enum apiary_code ap_catalog_boxes(
    struct ap_catalog *catalog, const char *hive, struct ap_texts *out, struct apiary_error *err)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    AP_AUTO(ap_texts) names = { 0 };
    AP_TRY(ap_catalog_view(catalog, hive, &view, err));
    for (size_t i = 0; i < view.state->count; i++) {
        const struct ap_thing *thing = &view.state->things[i];
        if (thing->kind != AP_THING_BOX || thing->dropped_us) continue;
        AP_TRY(ap_texts_add(&names, ap_str_from(thing->name), err));
    }
    ap_texts_sort(&names);
    ap_texts_done(out);
    *out = AP_TAKE(names);
    return APIARY_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct ap_entry *left = a, *right = b;
    int order = strcmp(left->name.frame, right->name.frame);
    if (order) return order;
    return (left->dropped_us > right->dropped_us) - (left->dropped_us < right->dropped_us);
}

enum apiary_code ap_catalog_entries(struct ap_catalog *catalog, const char *hive, const char *box,
    bool dropped, struct ap_entries *out, struct apiary_error *err)
{
    AP_AUTO(ap_hive_view) view = { 0 };
    AP_AUTO(ap_entries) entries = { 0 };
    AP_TRY(ap_catalog_view(catalog, hive, &view, err));
    const struct ap_thing *parent = ap_registry_find(view.state, AP_THING_BOX, "", box);
    if (!parent) return ap_no_box(view.state, view.hive->name, box, err);
    for (size_t i = 0; i < view.state->count; i++) {
        const struct ap_thing *thing = &view.state->things[i];
        if (!ap_thing_is_entry(thing) || strcmp(thing->box, parent->id) != 0) continue;
        if (thing->dropped_us && !dropped) continue;
        AP_TRY(AP_GROW(entries.items, entries.capacity, entries.count + 1, err));
        AP_TRY(ap_entry_make(view.hive, parent, thing, &entries.items[entries.count], err));
        entries.count++;
    }
    if (entries.count) qsort(entries.items, entries.count, sizeof *entries.items, compare_entries);
    ap_entries_done(out);
    *out = AP_TAKE(entries);
    return APIARY_OK;
}

enum apiary_code ap_catalog_place(struct ap_catalog *catalog, const struct ap_name3 *name,
    bool taken, struct ap_bytes *out, struct apiary_error *err)
{
    char hive[AP_NAME_MAX + 1], box[AP_NAME_MAX + 1], frame[AP_NAME_MAX + 1], id[AP_ID_TEXT_SIZE];
    AP_AUTO(ap_bytes) place = { 0 };
    AP_TRY(ap_registry_name_check(AP_NAME_HIVE, name->hive, err));
    AP_TRY(ap_registry_name_check(AP_NAME_BOX, name->box, err));
    AP_TRY(ap_registry_name_check(AP_NAME_FRAME, name->frame, err));
    ap_name_fold(ap_str_from(name->hive), hive);
    ap_name_fold(ap_str_from(name->box), box);
    ap_name_fold(ap_str_from(name->frame), frame);
    AP_TRY(ap_bytes_printf(&place, err, "%s/%s/%s", hive, box, frame));
    if (taken) {
        ap_id_random(catalog->env, id);
        AP_TRY(ap_bytes_printf(&place, err, "~%.8s", id));
    }
    ap_bytes_done(out);
    *out = AP_TAKE(place);
    return APIARY_OK;
}
