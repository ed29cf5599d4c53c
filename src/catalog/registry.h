/* One state of the registry, as it stands in a slot; private to this room.
 *
 * There are two kinds of states: the list of hives, and one hive (its boxes, frames and views).
 * Both are lists of things. A state that was read or written is never changed again: a change
 * copies it, alters the copy and writes that into the next slot.
 *
 * A slot (UTF-8 JSON, format 1)
 *   {"format":1,"kind":"hives","txnId":32 hex,"base":32 hex or "",
 *    "hives":[{"id","name","createdUs","droppedUs"?}]}
 *   {"format":1,"kind":"hive","txnId","base","closedUs"?,"list"?,
 *    "boxes":[{"id","name","createdUs","droppedUs"?}],
 *    "entries":[{"kind":"frame","box":id,"id","name","location","external"?,"createdUs","droppedUs"?}
 *               {"kind":"view","box":id,"id","name","sql","columns","createdUs","droppedUs"?}]}
 * Times are microseconds since the epoch by the writer's clock. "base" is the txnId of the state
 * that was changed. Ids never change; names do (rename). */
#ifndef AP_CATALOG_REGISTRY_H
#define AP_CATALOG_REGISTRY_H

#include "catalog/catalog.h"
#include "core/arena.h"
#include "core/map.h"

enum { AP_REGISTRY_FORMAT = 1 };
enum {
    AP_REGISTRY_BYTES_MAX = 64 << 20, /* of a slot */
    AP_REGISTRY_HIVES_MAX = 10000,
    AP_REGISTRY_BOXES_MAX = 10000,
    AP_REGISTRY_ENTRIES_MAX = 200000, /* of a hive, with those that were dropped */
    AP_REGISTRY_LOCATION_MAX = 2048,  /* bytes */
    AP_REGISTRY_VIEW_MAX = 1 << 20,   /* bytes of a view's SQL, and of its columns */
};

/* The hive `main` of a new store has this id on every node, so that nothing needs to be settled
 * between the list and the hive before the first write. */
#define AP_REGISTRY_FIRST_ID "00000000000000000000000000000000"

enum ap_thing_kind { AP_THING_HIVE, AP_THING_BOX, AP_THING_FRAME, AP_THING_VIEW };

/* Texts live in the state's arena and are never NULL. */
struct ap_thing {
    enum ap_thing_kind kind;
    const char *id;       /* 32 hex digits */
    const char *name;     /* as spelled */
    const char *folded;   /* what is compared */
    const char *box;      /* FRAME, VIEW: id of the box; else "" */
    const char *location; /* FRAME */
    const char *sql;      /* VIEW */
    const char *columns;  /* VIEW */
    bool external;
    int64_t created_us;
    int64_t dropped_us; /* 0: alive */
};

enum ap_registry_kind { AP_REGISTRY_HIVES, AP_REGISTRY_HIVE };

struct ap_registry {
    _Atomic unsigned references;
    enum ap_registry_kind kind;
    int64_t version; /* of the slot; -1: no slot was written yet */
    const char *txn; /* 32 hex digits; "" at version -1 */
    const char *base;
    int64_t closed_us; /* HIVE: not 0 once the hive was dropped; nothing is added any more */
    int64_t list;      /* HIVE: who knows an older version of the list of hives reads the list before
                        * it believes the hive's name (a rename, a hive brought back); else -1 */
    struct ap_thing *things;
    size_t count;
    size_t capacity;
    struct ap_map index; /* ids, and the names of what is alive; places in `things` */
    struct ap_arena arena;
};

/* One reference more / less; the last one frees. NULL is fine. */
struct ap_registry *ap_registry_keep(struct ap_registry *registry);
void ap_registry_drop(struct ap_registry *registry);
void ap_registry_drop_pointer(struct ap_registry **registry);
#define AP_AUTO_REGISTRY __attribute__((cleanup(ap_registry_drop_pointer))) struct ap_registry

/* The state before the first slot: the list with hive main; hive main with box main; any other
 * hive without a box. */
AP_CHECKED enum apiary_code ap_registry_initial(enum ap_registry_kind kind, const char *hive_id,
    struct ap_registry **out, struct apiary_error *err);
/* Reads a slot; the bytes are untrusted. key: of the slot, for messages.
 * codes: UNSUPPORTED (another format), CORRUPT (anything else that is not as it should be) */
AP_CHECKED enum apiary_code ap_registry_parse(struct ap_str body, const char *key,
    enum ap_registry_kind kind, int64_t version, struct ap_registry **out,
    struct apiary_error *err);
AP_CHECKED enum apiary_code ap_registry_write(
    const struct ap_registry *registry, struct ap_bytes *out, struct apiary_error *err);

/* A copy to be changed. Its index stays that of the original: the finds below answer what was. */
AP_CHECKED enum apiary_code ap_registry_dup(
    const struct ap_registry *registry, struct ap_registry **out, struct apiary_error *err);
/* Adds a thing (texts are copied; folded is made here). LIMIT when there are too many. */
AP_CHECKED enum apiary_code ap_registry_add(
    struct ap_registry *registry, const struct ap_thing *thing, struct apiary_error *err);
/* Copies a text into the state. NULL without memory. */
const char *ap_registry_text(struct ap_registry *registry, const char *text);
AP_CHECKED enum apiary_code ap_registry_set_name(struct ap_registry *registry,
    struct ap_thing *thing, const char *name, struct apiary_error *err);

/* What is alive of that name, any case, or NULL. kind FRAME finds views too: they share names.
 * box: the box's id for entries, else "". */
struct ap_thing *ap_registry_find(
    const struct ap_registry *registry, enum ap_thing_kind kind, const char *box, const char *name);
/* By id, alive or not. */
struct ap_thing *ap_registry_by_id(const struct ap_registry *registry, const char *id);
static inline bool ap_thing_is_entry(const struct ap_thing *thing)
{
    return thing->kind == AP_THING_FRAME || thing->kind == AP_THING_VIEW;
}

/* Is the first part of a key one of the root's folders that are Apiary's own? Ignores case. */
bool ap_location_is_own(struct ap_str part);
/* A frame's location as it is stored: inside the root a key prefix, outside an absolute path or a
 * URI; without double or trailing slashes. INVALID for "..", control characters, secrets. */
AP_CHECKED enum apiary_code ap_location_normalise(
    struct ap_str location, bool external, struct ap_bytes *out, struct apiary_error *err);
/* ap_name_check, and what this room keeps for itself: _registry, _swarm, _queries are no hives. */
AP_CHECKED enum apiary_code ap_registry_name_check(
    enum ap_name_kind kind, const char *name, struct apiary_error *err);

#endif
