#include "driver.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>

enum { JOB_TIMEOUT_MS = 60000 };

/* ---- the node's side of questions ---- */

static const char *real_path(struct driver *driver, const char *name, char *scratch, size_t size)
{
    for (int i = 0; i < driver->file_count; i++)
        if (strcmp(driver->files[i].name, name) == 0) return driver->files[i].path;
    if (strncmp(name, "/out/", 5) != 0) return NULL;
    snprintf(scratch, size, "%s/%s", driver->out, name + 5);
    for (char *at = scratch + strlen(driver->out) + 1; *at; at++)
        if (*at == '/') *at = '~';
    return scratch;
}

static int list_files(struct driver *driver, const char *folder, struct ap_bytes *names)
{
    size_t length = strlen(folder);
    for (int i = 0; i < driver->file_count; i++) {
        const char *name = driver->files[i].name;
        if (strncmp(name, folder, length) == 0 && name[length] == '/' &&
            ap_bytes_printf(names, NULL, "%s\n", name + length + 1) != APIARY_OK)
            return ENOMEM;
    }
    return names->size ? 0 : ENOENT;
}

/* Brings whole pages of a sparse file, as the cell cache would. */
static int bring_range(const char *source, const char *path, off_t offset, size_t size)
{
    int from = open(source, O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CLOEXEC);
    char *bytes = ap_calloc(1, size + 1);
    ssize_t got = from >= 0 && to >= 0 && bytes ? pread(from, bytes, size, offset) : -1;
    bool ok = got >= 0 && pwrite(to, bytes, (size_t)got, offset) == got;
    ap_free(bytes);
    if (from >= 0) close(from);
    if (to >= 0) close(to);
    return ok ? 0 : EIO;
}

/* The number of a file whose bytes have to be asked for; 0: none. */
static uint64_t range_number(const struct driver *driver, const char *name)
{
    for (int i = 0; i < driver->file_count; i++)
        if (strcmp(driver->files[i].name, name) == 0)
            return driver->files[i].source[0] ? (uint64_t)i + 1 : 0;
    return 0;
}

static void answer_one(
    struct driver *driver, struct ap_wire_message *question, struct ap_wire_message *answer)
{
    char first[1024], second[1024];
    const char *name = ap_bytes_text(&question->body);
    const char *path = real_path(driver, name, first, sizeof first);
    struct stat info;
    errno = ENOENT;
    answer->values[0] = 0;
    switch (question->kind) {
        case AP_WIRE_OPEN:
            answer->fd = path ? open(path, (int)question->values[0] | O_CLOEXEC, 0600) : -1;
            if (answer->fd < 0)
                answer->values[0] = (uint64_t)errno;
            else if (fstat(answer->fd, &info) == 0)
                answer->values[1] = (uint64_t)info.st_size;
            answer->values[2] = range_number(driver, name);
            answer->values[3] = (answer->values[2] - 1) * DRIVER_BITS_SIZE;
            break;
        case AP_WIRE_MAP:
            answer->fd = fcntl(driver->map_fd, F_DUPFD_CLOEXEC, 3);
            if (answer->fd < 0) answer->values[0] = EIO;
            break;
        case AP_WIRE_TAKE: {
            uint64_t slot = question->values[0];
            AP_AUTO_FREE char *bytes = ap_calloc(1, driver->taken[slot].size + 1);
            int from = open(driver->files[driver->taken[slot].file].source, O_RDONLY | O_CLOEXEC);
            ssize_t got =
                pread(from, bytes, driver->taken[slot].size, (off_t)driver->taken[slot].offset);
            close(from);
            if (got < 0 || ap_bytes_add(&answer->body, bytes, (size_t)got, NULL) != APIARY_OK)
                answer->values[0] = EIO;
            break;
        }
        case AP_WIRE_STAT:
            answer->values[2] = 2;
            if (path && stat(path, &info) == 0) {
                answer->values[1] = (uint64_t)info.st_size;
                answer->values[2] = 1;
            } else if (list_files(driver, name, &answer->body)) {
                answer->values[0] = ENOENT;
            }
            break;
        case AP_WIRE_LIST:
            answer->values[0] = (uint64_t)list_files(driver, name, &answer->body);
            break;
        case AP_WIRE_RENAME: {
            const char *to = real_path(driver, name + strlen(name) + 1, second, sizeof second);
            if (!path || !to || rename(path, to)) answer->values[0] = (uint64_t)errno;
            break;
        }
        case AP_WIRE_UNLINK:
            if (!path || unlink(path)) answer->values[0] = (uint64_t)errno;
            break;
        default: answer->values[0] = ENOSYS;
    }
}

