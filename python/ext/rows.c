/* Rows: what a statement left, as Python sees it.
 *
 *   chamber ─get_next─► hoard (batches that were fetched) ─► Python values, Arrow, IPC
 *
 * A hoard fetches ahead up to PREFETCH_BYTES when it is made, so that a small result is whole, its
 * bees are free and its errors told before sql() returns; more is fetched as it is asked for.
 *  (1) What was fetched is kept: it can be read any number of times, also after the session or
 *      the handle is closed, and at no cost, since the buffers are the chamber's shared memory.
 *  (2) A stream that is taken while rows are still to come takes them all: it lets each batch go
 *      when it was read, so a result of any size passes in bounded memory, once.
 *  (3) The next statement of the session first fetches the rest (settle), up to a limit; what is
 *      over it is given up, and reading on says so. */
#include "ext.h"

#include <errno.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <stdlib.h>

enum { PREFETCH_BYTES = 16 << 20 };

struct hoard {
    atomic_int refs;
    struct seat *seat;
    struct apiary_result *result;   /* NULL once it is over; with the two below under seat.busy */
    struct ArrowArrayStream stream;
    struct ArrowSchema schema;      /* release NULL: the statement has no rows */
    struct ArrowArrayView view;     /* to measure batches */
    atomic_bool over;               /* nothing more will come */
    atomic_bool handed;             /* a stream has taken the rows */
    pthread_mutex_t mutex;          /* guards what follows */
    struct share **batches;
    size_t first, count, capacity;  /* [first, count) are here; those before were read and let go */
    int64_t row_count, bytes;       /* fetched in all */
    struct apiary_error error;      /* why it ended early */
    char *stats;                    /* JSON, at the end */
};

struct rows_object {
    PyObject_HEAD
    struct hoard *hoard;
    struct pycolumn *columns;
    PyObject *message, *notices;
    long long changed;
    struct ArrowBuffer ipc; /* the whole as one IPC stream, once somebody asked for it */
    bool encoded;
};

/* ---- fetching: seat.busy is held, the GIL is not ---- */

static void finish(struct hoard *hoard)
{
    struct apiary_error error;
    char *stats = NULL;
    if (hoard->result != NULL && apiary_result_stats(hoard->result, &stats, &error) == APIARY_OK) {
        pthread_mutex_lock(&hoard->mutex);
        hoard->stats = stats;
        pthread_mutex_unlock(&hoard->mutex);
    }
    if (hoard->stream.release != NULL) hoard->stream.release(&hoard->stream);
    apiary_result_close(hoard->result);
    hoard->result = NULL;
    if (hoard->seat->open == hoard) hoard->seat->open = NULL;
    atomic_store(&hoard->over, true);
}

static void finish_with(struct hoard *hoard, const struct apiary_error *error)
{
    pthread_mutex_lock(&hoard->mutex);
    hoard->error = *error;
    pthread_mutex_unlock(&hoard->mutex);
    finish(hoard);
}

static int64_t buffer_bytes(const struct ArrowArrayView *view)
{
    int64_t bytes = 0;
    for (int i = 0; i < NANOARROW_MAX_FIXED_BUFFERS; i++)
        if (view->buffer_views[i].size_bytes > 0) bytes += view->buffer_views[i].size_bytes;
    for (int64_t i = 0; i < view->n_variadic_buffers; i++) bytes += view->variadic_buffer_sizes[i];
    for (int64_t i = 0; i < view->n_children; i++) bytes += buffer_bytes(view->children[i]);
    if (view->dictionary != NULL) bytes += buffer_bytes(view->dictionary);
    return bytes;
}

