/* The cell writer inside; private to cellwriter.c, cellwriter_figures.c and cellwriter_pieces.c. */
#ifndef AP_QUERY_CELLWRITER_PRIVATE_H
#define AP_QUERY_CELLWRITER_PRIVATE_H

#include "query/cellwriter.h"

/* Rows on their way into cells of one target. */
struct ap_writing {
    struct ap_source *source;
    const struct ap_target *target;
    struct ap_leafcutter cut;
    struct ap_str tags;
    struct ap_written *written;
    const struct ap_new_cell *parent; /* the partition that all files belong to; NULL: each tells */
    bool aside; /* what is written is no cell yet: nothing of it goes to the store */
};

/* cellwriter.c */

/* Runs a COPY in the source's chamber. *answer: what it tells of the files below output (core/wire.h: "files"),
 * the caller's. Unless `aside`, they begin to go to the store while they grow. */
AP_CHECKED enum apiary_code ap_writing_files(const struct ap_writing *writing, struct ap_str sql,
    const struct apiary_query *query, size_t output, yyjson_doc **answer, struct apiary_error *err);
/* COPY of the select's rows as Parquet into a new output of the target's store. */
AP_CHECKED enum apiary_code ap_writing_copy(const struct ap_writing *writing, struct ap_str select,
    const struct apiary_query *query, bool partitioned, size_t *output, yyjson_doc **answer,
    struct apiary_error *err);
/* Stores files that were written as cells. parent: the partition that they all belong to, NULL when each tells its own. */
AP_CHECKED enum apiary_code ap_writing_keep(struct ap_writing *writing, size_t output,
    yyjson_val *files, const struct ap_new_cell *parent, struct apiary_error *err);
/* Appends the select, ordered by partition (many would otherwise be written at once), then as CLUSTER BY asks. */
AP_CHECKED enum apiary_code ap_sorted_select(const struct ap_metadata *metadata, bool by_partition,
    const struct ap_texts *cluster_by, struct ap_str select, struct ap_bytes *out,
    struct apiary_error *err);
/* *select, where columns are mapped, with the names that they have in cells; kept in `mapped`. */
AP_CHECKED enum apiary_code ap_physical_select(const struct ap_metadata *metadata,
    bool partition_columns, struct ap_str *select, struct ap_bytes *mapped, struct apiary_error *err);

/* cellwriter_figures.c: what the engine tells of a file (`row` of its answer) */

/* Copies a text into the arena; false: no memory. */
bool ap_writing_text(struct ap_arena *arena, struct ap_str text, struct ap_str *out);
/* The engine's text of a partition value in the ledger's form (delta.md 5.2). codes: SCHEMA */
AP_CHECKED enum apiary_code ap_partition_text(
    const struct ap_type *type, struct ap_str text, struct ap_bytes *out, struct apiary_error *err);
/* A file's name (the answer's), rows and bytes. No rows: no cell.
 * codes: CORRUPT, where one is missing, or no file can be so */
struct ap_figures {
    const char *name;
    int64_t rows, bytes;
};
AP_CHECKED enum apiary_code ap_read_figures(
    yyjson_val *row, struct ap_figures *out, struct apiary_error *err);
/* Adds a file's rows and bytes. codes: CORRUPT, where the sum is more than an int64 holds */
AP_CHECKED enum apiary_code ap_add_figures(struct ap_figures *sum, const struct ap_figures *file, struct apiary_error *err);
/* Fills in the cell's values and the folders of its key ("month=3/"). */
AP_CHECKED enum apiary_code ap_read_partition(const struct ap_metadata *metadata, yyjson_val *row,
    struct ap_written *written, struct ap_new_cell *cell, struct ap_bytes *folders,
    struct apiary_error *err);
/* Appends the values of a partition as one text, for a map. */
AP_CHECKED enum apiary_code ap_partition_key(
    const struct ap_str *values, size_t count, struct ap_bytes *key, struct apiary_error *err);
/* The cell's statistics as the ledger has them. codes: CORRUPT */
AP_CHECKED enum apiary_code ap_read_stats(const struct ap_schema *schema, yyjson_val *row,
    int64_t rows, struct ap_written *written, struct ap_new_cell *cell, struct apiary_error *err);

/* cellwriter_pieces.c: what does not fit when all of it is sorted (decision 48) */

/* Appends "SELECT * FROM read_parquet([…])" over files that were written before. */
AP_CHECKED enum apiary_code ap_writing_select(
    const char *const *names, size_t count, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_writing_in_pieces(struct ap_writing *writing, struct ap_str select,
    const struct ap_texts *cluster_by, const struct apiary_query *query, struct apiary_error *err);

#endif