/* A read that waits: its slot is told. */
static void range_one(struct driver *driver, const struct ap_wire_message *question)
{
    uint64_t slot = question->values[0], number = question->values[1];
    uint64_t first = question->values[2] / AP_PAGE_SIZE;
    uint64_t last = (question->values[2] + question->values[3] - 1) / AP_PAGE_SIZE;
    driver->ranges++;
    if (slot >= AP_PAGE_SLOTS) return;
    uint32_t state = AP_PAGE_ERROR + EIO;
    if (number >= 1 && number <= (uint64_t)driver->file_count) {
        int file = (int)number - 1;
        int error = 0;
        if (driver->no_room) {
            driver->taken[slot].file = file;
            driver->taken[slot].offset = question->values[2];
            driver->taken[slot].size = question->values[3];
            state = AP_PAGE_TAKE;
        } else {
            error = bring_range(driver->files[file].source, driver->files[file].path,
                (off_t)(first * AP_PAGE_SIZE), (last - first + 1) * AP_PAGE_SIZE);
            ap_pages_mark(
                (ap_page_word *)(void *)(driver->map + file * DRIVER_BITS_SIZE), first, last);
            state = error ? AP_PAGE_ERROR + (uint32_t)error : AP_PAGE_THERE;
        }
    }
    ap_page_slot_tell(&driver->slots[slot], state);
}

static void *answer_all(void *arg)
{
    struct driver *driver = arg;
    for (;;) {
        AP_AUTO(ap_wire_message) question;
        AP_AUTO(ap_wire_message) answer;
        ap_wire_message_init(&question);
        ap_wire_message_init(&answer);
        if (ap_wire_receive(driver->ask_fd, &question, -1, NULL, NULL) != APIARY_OK) return NULL;
        driver->questions++;
        if (question.kind == AP_WIRE_RANGE) {
            range_one(driver, &question);
            continue;
        }
        answer.kind = AP_WIRE_ANSWER;
        answer_one(driver, &question, &answer);
        if (ap_wire_send(driver->ask_fd, &answer, NULL) != APIARY_OK) return NULL;
    }
}

/* ---- start and stop ---- */

static void spawn_bee(struct driver *driver, const char *name, int job_fd, int ask_fd)
{
    char program[AP_TEST_PATH_MAX];
    const char *build = getenv("APIARY_BUILD_DIR");
    snprintf(program, sizeof program, "%s/%s", build ? build : "build", name ? name : "apiary-bee");
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    /* Both descriptors lie above the two targets, so neither is overwritten. */
    posix_spawn_file_actions_adddup2(&actions, job_fd, AP_WIRE_JOB_FD);
    posix_spawn_file_actions_adddup2(&actions, ask_fd, AP_WIRE_ASK_FD);
    char *argv[] = { program, NULL }, *envp[] = { getenv("BEE_PRELOAD"), NULL };
    int failed = posix_spawn(&driver->pid, program, &actions, NULL, argv, envp);
    posix_spawn_file_actions_destroy(&actions);
    if (failed) fail_msg("cannot start %s: %s", program, strerror(failed));
}

static void socket_pair(int *ours, int *theirs)
{
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    *ours = pair[0];
    *theirs = fcntl(pair[1], F_DUPFD_CLOEXEC, 10);
    close(pair[1]);
}

static void send_text(
    int fd, enum ap_wire_kind kind, uint32_t job, uint64_t value, int memfd, const char *text)
{
    struct apiary_error err = { 0 };
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = kind;
    message.job = job;
    message.values[0] = value;
    message.fd = memfd;
    assert_ok(ap_bytes_add_text(&message.body, text, &err));
    assert_ok(ap_wire_send(fd, &message, &err));
    message.fd = -1;
    ap_wire_message_done(&message);
}

