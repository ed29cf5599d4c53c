/* The ledger: a frame's Delta Lake log, read and written (delta.md; swarm.md 1).
 *
 * A struct ap_ledger is one open frame of one process. It caches the newest snapshot and
 * brings it up to date by the freshness rule: one GET of the next version when the head was
 * confirmed within the last hour, else LIST. Thread-safe. */
#ifndef AP_LEDGER_LEDGER_H
#define AP_LEDGER_LEDGER_H

#include "core/log.h"
#include "ledger/snapshot.h"

/* Checkpoints are Parquet, and only chambers read and write Parquet. The ledger writes the
 * SQL and hands it to whoever runs it (filled in by api). Objects are named by their keys;
 * in the SQL object number i is '/cells/{i}/o.parquet' (or .json). */
struct ap_engine_port {
    void *context;
    /* Runs a SELECT over objects of `store` and yields its rows as an Arrow stream. */
    enum apiary_code (*query)(void *context, struct ap_store *store, const char *const *keys,
        size_t key_count, const char *sql, struct ArrowArrayStream *out, struct apiary_error *err);
    /* Runs "COPY (SELECT … FROM read_json('/files/0/input.json', …)) TO '/out/0/o.parquet' …" over
     * `input` (a file's bytes) and stores what it wrote under `key`. */
    enum apiary_code (*write_parquet)(void *context, struct ap_store *store, struct ap_str input,
        const char *sql, const char *key, struct ap_object *object, struct apiary_error *err);
};

struct ap_ledger;
struct ap_ledger_options {
    struct ap_env *env;
    struct ap_store *store;
    const char *prefix;                  /* the frame's folder in the store, "" for the root */
    const char *name;                    /* for messages: "main.main.flights" */
    const struct ap_engine_port *engine; /* NULL: checkpoints cannot be read (UNSUPPORTED) */
    struct ap_log *log;
    uint64_t checkpoint_interval; /* when the table does not say; 0: 100 */
};
AP_CHECKED enum apiary_code ap_ledger_open(const struct ap_ledger_options *options,
    struct ap_ledger **out, struct apiary_error *err); /* no I/O */
void ap_ledger_close(struct ap_ledger *ledger);

enum ap_at_kind { AP_AT_NEWEST, AP_AT_VERSION, AP_AT_TIME };
struct ap_at {
    enum ap_at_kind kind;
    uint64_t version;
    int64_t time_ms; /* newest commit at or before it */
};

/* codes: NOT_FOUND (no such table / version / nothing that old), UNSUPPORTED (reader feature
 * by name), CORRUPT (object key in the message), IO */
AP_CHECKED enum apiary_code ap_ledger_snapshot(struct ap_ledger *ledger,
    const struct ap_at *at /* NULL: newest */, struct ap_snapshot **out, struct apiary_error *err);
/* The same for one of several looks of a statement: a look that began after since_us (monotonic, of
 * the statement's beginning) serves, and nothing is asked. */
AP_CHECKED enum apiary_code ap_ledger_snapshot_since(struct ap_ledger *ledger,
    const struct ap_at *at, int64_t since_us, struct ap_snapshot **out, struct apiary_error *err);
/* The cached newest snapshot without any request, or NULL. Referenced for the caller. */
struct ap_snapshot *ap_ledger_cached(struct ap_ledger *ledger);
/* The cached newest snapshot where a commit may be built on it without a look before (it was the head
 * some minutes ago: the put of the next version tells whether it still is), or NULL. */
struct ap_snapshot *ap_ledger_recent(struct ap_ledger *ledger);

/* A look at the head that is sent together with other requests. begin: false when nothing is to be
 * asked (a look that began after since_us was the last), or more than one GET; else `get` is to be
 * sent to the ledger's store and then ended, whatever the answer. ap_ledger_snapshot_since tells the
 * errors. */
struct ap_ledger_look {
    struct ap_get get;
    struct ap_bytes key;
    struct ap_ledger *ledger;
    uint64_t version; /* that is asked for */
    int64_t asked_us; /* monotonic */
};
bool ap_ledger_look_begin(
    struct ap_ledger *ledger, int64_t since_us, struct ap_ledger_look *look);
void ap_ledger_look_end(struct ap_ledger_look *look);

/* A cell that was written and is to be added. Strings are borrowed. */
struct ap_new_cell {
    struct ap_str key;                     /* below the frame's location, not encoded */
    const struct ap_str *partition_values; /* in order of partition_by; data NULL = null */
    int64_t size_bytes;
    int64_t modified_ms;
    struct ap_str stats; /* JSON text as delta.md 5.5; "" = none */
    struct ap_str tags;  /* JSON object text or "" */
};

