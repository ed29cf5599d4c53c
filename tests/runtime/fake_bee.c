/* A chamber program that does as it is told, and misbehaves as it is told.
 *
 * The statement of a job is the order ("rows 3", "die", "truncated" …). How it greets stands
 * in the file `mode` of the pool's scratch folder: two levels above its own. */
#include "ipc_bytes.h"

#include "core/alloc.h"
#include "core/json.h"
#include "core/wire.h"

#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum { ROWS = 100, FLOOD = 4 << 20, GLUT = 450 << 20 };

static struct ap_wire_message job; /* the order being carried out */

static void send_fd(
    enum ap_wire_kind kind, const char *body, size_t size, uint64_t v0, uint64_t v1, int fd)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    message.kind = kind;
    message.job = job.job;
    message.values[0] = v0;
    message.values[1] = v1;
    message.fd = fd;
    if (ap_bytes_add(&message.body, body, size, NULL) != APIARY_OK) abort();
    if (ap_wire_send(AP_WIRE_JOB_FD, &message, NULL) != APIARY_OK) _exit(0);
    ap_wire_message_done(&message);
}

static void send_text(enum ap_wire_kind kind, const char *text)
{
    send_fd(kind, text, strlen(text), 0, 0, -1);
}

static void send_schema(void)
{
    struct ArrowBuffer schema;
    ipc_schema_message(&schema);
    send_fd(AP_WIRE_SCHEMA, (const char *)schema.data, (size_t)schema.size_bytes, 0, 0, -1);
    ArrowBufferReset(&schema);
}

