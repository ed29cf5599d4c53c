/* States of the registry in memory (registry.h): life, lookup, copying. */
#include "catalog/registry.h"

#include "core/alloc.h"
#include "core/json.h"

#include <stdatomic.h>
#include <stdio.h>

/* Of the index: kind letter, box id, '/', folded name. Ids have a letter of their own. */
enum { LIVE_KEY_MAX = 1 + 32 + 1 + AP_NAME_MAX + 1 };

struct ap_registry *ap_registry_keep(struct ap_registry *registry)
{
    if (registry) atomic_fetch_add_explicit(&registry->references, 1, memory_order_relaxed);
    return registry;
}

void ap_registry_drop(struct ap_registry *registry)
{
    if (!registry) return;
    if (atomic_fetch_sub_explicit(&registry->references, 1, memory_order_acq_rel) != 1) return;
    ap_map_done(&registry->index);
    ap_free(registry->things);
    ap_arena_done(&registry->arena);
    ap_free(registry);
}

void ap_registry_drop_pointer(struct ap_registry **registry)
{
    ap_registry_drop(*registry);
}

const char *ap_registry_text(struct ap_registry *registry, const char *text)
{
    if (!text || !*text) return "";
    return ap_arena_dup(&registry->arena, ap_str_from(text));
}

static struct ap_registry *registry_new(enum ap_registry_kind kind, int64_t version)
{
    struct ap_registry *registry = ap_calloc(1, sizeof *registry);
    if (!registry) return NULL;
    registry->references = 1;
    registry->kind = kind;
    registry->version = version;
    registry->list = -1;
    registry->txn = registry->base = "";
    return registry;
}

/* ---- lookup ---- */

static struct ap_str live_key(
    char out[LIVE_KEY_MAX], enum ap_thing_kind kind, const char *box, const char *folded)
{
    char letter = kind == AP_THING_HIVE ? 'h' : kind == AP_THING_BOX ? 'b' : 'e';
    int size = snprintf(out, LIVE_KEY_MAX, "%c%.32s/%.*s", letter, box, AP_NAME_MAX, folded);
    return (struct ap_str) { out, (size_t)size };
}

struct ap_thing *ap_registry_find(
    const struct ap_registry *registry, enum ap_thing_kind kind, const char *box, const char *name)
{
    char folded[AP_NAME_MAX + 1], key[LIVE_KEY_MAX];
    uint64_t index;
    struct ap_str view = ap_str_from(name);
    if (view.size > AP_NAME_MAX) return NULL;
    ap_name_fold(view, folded);
    if (!ap_map_get(&registry->index, live_key(key, kind, box, folded), &index)) return NULL;
    return &registry->things[index];
}

static struct ap_str id_key(char out[LIVE_KEY_MAX], const char *id)
{
    int size = snprintf(out, LIVE_KEY_MAX, "i%.32s", id);
    return (struct ap_str) { out, (size_t)size };
}

struct ap_thing *ap_registry_by_id(const struct ap_registry *registry, const char *id)
{
    char key[LIVE_KEY_MAX];
    uint64_t index;
    if (!ap_map_get(&registry->index, id_key(key, id), &index)) return NULL;
    return &registry->things[index];
}

/* Enters the last thing. EXISTS when its id, or the name of something alive, is there already. */
static enum apiary_code index_last(struct ap_registry *registry, struct apiary_error *err)
{
    char id[LIVE_KEY_MAX], name[LIVE_KEY_MAX];
    size_t at = registry->count - 1;
    const struct ap_thing *thing = &registry->things[at];
    struct ap_str id_view = id_key(id, thing->id);
    if (ap_map_has(&registry->index, id_view))
        return ap_fail(err, APIARY_EXISTS, "two things have the id of '%s'", thing->name);
    AP_TRY(ap_map_put(&registry->index, id_view, at, err));
    if (thing->dropped_us) return APIARY_OK;
    struct ap_str view = live_key(name, thing->kind, thing->box, thing->folded);
    if (ap_map_has(&registry->index, view))
        return ap_fail(err, APIARY_EXISTS, "two things are named '%s'", thing->name);
    return ap_map_put(&registry->index, view, at, err);
}

