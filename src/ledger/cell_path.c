/* A cell's path in the log as a key (delta.md 5.2; design, "Trust"). */
#include "core/codec.h"
#include "ledger/snapshot.h"

#include <ctype.h>

/* "s3://…", "file:/…", "C:": letters, then ':', before any '/'. A ':' inside a file name of the
 * first segment is legal for lenient readers, so a scheme must be followed by '/'. */
static bool has_scheme(struct ap_str path)
{
    size_t i = 0;
    while (i < path.size && (isalnum((unsigned char)path.data[i]) || path.data[i] == '+' ||
                                path.data[i] == '-' || path.data[i] == '.'))
        i++;
    return i > 1 && i + 1 < path.size && path.data[i] == ':' && path.data[i + 1] == '/' &&
           isalpha((unsigned char)path.data[0]);
}

static enum apiary_code refuse(
    const struct ap_cell *cell, const char *why, struct apiary_error *err)
{
    return ap_fail(
        err, APIARY_CORRUPT, "the path \"" AP_FMT "\" of a cell %s", AP_ARG(cell->path), why);
}

/* Copies segment by segment: "." falls away, ".." and empty ones are refused. */
static enum apiary_code normalise(
    const struct ap_cell *cell, struct ap_str path, struct ap_bytes *out, struct apiary_error *err)
{
    size_t begin = out->size;
    while (path.size) {
        const char *slash = memchr(path.data, '/', path.size);
        struct ap_str part = { path.data, slash ? (size_t)(slash - path.data) : path.size };
        size_t step = slash ? part.size + 1 : part.size;
        bool last = !slash;
        path = (struct ap_str) { path.data + step, path.size - step };
        if (part.size == 0 || (!last && path.size == 0))
            return refuse(cell, "has an empty part", err);
        if (ap_str_is(part, "..")) return refuse(cell, "leads out of the frame", err);
        if (memchr(part.data, '\\', part.size)) return refuse(cell, "has a backslash", err);
        if (ap_str_is(part, ".")) continue;
        if (out->size > begin) AP_TRY(ap_bytes_add_text(out, "/", err));
        AP_TRY(ap_bytes_add_str(out, part, err));
    }
    return out->size > begin ? APIARY_OK : refuse(cell, "is empty", err);
}

enum apiary_code ap_cell_key(
    const struct ap_cell *cell, struct ap_bytes *out, bool *absolute, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) decoded = { 0 };
    if (cell->path.size == 0) return refuse(cell, "is empty", err);
    if (ap_percent_decode(&decoded, cell->path, NULL) != APIARY_OK) {
        /* A '%' that is no escape stands for itself: some writers never encoded. */
        ap_bytes_clear(&decoded);
        AP_TRY(ap_bytes_add_str(&decoded, cell->path, err));
    }
    struct ap_str path = ap_bytes_view(&decoded);
    if (memchr(path.data, 0, path.size)) return refuse(cell, "holds a NUL", err);
    if (ap_str_find(cell->path, AP_STR("%00")) != SIZE_MAX) return refuse(cell, "holds a NUL", err);
    if (path.data[0] == '/' || has_scheme(path)) {
        AP_TRY(ap_bytes_add_str(out, path, err));
        *absolute = true;
        return APIARY_OK;
    }
    size_t before = out->size;
    enum apiary_code code = normalise(cell, path, out, err);
    if (code != APIARY_OK) {
        out->size = before;
        if (out->data) out->data[before] = 0;
        return code;
    }
    *absolute = false;
    return APIARY_OK;
}
