/* apiary-bee: the chamber program. Started by a node with two sockets; not meant to
 * be run by hand.
 *
 * Order of start-up, each step needing the one before:
 *   1. signals, death with the parent, HELLO
 *   2. limits, scratch as working folder, names of libc looked up
 *   3. the seal: before any second thread and before the engine exists
 *   4. the spare engine instance, the reader of the job channel
 *   5. READY, then job after job until the channel ends */
#include "bee/failure.h"
#include "bee/interpose.h"
#include "bee/job.h"
#include "bee/paging.h"
#include "bee/resident.h"
#include "bee/seal.h"
#include "core/alloc.h"
#include "core/json.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <unistd.h>

#define OOM_SCORE "800" /* of 1000 */
enum { HELLO_TIMEOUT_MS = 60000, PATH_BYTES_MAX = 4096 };

struct hello {
    uint64_t memory_bytes, rlimit_data_bytes, fsize_bytes, scratch_bytes, kept;
    char scratch[PATH_BYTES_MAX];
    bool require_seal, strict;
};

static void get_u64(yyjson_val *object, const char *key, uint64_t *out)
{
    int64_t number = 0;
    if (ap_json_i64(object, key, &number) && number >= 0) *out = (uint64_t)number;
}

static enum apiary_code check_version(yyjson_val *object, struct apiary_error *err)
{
    int64_t version = 0;
    struct ap_str build = AP_STR("unknown");
    ap_json_i64(object, "version", &version);
    ap_json_str(object, "build", &build);
    if (version == AP_WIRE_VERSION && ap_str_is(build, AP_VERSION)) return APIARY_OK;
    return ap_fail(err, APIARY_CHAMBER,
        "apiary-bee %s (wire %d) and the library " AP_FMT " (wire %" PRId64
        ") do not belong together",
        AP_VERSION, AP_WIRE_VERSION, AP_ARG(build), version);
}

static enum apiary_code read_hello(struct hello *out, struct apiary_error *err)
{
    AP_AUTO(ap_wire_message) message;
    ap_wire_message_init(&message);
    AP_TRY(ap_wire_receive(AP_WIRE_JOB_FD, &message, HELLO_TIMEOUT_MS, NULL, err));
    if (message.kind != AP_WIRE_HELLO)
        return ap_fail(err, APIARY_CORRUPT, "the first message is no HELLO");
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_json_parse(ap_bytes_view(&message.body), "HELLO", &doc, err));
    yyjson_val *object = yyjson_doc_get_root(doc);
    AP_TRY(check_version(object, err));
    struct ap_str scratch;
    if (!ap_json_str(object, "scratch", &scratch) || scratch.size == 0 || scratch.data[0] != '/' ||
        scratch.size >= sizeof out->scratch)
        return ap_fail(err, APIARY_INVALID, "HELLO names no scratch folder");
    memcpy(out->scratch, scratch.data, scratch.size);
    get_u64(object, "memory_bytes", &out->memory_bytes);
    get_u64(object, "rlimit_data_bytes", &out->rlimit_data_bytes);
    get_u64(object, "fsize_bytes", &out->fsize_bytes);
    out->scratch_bytes = out->fsize_bytes ? out->fsize_bytes : UINT64_C(1) << 40;
    get_u64(object, "scratch_bytes", &out->scratch_bytes);
    out->kept = 1;
    get_u64(object, "kept", &out->kept);
    ap_json_bool(object, "require_seal", &out->require_seal);
    ap_json_bool(object, "strict", &out->strict);
    if (out->memory_bytes == 0) return ap_fail(err, APIARY_INVALID, "HELLO names no memory budget");
    return message.fd >= 0 ? bee_paging_slots(message.fd, err) : APIARY_OK;
}

/* When the machine has no memory left, the kernel is to end a chamber and not its user's program.
 * Where it cannot be said, the kernel decides by size. */
static void offer_to_oom_killer(void)
{
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    ssize_t ignored = write(fd, OOM_SCORE, sizeof OOM_SCORE - 1);
    (void)ignored;
    close(fd);
}