static void send_bytes(const uint8_t *data, size_t size, uint64_t rows, bool sealed)
{
    int fd = -1;
    if (sealed) {
        if (ap_memfd_sealed(data, size, &fd, NULL) != APIARY_OK) abort();
    } else {
        fd = memfd_create("fake", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (write(fd, data, size) != (ssize_t)size) abort();
    }
    send_fd(AP_WIRE_BATCH, "", 0, size, rows, fd);
}

static struct ap_wire_message next_message(void)
{
    struct ap_wire_message message;
    ap_wire_message_init(&message);
    if (ap_wire_receive(AP_WIRE_JOB_FD, &message, -1, NULL, NULL) != APIARY_OK) _exit(0);
    return message;
}

/* Waits for one credit, or for the word to stop (false). */
static bool credit(uint64_t *credits)
{
    while (*credits == 0) {
        struct ap_wire_message message = next_message();
        if (message.kind == AP_WIRE_CANCEL) return false;
        if (message.kind == AP_WIRE_CREDIT) *credits += message.values[0];
        ap_wire_message_done(&message);
    }
    (*credits)--;
    return true;
}

static void cancelled(void)
{
    send_text(AP_WIRE_FAILED,
        "{\"type\":\"cancelled\",\"message\":\"INTERRUPT Error: Interrupted!\",\"position\":null}");
}

static void rows(int batches)
{
    uint64_t credits = 0;
    send_schema();
    for (int i = 0; i < batches; i++) {
        struct ArrowBuffer batch;
        int64_t header, offsets;
        if (!credit(&credits)) {
            cancelled();
            return;
        }
        ipc_batch_message(i * ROWS, ROWS, &batch, &header, &offsets);
        send_bytes(batch.data, (size_t)batch.size_bytes, ROWS, true);
        ArrowBufferReset(&batch);
    }
    send_text(AP_WIRE_DONE, "{\"rows_changed\":null,\"cpu_us\":5}");
}

/* One batch that is wrong in the way that `how` says. */
static void wrong_batch(const char *how)
{
    struct ArrowBuffer batch;
    int64_t header, offsets;
    uint64_t said = ROWS;
    int32_t value;
    ipc_batch_message(0, ROWS, &batch, &header, &offsets);
    size_t size = (size_t)batch.size_bytes;
    bool sealed = true;
    send_schema();
    if (strcmp(how, "unsealed") == 0) sealed = false;
    if (strcmp(how, "truncated") == 0) size = (size_t)header + 16;
    if (strcmp(how, "headless") == 0) size = (size_t)header / 2;
    if (strcmp(how, "empty") == 0) size = 0;
    if (strcmp(how, "rowcount") == 0) said = ROWS + 1;
    if (strcmp(how, "garbage") == 0) memset(batch.data, 0x5a, size);
    if (strcmp(how, "header") == 0) memset(batch.data + 40, 0x7f, 64);
    if (strcmp(how, "offset_far") == 0) {
        value = 1 << 30;
        memcpy(batch.data + offsets + ROWS * 4, &value, sizeof value);
    }
    if (strcmp(how, "offset_negative") == 0) {
        value = -5;
        memcpy(batch.data + offsets, &value, sizeof value);
    }
    if (strcmp(how, "offset_falls") == 0) {
        value = 1 << 20;
        memcpy(batch.data + offsets + 40, &value, sizeof value);
    }
    if (strcmp(how, "is_schema") == 0) {
        ArrowBufferReset(&batch);
        ipc_schema_message(&batch);
        size = (size_t)batch.size_bytes;
    }
    send_bytes(batch.data, size, said, sealed);
    ArrowBufferReset(&batch);
    send_text(AP_WIRE_DONE, "{}");
}

static void ask(enum ap_wire_kind kind, struct ap_str body)
{
    char text[256];
    struct ap_wire_message question, answer;
    ap_wire_message_init(&question);
    ap_wire_message_init(&answer);
    question.kind = kind;
    question.values[0] = O_RDONLY;
    if (ap_bytes_add_str(&question.body, body, NULL) != APIARY_OK) abort();
    if (ap_wire_send(AP_WIRE_ASK_FD, &question, NULL) != APIARY_OK) _exit(0);
    if (ap_wire_receive(AP_WIRE_ASK_FD, &answer, -1, NULL, NULL) != APIARY_OK) _exit(0);
    char content[32] = "";
    if (answer.fd >= 0 && read(answer.fd, content, sizeof content - 1) < 0)
        strcpy(content, "unreadable");
    snprintf(text, sizeof text, "{\"rows\":[[\"%d\",\"%d\",\"%s\",\"%d\"]]}", (int)answer.values[0],
        (int)answer.values[1], content, (int)answer.body.size);
    ap_wire_message_done(&question);
    ap_wire_message_done(&answer);
    send_text(AP_WIRE_DONE, text);
}

static void obey(const char *order)
{
    int number = 0;
    char word[64] = "";
    if (sscanf(order, "rows %d", &number) == 1)
        rows(number);
    else if (strcmp(order, "json") == 0)
        send_text(AP_WIRE_DONE, "{\"rows\":[[\"1\"]],\"rows_changed\":7,\"cpu_us\":12}");
    else if (strncmp(order, "fail ", 5) == 0)
        send_text(AP_WIRE_FAILED, order + 5);
    else if (sscanf(order, "batch %63s", word) == 1)
        wrong_batch(word);
    else if (strcmp(order, "no_schema") == 0)
        send_text(AP_WIRE_DONE, "{}");
    else if (strcmp(order, "bad_schema") == 0)
        send_text(AP_WIRE_SCHEMA, "this is no schema at all");
    else if (strcmp(order, "two_schemas") == 0)
        send_schema(), send_schema();
    else if (strcmp(order, "no_memory") == 0)
        send_schema(), send_fd(AP_WIRE_BATCH, "", 0, 1, 1, -1);
    else if (strcmp(order, "other_job") == 0)
        job.job += 5, send_text(AP_WIRE_DONE, "{}");
    else if (strcmp(order, "other_kind") == 0)
        send_text(AP_WIRE_HELLO, "{}");
    else if (strcmp(order, "need") == 0)
        send_fd(AP_WIRE_NEED, "", 0, 7, 0, -1);
    else if (strcmp(order, "noise") == 0)
        send(AP_WIRE_JOB_FD, "xyz", 3, MSG_NOSIGNAL);
    else if (strcmp(order, "die") == 0) {
        if (write(2, "the\nlast words\n", 15) < 0) abort();
        _exit(3);
    } else if (strcmp(order, "signal") == 0) {
        signal(SIGSEGV, SIG_DFL);
        raise(SIGSEGV);
    } else if (strcmp(order, "hang") == 0) {
        for (;;) pause();
    } else if (strcmp(order, "wait") == 0) {
        for (;;) {
            struct ap_wire_message message = next_message();
            bool stop = message.kind == AP_WIRE_CANCEL;
            ap_wire_message_done(&message);
            if (stop) break;
        }
        cancelled();
    } else if (strcmp(order, "late") == 0) {
        struct ap_wire_message message = next_message(); /* the cancel, which comes too late */
        ap_wire_message_done(&message);
        send_text(AP_WIRE_DONE, "{\"rows\":[]}");
    } else if (strcmp(order, "flood") == 0) {
        char line[1024];
        memset(line, 'x', sizeof line);
        line[sizeof line - 1] = '\n';
        for (int i = 0; i < FLOOD; i += (int)sizeof line)
            if (write(2, line, sizeof line) < 0) abort();
        if (write(2, "END", 3) < 0) abort();
        _exit(4);
    } else if (strcmp(order, "glut") == 0) {
        char *much = mmap(NULL, GLUT, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (much == MAP_FAILED) {
            send_text(AP_WIRE_FAILED, "{\"type\":\"memory\",\"message\":\"no memory\"}");
            return;
        }
        memset(much, 1, GLUT);
        for (;;) pause();
    } else if (sscanf(order, "open %63s", word) == 1)
        ask(AP_WIRE_OPEN, ap_str_from(word));
    else if (sscanf(order, "list %63s", word) == 1)
        ask(AP_WIRE_LIST, ap_str_from(word));
    else if (strcmp(order, "open_nul") == 0)
        ask(AP_WIRE_OPEN, (struct ap_str) { "/cells\0/x", 9 });
    else if (strcmp(order, "rename_one") == 0)
        ask(AP_WIRE_RENAME, AP_STR("/out/a"));
    else if (strcmp(order, "rename_two") == 0)
        ask(AP_WIRE_RENAME, (struct ap_str) { "/out/a\0/out/b", 13 });
    else if (strcmp(order, "limit") == 0) {
        struct rlimit limit;
        getrlimit(RLIMIT_DATA, &limit);
        char text[128];
        snprintf(text, sizeof text, "{\"rows\":[[\"%lld\"]]}", (long long)limit.rlim_cur);
        send_text(AP_WIRE_DONE, text);
    } else if (strcmp(order, "look") == 0) {
        /* Descriptors, environment, session: what the parent must not have left to us. */
        int open_fds = 0;
        for (int fd = 5; fd < 256; fd++) open_fds += fcntl(fd, F_GETFD) >= 0;
        char text[128];
        snprintf(text, sizeof text, "{\"rows\":[[\"%d\",\"%d\",\"%d\"]]}", open_fds,
            environ[0] != NULL, getsid(0) == getpid());
        send_text(AP_WIRE_DONE, text);
    } else
        send_text(AP_WIRE_FAILED,
            "{\"type\":\"internal\",\"message\":\"an order that the fake does not know\"}");
}

static void read_mode(struct ap_str scratch, char *out, size_t size)
{
    char path[1024];
    snprintf(path, sizeof path, AP_FMT "/../../mode", AP_ARG(scratch));
    FILE *file = fopen(path, "r");
    out[0] = 0;
    if (!file) return;
    if (!fgets(out, (int)size, file)) out[0] = 0;
    fclose(file);
}

static void greet(void)
{
    struct ap_wire_message hello = next_message();
    AP_AUTO_JSON *doc = NULL;
    if (ap_json_parse(ap_bytes_view(&hello.body), "hello", &doc, NULL) != APIARY_OK) _exit(9);
    struct ap_str scratch = AP_STR("");
    int64_t limit = 0;
    ap_json_str(yyjson_doc_get_root(doc), "scratch", &scratch);
    if (ap_json_i64(yyjson_doc_get_root(doc), "rlimit_data_bytes", &limit) && limit > 0) {
        struct rlimit data = { (rlim_t)limit, (rlim_t)limit };
        setrlimit(RLIMIT_DATA, &data);
    }
    char mode[64], text[256];
    read_mode(scratch, mode, sizeof mode);
    int version = AP_WIRE_VERSION;
    const char *build = AP_VERSION, *seal = "full";
    if (strcmp(mode, "version") == 0) version = 77;
    if (strcmp(mode, "build") == 0) build = "0.0.0-other";
    if (strcmp(mode, "seal") == 0) seal = "engine-only";
    if (strcmp(mode, "seal_odd") == 0) seal = "wax";
    if (strcmp(mode, "die") == 0) _exit(5);
    if (strcmp(mode, "failed") == 0)
        send_text(AP_WIRE_FAILED, "{\"type\":\"internal\",\"message\":\"no engine here\"}"),
            _exit(1);
    if (strcmp(mode, "noise") == 0) send(AP_WIRE_JOB_FD, "hi", 2, MSG_NOSIGNAL);
    if (strcmp(mode, "no_json") == 0) send_text(AP_WIRE_READY, "{");
    if (strcmp(mode, "batch") == 0) send_text(AP_WIRE_BATCH, "{}");
    snprintf(text, sizeof text,
        "{\"version\":%d,\"build\":\"%s\",\"engine\":\"fake\",\"seal\":\"%s\",\"pid\":%d}", version,
        build, seal, (int)getpid());
    send_text(AP_WIRE_READY, text);
    ap_wire_message_done(&hello);
}

int main(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* as the real one: it holds slots of the machine */
    greet();
    for (;;) {
        job = next_message();
        if (job.kind != AP_WIRE_JOB) {
            ap_wire_message_done(&job);
            continue;
        }
        yyjson_doc *doc = NULL;
        struct ap_str sql = AP_STR("");
        if (ap_json_parse(ap_bytes_view(&job.body), "job", &doc, NULL) != APIARY_OK) _exit(8);
        ap_json_str(yyjson_doc_get_root(doc), "sql", &sql);
        char *order = ap_str_dup(sql);
        ap_json_doc_free(&doc);
        obey(order);
        ap_free(order);
        ap_wire_message_done(&job);
    }
}
