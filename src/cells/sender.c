/* Sends what a chamber writes while it still grows (cells.h, ap_output_send).
 *
 * One thread for a set, for as long as a job runs: it looks a few times a second how far each file has
 * come and hands that to the store, which sends whole parts of it. Nobody sees them before the
 * commit; what is not committed is aborted with its stage.
 *
 * Invariants
 *  (1) Files of such an output are open for appending alone (output.c), so the bytes before a file's
 *      end do not change any more.
 *  (2) While `busy` is a stage's, the set's lock is not held and the stage is not closed: who would
 *      close it waits (ap_sender_wait_locked).
 *  (3) Nothing depends on it: what was not sent, or under another key, is sent by the commit. */
#include "cells/cells_private.h"

#include "core/alloc.h"

#include <sys/stat.h>

enum {
    LOOK_US = 20000,       /* between two looks */
    FILES_A_LOOK = 256,    /* a partitioned write may have many */
    SMALL_BYTES = 1 << 20, /* no store takes parts of so few bytes */
};

struct ap_sender {
    struct ap_cell_set *set;
    size_t output;
    struct ap_output_keys keys;
    struct ap_store_counts *scope; /* of the statement */
    struct ap_thread *thread;
    struct ap_stage *busy; /* its bytes are being sent */
    size_t next;           /* file to look at */
    bool stop;
};

/* How far the file is, or 0 when it is not to be sent now. */
static uint64_t sendable(const struct ap_sender *sender, const struct ap_out_file *file)
{
    struct stat info;
    if (!file->stage || file->stage->fd < 0 || file->unsendable) return 0;
    if (fstat(file->stage->fd, &info) != 0 || info.st_size < SMALL_BYTES) return 0;
    uint64_t size = (uint64_t)info.st_size, most = sender->keys.bytes_max;
    return most == 0 || size <= most ? size : 0;
}

static void send_locked(struct ap_sender *sender, size_t index, uint64_t size)
{
    struct ap_cell_set *set = sender->set;
    struct ap_out_file *file = &set->outputs[sender->output].files[index];
    if (!file->key) {
        AP_AUTO(ap_bytes) key = { 0 };
        enum apiary_code code = sender->keys.key(sender->keys.context, file->name, &key, NULL);
        if (code == APIARY_OK) code = ap_bytes_take_text(&key, &file->key, NULL);
        if (code != APIARY_OK) {
            file->unsendable = true;
            return;
        }
    }
    struct ap_stage *stage = sender->busy = file->stage;
    const char *key = file->key;
    ap_unlock(set->env, set->lock);
    enum apiary_code code = ap_stage_advance(stage, key, size, NULL);
    ap_lock(set->env, set->lock);
    sender->busy = NULL;
    ap_wake_all(set->env, set->lock);
    /* Files may have gone and moved meanwhile; this one has not (invariant 2). */
    struct ap_output *output = &set->outputs[sender->output];
    for (size_t i = 0; code != APIARY_OK && i < output->count; i++)
        if (output->files[i].stage == stage) output->files[i].unsendable = true;
}

static void look_locked(struct ap_sender *sender)
{
    for (size_t looked = 0; looked < FILES_A_LOOK && !sender->stop; looked++) {
        struct ap_output *output = &sender->set->outputs[sender->output];
        if (looked >= output->count) return;
        size_t index = sender->next++ % output->count;
        uint64_t size = sendable(sender, &output->files[index]);
        if (size) send_locked(sender, index, size);
    }
}

static void run(void *context)
{
    struct ap_sender *sender = context;
    struct ap_cell_set *set = sender->set;
    struct ap_store_counts *before = ap_store_scope(set->env, sender->scope);
    ap_lock(set->env, set->lock);
    while (!sender->stop) {
        look_locked(sender);
        if (!sender->stop) (void)ap_wait_until(set->env, set->lock, ap_mono_us(set->env) + LOOK_US);
    }
    ap_unlock(set->env, set->lock);
    ap_store_scope(set->env, before);
}

void ap_output_send(struct ap_cell_set *set, size_t number, struct ap_output_keys keys)
{
    ap_assert(number < set->output_count && !set->sender);
    const struct ap_store *store = set->outputs[number].store;
    if (!store || !store->ops->stage_advance) return;
    struct ap_sender *sender = ap_calloc(1, sizeof *sender);
    if (!sender) return; /* all is sent in the end then */
    *sender = (struct ap_sender) { .set = set, .output = number, .keys = keys };
    sender->scope = ap_store_scope(set->env, NULL);
    ap_store_scope(set->env, sender->scope);
    ap_lock(set->env, set->lock);
    set->sender = sender;
    ap_unlock(set->env, set->lock);
    sender->thread = set->env->ops->thread_start(set->env->world, run, sender);
    if (!sender->thread) ap_output_send_end(set);
}

void ap_output_send_end(struct ap_cell_set *set)
{
    ap_lock(set->env, set->lock);
    struct ap_sender *sender = set->sender;
    if (sender) sender->stop = true;
    ap_wake_all(set->env, set->lock);
    ap_unlock(set->env, set->lock);
    if (!sender) return;
    if (sender->thread) set->env->ops->thread_join(set->env->world, sender->thread);
    ap_lock(set->env, set->lock);
    set->sender = NULL;
    ap_unlock(set->env, set->lock);
    ap_free(sender);
}

void ap_sender_wait_locked(struct ap_cell_set *set, const struct ap_stage *stage)
{
    while (stage && set->sender && set->sender->busy == stage)
        (void)ap_wait_until(set->env, set->lock, INT64_MAX);
}
