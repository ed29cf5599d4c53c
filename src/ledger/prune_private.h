/* Reading add.stats, and pruning one cell (for conflicts). For this folder. */
#ifndef AP_LEDGER_PRUNE_PRIVATE_H
#define AP_LEDGER_PRUNE_PRIVATE_H

#include "ledger/snapshot.h"

/* Could rows of the cell satisfy the predicate, judged by its partition values and statistics? */
bool ap_prune_may_match(const struct ap_snapshot *snapshot, const struct ap_predicate *predicate,
    const struct ap_cell *cell);

enum { AP_PATH_DEPTH_MAX = AP_SCHEMA_DEPTH_MAX };

/* A column of the schema by its path; names as files and statistics have them. */
struct ap_column_path {
    const struct ap_type *type; /* NULL: there is no such column */
    struct ap_str names[AP_PATH_DEPTH_MAX];
    size_t depth;
    size_t partition; /* place in partition_by, or SIZE_MAX */
};
void ap_column_resolve(const struct ap_snapshot *snapshot, const struct ap_str *path, size_t depth,
    struct ap_column_path *out);

/* Statistics of one cell after another. Malformed ones are as if absent. Numbers stay text. */
struct ap_stats_reader {
    yyjson_doc *doc;
    yyjson_val *min, *max, *nulls; /* objects or NULL */
    int64_t row_count;             /* -1 */
    bool wide;                     /* tightBounds is false */
};
void ap_stats_reader_done(struct ap_stats_reader *reader);
void ap_stats_reader_open(struct ap_stats_reader *reader, struct ap_str stats);
/* The member at a path: text of a number, a string or a boolean; false when absent. */
bool ap_stats_text(yyjson_val *object, const struct ap_column_path *column, struct ap_str *out);
/* nullCount of a column; -1 unknown. */
int64_t ap_stats_nulls(const struct ap_stats_reader *reader, const struct ap_column_path *column);

#endif
