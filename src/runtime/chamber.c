/* One chamber: start, handshake, the kernel's fence, and what is said of its death. */
#include "core/alloc.h"
#include "core/json.h"
#include "core/time.h"
#include "runtime/pool_private.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A warm chamber may hold at most budget ÷ this already, or its next statement has no room. */
enum { FIT_PART = 2 };
/* A chamber whose data came so near its fence, and then faulted, was refused memory. */
enum { FENCE_NEAR = 3, FENCE_NEAR_OF = 4 };

struct ap_chamber *ap_chamber_new(struct ap_pool *pool)
{
    struct ap_chamber *chamber = ap_calloc(1, sizeof *chamber);
    if (!chamber) return NULL;
    chamber->pool = pool;
    chamber->unread_deadline_us = INT64_MAX;
    chamber->pid_fd = chamber->job_fd = chamber->ask_fd = chamber->words_fd = -1;
    chamber->bees_fd = chamber->statm_fd = -1;
    chamber->ask_lock = ap_lock_new(pool->env);
    if (!chamber->ask_lock || ap_page_slots_new(&chamber->slots, NULL) != APIARY_OK) {
        ap_lock_free(pool->env, chamber->ask_lock);
        ap_free(chamber);
        return NULL;
    }
    return chamber;
}

void ap_chamber_free(struct ap_chamber *chamber)
{
    if (!chamber) return;
    const int fds[] = { chamber->pid_fd, chamber->job_fd, chamber->ask_fd, chamber->words_fd,
        chamber->bees_fd, chamber->statm_fd };
    for (size_t i = 0; i < sizeof fds / sizeof fds[0]; i++)
        if (fds[i] >= 0) close(fds[i]);
    ap_lock_free(chamber->pool->env, chamber->ask_lock);
    ap_page_slots_unref(chamber->slots);
    ap_free(chamber->scratch);
    ap_free(chamber);
}

int ap_chamber_width(const struct ap_chamber *chamber)
{
    return chamber->width;
}

uint64_t ap_chamber_budget(const struct ap_chamber *chamber)
{
    return chamber->budget_bytes;
}

uint64_t ap_chamber_peak(const struct ap_chamber *chamber)
{
    struct ap_pool *pool = chamber->pool;
    ap_lock(pool->env, pool->lock);
    uint64_t peak = chamber->memory_bytes_peak;
    ap_unlock(pool->env, pool->lock);
    return peak;
}

const char *ap_chamber_seal(const struct ap_chamber *chamber)
{
    return chamber->seal;
}

void ap_chamber_handler_set(struct ap_chamber *chamber, const struct ap_handler *handler)
{
    struct ap_env *env = chamber->pool->env;
    ap_lock(env, chamber->ask_lock);
    chamber->handler = handler;
    ap_unlock(env, chamber->ask_lock);
}

/* ---- ending ---- */

void ap_chamber_kill_locked(struct ap_chamber *chamber, enum ap_chamber_end end)
{
    if (chamber->end == AP_END_NONE) chamber->end = end;
    if (chamber->exited || chamber->pid <= 0) return;
    /* The pid is ours until it is reaped, which happens under this lock only. */
    if (chamber->pid_fd < 0 ||
        syscall(SYS_pidfd_send_signal, chamber->pid_fd, SIGKILL, NULL, 0) != 0)
        kill(chamber->pid, SIGKILL);
}

void ap_chamber_kill(struct ap_chamber *chamber, enum ap_chamber_end end)
{
    struct ap_env *env = chamber->pool->env;
    chamber->doubtful = true;
    ap_lock(env, chamber->pool->lock);
    ap_chamber_kill_locked(chamber, end);
    ap_unlock(env, chamber->pool->lock);
}

static const char *signal_text(int number)
{
    switch (number) {
        case SIGSEGV: return "a memory fault (SIGSEGV)";
        case SIGBUS: return "a memory fault (SIGBUS)";
        case SIGABRT: return "an abort (SIGABRT)";
        case SIGSYS: return "a system call that its seal forbids (SIGSYS)";
        case SIGKILL: return "SIGKILL";
        case SIGILL: return "an illegal instruction (SIGILL)";
        case SIGFPE: return "an arithmetic fault (SIGFPE)";
        case SIGXFSZ: return "the file size limit (SIGXFSZ)";
        case SIGTERM: return "SIGTERM";
        default: return NULL;
    }
}