static bool add_batch(struct hoard *hoard, struct ArrowArray *array)
{
    int64_t bytes = ArrowArrayViewSetArray(&hoard->view, array, NULL) == NANOARROW_OK ? buffer_bytes(&hoard->view) : 0;
    struct share *share = share_new(array);
    if (share == NULL) return false;
    share->bytes = bytes;
    pthread_mutex_lock(&hoard->mutex);
    bool room = hoard->count < hoard->capacity;
    if (!room) {
        size_t capacity = hoard->capacity == 0 ? 8 : 2 * hoard->capacity;
        struct share **more = realloc(hoard->batches, capacity * sizeof *more);
        room = more != NULL;
        if (room) {
            hoard->batches = more;
            hoard->capacity = capacity;
        }
    }
    if (room) {
        hoard->batches[hoard->count++] = share;
        hoard->row_count += share->array.length;
        hoard->bytes += share->bytes;
    }
    pthread_mutex_unlock(&hoard->mutex);
    if (!room) share_unref(share);
    return room;
}

/* One batch more, or the end. */
static void pull(struct hoard *hoard)
{
    struct ArrowArray array = { 0 };
    struct apiary_error error = { 0 };
    int code = hoard->stream.get_next(&hoard->stream, &array);
    if (code != 0) {
        if (apiary_result_error(hoard->result, &error) == APIARY_OK) {
            const char *why = hoard->stream.get_last_error(&hoard->stream);
            fail_with(&error, APIARY_IO, "the result cannot be read: %s", why != NULL ? why : strerror(code));
        }
        finish_with(hoard, &error);
    } else if (array.release == NULL) {
        finish(hoard);
    } else if (array.length == 0) {
        array.release(&array);
    } else if (!add_batch(hoard, &array)) {
        fail_with(&error, APIARY_MEMORY, "out of memory for a result");
        finish_with(hoard, &error);
    }
}

/* Until at least `bytes` were fetched in all; INT64_MAX: the whole. */
static void pull_until(struct hoard *hoard, int64_t bytes)
{
    while (!atomic_load(&hoard->over) && hoard->bytes < bytes) pull(hoard);
}

void settle(struct seat *seat, int64_t limit)
{
    struct hoard *hoard = seat->open;
    if (hoard == NULL) return;
    int64_t until = hoard->bytes > INT64_MAX - limit ? INT64_MAX : hoard->bytes + limit;
    pull_until(hoard, until);
    if (atomic_load(&hoard->over)) return;
    struct apiary_error error = { 0 };
    fail_with(&error, APIARY_LIMIT,
        "the rows of this result that were not read yet were given up when the next statement began: more than %lld MB of them",
        (long long)(limit >> 20));
    snprintf(error.hint, sizeof error.hint, "read a large result to its end first, or run the other statement in a session() of its own");
    finish_with(hoard, &error);
}

/* ---- life ---- */

static struct hoard *hoard_ref(struct hoard *hoard)
{
    atomic_fetch_add(&hoard->refs, 1);
    return hoard;
}

/* Ends the statement if rows are still to come. Any thread; not with the GIL. */
static void abandon(struct hoard *hoard)
{
    struct seat *seat = hoard->seat;
    if (atomic_load(&hoard->over)) return;
    if (seat_take_plain(seat, NULL) != APIARY_OK) { /* within our own statement: busy is ours */
        finish(hoard);
        return;
    }
    if (box_enter(seat->box, NULL) == APIARY_OK) {
        if (!atomic_load(&hoard->over)) finish(hoard);
        box_leave(seat->box);
    } else {
        pthread_mutex_lock(&seat->box->mutex); /* whoever closes the handle is past this session */
        if (!atomic_load(&hoard->over)) finish(hoard);
        pthread_mutex_unlock(&seat->box->mutex);
    }
    seat_give(seat);
}

static void hoard_unref(struct hoard *hoard)
{
    if (hoard == NULL || atomic_fetch_sub(&hoard->refs, 1) != 1) return;
    if (hoard->seat->box->owner != getpid()) return; /* after fork: the parent's */
    abandon(hoard);
    for (size_t i = hoard->first; i < hoard->count; i++) share_unref(hoard->batches[i]);
    free(hoard->batches);
    ArrowArrayViewReset(&hoard->view);
    if (hoard->schema.release != NULL) hoard->schema.release(&hoard->schema);
    apiary_free(hoard->stats);
    pthread_mutex_destroy(&hoard->mutex);
    seat_unref(hoard->seat);
    free(hoard);
}

