/* The query room: SQL statements against the catalogue, the ledgers and the chambers.
 *
 *   api ─► session (run) ─► statement ─┬─ catalogue statements   ddl
 *                                      ├─ rows                   read   (resolve → shape → plan)
 *                                      ├─ rows to frames         write  (insert, ctas, import)
 *                                      └─ files                  copy
 *
 * struct ap_world is what all sessions of a handle share; api makes it. struct ap_session is
 * one user's state; one statement at a time. struct ap_result is what a statement left. */
#ifndef AP_QUERY_QUERY_H
#define AP_QUERY_QUERY_H

#include "catalog/catalog.h"
#include "cells/cells.h"
#include "core/config.h"
#include "ledger/ledger.h"
#include "runtime/pool.h"
#include "storage/price.h"
#include "sql/statement.h"

/* Open ledgers by location, kept for the life of the handle. Thread-safe. */
struct ap_frames;
struct ap_answers; /* query/answers.h */

/* A statement that writes and is handed over: only for the time of its run. */
struct ap_handover {
    int64_t deadline_us; /* from now */
    char *query;         /* owned by who set it up: the id, once it is announced */
    bool whole;          /* it is not cut in parts: nothing was done, and the run has failed */
};
/* A statement that writes and is run for others: its commit is theirs. */
struct ap_held {
    struct ap_bytes text; /* what is to be committed (query/spread_write.h); empty: nothing */
};

struct ap_spread_port;
struct ap_world {
    struct ap_env *env;
    struct ap_log *log;
    struct ap_config *config;
    struct ap_store *store; /* the root */
    struct ap_catalog *catalog;
    struct ap_frames *frames;
    struct ap_cache *cache; /* of remote cells */
    struct ap_cell_names *cell_names;
    struct ap_answers *answers; /* of the engine about texts; NULL: none are remembered */
    struct ap_answers *plan_answers; /* … to questions of plans, so that neither crowds out the others */
    struct ap_pool *pool; /* made at the first need: ap_world_pool */
    struct ap_lock *lock; /* guards pool */
    const struct ap_spread_port *spread; /* other nodes (query/plan.h); NULL: this one alone */
    const struct ap_pool_options *pool_options;
    struct ap_engine_port engine; /* ap_engine_port_of(world), for the ledgers */
    int owner_pid;                /* use after fork is refused */
    uint64_t abandoned;           /* statements given up after several tries; atomic */
};
struct ap_session;
AP_CHECKED enum apiary_code ap_world_pool(
    struct ap_world *world, struct ap_pool **out, struct apiary_error *err);
/* Waits for, or is refused by, the colony's temperature. A handle without chambers is cold. */
AP_CHECKED enum apiary_code ap_session_admit_query(struct ap_session *session, struct apiary_error *err);
/* backpressure: "block", "error", "ignore"; NULL: the session's setting. */
AP_CHECKED enum apiary_code ap_session_admit_write(
    struct ap_session *session, const char *backpressure, struct apiary_error *err);
/* Chambers as the ledger's Parquet reader and writer (query/engine_port.c). */
struct ap_engine_port ap_engine_port_of(struct ap_world *world);

AP_CHECKED enum apiary_code ap_frames_new(
    struct ap_world *world, struct ap_frames **out, struct apiary_error *err);
void ap_frames_free(struct ap_frames *frames);
/* The store of a root URI, opened once; borrowed, lives as long as `frames`. */
AP_CHECKED enum apiary_code ap_frames_store(struct ap_frames *frames, const char *uri,
    struct ap_store **store, struct apiary_error *err);
/* The same for a file of a web server (storage/web.h); the key of its one object is appended. */
AP_CHECKED enum apiary_code ap_frames_web(struct ap_frames *frames, struct ap_str url,
    struct ap_store **store, struct ap_bytes *key, struct apiary_error *err);
/* The open ledger of an entry; borrowed, lives as long as `frames`. *store and *prefix tell where
 * its cells are (borrowed too). */
