/* The catalogue: which hives, boxes, frames and views there are (design, section 7).
 *
 * Objects
 *   _registry/hives/%020d.json      all hives: folded name → id, spelling. Each slot is the whole
 * state _registry/{hive id}/%020d.json  one hive: boxes, frames, views, ids, locations, properties
 *   _registry/{…}/latest            overwritable hint {"version":n}
 * A state changes by put-if-not-exists of the next slot; the loser reads the winner's state,
 * checks its own change against it and tries again. Every slot carries "format" and "txnId".
 *
 * A new store has hive `main` with box `main`, made at the first write; reading a store without
 * a registry sees them too. Names match ignoring case and keep their spelling.
 * Thread-safe. Entries are copies, owned by the caller. */
#ifndef AP_CATALOG_CATALOG_H
#define AP_CATALOG_CATALOG_H

#include "core/id.h"
#include "core/log.h"
#include "core/name.h"
#include "storage/store.h"

struct ap_catalog;
AP_CHECKED enum apiary_code ap_catalog_open(struct ap_env *env, struct ap_store *store,
    struct ap_log *log, struct ap_catalog **out, struct apiary_error *err); /* no I/O */
void ap_catalog_close(struct ap_catalog *catalog);

enum ap_entry_kind { AP_ENTRY_FRAME, AP_ENTRY_VIEW };

struct ap_entry {
    enum ap_entry_kind kind;
    struct ap_name3 name; /* as spelled at creation */
    struct ap_frame_id id;
    char *location;     /* FRAME: key prefix in the root store, or a URI / absolute path */
    bool external;      /* location lies outside the root: created with LOCATION */
    char *view_sql;     /* VIEW: the query with names resolved to three parts */
    char *view_columns; /* VIEW: JSON list of column names or "" */
    int64_t created_us;
    int64_t dropped_us; /* 0: alive */
};
void ap_entry_done(struct ap_entry *entry);

/* Brings the cached state of the hive up to date: one GET when nothing is new. The list of hives is
 * asked only where the hive's state cannot vouch for its name: it is not known yet, was dropped, or
 * was renamed or brought back by a list that is not known yet. The finds below then answer from
 * memory. hive NULL: only the list of hives. A hive that is not there is no error here. */
AP_CHECKED enum apiary_code ap_catalog_refresh(
    struct ap_catalog *catalog, const char *hive, struct apiary_error *err);
/* The same for one of several looks of a statement: what was looked at after since_us (monotonic, of
 * the statement's beginning) is not asked for again. */
AP_CHECKED enum apiary_code ap_catalog_refresh_since(
    struct ap_catalog *catalog, const char *hive, int64_t since_us, struct apiary_error *err);

/* A look at a hive that is sent together with other requests. begin: false when nothing is to be
 * asked, or more than one GET; else `get` is to be sent (to the root store) and then ended, whatever
 * the answer. ap_catalog_refresh_since tells the errors. */
enum { AP_CATALOG_KEY_MAX = 96 };
struct ap_chain;
struct ap_catalog_look {
    struct ap_get get;
    char key[AP_CATALOG_KEY_MAX];
    struct ap_chain *chain;
    int64_t version;
    int64_t asked_us; /* monotonic */
};
bool ap_catalog_look_begin(struct ap_catalog *catalog, const char *hive, int64_t since_us,
    struct ap_catalog_look *look);
void ap_catalog_look_end(struct ap_catalog_look *look);

/* codes: NOT_FOUND "no frame main.main.x" with a hint naming the nearest one */
AP_CHECKED enum apiary_code ap_catalog_find(struct ap_catalog *catalog, const struct ap_name3 *name,
    struct ap_entry *out, struct apiary_error *err);
/* The same by what is known already, without any request; false: not known, or not there. */
bool ap_catalog_known(
    struct ap_catalog *catalog, const struct ap_name3 *name, struct ap_entry *out);
bool ap_catalog_has_hive(struct ap_catalog *catalog, const char *hive);
bool ap_catalog_has_box(struct ap_catalog *catalog, const char *hive, const char *box);
/* The spelling of the registered name. NOT_FOUND with the nearest. */
AP_CHECKED enum apiary_code ap_catalog_spell(struct ap_catalog *catalog, const char *hive,
    const char *box /* NULL: the hive */, struct ap_name3 *out, struct apiary_error *err);

