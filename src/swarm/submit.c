#include "swarm/submit.h"

#include "core/alloc.h"
#include "storage/slot.h"
#include "swarm/place.h"
#include "swarm/result.h"

#include <poll.h>
#include <stdlib.h>

enum { POLL_PART = 6, POLL_PART_CHEAP = 24, POLL_LOOKS = 4, POLL_LOOKS_CHEAP = 16, SETTLE_S = 60, TRIES_MAX = 12, BACKOFF_BASE_US = 50000, BACKOFF_CAP_US = 2000000 };
#define POLL_LEAST_US INT64_C(5000)
#define POLL_LEAST_CHEAP_US INT64_C(1000)
#define CHEAP_US INT64_C(2000) /* a look: it is at a directory, and nobody counts it */
#define TASK_BYTES (UINT64_C(1) << 20)
#define SHARE_MOST 1.125

/* ---- who gets what ---- */

/* A task costs something whatever it reads. */
static uint64_t load_of(const struct ap_manifest_task *task)
{
    return task->bytes + TASK_BYTES;
}

static int by_load(const void *left, const void *right)
{
    const struct ap_manifest_task *a = *(struct ap_manifest_task *const *)left, *b = *(struct ap_manifest_task *const *)right;
    if (load_of(a) != load_of(b)) return load_of(a) < load_of(b) ? 1 : -1;
    return a < b ? -1 : a > b;
}

/* What each bee should get at most, over its even share: tasks are not all alike, and cells should stay where they lie cached.
 * Bees count of those who live and can hold every task. */
static double bee_most(const struct ap_view *view, const struct ap_manifest *manifest)
{
    double all = 0;
    uint64_t memory_mb = 0;
    for (size_t i = 0; i < manifest->task_count; i++) {
        const struct ap_manifest_task *task = &manifest->tasks[i];
        if (task->node.text[0] != '\0') continue;
        all += (double)load_of(task);
        if (task->memory_mb > memory_mb) memory_mb = task->memory_mb;
    }
    double bees = ap_place_bees(view, memory_mb);
    return bees > 0 ? all / bees * SHARE_MOST : 0;
}

enum apiary_code ap_submit_assign(const struct ap_view *view, struct ap_manifest *manifest, struct apiary_error *err)
{
    struct ap_place_loads loads = { ap_calloc(view->count + 1, sizeof *loads.taken), bee_most(view, manifest) };
    struct ap_manifest_task **order = ap_calloc(manifest->task_count + 1, sizeof *order);
    if (loads.taken == NULL || order == NULL) {
        ap_free(loads.taken);
        ap_free(order);
        return ap_fail_memory(err, "an assignment of tasks");
    }
    for (size_t i = 0; i < manifest->task_count; i++) order[i] = &manifest->tasks[i];
    qsort(order, manifest->task_count, sizeof(struct ap_manifest_task *), by_load);
    for (size_t i = 0; i < manifest->task_count; i++) {
        struct ap_manifest_task *task = order[i];
        if (task->node.text[0] != '\0') continue;
        size_t at = ap_place_bounded(view, task->body, task->memory_mb, &loads, load_of(task));
        if (at != SIZE_MAX) task->node = view->nodes[at].key.boot;
    }
    ap_free(loads.taken);
    ap_free(order);
    return APIARY_OK;
}

/* ---- announcing, and waiting ---- */

static enum apiary_code put_until(const struct ap_swarm *swarm, const char *key, struct ap_str body, struct apiary_error *err)
{
    enum apiary_code code = APIARY_IO;
    for (int i = 0; i < TRIES_MAX && code == APIARY_IO; i++) {
        if (i > 0) ap_backoff(swarm->env, i, BACKOFF_BASE_US, BACKOFF_CAP_US);
        code = swarm->fleeting ? ap_store_put_fleeting(swarm->store, key, body, err) : ap_store_put(swarm->store, key, body, err);
    }
    return code;
}

enum apiary_code ap_submit(const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    char token[AP_ID_TEXT_SIZE];
    struct ap_query_key key = ap_query_key(manifest->id.text, "1manifest"), announcement = ap_query_key_announcement(manifest->id.text);
    struct ap_slot_options options = { .deadline_mono_us = ap_mono_us(swarm->env) + SETTLE_S * INT64_C(1000000), .body_max = AP_MANIFEST_BYTES_MAX + 4096,
        .fleeting = swarm->fleeting };
    enum ap_slot_outcome outcome;
    AP_TRY(ap_manifest_write(manifest, swarm->secret, &text, err));
    AP_TRY(ap_slot_settle(swarm->store, key.text, ap_bytes_view(&text), &options, &outcome, NULL, err));
    if (outcome != AP_SLOT_MINE) return ap_fail(err, APIARY_EXISTS, "there is a query %s already", manifest->id.text);
    AP_TRY(put_until(swarm, announcement.text, AP_STR("{\"format\":1}\n"), err));
    ap_id_random(swarm->env, token);
    enum apiary_code rung = ap_store_put_fleeting(swarm->store, AP_SWARM_BELL_KEY, ap_str_from(token), NULL); /* a hint: else the next LIST tells */
    (void)rung;
    return APIARY_OK;
}

