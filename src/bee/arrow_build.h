/* Engine vectors → Arrow arrays, batch by batch. The buffers of a batch are reused
 * for the next one. */
#ifndef AP_BEE_ARROW_BUILD_H
#define AP_BEE_ARROW_BUILD_H

#include "bee/failure.h"

#include <duckdb.h>
#include <nanoarrow/nanoarrow.h>

struct bee_column;

struct bee_builder {
    struct ArrowArray array; /* a struct of the columns */
    struct bee_column *columns;
    size_t column_count;
    int64_t rows;
    uint64_t bytes; /* of the rows appended, as estimated */
};

/* schema: that of bee_arrow_schema for the same result; borrowed for the call. */
AP_CHECKED enum apiary_code bee_builder_init(struct bee_builder *builder, duckdb_result *result,
    const struct ArrowSchema *schema, struct bee_failure *why);
void bee_builder_done(struct bee_builder *builder);

/* Bytes that `count` rows of the chunk from `start` take in Arrow, about. */
uint64_t bee_builder_estimate(
    const struct bee_builder *builder, duckdb_data_chunk chunk, idx_t start, idx_t count);
/* codes: MEMORY; SQL "out_of_range" (a HUGEINT beyond 38 digits, an interval beyond
 * 64 bits of nanoseconds); LIMIT (a batch over 2 GiB of one column) */
AP_CHECKED enum apiary_code bee_builder_append(struct bee_builder *builder, duckdb_data_chunk chunk,
    idx_t start, idx_t count, struct bee_failure *why);
/* Completes builder->array; valid until the next clear. */
AP_CHECKED enum apiary_code bee_builder_finish(
    struct bee_builder *builder, struct bee_failure *why);
/* Back to no rows, memory kept. */
AP_CHECKED enum apiary_code bee_builder_clear(struct bee_builder *builder, struct bee_failure *why);

#endif