enum apiary_code ap_chamber_died(
    struct ap_chamber *chamber, const char *doing, struct apiary_error *err)
{
    struct ap_pool *pool = chamber->pool;
    char words[AP_CHAMBER_WORDS_MAX + 1], how[128], budget[32], held[32];
    chamber->doubtful = true;

    ap_lock(pool->env, pool->lock);
    int64_t deadline = ap_pool_deadline(pool, AP_CHAMBER_REAP_MS);
    while (!chamber->exited && ap_mono_us(pool->env) < deadline)
        ap_wait_until(pool->env, pool->lock, deadline);
    bool exited = chamber->exited, known = chamber->status_known;
    int status = chamber->wait_status;
    enum ap_chamber_end end = chamber->end;
    size_t size = chamber->words_size;
    memcpy(words, chamber->words, size);
    words[size] = 0;
    ap_size_format(chamber->budget_bytes, budget);
    ap_size_format(chamber->memory_bytes_peak, held);
    bool at_fence = pool->kernel_limit &&
                    chamber->data_bytes_peak >= chamber->budget_bytes / FENCE_NEAR_OF * FENCE_NEAR;
    int width = chamber->width;
    /* A chamber that closed its end and lives on is of no use to anybody. */
    if (!exited) ap_chamber_kill_locked(chamber, AP_END_PROTOCOL);
    ap_unlock(pool->env, pool->lock);

    if (end == AP_END_BUDGET) {
        ap_fail(err, APIARY_MEMORY,
            "the statement held %s of memory, its chamber's budget is %s (%d of %d bees); it was "
            "ended",
            held, budget, width, pool->bees);
        ap_hint(err, "raise memory_limit, or lower bees so that each has more");
        return APIARY_MEMORY;
    }
    if (end == AP_END_UNREAD)
        return ap_fail(err, APIARY_TIMEOUT,
            "nobody read the result for longer than result_timeout; the statement was ended");
    const char *name = known && WIFSIGNALED(status) ? signal_text(WTERMSIG(status)) : NULL;
    if (!exited)
        snprintf(how, sizeof how, "it closed its channel");
    else if (!known)
        snprintf(how, sizeof how, "its exit status was taken by another part of this process");
    else if (name)
        snprintf(how, sizeof how, "killed by %s", name);
    else if (WIFSIGNALED(status))
        snprintf(how, sizeof how, "killed by signal %d", WTERMSIG(status));
    else
        snprintf(how, sizeof how, "exit status %d", WEXITSTATUS(status));
    bool fault = known && WIFSIGNALED(status) &&
                 (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGABRT ||
                     WTERMSIG(status) == SIGBUS);
    if (fault && at_fence) { /* memory was refused where the engine cannot say so */
        ap_fail(err, APIARY_MEMORY,
            "the statement needs more memory than its budget of %s: the engine ended in %s with %s "
            "resident (%d of %d bees)",
            budget, how + strlen("killed by "), held, width, pool->bees);
        ap_hint(err, "raise memory_limit, or lower bees so that each has more");
        return APIARY_MEMORY;
    }
    const struct ap_str said = ap_str_trim(ap_str_from(words));
    if (said.size)
        ap_fail(err, APIARY_CHAMBER, "a sealed chamber died while %s: %s; it said: " AP_FMT, doing,
            how, AP_ARG(said));
    else
        ap_fail(err, APIARY_CHAMBER, "a sealed chamber died while %s: %s", doing, how);
    if (fault)
        ap_hint(err, "it held %s of its budget of %s; with a larger memory_limit it may pass", held,
            budget);
    if (known && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && end == AP_END_NONE)
        ap_hint(err, "perhaps the machine ran out of memory: lower memory_limit");
    return APIARY_CHAMBER;
}

enum apiary_code ap_chamber_broke(struct ap_chamber *chamber, struct apiary_error *err)
{
    ap_chamber_kill(chamber, AP_END_PROTOCOL);
    return ap_context(
        err, APIARY_CORRUPT, "a sealed chamber broke the rules of the wire and was ended");
}

/* ---- memory ---- */