AP_CHECKED enum apiary_code ap_frames_ledger(struct ap_frames *frames, const struct ap_entry *entry,
    struct ap_ledger **ledger, struct ap_store **store, const char **prefix,
    struct apiary_error *err);

/* Closes the ledger at this place, which nobody may use any more. */
void ap_frames_forget(struct ap_frames *frames, const char *location);

/* A statement that every later statement of the session needs replayed (temp views, macros,
 * SET VARIABLE, allowed engine settings). */
struct ap_replay {
    char *name; /* folded; a later one of the same kind and name replaces it */
    char *sql;
    int kind; /* enum ap_object_kind */
};

struct ap_session {
    struct ap_world *world;
    struct ap_config config; /* a copy: SET changes this one */
    char hive[AP_NAME_MAX + 1];
    char box[AP_NAME_MAX + 1];
    struct ap_cancel cancel;
    struct ap_replay *replays;
    size_t replay_count, replay_capacity;
    struct ap_texts
        settings;            /* engine settings in force, "name=value" pairs in turn: name, value */
    struct ap_entries temporary; /* frames: query/temporary.h */
    struct ap_scratch *scratch;  /* where they lie; NULL: there were none */
    struct ap_bytes notices; /* of the running statement, one a line */
    char task[AP_TASK_SIZE]; /* what its jobs are for: the beginning of the statement, or the part of a shared one */
    int64_t begun_us; /* monotonic: when it began; what was looked up since need not be asked again */
    apiary_progress progress;
    void *progress_context;
    struct ap_result *open_result; /* cut short when the next statement starts */
    struct ap_handover *handover;  /* NULL: statements are run, and waited for */
    struct ap_held *held;          /* NULL: statements commit what they wrote */
};
AP_CHECKED enum apiary_code ap_session_open(
    struct ap_world *world, struct ap_session **out, struct apiary_error *err);
void ap_session_close(struct ap_session *session);
/* Adds a line to the notices of the running statement. */
void ap_session_notice(struct ap_session *session, const char *format, ...) AP_PRINTF(2, 3);

/* Before each text: cuts an open result short, takes back an old cancel, forgets notices. */
void ap_session_begin(struct ap_session *session);
/* Before each statement of a text (the first begins with it): forgets notices, notes the time. */
void ap_session_begin_statement(struct ap_session *session);

enum { AP_SESSION_REPLAYS_MAX = 10000 };
/* Keeps `sql` for replay, in place of an earlier one of the same kind and name (ignoring case). */
AP_CHECKED enum apiary_code ap_session_replay(struct ap_session *session, int kind,
    struct ap_str name, struct ap_str sql, struct apiary_error *err);
bool ap_session_forget(struct ap_session *session, int kind, struct ap_str name);
const char *ap_session_replayed(
    const struct ap_session *session, int kind, struct ap_str name); /* NULL: none */
/* INVALID in a process that was forked from the one that opened the handle. */
AP_CHECKED enum apiary_code ap_world_check(const struct ap_world *world, struct apiary_error *err);

/* What a statement left. Either rows (a stream) or a message. Made by the functions below. */
struct ap_result {
    struct ap_session *session; /* NULL once the session is closed */
    bool has_rows, taken;
    int64_t rows_changed;           /* -1 */
    char *message;                  /* may be NULL */
    char *notices;                  /* may be NULL */
    struct ArrowArrayStream memory; /* rows already there (SHOW …); release NULL when not used */
    struct ap_running *running;     /* rows from a chamber (read.c); NULL when not used */
    struct ap_bytes stats;          /* JSON members without braces, appended by whoever knows */
    int64_t started_us;
    struct ap_store_counts asked; /* of stores, by the statement's thread and whoever took its scope */
    struct ap_prices prices;
    struct apiary_error error; /* behind the last failing get_next */
};
AP_CHECKED enum apiary_code ap_result_new(
    struct ap_session *session, struct ap_result **out, struct apiary_error *err);
