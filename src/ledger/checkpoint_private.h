/* Reading and writing checkpoints: what its three files share.
 *
 *   checkpoint_read.c   which objects there are, and in which order they are asked
 *   checkpoint_sql.c    what columns a file has, and the SQL that asks for them
 *   checkpoint_rows.c   the engine's rows, folded */
#ifndef AP_LEDGER_CHECKPOINT_PRIVATE_H
#define AP_LEDGER_CHECKPOINT_PRIVATE_H

#include "ledger/ledger_private.h"

/* What a checkpoint file has values in. Writers leave out what they do not use, and a column that
 * is not there cannot be selected; one that is null all over is not worth selecting. */
enum {
    AP_HAS_TXN = 1 << 0,
    AP_HAS_PROTOCOL = 1 << 1,
    AP_HAS_METADATA = 1 << 2,
    AP_HAS_DOMAIN = 1 << 3,
    AP_HAS_SIDECAR = 1 << 4,
    AP_HAS_ADD = 1 << 5,
    AP_HAS_ADD_VALUES = 1 << 6,        /* partitionValues */
    AP_HAS_ADD_VALUES_PARSED = 1 << 7, /* partitionValues_parsed */
    AP_HAS_ADD_STATS = 1 << 8,
    AP_HAS_ADD_STATS_PARSED = 1 << 9,
    AP_HAS_ADD_TAGS = 1 << 10,
    AP_HAS_ADD_TIME = 1 << 11,
    AP_HAS_ADD_VECTOR = 1 << 12,
    AP_HAS_ADD_ROW_ID = 1 << 13,
    AP_HAS_ADD_ROW_VERSION = 1 << 14,
    AP_HAS_REMOVE = 1 << 15,
    AP_HAS_REMOVE_TIME = 1 << 16,
    AP_HAS_REMOVE_SIZE = 1 << 17,
    AP_HAS_REMOVE_VECTOR = 1 << 18,
    AP_HAS_ADD_VECTOR_OFFSET = 1 << 19,
    AP_HAS_REMOVE_VECTOR_OFFSET = 1 << 20
};

/* One leaf column of one file. */
struct ap_parquet_leaf {
    const char *file; /* '/cells/{i}/o.parquet' */
    const char *path; /* names from the outermost, joined by ", " */
    bool all_null;
};
/* Shapes of `count` files from their leaves, in any order. */
AP_CHECKED enum apiary_code ap_checkpoint_shapes(const struct ap_parquet_leaf *leaves,
    size_t leaf_count, uint32_t *shapes, size_t count, struct apiary_error *err);

/* SQL over the files numbers[0..count) of one shape. */
AP_CHECKED enum apiary_code ap_checkpoint_schema_sql(
    struct ap_bytes *out, size_t count, struct apiary_error *err);
/* One column of JSON actions: all that are not files. Empty when the shape has none. */
AP_CHECKED enum apiary_code ap_checkpoint_state_sql(struct ap_bytes *out, uint32_t shape,
    const size_t *numbers, size_t count, struct apiary_error *err);
/* The files: the columns of ap_checkpoint_file_columns and one more for each partition column.
 * Empty when there are none. */
AP_CHECKED enum apiary_code ap_checkpoint_files_sql(struct ap_bytes *out, uint32_t shape,
    const size_t *numbers, size_t count, const struct ap_str *partition_names,
    size_t partition_count, struct apiary_error *err);

enum {
    AP_FILE_IS_ADD,
    AP_FILE_PATH,
    AP_FILE_SIZE,
    AP_FILE_TIME,
    AP_FILE_STATS,
    AP_FILE_TAGS,
    AP_FILE_VECTOR_STORAGE,
    AP_FILE_VECTOR_PATH,
    AP_FILE_VECTOR_OFFSET,
    AP_FILE_VECTOR_SIZE,
    AP_FILE_VECTOR_CARDINALITY,
    AP_FILE_ROW_ID,
    AP_FILE_ROW_VERSION,
    AP_FILE_COLUMNS
};
/* Which of them a shape's query has: their places in it, or -1; returns how many. */
int ap_checkpoint_file_columns(uint32_t shape, int places[AP_FILE_COLUMNS]);
/* The letter of a column's kind: b, n or t. */
char ap_checkpoint_file_kind(int column);

/* Each consumes the stream, and releases it. */
struct ap_parquet_leaves {
    struct ap_parquet_leaf *items;
    size_t count, capacity;
    struct ap_arena arena;
};
void ap_parquet_leaves_done(struct ap_parquet_leaves *leaves);
AP_CHECKED enum apiary_code ap_rows_schema(
    struct ArrowArrayStream *stream, struct ap_parquet_leaves *out, struct apiary_error *err);
/* Calls for each action of the state; `sidecars` (may be NULL) gets the paths of sidecars. */
AP_CHECKED enum apiary_code ap_rows_state(struct ArrowArrayStream *stream, struct ap_fold *fold,
    struct ap_texts *sidecars, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_rows_files(struct ArrowArrayStream *stream, uint32_t shape,
    struct ap_fold *fold, struct apiary_error *err);

#endif
