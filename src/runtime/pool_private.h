/* The inside of the pool: what its files share. Not for other rooms.
 *
 *   admission.c who may begin at which temperature
 *   pool.c      open and close, the queue, who holds how many bees
 *   chamber.c   one chamber: start, handshake, limits, how it died
 *   spawn.c     finding the program and starting the process
 *   slots.c     where a chamber's readers of sparse files wait
 *   service.c   the thread: questions, last words, memory, exits
 *   bee_slots.c bees that all processes of the machine share
 *   scratch.c   folders for spilling, and those of dead owners
 *   job.c       a job's document, its messages, cancel and time-out
 *   job_stream.c, batch.c, ipc_check.c   results as Arrow, checked
 *   spool.c     results that nobody reads yet, on disk
 *   input.c, plain.c        Arrow inputs
 *   failure.c   the chamber's words in ours
 *   temperature.c           the load as one figure
 *
 * States of a chamber (state, under the pool's lock):
 *
 *   STARTING --ready--> BUSY --give--> IDLE --take--> BUSY
 *   any state --exit, kill, over budget--> DEAD --reaped--> freed by the service thread
 *
 * A STARTING, BUSY or DEAD chamber holds `bees_held` bees; an IDLE one, and the guest, none. */
#ifndef AP_RUNTIME_POOL_PRIVATE_H
#define AP_RUNTIME_POOL_PRIVATE_H

#include "core/machine.h"
#include "core/wire.h"
#include "runtime/pool.h"
#include "runtime/bee_slots.h"

#include <sys/types.h>

enum {
    AP_POOL_QUEUE_MAX = 1024, /* callers that wait for bees; one more is BUSY */
    AP_POOL_BEES_MAX = 4096,
    AP_CHAMBER_WORDS_MAX = 1024,     /* bytes of stderr that are kept: the last ones */
    AP_CHAMBER_JOBS_MAX = 10000,     /* then a chamber is replaced: nothing leaks for ever */
    AP_CHAMBER_START_MS = 30 * 1000, /* until READY */
    AP_CHAMBER_REAP_MS = 2 * 1000,   /* an exit after a kill or an EOF is waited for so long */
    AP_CHAMBER_CANCEL_MS = 2 * 1000, /* from CANCEL to SIGKILL (chamber.md, 2.5) */
    AP_CHAMBER_SEND_MS = 5 * 1000,   /* a chamber that does not read for so long is broken */
    AP_POOL_HEAT_MS = 3 * 1000,
    AP_ADMIT_WAIT_MS = 30 * 1000,
    AP_POOL_GUEST_MS = 100, /* a small statement waits so long for bees of its own */
    AP_POOL_SLOTS_MS = 10,  /* how often slots of the machine are looked for */
    AP_POOL_TICK_MS = 100,           /* memory samples, progress calls, deadlines */
    AP_POOL_PRESSURE_MS = 1000,      /* the kernel's pressure files are read so often */
    AP_ASK_NAMES_MAX = 1 << 20 /* bytes of one LIST reply */
};
/* A chamber of one bee has at least so much, else chambers span several bees. */
#define AP_CHAMBER_BUDGET_MIN (UINT64_C(256) << 20)
/* No chamber works with less, whatever memory_limit is (decision 10). */
#define AP_CHAMBER_BUDGET_LEAST UINT64_C(128000000)
/* The guest's place: memory kept aside, an eighth of all within these, so that a small statement
 * need not wait until a large one has left the bees. Pools that are smaller than both together
 * have none. */
#define AP_GUEST_BYTES_MIN UINT64_C(128000000)
#define AP_GUEST_BYTES_MAX UINT64_C(256000000)
enum { AP_GUEST_PART = 8 };
#define AP_SMALL_MACHINE (UINT64_C(4) << 30) /* pools below it let idle chambers go sooner */
#define AP_IDLE_SMALL_US INT64_C(60000000)
#define AP_IDLE_LARGE_US INT64_C(600000000)
#define AP_IDLE_FAT_BYTES (UINT64_C(128) << 20) /* an idle chamber that holds more goes early */
#define AP_IDLE_FAT_US INT64_C(5000000)
/* Of a chamber's budget this part may wait in memory as result rows that nobody has read. */
enum { AP_RESULT_WINDOW_PART = 4 };

enum ap_chamber_state {
    AP_CHAMBER_STARTING,
    AP_CHAMBER_BUSY,
    AP_CHAMBER_IDLE,
    AP_CHAMBER_DEAD,
    AP_CHAMBER_STATES
};

