/* The store that a node of the simulation sees: the shared memory store, and what goes wrong on
 * the way to it and back. Every call waits before and after its effect, so that the seed decides
 * the order of effects between nodes. */
#include "sim/sim_private.h"

#include "core/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum write_kind { WRITE_PUT, WRITE_PUT_IF_ABSENT, WRITE_DELETE };
static const char *const write_names[] = { "put", "put_if_absent", "delete" };

struct sim_write {
    enum write_kind kind;
    char *key;
    char *body;
    size_t size;
};

/* What becomes of a call. */
enum fate { FATE_GOOD, FATE_REFUSED, FATE_LOST, FATE_LATE, FATE_TWICE, FATE_CRASH };

static struct sim_node *of(struct ap_store *store)
{
    return ((struct sim_store *)(void *)store)->node;
}

static struct ap_store *bare(struct ap_store *store)
{
    return of(store)->sim->bare;
}

/* ---- on the way ---- */

static enum apiary_code fail_crashed(struct sim_node *node, struct apiary_error *err)
{
    sim_sleep(node, 0); /* so that its other threads, which may end this one, have their turn */
    return ap_fail(err, APIARY_IO, "the node has crashed");
}

static enum apiary_code fail_refused(struct apiary_error *err)
{
    return ap_fail(err, APIARY_IO, "the store refused the request");
}

/* Latency, and what the machine does to the node meanwhile. False: it crashed. */
static bool travel(struct sim_node *node)
{
    struct sim *sim = node->sim;
    const struct sim_faults *faults = &sim->faults;
    int64_t us = 1000 + (int64_t)sim_pick(sim, 20000);
    if (sim_percent(sim, faults->slow_percent)) {
        us = sim_span(sim, faults->slow_us_max);
        sim->tally.slow++;
    }
    if (sim_per_mille(sim, faults->pause_per_mille)) {
        sim_pause(node, sim_span(sim, faults->pause_us_max));
        sim->tally.pauses++;
    }
    if (sim_per_mille(sim, faults->outage_per_mille)) {
        node->cut_off_until_us = sim->now_us + sim_span(sim, faults->outage_us_max);
        sim->tally.outages++;
    }
    sim_sleep(node, us + node->slow_us);
    if (sim_per_mille(sim, faults->clock_step_per_mille) && faults->clock_skew_us_max > 0) {
        uint64_t most = (uint64_t)faults->clock_skew_us_max;
        node->skew_us = (int64_t)sim_pick(sim, 2 * most + 1) - (int64_t)most;
        sim->tally.clock_steps++;
    }
    return !node->crashed;
}

static enum fate choose_fate(const struct sim_node *node, bool write)
{
    struct sim *sim = node->sim;
    const struct sim_faults *faults = &sim->faults;
    sim->tally.calls++;
    if (node->cut_off_until_us > sim->now_us && !sim_quiet(sim)) return FATE_REFUSED;
    if (sim_per_mille(sim, faults->crash_per_mille)) return FATE_CRASH;
    if (sim_percent(sim, faults->refuse_percent)) {
        sim->tally.refused++;
        return FATE_REFUSED;
    }
    if (sim_percent(sim, faults->lose_reply_percent)) {
        sim->tally.lost++;
        return FATE_LOST;
    }
    if (write && sim_percent(sim, faults->late_percent)) {
        sim->tally.late++;
        return FATE_LATE;
    }
    if (write && sim_percent(sim, faults->twice_percent)) {
        sim->tally.twice++;
        return FATE_TWICE;
    }
    return FATE_GOOD;
}

/* ---- writes ---- */

static enum apiary_code apply(struct sim *sim, const struct sim_write *write, struct apiary_error *err)
{
    struct ap_str body = { write->body, write->size };
    struct ap_store *inner = sim->bare;
    const char *key = write->key;
    enum apiary_code code = APIARY_INTERNAL;
    switch (write->kind) {
        case WRITE_PUT: code = inner->ops->put(inner, key, body, err); break;
        case WRITE_PUT_IF_ABSENT:
            code = sim->faults.ignore_condition ? inner->ops->put(inner, key, body, err)
                                                : inner->ops->put_if_absent(inner, key, body, err);
            break;
        case WRITE_DELETE: code = inner->ops->delete_many(inner, &key, 1, err); break;
    }
    if (code == APIARY_OK && sim->witness)
        sim->witness(sim->witness_context, write_names[write->kind], key, body);
    return code;
}