/* ---- adding ---- */

static size_t limit_of(enum ap_thing_kind kind)
{
    if (kind == AP_THING_HIVE) return AP_REGISTRY_HIVES_MAX;
    if (kind == AP_THING_BOX) return AP_REGISTRY_BOXES_MAX;
    return AP_REGISTRY_ENTRIES_MAX;
}

/* Boxes are bounded on their own, so all things of a hive together are bounded too. */
static enum apiary_code check_count(
    const struct ap_registry *registry, enum ap_thing_kind kind, struct apiary_error *err)
{
    size_t limit = limit_of(kind), count = registry->count;
    if (count < limit) return APIARY_OK;
    if (kind == AP_THING_BOX || ap_thing_is_entry(&(struct ap_thing) { .kind = kind })) {
        count = 0;
        for (size_t i = 0; i < registry->count; i++)
            count += (registry->things[i].kind == AP_THING_BOX) == (kind == AP_THING_BOX);
        if (count < limit) return APIARY_OK;
    }
    const char *what = kind == AP_THING_HIVE  ? "hives"
                       : kind == AP_THING_BOX ? "boxes"
                                              : "frames and views";
    return ap_fail(err, APIARY_LIMIT,
        "the registry holds %zu %s, with the dropped ones; that is the limit", count, what);
}

enum apiary_code ap_registry_set_name(struct ap_registry *registry, struct ap_thing *thing,
    const char *name, struct apiary_error *err)
{
    char folded[AP_NAME_MAX + 1];
    ap_name_fold(ap_str_from(name), folded);
    const char *own = ap_registry_text(registry, name);
    const char *own_folded = ap_registry_text(registry, folded);
    if (!own || !own_folded) return ap_fail_memory(err, "the registry");
    thing->name = own;
    thing->folded = own_folded;
    return APIARY_OK;
}

enum apiary_code ap_registry_add(
    struct ap_registry *registry, const struct ap_thing *thing, struct apiary_error *err)
{
    AP_TRY(check_count(registry, thing->kind, err));
    AP_TRY(AP_GROW(registry->things, registry->capacity, registry->count + 1, err));
    struct ap_thing own = *thing;
    own.id = ap_registry_text(registry, thing->id);
    own.box = ap_registry_text(registry, thing->box);
    own.location = ap_registry_text(registry, thing->location);
    own.sql = ap_registry_text(registry, thing->sql);
    own.columns = ap_registry_text(registry, thing->columns);
    if (!own.id || !own.box || !own.location || !own.sql || !own.columns)
        return ap_fail_memory(err, "the registry");
    AP_TRY(ap_registry_set_name(registry, &own, thing->name, err));
    registry->things[registry->count] = own;
    registry->count++;
    return APIARY_OK;
}

/* Adds and enters into the index. */
static enum apiary_code add_indexed(
    struct ap_registry *registry, const struct ap_thing *thing, struct apiary_error *err)
{
    AP_TRY(ap_registry_add(registry, thing, err));
    return index_last(registry, err);
}

enum apiary_code ap_registry_dup(
    const struct ap_registry *registry, struct ap_registry **out, struct apiary_error *err)
{
    AP_AUTO_REGISTRY *copy = registry_new(registry->kind, registry->version);
    if (!copy) return ap_fail_memory(err, "the registry");
    copy->closed_us = registry->closed_us;
    copy->list = registry->list;
    copy->txn = ap_registry_text(copy, registry->txn);
    copy->base = ap_registry_text(copy, registry->base);
    if (!copy->txn || !copy->base) return ap_fail_memory(err, "the registry");
    for (size_t i = 0; i < registry->count; i++)
        AP_TRY(add_indexed(copy, &registry->things[i], err));
    *out = AP_TAKE(copy);
    return APIARY_OK;
}