/* Why we ended a chamber; NONE: it ended by itself. */
enum ap_chamber_end {
    AP_END_NONE,
    AP_END_STOPPED,  /* cancelled or timed out, and did not listen */
    AP_END_BUDGET,   /* held more memory than its budget */
    AP_END_UNREAD,   /* nobody read its result */
    AP_END_PROTOCOL, /* broke the wire's rules */
    AP_END_IDLE,     /* not needed, or the pool closes */
};

struct ap_chamber {
    struct ap_pool *pool;
    uint64_t number; /* never reused: names the chamber in epoll events and scratch */

    /* Written by the service thread before `spawned`, constant afterwards. */
    pid_t pid;
    int pid_fd; /* -1: the kernel has none; then EOF and waitid tell */
    int job_fd;
    int ask_fd;
    int words_fd; /* its stderr */
    int bees_fd; /* its description of the machine's slots (bee_slots.h); -1: none */
    int statm_fd; /* /proc/PID/statm; -1: memory cannot be seen */
    char *scratch;
    struct ap_page_slots *slots; /* where its readers of sparse files wait */

    struct ap_chamber *next; /* under pool->lock, like all below to the next mark */
    enum ap_chamber_state state;
    bool spawn_wanted;
    bool spawned;
    struct apiary_error spawn_error; /* code OK: it runs */
    int width; /* threads */
    int bees_held;
    bool guest; /* works in the guest's place: holds no bee */
    uint64_t budget_bytes;
    enum ap_chamber_end end;
    bool exited;
    bool status_known; /* false: someone else reaped it */
    int wait_status;
    bool ask_watched, words_watched, pid_watched; /* registered with epoll */
    uint64_t memory_bytes;                        /* last sample */
    uint64_t memory_bytes_peak;                   /* of the running job */
    uint64_t data_bytes_peak; /* what the kernel's fence counts, of the running job */
    char task[AP_TASK_SIZE];  /* of the running job; "": there is none */
    uint64_t asked; /* questions answered so far: a sign of progress */
    int64_t idle_since_us;
    int64_t taken_us;
    struct ap_cancel *yields; /* requested when somebody waits; NULL: works for somebody */
    int64_t unread_deadline_us; /* while nobody reads the running job's result; else INT64_MAX */
    char words[AP_CHAMBER_WORDS_MAX];
    size_t words_size;

    /* Held around every call of the handler: a job that ends waits for the call to return. */
    struct ap_lock *ask_lock;
    const struct ap_handler *handler;

    /* The taker's alone. */
    char seal[16];
    int kept; /* ap_chamber_kept */
    uint32_t job; /* number of the last job */
    bool in_job;
    bool doubtful;        /* not to be used again */
    uint64_t limit_bytes; /* soft RLIMIT_DATA in force; 0: not known */
};

struct ap_waiter {
    struct ap_waiter *next;
    int width; /* as asked */
    int need;  /* bees, at least */
    int64_t since_us;
    struct ap_chamber *fresh;  /* for when none is warm */
    struct ap_chamber *served; /* what it got */
};

struct ap_pool {
    struct ap_env *env;
    pid_t owner; /* getpid() at open: use after a fork is refused */
    int bees;
    struct ap_slots *slots; /* of the machine; NULL: not shared */
    uint64_t guest_bytes;   /* memory of the guest's place; 0: there is none */
    int span_min; /* bees that a chamber has at least, so that its budget is not too small */
    uint64_t memory_bytes;
    char *scratch_dir;
    uint64_t scratch_bytes_max;
    char *program; /* as given; NULL: search */
    bool require_seal;
    bool kernel_limit;
    int64_t heat_delay_us;
    int admit_wait_ms;
    char *machine_root;
    struct ap_log *log;

    int epoll_fd;
    int wake_fd;
    struct ap_thread *thread;

    /* Written by the service thread before it starts the first chamber; to be read by whoever has
     * a chamber. */
    struct ap_scratch *scratch;
    char *program_found; /* the service thread's alone */

    struct ap_lock *lock; /* guards what follows */
    struct ap_chamber *chambers;
    uint64_t chamber_number;
    int bees_free;
    bool guest_taken;
    struct ap_waiter *queue_head;
    struct ap_waiter *queue_tail;
    size_t queue_size;
    struct ap_smoothed heat;
    struct ap_pressure pressure; /* at pressure_us */
    int64_t pressure_us;
    int64_t use_us; /* how long chambers are held, smoothed */
    bool closing;
};

/* INVALID when the process was forked since ap_pool_open. */
AP_CHECKED enum apiary_code ap_pool_check_owner(
    const struct ap_pool *pool, struct apiary_error *err);