void sim_write_drop(struct sim_write *write)
{
    free(write->key);
    free(write->body);
    free(write);
}

void sim_write_apply(struct sim *sim, struct sim_write *write)
{
    struct apiary_error err;
    enum apiary_code code = apply(sim, write, &err);
    if (sim->trace)
        fprintf(stderr, "%14.6f late   %-13s %s -> %s\n", (double)sim->now_us / 1e6,
            write_names[write->kind], write->key, apiary_code_name(code));
    sim_write_drop(write);
}

static void apply_later(struct sim *sim, const struct sim_write *write)
{
    struct sim_write *copy = calloc(1, sizeof *copy);
    ap_assert(copy);
    copy->kind = write->kind;
    copy->key = strdup(write->key);
    copy->body = malloc(write->size + 1);
    copy->size = write->size;
    ap_assert(copy->key && copy->body);
    if (write->size) memcpy(copy->body, write->body, write->size);
    sim_schedule_write(sim, copy, sim_span(sim, sim->faults.late_us_max));
}

/* The client gave up: only a put_if_absent has to tell that from "nothing happened". */
static enum apiary_code fail_lost(const struct sim_write *write, struct apiary_error *err)
{
    return ap_fail(err, write->kind == WRITE_PUT_IF_ABSENT ? APIARY_UNCERTAIN : APIARY_IO,
        "the answer to %s %s was lost", write_names[write->kind], write->key);
}

/* The effect by fate, and the answer. *why for the trace. */
static enum apiary_code meet_fate(struct sim_node *node, enum fate fate,
    const struct sim_write *write, const char **why, struct apiary_error *err)
{
    struct sim *sim = node->sim;
    struct apiary_error ignored;
    bool blind = sim->faults.ignore_condition;
    enum apiary_code code;
    *why = "";
    switch (fate) {
        case FATE_REFUSED: *why = " (refused)"; return fail_refused(err);
        case FATE_LOST:
            *why = " (applied, reply lost)";
            code = apply(sim, write, &ignored);
            if (code == APIARY_INVALID) return apply(sim, write, err);
            return fail_lost(write, err);
        case FATE_LATE:
            *why = " (applied later)";
            apply_later(sim, write);
            return fail_lost(write, err);
        case FATE_TWICE:
            *why = " (applied twice)";
            code = apply(sim, write, err);
            if (code == APIARY_OK && write->kind == WRITE_PUT_IF_ABSENT && !blind &&
                sim_pick(sim, 2))
                code = apply(sim, write, err); /* CONFLICT with itself */
            else
                apply_later(sim, write);
            return code;
        case FATE_CRASH:
            *why = " (node crashes)";
            if (sim_pick(sim, 3) == 0)
                (void)apply(sim, write, &ignored);
            else if (sim_pick(sim, 2))
                apply_later(sim, write);
            sim_kill(node);
            return fail_crashed(node, err);
        case FATE_GOOD: break;
    }
    return apply(sim, write, err);
}

static enum apiary_code do_write(
    struct ap_store *store, const struct sim_write *write, struct apiary_error *err)
{
    struct sim_node *node = of(store);
    char outcome[64];
    const char *why;
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    enum apiary_code code = meet_fate(node, choose_fate(node, true), write, &why, err);
    snprintf(outcome, sizeof outcome, "%s%s", apiary_code_name(code), why);
    sim_trace(node, write_names[write->kind], write->key, outcome);
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    return code;
}

static enum apiary_code sim_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct sim_write write = { WRITE_PUT, (char *)(uintptr_t)key, (char *)(uintptr_t)body.data,
        body.size };
    return do_write(store, &write, err);
}

