/* The Python extension: one object per handle, session and result of apiary.h, and what is
 * needed to bring Python values into Arrow and back. No rule of Apiary lives here.
 *
 *   module.c   the module, errors            rows.c    results: batches kept, handed over, read
 *   handle.c   handles and sessions          share.c   Arrow arrays with several owners (no Python)
 *   call.c     waiting without the GIL       pyvalue.c Arrow to Python values
 *   value.c    statement parameters          infer.c   what Arrow type Python values need
 *   source.c   Arrow streams brought in      build.c   Python values to Arrow
 *   schema.c   Arrow schemas                 table.c   a result as the command line shows it
 *
 * Locks. `seat.busy` guards a session and everything that came out of it; it is waited for
 * without the GIL, always (whoever holds it may need the GIL to report progress). `hoard.mutex`
 * and `box.mutex` are held for a few instructions and never while waiting for another lock,
 * but: box.mutex before seat.busy never, seat.busy before box.mutex is fine. */
#ifndef APIARY_PYTHON_EXT_H
#define APIARY_PYTHON_EXT_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030B0000 /* the first with the buffer protocol */
#endif
#include <Python.h>

#include <apiary.h>
#include <nanoarrow/nanoarrow.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- module.c ---- */

extern PyTypeObject *handle_type, *session_type, *rows_type, *stream_type, *schema_type;