enum apiary_code ap_submit_cancel(const struct ap_swarm *swarm, const char *id, struct ap_end *winner, struct apiary_error *err)
{
    struct ap_end end = { .decision = AP_END_CANCELLED, .code = APIARY_CANCELLED };
    return ap_end_put(swarm, id, &end, winner, err);
}

static bool passing(enum apiary_code code)
{
    return code == APIARY_IO || code == APIARY_UNCERTAIN || code == APIARY_CORRUPT || code == APIARY_BUSY || code == APIARY_TIMEOUT || code == APIARY_MEMORY;
}

/* One look; *ended when `end` was filled in. */
static enum apiary_code look(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel,
    bool leave, struct ap_end *end, bool *ended, bool *out, int64_t *now_us, struct apiary_error *err)
{
    AP_AUTO(ap_board) board = { 0 };
    const char *id = manifest->id.text;
    *ended = true;
    if (ap_cancel_requested(cancel)) return leave ? ap_fail(err, APIARY_CANCELLED, "cancelled") : ap_submit_cancel(swarm, id, end, err);
    AP_TRY(ap_board_look(swarm->store, id, manifest->task_count, &board, err));
    *now_us = board.now_us;
    *out = board.out;
    if (board.manifest && board.ended) return ap_end_get(swarm, id, end, err);
    if (!board.manifest) return ap_fail(err, APIARY_NOT_FOUND, "query %s is not there any more", id);
    if (board.done_count == board.task_count) return ap_finish_done(swarm, manifest, &board, cancel, end, err);
    if (board.now_us > manifest->deadline_us) return ap_finish_late(swarm, manifest, end, err);
    *ended = false;
    return APIARY_OK;
}

/* Before a look, so that nothing falls between the two: a query's decision is heard of, and results, whose folder
 * comes with the first of them. */
static void listen_to(const struct ap_swarm *swarm, const char *id, struct ap_ear *ear)
{
    struct ap_query_key query = ap_query_key(id, NULL), results = ap_query_key(id, "r");
    query.text[strlen(query.text) - 1] = '\0';
    if (!swarm->listens) return;
    if (ear->count == 0 && ap_store_listen(swarm->store, query.text, ear, NULL) != APIARY_OK) return;
    if (ear->count > 1) return;
    enum apiary_code later = ap_store_listen(swarm->store, results.text, ear, NULL);
    (void)later; /* with the first result, or never: looks find them too */
}

/* true: something was heard. */
static bool sleep_or_hear(const struct ap_swarm *swarm, const struct ap_cancel *cancel, const struct ap_ear *ear, int64_t us)
{
    if (ear->fd < 0) {
        ap_sleep_us(swarm->env, us);
        return false;
    }
    int wish = cancel != NULL && cancel->event_fd > 0 ? cancel->event_fd : -1;
    struct pollfd waits[] = { { .fd = ear->fd, .events = POLLIN }, { .fd = wish, .events = POLLIN } };
    int heard = poll(waits, sizeof waits / sizeof *waits, (int)(us / 1000) + 1);
    return heard > 0 && waits[0].revents != 0 && ap_ear_heard(ear, NULL);
}

/* Between looks; a wish to stop, or something heard, ends the wait early. */
static void pause_for(const struct ap_swarm *swarm, const struct ap_cancel *cancel, const struct ap_ear *ear, int64_t us)
{
    enum { SLICE_US = 100000 };
    while (us > 0 && !ap_cancel_requested(cancel)) {
        int64_t part = us < SLICE_US || cancel == NULL ? us : SLICE_US;
        if (cancel != NULL && cancel->look != NULL) cancel->look(cancel->look_context);
        if (sleep_or_hear(swarm, cancel, ear, part)) return;
        us -= part;
    }
}

static enum apiary_code settle_commit(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_end *end,
    bool there, int64_t now_us, struct ap_outcome *outcome, struct apiary_error *err)
{
    int64_t begun_us = ap_mono_us(swarm->env);
    for (int i = 0;; i++) {
        int64_t clock_us = now_us + (ap_mono_us(swarm->env) - begun_us);
        enum apiary_code code = there && i == 0 ? ap_outcome_get(swarm, manifest->id.text, outcome, err)
                                                : ap_roll_forward(swarm, manifest, end, clock_us, outcome, err);
        if (!passing(code) || (code == APIARY_TIMEOUT && ap_query_over(manifest, clock_us))) return code;
        ap_backoff(swarm->env, i, BACKOFF_BASE_US, BACKOFF_CAP_US);
    }
}

