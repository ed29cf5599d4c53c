#include "cells/cell_names.h"

#include "core/alloc.h"
#include "core/map.h"

enum { REMEMBERED_MAX = 1 << 15 };

struct ap_cell_names {
    struct ap_env *env;
    struct ap_lock *lock; /* guards all below */
    struct ap_map numbers;
    uint64_t next;
};

enum apiary_code ap_cell_names_new(
    struct ap_env *env, struct ap_cell_names **out, struct apiary_error *err)
{
    struct ap_cell_names *names = ap_calloc(1, sizeof *names);
    if (names == NULL) return ap_fail_memory(err, "names of cells");
    names->env = env;
    names->lock = ap_lock_new(env);
    if (names->lock == NULL) {
        ap_free(names);
        return ap_fail_memory(err, "names of cells");
    }
    *out = names;
    return APIARY_OK;
}

void ap_cell_names_free(struct ap_cell_names *names)
{
    if (names == NULL) return;
    ap_map_done(&names->numbers);
    ap_lock_free(names->env, names->lock);
    ap_free(names);
}

static enum apiary_code number_locked(struct ap_cell_names *names, struct ap_str identity,
    uint64_t *number, struct apiary_error *err)
{
    if (ap_map_get(&names->numbers, identity, number)) return APIARY_OK;
    if (names->numbers.used >= REMEMBERED_MAX) {
        ap_map_done(&names->numbers);
        names->numbers = (struct ap_map) { 0 };
    }
    AP_TRY(ap_map_put(&names->numbers, identity, names->next, err));
    *number = names->next++;
    return APIARY_OK;
}

enum apiary_code ap_cell_names_number(struct ap_cell_names *names, struct ap_str identity,
    uint64_t *number, struct apiary_error *err)
{
    ap_lock(names->env, names->lock);
    enum apiary_code code = number_locked(names, identity, number, err);
    ap_unlock(names->env, names->lock);
    return code;
}