bool ap_chamber_memory(
    const struct ap_chamber *chamber, uint64_t *data_bytes, uint64_t *resident_bytes)
{
    char text[256];
    if (chamber->statm_fd < 0) return false;
    ssize_t size = pread(chamber->statm_fd, text, sizeof text - 1, 0);
    if (size <= 0) return false;
    text[size] = 0;
    /* size resident shared text lib data dt, in pages; data is private writable and stacks */
    enum { RESIDENT = 1, SHARED = 2, DATA = 5, FIELDS = 6 };
    uint64_t fields[FIELDS];
    char *at = text;
    for (int i = 0; i < FIELDS; i++) {
        char *end = at;
        fields[i] = strtoull(at, &end, 10);
        if (end == at) return false;
        at = end;
    }
    uint64_t resident = fields[RESIDENT], shared = fields[SHARED], data = fields[DATA];
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    if (data_bytes) *data_bytes = data * page;
    /* Result batches in shared memory and the program's text are in `shared`. */
    if (resident_bytes) *resident_bytes = (resident > shared ? resident - shared : 0) * page;
    return true;
}

bool ap_chamber_fit(struct ap_chamber *chamber, bool fresh)
{
    struct ap_pool *pool = chamber->pool;
    if (!pool->kernel_limit || chamber->limit_bytes == chamber->budget_bytes) return true;
    uint64_t data = 0;
    if (!fresh && ap_chamber_memory(chamber, &data, NULL) &&
        data > chamber->budget_bytes / FIT_PART)
        return false;
    struct rlimit limit;
    if (prlimit(chamber->pid, RLIMIT_DATA, NULL, &limit) != 0) return false;
    limit.rlim_cur = chamber->budget_bytes;
    if (limit.rlim_cur > limit.rlim_max || prlimit(chamber->pid, RLIMIT_DATA, &limit, NULL) != 0)
        return false;
    chamber->limit_bytes = chamber->budget_bytes;
    return true;
}

/* ---- start ---- */

/* Idle ones are not to be felt: beside the first they take an eighth of what one bee has, by address space (which is what the fence
 * counts: 2.6 MB of an instance's 11 are touched, and stacks hardly). A query over cells of a store has more threads. */
static int kept_places(const struct ap_chamber *chamber)
{
    enum { PART = 8, INSTANCE_BYTES = 11 << 20, THREAD_BYTES = 9 << 20 };
    const struct ap_pool *pool = chamber->pool;
    uint64_t all = ap_pool_budget_of(pool, pool->bees), one = ap_pool_budget_of(pool, 1);
    uint64_t threads = (uint64_t)ap_pool_cold_threads(all, pool->bees);
    if (chamber->budget_bytes < one) one = chamber->budget_bytes; /* a guest's */
    uint64_t more = one / PART / (INSTANCE_BYTES + THREAD_BYTES * (threads - 1));
    return more >= AP_WIRE_KEPT_MAX - 1 ? AP_WIRE_KEPT_MAX : (int)more + 1;
}

int ap_chamber_kept(const struct ap_chamber *chamber)
{
    return chamber->kept;
}

static enum apiary_code hello(struct ap_chamber *chamber, struct apiary_error *err)
{
    struct ap_pool *pool = chamber->pool;
    uint64_t widest = ap_pool_budget_of(pool, pool->bees);
    chamber->kept = kept_places(chamber);
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = AP_WIRE_HELLO;
    enum apiary_code code = ap_bytes_printf(&message.body, err,
        "{\"version\":%d,\"build\":\"%s\",\"memory_bytes\":%" PRIu64
        ",\"rlimit_data_bytes\":%" PRIu64 ",\"scratch_bytes\":%" PRIu64 ",\"fsize_bytes\":%" PRIu64
        ",\"kept\":%d,\"require_seal\":%s,\"scratch\":",
        AP_WIRE_VERSION, AP_VERSION, widest, pool->kernel_limit ? widest : 0,
        pool->scratch_bytes_max, pool->scratch_bytes_max, chamber->kept, pool->require_seal ? "true" : "false");
    if (code == APIARY_OK) code = ap_json_quote(&message.body, ap_str_from(chamber->scratch), err);
    if (code == APIARY_OK) code = ap_bytes_add_text(&message.body, "}", err);
    message.fd = ap_page_slots_fd(chamber->slots);
    if (code == APIARY_OK) code = ap_wire_send(chamber->job_fd, &message, err);
    message.fd = -1; /* not ours to close */
    ap_wire_message_done(&message);
    return code;
}

