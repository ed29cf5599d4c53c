#include "query/looks.h"

#include "core/alloc.h"

enum { THREADS_MAX = 16 }; /* further stores are asked one after the other, beside them */

void ap_looks_begin(struct ap_looks *looks, struct ap_world *world, int64_t since_us)
{
    *looks = (struct ap_looks) { .world = world, .since_us = since_us };
}

void ap_looks_done(struct ap_looks *looks)
{
    ap_free(looks->hives);
    ap_free(looks->frames);
    memset(looks, 0, sizeof *looks);
}

static void add_hive(struct ap_looks *looks, const char *hive)
{
    struct ap_catalog_look look = { 0 };
    if (AP_GROW(looks->hives, looks->hive_capacity, looks->hive_count + 1, NULL) != APIARY_OK) return;
    if (!ap_catalog_look_begin(looks->world->catalog, hive, looks->since_us, &look)) return;
    for (size_t i = 0; i < looks->hive_count; i++)
        if (looks->hives[i].chain == look.chain) return;
    looks->hives[looks->hive_count++] = look;
}

static void add_frame(struct ap_looks *looks, const struct ap_name3 *name)
{
    struct ap_world *world = looks->world;
    AP_AUTO(ap_entry) entry = { 0 };
    struct ap_ledger *ledger = NULL;
    struct ap_store *store = NULL;
    const char *prefix = NULL;
    if (!ap_catalog_known(world->catalog, name, &entry) || entry.kind != AP_ENTRY_FRAME) return;
    if (ap_frames_ledger(world->frames, &entry, &ledger, &store, &prefix, NULL) != APIARY_OK) return;
    for (size_t i = 0; i < looks->frame_count; i++)
        if (looks->frames[i].look.ledger == ledger) return;
    if (AP_GROW(looks->frames, looks->frame_capacity, looks->frame_count + 1, NULL) != APIARY_OK)
        return;
    struct ap_looked_frame *frame = &looks->frames[looks->frame_count];
    frame->store = store;
    if (ap_ledger_look_begin(ledger, looks->since_us, &frame->look)) looks->frame_count++;
}

void ap_looks_add(struct ap_looks *looks, const struct ap_name3 *name)
{
    add_hive(looks, name->hive);
    add_frame(looks, name);
}

/* The requests to one store. */
struct batch {
    struct ap_store *store;
    struct ap_get *gets;
    struct ap_get **answers; /* where they belong */
    size_t count;
    struct ap_thread *thread;
};

static void run_batch(void *self)
{
    struct batch *batch = self;
    ap_store_get_many(batch->store, batch->gets, batch->count);
    for (size_t i = 0; i < batch->count; i++) *batch->answers[i] = batch->gets[i];
}

static void run_batches(struct ap_env *env, struct batch *batches, size_t count)
{
    for (size_t i = 1; i < count && i <= THREADS_MAX; i++)
        batches[i].thread = env->ops->thread_start(env->world, run_batch, &batches[i]);
    for (size_t i = 0; i < count; i++)
        if (batches[i].thread == NULL && batches[i].count > 0) run_batch(&batches[i]);
    for (size_t i = 1; i < count; i++)
        if (batches[i].thread != NULL) env->ops->thread_join(env->world, batches[i].thread);
}

static void add(struct batch *batch, struct ap_get *get)
{
    batch->gets[batch->count] = *get;
    batch->answers[batch->count++] = get;
}

/* Batches of what goes to one store each; the root's is the first. */
static size_t make_batches(
    struct ap_looks *looks, struct batch *batches, struct ap_get *gets, struct ap_get **answers)
{
    size_t count = 1, used = 0;
    batches[0] = (struct batch) { .store = looks->world->store, .gets = gets, .answers = answers };
    for (size_t i = 0; i < looks->hive_count; i++) {
        looks->hives[i].get.key = looks->hives[i].key;
        add(&batches[0], &looks->hives[i].get);
    }
    for (size_t i = 0; i < looks->frame_count; i++)
        if (looks->frames[i].store == looks->world->store) add(&batches[0], &looks->frames[i].look.get);
    used = batches[0].count;
    for (size_t i = 0; i < looks->frame_count; i++) {
        struct ap_store *store = looks->frames[i].store;
        size_t known = 0;
        while (known < count && batches[known].store != store) known++;
        if (known < count) continue;
        batches[count] = (struct batch) { .store = store, .gets = gets + used, .answers = answers + used };
        for (size_t j = i; j < looks->frame_count; j++)
            if (looks->frames[j].store == store) add(&batches[count], &looks->frames[j].look.get);
        used += batches[count++].count;
    }
    return count;
}

void ap_looks_end(struct ap_looks *looks)
{
    size_t all = looks->hive_count + looks->frame_count;
    AP_AUTO_FREE struct ap_get *gets = all ? ap_calloc(all, sizeof *gets) : NULL;
    AP_AUTO_FREE struct ap_get **answers = all ? ap_calloc(all, sizeof *answers) : NULL;
    AP_AUTO_FREE struct batch *batches = all ? ap_calloc(all + 1, sizeof *batches) : NULL;
    if (gets != NULL && answers != NULL && batches != NULL)
        run_batches(looks->world->env, batches, make_batches(looks, batches, gets, answers));
    for (size_t i = 0; i < looks->hive_count; i++) ap_catalog_look_end(&looks->hives[i]);
    for (size_t i = 0; i < looks->frame_count; i++) ap_ledger_look_end(&looks->frames[i].look);
}
