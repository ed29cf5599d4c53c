/* A query cut into parts: what is shipped between nodes, and how each part is run.
 *
 *   plan ─ stage 0 … n−1   queries that the next ones read as a table ("first" queries)
 *        └ stage n         the statement itself
 *   stage ─ tasks          the fragment over some cells of what is sharded → one partial each
 *         └ merge          one query over all partials → the stage's result
 *   A stage without a fragment is its merge query alone (kind AP_CUT_WHOLE).
 *
 * Partials and results of stages are Arrow IPC streams in files (runtime/ipc_file.h). Whoever has the
 * plan and a session on the same store can run any part: versions, settings and constants of the
 * moment are in it. A plan that comes from the store is untrusted: ap_plan_read checks its form and
 * sizes; frames are found again by name and id, cells must be those of the version, files are such
 * below the root; its SQL runs in a sealed chamber that can open just these. */
#ifndef AP_QUERY_PLAN_H
#define AP_QUERY_PLAN_H

#include "query/query.h"
#include "sql/cut.h"

enum {
    AP_PLAN_FORMAT = 1,
    AP_PLAN_STAGES_MAX = 16,
    AP_PLAN_FRAMES_MAX = 256,
    AP_PLAN_TASKS_MAX = 4096, /* of a stage */
    AP_PLAN_CELLS_MAX = 1000000, /* of a frame */
    AP_PLAN_COLUMNS_MAX = 20000,
    AP_PLAN_WITNESSES_MAX = 16,
    AP_PLAN_FOLDERS_MAX = 32, /* "column=value" above a file: as many as a virtual name has */
    AP_PLAN_SETUP_MAX = 1000
};
#define AP_PLAN_SQL_MAX (UINT64_C(8) << 20) /* bytes of one text */

struct ap_plan_column {
    const char *name;
    const char *type; /* the engine's text */
};

struct ap_plan_list { /* of indices, rising */
    size_t *items;
    size_t count;
};
bool ap_plan_list_has(const struct ap_plan_list *list, size_t item);

/* By whom files are read; what their keys may end in. */
enum ap_plan_reader { AP_PLAN_PARQUET, AP_PLAN_CSV, AP_PLAN_JSON, AP_PLAN_READERS };

/* Files that the statement named, read as if they were a frame's cells. Keys are those of the
 * root: whoever reads the plan opens nothing else. */
struct ap_plan_files {
    enum ap_plan_reader reader;
    bool by_name; /* columns are those of all files (union_by_name); else those of the first */
    struct ap_plan_column *columns; /* of all of them together */
    size_t column_count;
    const char **folders; /* columns whose values are folders "column=value" of the keys; not by_name */
    size_t folder_count;
    uint64_t *sizes;    /* of each, as it was when the plan was made */
    const char **etags; /* "": not known */
    const char *options; /* of a reader of text: ", name = constant …"; else NULL */
    struct ap_plan_list witnesses; /* of CSV: files that give all columns their types, whichever others are read with them */
};

struct ap_plan_frame {
    const struct ap_plan_files *files; /* NULL: a frame; else name, id and version are empty */
    struct ap_name3 name;
    struct ap_frame_id id;
    uint64_t version;
    const char *view; /* the engine's name of it: quoted "catalog"."box"."frame" */
    uint64_t bytes;   /* of the cells below */
    const char **cells; /* paths as in the log, in commit order (or as plan_even.c put them); those that are read */
    size_t cell_count;
};

/* Cells [first, first + count) of the stage's shards, one behind the other: neighbours in commit order, but where
 * an aggregate had some exchanged to be even (plan_even.c). */
struct ap_plan_task {
    size_t first, count;
    uint64_t bytes;
};

