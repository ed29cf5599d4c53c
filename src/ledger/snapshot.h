/* A frame at one version: the fold of its log (delta.md, sections 2 and 3). */
#ifndef AP_LEDGER_SNAPSHOT_H
#define AP_LEDGER_SNAPSHOT_H

#include "core/predicate.h"
#include "ledger/schema.h"
#include "storage/store.h"

#define AP_VERSION_NONE UINT64_MAX

struct ap_deletion_vector {
    struct ap_str storage; /* "u", "i", "p"; empty: there is none */
    struct ap_str path_or_inline;
    bool has_offset;
    int64_t offset, size_bytes, cardinality;
};

/* One live cell (an add action). All text lives as long as the snapshot. */
struct ap_cell {
    struct ap_str path; /* exactly as in the log (percent-encoded) */
    const struct ap_str
        *partition_values; /* in the order of metadata.partition_by; data NULL = null */
    int64_t size_bytes;
    int64_t modified_ms;
    int64_t row_count;   /* stats.numRecords, physical; -1 unknown */
    struct ap_str stats; /* JSON text, "" when absent */
    struct ap_str tags;  /* JSON object text, "" when absent */
    struct ap_deletion_vector deletion_vector;
    int64_t base_row_id, default_row_commit_version; /* -1: none */
};

/* A tombstone: kept for vacuum and checkpoints. */
struct ap_tombstone {
    struct ap_str path;
    const struct ap_deletion_vector *deletion_vector; /* NULL: none */
    int64_t deleted_ms;
    int64_t size_bytes; /* -1 unknown */
};
struct ap_property {
    struct ap_str key, value;
};
struct ap_txn {
    struct ap_str app_id;
    int64_t version;
    int64_t updated_ms; /* -1 none */
};
struct ap_domain {
    struct ap_str domain, configuration;
};

struct ap_protocol {
    int min_reader, min_writer;
    const struct ap_str *reader_features;
    size_t reader_feature_count;
    const struct ap_str *writer_features;
    size_t writer_feature_count;
};
struct ap_metadata {
    struct ap_str id, name, description;
    struct ap_str schema_json;
    struct ap_schema schema;
    const struct ap_str *partition_by; /* spelled as in the schema */
    const size_t *partition_columns;   /* their places in the schema */
    size_t partition_count;
    const struct ap_property *configuration;
    size_t configuration_count;
    int64_t created_ms; /* -1 unknown */
};

/* Immutable once made; shared by reference count between threads. */
struct ap_memory; /* what the snapshot's pointers point into; shared with its successors */
struct ap_snapshot {
    _Atomic int references;
    struct ap_memory *memory;
    uint64_t version;
    int64_t timestamp_ms; /* of the commit: inCommitTimestamp or the object's time (of a commit that
                           * this process has just made: its own clock) */
    struct ap_protocol protocol;
    struct ap_metadata metadata;
    const struct ap_str *partition_names; /* of metadata.partition_by in the log: physical names */
    const struct ap_cell *cells;          /* in commit order, then order in the commit */
    size_t cell_count;
    const struct ap_tombstone *tombstones;
    size_t tombstone_count;
    const struct ap_txn *txns;
    size_t txn_count;
    const struct ap_domain *domains;
    size_t domain_count;
    uint64_t checkpoint_version; /* the one it was read from, AP_VERSION_NONE */
};
void ap_snapshot_ref(struct ap_snapshot *snapshot);
void ap_snapshot_unref(struct ap_snapshot *snapshot); /* NULL fine */

/* Value of a table property, or NULL data when it is not set. */
struct ap_str ap_snapshot_property(const struct ap_snapshot *snapshot, const char *key);
bool ap_snapshot_has_feature(const struct ap_snapshot *snapshot, const char *feature);
/* Live rows: sum of row_count minus deletion vectors; false when a cell does not say. */
bool ap_snapshot_row_count(const struct ap_snapshot *snapshot, int64_t *rows);
uint64_t ap_snapshot_bytes(const struct ap_snapshot *snapshot);
/* Exact minimum or maximum of a whole column from statistics alone; only for integers, dates
 * and decimals, when every cell has the figure and none a deletion vector (design, section 3).
 * *text in the engine's form; *is_null when there are no non-null rows. false: read the cells. */
bool ap_snapshot_extreme(const struct ap_snapshot *snapshot, size_t column, bool maximum,
    struct ap_bytes *text, bool *is_null);
/* May this program write to it (writer features, delta.md 6)? UNSUPPORTED names the feature. */
AP_CHECKED enum apiary_code ap_snapshot_check_writable(
    const struct ap_snapshot *snapshot, struct apiary_error *err);

/* Why a cell was dropped. */
enum ap_prune_reason { AP_KEPT = 0, AP_DROPPED_PARTITION, AP_DROPPED_STATISTICS };
/* Decides for every cell whether rows that satisfy `predicate` can be in it. reasons has
 * cell_count entries. Never drops a cell that could hold a matching row: NaN, cut strings,
 * rounded timestamps, missing statistics, casts that are not exact all keep it. Comparison
 * of strings is by UTF-8 bytes (the engine's default collation). Returns how many are kept. */
size_t ap_prune(const struct ap_snapshot *snapshot, const struct ap_predicate *predicate,
    enum ap_prune_reason *reasons);

/* The cell's path as key below the frame's location: decoded once, normalised. *absolute: it
 * is a URI or absolute path instead (shallow clones) and stands in out as such.
 * CORRUPT for "..", "//", NUL and the like; the message has the path. */
AP_CHECKED enum apiary_code ap_cell_key(
    const struct ap_cell *cell, struct ap_bytes *out, bool *absolute, struct apiary_error *err);

#endif
