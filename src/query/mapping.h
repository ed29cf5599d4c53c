/* Column mapping in SQL: columns and fields of structs whose names in the files are physical. */
#ifndef AP_QUERY_MAPPING_H
#define AP_QUERY_MAPPING_H

#include "ledger/snapshot.h"

/* Does a value of this type hold fields that the files call otherwise? */
bool ap_mapping_needed(const struct ap_type *type);
/* The expression that gives `value` (SQL) with logical field names. `file_type` is the engine's
 * type text of the value in the files: fields that are missing there become NULL. */
AP_CHECKED enum apiary_code ap_mapping_sql(struct ap_bytes *out, struct ap_str value,
    const struct ap_type *type, struct ap_str file_type, struct apiary_error *err);

/* Writing: the columns that `select` gives by the frame's names, called as in the files.
 * partition_columns: it gives them as well. */
AP_CHECKED enum apiary_code ap_mapping_select(const struct ap_metadata *metadata,
    bool partition_columns, struct ap_str select, struct ap_bytes *out, struct apiary_error *err);
/* ", FIELD_IDS {…}" for COPY; nothing where columns have no ids. */
AP_CHECKED enum apiary_code ap_mapping_ids(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err);

#endif