/* What a new table is (version 0) or what a metadata change makes of it. */
struct ap_table_spec {
    struct ap_schema schema;
    const struct ap_str *partition_by;
    size_t partition_count;
    const struct ap_property *configuration;
    size_t configuration_count;
    struct ap_str name, description; /* may be empty */
};

enum ap_read_scope { AP_READ_NOTHING, AP_READ_ALL, AP_READ_PREDICATE };

struct ap_commit {
    struct ap_snapshot *base; /* NULL: creates the table (version 0) */
    const struct ap_table_spec
        *spec; /* create, or change of metadata (schema, properties); else NULL */
    const struct ap_new_cell *adds;
    size_t add_count;
    const struct ap_cell *const *removes; /* cells of base */
    size_t remove_count;
    bool data_change;                          /* false: rows are only rearranged */
    enum ap_read_scope scope;                  /* what the transaction read of the table */
    bool by_position; /* its rows have a value for each column of base: a column more is a conflict */
    const struct ap_predicate *read_predicate; /* AP_READ_PREDICATE: over partition columns */
    const char *operation;            /* "WRITE", "CREATE TABLE", "DELETE", "OPTIMIZE", … */
    const char *operation_parameters; /* JSON object with string values, or NULL */
    const char *operation_metrics;    /* the same */
    const struct ap_cell *const *restores; /* cells of an older snapshot, added as they were */
    size_t restore_count;
    int64_t expires_mono_us;          /* no put begins later: vacuum may take the cells; 0: never */
    const char *txn_app_id;           /* NULL: none; committed once for good per app id */
    int64_t txn_version;
    const struct ap_cancel *cancel;
};
/* Commits and settles: lost replies are read back, a lost race is rebased when nothing
 * conflicts (delta.md 5.3), a blind append goes to the next version (its schema checked anew
 * against a winner's metadata). Checkpoints when the interval is reached; that never fails a
 * commit. *version is where it landed; snapshot (may be NULL) gets the state after it, or a newer
 * one, or NULL when it was committed and the state cannot be had.
 * codes: OK; CONFLICT (message names the winner: version, operation, engine; nothing written);
 *        UNCERTAIN ("outcome unknown, transaction X"); EXISTS (create: taken, nothing written;
 *        txn_app_id: committed before);
 *        UNSUPPORTED (writer feature); CANCELLED; IO; DENIED; FULL */
AP_CHECKED enum apiary_code ap_ledger_commit(struct ap_ledger *ledger,
    const struct ap_commit *commit, uint64_t *version, struct ap_snapshot **snapshot,
    struct apiary_error *err);

/* How many versions lie behind the newest checkpoint that is known or hinted at. */
AP_CHECKED enum apiary_code ap_ledger_tail(struct ap_ledger *ledger,
    const struct ap_snapshot *snapshot, uint64_t *versions, struct apiary_error *err);
/* Writes a checkpoint of the snapshot and then the hint. */
AP_CHECKED enum apiary_code ap_ledger_checkpoint(
    struct ap_ledger *ledger, struct ap_snapshot *snapshot, struct apiary_error *err);

/* The commits, newest first, at most `limit`: for history displays. */
struct ap_history_entry {
    uint64_t version;
    int64_t timestamp_ms;
    char *operation, *parameters, *metrics, *engine, *txn_id; /* owned, "" when unknown */
    int64_t read_version;                                     /* -1 */
    bool blind_append;
};
struct ap_history {
    struct ap_history_entry *entries;
    size_t count;
    size_t capacity;
};
void ap_history_done(struct ap_history *history);
AP_CHECKED enum apiary_code ap_ledger_history(
    struct ap_ledger *ledger, size_t limit, struct ap_history *out, struct apiary_error *err);

/* add.stats JSON (delta.md 5.5) from the figures that the Parquet writer gave.
 * columns: one per leaf, text forms of the engine (chamber.md section 5). */
struct ap_column_figures {
    const struct ap_str *path; /* names, outermost first */
    size_t depth;
    struct ap_str min, max; /* engine text; data NULL = none */
    int64_t null_count;     /* -1 unknown */
    int has_nan;            /* 1, 0, -1 unknown */
};
AP_CHECKED enum apiary_code ap_stats_write(const struct ap_schema *schema, int64_t row_count,
    const struct ap_column_figures *columns, size_t column_count, struct ap_bytes *out,
    struct apiary_error *err);

/* Rows of a deletion vector of `cell`, as ascending 0-based row numbers (malloc'd by ap_realloc).
 */
AP_CHECKED enum apiary_code ap_deletion_vector_read(struct ap_ledger *ledger,
    const struct ap_cell *cell, uint64_t **rows, size_t *count, struct apiary_error *err);

#endif