enum apiary_code ap_registry_initial(enum ap_registry_kind kind, const char *hive_id,
    struct ap_registry **out, struct apiary_error *err)
{
    AP_AUTO_REGISTRY *registry = registry_new(kind, -1);
    if (!registry) return ap_fail_memory(err, "the registry");
    struct ap_thing main = { .id = AP_REGISTRY_FIRST_ID, .name = "main" };
    main.kind = kind == AP_REGISTRY_HIVES ? AP_THING_HIVE : AP_THING_BOX;
    if (kind == AP_REGISTRY_HIVES || strcmp(hive_id, AP_REGISTRY_FIRST_ID) == 0)
        AP_TRY(add_indexed(registry, &main, err));
    *out = AP_TAKE(registry);
    return APIARY_OK;
}

/* ---- reading a slot ---- */

/* What the functions below read; `key` is for messages. */
struct reading {
    struct ap_registry *registry;
    const char *key;
    struct apiary_error *err;
    bool no_memory;
};

static enum apiary_code bad_head(const struct reading *reading, const char *why)
{
    if (reading->no_memory) return ap_fail_memory(reading->err, "the registry");
    return ap_fail(reading->err, APIARY_CORRUPT, "registry slot %s: %s", reading->key, why);
}

static enum apiary_code bad(
    const struct reading *reading, const char *what, size_t at, const char *why)
{
    if (reading->no_memory) return ap_fail_memory(reading->err, "the registry");
    return ap_fail(
        reading->err, APIARY_CORRUPT, "registry slot %s: %s %zu: %s", reading->key, what, at, why);
}

/* A text of at most `max` bytes without NUL, copied into the state; absent is "". */
static bool read_text(
    struct reading *reading, yyjson_val *object, const char *member, size_t max, const char **out)
{
    struct ap_str text = { "", 0 };
    if (ap_json_member(object, member) && !ap_json_str(object, member, &text)) return false;
    if (text.size > max || memchr(text.data, 0, text.size)) return false;
    char *own = ap_arena_dup(&reading->registry->arena, text);
    if (!own)
        reading->no_memory = true;
    else
        *out = own;
    return own != NULL;
}

/* What another check refused is, in a slot, damage. */
static enum apiary_code damage(const struct reading *reading, enum apiary_code code)
{
    if (code == APIARY_MEMORY) return code;
    ap_context(reading->err, code, "registry slot %s", reading->key);
    if (reading->err) reading->err->code = APIARY_CORRUPT;
    return APIARY_CORRUPT;
}

static bool read_time(yyjson_val *object, const char *member, bool needed, int64_t *out)
{
    if (!ap_json_member(object, member)) return !needed;
    return ap_json_i64(object, member, out) && *out >= 0;
}

static enum apiary_code read_entry(
    struct reading *reading, yyjson_val *item, size_t at, struct ap_thing *thing)
{
    struct ap_str kind = { "", 0 };
    bool known = ap_json_str(item, "kind", &kind);
    if (known && ap_str_is(kind, "view"))
        thing->kind = AP_THING_VIEW;
    else if (!known || !ap_str_is(kind, "frame"))
        return bad(reading, "entry", at, "unknown kind");
    const struct ap_thing *box = NULL;
    if (read_text(reading, item, "box", 32, &thing->box))
        box = ap_registry_by_id(reading->registry, thing->box);
    if (!box || box->kind != AP_THING_BOX) return bad(reading, "entry", at, "its box is not there");
    if (thing->kind == AP_THING_VIEW) {
        if (!read_text(reading, item, "sql", AP_REGISTRY_VIEW_MAX, &thing->sql) || !*thing->sql ||
            !read_text(reading, item, "columns", AP_REGISTRY_VIEW_MAX, &thing->columns))
            return bad(reading, "entry", at, "no valid view");
        return APIARY_OK;
    }
    AP_AUTO(ap_bytes) normal = { 0 };
    if (ap_json_member(item, "external") && !ap_json_bool(item, "external", &thing->external))
        return bad(reading, "entry", at, "no valid 'external'");
    if (!read_text(reading, item, "location", AP_REGISTRY_LOCATION_MAX, &thing->location))
        return bad(reading, "entry", at, "no valid location");
    enum apiary_code code =
        ap_location_normalise(ap_str_from(thing->location), thing->external, &normal, reading->err);
    if (code != APIARY_OK) return damage(reading, code);
    thing->location = ap_registry_text(reading->registry, ap_bytes_text(&normal));
    return thing->location ? APIARY_OK : ap_fail_memory(reading->err, "the registry");
}

