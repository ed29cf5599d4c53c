/* Waiting: the GIL is released around every call into the library, and Python's signal handlers
 * still run. The library calls on_progress about ten times a second from the thread that runs the
 * statement; there the GIL is taken for a moment, Ctrl-C is looked for, and a handler that raises
 * cancels the statement. So a wait ends within a tenth of a second, handlers of the host stay
 * as they are, and a handler that does not raise disturbs nothing. */
#include "ext.h"

#include <errno.h>
#include <time.h>

enum { LOOK_MS = 50 };

void call_keep_error(struct call *call)
{
    PyObject *type = NULL, *value = NULL, *trace = NULL;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (value != NULL && trace != NULL) PyException_SetTraceback(value, trace);
    Py_XDECREF(type);
    Py_XDECREF(trace);
    if (call->error == NULL)
        call->error = value;
    else
        Py_XDECREF(value);
}

bool call_raised(struct call *call)
{
    if (call->error == NULL) return false;
    PyObject *type = (PyObject *)Py_TYPE(call->error);
    Py_INCREF(type);
    PyErr_Restore(type, call->error, PyException_GetTraceback(call->error));
    call->error = NULL;
    return true;
}

void on_progress(void *context, double fraction, int64_t rows, int64_t bytes)
{
    struct seat *seat = context;
    struct call *call = seat->call;
    if (call == NULL) return;
    PyGILState_STATE state = PyGILState_Ensure();
    bool raised = PyErr_CheckSignals() != 0;
    if (!raised && call->progress != NULL && call->error == NULL) {
        PyObject *done = PyObject_CallFunction(call->progress, "dLL", fraction, (long long)rows, (long long)bytes);
        raised = done == NULL;
        Py_XDECREF(done);
    }
    if (raised) {
        call_keep_error(call);
        apiary_cancel(seat->session);
    }
    PyGILState_Release(state);
}

static void taken(struct seat *seat, struct call *call)
{
    seat->call = call;
    seat->runner = pthread_self();
    atomic_store(&seat->running, true);
}

static bool mine(struct seat *seat)
{
    return atomic_load(&seat->running) && pthread_equal(seat->runner, pthread_self());
}

#define NESTED "this thread runs a statement already: its data source cannot run another one on the same Apiary"

bool seat_take(struct seat *seat, struct call *call)
{
    if (mine(seat)) {
        raise_code(APIARY_INVALID, NESTED);
        return false;
    }
    int code = pthread_mutex_trylock(&seat->busy);
    while (code != 0) {
        Py_BEGIN_ALLOW_THREADS
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += LOOK_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000L;
        until.tv_nsec %= 1000000000L;
        code = pthread_mutex_timedlock(&seat->busy, &until);
        Py_END_ALLOW_THREADS
        if (code != 0 && PyErr_CheckSignals() != 0) return false;
    }
    taken(seat, call);
    return true;
}

int seat_take_plain(struct seat *seat, struct apiary_error *error)
{
    if (mine(seat)) return fail_with(error, APIARY_INVALID, NESTED);
    pthread_mutex_lock(&seat->busy);
    taken(seat, NULL);
    return APIARY_OK;
}

void seat_give(struct seat *seat)
{
    seat->call = NULL;
    atomic_store(&seat->running, false);
    pthread_mutex_unlock(&seat->busy);
}

struct unlocked unlock_gil(void)
{
    struct unlocked unlocked = { .state = PyGILState_Ensure() };
    unlocked.thread = PyEval_SaveThread();
    return unlocked;
}

void relock_gil(struct unlocked unlocked)
{
    PyEval_RestoreThread(unlocked.thread);
    PyGILState_Release(unlocked.state);
}
