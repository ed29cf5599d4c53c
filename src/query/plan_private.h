/* What the files of plans share: one part of a plan as a source, names in its JSON. */
#ifndef AP_QUERY_PLAN_PRIVATE_H
#define AP_QUERY_PLAN_PRIVATE_H

#include "query/plan.h"
#include "query/read.h"

extern const char *const ap_plan_reader_names[AP_PLAN_READERS]; /* in JSON */

struct ap_plan_part {
    const struct ap_plan_run *run;
    const struct ap_plan_list *frames, *stages;
    const struct ap_plan_task *task; /* NULL: the merge */
    const int *partials;             /* of the merge; NULL: none */
    bool through; /* a task whose rows go on through the merge query, in the same chamber */
    struct ap_bytes *with; /* gets "WITH … " to put before the text: shards, and what is merged, which are bound once then. NULL: they are views */
};
/* Has the part run in an instance kept for parts of plans, where the chamber has room for one, and the part's texts leave
 * nothing behind (plan_kept.c). The source has its chamber and its set-up: schemas, `made` views of its scans, of which the first `views` are
 * no temporary ones, then what the plan says. `merged`: a query of the plan's that goes before the text; empty: none. */
AP_CHECKED enum apiary_code ap_plan_part_share(struct ap_source *source, const struct ap_plan *plan, struct ap_str text,
    struct ap_str merged, size_t views, size_t made, struct apiary_error *err);
/* Frames pinned and granted, inputs, a chamber, setup: ready for a query. `text` is the SQL that names
 * the frames. *wait_us: what that took. */
AP_CHECKED enum apiary_code ap_plan_part_open(const struct ap_plan_part *part, const char *text,
    struct ap_source **out, int64_t *wait_us, struct apiary_error *err);
struct ap_plan_part ap_plan_part_task(const struct ap_plan_run *run, size_t task);
struct ap_plan_part ap_plan_part_merge(const struct ap_plan_run *run, const int *partials);

/* What remote cells cost a part. */
void ap_plan_figures_paging(
    struct ap_plan_figures *figures, const struct ap_job_stats *job, struct ap_cache_figures cost);

/* The frame of this name in the registry, when it still is the one that the plan means. */
AP_CHECKED enum apiary_code ap_plan_find_entry(struct ap_session *session, const struct ap_name3 *name,
    const struct ap_frame_id *id, struct ap_entry *out, struct apiary_error *err);

/* ---- a plan that puts cells together (plan_compact.c) ---- */

struct ap_target;
struct ap_written;
/* A member for the tags of its new cells; empty for any other plan. */
AP_CHECKED enum apiary_code ap_plan_compact_tag(
    const struct ap_plan_write *write, struct ap_bytes *out, struct apiary_error *err);
/* The bins of one task into new cells: their line of text. figures may be NULL. codes: CORRUPT (cells that are
 * not there, rows that do not add up), and those of writing */
AP_CHECKED enum apiary_code ap_plan_compact_task(const struct ap_plan_run *run,
    const struct ap_plan_task *task, struct ap_target *target, struct ap_bytes *out,
    struct ap_plan_figures *figures, struct apiary_error *err);
/* Have the new cells as many rows as the old ones? *cells (ap_free): the old ones, indexes into the base.
 * codes: CORRUPT */
AP_CHECKED enum apiary_code ap_plan_compact_check(const struct ap_plan *plan,
    const struct ap_target *target, const struct ap_written *written, size_t **cells,
    struct apiary_error *err);
/* cells: as the check gives them */
AP_CHECKED enum apiary_code ap_plan_compact_commit(const struct ap_plan_run *run,
    struct ap_target *target, const size_t *cells, const struct ap_written *written, const char *txn,
    int64_t expires_mono_us, uint64_t *version, struct apiary_error *err);

#endif