void ap_result_close(struct ap_result *result);
/* Ends its work in the chamber (rows not read yet are lost to its stream) and its tie to the
 * session; the result itself stays the caller's. */
void ap_result_detach(struct ap_result *result);
AP_CHECKED enum apiary_code ap_result_message(
    struct ap_result *result, struct apiary_error *err, const char *format, ...) AP_PRINTF(3, 4);
AP_CHECKED enum apiary_code ap_result_stream(
    struct ap_result *result, struct ArrowArrayStream *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_result_stats(
    struct ap_result *result, struct ap_bytes *out, struct apiary_error *err);

/* Runs all statements of a text; the result is that of the last one. */
AP_CHECKED enum apiary_code ap_session_run(struct ap_session *session,
    const struct apiary_query *query, struct ap_result **out, struct apiary_error *err);

/* ---- between the files of this room ---- */

/* One statement in flight: the parsed form and what came with it. */
struct ap_request {
    struct ap_session *session;
    struct ap_statement *statement;
    struct ap_str text;               /* of the statement */
    const struct apiary_query *query; /* values, tables */
};

/* Names (names.c): one, two or three parts against the session's current hive and box. The hive's
 * state must have been refreshed. */
AP_CHECKED enum apiary_code ap_names_complete(struct ap_session *session,
    const struct ap_object_name *name, enum ap_name_kind kind, struct ap_name3 *out,
    struct apiary_error *err);
/* The same of a frame or view that is there: the last part alone may be a temporary frame's. */
AP_CHECKED enum apiary_code ap_names_find(struct ap_session *session,
    const struct ap_object_name *name, struct ap_name3 *out, struct apiary_error *err);

/* Rows in memory (rows.c): for SHOW, DESCRIBE, EXPLAIN. */
struct ap_rows;
enum ap_rows_type {
    AP_ROWS_TEXT,
    AP_ROWS_INT64,
    AP_ROWS_BOOL,
    AP_ROWS_TIMESTAMP_TZ /* us */,
    AP_ROWS_DOUBLE
};
AP_CHECKED enum apiary_code ap_rows_new(struct ap_rows **out, struct apiary_error *err);
void ap_rows_free(struct ap_rows *rows);
AP_CHECKED enum apiary_code ap_rows_column(
    struct ap_rows *rows, const char *name, enum ap_rows_type type, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_rows_text(struct ap_rows *rows, struct ap_str value,
    struct apiary_error *err); /* next value of the row; data NULL = null */
/* A text of at most 4,095 bytes; what is longer is cut. */
AP_CHECKED enum apiary_code ap_rows_say(
    struct ap_rows *rows, struct apiary_error *err, const char *format, ...) AP_PRINTF(3, 4);
AP_CHECKED enum apiary_code ap_rows_int(
    struct ap_rows *rows, int64_t value, struct apiary_error *err); /* INT64, BOOL, TIMESTAMP_TZ */
AP_CHECKED enum apiary_code ap_rows_double(
    struct ap_rows *rows, double value, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_rows_null(struct ap_rows *rows, struct apiary_error *err);
/* Moves them into the result as its stream. */
AP_CHECKED enum apiary_code ap_rows_finish(
    struct ap_rows *rows, struct ap_result *result, struct apiary_error *err);

/* Statement families. Each fills in the result. */
AP_CHECKED enum apiary_code ap_run_ddl(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* ddl.c, show.c: catalogue */
AP_CHECKED enum apiary_code ap_run_set(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err); /* set.c */
AP_CHECKED enum apiary_code ap_run_query(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* read.c, explain.c */
AP_CHECKED enum apiary_code ap_run_write(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* INSERT, CREATE FRAME, DELETE, UPDATE … */
AP_CHECKED enum apiary_code ap_run_copy(struct ap_request *request, struct ap_result *result,
    struct apiary_error *err); /* COPY TO / FROM */

#endif
