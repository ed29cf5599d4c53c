/* Reading: SELECT text to rows. Also used by write and copy, whose sources are queries.
 *
 *   source = ap_source_open(…)   names resolved, snapshots pinned, cells pruned, views planned
 *   … the caller runs jobs of its own on source->chamber, with source->setup before its SQL …
 *   ap_source_close
 */
#ifndef AP_QUERY_READ_H
#define AP_QUERY_READ_H

#include "query/query.h"
#include "sql/tree.h"

enum {
    AP_SOURCE_INPUTS_MAX = 16,
};

/* A frame that the statement reads, at one version. */
struct ap_scan {
    struct ap_entry entry;
    struct ap_at at;
    struct ap_ledger *ledger; /* borrowed from world->frames */
    struct ap_store *store;
    const char *prefix;
    struct ap_snapshot *snapshot;
    enum ap_prune_reason *reasons; /* a cell each: union over the references */
    size_t kept;
    uint64_t kept_bytes;
    char *view; /* the engine's name of its view: quoted "hive"."box"."frame" */
};

/* What the texts of a statement hold, see opaque.c. */
struct ap_opaque {
    bool compared; /* IS [NOT] DISTINCT FROM, TRUE or FALSE */
    bool joined;   /* OR, or what the engine may turn into it */
    bool extremes; /* min( or max( */
};
struct ap_tokens;
void ap_opaque_note(struct ap_opaque *opaque, const struct ap_tokens *tokens);
/* Must frames be read so that the engine pushes no condition into their files? */
bool ap_opaque(const struct ap_opaque *opaque);

/* Everything that the statement's engine work needs. */
struct ap_source {
    struct ap_session *session;
    struct ap_arena arena;
    struct ap_chamber *chamber; /* NULL while names are resolved */
    struct ap_cell_set *cells;
    struct ap_handler handler; /* over cells */
    bool paged;                /* some cells come from a store, page by page */
    struct ap_scan *scans;
    size_t scan_count, scan_capacity;
    const struct ap_cancel *cancel; /* the session's, unless the work is one of several at once */
    bool aside;                     /* one of several: tells no progress */
    const char *settings, *values;  /* of a plan, as JSON, in place of the session's; NULL */
    struct ap_needs *needs; /* of the engine beside the frames: resolve.c */
    struct ap_opaque opaque;
    struct ap_texts setup;  /* SQL to run before: ATTACH, views, USE, replays */
    struct ap_texts undo;   /* of the first of them, which may stand until the next statement (core/wire.h) */
    struct ap_bytes sql;    /* the query to run: the text, rewritten where it must be */
    yyjson_doc *tree;       /* NULL when the serialiser refused it */
    struct ap_tree_names names;
    struct ap_named_file *named; /* Parquet files that the text names: file_list.h */
    size_t named_count, named_capacity;
    bool alone; /* a text of it touches the engine's own books */
    bool apart; /* the text reads nothing but itself and the caller's tables */
    bool frugal; /* its jobs take one thread and few files at once: slower, with the least memory */
    bool limited; /* LIMIT or a sample within it, or in a view of it: what is above must not reach through (source.c) */
    bool kept;  /* its jobs share an engine instance with their like: ap_source_share */
    bool part;  /* … with parts of plans: ap_plan_part_share */
    bool lasting; /* the answers to its questions depend on nothing but their words: they are remembered */
    bool fragment; /* runs a task's fragment, whose columns are named by sql/cut.h */
    bool plain_frame; /* the text names one frame itself, and nothing else: no view of it */
    struct ap_bytes qualified; /* the text with all names completed: what CREATE VIEW stores */
    struct ArrowArrayStream input_streams[AP_SOURCE_INPUTS_MAX]; /* owned */
    struct ArrowArrayStream *inputs[AP_SOURCE_INPUTS_MAX];
    const char *input_names[AP_SOURCE_INPUTS_MAX];
    size_t input_count;
    bool staged; /* its jobs read files that it wrote, and leave the inputs alone: they are at their end */
};

/* Resolves `text` (one query) for the session: takes a chamber, asks for the syntax tree, pins
 * every frame, prunes, grants cells and files, and writes setup. text may be empty: then only the
 * chamber, the replays and USE are prepared (for VALUES, Arrow inputs and the like).
 * from_catalogue: the text came out of the bucket (view): it may not name files. */
AP_CHECKED enum apiary_code ap_source_open(struct ap_session *session, struct ap_str text,
    const struct apiary_query *query /* may be NULL */, struct ap_source **out,
    struct apiary_error *err);
/* The two halves of it: names, snapshots and pruning without a chamber held (a query that the
 * ledger answers needs no more); then chamber, granted cells and setup. */
