/* Rows of the caller that may have to be read twice.
 *
 *   whole       the reader gets copies of the arrays' heads (struct ArrowArray), whose release does nothing:
 *               buffers, children and dictionaries are those of the kept array
 *   not whole   the reader gets the kept arrays themselves, then what the stream has left */
#include "query/reread.h"

#include "core/alloc.h"

#include <nanoarrow/nanoarrow.h>

#include <errno.h>

void ap_reread_done(struct ap_reread *reread)
{
    for (size_t i = 0; i < reread->count; i++)
        if (reread->arrays[i].release != NULL) reread->arrays[i].release(&reread->arrays[i]);
    ap_free(reread->arrays);
    if (reread->schema.release != NULL) reread->schema.release(&reread->schema);
    if (reread->stream.release != NULL) reread->stream.release(&reread->stream);
    ap_bytes_done(&reread->why);
    memset(reread, 0, sizeof *reread);
}

/* ---- pulling ---- */

/* Bytes that the items of an array take, about: buffers of a slice count by its share in them. */
static double bytes_of(const struct ArrowArrayView *view)
{
    double bytes = 0;
    for (int i = 0; i < NANOARROW_MAX_FIXED_BUFFERS; i++)
        if (view->buffer_views[i].size_bytes > 0) bytes += (double)view->buffer_views[i].size_bytes;
    for (int32_t i = 0; i < view->n_variadic_buffers; i++) bytes += (double)view->variadic_buffer_sizes[i];
    if (view->offset > 0) bytes *= (double)view->length / ((double)view->offset + (double)view->length);
    for (int64_t i = 0; i < view->n_children; i++) bytes += bytes_of(view->children[i]);
    return bytes + (view->dictionary != NULL ? bytes_of(view->dictionary) : 0);
}

static enum apiary_code keep_failure(struct ap_reread *reread, int failed, struct apiary_error *err)
{
    struct ArrowArrayStream *stream = &reread->stream;
    const char *said = stream->get_last_error != NULL ? stream->get_last_error(stream) : NULL;
    reread->failed = failed;
    reread->whole = true;
    return said != NULL ? ap_bytes_add_text(&reread->why, said, err) : APIARY_OK;
}

/* Keeps the next array of the stream. *more: it was one, and may be followed by others. */
static enum apiary_code pull(struct ap_reread *reread, struct ArrowArrayView *view, double *bytes,
    bool *more, struct apiary_error *err)
{
    struct ArrowArray array = { 0 };
    *more = false;
    AP_TRY(AP_GROW(reread->arrays, reread->capacity, reread->count + 1, err));
    int failed = reread->stream.get_next(&reread->stream, &array);
    if (failed != 0) return keep_failure(reread, failed, err);
    reread->whole = array.release == NULL;
    if (reread->whole) return APIARY_OK;
    reread->arrays[reread->count++] = array;
    reread->row_count += array.length;
    if (ArrowArrayViewSetArray(view, &array, NULL) != NANOARROW_OK) return APIARY_OK;
    *bytes += bytes_of(view);
    *more = *bytes <= AP_REREAD_BYTES_MAX && reread->count < AP_REREAD_ARRAYS_MAX;
    return APIARY_OK;
}

static enum apiary_code pull_all(
    struct ap_reread *reread, const struct ap_cancel *cancel, struct apiary_error *err)
{
    struct ArrowArrayView view;
    double bytes = 0;
    bool more = ArrowArrayViewInitFromSchema(&view, &reread->schema, NULL) == NANOARROW_OK;
    enum apiary_code code = APIARY_OK;
    while (more && code == APIARY_OK)
        code = ap_cancel_requested(cancel) ? ap_fail(err, APIARY_CANCELLED, "cancelled")
                                           : pull(reread, &view, &bytes, &more, err);
    ArrowArrayViewReset(&view);
    return code;
}

enum apiary_code ap_reread_take(struct ap_reread *reread, struct ArrowArrayStream *stream,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    if (stream->release == NULL)
        return ap_fail(err, APIARY_INVALID, "the rows are a stream that was released");
    reread->stream = *stream;
    memset(stream, 0, sizeof *stream);
    if (reread->stream.get_schema(&reread->stream, &reread->schema) != 0) {
        reread->schema.release = NULL;
        return APIARY_OK; /* told when it is read */
    }
    return pull_all(reread, cancel, err);
}

/* ---- the reader's stream ---- */

static void release_nothing(struct ArrowArray *array)
{
    array->release = NULL;
}

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct ap_reread *reread = stream->private_data;
    if (reread->schema.release == NULL) return reread->stream.get_schema(&reread->stream, out);
    return ArrowSchemaDeepCopy(&reread->schema, out);
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct ap_reread *reread = stream->private_data;
    memset(out, 0, sizeof *out);
    if (reread->next == reread->count)
        return reread->whole ? reread->failed : reread->stream.get_next(&reread->stream, out);
    struct ArrowArray *kept = &reread->arrays[reread->next++];
    *out = *kept;
    if (reread->whole)
        out->release = release_nothing;
    else
        kept->release = NULL; /* moved */
    return 0;
}

static const char *get_last_error(struct ArrowArrayStream *stream)
{
    struct ap_reread *reread = stream->private_data;
    if (reread->whole) return reread->why.size > 0 ? ap_bytes_text(&reread->why) : NULL;
    return reread->stream.get_last_error != NULL ? reread->stream.get_last_error(&reread->stream) : NULL;
}

static void release(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
}

void ap_reread_open(struct ap_reread *reread, struct ArrowArrayStream *out)
{
    ap_assert(reread->whole || reread->next == 0); /* kept arrays are given away once */
    reread->next = 0;
    *out = (struct ArrowArrayStream) {
        .get_schema = get_schema,
        .get_next = get_next,
        .get_last_error = get_last_error,
        .release = release,
        .private_data = reread,
    };
}