static enum apiary_code read_thing(struct reading *reading, yyjson_val *item, size_t at,
    enum ap_thing_kind kind, enum ap_name_kind name_kind)
{
    const char *what = ap_name_kind_text(name_kind);
    struct ap_thing thing = { .kind = kind, .box = "", .location = "", .sql = "", .columns = "" };
    if (!yyjson_is_obj(item)) return bad(reading, what, at, "no object");
    if (!read_text(reading, item, "id", 32, &thing.id) || !ap_id_valid(ap_str_from(thing.id)))
        return bad(reading, what, at, "no valid id");
    if (!read_text(reading, item, "name", AP_NAME_MAX, &thing.name))
        return bad(reading, what, at, "no valid name");
    enum apiary_code code = ap_registry_name_check(name_kind, thing.name, reading->err);
    if (code != APIARY_OK) return damage(reading, code);
    if (!read_time(item, "createdUs", true, &thing.created_us) ||
        !read_time(item, "droppedUs", false, &thing.dropped_us))
        return bad(reading, what, at, "no valid time");
    if (kind == AP_THING_FRAME) AP_TRY(read_entry(reading, item, at, &thing));
    code = add_indexed(reading->registry, &thing, reading->err);
    return code == APIARY_OK ? code : damage(reading, code);
}

static enum apiary_code read_list(struct reading *reading, yyjson_val *root, const char *member,
    enum ap_thing_kind kind, enum ap_name_kind name_kind)
{
    yyjson_val *list = yyjson_obj_get(root, member), *item;
    yyjson_arr_iter items;
    if (!yyjson_is_arr(list))
        return ap_fail(
            reading->err, APIARY_CORRUPT, "registry slot %s: no list '%s'", reading->key, member);
    yyjson_arr_iter_init(list, &items);
    for (size_t at = 0; (item = yyjson_arr_iter_next(&items)); at++)
        AP_TRY(read_thing(reading, item, at, kind, name_kind));
    return APIARY_OK;
}

static enum apiary_code read_head(struct reading *reading, yyjson_val *root)
{
    int64_t format = 0;
    struct ap_str kind = { "", 0 };
    struct ap_registry *registry = reading->registry;
    const char *expected = registry->kind == AP_REGISTRY_HIVES ? "hives" : "hive";
    if (!yyjson_is_obj(root) || !ap_json_i64(root, "format", &format))
        return bad_head(reading, "it says no format");
    if (format != AP_REGISTRY_FORMAT) {
        ap_fail(reading->err, APIARY_UNSUPPORTED,
            "registry slot %s has format %lld; this Apiary knows format %d", reading->key,
            (long long)format, AP_REGISTRY_FORMAT);
        ap_hint(reading->err, "a newer Apiary wrote it: upgrade this one");
        return APIARY_UNSUPPORTED;
    }
    if (!ap_json_str(root, "kind", &kind) || !ap_str_is(kind, expected))
        return bad_head(reading, "it is of another kind");
    if (!read_text(reading, root, "txnId", 32, &registry->txn) ||
        !ap_id_valid(ap_str_from(registry->txn)) ||
        !read_text(reading, root, "base", 32, &registry->base))
        return bad_head(reading, "no valid transaction id");
    if (!read_time(root, "closedUs", false, &registry->closed_us))
        return bad_head(reading, "no valid time of closing");
    if (yyjson_obj_get(root, "list") &&
        (!ap_json_i64(root, "list", &registry->list) || registry->list < 0))
        return bad_head(reading, "no valid version of the list of hives");
    return APIARY_OK;
}

