#include "storage/copy.h"

#include "core/alloc.h"
#include "storage/slot.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum {
    PARALLEL_USUAL = 8,
    PARALLEL_MAX = 64,
    SMALL_BYTES = 1 << 20,
    STEP_BYTES = 8 << 20,
    STEPS_AT_ONCE = 2,
};

/* In the order of copying. */
enum phase {
    PHASE_DATA,
    PHASE_CHECKPOINT,
    PHASE_LEDGER,
    PHASE_HIVE,
    PHASE_HIVES,
    PHASE_HINT,
    PHASES
};

struct item {
    const char *key; /* of the list */
    uint64_t size;
    enum phase phase;
};

struct copying {
    struct ap_store *from, *to;
    const struct ap_copy_options *options;
    struct item *items;
    size_t count, capacity;
    struct ap_lock *lock; /* of what follows */
    size_t next, end;     /* of the phase that runs */
    struct ap_copy_figures figures;
    enum apiary_code code;
    struct apiary_error error;
};

/* ---- what is what ---- */

static bool contains(const char *key, const char *part)
{
    return strstr(key, part) != NULL;
}

static bool is_left_behind(const char *key)
{
    static const char *const prefixes[] = { "_swarm/", "_queries/", "_registry/proof" };
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++)
        if (strncmp(key, prefixes[i], strlen(prefixes[i])) == 0) return true;
    return false;
}

static bool is_registry(const char *key)
{
    return strncmp(key, "_registry/", 10) == 0;
}

static enum phase phase_of(const char *key)
{
    const char *slash = strrchr(key, '/'), *name = slash ? slash + 1 : key;
    bool json = ap_str_ends_with(ap_str_from(key), AP_STR(".json"));
    if (is_registry(key) && strcmp(name, "latest") == 0) return PHASE_HINT;
    if (strncmp(key, "_registry/hives/", 16) == 0) return PHASE_HIVES;
    if (is_registry(key)) return PHASE_HIVE;
    if (!contains(key, "_delta_log/")) return PHASE_DATA;
    if (strcmp(name, "_last_checkpoint") == 0) return PHASE_HINT;
    return json && !contains(name, "checkpoint") && !contains(key, "_sidecars/") ? PHASE_LEDGER
                                                                                 : PHASE_CHECKPOINT;
}

/* Written once and never changed: at the target it is the same, or another history. */
static bool is_version(enum phase phase)
{
    return phase == PHASE_LEDGER || phase == PHASE_HIVE || phase == PHASE_HIVES;
}

/* What is named by a list must have been there before it: see copy.h, 1. */
static bool waits_for_first_list(enum phase phase)
{
    return phase != PHASE_DATA;
}

static int item_compare(const void *a, const void *b)
{
    const struct item *left = a, *right = b;
    if (left->phase != right->phase) return left->phase < right->phase ? -1 : 1;
    return strcmp(left->key, right->key);
}

static int key_compare(const void *key, const void *object)
{
    return strcmp(key, ((const struct ap_object *)object)->key);
}

static const struct ap_object *object_of(const struct ap_list *list, const char *key)
{
    if (list->count == 0) return NULL;
    return bsearch(key, list->objects, list->count, sizeof *list->objects, key_compare);
}

static enum apiary_code list_all(
    struct ap_store *store, struct ap_list *out, struct apiary_error *err)
{
    struct ap_list_request request = { .prefix = "" };
    return ap_store_list(store, &request, out, err);
}

static enum apiary_code collect(struct copying *copying, const struct ap_list *first,
    const struct ap_list *second, struct apiary_error *err)
{
    AP_TRY(AP_GROW(copying->items, copying->capacity, second->count, err));
    for (size_t i = 0; i < second->count; i++) {
        const struct ap_object *object = &second->objects[i];
        enum phase phase = phase_of(object->key);
        if (is_left_behind(object->key)) continue;
        if (waits_for_first_list(phase) && !object_of(first, object->key)) continue;
        copying->items[copying->count++] = (struct item) { object->key, object->size, phase };
        copying->figures.objects++;
        copying->figures.bytes += object->size;
    }
    if (copying->count > 1)
        qsort(copying->items, copying->count, sizeof *copying->items, item_compare);
    return APIARY_OK;
}

/* ---- another history ---- */

static enum apiary_code same_bytes(
    struct copying *copying, const char *key, bool *same, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) ours = { 0 }, theirs = { 0 };
    AP_TRY(ap_store_get(copying->from, key, AP_RANGE_ALL, &ours, NULL, err));
    AP_TRY(ap_store_get(copying->to, key, AP_RANGE_ALL, &theirs, NULL, err));
    *same = ap_str_equal(ap_bytes_view(&ours), ap_bytes_view(&theirs));
    return APIARY_OK;
}

static enum apiary_code fail_history(
    struct copying *copying, const char *key, const char *how, struct apiary_error *err)
{
    ap_fail(err, APIARY_CONFLICT, "%s has a history of its own: %s %s", copying->to->uri, key, how);
    return ap_hint(err, "copy into an empty root, or remove what is there");
}

