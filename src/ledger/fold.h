/* The fold: a table's state while actions are applied to it, oldest first (delta.md 2.1).
 *
 * A fold publishes snapshots and goes on. Successive snapshots share memory, so that an append
 * to a table of many cells costs the new cells and no more:
 *
 *   text     one arena for all text, shared by reference; only the fold adds to it
 *   lists    cells, tombstones, txns, domains are arrays in counted blocks. A snapshot sees the
 *            first n entries of a block; the fold appends behind them in place. What changes an
 *            entry that a snapshot can see copies the block first.
 *
 * (1) Nothing that a published snapshot can reach is ever written again.
 * (2) `index` maps the key (path, deletion vector) of each live cell to its place in `cells`.
 * (3) A dead cell has path.data == NULL; there are none in a published snapshot.
 *
 * Rejected: newest to oldest with a set of seen keys. It keeps less garbage on a cold read, but
 * needs the partition columns before they are known and a second algorithm for refreshing.
 * Not thread-safe; the ledger's lock guards its fold. */
#ifndef AP_LEDGER_FOLD_H
#define AP_LEDGER_FOLD_H

#include "ledger/action.h"
#include "ledger/snapshot_private.h"

#define AP_CELLS_MAX (UINT32_MAX - 2)

struct ap_cell_index {
    uint64_t *slots; /* 0 free; high half hash, low half place + 1; low half UINT32_MAX: deleted */
    size_t slot_count, used, filled;
};
void ap_cell_index_done(struct ap_cell_index *index);
/* Path and vector of a cell as one identity; paths are compared after one percent-decoding, since
 * writers differ in what they encode (delta.md 2.1). */
uint32_t ap_cell_hash(struct ap_str path, const struct ap_deletion_vector *vector);
bool ap_cell_same(
    const struct ap_cell *cell, struct ap_str path, const struct ap_deletion_vector *vector);
/* Place in cells, or SIZE_MAX. */
size_t ap_cell_index_find(const struct ap_cell_index *index, const struct ap_cell *cells,
    struct ap_str path, const struct ap_deletion_vector *vector);
AP_CHECKED enum apiary_code ap_cell_index_put(
    struct ap_cell_index *index, uint32_t hash, size_t place, struct apiary_error *err);
void ap_cell_index_remove(struct ap_cell_index *index, uint32_t hash, size_t place);

struct ap_list_of {
    struct ap_block *block;
    size_t count, capacity;
};

struct ap_fold {
    struct ap_text *text;
    struct ap_list_of cells, tombstones, txns, domains;
    struct ap_cell_index index;
    size_t dead;                            /* cells marked dead since the last publication */
    size_t live_bytes;                      /* of text that live cells and tombstones hold, about */
    bool has_protocol, has_metadata, empty; /* empty: no version was applied yet */
    uint64_t version;
    int64_t timestamp_ms;
    struct ap_protocol protocol;
    struct ap_metadata metadata;
    const struct ap_str *partition_names; /* keys of partitionValues: physical names */
    uint64_t checkpoint_version;
};

/* After a failure `fold` is zeroed. */
AP_CHECKED enum apiary_code ap_fold_init(struct ap_fold *fold, struct apiary_error *err);
void ap_fold_done(struct ap_fold *fold);

/* Applies one action. Protocol and metaData of a commit must come before its files. */
AP_CHECKED enum apiary_code ap_fold_action(
    struct ap_fold *fold, const struct ap_action *action, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_fold_add(
    struct ap_fold *fold, const struct ap_file_action *add, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_fold_remove(
    struct ap_fold *fold, const struct ap_file_action *remove, struct apiary_error *err);

/* Applies a whole commit and moves to its version. key: for messages. modified_ms: of the object;
 * -1: take commitInfo's. After a failure the fold is good for nothing but done. */
AP_CHECKED enum apiary_code ap_fold_commit(struct ap_fold *fold, uint64_t version,
    struct ap_str body, const char *key, int64_t modified_ms, struct apiary_error *err);

/* The state as a snapshot (one reference, the caller's). Checks the protocol (UNSUPPORTED by
 * feature) and that protocol and metaData are there (CORRUPT). */
AP_CHECKED enum apiary_code ap_fold_publish(
    struct ap_fold *fold, struct ap_snapshot **out, struct apiary_error *err);

/* fold_copy.c: what is alive in `from`, with all its text, into a fresh `to`. */
AP_CHECKED enum apiary_code ap_fold_copy(
    const struct ap_fold *from, struct ap_fold *to, struct apiary_error *err);

/* stats.numRecords, -1 when it does not say. */
int64_t ap_stats_row_count(struct ap_str stats);

#endif