static enum apiary_code sim_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct sim_write write = { WRITE_PUT_IF_ABSENT, (char *)(uintptr_t)key,
        (char *)(uintptr_t)body.data, body.size };
    return do_write(store, &write, err);
}

static enum apiary_code sim_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct sim_write write = { WRITE_DELETE, (char *)(uintptr_t)keys[i], NULL, 0 };
        AP_TRY(do_write(store, &write, err));
    }
    return APIARY_OK;
}

/* ---- reads ---- */

static enum apiary_code fail_read(struct sim_node *node, enum fate fate, struct apiary_error *err)
{
    if (fate == FATE_CRASH) {
        sim_kill(node);
        return fail_crashed(node, err);
    }
    return ap_fail(err, APIARY_IO,
        fate == FATE_REFUSED ? "the store refused the request" : "the answer was lost");
}

static void get_one(struct ap_store *store, struct ap_get *get)
{
    struct sim_node *node = of(store);
    struct sim *sim = node->sim;
    enum fate fate = choose_fate(node, false);
    if (fate != FATE_GOOD) {
        get->code = fail_read(node, fate, &get->error);
    } else {
        sim->bare->ops->get_many(sim->bare, get, 1);
        if (get->code == APIARY_OK && sim_percent(sim, sim->faults.corrupt_percent)) {
            get->code = ap_fail(&get->error, APIARY_CORRUPT, "object %s: wrong checksum", get->key);
            sim->tally.broken_reads++;
        } else if (get->code == APIARY_OK && get->body.size > 0 &&
                   sim_percent(sim, sim->faults.truncate_percent)) {
            get->body.size = sim_pick(sim, get->body.size); /* the store's front sees it */
            get->body.data[get->body.size] = 0;
            sim->tally.broken_reads++;
        } else if (get->code == APIARY_OK && get->body.size > 0 && sim->faults.garble_prefix &&
                   strncmp(get->key, sim->faults.garble_prefix, strlen(sim->faults.garble_prefix)) == 0 &&
                   sim_per_mille(sim, sim->faults.garble_per_mille)) {
            get->body.data[sim_pick(sim, get->body.size)] ^= (char)(1 + sim_pick(sim, 255));
            sim->tally.garbled++;
        }
    }
    sim_trace(node, "get", get->key, apiary_code_name(get->code));
}

static void sim_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct sim_node *node = of(store);
    struct sim *sim = node->sim;
    bool alive = !node->crashed && travel(node);
    size_t first = (size_t)sim_pick(sim, count); /* they overlap: any of them may be served first */
    for (size_t i = 0; i < count; i++) {
        struct ap_get *get = &gets[(first + i) % count];
        if (i > 0 && alive && sim_pick(sim, 4) == 0) sim_sleep(node, (int64_t)sim_pick(sim, 5000));
        if (node->crashed)
            get->code = fail_crashed(node, &get->error);
        else
            get_one(store, get);
    }
    if (!node->crashed) travel(node);
    if (!node->crashed) return;
    for (size_t i = 0; i < count; i++) gets[i].code = fail_crashed(node, &gets[i].error);
}

/* The last key or prefix of a page, behind which the next one begins. */
static void page_end(const struct ap_list *page, char out[AP_KEY_MAX + 1])
{
    const char *key = page->count ? page->objects[page->count - 1].key : "";
    const char *prefix = page->prefixes.count ? page->prefixes.items[page->prefixes.count - 1] : "";
    snprintf(out, AP_KEY_MAX + 1, "%s", strcmp(key, prefix) > 0 ? key : prefix);
}

static void move_page(struct ap_list *to, struct ap_list *page)
{
    struct apiary_error err;
    for (size_t i = 0; i < page->count; i++)
        ap_assert(ap_list_add(to, page->objects[i].key, &page->objects[i], &err) == APIARY_OK);
    for (size_t i = 0; i < page->prefixes.count; i++)
        ap_assert(
            ap_texts_add(&to->prefixes, ap_str_from(page->prefixes.items[i]), &err) == APIARY_OK);
    to->now_us = page->now_us;
    to->more = page->more;
}

