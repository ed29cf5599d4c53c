/* Writing: rows from a query, an Arrow stream or files into a frame, in one commit
 * (design, section 5). */
#ifndef AP_QUERY_WRITE_H
#define AP_QUERY_WRITE_H

#include "query/read.h"

/* apiary_write: `data` is moved in. *json as apiary.h says. */
AP_CHECKED enum apiary_code ap_write_stream(struct ap_session *session, const char *frame,
    struct ArrowArrayStream *data, const struct apiary_write_options *options,
    struct ap_bytes *json, struct apiary_error *err);

/* apiary_create_frame: `schema` is borrowed. */
AP_CHECKED enum apiary_code ap_create_frame_arrow(struct ap_session *session, const char *frame,
    const struct ArrowSchema *schema, const char *const *partition_by, size_t partition_count,
    bool or_same, struct apiary_error *err);

/* apiary_frame_info, and apiary_frame_known. */
AP_CHECKED enum apiary_code ap_frame_info(struct ap_session *session, const char *frame, bool known,
    struct ap_bytes *json, struct apiary_error *err);

/* apiary_import. */
AP_CHECKED enum apiary_code ap_import_files(struct ap_session *session, const char *frame,
    const char *const *paths, size_t path_count, const struct apiary_import_options *options,
    struct ap_bytes *json, struct apiary_error *err);

#endif
