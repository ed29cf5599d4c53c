/* CLUSTER BY: the columns that a frame's rows are sorted by inside its cells, so that statistics
 * prune. Kept in a table property of ours (decision 13), which other engines carry along. */
#ifndef AP_QUERY_CLUSTER_H
#define AP_QUERY_CLUSTER_H

#include "query/target.h"

#define AP_CLUSTER_PROPERTY "apiary.clusterBy"
enum { AP_CLUSTER_COLUMNS_MAX = 8 };

/* The columns in force, as the schema spells them; none when the property is missing, or is not
 * what we write (it may come from anyone). Columns that are gone are left out. */
AP_CHECKED enum apiary_code ap_cluster_columns(
    const struct ap_metadata *metadata, struct ap_texts *out, struct apiary_error *err);

/* The property's value for columns that a user names. codes: SCHEMA (no such column, a partition
 * column, a type without a useful order), LIMIT */
AP_CHECKED enum apiary_code ap_cluster_value(const struct ap_metadata *metadata,
    const struct ap_texts *columns, struct ap_bytes *out, struct apiary_error *err);

/* Appends " ORDER BY a, b"; nothing for no columns. */
AP_CHECKED enum apiary_code ap_cluster_order(
    const struct ap_texts *columns, struct ap_bytes *out, struct apiary_error *err);

/* What compaction writes into the tags of cells that it has sorted: "apiary.sorted":"1-…" */
AP_CHECKED enum apiary_code ap_cluster_tag(
    const struct ap_texts *columns, struct ap_bytes *out, struct apiary_error *err);

#endif