/* Every version at the target is one of the source's, and no other object stands in the way. */
static enum apiary_code check_target(struct copying *copying, const struct ap_list *source,
    const struct ap_list *target, struct apiary_error *err)
{
    for (size_t i = 0; i < target->count; i++) {
        const char *key = target->objects[i].key;
        const struct ap_object *ours = object_of(source, key);
        enum phase phase = phase_of(key);
        bool same = true;
        if (is_left_behind(key) || phase == PHASE_HINT) continue;
        if (!ours && is_version(phase)) return fail_history(copying, key, "is only there", err);
        if (!ours) continue;
        if (ours->size != target->objects[i].size)
            return fail_history(copying, key, "is another object there", err);
        if (is_version(phase)) AP_TRY(same_bytes(copying, key, &same, err));
        if (!same) return fail_history(copying, key, "is another version there", err);
    }
    return APIARY_OK;
}

/* ---- one object ---- */

static enum apiary_code write_at(
    int fd, const struct ap_bytes *bytes, uint64_t at, struct apiary_error *err)
{
    for (size_t done = 0; done < bytes->size;) {
        ssize_t put = pwrite(fd, bytes->data + done, bytes->size - done, (off_t)(at + done));
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return ap_fail_errno(err, errno, "cannot write a staged file");
        done += (size_t)put;
    }
    return APIARY_OK;
}

/* The whole object into the stage, a few steps at once, all of one object. */
static enum apiary_code fill(struct copying *copying, const struct item *item,
    struct ap_stage *stage, struct apiary_error *err)
{
    struct ap_get gets[STEPS_AT_ONCE] = { { 0 } };
    char etag[AP_ETAG_MAX] = "";
    enum apiary_code code = APIARY_OK;
    for (uint64_t at = 0; at < item->size && code == APIARY_OK;) {
        size_t count = 0;
        for (uint64_t from = at; from < item->size && count < STEPS_AT_ONCE; from += STEP_BYTES) {
            gets[count].key = item->key;
            gets[count].range = (struct ap_range) { from, STEP_BYTES, false };
            gets[count++].if_etag = etag[0] ? etag : NULL;
        }
        ap_store_get_many(copying->from, gets, count);
        for (size_t i = 0; i < count && code == APIARY_OK; i++) {
            code = gets[i].code;
            if (code != APIARY_OK && err) *err = gets[i].error;
            if (code == APIARY_OK && gets[i].object.size != item->size)
                code = ap_fail(err, APIARY_CONFLICT, "object %s/%s is another one by now",
                    copying->from->uri, item->key);
            if (code == APIARY_OK) code = write_at(stage->fd, &gets[i].body, at, err);
            if (!etag[0]) memcpy(etag, gets[i].object.etag, sizeof etag);
            at += gets[i].body.size;
        }
        if (code == APIARY_OK) code = ap_stage_advance(stage, item->key, at, err);
    }
    for (size_t i = 0; i < STEPS_AT_ONCE; i++) ap_get_done(&gets[i]);
    return code;
}

static enum apiary_code copy_large(
    struct copying *copying, const struct item *item, struct apiary_error *err)
{
    struct ap_stage *stage = NULL;
    AP_TRY(ap_store_stage(copying->to, &stage, err));
    enum apiary_code code = fill(copying, item, stage, err);
    if (code == APIARY_OK) code = ap_stage_commit(stage, item->key, NULL, err);
    ap_stage_close(stage);
    return code;
}

static enum apiary_code copy_small(
    struct copying *copying, const struct item *item, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_TRY(ap_store_get(copying->from, item->key, AP_RANGE_ALL, &body, NULL, err));
    if (item->phase == PHASE_HINT)
        return ap_store_put(copying->to, item->key, ap_bytes_view(&body), err);
    struct ap_slot_options options = {
        .deadline_mono_us = INT64_MAX, .cancel = copying->options->cancel, .body_max = SMALL_BYTES
    };
    enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
    AP_TRY(ap_slot_settle(
        copying->to, item->key, ap_bytes_view(&body), &options, &outcome, NULL, err));
    if (outcome == AP_SLOT_MINE) return APIARY_OK; /* or a twin of the same bytes */
    return fail_history(copying, item->key, "was written there meanwhile", err);
}

static enum apiary_code copy_one(
    struct copying *copying, const struct item *item, struct apiary_error *err)
{
    enum apiary_code code =
        item->size <= SMALL_BYTES ? copy_small(copying, item, err) : copy_large(copying, item, err);
    if (code != APIARY_NOT_FOUND) return code;
    ap_fail(
        err, APIARY_CONFLICT, "%s/%s went away while it was copied", copying->from->uri, item->key);
    return ap_hint(
        err, "somebody vacuumed the source: run the copy again, it goes on where it was");
}

