/* Handle and Session: struct apiary and struct apiary_session as Python objects.
 *
 * A box outlives its Handle while sessions or results of it are held somewhere; close() ends what
 * runs, closes the sessions and then the library's handle, whoever still holds Python objects: what
 * they fetched stays theirs, everything else answers INVALID from then on. In a forked child
 * nothing of the parent's is touched, not even to free it. */
#include "ext.h"

#include <stdlib.h>
#include <time.h>

struct handle_object {
    PyObject_HEAD
    struct box *box;
};

struct session_object {
    PyObject_HEAD
    struct seat *seat;
    int64_t keep_bytes; /* how much of an unread result survives the next statement */
};

/* ---- boxes ---- */

static void box_unref(struct box *box)
{
    if (box == NULL || atomic_fetch_sub(&box->refs, 1) != 1) return;
    if (box->owner == getpid() && box->handle != NULL) apiary_close(box->handle);
    pthread_mutex_destroy(&box->mutex);
    pthread_cond_destroy(&box->idle);
    free(box);
}

static struct box *box_new(struct apiary *handle)
{
    struct box *box = calloc(1, sizeof *box);
    if (box == NULL) {
        apiary_close(handle);
        return NULL;
    }
    atomic_init(&box->refs, 1);
    box->owner = getpid();
    box->handle = handle;
    pthread_mutex_init(&box->mutex, NULL);
    pthread_cond_init(&box->idle, NULL);
    return box;
}

int box_enter(struct box *box, struct apiary_error *error)
{
    if (box->owner != getpid())
        return fail_with(error, APIARY_INVALID, "this Apiary belongs to process %d and cannot be used after fork(): open one here",
            (int)box->owner);
    pthread_mutex_lock(&box->mutex);
    bool open = box->handle != NULL && !box->closing;
    if (open) box->users++;
    pthread_mutex_unlock(&box->mutex);
    return open ? APIARY_OK : fail_with(error, APIARY_INVALID, "this Apiary has been shut down");
}

void box_leave(struct box *box)
{
    pthread_mutex_lock(&box->mutex);
    if (--box->users == 0) pthread_cond_broadcast(&box->idle);
    pthread_mutex_unlock(&box->mutex);
}

/* Cancels until nothing runs any more; a statement that began meanwhile is cancelled as well. */
static void drain_locked(struct box *box)
{
    enum { AGAIN_MS = 20 };
    while (box->users > 0) {
        for (struct seat *seat = box->seats; seat != NULL; seat = seat->next)
            if (seat->session != NULL && atomic_load(&seat->running)) apiary_cancel(seat->session);
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += AGAIN_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        pthread_cond_timedwait(&box->idle, &box->mutex, &until);
    }
}

static void box_close(struct box *box)
{
    if (box->owner != getpid()) return;
    pthread_mutex_lock(&box->mutex);
    if (box->closing) { /* another thread is at it: done when this returns */
        while (box->handle != NULL) pthread_cond_wait(&box->idle, &box->mutex);
        pthread_mutex_unlock(&box->mutex);
        return;
    }
    box->closing = true;
    drain_locked(box);
    struct apiary *handle = box->handle;
    for (struct seat *seat = box->seats; seat != NULL; seat = seat->next) {
        apiary_session_close(seat->session); /* no call is in flight and none can begin */
        seat->session = NULL;
    }
    pthread_mutex_unlock(&box->mutex);
    apiary_close(handle);
    pthread_mutex_lock(&box->mutex);
    box->handle = NULL;
    pthread_cond_broadcast(&box->idle);
    pthread_mutex_unlock(&box->mutex);
}

/* ---- seats ---- */

