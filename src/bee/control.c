#include "bee/control.h"

#include "core/alloc.h"

#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum {
    TICK_MS = 250,        /* a progress message so often while a job runs */
    CANCEL_AGAIN_MS = 20, /* an interrupt between two engine calls is lost: repeat it */
    ARRIVALS_MAX = 1024   /* inputs that wait; more than was asked for is a fault */
};

struct arrival {
    struct arrival *next;
    struct ap_wire_message message;
};

struct bee_control {
    _Atomic uint64_t rows_out;
    struct {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        struct ap_wire_message job_message;
        bool waiting; /* job_message holds a job that nobody took */
        bool busy;    /* from JOB to finish */
        uint32_t job;
        bool cancelled;
        uint64_t credits;
        duckdb_connection connection;
        struct arrival *first, **last;
        size_t arrival_count;
    } shared;
};

uint64_t bee_cpu_us(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage)) return 0;
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000 +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

enum apiary_code bee_send(enum ap_wire_kind kind, uint32_t job, struct ap_str body, int fd,
    const uint64_t values[AP_WIRE_VALUES], struct apiary_error *err)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = kind;
    message.job = job;
    message.fd = fd;
    if (values) memcpy(message.values, values, sizeof message.values);
    /* Borrowed: send does not write to it, and done is never called on this message. */
    message.body = (struct ap_bytes) { (char *)(uintptr_t)body.data, body.size, body.size };
    return ap_wire_send(AP_WIRE_JOB_FD, &message, err);
}

/* The job that runs, for bee_last_words alone; 0: none. */
static _Atomic uint32_t running_job;

void bee_last_words(const char *type, const char *message)
{
    char body[512];
    uint32_t job = atomic_exchange(&running_job, 0); /* once, whoever comes first */
    snprintf(body, sizeof body,
        "{\"type\":\"%s\",\"message\":\"%s\",\"position\":null,\"setup\":null}", type, message);
    if (job && bee_send(AP_WIRE_FAILED, job, ap_str_from(body), -1, NULL, NULL) != APIARY_OK)
        _exit(3);
    _exit(3);
}

/* ---- the reader ---- */

__attribute__((noreturn)) static void stop(const char *why)
{
    if (why) {
        ssize_t ignored = write(STDERR_FILENO, why, strlen(why));
        (void)ignored;
    }
    _exit(why ? 2 : 0);
}

static void arrivals_clear_locked(struct bee_control *control)
{
    while (control->shared.first) {
        struct arrival *arrival = control->shared.first;
        control->shared.first = arrival->next;
        ap_wire_message_done(&arrival->message);
        ap_free(arrival);
    }
    control->shared.last = &control->shared.first;
    control->shared.arrival_count = 0;
}

static void begin_locked(struct bee_control *control, struct ap_wire_message *message)
{
    if (control->shared.busy) stop("apiary-bee: a job while another one runs\n");
    arrivals_clear_locked(control);
    control->shared.job_message = *message;
    ap_wire_message_init(message);
    control->shared.job = control->shared.job_message.job;
    control->shared.waiting = control->shared.busy = true;
    control->shared.cancelled = false;
    control->shared.credits = 0;
    atomic_store(&control->rows_out, 0);
    atomic_store(&running_job, control->shared.job);
}

static void arrive_locked(struct bee_control *control, struct ap_wire_message *message)
{
    struct arrival *arrival = ap_calloc(1, sizeof *arrival);
    if (arrival == NULL || ++control->shared.arrival_count > ARRIVALS_MAX)
        stop("apiary-bee: no room for an input\n");
    arrival->message = *message;
    ap_wire_message_init(message);
    *control->shared.last = arrival;
    control->shared.last = &arrival->next;
}

static void interrupt_locked(struct bee_control *control)
{
    if (control->shared.cancelled && control->shared.connection)
        duckdb_interrupt(control->shared.connection);
}

static void accept_message(struct bee_control *control, struct ap_wire_message *message)
{
    pthread_mutex_lock(&control->shared.mutex);
    bool current = control->shared.busy && message->job == control->shared.job;
    switch (message->kind) {
        case AP_WIRE_JOB: begin_locked(control, message); break;
        case AP_WIRE_CREDIT:
            if (current) control->shared.credits += message->values[0];
            break;
        case AP_WIRE_INPUT:
            if (current) arrive_locked(control, message);
            break;
        case AP_WIRE_CANCEL:
            if (current) control->shared.cancelled = true;
            interrupt_locked(control);
            break;
        default: stop("apiary-bee: a message of unknown kind\n");
    }
    pthread_cond_broadcast(&control->shared.changed);
    pthread_mutex_unlock(&control->shared.mutex);
}

/* Whether a message can be sent without waiting for the node to read. */
static bool has_room(void)
{
    struct pollfd socket = { .fd = AP_WIRE_JOB_FD, .events = POLLOUT };
    return poll(&socket, 1, 0) == 1 && (socket.revents & POLLOUT);
}

static void report_progress(struct bee_control *control)
{
    uint64_t values[AP_WIRE_VALUES] = { UINT64_MAX, atomic_load(&control->rows_out), bee_cpu_us() };
    pthread_mutex_lock(&control->shared.mutex);
    bool busy = control->shared.busy && !control->shared.waiting;
    uint32_t job = control->shared.job;
    if (busy && control->shared.connection) {
        double percent = duckdb_query_progress(control->shared.connection).percentage;
        if (percent >= 0 && percent <= 100) values[0] = (uint64_t)(percent * 10);
    }
    /* Sent under the mutex: finish cannot come between, so never after DONE. */
    bool gone = busy && has_room() &&
                bee_send(AP_WIRE_PROGRESS, job, AP_STR(""), -1, values, NULL) != APIARY_OK;
    pthread_mutex_unlock(&control->shared.mutex);
    if (gone) stop(NULL);
}

