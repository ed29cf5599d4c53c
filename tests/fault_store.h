/* A store that fails as told, around any other store, for tests outside of the simulator; and an
 * env whose sleeps take no time.
 *
 *     struct fault_store fault;
 *     fault_store_init(&fault, inner);
 *     fault.script = "..l";                 the third call is applied and its reply is lost
 *     ap_ledger_append(&fault.store, ...);
 *
 * The script has a letter for each call that counts, in order; after its end all is well:
 *
 *     .  goes through                        r  IO, nothing happened
 *     l  applied, the reply is lost          L  the same answer, but nothing happened
 *     f  FULL     d  DENIED     c  CORRUPT     n  NOT_FOUND (reads)     x  applied, then CONFLICT
 *
 * A lost reply is UNCERTAIN from put_if_absent and stage_commit, IO from the others. Calls that
 * count: each put, put_if_absent, get (every one of a get_many), list, key deleted, open_read,
 * stage, stage_commit; `only` picks those whose name is in it. The hooks see every call. */
#ifndef AP_TESTS_FAULT_STORE_H
#define AP_TESTS_FAULT_STORE_H

#include "core/env.h"
#include "storage/store.h"

#include <string.h>

struct fault_store {
    struct ap_store store; /* the one to pass on */
    struct ap_store *inner;
    const char *script;
    const char *only; /* e.g. "put_if_absent"; NULL: all */
    long calls;       /* that counted so far */
    long fail_at; /* besides the script: call number (from 1) that gets `fail_letter`; 0: none */
    char fail_letter;
    void (*before)(void *context, const char *call, const char *key); /* NULL: none */
    void (*after)(void *context, const char *call, const char *key);
    void *context;
};

#define FAULT_UNUSED __attribute__((unused))

/* The letter for this call. */
static inline char fault_next(struct fault_store *fault, const char *call, const char *key)
{
    if (fault->before) fault->before(fault->context, call, key);
    if (fault->only && !strstr(fault->only, call)) return '.';
    long number = ++fault->calls;
    if (fault->fail_at && number == fault->fail_at)
        return fault->fail_letter ? fault->fail_letter : 'r';
    return fault->script && (size_t)number <= strlen(fault->script) ? fault->script[number - 1]
                                                                    : '.';
}

static inline void fault_behind(struct fault_store *fault, const char *call, const char *key)
{
    if (fault->after) fault->after(fault->context, call, key);
}

static inline bool fault_applies(char letter)
{
    return letter == '.' || letter == 'l' || letter == 'x';
}

/* What the caller is told instead of `code`. */
static inline enum apiary_code fault_answer(char letter, bool conditional, const char *call,
    const char *key, enum apiary_code code, struct apiary_error *err)
{
    switch (letter) {
        case '.': return code;
        case 'r': return ap_fail(err, APIARY_IO, "%s %s: refused", call, key);
        case 'f': return ap_fail(err, APIARY_FULL, "%s %s: no space", call, key);
        case 'd': return ap_fail(err, APIARY_DENIED, "%s %s: not permitted", call, key);
        case 'c': return ap_fail(err, APIARY_CORRUPT, "%s %s: wrong checksum", call, key);
        case 'n': return ap_fail(err, APIARY_NOT_FOUND, "%s %s: there is nothing", call, key);
        case 'x': return ap_fail(err, APIARY_CONFLICT, "%s %s: it exists", call, key);
        default:
            return ap_fail(err, conditional ? APIARY_UNCERTAIN : APIARY_IO,
                "%s %s: the answer was lost", call, key);
    }
}

static inline struct fault_store *fault_of(struct ap_store *store)
{
    return (struct fault_store *)(void *)store;
}

static FAULT_UNUSED enum apiary_code fault_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    char letter = fault_next(fault, "put", key);
    enum apiary_code code =
        fault_applies(letter) ? fault->inner->ops->put(fault->inner, key, body, err) : APIARY_OK;
    fault_behind(fault, "put", key);
    return fault_answer(letter, false, "put", key, code, err);
}

static FAULT_UNUSED enum apiary_code fault_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    char letter = fault_next(fault, "put_if_absent", key);
    enum apiary_code code = fault_applies(letter)
                                ? fault->inner->ops->put_if_absent(fault->inner, key, body, err)
                                : APIARY_OK;
    fault_behind(fault, "put_if_absent", key);
    return fault_answer(letter, true, "put_if_absent", key, code, err);
}

static FAULT_UNUSED void fault_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct fault_store *fault = fault_of(store);
    for (size_t i = 0; i < count; i++) {
        char letter = fault_next(fault, "get", gets[i].key);
        fault->inner->ops->get_many(fault->inner, &gets[i], 1);
        gets[i].code =
            fault_answer(letter, false, "get", gets[i].key, gets[i].code, &gets[i].error);
        fault_behind(fault, "get", gets[i].key);
    }
}