static struct seat *seat_open(struct box *box, struct apiary_error *error)
{
    struct seat *seat = calloc(1, sizeof *seat);
    if (seat == NULL) {
        fail_with(error, APIARY_MEMORY, "out of memory for a session");
        return NULL;
    }
    if (apiary_session_open(box->handle, &seat->session, error) != APIARY_OK) {
        free(seat);
        return NULL;
    }
    atomic_init(&seat->refs, 1);
    pthread_mutex_init(&seat->busy, NULL);
    apiary_session_progress(seat->session, on_progress, seat);
    atomic_fetch_add(&box->refs, 1);
    seat->box = box;
    pthread_mutex_lock(&box->mutex);
    seat->next = box->seats;
    box->seats = seat;
    pthread_mutex_unlock(&box->mutex);
    return seat;
}

void seat_unref(struct seat *seat)
{
    if (seat == NULL || atomic_fetch_sub(&seat->refs, 1) != 1) return;
    struct box *box = seat->box;
    if (box->owner != getpid()) return; /* its lock may be held by a thread that is not here */
    pthread_mutex_lock(&box->mutex);
    struct seat **link = &box->seats;
    while (*link != seat) link = &(*link)->next;
    *link = seat->next;
    struct apiary_session *session = seat->session;
    if (session != NULL) box->users++; /* box_close waits for us */
    pthread_mutex_unlock(&box->mutex);
    apiary_session_close(session);
    if (session != NULL) box_leave(box);
    pthread_mutex_destroy(&seat->busy);
    free(seat);
    box_unref(box);
}

/* ---- a call on a session ---- */

/* What every method of a session does around its call of the library. */
struct turn {
    struct seat *seat;
    struct call call;
};

static bool turn_begin(struct session_object *self, PyObject *progress, struct turn *turn)
{
    struct apiary_error error = { 0 };
    *turn = (struct turn) { .seat = self->seat };
    turn->call.progress = progress == Py_None ? NULL : progress;
    if (self->seat->box->owner == getpid() && !seat_take(self->seat, &turn->call)) return false;
    if (box_enter(self->seat->box, &error) != APIARY_OK) {
        if (self->seat->box->owner == getpid()) seat_give(self->seat);
        raise_error(&error);
        return false;
    }
    if (self->seat->open != NULL) {
        Py_BEGIN_ALLOW_THREADS
        settle(self->seat, self->keep_bytes);
        Py_END_ALLOW_THREADS
    }
    return true;
}

/* true: the call succeeded and nothing was raised meanwhile. */
static bool turn_end(struct turn *turn, int code, const struct apiary_error *error)
{
    seat_give(turn->seat);
    box_leave(turn->seat->box);
    if (call_raised(&turn->call)) return false;
    if (code == APIARY_OK) return true;
    if (!PyErr_Occurred()) raise_error(error);
    return false;
}

static PyObject *text_of(char *text)
{
    PyObject *string = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "replace");
    apiary_free(text);
    return string;
}

/* ---- sql ---- */

enum { TABLES_MAX = 16 };

struct tables {
    struct apiary_table items[TABLES_MAX];
    struct ArrowArrayStream streams[TABLES_MAX];
    PyObject *keep; /* bytes of the names */
    size_t count;
};

static void tables_done(struct tables *tables)
{
    for (size_t i = 0; i < tables->count; i++)
        if (tables->streams[i].release != NULL) tables->streams[i].release(&tables->streams[i]);
    Py_XDECREF(tables->keep);
}

static bool tables_add(struct tables *tables, PyObject *name, PyObject *value)
{
    if (tables->count == TABLES_MAX) {
        raise_code(APIARY_LIMIT, "a statement may read at most %d tables of the caller", TABLES_MAX);
        return false;
    }
    PyObject *bytes = PyUnicode_AsUTF8String(name);
    if (bytes == NULL) return false;
    int failed = PyList_Append(tables->keep, bytes);
    Py_DECREF(bytes);
    if (failed != 0 || !stream_from(value, &tables->streams[tables->count])) return false;
    tables->items[tables->count].name = PyBytes_AsString(bytes);
    tables->items[tables->count].stream = &tables->streams[tables->count];
    tables->count++;
    return true;
}