/* ---- all of them ---- */

static void tell_locked(struct copying *copying)
{
    if (copying->options->progress)
        copying->options->progress(copying->options->context, &copying->figures);
}

static void work(void *self)
{
    struct copying *copying = self;
    struct ap_env *env = copying->from->env;
    ap_lock(env, copying->lock);
    while (copying->code == APIARY_OK && copying->next < copying->end) {
        struct item *item = &copying->items[copying->next++];
        struct apiary_error error = { 0 };
        ap_unlock(env, copying->lock);
        enum apiary_code code = ap_cancel_requested(copying->options->cancel)
                                    ? ap_fail(&error, APIARY_CANCELLED, "cancelled")
                                    : copy_one(copying, item, &error);
        ap_lock(env, copying->lock);
        if (code == APIARY_OK) {
            copying->figures.objects_done++;
            copying->figures.bytes_done += item->size;
            tell_locked(copying);
        } else if (copying->code == APIARY_OK) {
            copying->code = code;
            copying->error = error;
        }
    }
    ap_unlock(env, copying->lock);
}

/* Ledger versions go one after the other within a frame: a phase of them runs in one thread a frame
 * would be right too, but they are small, and one row of them is simple to be sure of. */
static void run_phase(struct copying *copying, size_t from, size_t to, enum phase phase)
{
    struct ap_thread *threads[PARALLEL_MAX];
    struct ap_env *env = copying->from->env;
    int wanted = copying->options->parallel ? copying->options->parallel : PARALLEL_USUAL,
        count = 0;
    copying->next = from;
    copying->end = to;
    if (wanted > PARALLEL_MAX) wanted = PARALLEL_MAX;
    if (is_version(phase) || to - from < 2) wanted = 1;
    for (int i = 1; i < wanted; i++) {
        threads[count] = env->ops->thread_start(env->world, work, copying);
        if (threads[count]) count++;
    }
    work(copying);
    for (int i = 0; i < count; i++) env->ops->thread_join(env->world, threads[i]);
}

/* Leaves out what the target has. */
static void drop_there(struct copying *copying, const struct ap_list *target)
{
    size_t kept = 0;
    for (size_t i = 0; i < copying->count; i++) {
        struct item *item = &copying->items[i];
        if (item->phase != PHASE_HINT && object_of(target, item->key)) {
            copying->figures.objects_there++;
            copying->figures.bytes -= item->size;
        } else {
            copying->items[kept++] = *item;
        }
    }
    copying->count = kept;
}

static enum apiary_code verify(struct copying *copying, struct apiary_error *err)
{
    AP_AUTO(ap_list) target = { 0 };
    AP_TRY(list_all(copying->to, &target, err));
    for (size_t i = 0; i < copying->count; i++) {
        const struct item *item = &copying->items[i];
        const struct ap_object *object = object_of(&target, item->key);
        if (!object)
            return ap_fail(err, APIARY_CORRUPT, "%s/%s was written and is not there",
                copying->to->uri, item->key);
        if (object->size != item->size && item->phase != PHASE_HINT)
            return ap_fail(err, APIARY_CORRUPT, "%s/%s has %llu bytes instead of %llu",
                copying->to->uri, item->key, (unsigned long long)object->size,
                (unsigned long long)item->size);
    }
    return APIARY_OK;
}

static enum apiary_code copy_all(struct copying *copying, struct apiary_error *err)
{
    AP_AUTO(ap_list) first = { 0 }, second = { 0 }, target = { 0 };
    AP_TRY(list_all(copying->from, &first, err));
    AP_TRY(list_all(copying->from, &second, err));
    AP_TRY(list_all(copying->to, &target, err));
    AP_TRY(check_target(copying, &second, &target, err));
    AP_TRY(collect(copying, &first, &second, err));
    drop_there(copying, &target);
    for (size_t from = 0; from < copying->count && copying->code == APIARY_OK;) {
        size_t to = from;
        while (to < copying->count && copying->items[to].phase == copying->items[from].phase) to++;
        run_phase(copying, from, to, copying->items[from].phase);
        from = to;
    }
    if (copying->code != APIARY_OK) {
        if (err) *err = copying->error;
        return copying->code;
    }
    return verify(copying, err);
}

enum apiary_code ap_store_copy(struct ap_store *from, struct ap_store *to,
    const struct ap_copy_options *options, struct ap_copy_figures *figures,
    struct apiary_error *err)
{
    struct copying copying = { .from = from, .to = to, .options = options };
    if (strcmp(from->uri, to->uri) == 0)
        return ap_fail(err, APIARY_INVALID, "%s cannot be copied to itself", from->uri);
    copying.lock = ap_lock_new(from->env);
    if (!copying.lock) return ap_fail_memory(err, "a copy");
    enum apiary_code code = copy_all(&copying, err);
    *figures = copying.figures;
    ap_lock_free(from->env, copying.lock);
    ap_free(copying.items);
    return code;
}