AP_CHECKED enum apiary_code ap_source_resolve(struct ap_session *session, struct ap_str text,
    const struct apiary_query *query, struct ap_source **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_source_prepare(struct ap_source *source, struct apiary_error *err);
void ap_source_close(struct ap_source *source); /* gives the chamber back */
/* How many bees the query should ask for: all, or (by what it reads) AP_WIDTH_SMALL. */
int ap_source_width(const struct ap_source *source);
/* Takes a chamber of `width` bees (as ap_chamber_take has it) unless the source holds one / gives it back
 * early. A ledger may itself need a chamber (checkpoints): NEVER ask for snapshots or commit while
 * a source of the same statement holds one, or the two wait for each other for ever. */
AP_CHECKED enum apiary_code ap_source_take(
    struct ap_source *source, int width, struct apiary_error *err);
void ap_source_rest(struct ap_source *source);
/* From here its jobs run on an instance that the chamber keeps for such: opening and closing one would
 * be most of the cost of a small statement. For queries, whose texts leave nothing in the engine but
 * what is rolled back. Does nothing where they may: files, table functions, macros, PIVOT, views of
 * the engine, frames of two hives. */
void ap_source_share(struct ap_source *source);
/* The same for a write, if it reads nothing but rows of its own or of the caller. */
void ap_source_keep(struct ap_source *source);

/* source_frame.c: the SELECT that gives the rows of a target's base in its schema's order, for what
 * rewrites cells (OPTIMIZE, DELETE, UPDATE): of all its cells, or of those that `keep` flags
 * (cell_count of them). The source holds a chamber. */
struct ap_target;
AP_CHECKED enum apiary_code ap_source_add_target(struct ap_source *source,
    const struct ap_target *target, const bool *keep, struct ap_bytes *select,
    struct apiary_error *err);

/* Moves an Arrow stream into the source as table `name` of the engine. */
AP_CHECKED enum apiary_code ap_source_add_input(struct ap_source *source, const char *name,
    struct ArrowArrayStream *stream, struct apiary_error *err);

/* How many threads the engine takes for it: struct ap_job's. */
int ap_source_threads(const struct ap_source *source);

/* The job document over setup: `result` is "arrow", "json", "none" or "files". */
AP_CHECKED enum apiary_code ap_source_job(struct ap_source *source, struct ap_str sql,
    const char *result, const struct apiary_query *query, struct ap_bytes *document,
    struct apiary_error *err);
/* Runs it to its end ("json", "none", "files"). */
AP_CHECKED enum apiary_code ap_source_run(struct ap_source *source, struct ap_str sql,
    const char *result, const struct apiary_query *query, struct ap_bytes *done,
    struct ap_job_stats *stats, struct apiary_error *err);

/* The same for a question of ours ("json"): the caller's tables stand in without rows, so that
 * nothing of them is used up. */
AP_CHECKED enum apiary_code ap_source_ask(struct ap_source *source, struct ap_str sql,
    const struct apiary_query *query, struct ap_bytes *done, struct apiary_error *err);

/* The engine's error() in statements of ours carries this mark, so that the failure comes out as
 * SCHEMA. */
#define AP_SCHEMA_MARK "apiary-schema: "

/* Puts a failure of the chamber into the user's words: a cell that could not be opened or is not
 * what the ledger says is named by frame and key. Changes *err, returns its code. */
enum apiary_code ap_source_explain_failure(
    struct ap_source *source, enum apiary_code code, struct apiary_error *err);

/* Does the text have a word of LIMIT, OFFSET, FETCH or a sample? */
bool ap_source_says_limit(struct ap_str text);
/* The engine's settings of the session, as a JSON object. */
AP_CHECKED enum apiary_code ap_source_settings(
    struct ap_source *source, struct ap_bytes *out, struct apiary_error *err);

/* One column of a query's answer, by the engine's DESCRIBE. */
struct ap_described {
    char *name;
    char *type; /* the engine's text: "DECIMAL(10,2)", "STRUCT(a INTEGER)" */
    bool cut;   /* the engine's name has a zero byte, before which this one ends */
};
struct ap_described_list {
    struct ap_described *items;
    size_t count;
    size_t capacity;
};
void ap_described_list_done(struct ap_described_list *list);
/* Both texts are copied. */
AP_CHECKED enum apiary_code ap_described_add(struct ap_described_list *list, const char *name,
    const char *type, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_source_describe(struct ap_source *source, struct ap_str sql,
    const struct apiary_query *query, struct ap_described_list *out, struct apiary_error *err);

/* shape.c: the SELECT over read_parquet that gives the frame's rows in its schema's order. The
 * cells that are kept are granted in `cells`. */
AP_CHECKED enum apiary_code ap_shape_sql(
    struct ap_source *source, struct ap_scan *scan, struct ap_bytes *out, struct apiary_error *err);
/* The same without any row. */
AP_CHECKED enum apiary_code ap_shape_nothing(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err);
/* A query without rows is put together in `out`, empty at first: a column after the other, then the end. */
AP_CHECKED enum apiary_code ap_nothing_column(
    struct ap_bytes *out, struct ap_str type, struct ap_str name, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_nothing_end(struct ap_bytes *out, struct apiary_error *err);

#endif
