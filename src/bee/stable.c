#include "bee/stable.h"

#include "core/alloc.h"

#include <pthread.h>

struct bee_stable {
    const char *scratch;
    uint64_t spill_bytes;
    struct {
        pthread_mutex_t mutex;
        pthread_cond_t changed;
        struct bee_measures wanted;
        struct bee_instance *spare;
        bool wanted_now;              /* a spare is to be opened */
        struct bee_instance *retired; /* being closed or to be closed. One: two statements'
                                       * memory is what fits under the fence */
        uint64_t number;
    } shared;
};

static void open_spare_locked(struct bee_stable *stable)
{
    struct bee_measures wanted = stable->shared.wanted;
    uint64_t number = ++stable->shared.number;
    pthread_mutex_unlock(&stable->shared.mutex);
    struct bee_instance *instance = NULL; /* stays NULL on failure: the next take tries itself */
    if (bee_instance_open(&instance, stable->scratch, stable->spill_bytes, number, &wanted, NULL) !=
        APIARY_OK)
        instance = NULL;
    pthread_mutex_lock(&stable->shared.mutex);
    stable->shared.wanted_now = false;
    stable->shared.spare = instance;
}

static void close_retired_locked(struct bee_stable *stable)
{
    struct bee_instance *instance = stable->shared.retired;
    pthread_mutex_unlock(&stable->shared.mutex);
    bee_instance_close(instance);
    pthread_mutex_lock(&stable->shared.mutex);
    stable->shared.retired = NULL;
}

/* Opens before it closes: the next statement may be waiting for the spare. */
static void *keep(void *arg)
{
    struct bee_stable *stable = arg;
    pthread_mutex_lock(&stable->shared.mutex);
    for (;;) {
        if (stable->shared.wanted_now)
            open_spare_locked(stable);
        else if (stable->shared.retired)
            close_retired_locked(stable);
        else
            pthread_cond_wait(&stable->shared.changed, &stable->shared.mutex);
        pthread_cond_broadcast(&stable->shared.changed);
    }
    return NULL;
}

enum apiary_code bee_stable_start(struct bee_stable **out, const char *scratch,
    uint64_t spill_bytes, const struct bee_measures *first, struct apiary_error *err)
{
    struct bee_stable *stable = ap_calloc(1, sizeof *stable);
    if (stable == NULL) return ap_fail_memory(err, "the engine instances");
    stable->scratch = scratch;
    stable->spill_bytes = spill_bytes;
    stable->shared.wanted = *first;
    pthread_mutex_init(&stable->shared.mutex, NULL);
    pthread_cond_init(&stable->shared.changed, NULL);
    enum apiary_code code =
        bee_instance_open(&stable->shared.spare, scratch, spill_bytes, 0, first, err);
    pthread_t thread;
    if (code == APIARY_OK && pthread_create(&thread, NULL, keep, stable))
        code = ap_fail(err, APIARY_MEMORY, "no thread for the engine instances");
    if (code != APIARY_OK) {
        bee_instance_close(stable->shared.spare);
        ap_free(stable);
        return code;
    }
    pthread_detach(thread);
    *out = stable;
    return APIARY_OK;
}

enum apiary_code bee_stable_take(struct bee_stable *stable, const struct bee_measures *work,
    struct bee_instance **out, struct apiary_error *err)
{
    pthread_mutex_lock(&stable->shared.mutex);
    stable->shared.wanted = *work;
    while (stable->shared.wanted_now)
        pthread_cond_wait(&stable->shared.changed, &stable->shared.mutex);
    struct bee_instance *instance = stable->shared.spare;
    stable->shared.spare = NULL;
    uint64_t number = ++stable->shared.number;
    pthread_mutex_unlock(&stable->shared.mutex);

    if (instance == NULL)
        AP_TRY(
            bee_instance_open(&instance, stable->scratch, stable->spill_bytes, number, work, err));
    enum apiary_code code = bee_instance_adjust(instance, work, err);
    if (code != APIARY_OK) {
        bee_stable_retire(stable, instance);
        return code;
    }
    *out = instance;
    return APIARY_OK;
}

void bee_stable_refill(struct bee_stable *stable)
{
    pthread_mutex_lock(&stable->shared.mutex);
    if (stable->shared.spare == NULL) stable->shared.wanted_now = true;
    pthread_cond_broadcast(&stable->shared.changed);
    pthread_mutex_unlock(&stable->shared.mutex);
}

void bee_stable_retire(struct bee_stable *stable, struct bee_instance *instance)
{
    if (instance == NULL) return;
    pthread_mutex_lock(&stable->shared.mutex);
    while (stable->shared.retired)
        pthread_cond_wait(&stable->shared.changed, &stable->shared.mutex);
    stable->shared.retired = instance;
    pthread_cond_broadcast(&stable->shared.changed);
    pthread_mutex_unlock(&stable->shared.mutex);
}