/* busy is held, the GIL is not. Takes `result` on success. */
static struct hoard *hoard_new(struct seat *seat, struct apiary_result *result, struct apiary_error *error)
{
    struct hoard *hoard = calloc(1, sizeof *hoard);
    if (hoard == NULL) {
        fail_with(error, APIARY_MEMORY, "out of memory for a result");
        return NULL;
    }
    atomic_init(&hoard->refs, 1);
    pthread_mutex_init(&hoard->mutex, NULL);
    atomic_fetch_add(&seat->refs, 1);
    hoard->seat = seat;
    int code = APIARY_OK;
    if (apiary_result_has_rows(result)) {
        code = apiary_result_stream(result, &hoard->stream, error);
        if (code == APIARY_OK && hoard->stream.get_schema(&hoard->stream, &hoard->schema) != 0)
            code = fail_with(error, APIARY_IO, "the columns of the result cannot be read");
        if (code == APIARY_OK && ArrowArrayViewInitFromSchema(&hoard->view, &hoard->schema, NULL) != NANOARROW_OK)
            code = fail_with(error, APIARY_UNSUPPORTED, "the result has a column type that is not known here");
    }
    if (code != APIARY_OK) {
        if (hoard->stream.release != NULL) hoard->stream.release(&hoard->stream);
        atomic_store(&hoard->over, true);
        hoard_unref(hoard);
        return NULL;
    }
    hoard->result = result;
    if (hoard->schema.release == NULL) {
        finish(hoard);
    } else {
        seat->open = hoard;
        pull_until(hoard, PREFETCH_BYTES);
    }
    return hoard;
}

PyObject *rows_new(PyTypeObject *type, struct seat *seat, struct apiary_result *result, struct call *call)
{
    struct apiary_error error = { 0 };
    PyObject *message = PyUnicode_FromString(apiary_result_message(result));
    PyObject *notices = PyUnicode_FromString(apiary_result_notices(result));
    long long changed = apiary_result_rows_changed(result);
    struct hoard *hoard;
    (void)call;
    Py_BEGIN_ALLOW_THREADS
    hoard = hoard_new(seat, result, &error);
    if (hoard == NULL)
        apiary_result_close(result);
    else if (hoard->error.code != APIARY_OK)
        error = hoard->error;
    Py_END_ALLOW_THREADS
    struct rows_object *self = NULL;
    struct pycolumn *columns = NULL;
    if (error.code != APIARY_OK)
        raise_error(&error);
    else if (hoard->schema.release == NULL || (columns = pycolumn_new(&hoard->schema)) != NULL) {
        allocfunc alloc = PyType_GetSlot(type, Py_tp_alloc);
        self = (struct rows_object *)alloc(type, 0);
    }
    if (self == NULL || message == NULL || notices == NULL) {
        Py_XDECREF(message);
        Py_XDECREF(notices);
        Py_XDECREF((PyObject *)self);
        pycolumn_free(columns);
        Py_BEGIN_ALLOW_THREADS
        hoard_unref(hoard);
        Py_END_ALLOW_THREADS
        return NULL;
    }
    self->hoard = hoard;
    self->columns = columns;
    self->message = message;
    self->notices = notices;
    self->changed = changed;
    return (PyObject *)self;
}