/* How long until the next look: a part of what has passed, so that little is added to it; more where a look takes long. */
static int64_t poll_us(const struct ap_swarm *swarm, const struct ap_ear *ear, int64_t first_us, int64_t asked_us, bool went_well)
{
    int64_t now_us = ap_mono_us(swarm->env), look_us = now_us - asked_us, most_us = swarm->heartbeat_us / 2;
    bool cheap = went_well && look_us < CHEAP_US && ear->fd < 0;
    int64_t wait_us = (now_us - first_us) / (cheap ? POLL_PART_CHEAP : POLL_PART), least_us = cheap ? POLL_LEAST_CHEAP_US : POLL_LEAST_US;
    int64_t looks_us = (cheap ? POLL_LOOKS_CHEAP : POLL_LOOKS) * look_us;
    if (wait_us < looks_us) wait_us = looks_us;
    if (wait_us > most_us) wait_us = most_us;
    return wait_us > least_us ? wait_us : least_us;
}

static enum apiary_code wait_with(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel, bool leave,
    struct ap_ear *ear, struct ap_end *end, struct ap_outcome *outcome, struct apiary_error *err)
{
    int64_t now_us = manifest->created_us, begun_us = ap_mono_us(swarm->env), first_us = begun_us;
    bool ended = false, out = false;
    while (!ended) {
        listen_to(swarm, manifest->id.text, ear);
        int64_t heard_us = now_us, asked_us = ap_mono_us(swarm->env);
        enum apiary_code code = look(swarm, manifest, cancel, leave, end, &ended, &out, &now_us, err);
        if (now_us != heard_us) begun_us = ap_mono_us(swarm->env);
        if (code != APIARY_OK) {
            ended = false;
            if (!passing(code) && (leave || code != APIARY_CANCELLED)) return code;
            if (ap_query_over(manifest, now_us + (ap_mono_us(swarm->env) - begun_us))) return code;
        }
        if (ended) break;
        pause_for(swarm, code == APIARY_OK ? cancel : NULL, ear, poll_us(swarm, ear, first_us, asked_us, code == APIARY_OK));
    }
    if (end->decision == AP_END_COMMIT) AP_TRY(settle_commit(swarm, manifest, end, out, now_us, outcome, err));
    enum apiary_code removed = ap_finish_unannounce(swarm, manifest->id.text, NULL); /* else a node does it */
    (void)removed;
    return APIARY_OK;
}

static enum apiary_code wait_for(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel, bool leave,
    struct ap_end *end, struct ap_outcome *outcome, struct apiary_error *err)
{
    struct ap_ear ear = AP_EAR_NONE;
    enum apiary_code code = wait_with(swarm, manifest, cancel, leave, &ear, end, outcome, err);
    ap_store_unlisten(swarm->store, &ear);
    return code;
}

enum apiary_code ap_submit_wait(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel,
    struct ap_end *end, struct ap_outcome *outcome, struct apiary_error *err)
{
    return wait_for(swarm, manifest, cancel, false, end, outcome, err);
}

enum apiary_code ap_submit_attach(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_cancel *cancel,
    struct ap_end *end, struct ap_outcome *outcome, struct apiary_error *err)
{
    return wait_for(swarm, manifest, cancel, true, end, outcome, err);
}

enum apiary_code ap_submit_answer(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_end *end,
    const struct ap_cancel *cancel, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_board) board = { 0 };
    struct ap_result_entry *entries = NULL;
    if (end->decision == AP_END_CANCELLED) return ap_fail(err, APIARY_CANCELLED, "query %s was cancelled", manifest->id.text);
    if (end->decision == AP_END_FAILED || end->decision == AP_END_ABANDONED) {
        ap_fail(err, end->code, "%s", end->message);
        if (end->hint != NULL && end->hint[0] != '\0') ap_hint(err, "%s", end->hint);
        return end->code;
    }
    if (end->decision != AP_END_DONE) return ap_fail(err, APIARY_INVALID, "query %s writes: it has no rows", manifest->id.text);
    if (!end->again) return ap_bytes_add_str(out, ap_bytes_view(&end->content), err);
    AP_TRY(ap_board_look(swarm->store, manifest->id.text, manifest->task_count, &board, err));
    if (board.done_count != board.task_count) return ap_fail(err, APIARY_NOT_FOUND, "the results of query %s are not there any more", manifest->id.text);
    AP_TRY(ap_results_read(swarm, manifest->id.text, &board, &entries, err));
    AP_AUTO_FREE struct ap_partial *partials = ap_calloc(board.task_count, sizeof *partials);
    bool again = false;
    enum apiary_code code = partials == NULL ? ap_fail_memory(err, "a query's results") : APIARY_OK;
    for (size_t i = 0; i < board.task_count && code == APIARY_OK; i++) partials[i] = (struct ap_partial) { i, ap_bytes_view(&entries[i].bytes) };
    if (code == APIARY_OK)
        code = swarm->port.merge(swarm->port.context, manifest, partials, board.task_count, cancel, &again, out, err);
    ap_result_entries_free(entries, board.task_count);
    return code;
}
