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
 *      for vacuum.
 *
 *   compact.c        which cells; this node's work, bin after bin
 *   compact_bin.c    one bin, and the commit
 *   compact_spread.c the same work handed to all nodes: one commit of everything
 *   plan_compact.c   a task of that, on whichever node has it */
#ifndef AP_QUERY_COMPACT_H
#define AP_QUERY_COMPACT_H

#include "query/cellwriter.h"
#include "query/plan.h"

struct ap_compact_options {
    struct ap_str condition;           /* over partition columns; empty: the whole frame */
    const struct ap_texts *cluster_by; /* sort every cell by these; NULL: as the frame says */
    size_t cells_min;                  /* bins of fewer cells are left alone; 0: 2 */
    int width;                         /* bees; 0: all idle ones */
    bool yields;                       /* give way to a statement that waits: CANCELLED */
    bool shared; /* by all nodes that are there, by the rules for statements that write */
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
    struct ap_bin all; /* the sum of the bins; first: 0 */
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

/* ---- bins and commits (compact_bin.c) ---- */

/* What all bins of a compaction have in common. */
struct ap_compact_work {
    struct ap_session *session;
    struct ap_target *target;          /* with a base */
    const struct ap_texts *cluster_by; /* new cells are sorted by these */
    struct ap_str tag; /* a member of the tags of cells that are sorted; empty: no order is asked for */
    int width;         /* bees; 0: all idle ones */
    bool yields;
    const struct ap_cancel *cancel; /* of one bin among several at once; NULL: the session's */
};
/* The cells (of one partition, indexes into the base) become new ones, behind those that `out` has.
 * codes: CORRUPT (rows do not add up), and what reading and writing give */
AP_CHECKED enum apiary_code ap_compact_bin(const struct ap_compact_work *work, const size_t *cells,
    size_t count, struct ap_written *out, struct apiary_error *err);

struct ap_compact_commit {
    const struct ap_cell *const *removes; /* of the base: what the new cells stand for */
    size_t remove_count;
    struct ap_str condition;
    const char *txn;         /* once for good under this id (EXISTS: it was); else NULL */
    int64_t expires_mono_us; /* 0: as the cells' age says */
};
AP_CHECKED enum apiary_code ap_compact_commit(const struct ap_compact_work *work,
    const struct ap_compact_commit *how, const struct ap_written *written, uint64_t *version,
    struct apiary_error *err);

/* Rows that the ledger says cells have (deleted ones apart); -1: it does not say. */
int64_t ap_compact_rows(const struct ap_snapshot *base, const size_t *cells, size_t count);
/* codes: CORRUPT */
AP_CHECKED enum apiary_code ap_compact_check_rows(
    const struct ap_target *target, int64_t expected, int64_t rows, struct apiary_error *err);
bool ap_cell_has_deleted_rows(const struct ap_cell *cell);
int64_t ap_cell_deleted_rows(const struct ap_cell *cell);
/* "" means null to every reader: both are one partition. < 0, 0, > 0 */
int ap_compact_compare_partition(
    const struct ap_snapshot *snapshot, const struct ap_cell *a, const struct ap_cell *b);

/* ---- by all nodes (compact_spread.c) ---- */

struct ap_compact_order {
    struct ap_compact_work *work;
    const struct ap_compact_plan *plan;
    struct ap_str condition;
    uint64_t cell_bytes; /* that cells are cut to */
};
/* Shares the plan's bins out, up to and with the commit. *tasks 0: it is not worth it, nothing was
 * done. codes: those of a statement that writes (struct ap_spread_port) */
AP_CHECKED enum apiary_code ap_compact_share(const struct ap_compact_order *order,
    size_t *tasks, struct ap_plan_wrote *wrote, struct apiary_error *err);
/* The plan of that (to be freed; *compaction, for its ap_plan_write, is in its arena), without running it. *out NULL: it stays on this node, *why (static text). */
AP_CHECKED enum apiary_code ap_compact_shared_plan(const struct ap_compact_order *order,
    struct ap_plan **out, struct ap_plan_compaction **compaction, const char **why,
    struct apiary_error *err);

struct ap_compacted {
    size_t cells_before, cells_after, commits;
    int64_t bytes_before, bytes_after, deleted_rows;
    uint64_t version; /* of the last commit, or of what was looked at */
    bool stopped;     /* may_go_on said no */
    size_t shared_tasks; /* of the last commit; 0: this node did it alone */
};
/* codes: CONFLICT (lost to other writers three times), CORRUPT (rows do not add up), and what reading
 * and committing give. What was committed before a failure stays. */
AP_CHECKED enum apiary_code ap_compact(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compacted *out, struct apiary_error *err);

/* The plan that ap_compact would begin with: DRY RUN. */
AP_CHECKED enum apiary_code ap_compact_look(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, struct ap_compact_plan *out,
    struct apiary_error *err);
/* A notice of how such a plan would be shared out, or why it would not; none where this node is alone. */
AP_CHECKED enum apiary_code ap_compact_tell(struct ap_session *session, struct ap_target *target,
    const struct ap_compact_options *options, const struct ap_compact_plan *plan,
    struct apiary_error *err);

#endif