static enum apiary_code seal(
    const struct hello *hello, enum bee_seal *out, struct apiary_error *err)
{
    AP_TRY(bee_interpose_init(err));
    bee_resident_init();
    AP_TRY(bee_limits_apply(hello->rlimit_data_bytes, hello->fsize_bytes, err));
    offer_to_oom_killer();
    if (chdir(hello->scratch))
        return ap_fail_errno(err, errno, "scratch folder %s", hello->scratch);
    enum bee_seal got = bee_seal_apply(hello->scratch, hello->strict);
    if (hello->require_seal && got != BEE_SEAL_FULL)
        return ap_fail(err, APIARY_DENIED,
            "this system cannot seal a chamber (seal: %s) and require_seal is on",
            bee_seal_text(got));
    *out = got;
    return APIARY_OK;
}

static enum apiary_code send_ready(enum bee_seal seal, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(ap_bytes_printf(&body, err,
        "{\"version\":%d,\"build\":\"%s\",\"engine\":\"%s\",\"seal\":\"%s\",\"pid\":%ld}",
        AP_WIRE_VERSION, AP_VERSION, duckdb_library_version(), bee_seal_text(seal),
        (long)getpid()));
    return bee_send(AP_WIRE_READY, 0, ap_bytes_view(&body), -1, NULL, err);
}

/* The engine ends itself when memory fails where it cannot throw (a destructor, the
 * start of a thread). The statement then still gets an answer; the node sees the
 * channel end behind it and takes a fresh chamber. */
static void *(*exception_type)(void);

static void on_terminate(void)
{
    /* A std::type_info is a table pointer, then the mangled name. */
    void *const *type = exception_type ? exception_type() : NULL;
    if (type && strcmp(type[1], "St9bad_alloc") == 0)
        bee_last_words("memory", "the statement needs more memory than its budget");
    bee_last_words("internal", "the engine gave up");
}

static void catch_terminate(void)
{
    void (*(*set_terminate)(void (*)(void)))(void) = NULL;
    *(void **)&set_terminate = dlsym(RTLD_DEFAULT, "_ZSt13set_terminatePFvvE");
    *(void **)&exception_type = dlsym(RTLD_DEFAULT, "__cxa_current_exception_type");
    if (set_terminate) set_terminate(on_terminate);
}

static enum apiary_code serve(struct apiary_error *err)
{
    struct hello *hello = ap_calloc(1, sizeof *hello);
    if (hello == NULL) return ap_fail_memory(err, "the chamber's settings");
    enum bee_seal sealed = BEE_SEAL_ENGINE_ONLY;
    AP_TRY(read_hello(hello, err));
    catch_terminate();
    AP_TRY(seal(hello, &sealed, err));

    struct bee_hive hive = { .memory_bytes = hello->memory_bytes };
    hive.kept_places = hello->kept < 1 ? 1 : hello->kept > AP_WIRE_KEPT_MAX ? AP_WIRE_KEPT_MAX : (size_t)hello->kept;
    struct bee_measures first = {
        .memory_bytes = bee_memory_limit(hello->memory_bytes, 1), .threads = 1, .timezone = "UTC"
    };
    AP_TRY(bee_stable_start(&hive.stable, hello->scratch, hello->scratch_bytes, &first, err));
    AP_TRY(bee_control_start(&hive.control, err));
    AP_TRY(send_ready(sealed, err));
    for (;;) {
        AP_AUTO(ap_wire_message) message;
        bee_control_next_job(hive.control, &message);
        AP_TRY(bee_job_run(&hive, &message, err));
    }
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        printf("apiary-bee %s, engine %s, wire %d\n", AP_VERSION, duckdb_library_version(),
            AP_WIRE_VERSION);
        return 0;
    }
    signal(SIGXFSZ, SIG_IGN); /* a file over its limit is an error, not a death */
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_PDEATHSIG, SIGKILL);

    struct apiary_error err = { 0 };
    if (serve(&err) != APIARY_OK) {
        struct bee_failure why;
        bee_failure_init(&why);
        why.err = err;
        AP_AUTO(ap_bytes) body = { 0 };
        if (bee_failure_json(&why, &body, NULL) == APIARY_OK &&
            bee_send(AP_WIRE_FAILED, 0, ap_bytes_view(&body), -1, NULL, NULL) != APIARY_OK)
            fprintf(stderr, "apiary-bee: %s\n", err.message);
    }
    _exit(1); /* no destructors: the engine's threads may still run */
}