void driver_start(struct driver *driver, const struct driver_options *options)
{
    struct apiary_error err = { 0 };
    struct driver_options none = { 0 };
    if (options == NULL) options = &none;
    memset(driver, 0, sizeof *driver);
    ap_test_folder(driver->scratch);
    ap_test_folder(driver->out);
    int job_fd, ask_fd;
    socket_pair(&driver->job_fd, &job_fd);
    socket_pair(&driver->ask_fd, &ask_fd);
    spawn_bee(driver, options->program, job_fd, ask_fd);
    close(job_fd);
    close(ask_fd);
    uint64_t memory = options->memory_bytes ? options->memory_bytes : UINT64_C(512) << 20;
    char hello[1024];
    snprintf(hello, sizeof hello,
        "{\"version\":%d,\"build\":\"%s\",\"kept\":%d,\"memory_bytes\":%" PRIu64
        ",\"rlimit_data_bytes\":%" PRIu64 ",\"scratch\":\"%s\",\"fsize_bytes\":%" PRIu64
        ",\"require_seal\":false,\"strict\":%s}",
        AP_WIRE_VERSION, AP_VERSION, options->kept > 0 ? options->kept : 1, memory, memory, driver->scratch,
        options->fsize_bytes ? options->fsize_bytes : UINT64_C(1) << 30,
        options->lenient ? "false" : "true");
    void *slots = NULL, *map = NULL;
    assert_ok(
        ap_pages_share(AP_PAGE_SLOTS * sizeof *driver->slots, &driver->slots_fd, &slots, &err));
    assert_ok(
        ap_pages_share(DRIVER_FILES_MAX * DRIVER_BITS_SIZE, &driver->map_fd, &map, &err));
    driver->slots = slots;
    driver->map = map;
    send_text(driver->job_fd, AP_WIRE_HELLO, 0, 0, driver->slots_fd, hello);
    AP_AUTO(ap_wire_message) ready;
    ap_wire_message_init(&ready);
    assert_ok(ap_wire_receive(driver->job_fd, &ready, JOB_TIMEOUT_MS, NULL, &err));
    snprintf(driver->ready, sizeof driver->ready, "%s", ap_bytes_text(&ready.body));
    if (ready.kind != AP_WIRE_READY) fail_msg("not ready: %s", driver->ready);
    assert_int_equal(pthread_create(&driver->answering, NULL, answer_all, driver), 0);
}

static int driver_end(struct driver *driver)
{
    close(driver->job_fd);
    int status = 0;
    assert_int_equal(waitpid(driver->pid, &status, 0), driver->pid);
    shutdown(driver->ask_fd, SHUT_RDWR);
    pthread_join(driver->answering, NULL);
    close(driver->ask_fd);
    munmap(driver->slots, AP_PAGE_SLOTS * sizeof *driver->slots);
    munmap(driver->map, DRIVER_FILES_MAX * DRIVER_BITS_SIZE);
    close(driver->slots_fd);
    close(driver->map_fd);
    ap_test_folder_remove(driver->scratch);
    ap_test_folder_remove(driver->out);
    return status;
}

void driver_stop(struct driver *driver)
{
    int status = driver_end(driver);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("apiary-bee ended with status %#x", (unsigned)status);
}

void driver_replace(struct driver *driver, const struct driver_options *options)
{
    int status = driver_end(driver);
    if (!WIFEXITED(status) || (WEXITSTATUS(status) != 0 && WEXITSTATUS(status) != 3))
        fail_msg("apiary-bee ended with status %#x", (unsigned)status);
    driver_start(driver, options);
}

bool driver_restart_if_gone(struct driver *driver, const struct driver_options *options)
{
    AP_AUTO(ap_wire_message) message;
    ap_wire_message_init(&message);
    if (ap_wire_receive(driver->job_fd, &message, 50, NULL, NULL) != APIARY_CHAMBER) return false;
    int status = driver_end(driver);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 3)
        fail_msg("apiary-bee ended with status %#x", (unsigned)status);
    driver_start(driver, options);
    return true;
}

/* ---- one job ---- */

struct reading {
    struct driver *driver;
    const struct driving *how;
    struct outcome *out;
    struct ArrowIpcDecoder decoder;
    bool has_decoder;
    size_t inputs_given;
    int64_t started_us;
    bool cancelled;
};

static void take_schema(struct reading *reading, const struct ap_wire_message *message)
{
    struct ArrowError error = { .message = "" };
    struct ArrowBufferView view = { .data.data = message->body.data,
        .size_bytes = (int64_t)message->body.size };
    assert_int_equal(ArrowIpcDecoderInit(&reading->decoder), NANOARROW_OK);
    reading->has_decoder = true;
    assert_int_equal(ArrowIpcDecoderVerifyHeader(&reading->decoder, view, &error), NANOARROW_OK);
    assert_int_equal(ArrowIpcDecoderDecodeHeader(&reading->decoder, view, &error), NANOARROW_OK);
    assert_int_equal(ArrowIpcDecoderDecodeSchema(&reading->decoder, &reading->out->schema, &error),
        NANOARROW_OK);
    assert_int_equal(
        ArrowIpcDecoderSetSchema(&reading->decoder, &reading->out->schema, &error), NANOARROW_OK);
}