struct ap_plan_stage {
    enum ap_cut_kind kind;
    const char *fragment_sql; /* NULL: none */
    size_t *shards; /* what is sharded, as indexes into frames; several under UNION ALL, where a frame may come twice */
    size_t shard_count;
    struct ap_plan_task *tasks; /* each reads its cells as the tables ap_cut_shard_name(0 …): without rows where it has none of them */
    size_t task_count;
    struct ap_plan_list fragment_frames, merge_frames; /* frames that are read whole */
    struct ap_plan_list fragment_stages, merge_stages; /* earlier stages that are read */
    const char *merged_view; /* CREATE TEMP VIEW over the partials, run before merge_sql; NULL: WHOLE */
    const char *merge_sql;
    /* The rows of the stage. Those of an earlier stage travel as c0, c1, …, and are read through
     * result_view (CREATE TEMP VIEW over the input). NULL for the last stage. */
    struct ap_plan_column *columns;
    size_t column_count;
    const char *result_view;
};

/* Cells of a frame that are to lie in fewer, larger ones (query/compact.h): the stage's frame is the one that is
 * written to, its cells are those of the bins, one bin behind the other, and tasks end where bins do. */
struct ap_plan_compaction {
    size_t *bins; /* cells of each */
    size_t bin_count;
    const char **cluster_by; /* columns that every new cell is sorted by */
    size_t cluster_count;
    const char *condition; /* as the log tells it; "" */
};

/* Where the rows of the last stage go, when the statement writes. The frame is found again by name and
 * id, or is to be made at a place that the catalogue would choose for it. */
struct ap_plan_write {
    struct ap_name3 name;
    struct ap_frame_id id; /* "": the frame is to be made */
    uint64_t base;         /* the version that the statement began with; of a frame that is there */
    const char *location;  /* to be made: its folder in the root store */
    /* What the frame is to be (to be made, or replaced); schema NULL: as it is at `base`. */
    const char *schema; /* Delta's schemaString */
    const char *description;
    const char **partition_by;
    size_t partition_count;
    const char **properties; /* key, value, in turn */
    size_t property_count;   /* pairs */
    const char *operation;   /* in the log */
    bool replace_all;        /* every cell of the base goes */
    bool reads_target;
    bool in_tasks; /* each task writes its own rows; else whoever merges writes those of all */
    bool sort;     /* rows come in no useful order */
    const char *head, *tail; /* head (query) tail: the rows, fitted to the frame's columns */
    uint64_t cell_bytes;     /* what cells are cut to; 0: by memory */
    uint64_t partitions_max;
    const struct ap_plan_compaction *compaction; /* NULL: rows of a query are written */
};

struct ap_plan {
    struct ap_arena arena; /* holds all of it */
    const char **setup;    /* ATTACH, CREATE SCHEMA: before the views of frames */
    size_t setup_count;
    const char *use;      /* USE …: last of all before the query */
    const char *settings; /* JSON object: the engine's settings, TimeZone among them */
    const char *values;   /* JSON list of parameters in the form of core/wire.h; "[]" */
    struct ap_plan_frame *frames;
    size_t frame_count;
    struct ap_plan_stage *stages; /* the last one is the statement */
    size_t stage_count;
    bool replayable; /* the same versions give the same rows, whoever runs it */
    const char *doubt; /* why that is not sure; NULL */
    bool plain;      /* the answer is the rows of the last stage's tasks, in any order */
    struct ap_plan_write *write; /* NULL: it reads; in the arena */
};

void ap_plan_free(struct ap_plan *plan);
/* Parts before which nothing has to be run: it can be handed over as it is. NULL: false. */
bool ap_plan_in_parts(const struct ap_plan *plan);
/* The type of a column, whatever its case; NULL: there is none. */
const char *ap_plan_files_type(const struct ap_plan_files *files, const char *column);
/* What keys of the reader's files end in, in words. */
const char *ap_plan_reader_endings(enum ap_plan_reader reader);
/* May a plan name this key as a file of the reader? It ends as the reader's files do, as what a node may
 * read by `apiary policy` does, and is no record of the store's own (_queries/, _swarm/, _registry/, any _delta_log/ or
 * _apiary_…/). codes: INVALID, DENIED */
AP_CHECKED enum apiary_code ap_plan_file_key_check(enum ap_plan_reader reader, const char *key, struct apiary_error *err);
/* The bytes that a file takes in a manifest, at most: there a plan is JSON in JSON in JSON. */
uint64_t ap_plan_file_bytes(const char *key, const char *etag);
/* Does it read files? Also such that are no Parquet? */
bool ap_plan_reads_files(const struct ap_plan *plan);
bool ap_plan_reads_text(const struct ap_plan *plan);
/* Has a stage of it several shards? */
bool ap_plan_has_union(const struct ap_plan *plan);