static bool tables_from(PyObject *dict, struct tables *out)
{
    PyObject *name = NULL, *value = NULL;
    Py_ssize_t at = 0;
    out->keep = PyList_New(0);
    if (out->keep == NULL) return false;
    if (dict == Py_None) return true;
    while (PyDict_Next(dict, &at, &name, &value))
        if (!tables_add(out, name, value)) return false;
    return true;
}

/* A short name that the catalogue does not know: the caller is asked for it. */
struct finder {
    PyObject *find;
    struct call *call;
};

static int find_table(void *context, const char *name, struct ArrowArrayStream *out)
{
    struct finder *finder = context;
    PyGILState_STATE state = PyGILState_Ensure();
    PyObject *object = PyObject_CallFunction(finder->find, "s", name);
    int found = 0;
    if (object != NULL && object != Py_None) found = stream_from(object, out);
    if (PyErr_Occurred()) call_keep_error(finder->call);
    Py_XDECREF(object);
    PyGILState_Release(state);
    return found;
}

/* sql(type, text, params, tables, find, progress) -> Rows of that type */
static PyObject *session_sql(struct session_object *self, PyObject *args)
{
    PyObject *type, *params, *tables, *find, *progress, *rows = NULL;
    const char *text;
    Py_ssize_t length;
    if (!PyArg_ParseTuple(args, "Os#OOOO", &type, &text, &length, &params, &tables, &find, &progress)) return NULL;
    struct values values = { 0 };
    struct tables brought = { 0 };
    struct turn turn;
    if (!values_from(params, &values)) return NULL;
    if (!tables_from(tables, &brought) || !turn_begin(self, progress, &turn)) {
        values_done(&values);
        tables_done(&brought);
        return NULL;
    }
    struct finder finder = { find, &turn.call };
    struct apiary_query query = {
        .sql = text,
        .length = (size_t)length,
        .values = values.items,
        .value_count = values.count,
        .tables = brought.items,
        .table_count = brought.count,
        .find_table = find == Py_None ? NULL : find_table,
        .find_context = &finder,
    };
    struct apiary_error error = { 0 };
    struct apiary_result *result = NULL;
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = apiary_sql(turn.seat->session, &query, &result, &error);
    Py_END_ALLOW_THREADS
    if (code == APIARY_OK) rows = rows_new((PyTypeObject *)type, self->seat, result, &turn.call);
    values_done(&values);
    tables_done(&brought);
    if (!turn_end(&turn, code, &error) || rows == NULL) {
        Py_XDECREF(rows);
        return NULL;
    }
    return rows;
}

/* ---- frames ---- */

/* write(frame, data, overwrite, backpressure, drop_extra, refuse_null_partition, merge, schema_id, progress) -> JSON */
static PyObject *session_write(struct session_object *self, PyObject *args)
{
    const char *frame, *backpressure, *schema_id;
    PyObject *data, *progress;
    int overwrite, drop_extra, refuse_null, merge;
    if (!PyArg_ParseTuple(args, "sOpzpppzO", &frame, &data, &overwrite, &backpressure, &drop_extra, &refuse_null, &merge, &schema_id,
            &progress))
        return NULL;
    struct ArrowArrayStream stream = { 0 };
    if (!stream_from(data, &stream)) return NULL;
    struct turn turn;
    if (!turn_begin(self, progress, &turn)) {
        struct unlocked unlocked = unlock_gil();
        stream.release(&stream);
        relock_gil(unlocked);
        return NULL;
    }
    struct apiary_write_options options = {
        .mode = overwrite ? APIARY_OVERWRITE : APIARY_APPEND,
        .backpressure = backpressure,
        .drop_extra_columns = drop_extra,
        .refuse_null_partition = refuse_null,
        .merge_schema = merge,
        .schema_id = schema_id,
    };
    struct apiary_error error = { 0 };
    char *json = NULL;
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = apiary_write(turn.seat->session, frame, &stream, &options, &json, &error);
    Py_END_ALLOW_THREADS
    if (!turn_end(&turn, code, &error)) {
        if (code == APIARY_OK) apiary_free(json);
        return NULL;
    }
    return text_of(json);
}