/* Sorted names (byte order of the spelling). NOT_FOUND when the parent is missing. */
AP_CHECKED enum apiary_code ap_catalog_hives(
    struct ap_catalog *catalog, struct ap_texts *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_boxes(
    struct ap_catalog *catalog, const char *hive, struct ap_texts *out, struct apiary_error *err);
struct ap_entries {
    struct ap_entry *items; /* sorted by name */
    size_t count;
    size_t capacity;
};
void ap_entries_done(struct ap_entries *entries);
/* dropped: also those that were dropped and can be brought back. */
AP_CHECKED enum apiary_code ap_catalog_entries(struct ap_catalog *catalog, const char *hive,
    const char *box, bool dropped, struct ap_entries *out, struct apiary_error *err);

/* Creating. or_there: an existing one is success and *created false. Names are checked. */
AP_CHECKED enum apiary_code ap_catalog_create_hive(struct ap_catalog *catalog, const char *name,
    bool or_there, bool *created, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_create_box(struct ap_catalog *catalog, const char *hive,
    const char *name, bool or_there, bool *created, struct apiary_error *err);

/* Registers a frame whose ledger version 0 has been written (or that exists elsewhere), or a
 * view. This is the only commit point of a creation. codes: EXISTS (message tells frame or
 * view), NOT_FOUND (hive or box), LIMIT. replace: a view of that name is replaced. */
struct ap_new_entry {
    enum ap_entry_kind kind;
    const struct ap_name3 *name;
    const char *location;
    bool external;
    const char *view_sql;
    const char *view_columns;
    bool replace;
};
AP_CHECKED enum apiary_code ap_catalog_register(
    struct ap_catalog *catalog, const struct ap_new_entry *entry, struct apiary_error *err);
/* The folder where a new frame's ledger should be made: "{hive}/{box}/{frame}" in folded
 * spelling, or "…~{8 hex}" when `taken` (someone holds the plain path). */
AP_CHECKED enum apiary_code ap_catalog_place(struct ap_catalog *catalog,
    const struct ap_name3 *name, bool taken, struct ap_bytes *out, struct apiary_error *err);

/* Dropping only marks (with the time); UNDROP brings back the newest of the name. A hive comes
 * back with all it held, a box with what was dropped with it.
 * cascade: a hive or box with live things in it is dropped with them, else EXISTS tells how many.
 */
AP_CHECKED enum apiary_code ap_catalog_drop_entry(struct ap_catalog *catalog,
    const struct ap_name3 *name, enum ap_entry_kind kind, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_undrop(
    struct ap_catalog *catalog, const struct ap_name3 *name, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_drop_box(struct ap_catalog *catalog, const char *hive,
    const char *box, bool cascade, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_drop_hive(
    struct ap_catalog *catalog, const char *hive, bool cascade, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_undrop_box(
    struct ap_catalog *catalog, const char *hive, const char *box, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_undrop_hive(
    struct ap_catalog *catalog, const char *hive, struct apiary_error *err);
/* Frames of the hive that are dropped, and were so `age_us` ago already, as the store tells time: by
 * the newest slot of that age. Where no slot is that old there are none. */
AP_CHECKED enum apiary_code ap_catalog_dropped_for(struct ap_catalog *catalog, const char *hive,
    int64_t age_us, struct ap_entries *out, struct apiary_error *err);
/* Takes a dropped entry off the registry for good, before its objects are deleted. Gone already:
 * OK. codes: EXISTS (it was brought back: delete nothing) */
AP_CHECKED enum apiary_code ap_catalog_forget(struct ap_catalog *catalog, const char *hive,
    const struct ap_frame_id *id, struct apiary_error *err);
/* Renaming moves no object. An entry may move to another box of the same hive. */
AP_CHECKED enum apiary_code ap_catalog_rename_entry(struct ap_catalog *catalog,
    const struct ap_name3 *from, const struct ap_name3 *to, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_rename_box(struct ap_catalog *catalog, const char *hive,
    const char *from, const char *to, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_catalog_rename_hive(
    struct ap_catalog *catalog, const char *from, const char *to, struct apiary_error *err);

#endif