/* ---- cells of shards (plan_shards.c) ---- */

/* A stage's shard as neighbouring cells of its frame. */
struct ap_plan_share {
    const struct ap_plan_frame *frame;
    size_t first, count;
};
/* What of the task is cells of this shard. */
struct ap_plan_share ap_plan_share_of(const struct ap_plan *plan, const struct ap_plan_stage *stage,
    const struct ap_plan_task *task, size_t shard);
/* The first cell of the task; NULL: it has none. */
const char *ap_plan_first_cell(const struct ap_plan *plan, const struct ap_plan_stage *stage,
    const struct ap_plan_task *task);
/* Of all shards together. */
size_t ap_plan_shard_cells(const struct ap_plan *plan, const struct ap_plan_stage *stage);

/* codes: MEMORY */
AP_CHECKED enum apiary_code ap_plan_write(
    const struct ap_plan *plan, struct ap_bytes *out, struct apiary_error *err);
/* From anywhere. codes: CORRUPT (out of form), LIMIT, UNSUPPORTED (a newer format), MEMORY */
AP_CHECKED enum apiary_code ap_plan_read(
    struct ap_str text, struct ap_plan **out, struct apiary_error *err);

/* The plan of one SELECT of the session, without running it. *out NULL: it is not cut.
 * codes: those of resolving it */
AP_CHECKED enum apiary_code ap_plan_statement(
    struct ap_session *session, struct ap_str sql, struct ap_plan **out, struct apiary_error *err);

/* ---- running parts ---- */

/* Files of the results of earlier stages, by stage; -1 where a part needs none. Borrowed, read from
 * offset 0 whatever their position. */
struct ap_plan_run {
    struct ap_session *session; /* of the store that the plan is for */
    const struct ap_plan *plan;
    size_t stage;
    const int *results; /* plan->stage_count − 1 of them, or NULL for a plan of one stage */
    int width;          /* bees of the chamber; 0: all idle ones */
    const struct ap_cancel *cancel; /* of one part among several at once; NULL: the session's */
    bool told; /* how often and why tasks were taken over is wanted: one LIST more */
};
/* What a part cost, as far as known. */
struct ap_plan_figures {
    int tries;          /* 0: not known */
    char where[64];     /* the node; "": this one */
    char placed[64];    /* the node that it was given to; "": this one */
    bool balanced;      /* not where its first cell falls by hash: that node has its share */
    const char *taken;  /* why another one took it over last; static; NULL: none did */
    int bees;           /* of its chamber; 0: not known */
    int64_t wait_us;    /* until its frames were found and a chamber was free */
    int64_t compute_us; /* in the chamber, reading of cells included */
    int64_t cpu_us;
    int64_t write_us; /* of the partial */
    int64_t rows;
    uint64_t bytes; /* of the partial */
    uint64_t memory_bytes_peak;
    /* of remote cells: what was asked of the store, what came from it and from the cache, reads that waited */
    uint64_t requests, store_bytes, cache_bytes, page_waits;
};
/* Runs one task; its partial goes to the file `out` from offset 0. codes: those of a query; CORRUPT
 * or NOT_FOUND when the plan's frames or cells are not those of the store. */
AP_CHECKED enum apiary_code ap_plan_task(const struct ap_plan_run *run, size_t task, int out,
    struct ap_plan_figures *figures, struct apiary_error *err);
/* Runs the merge query over the partials of all tasks (by task); the stage's result goes to `out`. */
AP_CHECKED enum apiary_code ap_plan_merge(const struct ap_plan_run *run, const int *partials,
    int out, struct ap_plan_figures *figures, struct apiary_error *err);
/* The same, with rows that are read as they come. The files may be closed at once. result
 * must be new. */
AP_CHECKED enum apiary_code ap_plan_merge_rows(const struct ap_plan_run *run, const int *partials,
    struct ap_result *result, struct apiary_error *err);