static const char **names_of(PyObject *list, size_t *count, PyObject **keep)
{
    Py_ssize_t size = PyList_Size(list);
    if (size < 0) return NULL;
    const char **names = PyMem_Calloc((size_t)size + 1, sizeof *names);
    *keep = PyList_New(0);
    for (Py_ssize_t i = 0; names != NULL && *keep != NULL && i < size; i++) {
        PyObject *bytes = PyUnicode_AsUTF8String(PyList_GetItem(list, i));
        if (bytes == NULL || PyList_Append(*keep, bytes) != 0) {
            Py_XDECREF(bytes);
            PyMem_Free(names);
            Py_CLEAR(*keep);
            return NULL;
        }
        names[i] = PyBytes_AsString(bytes);
        Py_DECREF(bytes);
    }
    *count = (size_t)size;
    return names;
}

/* create_frame(frame, schema, partition_by, or_same) */
static PyObject *session_create_frame(struct session_object *self, PyObject *args)
{
    const char *frame;
    PyObject *schema, *partition_by, *keep = NULL;
    int or_same;
    if (!PyArg_ParseTuple(args, "sOOp", &frame, &schema, &partition_by, &or_same)) return NULL;
    size_t count = 0;
    const char **names = names_of(partition_by, &count, &keep);
    if (names == NULL) return NULL;
    struct ArrowSchema moved = { 0 };
    struct turn turn;
    PyObject *done = NULL;
    if (schema_from(schema, &moved) && turn_begin(self, Py_None, &turn)) {
        struct apiary_error error = { 0 };
        int code;
        Py_BEGIN_ALLOW_THREADS
        code = apiary_create_frame(turn.seat->session, frame, &moved, names, count, or_same, &error);
        Py_END_ALLOW_THREADS
        if (turn_end(&turn, code, &error)) done = Py_NewRef(Py_None);
    }
    if (moved.release != NULL) moved.release(&moved);
    PyMem_Free(names);
    Py_XDECREF(keep);
    return done;
}

/* frame_info(frame, known) -> JSON */
static PyObject *session_frame_info(struct session_object *self, PyObject *args)
{
    const char *frame;
    int known;
    if (!PyArg_ParseTuple(args, "sp", &frame, &known)) return NULL;
    struct turn turn;
    if (!turn_begin(self, Py_None, &turn)) return NULL;
    struct apiary_error error = { 0 };
    char *json = NULL;
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = known ? apiary_frame_known(turn.seat->session, frame, &json, &error) : apiary_frame_info(turn.seat->session, frame, &json, &error);
    Py_END_ALLOW_THREADS
    if (!turn_end(&turn, code, &error)) {
        if (code == APIARY_OK) apiary_free(json);
        return NULL;
    }
    return text_of(json);
}

/* import_files(frame, paths, format, partition_by, keep_names, overwrite, progress) -> JSON */
static PyObject *session_import(struct session_object *self, PyObject *args)
{
    const char *frame, *format;
    PyObject *paths, *partition_by, *progress, *keep_paths = NULL, *keep_partitions = NULL;
    int keep_names, overwrite;
    if (!PyArg_ParseTuple(args, "sOzOppO", &frame, &paths, &format, &partition_by, &keep_names, &overwrite, &progress)) return NULL;
    size_t path_count = 0, partition_count = 0;
    const char **names = names_of(paths, &path_count, &keep_paths);
    const char **partitions = names == NULL ? NULL : names_of(partition_by, &partition_count, &keep_partitions);
    PyObject *done = NULL;
    struct turn turn;
    if (partitions != NULL && turn_begin(self, progress, &turn)) {
        struct apiary_import_options options = {
            .format = format,
            .partition_by = partitions,
            .partition_count = partition_count,
            .keep_names = keep_names,
            .overwrite = overwrite,
        };
        struct apiary_error error = { 0 };
        char *json = NULL;
        int code;
        Py_BEGIN_ALLOW_THREADS
        code = apiary_import(turn.seat->session, frame, names, path_count, &options, &json, &error);
        Py_END_ALLOW_THREADS
        if (turn_end(&turn, code, &error))
            done = text_of(json);
        else if (code == APIARY_OK)
            apiary_free(json);
    }
    PyMem_Free(names);
    PyMem_Free(partitions);
    Py_XDECREF(keep_paths);
    Py_XDECREF(keep_partitions);
    return done;
}

