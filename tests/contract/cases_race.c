/* Racing writers: one winner a key, and nobody ever reads a part of an object.
 * Processes where the store is shared between them, threads else. */
#include "contract/contract.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { WRITERS = 16, ROUNDS_MAX = 400, BODY_WORDS = 600 };

/* Shared by all racers (an anonymous shared mapping). */
struct arena {
    _Atomic int arrived[ROUNDS_MAX];
    _Atomic int winners[ROUNDS_MAX];
    _Atomic int losers[ROUNDS_MAX];
    _Atomic int torn;
    _Atomic int failed;
    char message[512];
};

struct racer {
    struct contract *contract;
    struct arena *arena;
    int number;
    int rounds;
    pthread_t thread;
};

/* A body that proves that it is whole: its writer's number in every word. */
static void fill(char out[BODY_WORDS * 8], int writer)
{
    for (int i = 0; i < BODY_WORDS; i++) {
        const char word[8] = { (char)('0' + writer / 100), (char)('0' + writer / 10 % 10),
            (char)('0' + writer % 10), '-', (char)('a' + i % 26), (char)('a' + i / 26), '.', '\n' };
        memcpy(out + (size_t)i * 8, word, 8);
    }
}

static bool is_whole(struct ap_str body)
{
    char wanted[BODY_WORDS * 8];
    if (body.size != BODY_WORDS * 8) return false;
    fill(wanted, (body.data[0] - '0') * 100 + (body.data[1] - '0') * 10 + (body.data[2] - '0'));
    return memcmp(body.data, wanted, body.size) == 0;
}

static void blame(struct arena *arena, const struct apiary_error *err)
{
    if (arena->failed++ == 0)
        snprintf(arena->message, sizeof arena->message, "%.500s", err->message);
}

static void race_once(struct racer *racer, struct ap_store *store, int round, struct ap_str mine)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) seen = { 0 };
    char key[48];
    struct arena *arena = racer->arena;
    snprintf(key, sizeof key, "race/%d/%05d", round / 50, round);
    arena->arrived[round]++;
    while (arena->arrived[round] < WRITERS && !arena->failed) sched_yield();
    enum apiary_code code = ap_store_put_if_absent(store, key, mine, &err);
    if (code == APIARY_OK)
        arena->winners[round]++;
    else if (code == APIARY_CONFLICT)
        arena->losers[round]++;
    else
        blame(arena, &err);
    code = ap_store_get(store, key, AP_RANGE_ALL, &seen, NULL, &err);
    if (code != APIARY_OK)
        blame(arena, &err);
    else if (!is_whole(ap_bytes_view(&seen)))
        arena->torn++;
}

static void *race(void *self)
{
    struct racer *racer = self;
    char body[BODY_WORDS * 8];
    fill(body, racer->number);
    struct ap_store *store = racer->contract->backend->again(racer->contract);
    for (int round = 0; round < racer->rounds; round++)
        race_once(racer, store, round, (struct ap_str) { body, BODY_WORDS * 8 });
    racer->contract->backend->close(racer->contract, store);
    return NULL;
}

