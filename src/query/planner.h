/* What makes a plan of a SELECT: shared by plan_make.c (the whole), plan_ask.c (what the engine is asked),
 * plan_tree.c (names, views and constants of a tree), plan_stage.c (one stage and its tasks) and plan_even.c. */
#ifndef AP_QUERY_PLANNER_H
#define AP_QUERY_PLANNER_H

#include "query/file_list.h"
#include "query/resolve.h"
#include "query/spread.h"

enum { AP_PLANNER_LISTS_MAX = 32 };

/* Frames of the plan are those of the source's scans, and behind them the lists of files. */
struct ap_planner {
    struct ap_source *source;
    const struct ap_plan_wish *wish;
    struct ap_plan *plan;
    struct ap_plan_made *made;
    struct ap_plan_frame lists[AP_PLANNER_LISTS_MAX];
    size_t list_count;
    uint64_t lists_bytes; /* of a manifest, at most */
    struct ap_texts empty;  /* set-up over views without rows */
    struct ap_texts firsts; /* stage i as a view without rows; "" for the last */
    struct ap_plan_stage stages[AP_PLAN_STAGES_MAX];
    bool plain; /* of the last stage */
};

/* ---- plan_ask.c ---- */

/* The plan is not to be: why. The first reason stands. */
AP_CHECKED enum apiary_code ap_planner_give_up(struct ap_planner *planner, const char *why, struct apiary_error *err);
bool ap_planner_gave_up(const struct ap_planner *planner);
/* Text that lives as long as the plan. */
AP_CHECKED enum apiary_code ap_planner_keep_text(
    struct ap_planner *planner, struct ap_str text, const char **out, struct apiary_error *err);
/* The SQL of a tree (JSON text), by the engine. */
AP_CHECKED enum apiary_code ap_planner_sql(
    struct ap_planner *planner, const struct ap_bytes *tree, struct ap_bytes *out, struct apiary_error *err);
/* Columns of `sql` over the empty views and `extra`. */
AP_CHECKED enum apiary_code ap_planner_describe(struct ap_planner *planner, struct ap_str sql,
    const struct ap_texts *extra, const struct apiary_query *query, struct ap_described_list *out,
    struct apiary_error *err);
/* A question to which the engine may say no (*bound false). */
AP_CHECKED enum apiary_code ap_planner_try_describe(struct ap_planner *planner, struct ap_str sql,
    const struct ap_texts *extra, struct ap_described_list *out, bool *bound,
    struct apiary_error *err);
/* Is one of the columns of `sql`, or something in one, NULL and nothing else? DESCRIBE, whose answer `columns` is, says INTEGER
 * then; within a query it has no type yet, and takes that of what it meets. */
AP_CHECKED enum apiary_code ap_planner_has_null(struct ap_planner *planner, struct ap_str sql, const struct ap_texts *extra,
    const struct ap_described_list *columns, bool *out, struct apiary_error *err);
/* Names, or types, of columns in the arena. */
AP_CHECKED enum apiary_code ap_planner_columns(const struct ap_described_list *list, bool types,
    struct ap_arena *arena, const char ***out, struct apiary_error *err);
/* "SELECT CAST(NULL AS t) AS n, … WHERE false" */
AP_CHECKED enum apiary_code ap_planner_nothing(const char *const *types, const char *const *names,
    size_t count, struct ap_bytes *out, struct apiary_error *err);
/* Views without rows for all that the source reads. */
AP_CHECKED enum apiary_code ap_planner_make_empty(struct ap_planner *planner, struct apiary_error *err);

/* ---- plan_tree.c ---- */

AP_CHECKED enum apiary_code ap_planner_scan(const struct ap_planner *planner, const struct ap_table_ref *ref,
    size_t *out, struct apiary_error *err);
size_t ap_planner_stage_of(const struct ap_table_ref *ref);
AP_CHECKED enum apiary_code ap_planner_reads(struct ap_planner *planner, const struct ap_bytes *tree_text,
    struct ap_plan_list *frames, struct ap_plan_list *stages, struct apiary_error *err);
/* Views of the catalogue put into the tree. */
AP_CHECKED enum apiary_code ap_planner_expand_views(
    struct ap_planner *planner, yyjson_doc **tree, struct apiary_error *err);
/* Constants of the moment become literals. */
AP_CHECKED enum apiary_code ap_planner_fix_constants(
    struct ap_planner *planner, yyjson_doc **tree, struct apiary_error *err);

/* ---- plan_files.c ---- */

/* Calls of read_parquet, read_csv and read_json over files that every node can read become tables: planner->lists. */
AP_CHECKED enum apiary_code ap_planner_take_files(
    struct ap_planner *planner, yyjson_doc **tree, struct apiary_error *err);
/* The list that the reference means, SIZE_MAX: none. */
size_t ap_planner_list(const struct ap_planner *planner, const struct ap_table_ref *ref);

/* What stands at an index of the plan's frames, scan or list. */
size_t ap_planner_frame_count(const struct ap_planner *planner);
uint64_t ap_planner_frame_bytes(const struct ap_planner *planner, size_t index);
/* Its columns without rows. */
AP_CHECKED enum apiary_code ap_planner_frame_nothing(
    struct ap_planner *planner, size_t index, struct ap_bytes *out, struct apiary_error *err);
/* Has a list a column of this name? *exact stays true if all of them are integers or decimals. */
bool ap_planner_list_column(const struct ap_planner *planner, struct ap_str name, bool *exact);

/* ---- plan_text.c ---- */

/* By whom the files are read; false: by none whose files are divided. */
bool ap_planner_reader(const struct ap_file_ref *ref, enum ap_plan_reader *out);
/* What leaves such a call to one node, by its arguments; NULL: nothing. */
const char *ap_planner_text_refusal(enum ap_plan_reader reader, const struct ap_file_ref *ref);
/* The call over some of its files; NULL: over all. */
AP_CHECKED enum apiary_code ap_planner_text_call(const struct ap_file_ref *ref, enum ap_plan_reader reader,
    const struct ap_plan_list *items, struct ap_bytes *out, struct apiary_error *err);
/* What a task needs beside columns, the call's being known, or why not. */
AP_CHECKED enum apiary_code ap_planner_take_text(struct ap_planner *planner, const struct ap_file_ref *ref,
    const struct ap_described_list *columns, struct ap_plan_files *files, struct apiary_error *err);

/* ---- plan_even.c ---- */

/* Tasks of aggregates made of more equal size: cells of the plan's frames, which must be there, change places. */
AP_CHECKED enum apiary_code ap_planner_even(struct ap_planner *planner, struct apiary_error *err);
/* The exchange itself: `order` names the cells that the tasks hold, whose `bytes` are the sums of `sizes`. The
 * largest task does not grow. */
void ap_plan_even_out(const uint64_t *sizes, size_t *order, struct ap_plan_task *tasks, size_t count);

/* ---- plan_stage.c ---- */

/* The statement of a tree as the stage `index` or, what must run before it, as earlier ones. */
AP_CHECKED enum apiary_code ap_planner_make_stage(struct ap_planner *planner, const struct ap_bytes *tree_text,
    struct ap_str sql, bool last, int level, size_t *out, struct apiary_error *err);

#endif