static FAULT_UNUSED enum apiary_code fault_list(struct ap_store *store,
    const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    char letter = fault_next(fault, "list", request->prefix);
    enum apiary_code code = fault->inner->ops->list(fault->inner, request, out, err);
    fault_behind(fault, "list", request->prefix);
    return fault_answer(letter, false, "list", request->prefix, code, err);
}

static FAULT_UNUSED enum apiary_code fault_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    for (size_t i = 0; i < count; i++) {
        char letter = fault_next(fault, "delete", keys[i]);
        enum apiary_code code = fault_applies(letter)
                                    ? fault->inner->ops->delete_many(fault->inner, &keys[i], 1, err)
                                    : APIARY_OK;
        fault_behind(fault, "delete", keys[i]);
        AP_TRY(fault_answer(letter, false, "delete", keys[i], code, err));
    }
    return APIARY_OK;
}

static FAULT_UNUSED enum apiary_code fault_open_read(struct ap_store *store, const char *key,
    int *fd, struct ap_object *object, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    char letter = fault_next(fault, "open_read", key);
    if (letter != '.') return fault_answer(letter, false, "open_read", key, APIARY_OK, err);
    enum apiary_code code = fault->inner->ops->open_read(fault->inner, key, fd, object, err);
    fault_behind(fault, "open_read", key);
    return code;
}

static FAULT_UNUSED enum apiary_code fault_stage(
    struct ap_store *store, struct ap_stage **out, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    char letter = fault_next(fault, "stage", "");
    if (letter != '.') return fault_answer(letter, false, "stage", "", APIARY_OK, err);
    AP_TRY(fault->inner->ops->stage(fault->inner, out, err));
    (*out)->store = store;
    fault_behind(fault, "stage", "");
    return APIARY_OK;
}

static FAULT_UNUSED enum apiary_code fault_stage_commit(struct ap_store *store,
    struct ap_stage *stage, const char *key, struct ap_object *object, struct apiary_error *err)
{
    struct fault_store *fault = fault_of(store);
    char letter = fault_next(fault, "stage_commit", key);
    enum apiary_code code = APIARY_OK;
    if (fault_applies(letter))
        code = fault->inner->ops->stage_commit(fault->inner, stage, key, object, err);
    fault_behind(fault, "stage_commit", key);
    return fault_answer(letter, true, "stage_commit", key, code, err);
}

static FAULT_UNUSED void fault_close(struct ap_store *store)
{
    (void)store; /* memory is the test's, and so is the inner store */
}

/* `inner` stays the caller's. The wrapper needs no close. */
static FAULT_UNUSED void fault_store_init(struct fault_store *fault, struct ap_store *inner)
{
    static const struct ap_store_ops ops = {
        .put = fault_put,
        .put_if_absent = fault_put_if_absent,
        .get_many = fault_get_many,
        .list = fault_list,
        .delete_many = fault_delete_many,
        .open_read = fault_open_read,
        .stage = fault_stage,
        .stage_commit = fault_stage_commit,
        .close = fault_close,
    };
    memset(fault, 0, sizeof *fault);
    fault->inner = inner;
    fault->store = (struct ap_store) { .ops = &ops,
        .env = inner->env,
        .uri = inner->uri,
        .is_local = inner->is_local,
        .shared_writing = inner->shared_writing };
}

/* ---- an env whose sleeps only move its clocks ---- */

struct fault_env {
    struct ap_env env; /* the one to pass on */
    struct ap_env_ops ops;
    int64_t slept_us;
};

static inline struct fault_env *fault_env_of(void *world)
{
    return world;
}

static FAULT_UNUSED int64_t fault_env_now(void *world)
{
    return ap_now_us(ap_env_system()) + fault_env_of(world)->slept_us;
}

static FAULT_UNUSED int64_t fault_env_mono(void *world)
{
    return ap_mono_us(ap_env_system()) + fault_env_of(world)->slept_us;
}

static FAULT_UNUSED void fault_env_sleep(void *world, int64_t us)
{
    fault_env_of(world)->slept_us += us;
}

/* For one thread. Randomness, locks and threads are the system's. */
static FAULT_UNUSED void fault_env_init(struct fault_env *env)
{
    env->ops = *ap_env_system()->ops;
    env->ops.now_us = fault_env_now;
    env->ops.mono_us = fault_env_mono;
    env->ops.sleep_us = fault_env_sleep;
    env->slept_us = 0;
    env->env = (struct ap_env) { .ops = &env->ops, .world = env };
}

#endif
