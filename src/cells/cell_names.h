/* Numbers that stand for cells in a chamber's names (/cells/{n}/…), the same for the same cell as long
 * as the process lives, and never again for another one. So what the engine remembers of a name, a footer or
 * a view over it, is still true for the next statement that names it. */
#ifndef AP_CELLS_CELL_NAMES_H
#define AP_CELLS_CELL_NAMES_H

#include "core/env.h"
#include "core/str.h"

struct ap_cell_names;
AP_CHECKED enum apiary_code ap_cell_names_new(
    struct ap_env *env, struct ap_cell_names **out, struct apiary_error *err);
void ap_cell_names_free(struct ap_cell_names *names); /* NULL fine */

/* The number of what `identity` tells apart: all that makes it another cell, or the same cell under another
 * name, must be in it. Some ten thousand are remembered; one that was forgotten gets a new number. Thread-safe. */
AP_CHECKED enum apiary_code ap_cell_names_number(struct ap_cell_names *names,
    struct ap_str identity, uint64_t *number, struct apiary_error *err);

#endif