/* Decodes a batch with full validation; its bytes are copied, so the map may go. */
static void take_batch(struct reading *reading, const struct ap_wire_message *message)
{
    struct apiary_error err = { 0 };
    struct ArrowError error = { .message = "" };
    const void *data = NULL;
    size_t size = 0;
    struct outcome *out = reading->out;
    assert_ok(ap_memfd_map(message->fd, UINT64_C(1) << 31, &data, &size, &err));
    assert_int_equal(size, message->values[0]);
    struct ArrowBufferView view = { .data.data = data, .size_bytes = (int64_t)size };
    assert_int_equal(ArrowIpcDecoderVerifyHeader(&reading->decoder, view, &error), NANOARROW_OK);
    assert_int_equal(ArrowIpcDecoderDecodeHeader(&reading->decoder, view, &error), NANOARROW_OK);
    struct ArrowBufferView body = { .data.as_uint8 =
                                        (const uint8_t *)data + reading->decoder.header_size_bytes,
        .size_bytes = reading->decoder.body_size_bytes };
    struct ArrowArray array;
    int rc = ArrowIpcDecoderDecodeArray(
        &reading->decoder, body, -1, &array, NANOARROW_VALIDATION_LEVEL_FULL, &error);
    if (rc != NANOARROW_OK) fail_msg("a batch is not valid: %s", error.message);
    assert_int_equal(array.length, message->values[1]);
    assert_true(out->batch_count < DRIVER_BATCHES_MAX);
    if (reading->how->keep)
        out->batches[out->batch_count] = array;
    else
        ArrowArrayRelease(&array);
    munmap((void *)(uintptr_t)data, size);
    out->batch_count++;
    out->rows += message->values[1];
    if (size > out->batch_bytes_max) out->batch_bytes_max = size;
    if (reading->how->slow)
        send_text(reading->driver->job_fd, AP_WIRE_CREDIT, reading->driver->job, 1, -1, "");
    if (reading->how->cancel_at_batch == out->batch_count)
        send_text(reading->driver->job_fd, AP_WIRE_CANCEL, reading->driver->job, 0, -1, "");
}

static void give_input(struct reading *reading, uint64_t index)
{
    const struct driving *how = reading->how;
    if (how->starve) return;
    size_t next = reading->inputs_given++;
    struct driver *driver = reading->driver;
    if (next < how->input_count)
        send_text(driver->job_fd, AP_WIRE_INPUT, driver->job, index, how->input_fds[next], "");
    else if (next == how->input_count)
        send_text(driver->job_fd, AP_WIRE_INPUT, driver->job, index, -1,
            how->input_error ? how->input_error : "");
}

static void take_end(struct reading *reading, const struct ap_wire_message *message)
{
    struct apiary_error err = { 0 };
    struct outcome *out = reading->out;
    out->done = message->kind == AP_WIRE_DONE;
    out->body = ap_strdup(ap_bytes_text(&message->body));
    assert_non_null(out->body);
    assert_ok(ap_json_parse(ap_str_from(out->body), "answer", &out->doc, &err));
    yyjson_val *root = yyjson_doc_get_root(out->doc);
    struct ap_str text = { 0 };
    out->position = out->setup = -1;
    if (ap_json_str(root, "type", &text))
        snprintf(out->type, sizeof out->type, AP_FMT, AP_ARG(text));
    if (ap_json_str(root, "message", &text))
        snprintf(out->message, sizeof out->message, AP_FMT, AP_ARG(text));
    ap_json_i64(root, "position", &out->position);
    ap_json_i64(root, "setup", &out->setup);
}

static bool take(struct reading *reading, const struct ap_wire_message *message)
{
    assert_int_equal(message->job, reading->driver->job);
    switch (message->kind) {
        case AP_WIRE_SCHEMA: take_schema(reading, message); return true;
        case AP_WIRE_BATCH: take_batch(reading, message); return true;
        case AP_WIRE_NEED: give_input(reading, message->values[0]); return true;
        case AP_WIRE_PROGRESS: reading->out->progress_count++; return true;
        case AP_WIRE_DONE:
        case AP_WIRE_FAILED: take_end(reading, message); return false;
        default: fail_msg("unexpected message %d", (int)message->kind);
    }
    return false;
}