static int64_t now_ms(void)
{
    return ap_mono_us(ap_env_system()) / 1000;
}

static void *read_channel(void *arg)
{
    struct bee_control *control = arg;
    int64_t reported_ms = now_ms();
    for (;;) {
        pthread_mutex_lock(&control->shared.mutex);
        int timeout_ms = !control->shared.busy       ? -1
                         : control->shared.cancelled ? CANCEL_AGAIN_MS
                                                     : TICK_MS;
        pthread_mutex_unlock(&control->shared.mutex);

        AP_AUTO(ap_wire_message) message;
        ap_wire_message_init(&message);
        enum apiary_code code = ap_wire_receive(AP_WIRE_JOB_FD, &message, timeout_ms, NULL, NULL);
        if (code == APIARY_CHAMBER) stop(NULL); /* the node is gone, or done with us */
        if (code == APIARY_OK)
            accept_message(control, &message);
        else if (code != APIARY_TIMEOUT)
            stop("apiary-bee: a message out of form\n");

        pthread_mutex_lock(&control->shared.mutex);
        interrupt_locked(control);
        pthread_mutex_unlock(&control->shared.mutex);
        if (timeout_ms > 0 && now_ms() - reported_ms >= TICK_MS) {
            report_progress(control);
            reported_ms = now_ms();
        }
    }
    return NULL;
}

enum apiary_code bee_control_start(struct bee_control **out, struct apiary_error *err)
{
    struct bee_control *control = ap_calloc(1, sizeof *control);
    if (control == NULL) return ap_fail_memory(err, "the job channel");
    pthread_mutex_init(&control->shared.mutex, NULL);
    pthread_cond_init(&control->shared.changed, NULL);
    control->shared.last = &control->shared.first;
    ap_wire_message_init(&control->shared.job_message);
    pthread_t thread;
    if (pthread_create(&thread, NULL, read_channel, control)) {
        ap_free(control);
        return ap_fail(err, APIARY_MEMORY, "no thread for the job channel");
    }
    pthread_detach(thread);
    *out = control;
    return APIARY_OK;
}

/* ---- the runner's side ---- */

void bee_control_next_job(struct bee_control *control, struct ap_wire_message *out)
{
    pthread_mutex_lock(&control->shared.mutex);
    while (!control->shared.waiting)
        pthread_cond_wait(&control->shared.changed, &control->shared.mutex);
    control->shared.waiting = false;
    *out = control->shared.job_message;
    ap_wire_message_init(&control->shared.job_message);
    pthread_mutex_unlock(&control->shared.mutex);
}

void bee_control_finish(struct bee_control *control)
{
    pthread_mutex_lock(&control->shared.mutex);
    atomic_store(&running_job, 0);
    control->shared.busy = false;
    control->shared.connection = NULL;
    arrivals_clear_locked(control);
    pthread_mutex_unlock(&control->shared.mutex);
}

bool bee_control_cancelled(struct bee_control *control)
{
    pthread_mutex_lock(&control->shared.mutex);
    bool cancelled = control->shared.cancelled;
    pthread_mutex_unlock(&control->shared.mutex);
    return cancelled;
}

void bee_control_connection_set(struct bee_control *control, duckdb_connection connection)
{
    pthread_mutex_lock(&control->shared.mutex);
    control->shared.connection = connection;
    pthread_mutex_unlock(&control->shared.mutex);
}

void bee_control_rows_out(struct bee_control *control, uint64_t rows)
{
    atomic_fetch_add(&control->rows_out, rows);
}

enum apiary_code bee_control_credit_take(struct bee_control *control, struct apiary_error *err)
{
    pthread_mutex_lock(&control->shared.mutex);
    while (control->shared.credits == 0 && !control->shared.cancelled)
        pthread_cond_wait(&control->shared.changed, &control->shared.mutex);
    bool cancelled = control->shared.cancelled;
    if (!cancelled) control->shared.credits--;
    pthread_mutex_unlock(&control->shared.mutex);
    return cancelled ? ap_fail(err, APIARY_CANCELLED, "cancelled") : APIARY_OK;
}

/* Unlinks the first arrival of `index`; NULL when there is none. */
static struct arrival *arrival_take_locked(struct bee_control *control, size_t index)
{
    for (struct arrival **at = &control->shared.first; *at; at = &(*at)->next) {
        struct arrival *arrival = *at;
        if (arrival->message.values[0] != index) continue;
        *at = arrival->next;
        if (control->shared.last == &arrival->next) control->shared.last = at;
        control->shared.arrival_count--;
        return arrival;
    }
    return NULL;
}

enum apiary_code bee_control_input_take(struct bee_control *control, size_t index,
    struct ap_wire_message *out, struct apiary_error *err)
{
    pthread_mutex_lock(&control->shared.mutex);
    struct arrival *arrival = NULL;
    while (!control->shared.cancelled && (arrival = arrival_take_locked(control, index)) == NULL)
        pthread_cond_wait(&control->shared.changed, &control->shared.mutex);
    pthread_mutex_unlock(&control->shared.mutex);
    if (arrival == NULL) return ap_fail(err, APIARY_CANCELLED, "cancelled");
    *out = arrival->message;
    ap_free(arrival);
    return APIARY_OK;
}
