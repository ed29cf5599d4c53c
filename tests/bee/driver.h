/* Drives a real apiary-bee over its two sockets, as a node would: spawns it, runs
 * jobs, answers its questions from a table of files, decodes its batches. */
#ifndef AP_TESTS_BEE_DRIVER_H
#define AP_TESTS_BEE_DRIVER_H

#include "apiary_test.h"
#include "core/pages.h"
#include "core/json.h"
#include "core/wire.h"

#include <nanoarrow/nanoarrow.h>
#include <pthread.h>
#include <sys/types.h>

enum { DRIVER_FILES_MAX = 16, DRIVER_BATCHES_MAX = 4096, DRIVER_BITS_SIZE = 512 };

struct driver_options {
    uint64_t memory_bytes; /* 0: 512 MiB, fenced */
    uint64_t fsize_bytes;
    const char *program; /* below the build folder; NULL: apiary-bee */
    int kept; /* instances; 0: one */
    bool lenient; /* refused system calls fail instead of killing */
};

struct driver {
    pid_t pid;
    int job_fd, ask_fd;
    uint32_t job; /* the last number */
    char scratch[AP_TEST_PATH_MAX], out[AP_TEST_PATH_MAX];
    char ready[1024];
    pthread_t answering;
    struct {
        char name[512], path[512];
        char source[512]; /* not empty: path is sparse, bytes are copied from here when asked for */
    } files[DRIVER_FILES_MAX]; /* virtual name → path; set before the job that reads them */
    int file_count;
    _Atomic int questions; /* asked so far */
    _Atomic int ranges;    /* of these, for ranges */
    struct ap_page_slot *slots;
    char *map; /* DRIVER_BITS_SIZE bytes for each file */
    int slots_fd, map_fd;
    bool no_room; /* bytes of ranges go out by TAKE */
    struct {
        int file;
        uint64_t offset, size;
    } taken[AP_PAGE_SLOTS];
};

/* What came back for one job. */
struct outcome {
    bool done;
    char *body;      /* of DONE or FAILED */
    yyjson_doc *doc; /* of body */
    char type[64], message[2048];
    int64_t position, setup;
    uint64_t rows, batch_count, batch_bytes_max, progress_count;
    struct ArrowSchema schema; /* release NULL: none came */
    struct ArrowArray batches[DRIVER_BATCHES_MAX];
    struct ArrowArrayView view; /* of the batch last looked at */
};

/* How a job is driven. */
struct driving {
    uint64_t credits_first;   /* given with the job; 0: 1000 */
    bool slow;                /* one credit at a time, after each batch */
    uint64_t cancel_at_batch; /* cancel when so many came; 0 never */
    int cancel_after_ms;      /* 0 never */
    bool keep;                /* decode batches and keep them */
    const int *input_fds;     /* handed over one by one as input 0 is NEEDed */
    size_t input_count;
    bool starve;             /* NEED is never answered */
    const char *input_error; /* told instead of the end of the input */
};

void driver_start(struct driver *driver, const struct driver_options *options);
void driver_stop(struct driver *driver); /* checks that it ends by itself */
/* Another chamber in its place, after an answer that it ran out of memory: it ends, or gives itself up. */
void driver_replace(struct driver *driver, const struct driver_options *options);
/* True when the chamber ended after its last answer (it may, out of memory); it is
 * then replaced by a fresh one. */
bool driver_restart_if_gone(struct driver *driver, const struct driver_options *options);
/* Runs a job whose document is the format (NULL driving: defaults). */
void driver_run(struct driver *driver, const struct driving *how, struct outcome *out,
    const char *document, ...) AP_PRINTF(4, 5);
/* SELECT with a result of text rows; checks that it worked. */
void driver_json(struct driver *driver, struct outcome *out, const char *sql);
/* Runs SQL with the result "none"; checks that it worked. */
void driver_sql(struct driver *driver, const char *sql);
void outcome_done(struct outcome *out);
void assert_done(const char *label, const struct outcome *out);
void assert_failed(
    const char *label, const struct outcome *out, const char *type, const char *words);
/* Text of rows[row][column] of a json result; "NULL" for null. */
const char *outcome_cell(const struct outcome *out, size_t row, size_t column);
/* A view of a kept batch. */
const struct ArrowArrayView *outcome_view(struct outcome *out, size_t batch);

#endif