static PyObject *session_cancel(struct session_object *self, PyObject *unused)
{
    (void)unused;
    struct box *box = self->seat->box;
    if (box->owner != getpid()) Py_RETURN_NONE;
    pthread_mutex_lock(&box->mutex); /* keeps the session from being closed under us */
    if (self->seat->session != NULL) apiary_cancel(self->seat->session);
    pthread_mutex_unlock(&box->mutex);
    Py_RETURN_NONE;
}

static void session_dealloc(PyObject *object)
{
    struct session_object *self = (struct session_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    struct unlocked unlocked = unlock_gil(); /* closing may wait for a chamber to let go */
    seat_unref(self->seat);
    relock_gil(unlocked);
    PyObject_Free(self);
    Py_DECREF(type);
}

static PyMethodDef session_methods[] = {
    { "sql", (PyCFunction)session_sql, METH_VARARGS, NULL },
    { "write", (PyCFunction)session_write, METH_VARARGS, NULL },
    { "create_frame", (PyCFunction)session_create_frame, METH_VARARGS, NULL },
    { "frame_info", (PyCFunction)session_frame_info, METH_VARARGS, NULL },
    { "import_files", (PyCFunction)session_import, METH_VARARGS, NULL },
    { "cancel", (PyCFunction)session_cancel, METH_NOARGS, NULL },
    { 0 },
};

static PyType_Slot session_slots[] = {
    { Py_tp_dealloc, session_dealloc },
    { Py_tp_methods, session_methods },
    { Py_tp_doc, (void *)(uintptr_t)"A session of a handle: runs one statement at a time." },
    { 0 },
};
PyType_Spec session_spec = {
    .name = "apiary._apiary.Session",
    .basicsize = sizeof(struct session_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = session_slots,
};

/* ---- Handle ---- */

enum { SETTINGS_MAX = 64 };

/* Handle(storage, settings): settings is a dict of text to text. */
static PyObject *handle_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    (void)kwargs;
    const char *storage;
    PyObject *settings, *key = NULL, *value = NULL;
    if (!PyArg_ParseTuple(args, "zO", &storage, &settings)) return NULL;
    struct apiary_setting list[SETTINGS_MAX];
    size_t count = 0;
    Py_ssize_t at = 0;
    while (PyDict_Next(settings, &at, &key, &value)) {
        Py_ssize_t size = 0;
        if (count == SETTINGS_MAX) return raise_code(APIARY_LIMIT, "more than %d settings", SETTINGS_MAX);
        list[count].key = PyUnicode_AsUTF8AndSize(key, &size);
        list[count].value = list[count].key == NULL ? NULL : PyUnicode_AsUTF8AndSize(value, &size);
        if (list[count].value == NULL) return NULL;
        count++;
    }
    struct apiary_error error = { 0 };
    struct apiary *handle = NULL;
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = apiary_open(storage, list, count, &handle, &error);
    Py_END_ALLOW_THREADS
    if (code != APIARY_OK) return raise_error(&error);
    struct box *box = box_new(handle);
    if (box == NULL) return PyErr_NoMemory();
    allocfunc alloc = PyType_GetSlot(type, Py_tp_alloc);
    struct handle_object *self = (struct handle_object *)alloc(type, 0);
    if (self == NULL) {
        box_unref(box);
        return NULL;
    }
    self->box = box;
    return (PyObject *)self;
}

static void handle_dealloc(PyObject *object)
{
    struct handle_object *self = (struct handle_object *)object;
    PyTypeObject *type = Py_TYPE(object);
    if (self->box != NULL) {
        struct unlocked unlocked = unlock_gil();
        box_unref(self->box); /* sessions that are still held keep it open */
        relock_gil(unlocked);
    }
    freefunc release = PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *handle_session(struct handle_object *self, PyObject *args)
{
    long long keep_bytes;
    if (!PyArg_ParseTuple(args, "L", &keep_bytes)) return NULL;
    struct apiary_error error = { 0 };
    if (box_enter(self->box, &error) != APIARY_OK) return raise_error(&error);
    struct seat *seat;
    Py_BEGIN_ALLOW_THREADS
    seat = seat_open(self->box, &error);
    box_leave(self->box);
    Py_END_ALLOW_THREADS
    if (seat == NULL) return raise_error(&error);
    struct session_object *session = PyObject_New(struct session_object, session_type);
    if (session == NULL) {
        seat_unref(seat);
        return NULL;
    }
    session->seat = seat;
    session->keep_bytes = keep_bytes;
    return (PyObject *)session;
}

static PyObject *handle_status(struct handle_object *self, PyObject *args)
{
    const char *what;
    if (!PyArg_ParseTuple(args, "s", &what)) return NULL;
    struct apiary_error error = { 0 };
    if (box_enter(self->box, &error) != APIARY_OK) return raise_error(&error);
    char *json = NULL;
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = apiary_status(self->box->handle, what, &json, &error);
    box_leave(self->box);
    Py_END_ALLOW_THREADS
    return code == APIARY_OK ? text_of(json) : raise_error(&error);
}

static PyObject *handle_node_start(struct handle_object *self, PyObject *args)
{
    const char *name;
    if (!PyArg_ParseTuple(args, "s", &name)) return NULL;
    struct apiary_error error = { 0 };
    if (box_enter(self->box, &error) != APIARY_OK) return raise_error(&error);
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = apiary_node_start(self->box->handle, name, &error);
    box_leave(self->box);
    Py_END_ALLOW_THREADS
    if (code != APIARY_OK) return raise_error(&error);
    Py_RETURN_NONE;
}

static PyObject *handle_node_stop(struct handle_object *self, PyObject *unused)
{
    (void)unused;
    struct apiary_error error = { 0 };
    if (box_enter(self->box, &error) != APIARY_OK) return raise_error(&error);
    int code;
    Py_BEGIN_ALLOW_THREADS
    code = apiary_node_stop(self->box->handle, &error);
    box_leave(self->box);
    Py_END_ALLOW_THREADS
    if (code != APIARY_OK) return raise_error(&error);
    Py_RETURN_NONE;
}

static PyObject *handle_close(struct handle_object *self, PyObject *unused)
{
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    box_close(self->box);
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

static PyObject *handle_owner(struct handle_object *self, void *unused)
{
    (void)unused;
    return PyLong_FromLong((long)self->box->owner);
}

static PyMethodDef handle_methods[] = {
    { "session", (PyCFunction)handle_session, METH_VARARGS, NULL },
    { "status", (PyCFunction)handle_status, METH_VARARGS, NULL },
    { "node_start", (PyCFunction)handle_node_start, METH_VARARGS, NULL },
    { "node_stop", (PyCFunction)handle_node_stop, METH_NOARGS, NULL },
    { "close", (PyCFunction)handle_close, METH_NOARGS, NULL },
    { 0 },
};

static PyGetSetDef handle_getters[] = {
    { "owner_pid", (getter)handle_owner, NULL, "The process that opened it.", NULL },
    { 0 },
};

static PyType_Slot handle_slots[] = {
    { Py_tp_new, handle_new },
    { Py_tp_dealloc, handle_dealloc },
    { Py_tp_methods, handle_methods },
    { Py_tp_getset, handle_getters },
    { Py_tp_doc, (void *)(uintptr_t)"Handle(storage, settings): one storage root, its settings and its bees." },
    { 0 },
};
PyType_Spec handle_spec = {
    .name = "apiary._apiary.Handle",
    .basicsize = sizeof(struct handle_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = handle_slots,
};