static void run_racers(struct racer *racers, bool processes)
{
    pid_t children[WRITERS];
    for (int i = 0; i < WRITERS; i++) {
        if (!processes) {
            assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
            continue;
        }
        children[i] = fork();
        assert_true(children[i] >= 0);
        if (children[i] == 0) {
            race(&racers[i]);
            _exit(0);
        }
    }
    for (int i = 0; i < WRITERS; i++) {
        int status = 0;
        if (!processes)
            assert_int_equal(pthread_join(racers[i].thread, NULL), 0);
        else
            assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
}

static void one_winner_a_key(struct contract *contract)
{
    struct racer racers[WRITERS];
    struct arena *arena =
        mmap(NULL, sizeof *arena, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(arena != MAP_FAILED);
    int rounds = contract->backend->race_rounds;
    for (int i = 0; i < WRITERS; i++)
        racers[i] = (struct racer) {
            .contract = contract, .arena = arena, .number = 100 + i, .rounds = rounds
        };
    run_racers(racers, contract->backend->between_processes);
    if (arena->failed) fail_msg("%d calls failed, first: %s", arena->failed, arena->message);
    assert_int_equal(arena->torn, 0);
    for (int round = 0; round < rounds; round++) {
        char label[40];
        snprintf(label, sizeof label, "round %d", round);
        int most = contract->backend->looks_then_writes ? WRITERS : 1;
        assert_int_in(label, arena->winners[round] + arena->losers[round], WRITERS);
        assert_true(arena->winners[round] >= 1 && arena->winners[round] <= most);
    }
    munmap(arena, sizeof *arena);
}

/* ---- put against get ---- */

struct overwriting {
    struct contract *contract;
    struct arena *arena;
    int number;
};

static void *overwrite(void *self)
{
    struct overwriting *job = self;
    struct apiary_error err;
    char body[BODY_WORDS * 8];
    struct ap_store *store = job->contract->backend->again(job->contract);
    fill(body, 100 + job->number);
    for (int i = 0; i < 100; i++) {
        AP_AUTO(ap_bytes) seen = { 0 };
        if (ap_store_put(store, "hot/key", (struct ap_str) { body, BODY_WORDS * 8 }, &err) !=
            APIARY_OK)
            blame(job->arena, &err);
        if (ap_store_get(store, "hot/key", AP_RANGE_ALL, &seen, NULL, &err) != APIARY_OK)
            blame(job->arena, &err);
        else if (!is_whole(ap_bytes_view(&seen)))
            job->arena->torn++;
    }
    job->contract->backend->close(job->contract, store);
    return NULL;
}

static void overwriting_is_atomic(struct contract *contract)
{
    enum { THREADS = 4 };
    struct overwriting jobs[THREADS];
    pthread_t threads[THREADS];
    static struct arena arena;
    memset(&arena, 0, sizeof arena);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct overwriting) { contract, &arena, i };
        assert_int_equal(pthread_create(&threads[i], NULL, overwrite, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (arena.failed) fail_msg("%d calls failed, first: %s", arena.failed, arena.message);
    assert_int_equal(arena.torn, 0);
}

/* ---- writers that make folders while others take them away ---- */

static void *come_and_go(void *self)
{
    struct overwriting *job = self;
    struct apiary_error err;
    char key[40];
    struct ap_store *store = job->contract->backend->again(job->contract);
    for (int i = 0; i < 60; i++) {
        AP_AUTO(ap_bytes) seen = { 0 };
        snprintf(key, sizeof key, "shared/folder/%d", job->number);
        if (ap_store_put_if_absent(store, key, AP_STR("x"), &err) != APIARY_OK)
            blame(job->arena, &err);
        if (ap_store_get(store, key, AP_RANGE_ALL, &seen, NULL, &err) != APIARY_OK)
            blame(job->arena, &err);
        if (ap_store_delete(store, key, &err) != APIARY_OK) blame(job->arena, &err);
    }
    job->contract->backend->close(job->contract, store);
    return NULL;
}

static void folders_come_and_go(struct contract *contract)
{
    enum { THREADS = 4 };
    struct overwriting jobs[THREADS];
    pthread_t threads[THREADS];
    static struct arena arena;
    if (contract->backend->folders_race) skip();
    memset(&arena, 0, sizeof arena);
    for (int i = 0; i < THREADS; i++) {
        jobs[i] = (struct overwriting) { contract, &arena, i };
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &jobs[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) assert_int_equal(pthread_join(threads[i], NULL), 0);
    if (arena.failed) fail_msg("%d calls failed, first: %s", arena.failed, arena.message);
}

/* ---- kill -9 in the middle ---- */

/* Writes objects for ever: half of them new, half over others. Says so after the first. */
static void write_until_killed(struct contract *contract, int generation, int begun)
{
    struct apiary_error err;
    char body[BODY_WORDS * 8], key[48];
    struct ap_store *store = contract->backend->again(contract);
    fill(body, 100 + generation);
    struct ap_str view = { body, BODY_WORDS * 8 };
    for (int i = 0;; i++) {
        snprintf(key, sizeof key, "k/%d/%d", generation, i);
        enum apiary_code code = i % 2 ? ap_store_put(store, "k/same", view, &err)
                                      : ap_store_put_if_absent(store, key, view, &err);
        if (code != APIARY_OK) _exit(1);
        if (i == 0 && write(begun, "", 1) != 1) _exit(1);
    }
}

static void kill_leaves_no_half(struct contract *contract)
{
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    if (!contract->backend->between_processes) return;
    for (int generation = 0; generation < 30; generation++) {
        int begun[2];
        char byte;
        assert_int_equal(pipe(begun), 0);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) write_until_killed(contract, generation, begun[1]);
        close(begun[1]);
        assert_int_equal(read(begun[0], &byte, 1), 1);
        close(begun[0]);
        usleep((useconds_t)(1000 + generation * 337 % 7000));
        kill(child, SIGKILL);
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
    }
    assert_ok(ap_store_list(contract->store, &request, &list, &err));
    assert_true(list.count > 1);
    for (size_t i = 0; i < list.count; i++) {
        AP_AUTO(ap_bytes) body = { 0 };
        assert_ok(
            ap_store_get(contract->store, list.objects[i].key, AP_RANGE_ALL, &body, NULL, &err));
        assert_true_in(list.objects[i].key, is_whole(ap_bytes_view(&body)));
    }
    /* And the next writer is not disturbed. */
    assert_ok(ap_store_put_if_absent(contract->store, "k/after", AP_STR("x"), &err));
}

const struct contract_case contract_race_cases[] = {
    { "one winner a key", one_winner_a_key },
    { "overwriting is atomic", overwriting_is_atomic },
    { "folders come and go", folders_come_and_go },
    { "kill leaves no half", kill_leaves_no_half },
    { NULL, NULL },
};
