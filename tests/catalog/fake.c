#include "fake.h"

#include "apiary_test.h"

static struct fake *of(struct ap_store *store)
{
    return (struct fake *)((char *)store - offsetof(struct fake, store));
}

static int64_t fake_now(void *world)
{
    return ((struct fake *)world)->now_us;
}

static int64_t fake_mono(void *world)
{
    return ((struct fake *)world)->mono_us;
}

static void fake_sleep(void *world, int64_t us)
{
    struct fake *fake = world;
    fake->now_us += us;
    fake->mono_us += us;
}

static void fake_random(void *world, void *out, size_t size)
{
    struct fake *fake = world;
    unsigned char *to = out;
    for (size_t i = 0; i < size; i++) {
        fake->random = fake->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        to[i] = (unsigned char)(fake->random >> 56);
    }
}

static struct ap_lock *fake_lock_new(void *world)
{
    return world;
}

static void fake_lock(void *world, struct ap_lock *lock)
{
}

static enum apiary_code fake_put(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    return ap_store_put(of(store)->inner, key, body, err);
}

static bool take(int *count)
{
    return *count > 0 && (*count)-- > 0;
}

static enum apiary_code fake_put_if_absent(
    struct ap_store *store, const char *key, struct ap_str body, struct apiary_error *err)
{
    struct fake *fake = of(store);
    if (fake->before_put) {
        void (*act)(void *) = fake->before_put;
        fake->before_put = NULL;
        act(fake->context);
    }
    if (take(&fake->refuse_puts)) return ap_fail(err, APIARY_IO, "refused");
    if (take(&fake->vanish_puts)) return ap_fail(err, APIARY_UNCERTAIN, "no reply");
    enum apiary_code code = ap_store_put_if_absent(fake->inner, key, body, err);
    if (take(&fake->lose_puts)) return ap_fail(err, APIARY_UNCERTAIN, "no reply");
    return code;
}

static void fake_get_many(struct ap_store *store, struct ap_get *gets, size_t count)
{
    struct fake *fake = of(store);
    for (size_t i = 0; i < count; i++) {
        if (take(&fake->refuse_reads))
            gets[i].code = ap_fail(&gets[i].error, APIARY_IO, "refused");
        else
            ap_store_get_many(fake->inner, &gets[i], 1);
    }
}

static enum apiary_code fake_list(struct ap_store *store, const struct ap_list_request *request,
    struct ap_list *out, struct apiary_error *err)
{
    if (take(&of(store)->refuse_reads)) return ap_fail(err, APIARY_IO, "refused");
    return ap_store_list(of(store)->inner, request, out, err);
}

static enum apiary_code fake_delete_many(
    struct ap_store *store, const char *const *keys, size_t count, struct apiary_error *err)
{
    return ap_store_delete_many(of(store)->inner, keys, count, err);
}

void fake_open(struct fake *fake)
{
    static const struct ap_env_ops env_ops = { .now_us = fake_now,
        .mono_us = fake_mono,
        .sleep_us = fake_sleep,
        .random = fake_random,
        .lock_new = fake_lock_new,
        .lock_free = fake_lock,
        .lock = fake_lock,
        .unlock = fake_lock };
    static const struct ap_store_ops store_ops = { .put = fake_put,
        .put_if_absent = fake_put_if_absent,
        .get_many = fake_get_many,
        .list = fake_list,
        .delete_many = fake_delete_many };
    struct apiary_error err = { 0 };
    memset(fake, 0, sizeof *fake);
    fake->now_us = INT64_C(1800000000000000);
    fake->mono_us = INT64_C(5000000000);
    fake->random = 42;
    fake->env = (struct ap_env) { .ops = &env_ops, .world = fake };
    assert_ok(ap_store_open(&fake->env, "memory://fake", NULL, &fake->inner, &err));
    fake->store = (struct ap_store) {
        .ops = &store_ops, .env = &fake->env, .uri = fake->inner->uri, .shared_writing = true
    };
}

void fake_close(struct fake *fake)
{
    ap_store_close(fake->inner);
}

size_t fake_count(struct fake *fake, const char *prefix)
{
    AP_AUTO(ap_list) list = { 0 };
    struct apiary_error err = { 0 };
    const struct ap_list_request request = { .prefix = prefix };
    assert_ok(ap_store_list(fake->inner, &request, &list, &err));
    return list.count;
}