/* ---- parts of a plan that writes (plan_write.c) ----
 * Cells lie under keys of their own and no log names them: whoever does a part again writes others.
 * What a part leaves is text: the cells that it made. Untrusted when it is read back. */

/* The last stage's task: runs it and stores its rows (write->in_tasks). figures may be NULL. codes: as
 * ap_plan_task, and those of writing */
AP_CHECKED enum apiary_code ap_plan_write_task(const struct ap_plan_run *run, size_t task,
    struct ap_bytes *out, struct ap_plan_figures *figures, struct apiary_error *err);
/* The last stage's merge: stores the rows of all partials (not write->in_tasks). */
AP_CHECKED enum apiary_code ap_plan_write_merge(const struct ap_plan_run *run, const int *partials,
    struct ap_bytes *out, struct apiary_error *err);
/* What all parts left, one behind the other: are the cells in order, and do they fit the frame
 * together? codes: LIMIT (partitions), CORRUPT (also: a compaction's rows do not add up), … */
AP_CHECKED enum apiary_code ap_plan_write_check(
    const struct ap_plan_run *run, struct ap_str content, struct apiary_error *err);
/* Commits them, once for good however often and by whomever it is done: `txn` goes into the log.
 * *version: -1 when another one did it. codes: of ap_ledger_commit and ap_catalog_register */
AP_CHECKED enum apiary_code ap_plan_commit(const struct ap_plan_run *run, const char *txn,
    struct ap_str content, int64_t *version, struct apiary_error *err);
/* The plan in the first line of what a statement left that was run as a whole, *cells the rest; no text: *out NULL.
 * codes: of ap_plan_read */
AP_CHECKED enum apiary_code ap_plan_held(struct ap_str content, struct ap_plan **out,
    struct ap_str *cells, struct apiary_error *err);
/* What that is together; the version is not in it. codes: CORRUPT */
struct ap_plan_wrote {
    int64_t rows, bytes;
    size_t cells;
    int64_t version; /* -1: not known */
};
AP_CHECKED enum apiary_code ap_plan_write_told(
    struct ap_str content, struct ap_plan_wrote *out, struct apiary_error *err);

/* A file for a partial or a result, without a name, in the scratch folder of this machine. */
AP_CHECKED enum apiary_code ap_plan_file(
    const struct ap_session *session, int *out, struct apiary_error *err);

/* The hash of the rows in such a file, the same in whatever order they stand, floats at 12 digits (in
 * lists and structs: all digits). digest is added to. */
AP_CHECKED enum apiary_code ap_rows_digest(struct ap_session *session, int fd,
    struct ap_bytes *digest, int64_t *rows, struct apiary_error *err);

/* ---- who else could run them ---- */

struct ap_spread_nodes {
    size_t nodes; /* alive, this one included */
    int bees;     /* of all of them together */
    uint64_t memory_per_bee_min;
};
/* Filled in by api from swarm. NULL in the world: this node alone. */
struct ap_spread_port {
    void *context;
    /* Must be quick: asked for each query that may be cut. */
    void (*nodes)(void *context, struct ap_spread_nodes *out);
    /* To which node each task of the stage would go now: figures[i].placed. */
    void (*place)(void *context, const struct ap_plan_run *run, struct ap_plan_figures *figures);
    /* Runs all tasks of the stage, wherever; partials[i] = a file open for reading, the caller's to
     * close, for every task on OK and for none on failure. figures has room for every task. */
    enum apiary_code (*run_stage)(void *context, const struct ap_plan_run *run, int *partials,
        struct ap_plan_figures *figures, struct apiary_error *err);
    /* Runs the last stage of a plan that writes, up to and with its commit, which outlives the caller.
     * codes: those of the statement; UNCERTAIN: it may yet be committed, and the hint tells how to find out */
    enum apiary_code (*run_write)(void *context, const struct ap_plan_run *run,
        struct ap_plan_wrote *wrote, struct apiary_error *err);
};

/* This node alone, or what the port says. */
struct ap_spread_nodes ap_spread_nodes_of(const struct ap_session *session);

#endif