void ap_pool_wake(struct ap_pool *pool); /* the service thread looks around */
int64_t ap_pool_deadline(struct ap_pool *pool, int64_t ms);
/* Takes the temperature. */
void ap_pool_feel_locked(struct ap_pool *pool, struct ap_pool_load *out);

/* ---- chamber.c ---- */
struct ap_chamber *ap_chamber_new(struct ap_pool *pool); /* NULL without memory */
void ap_chamber_free(struct ap_chamber *chamber);        /* closes; the process must be gone */
/* Starts the process and shakes hands. On failure the chamber is marked DEAD (the service
 * thread frees it and gives its bees back). */
AP_CHECKED enum apiary_code ap_chamber_start(
    struct ap_chamber *chamber, const struct ap_cancel *cancel, struct apiary_error *err);
/* Sets the kernel's fence to the chamber's budget. false: this chamber cannot take it (a warm
 * one: also because it holds too much already). */
bool ap_chamber_fit(struct ap_chamber *chamber, bool fresh);
void ap_chamber_kill(struct ap_chamber *chamber, enum ap_chamber_end end);
void ap_chamber_kill_locked(struct ap_chamber *chamber, enum ap_chamber_end end);
/* Waits for the exit (bounded) and says how it died. doing: "running the statement". */
enum apiary_code ap_chamber_died(
    struct ap_chamber *chamber, const char *doing, struct apiary_error *err);
/* The chamber broke the wire's rules: kills it and returns CORRUPT with the text of err kept. */
enum apiary_code ap_chamber_broke(struct ap_chamber *chamber, struct apiary_error *err);
void ap_chamber_handler_set(struct ap_chamber *chamber, const struct ap_handler *handler);
/* Private writable bytes (data) and anonymous resident bytes. false: cannot be seen. */
bool ap_chamber_memory(
    const struct ap_chamber *chamber, uint64_t *data_bytes, uint64_t *resident_bytes);

/* ---- spawn.c ---- */
/* The chamber program: `given`, APIARY_BEE, beside the library, libexec/apiary one or two folders
 * above. ap_free. */
AP_CHECKED enum apiary_code ap_spawn_find(const char *given, char **out, struct apiary_error *err);
struct ap_spawned {
    pid_t pid;
    int pid_fd;
    int job_fd;
    int ask_fd;
    int words_fd;
};
/* bees_fd: the chamber's description of the machine's bees, above AP_WIRE_BEES_FD; -1: none. */
AP_CHECKED enum apiary_code ap_spawn(
    const char *program, int bees_fd, struct ap_spawned *out, struct apiary_error *err);

/* ---- slots.c ---- */
struct ap_page_slots; /* shared with a chamber; lives until the last wait on it has ended */
AP_CHECKED enum apiary_code ap_page_slots_new(struct ap_page_slots **out, struct apiary_error *err);
void ap_page_slots_unref(struct ap_page_slots *slots); /* NULL is fine */
int ap_page_slots_fd(const struct ap_page_slots *slots);
/* A wait on one of them; any number that is none of theirs gives a wait of nobody. */
struct ap_page_wait ap_page_slots_wait(struct ap_page_slots *slots, uint64_t slot);

/* ---- service.c ---- */
void ap_service_run(void *pool); /* the thread's body; returns when the pool closed */

/* ---- scratch.c ---- */
/* Makes dir (0700) and a locked folder of ours below it. */
AP_CHECKED enum apiary_code ap_scratch_open(
    struct ap_env *env, const char *dir, struct ap_scratch **out, struct apiary_error *err);
/* Makes a folder that only its user may write into, or sees that it is one. */
AP_CHECKED enum apiary_code ap_scratch_own_folder(const char *dir, struct apiary_error *err);
/* A fresh folder below it; ap_free the path. */
AP_CHECKED enum apiary_code ap_scratch_folder(
    struct ap_scratch *scratch, uint64_t number, char **out, struct apiary_error *err);
/* A file without a name in our folder, which no chamber can reach. Any thread. */
AP_CHECKED enum apiary_code ap_scratch_unnamed(
    const struct ap_scratch *scratch, int *fd, struct apiary_error *err);
void ap_scratch_sweep(const char *dir);   /* removes folders whose owner is dead */

/* ---- failure.c ---- */
/* A FAILED body as our error; *doubtful is set when the chamber should not be used again. */
enum apiary_code ap_failure(
    struct ap_str body, uint64_t budget_bytes, bool *doubtful, struct apiary_error *err);

#endif
