/* Dividing a SELECT: private to this room.
 *
 *   make    names resolved and pinned (a source) → a plan, or the reason why there is none
 *   run     all stages: tasks here or (ap_spread_port) elsewhere, then the merge */
#ifndef AP_QUERY_SPREAD_H
#define AP_QUERY_SPREAD_H

#include "query/plan.h"
#include "query/read.h"

/* What may be asked of the planner; zero is what a user gets. */
struct ap_plan_wish {
    const struct apiary_query *query; /* the values of parameters; NULL: there are none */
    size_t tasks;         /* of each stage that is cut, as far as there are cells; 0: by size */
    unsigned mistakes;    /* enum ap_cut_mistake: tests */
    uint64_t first_bytes; /* see ap_cut_options; 0: the size of a task */
    const struct ap_described_list *columns; /* of the files that it reads, and of nothing else; NULL: they are asked for */
};
/* The environment's APIARY_TEST_CUT ("tasks=3,first=1,mistakes=0"): for tests alone. */
struct ap_plan_wish ap_plan_wish_of_tests(void);

struct ap_plan_made {
    struct ap_plan *plan;  /* NULL: not cut */
    struct ap_bytes why;   /* then: one line, "it reads no frame" */
};
void ap_plan_made_done(struct ap_plan_made *made);

/* source: resolved, not prepared; takes a chamber of one bee for its questions and gives it back. A
 * query that cannot be cut is no failure. */
AP_CHECKED enum apiary_code ap_plan_make(struct ap_source *source, const struct ap_plan_wish *wish,
    struct ap_plan_made *out, struct apiary_error *err);

/* Items (cells, or what else is worked on as a whole) dealt out to tasks, neighbours together. */
struct ap_plan_deal {
    const struct ap_session *session;
    const uint64_t *sizes; /* bytes of each item */
    size_t count;
    size_t wanted; /* tasks, as far as there are items; 0: by size, and enough for every bee */
};
/* Tasks of about equal size, in the arena, their `first` and `count` in items; one at least. */
AP_CHECKED enum apiary_code ap_plan_deal(const struct ap_plan_deal *deal, struct ap_arena *arena,
    struct ap_plan_task **out, size_t *out_count, struct apiary_error *err);
/* What the smallest bee holds of cells; less where cells are to be smaller than that. */
uint64_t ap_plan_task_bytes(const struct ap_session *session);

/* Should a statement that reads so many bytes of cells be divided? false with *why (static text) when not. */
bool ap_spread_worth(const struct ap_session *session, uint64_t bytes, const char **why);
/* Bytes of the cells and Parquet files that it reads. */
uint64_t ap_spread_bytes(const struct ap_source *source);
/* Should a statement over this source be divided? false with *why (static text) when not. */
bool ap_spread_wanted(struct ap_source *source, const char **why);

/* EXPLAIN of it, into the column of texts. run: ANALYZE. *divided: it is distributed. */
AP_CHECKED enum apiary_code ap_explain_spread(struct ap_source *source,
    const struct apiary_query *query, bool run, struct ap_rows *rows, bool *divided, struct apiary_error *err);

/* Runs the plan; rows come out of the result. */
AP_CHECKED enum apiary_code ap_spread_run(struct ap_session *session, const struct ap_plan *plan,
    struct ap_result *result, struct apiary_error *err);

/* What became of each task (EXPLAIN ANALYZE), by stage. */
struct ap_spread_told {
    struct ap_plan_figures *tasks; /* of all stages, one after the other */
    size_t task_count;
    struct ap_plan_figures merges[AP_PLAN_STAGES_MAX];
    int64_t elapsed_us[AP_PLAN_STAGES_MAX];
    bool in_full; /* wanted: ap_plan_run.told */
};
void ap_spread_told_done(struct ap_spread_told *told);
/* All stages but the last one's merge: *partials of the last stage (task_count descriptors, the
 * caller's) and results of the others. */
struct ap_spread_files {
    int *partials;
    size_t partial_count;
    int results[AP_PLAN_STAGES_MAX];
};
void ap_spread_files_done(struct ap_spread_files *files);
/* The stages before the last one alone: results. */
AP_CHECKED enum apiary_code ap_spread_firsts(struct ap_session *session, const struct ap_plan *plan,
    struct ap_spread_files *files, struct ap_spread_told *told, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_spread_stages(struct ap_session *session, const struct ap_plan *plan,
    struct ap_spread_files *files, struct ap_spread_told *told, struct apiary_error *err);

#endif