static enum apiary_code list_pages(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    struct sim_node *node = of(store);
    struct sim *sim = node->sim;
    struct ap_list_request part = *request;
    char after[AP_KEY_MAX + 1];
    size_t left = request->limit ? request->limit : SIZE_MAX;
    node->sim->tally.split_lists++;
    for (;;) {
        AP_AUTO(ap_list) page = { 0 };
        size_t step = 1 + (size_t)sim_pick(sim, 5);
        part.limit = step < left ? step : left;
        AP_TRY(bare(store)->ops->list(bare(store), &part, &page, err));
        move_page(out, &page);
        size_t got = page.count + page.prefixes.count;
        left -= got;
        if (!page.more || left == 0) return APIARY_OK;
        page_end(&page, after);
        part.start_after = after;
        if (!travel(node)) return fail_crashed(node, err);
    }
}

static enum apiary_code sim_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    struct sim_node *node = of(store);
    struct sim *sim = node->sim;
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    enum fate fate = choose_fate(node, false);
    enum apiary_code code = APIARY_OK;
    if (fate != FATE_GOOD)
        code = fail_read(node, fate, err);
    else if (sim_percent(sim, sim->faults.split_list_percent))
        code = list_pages(store, request, out, err);
    else
        code = sim->bare->ops->list(sim->bare, request, out, err);
    sim_trace(node, "list", request->prefix, apiary_code_name(code));
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    return code;
}

/* ---- descriptors and stages: refused or lost, never late ---- */

static enum apiary_code sim_open_read(struct ap_store *store, const char *key, int *fd,
    struct ap_object *object, struct apiary_error *err)
{
    struct sim_node *node = of(store);
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    enum fate fate = choose_fate(node, false);
    if (fate != FATE_GOOD) return fail_read(node, fate, err);
    return bare(store)->ops->open_read(bare(store), key, fd, object, err);
}

static enum apiary_code sim_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    if (of(store)->crashed) return fail_crashed(of(store), err);
    AP_TRY(bare(store)->ops->stage(bare(store), out, err));
    (*out)->store = store;
    return APIARY_OK;
}

static enum apiary_code sim_stage_commit(struct ap_store *store, struct ap_stage *stage,
    const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct sim_node *node = of(store);
    struct apiary_error ignored;
    struct ap_object unseen;
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    enum fate fate = choose_fate(node, true);
    enum apiary_code code = APIARY_OK;
    switch (fate) {
        case FATE_REFUSED: code = fail_refused(err); break;
        case FATE_CRASH:
            if (sim_pick(node->sim, 2))
                (void)bare(store)->ops->stage_commit(bare(store), stage, key, &unseen, &ignored);
            sim_kill(node);
            break;
        case FATE_LOST:
        case FATE_LATE:
            (void)bare(store)->ops->stage_commit(bare(store), stage, key, &unseen, &ignored);
            code = ap_fail(err, APIARY_UNCERTAIN, "the answer to committing %s was lost", key);
            break;
        default: code = bare(store)->ops->stage_commit(bare(store), stage, key, object, err); break;
    }
    sim_trace(node, "stage_commit", key, apiary_code_name(code));
    if (node->crashed || !travel(node)) return fail_crashed(node, err);
    return code;
}

static void sim_close(struct ap_store *store)
{
    (void)store; /* the simulator's */
}

static const struct ap_store_ops sim_store_ops = {
    .put = sim_put,
    .put_if_absent = sim_put_if_absent,
    .get_many = sim_get_many,
    .list = sim_list,
    .delete_many = sim_delete_many,
    .open_read = sim_open_read,
    .stage = sim_stage,
    .stage_commit = sim_stage_commit,
    .close = sim_close,
};

void sim_store_init(struct sim_node *node)
{
    static char uri[] = "memory://sim";
    node->store.node = node;
    node->store.store = (struct ap_store) { .ops = &sim_store_ops,
        .env = &node->env,
        .uri = uri,
        .is_local = true,
        .shared_writing = true };
}