enum apiary_code ap_registry_parse(struct ap_str body, const char *key, enum ap_registry_kind kind,
    int64_t version, struct ap_registry **out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    if (body.size > AP_REGISTRY_BYTES_MAX)
        return ap_fail(err, APIARY_CORRUPT,
            "registry slot %s: %zu bytes are more than the limit of %d", key, body.size,
            AP_REGISTRY_BYTES_MAX);
    AP_AUTO_REGISTRY *registry = registry_new(kind, version);
    if (!registry) return ap_fail_memory(err, "the registry");
    AP_TRY(ap_json_parse(body, key, &doc, err));
    struct reading reading = { .registry = registry, .key = key, .err = err };
    yyjson_val *root = yyjson_doc_get_root(doc);
    AP_TRY(read_head(&reading, root));
    if (kind == AP_REGISTRY_HIVES) {
        AP_TRY(read_list(&reading, root, "hives", AP_THING_HIVE, AP_NAME_HIVE));
    } else {
        AP_TRY(read_list(&reading, root, "boxes", AP_THING_BOX, AP_NAME_BOX));
        AP_TRY(read_list(&reading, root, "entries", AP_THING_FRAME, AP_NAME_FRAME));
    }
    *out = AP_TAKE(registry);
    return APIARY_OK;
}

/* ---- writing a slot ---- */

static enum apiary_code write_text(
    struct ap_bytes *out, const char *member, const char *text, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, ",\"%s\":", member));
    return ap_json_quote(out, ap_str_from(text), err);
}

static enum apiary_code write_thing(
    struct ap_bytes *out, const struct ap_thing *thing, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "{\"id\":\"%s\"", thing->id));
    AP_TRY(write_text(out, "name", thing->name, err));
    if (ap_thing_is_entry(thing)) {
        AP_TRY(write_text(out, "kind", thing->kind == AP_THING_VIEW ? "view" : "frame", err));
        AP_TRY(write_text(out, "box", thing->box, err));
    }
    if (thing->kind == AP_THING_FRAME) AP_TRY(write_text(out, "location", thing->location, err));
    if (thing->kind == AP_THING_FRAME && thing->external)
        AP_TRY(ap_bytes_add_text(out, ",\"external\":true", err));
    if (thing->kind == AP_THING_VIEW) {
        AP_TRY(write_text(out, "sql", thing->sql, err));
        AP_TRY(write_text(out, "columns", thing->columns, err));
    }
    AP_TRY(ap_bytes_printf(out, err, ",\"createdUs\":%lld", (long long)thing->created_us));
    if (thing->dropped_us)
        AP_TRY(ap_bytes_printf(out, err, ",\"droppedUs\":%lld", (long long)thing->dropped_us));
    return ap_bytes_add_text(out, "}", err);
}

static enum apiary_code write_list(struct ap_bytes *out, const struct ap_registry *registry,
    const char *member, bool entries, struct apiary_error *err)
{
    bool first = true;
    AP_TRY(ap_bytes_printf(out, err, ",\n\"%s\":[", member));
    for (size_t i = 0; i < registry->count; i++) {
        const struct ap_thing *thing = &registry->things[i];
        if (ap_thing_is_entry(thing) != entries) continue;
        AP_TRY(ap_bytes_add_text(out, first ? "\n" : ",\n", err));
        AP_TRY(write_thing(out, thing, err));
        first = false;
    }
    return ap_bytes_add_text(out, "]", err);
}

enum apiary_code ap_registry_write(
    const struct ap_registry *registry, struct ap_bytes *out, struct apiary_error *err)
{
    bool hives = registry->kind == AP_REGISTRY_HIVES;
    AP_TRY(
        ap_bytes_printf(out, err, "{\"format\":%d,\"kind\":\"%s\",\"txnId\":\"%s\",\"base\":\"%s\"",
            AP_REGISTRY_FORMAT, hives ? "hives" : "hive", registry->txn, registry->base));
    if (registry->closed_us)
        AP_TRY(ap_bytes_printf(out, err, ",\"closedUs\":%lld", (long long)registry->closed_us));
    if (registry->list >= 0)
        AP_TRY(ap_bytes_printf(out, err, ",\"list\":%lld", (long long)registry->list));
    AP_TRY(write_list(out, registry, hives ? "hives" : "boxes", false, err));
    if (!hives) AP_TRY(write_list(out, registry, "entries", true, err));
    AP_TRY(ap_bytes_add_text(out, "}\n", err));
    if (out->size > AP_REGISTRY_BYTES_MAX)
        return ap_fail(err, APIARY_LIMIT, "the registry would have %zu bytes; %d is the limit",
            out->size, AP_REGISTRY_BYTES_MAX);
    return APIARY_OK;
}