static void rows_dealloc(PyObject *object)
{
    struct rows_object *self = (struct rows_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    struct unlocked unlocked = unlock_gil();
    hoard_unref(self->hoard);
    relock_gil(unlocked);
    pycolumn_free(self->columns);
    Py_XDECREF(self->message);
    Py_XDECREF(self->notices);
    if (self->encoded) ArrowBufferReset(&self->ipc);
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* ---- what every reader needs ---- */

static bool raise_failure(struct hoard *hoard)
{
    pthread_mutex_lock(&hoard->mutex);
    struct apiary_error error = hoard->error;
    pthread_mutex_unlock(&hoard->mutex);
    if (error.code == APIARY_OK) return false;
    raise_error(&error);
    return true;
}

/* Has rows, and they are still ours. */
static bool readable(struct rows_object *self)
{
    if (self->hoard->schema.release == NULL) {
        raise_code(APIARY_INVALID, "this statement has no rows");
        return false;
    }
    if (atomic_load(&self->hoard->handed)) {
        raise_code(APIARY_INVALID, "the rows of this result were streamed away already: to_arrow() first keeps them");
        return false;
    }
    return true;
}

/* Fetches until `bytes` are here or `rows` are, whichever comes first. GIL held. */
static bool fetch(struct rows_object *self, int64_t bytes, int64_t rows, PyObject *progress)
{
    struct hoard *hoard = self->hoard;
    if (atomic_load(&hoard->over)) return !raise_failure(hoard);
    if (hoard->bytes >= bytes || hoard->row_count >= rows) return true;
    struct call call = { .progress = progress == Py_None ? NULL : progress };
    struct apiary_error error = { 0 };
    if (hoard->seat->box->owner == getpid() && !seat_take(hoard->seat, &call)) return false;
    if (box_enter(hoard->seat->box, &error) != APIARY_OK) {
        if (hoard->seat->box->owner == getpid()) seat_give(hoard->seat);
        if (atomic_load(&hoard->over)) return !raise_failure(hoard);
        raise_error(&error);
        return false;
    }
    Py_BEGIN_ALLOW_THREADS
    while (!atomic_load(&hoard->over) && hoard->bytes < bytes && hoard->row_count < rows) pull(hoard);
    Py_END_ALLOW_THREADS
    seat_give(hoard->seat);
    box_leave(hoard->seat->box);
    if (call_raised(&call)) return false;
    return !(atomic_load(&hoard->over) && raise_failure(hoard));
}

/* fetch(rows, progress): at least so many rows, if there are; negative: all. Gives how many are here. */
static PyObject *rows_fetch(struct rows_object *self, PyObject *args)
{
    long long rows;
    PyObject *progress;
    if (!PyArg_ParseTuple(args, "LO", &rows, &progress) || !readable(self)) return NULL;
    if (!fetch(self, INT64_MAX, rows < 0 ? INT64_MAX : rows, progress)) return NULL;
    return PyLong_FromLongLong(self->hoard->row_count);
}

/* ---- Python values ---- */

static PyObject *make_row(const struct rows_object *self, const struct ArrowArrayView *view, int64_t index, PyObject *names)
{
    int64_t count = view->n_children;
    PyObject *row = names == Py_None ? PyTuple_New((Py_ssize_t)count) : PyDict_New();
    for (int64_t i = 0; row != NULL && i < count; i++) {
        PyObject *value = pycolumn_value(pycolumn_child(self->columns, i), view->children[i], index + view->offset);
        bool kept = false;
        if (value != NULL && names == Py_None)
            kept = PyTuple_SetItem(row, (Py_ssize_t)i, value) == 0; /* takes the value */
        else if (value != NULL) {
            kept = PyDict_SetItem(row, PyTuple_GetItem(names, (Py_ssize_t)i), value) == 0;
            Py_DECREF(value);
        }
        if (!kept) Py_CLEAR(row);
    }
    return row;
}

static bool add_rows(struct rows_object *self, struct share *share, int64_t from, int64_t to, PyObject *names, PyObject *list)
{
    struct ArrowArrayView view;
    struct ArrowError why = { 0 };
    bool good = ArrowArrayViewInitFromSchema(&view, &self->hoard->schema, &why) == NANOARROW_OK;
    if (good && ArrowArrayViewSetArray(&view, &share->array, &why) == NANOARROW_OK) {
        for (int64_t i = from; good && i < to; i++) {
            PyObject *row = make_row(self, &view, i, names);
            good = row != NULL && PyList_Append(list, row) == 0;
            Py_XDECREF(row);
        }
    } else {
        raise_code(APIARY_CORRUPT, "a batch of the result cannot be read: %s", why.message);
        good = false;
    }
    ArrowArrayViewReset(&view);
    return good;
}

static struct share *batch_at(struct hoard *hoard, size_t index)
{
    pthread_mutex_lock(&hoard->mutex);
    struct share *share = index < hoard->count && index >= hoard->first ? share_ref(hoard->batches[index]) : NULL;
    pthread_mutex_unlock(&hoard->mutex);
    return share;
}

/* values(start, stop, names): rows [start, stop) that are here, as tuples, or dicts by these names. */
static PyObject *rows_values(struct rows_object *self, PyObject *args)
{
    long long start, stop;
    PyObject *names;
    if (!PyArg_ParseTuple(args, "LLO", &start, &stop, &names) || !readable(self)) return NULL;
    PyObject *list = PyList_New(0);
    int64_t base = 0;
    for (size_t i = 0; list != NULL && base < stop; i++) {
        struct share *share = batch_at(self->hoard, i);
        if (share == NULL) break;
        int64_t length = share->array.length;
        int64_t from = start > base ? start - base : 0, to = stop - base < length ? stop - base : length;
        if (from < to && !add_rows(self, share, from, to, names, list)) Py_CLEAR(list);
        share_unref(share);
        base += length;
    }
    return list;
}

/* ---- Arrow streams ---- */

struct reader {
    struct hoard *hoard;
    size_t next;
    bool consumes;
    struct apiary_error error;
};

static int reader_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct reader *reader = stream->private_data;
    return ArrowSchemaDeepCopy(&reader->hoard->schema, out);
}

static struct share *reader_take(struct reader *reader)
{
    struct hoard *hoard = reader->hoard;
    struct share *share = NULL;
    pthread_mutex_lock(&hoard->mutex);
    if (reader->next < hoard->count) {
        if (reader->consumes) {
            share = hoard->batches[reader->next];
            hoard->first = ++reader->next;
        } else
            share = share_ref(hoard->batches[reader->next++]);
    }
    pthread_mutex_unlock(&hoard->mutex);
    return share;
}

/* One pull for a consumer of unknown kind: in its thread, with or without the GIL. */
static void reader_pull(struct reader *reader)
{
    struct hoard *hoard = reader->hoard;
    struct seat *seat = hoard->seat;
    struct unlocked unlocked = unlock_gil();
    int code = seat->box->owner == getpid() ? seat_take_plain(seat, &reader->error) : APIARY_OK;
    if (code == APIARY_OK) {
        struct call call = { 0 };
        code = box_enter(seat->box, &reader->error);
        if (code == APIARY_OK) {
            seat->call = &call;
            if (!atomic_load(&hoard->over)) pull(hoard);
            seat->call = NULL;
            box_leave(seat->box);
        } else if (atomic_load(&hoard->over)) {
            reader->error.code = APIARY_OK;
        }
        if (seat->box->owner == getpid()) seat_give(seat);
        if (call.error != NULL) { /* the consumer cannot raise it: Python will, as soon as it is back */
            PyGILState_STATE state = PyGILState_Ensure();
            if (PyErr_GivenExceptionMatches(call.error, PyExc_KeyboardInterrupt)) PyErr_SetInterrupt();
            Py_DECREF(call.error);
            PyGILState_Release(state);
        }
    }
    relock_gil(unlocked);
}

static int reader_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct reader *reader = stream->private_data;
    struct hoard *hoard = reader->hoard;
    memset(out, 0, sizeof *out);
    for (;;) {
        struct share *share = reader_take(reader);
        if (share != NULL) {
            int code = share_export(share, out);
            share_unref(share);
            return code;
        }
        if (atomic_load(&hoard->over)) {
            /* what came between our look and the end is still to be read */
            share = reader_take(reader);
            if (share != NULL) {
                int code = share_export(share, out);
                share_unref(share);
                return code;
            }
            pthread_mutex_lock(&hoard->mutex);
            reader->error = hoard->error;
            pthread_mutex_unlock(&hoard->mutex);
            return reader->error.code == APIARY_OK ? 0 : EIO;
        }
        reader_pull(reader);
        if (reader->error.code != APIARY_OK) return EIO;
    }
}