/* READY's figures against ours. */
static enum apiary_code ready(
    struct ap_chamber *chamber, struct ap_str body, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_json_parse(body, "the chamber's greeting", &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    int64_t version = 0;
    struct ap_str build = AP_STR("?"), seal = AP_STR("");
    ap_json_i64(root, "version", &version);
    ap_json_str(root, "build", &build);
    if (version != AP_WIRE_VERSION || !ap_str_is(build, AP_VERSION)) {
        ap_fail(err, APIARY_CHAMBER,
            "the chamber program is of another build: it is %.64s with wire version %" PRId64
            ", this library is %s with wire version %d",
            build.size ? build.data : "?", version, AP_VERSION, AP_WIRE_VERSION);
        ap_hint(err,
            "APIARY_BEE, or what lies beside the library, must come from the same installation");
        return APIARY_CHAMBER;
    }
    if (!ap_json_str(root, "seal", &seal))
        return ap_fail(err, APIARY_CORRUPT, "the chamber's greeting names no seal");
    if (!ap_str_is(seal, "full") && !ap_str_is(seal, "partial") && !ap_str_is(seal, "engine-only"))
        return ap_fail(err, APIARY_CORRUPT, "the chamber's greeting names the unknown seal '%.16s'",
            seal.data);
    snprintf(chamber->seal, sizeof chamber->seal, AP_FMT, AP_ARG(seal));
    if (chamber->pool->require_seal && !ap_str_is(seal, "full"))
        return ap_fail(err, APIARY_DENIED,
            "require_seal is on, but this machine gives chambers only the seal '%s'",
            chamber->seal);
    return APIARY_OK;
}

static enum apiary_code greet(
    struct ap_chamber *chamber, const struct ap_cancel *cancel, struct apiary_error *err)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    enum apiary_code code = hello(chamber, err);
    if (code == APIARY_OK)
        code = ap_wire_receive(chamber->job_fd, &message, AP_CHAMBER_START_MS, cancel, err);
    if (code == APIARY_CHAMBER) {
        code = ap_chamber_died(chamber, "starting", err);
    } else if (code == APIARY_TIMEOUT) {
        code = ap_fail(err, APIARY_CHAMBER, "a sealed chamber did not start within %d s",
            AP_CHAMBER_START_MS / 1000);
    } else if (code == APIARY_OK && message.kind == AP_WIRE_FAILED) {
        bool doubtful = true;
        code = ap_failure(ap_bytes_view(&message.body), chamber->budget_bytes, &doubtful, err);
        ap_context(err, code, "a sealed chamber cannot start");
        if (code != APIARY_DENIED && code != APIARY_CHAMBER && code != APIARY_MEMORY) {
            code = APIARY_CHAMBER;
            if (err) err->code = code;
        }
    } else if (code == APIARY_OK && message.kind == AP_WIRE_READY) {
        code = ready(chamber, ap_bytes_view(&message.body), err);
    } else if (code == APIARY_OK) {
        code =
            ap_fail(err, APIARY_CORRUPT, "it greeted with a message of kind %d", (int)message.kind);
    }
    if (code == APIARY_CORRUPT) code = ap_chamber_broke(chamber, err);
    ap_wire_message_done(&message);
    return code;
}

enum apiary_code ap_chamber_start(
    struct ap_chamber *chamber, const struct ap_cancel *cancel, struct apiary_error *err)
{
    struct ap_pool *pool = chamber->pool;
    int64_t begin = ap_mono_us(pool->env);

    ap_lock(pool->env, pool->lock);
    chamber->spawn_wanted = true;
    ap_pool_wake(pool);
    while (!chamber->spawned) ap_wait_until(pool->env, pool->lock, INT64_MAX);
    enum apiary_code code = (enum apiary_code)chamber->spawn_error.code;
    if (code != APIARY_OK && err) *err = chamber->spawn_error;
    ap_unlock(pool->env, pool->lock);

    if (code == APIARY_OK) code = greet(chamber, cancel, err);
    /* The chamber set its own limits to those of the widest; ours may be narrower. */
    if (code == APIARY_OK && !ap_chamber_fit(chamber, true))
        code = ap_fail(err, APIARY_CHAMBER, "cannot set the memory limit of a fresh chamber");

    ap_lock(pool->env, pool->lock);
    if (code == APIARY_OK) {
        chamber->state = AP_CHAMBER_BUSY;
    } else {
        chamber->state = AP_CHAMBER_DEAD;
        ap_chamber_kill_locked(chamber, AP_END_PROTOCOL);
        ap_pool_wake(pool);
    }
    ap_unlock(pool->env, pool->lock);
    if (code == APIARY_OK)
        ap_log_event(pool->log, AP_LOG_DEBUG, "runtime", "chamber_started",
            "chamber=%" PRIu64 " pid=%d seal=%s elapsed_ms=%" PRId64, chamber->number,
            (int)chamber->pid, chamber->seal, (ap_mono_us(pool->env) - begin) / 1000);
    return code;
}
