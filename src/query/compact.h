/* Compaction: the same rows in fewer, larger, better sorted cells.
 *
 * A bin is a set of neighbouring cells of one partition that become one or a few new ones. A cell is
 * worth it when it is smaller than half of the leafcutter's target, has a deletion vector, or is not
 * sorted as the frame asks. Bins are filled to the target, so that what was compacted once is left
 * alone until something new comes beside it.
 *
 * Invariants
 *  (1) A commit removes the cells of its bins and adds what was made of exactly those rows, with
 *      dataChange = false: appends never conflict with it, and it loses to whoever removed one of
 *      them. (2) Rows are counted: a bin that gives another number than the ledger says is not
 *      committed. (3) Until a commit nothing is visible; a crash leaves objects that no log names,
 *      for vacuum. */
#ifndef AP_QUERY_COMPACT_H
#define AP_QUERY_COMPACT_H

#include "query/cellwriter.h"

struct ap_compact_options {
    struct ap_str condition;           /* over partition columns; empty: the whole frame */
    const struct ap_texts *cluster_by; /* sort every cell by these; NULL: as the frame says */
    size_t cells_min;                  /* bins of fewer cells are left alone; 0: 2 */
    int width;                         /* bees; 0: all idle ones */
    bool yields;                       /* give way to a statement that waits: CANCELLED */
    /* Asked before each bin: false stops, and what was made so far is committed. NULL: go on. */
    bool (*may_go_on)(void *context);
    void *context;
};

struct ap_bin {
    size_t first, count; /* in the plan's order */
    uint64_t bytes;
    int64_t deleted_rows; /* by deletion vectors */
};
struct ap_compact_plan {
    size_t *order; /* indexes of cells of the snapshot, neighbours of a partition together */
    size_t count;
    struct ap_bin *bins;
    size_t bin_count, bin_capacity;
    bool sorts;
};
void ap_compact_plan_done(struct ap_compact_plan *plan);

/* Pure. chosen: flags of the cells that may be touched, NULL for all. sorted_tag: cells are to be
 * sorted, and those whose tags hold it are (empty: no order is asked for). all: every chosen cell
 * is worth it. */
struct ap_compact_rules {
    struct ap_leafcutter cut;
    struct ap_str sorted_tag;
    size_t cells_min;
    bool all;
};
AP_CHECKED enum apiary_code ap_compact_plan(const struct ap_snapshot *snapshot, const bool *chosen,
    const struct ap_compact_rules *rules, struct ap_compact_plan *out, struct apiary_error *err);

struct ap_compacted {
    size_t cells_before, cells_after, commits;
    int64_t bytes_before, bytes_after, deleted_rows;
    uint64_t version; /* of the last commit, or of what was looked at */
    bool stopped;     /* may_go_on said no */
};
/* codes: CONFLICT (lost to other writers three times), CORRUPT (rows do not add up), and what reading
 * and committing give. What was committed before a failure stays. */
AP_CHECKED enum apiary_code ap_compact(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compacted *out, struct apiary_error *err);

/* The plan that ap_compact would begin with: DRY RUN. */
AP_CHECKED enum apiary_code ap_compact_look(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compact_plan *out,
    struct apiary_error *err);

#endif