static const char *reader_error(struct ArrowArrayStream *stream)
{
    struct reader *reader = stream->private_data;
    return reader->error.code == APIARY_OK ? NULL : reader->error.message;
}

static void reader_release(struct ArrowArrayStream *stream)
{
    struct reader *reader = stream->private_data;
    struct unlocked unlocked = unlock_gil();
    hoard_unref(reader->hoard);
    relock_gil(unlocked);
    free(reader);
    stream->release = NULL;
    stream->private_data = NULL;
}

/* stream(): takes the rows out, once, when more are to come; else hands them to any number of readers. */
static PyObject *rows_stream(struct rows_object *self, PyObject *unused)
{
    (void)unused;
    struct hoard *hoard = self->hoard;
    if (!readable(self)) return NULL;
    bool live = !atomic_load(&hoard->over);
    if (!live && raise_failure(hoard)) return NULL;
    struct reader *reader = calloc(1, sizeof *reader);
    if (reader == NULL) return PyErr_NoMemory();
    reader->hoard = hoard_ref(hoard);
    reader->consumes = live;
    if (live) atomic_store(&hoard->handed, true);
    struct ArrowArrayStream stream = {
        .get_schema = reader_schema,
        .get_next = reader_next,
        .get_last_error = reader_error,
        .release = reader_release,
        .private_data = reader,
    };
    return stream_object(&stream);
}

