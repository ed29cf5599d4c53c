/* Cells that differ in how they hold a frame's rows are read apart and put together
 * (design, section 6, "Cells that differ"). */
#ifndef AP_QUERY_SHAPE_H
#define AP_QUERY_SHAPE_H

#include "query/read.h"

/* The tag that a writer of ours puts into add.tags: such a cell holds exactly the columns of the
 * schema that are no partition columns, in these types. "{\"apiary.shape\":\"…\"}" */
AP_CHECKED enum apiary_code ap_shape_tags(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err);

#endif
