/* The simulator: real code on a simulated world (README.md here explains how to use it).
 *
 * Every node is a coroutine, time is virtual, the store is simulated with seeded faults, and all
 * choices come from one seed: the same seed gives the same run, call by call. Nodes share nothing
 * but the store, so the order of the store calls is every interleaving that there is.
 *
 * One thread; nothing here is thread-safe. Stacks are 256 KiB (1 MiB under a sanitizer). */
#ifndef AP_TESTS_SIM_H
#define AP_TESTS_SIM_H

#include "core/env.h"
#include "storage/store.h"

struct sim;
struct sim_node;

/* What goes wrong. Percentages are of calls, per mille where named so; zero is never.
 * Which fault a call can have depends on what it does:
 *
 *   refuse       any call       IO, nothing happened
 *   lose_reply   any write      it happened; put_if_absent says UNCERTAIN, the others IO
 *                any read       IO
 *   late         any write      the answer is as for lose_reply, and it happens later: up to
 *                               late_us_max after the caller gave up, also after a read said 404
 *   twice        any write      it happens, and happens once more up to late_us_max later. The
 *                               second may be what answers: put_if_absent says CONFLICT although
 *                               the caller's own bytes are there
 *   slow         any call       it takes up to slow_us_max
 *   truncate     get            the body ends early: the store layer says CORRUPT
 *   corrupt      get            CORRUPT (a checksum in transit)
 *   split_list   list           pages are taken at different times
 *   crash        any call       the node ends before or after the effect, see sim_spawn
 *   pause        any call       the whole node (every thread of it) stands still for up to pause_us_max
 *   outage       any call       from here on, for up to outage_us_max, each call of this node is refused:
 *                               throttled, revoked credentials, a cut cable
 *   garble       get            one byte is another one, and nobody says so; only below garble_prefix, for
 *                               objects that carry a hash of their own
 *   clock_step   any call       the node's wall clock jumps by up to ± clock_skew_us_max */
struct sim_faults {
    int refuse_percent;
    int lose_reply_percent;
    int late_percent;
    int twice_percent;
    int slow_percent;
    int truncate_percent;
    int corrupt_percent;
    int split_list_percent;
    int crash_per_mille;
    int pause_per_mille;
    int outage_per_mille;
    int garble_per_mille;
    const char *garble_prefix;
    int clock_step_per_mille;
    int64_t late_us_max;       /* 0: 15 minutes, the life of a signature */
    int64_t slow_us_max;       /* 0: 30 s */
    int64_t pause_us_max;      /* 0: 10 minutes */
    int64_t outage_us_max;     /* 0: 3 minutes */
    int64_t restart_us_max;    /* 0: 1 minute; a crashed node is back after up to this */
    int64_t clock_skew_us_max; /* each node's wall clock is off by up to ± this, constantly */
    int64_t quiet_after_us;    /* 0: never; at this virtual time faults end and everything must
                                * come to its end */
    int restarts_max;          /* how often one node comes back after crashes; 0: it stays away */
    bool ignore_condition;     /* the store answers OK to put_if_absent and overwrites */
    uint64_t steps_max;        /* 0: SIM_STEPS_MAX */
};

/* Everything that the ordinary runs want: refused, lost, late, doubled, slow, broken reads, split
 * lists, crashes with restarts, pauses, clocks off by an hour. */
struct sim_faults sim_faults_all(void);

struct sim *sim_new(uint64_t seed, struct sim_faults faults);
void sim_free(struct sim *sim);

/* Adds a node; it starts at a random moment of the first 200 ms of the run.
 *
 * A node that crashes goes on as a ghost until `run` returns: each of its store calls is IO without
 * effect, its sleeps and waits return at once, and its monotonic clock leaps so that deadlines
 * pass. So nothing leaks and nothing it does can be seen. `run` must look at sim_crashed() before
 * it writes results down outside the store. While restarts are left, `run` is called again with the
 * same `arg` and a higher sim_boot(). */
struct sim_node *sim_spawn(
    struct sim *sim, void (*run)(struct sim_node *node, void *arg), void *arg);

/* Runs until every node has returned for good and every late effect has happened.
 * False when it cannot (all wait for each other, or more than SIM_STEPS_MAX steps): sim_blame says.
 */
bool sim_run(struct sim *sim);
enum { SIM_STEPS_MAX = 2000000 };

struct ap_env *sim_env(struct sim_node *node);
struct ap_store *sim_store(struct sim_node *node); /* with faults; the simulator's */
struct sim *sim_of(struct sim_node *node);
int sim_index(const struct sim_node *node); /* 0, 1, … in order of spawning */
int sim_boot(const struct sim_node *node);  /* 0 at first, one more after each crash */
bool sim_crashed(const struct sim_node *node);
/* The node dies here and now, as by a fault of crash_per_mille: what a poisonous task does to it. */
void sim_kill(struct sim_node *node);
/* The whole node stands still for so long (SIGSTOP). */
void sim_pause(struct sim_node *node, int64_t us);
/* Extra time that each call of this node takes: a machine that is slower than the rest. */
void sim_slow_down(struct sim_node *node, int64_t us_each_call);

/* The shared store without faults and without waits, for set-up and checks. Also an env for it:
 * the store's clock, a seeded randomness, sleeps that return at once. */
struct ap_store *sim_bare(struct sim *sim);
struct ap_env *sim_bare_env(struct sim *sim);

int64_t sim_now_us(const struct sim *sim); /* virtual, microseconds since the run began */
uint64_t sim_seed(const struct sim *sim);
/* Called after each write that took effect, at once or late: kind is "put", "put_if_absent" or
 * "delete". A checker sees the history of the store by it, not just what is left at the end. */
typedef void sim_witness(void *context, const char *kind, const char *key, struct ap_str body);
void sim_watch_writes(struct sim *sim, sim_witness *witness, void *context);
/* 0 .. below - 1 from the seed. For choices of the test itself. */
uint64_t sim_pick(struct sim *sim, uint64_t below);
/* How often each kind of fault happened so far; a test asserts that its faults do happen. */
struct sim_tally {
    uint64_t calls, refused, lost, late, twice, slow, broken_reads, split_lists, crashes, pauses,
        clock_steps, outages, garbled;
};
struct sim_tally sim_tally(const struct sim *sim);

/* Checkers report the first thing that is wrong; later ones are ignored. */
void sim_fail(struct sim *sim, const char *format, ...) AP_PRINTF(2, 3);
const char *sim_blame(const struct sim *sim); /* NULL: nothing is wrong */

/* The seeds to run: `count` from 1, or what the environment says: AP_SEED=n one seed and a trace of
 * every call on stderr, AP_SEEDS=n so many, AP_SEED_FIRST=n from there. */
struct sim_seeds {
    uint64_t first;
    uint64_t count;
};
struct sim_seeds sim_seeds(uint64_t count);

/* Runs `one` for each seed; it builds a sim, runs, checks and returns NULL or what is wrong (its
 * text is copied at once). Stops at the first failure and prints
 * "seed 1234: WHAT (replay: AP_SEED=1234 …)". True when all were clean. */
bool sim_each(
    const char *name, uint64_t count, const char *(*one)(uint64_t seed, void *arg), void *arg);
/* The opposite, for planted mistakes: how many seeds it took until `one` found something wrong
 * (1 = the first), 0 when `count` seeds were clean. Prints nothing. */
uint64_t sim_catch(uint64_t count, const char *(*one)(uint64_t seed, void *arg), void *arg);

#endif