/* table(rows, width) -> text: of what is here; nothing is fetched. */
static PyObject *rows_table(struct rows_object *self, PyObject *args)
{
    long long rows;
    int width;
    if (!PyArg_ParseTuple(args, "Li", &rows, &width) || !readable(self)) return NULL;
    struct hoard *hoard = self->hoard;
    struct ArrowSchema schema;
    if (ArrowSchemaDeepCopy(&hoard->schema, &schema) != NANOARROW_OK) return PyErr_NoMemory();
    pthread_mutex_lock(&hoard->mutex);
    size_t count = hoard->count;
    pthread_mutex_unlock(&hoard->mutex);
    struct ArrowArrayStream stream;
    if (ArrowBasicArrayStreamInit(&stream, &schema, (int64_t)count) != NANOARROW_OK) {
        schema.release(&schema);
        return PyErr_NoMemory();
    }
    bool good = true;
    for (size_t i = 0; good && i < count; i++) {
        struct ArrowArray array;
        struct share *share = batch_at(hoard, i);
        good = share != NULL && share_export(share, &array) == 0;
        if (good) ArrowBasicArrayStreamSetArray(&stream, (int64_t)i, &array);
        share_unref(share);
    }
    PyObject *text = good ? table_text(&stream, rows, width) : PyErr_NoMemory();
    stream.release(&stream);
    return text;
}

/* ---- one IPC stream, as bytes ---- */