static void read_all(struct reading *reading)
{
    for (bool more = true; more;) {
        struct apiary_error err = { 0 };
        AP_AUTO(ap_wire_message) message;
        ap_wire_message_init(&message);
        int wait_ms = reading->how->cancel_after_ms && !reading->cancelled
                          ? reading->how->cancel_after_ms
                          : JOB_TIMEOUT_MS;
        enum apiary_code code =
            ap_wire_receive(reading->driver->job_fd, &message, wait_ms, NULL, &err);
        int64_t waited_ms = (ap_mono_us(ap_env_system()) - reading->started_us) / 1000;
        if (reading->how->cancel_after_ms && !reading->cancelled &&
            waited_ms >= reading->how->cancel_after_ms) {
            reading->cancelled = true;
            send_text(reading->driver->job_fd, AP_WIRE_CANCEL, reading->driver->job, 0, -1, "");
        }
        if (code == APIARY_TIMEOUT && waited_ms < JOB_TIMEOUT_MS) continue;
        if (code != APIARY_OK) fail_msg("no answer from apiary-bee: %s", err.message);
        more = take(reading, &message);
    }
}

void driver_run(struct driver *driver, const struct driving *how, struct outcome *out,
    const char *document, ...)
{
    struct driving plain = { 0 };
    char text[65536];
    va_list args;
    va_start(args, document);
    int size = vsnprintf(text, sizeof text, document, args);
    va_end(args);
    assert_true(size < (int)sizeof text);
    memset(out, 0, sizeof *out);
    ArrowArrayViewInitFromType(&out->view, NANOARROW_TYPE_UNINITIALIZED);
    struct reading reading = { .driver = driver,
        .how = how ? how : &plain,
        .out = out,
        .started_us = ap_mono_us(ap_env_system()) };
    driver->job++;
    send_text(driver->job_fd, AP_WIRE_JOB, driver->job, 0, -1, text);
    uint64_t credits = reading.how->credits_first ? reading.how->credits_first
                       : reading.how->slow        ? 1
                                                  : 1000;
    send_text(driver->job_fd, AP_WIRE_CREDIT, driver->job, credits, -1, "");
    read_all(&reading);
    if (reading.has_decoder) ArrowIpcDecoderReset(&reading.decoder);
}

void driver_json(struct driver *driver, struct outcome *out, const char *sql)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) quoted = { 0 };
    assert_ok(ap_json_quote(&quoted, ap_str_from(sql), &err));
    driver_run(driver, NULL, out, "{\"sql\":%s,\"threads\":2,\"result\":\"json\"}",
        ap_bytes_text(&quoted));
    assert_done(sql, out);
}

void driver_sql(struct driver *driver, const char *sql)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) quoted = { 0 };
    struct outcome out;
    assert_ok(ap_json_quote(&quoted, ap_str_from(sql), &err));
    driver_run(driver, NULL, &out, "{\"sql\":%s,\"threads\":2,\"result\":\"none\"}",
        ap_bytes_text(&quoted));
    assert_done(sql, &out);
    outcome_done(&out);
}

void outcome_done(struct outcome *out)
{
    ap_free(out->body);
    ap_json_doc_free(&out->doc);
    ArrowArrayViewReset(&out->view);
    for (size_t i = 0; i < out->batch_count; i++)
        if (out->batches[i].release) ArrowArrayRelease(&out->batches[i]);
    if (out->schema.release) ArrowSchemaRelease(&out->schema);
    memset(out, 0, sizeof *out);
}

void assert_done(const char *label, const struct outcome *out)
{
    if (!out->done) fail_msg("%s: failed: %s", label, out->body);
}

void assert_failed(
    const char *label, const struct outcome *out, const char *type, const char *words)
{
    if (out->done) fail_msg("%s: did not fail", label);
    assert_string_in(label, out->type, type);
    if (strstr(out->message, words) == NULL)
        fail_msg("%s: '%s' is not in: %s", label, words, out->message);
    assert_null(strchr(out->message, '\n'));
}

const char *outcome_cell(const struct outcome *out, size_t row, size_t column)
{
    yyjson_val *rows = yyjson_obj_get(yyjson_doc_get_root(out->doc), "rows");
    yyjson_val *cell = yyjson_arr_get(yyjson_arr_get(rows, row), column);
    if (cell == NULL) fail_msg("no cell %zu,%zu in %s", row, column, out->body);
    return yyjson_is_null(cell) ? "NULL" : yyjson_get_str(cell);
}

const struct ArrowArrayView *outcome_view(struct outcome *out, size_t batch)
{
    struct ArrowError error = { .message = "" };
    assert_true(batch < out->batch_count);
    ArrowArrayViewReset(&out->view);
    assert_int_equal(ArrowArrayViewInitFromSchema(&out->view, &out->schema, &error), NANOARROW_OK);
    assert_int_equal(
        ArrowArrayViewSetArray(&out->view, &out->batches[batch], &error), NANOARROW_OK);
    return &out->view;
}