/* Raises the apiary.Error of `error` (apiary._errors.make); returns NULL. */
PyObject *raise_error(const struct apiary_error *error);
/* Raises it with a message of ours. */
PyObject *raise_code(int code, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Fails a C call the same way as the library does. Returns code. */
int fail_with(struct apiary_error *error, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* ---- handle.c: boxes and seats, which outlive their Python objects as long as needed ---- */

struct seat;

/* One struct apiary. */
struct box {
    atomic_int refs;
    pid_t owner; /* the process that opened it: no other may use it */
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    struct apiary *handle; /* NULL once closed */
    int users;             /* calls in flight */
    bool closing;
    struct seat *seats; /* open sessions */
};

/* What a running call needs when it is called back. Lives on the caller's stack. */
struct call {
    PyObject *progress;            /* called with (fraction, rows, bytes); borrowed, may be NULL */
    PyObject *error;               /* exception raised meanwhile (KeyboardInterrupt …); owned */
};

/* One struct apiary_session. */
struct seat {
    atomic_int refs;
    struct box *box;
    struct seat *next;
    struct apiary_session *session; /* NULL once closed */
    pthread_mutex_t busy;           /* held for a statement, or for a step of a result */
    atomic_bool running;            /* busy is held, */
    pthread_t runner;               /* by this thread */
    struct call *call;              /* of the thread that holds busy; may be NULL */
    struct hoard *open;             /* a result that still has rows in the chamber; borrowed */
};

void seat_unref(struct seat *seat); /* any thread, GIL or not; NULL does nothing */
/* A call on the handle begins / ends. No GIL needed. begin: INVALID after close and after fork. */
int box_enter(struct box *box, struct apiary_error *error);
void box_leave(struct box *box);

/* ---- call.c ---- */

/* Takes the session for this thread: waits for other threads with the GIL released, interruptible.
 * false: a Python error is set. */
bool seat_take(struct seat *seat, struct call *call);
/* The same from a thread that does not hold the GIL; never calls Python. */
int seat_take_plain(struct seat *seat, struct apiary_error *error);
void seat_give(struct seat *seat);
/* apiary_progress of every session: signals, progress bar. context: the seat. */
void on_progress(void *context, double fraction, int64_t rows, int64_t bytes);
/* After a call: true if Python code that ran meanwhile raised; that error is set then. */
bool call_raised(struct call *call);
/* Keeps the current Python error of this thread in the call (GIL held). */
void call_keep_error(struct call *call);
/* Runs `body` surely without the GIL, whether this thread holds it or not. */
struct unlocked { PyGILState_STATE state; PyThreadState *thread; };
struct unlocked unlock_gil(void);
void relock_gil(struct unlocked unlocked);

/* ---- share.c: no Python in it ---- */

struct share {
    atomic_int refs;
    int64_t bytes; /* of its buffers, about */
    struct ArrowArray array;
};
/* Takes the array. NULL without memory (the array is released then). */
struct share *share_new(struct ArrowArray *array);
struct share *share_ref(struct share *share);
void share_unref(struct share *share);
/* Another owner of the same buffers. 0 or ENOMEM. */
int share_export(struct share *share, struct ArrowArray *out);
/* An empty stream of the schema (borrowed). 0 or an errno. */
int empty_stream(const struct ArrowSchema *schema, struct ArrowArrayStream *out);

/* ---- rows.c ---- */

/* Makes a Rows (or a subclass: `type`) of what apiary_sql gave. Takes `result`. */
PyObject *rows_new(PyTypeObject *type, struct seat *seat, struct apiary_result *result, struct call *call);
/* Fetches what is left of the session's open result, so that it survives the next statement.
 * `busy` held, no GIL. What is over `limit` bytes is given up. */
void settle(struct seat *seat, int64_t limit);
extern PyType_Spec rows_spec;

/* ---- pyvalue.c ---- */

/* Readers of one schema: Arrow values to Python. */
struct pycolumn;
struct pycolumn *pycolumn_new(const struct ArrowSchema *schema); /* NULL: Python error set */
void pycolumn_free(struct pycolumn *column);
/* Value `index` (after view's offset) as Python object. */
PyObject *pycolumn_value(const struct pycolumn *column, const struct ArrowArrayView *view, int64_t index);
const struct pycolumn *pycolumn_child(const struct pycolumn *column, int64_t index);

/* ---- table.c ---- */

/* The first `rows` of a stream (the caller releases it) as the command line's table, `width`
 * columns wide. NULL: error set. */
PyObject *table_text(struct ArrowArrayStream *stream, long long rows, int width);

/* ---- value.c ---- */

struct values {
    struct apiary_value *items;
    size_t count;
    PyObject *keep; /* list of the objects whose text is borrowed */
    struct values *nested; /* lists of lists; chain */
};
bool values_from(PyObject *params, struct values *out); /* None, sequence or mapping; false: error set */
void values_done(struct values *values);

/* ---- source.c ---- */

/* Moves the stream out of anything that brings one: Stream, __arrow_c_stream__, __arrow_c_array__.
 * false: a Python error is set (TypeError when the object does not speak Arrow). */
bool stream_from(PyObject *object, struct ArrowArrayStream *out);
/* The Python error behind a failed read of a stream of ours, or NULL (new reference). */
extern PyType_Spec stream_spec;
PyObject *stream_object(struct ArrowArrayStream *stream); /* takes it; NULL: error set, stream released */
PyObject *source_ipc(PyObject *module, PyObject *data);
PyObject *source_iterator(PyObject *module, PyObject *args);
PyObject *source_columns(PyObject *module, PyObject *args);

/* ---- schema.c ---- */

extern PyType_Spec schema_spec;
struct schema_object {
    PyObject_HEAD
    struct ArrowSchema schema;
};
/* Moves the schema out of a Schema, of anything with __arrow_c_schema__, or of a stream's. */
bool schema_from(PyObject *object, struct ArrowSchema *out);
/* A field from its description (name, format, nullable, children); name may be NULL. */
bool schema_describe(PyObject *description, struct ArrowSchema *out);
PyObject *schema_object(struct ArrowSchema *schema); /* takes it */

/* ---- infer.c, build.c ---- */

/* The classes of Python's own types, looked up once (borrowed for ever). NULL: error set. */
struct classes {
    PyObject *date, *datetime, *time, *timedelta, *utc, *zoneinfo, *decimal, *uuid, *interval;
};
const struct classes *classes(void);

/* Gives the schema of values: `rows` is a list of dicts; or a column, a list of values. `known`
 * (a Schema or NULL) gives types of columns by name. false: error set. */
bool infer_rows(PyObject *rows, const struct ArrowSchema *known, struct ArrowSchema *out);
bool infer_column(PyObject *values, const char *name, struct ArrowSchema *out);
/* NULL-like: None, pandas.NA, pandas.NaT. */
bool is_null(PyObject *value);
/* New reference to a plain Python value for a scalar of NumPy and the like, else value itself. */
PyObject *plain_value(PyObject *value);
bool date_parts(PyObject *date, int64_t *days);
bool time_micros(PyObject *time, int64_t *micros);
/* Microseconds since the epoch; *zoned tells whether it has an offset (then the instant). */
bool datetime_micros(PyObject *datetime, int64_t *micros, bool *zoned);
bool timedelta_micros(PyObject *delta, int64_t *micros);

/* Builds a batch of `rows` (dicts) of `schema`. false: error set. */
bool build_rows(PyObject *rows, const struct ArrowSchema *schema, struct ArrowArray *out);
bool build_column(PyObject *values, const struct ArrowSchema *schema, struct ArrowArray *out);
PyObject *build_rows_stream(PyObject *module, PyObject *args);

#endif