static int encode(struct rows_object *self, struct ArrowError *why)
{
    struct ArrowIpcOutputStream out;
    struct ArrowIpcWriter writer;
    struct ArrowArrayView view;
    NANOARROW_RETURN_NOT_OK(ArrowIpcOutputStreamInitBuffer(&out, &self->ipc));
    int code = ArrowIpcWriterInit(&writer, &out);
    if (code != NANOARROW_OK) {
        out.release(&out);
        return code;
    }
    code = ArrowArrayViewInitFromSchema(&view, &self->hoard->schema, why);
    if (code == NANOARROW_OK) code = ArrowIpcWriterWriteSchema(&writer, &self->hoard->schema, why);
    for (size_t i = 0; code == NANOARROW_OK; i++) {
        struct share *share = batch_at(self->hoard, i);
        if (share == NULL) break;
        code = ArrowArrayViewSetArray(&view, &share->array, why);
        if (code == NANOARROW_OK) code = ArrowIpcWriterWriteArrayView(&writer, &view, why);
        share_unref(share);
    }
    if (code == NANOARROW_OK) code = ArrowIpcWriterWriteArrayView(&writer, NULL, why);
    ArrowArrayViewReset(&view);
    ArrowIpcWriterReset(&writer);
    return code;
}

static int rows_getbuffer(struct rows_object *self, Py_buffer *view, int flags)
{
    view->obj = NULL;
    if (!readable(self) || !fetch(self, INT64_MAX, INT64_MAX, Py_None)) return -1;
    if (!self->encoded) {
        struct ArrowError why = { 0 };
        ArrowBufferInit(&self->ipc);
        int code = encode(self, &why);
        if (code != NANOARROW_OK) {
            ArrowBufferReset(&self->ipc);
            raise_code(APIARY_UNSUPPORTED, "the result cannot be written as an Arrow IPC stream: %s",
                why.message[0] != '\0' ? why.message : strerror(code));
            return -1;
        }
        self->encoded = true;
    }
    return PyBuffer_FillInfo(view, (PyObject *)self, self->ipc.data, (Py_ssize_t)self->ipc.size_bytes, 1, flags);
}

/* ---- attributes ---- */

static PyObject *rows_has_rows(struct rows_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(self->hoard->schema.release != NULL);
}

static PyObject *rows_complete(struct rows_object *self, void *unused)
{
    (void)unused;
    return PyBool_FromLong(atomic_load(&self->hoard->over));
}

static PyObject *rows_fetched(struct rows_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(self->hoard->row_count);
}

static PyObject *rows_changed(struct rows_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromLongLong(self->changed);
}

static PyObject *rows_message(struct rows_object *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->message);
}

static PyObject *rows_notices(struct rows_object *self, void *unused)
{
    (void)unused;
    return Py_NewRef(self->notices);
}

static PyObject *rows_schema(struct rows_object *self, PyObject *unused)
{
    (void)unused;
    struct ArrowSchema copy;
    if (self->hoard->schema.release == NULL) Py_RETURN_NONE;
    if (ArrowSchemaDeepCopy(&self->hoard->schema, &copy) != NANOARROW_OK) return PyErr_NoMemory();
    return schema_object(&copy);
}

/* stats() -> JSON text, or None while there are none */
static PyObject *rows_stats(struct rows_object *self, PyObject *unused)
{
    (void)unused;
    struct hoard *hoard = self->hoard;
    if (!atomic_load(&hoard->over)) {
        struct call call = { 0 };
        struct apiary_error error = { 0 };
        char *json = NULL;
        if (hoard->seat->box->owner != getpid()) Py_RETURN_NONE;
        if (!seat_take(hoard->seat, &call)) return NULL;
        if (hoard->result != NULL && apiary_result_stats(hoard->result, &json, &error) != APIARY_OK) json = NULL;
        seat_give(hoard->seat);
        if (json != NULL) {
            PyObject *text = PyUnicode_FromString(json);
            apiary_free(json);
            return text;
        }
    }
    pthread_mutex_lock(&hoard->mutex);
    PyObject *text = hoard->stats == NULL ? Py_NewRef(Py_None) : PyUnicode_FromString(hoard->stats);
    pthread_mutex_unlock(&hoard->mutex);
    return text;
}

