/* The footer of a Parquet file: where the bytes of each column of each row group lie. Read for
 * read-ahead and for figures; the engine reads the footer itself and trusts nothing of this.
 *
 * Untrusted: every count, depth and range is bounded, and a chunk that would lie outside of the
 * file is CORRUPT. Source: parquet.thrift of the Apache Parquet format, Thrift compact protocol. */
#ifndef AP_CELLS_FOOTER_H
#define AP_CELLS_FOOTER_H

#include "core/arena.h"

enum { AP_FOOTER_TAIL = 8 }; /* bytes: length of the metadata, "PAR1" */
#define AP_FOOTER_BYTES_MAX (UINT64_C(64) << 20)

/* Bytes of a file; length 0: there is nothing. */
struct ap_footer_span {
    uint64_t offset;
    uint64_t length;
};

struct ap_footer_chunk {
    struct ap_footer_span data; /* dictionary and data pages, compressed */
    struct ap_footer_span bloom;
    struct ap_footer_span column_index;
    struct ap_footer_span offset_index;
};

struct ap_footer {
    struct ap_arena arena;
    uint64_t row_count;
    size_t group_count;
    size_t column_count; /* leaves; the same in each row group */
    uint64_t *group_rows;
    struct ap_str *columns; /* paths with dots between the parts; of row group 0 */
    struct ap_footer_chunk *chunks; /* group_count × column_count */
};
void ap_footer_done(struct ap_footer *footer);

/* The length of the metadata that ends AP_FOOTER_TAIL before the end of the file, from the file's
 * last bytes (at least AP_FOOTER_TAIL of them).
 * codes: CORRUPT (no Parquet file), UNSUPPORTED (encrypted), LIMIT */
AP_CHECKED enum apiary_code ap_footer_length(
    struct ap_str tail, uint64_t file_size, uint64_t *length, struct apiary_error *err);
/* Reads the metadata. codes: CORRUPT, LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_footer_parse(struct ap_str metadata, uint64_t file_size,
    struct ap_footer *out, struct apiary_error *err);

#endif