/* close(): gives up what was not fetched and lets go of what was. */
static PyObject *rows_close(struct rows_object *self, PyObject *unused)
{
    (void)unused;
    struct hoard *hoard = self->hoard;
    Py_BEGIN_ALLOW_THREADS
    if (!atomic_load(&hoard->handed)) {
        if (hoard->seat->box->owner == getpid()) abandon(hoard);
        pthread_mutex_lock(&hoard->mutex);
        for (size_t i = hoard->first; i < hoard->count; i++) share_unref(hoard->batches[i]);
        hoard->first = hoard->count = 0;
        pthread_mutex_unlock(&hoard->mutex);
        atomic_store(&hoard->handed, true);
    }
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* addresses() -> list of (first address, bytes) of the buffers of the batches here: for the tests
 * that prove that nothing is copied. */
static bool add_addresses(const struct ArrowArrayView *view, PyObject *list)
{
    for (int i = 0; i < NANOARROW_MAX_FIXED_BUFFERS; i++) {
        if (view->buffer_views[i].size_bytes <= 0) continue;
        PyObject *pair = Py_BuildValue("(KL)", (unsigned long long)(uintptr_t)view->buffer_views[i].data.data,
            (long long)view->buffer_views[i].size_bytes);
        int failed = pair == NULL || PyList_Append(list, pair) != 0;
        Py_XDECREF(pair);
        if (failed) return false;
    }
    for (int64_t i = 0; i < view->n_children; i++)
        if (!add_addresses(view->children[i], list)) return false;
    return true;
}

static PyObject *rows_addresses(struct rows_object *self, PyObject *unused)
{
    (void)unused;
    PyObject *list = PyList_New(0);
    if (!readable(self)) return NULL;
    for (size_t i = 0; list != NULL; i++) {
        struct share *share = batch_at(self->hoard, i);
        if (share == NULL) break;
        struct ArrowArrayView view;
        bool good = ArrowArrayViewInitFromSchema(&view, &self->hoard->schema, NULL) == NANOARROW_OK
            && ArrowArrayViewSetArray(&view, &share->array, NULL) == NANOARROW_OK && add_addresses(&view, list);
        ArrowArrayViewReset(&view);
        share_unref(share);
        if (!good) Py_CLEAR(list);
    }
    return list;
}

static PyMethodDef rows_methods[] = {
    { "_fetch", (PyCFunction)rows_fetch, METH_VARARGS, NULL },
    { "_values", (PyCFunction)rows_values, METH_VARARGS, NULL },
    { "_stream", (PyCFunction)rows_stream, METH_NOARGS, NULL },
    { "_table", (PyCFunction)rows_table, METH_VARARGS, NULL },
    { "_schema", (PyCFunction)rows_schema, METH_NOARGS, NULL },
    { "_stats", (PyCFunction)rows_stats, METH_NOARGS, NULL },
    { "_close", (PyCFunction)rows_close, METH_NOARGS, NULL },
    { "_addresses", (PyCFunction)rows_addresses, METH_NOARGS, NULL },
    { 0 },
};

static PyGetSetDef rows_getters[] = {
    { "_has_rows", (getter)rows_has_rows, NULL, NULL, NULL },
    { "_complete", (getter)rows_complete, NULL, NULL, NULL },
    { "_fetched", (getter)rows_fetched, NULL, NULL, NULL },
    { "_changed", (getter)rows_changed, NULL, NULL, NULL },
    { "_message", (getter)rows_message, NULL, NULL, NULL },
    { "_notices", (getter)rows_notices, NULL, NULL, NULL },
    { 0 },
};

static PyType_Slot rows_slots[] = {
    { Py_tp_dealloc, rows_dealloc },
    { Py_tp_methods, rows_methods },
    { Py_tp_getset, rows_getters },
    { Py_bf_getbuffer, rows_getbuffer },
    { Py_tp_doc, (void *)(uintptr_t)"What a statement left: its rows, fetched as they are asked for." },
    { 0 },
};
PyType_Spec rows_spec = {
    .name = "apiary._apiary.Rows",
    .basicsize = sizeof(struct rows_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = rows_slots,
};
