#include "storage/prove.h"

#include "core/alloc.h"
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>

enum { RACERS_MAX = 64, RACERS_USUAL = 4, PROOF_MAX = 4096 };
static const char verdict_key[] = "_registry/proof.json";

struct racer {
    struct ap_store *store;
    const char *key;
    char body[32];
    enum apiary_code code;
    struct apiary_error error;
    struct ap_thread *thread;
};

static void run_racer(void *self)
{
    struct racer *racer = self;
    racer->code =
        ap_store_put_if_absent(racer->store, racer->key, ap_str_from(racer->body), &racer->error);
}

/* UNCERTAIN: the reply was lost. Whose the object is, its body says. */
static enum apiary_code count_winners(struct racer *racers, int count, struct ap_str body,
    struct ap_proof *out, struct apiary_error *err)
{
    out->racers = count;
    for (int i = 0; i < count; i++) {
        bool holds = ap_str_is(body, racers[i].body);
        bool won = racers[i].code == APIARY_OK || (racers[i].code == APIARY_UNCERTAIN && holds);
        out->winners += won;
        out->body_is_winners |= won && holds;
        if (racers[i].code == APIARY_OK || racers[i].code == APIARY_CONFLICT ||
            racers[i].code == APIARY_UNCERTAIN || racers[i].code == APIARY_IO)
            continue;
        if (err) *err = racers[i].error;
        return racers[i].code;
    }
    if (out->winners > 0) return APIARY_OK;
    if (err) *err = racers[0].error;
    return racers[0].code == APIARY_OK ? APIARY_IO : racers[0].code;
}

static enum apiary_code race_on(struct ap_store *store, const char *key, struct racer *racers,
    int count, struct ap_proof *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    struct apiary_error error;
    for (int i = 0; i < count; i++) {
        racers[i] = (struct racer) { .store = store, .key = key };
        snprintf(racers[i].body, sizeof racers[i].body, "racer %d", i);
        racers[i].thread = store->env->ops->thread_start(store->env->world, run_racer, &racers[i]);
        if (!racers[i].thread) run_racer(&racers[i]);
    }
    for (int i = 0; i < count; i++)
        if (racers[i].thread) store->env->ops->thread_join(store->env->world, racers[i].thread);
    enum apiary_code code = ap_store_get(store, key, AP_RANGE_ALL, &body, NULL, &error);
    AP_TRY(count_winners(racers, count, ap_bytes_view(&body), out, err));
    if (code != APIARY_OK) {
        if (err) *err = error;
        return code;
    }
    /* And now that it is there for sure. */
    code = ap_store_put_if_absent(store, key, AP_STR("late"), &error);
    if (code == APIARY_OK) out->winners++;
    if (code == APIARY_OK || code == APIARY_CONFLICT) return APIARY_OK;
    if (code == APIARY_UNCERTAIN || code == APIARY_IO) return APIARY_OK; /* nobody was told that */
    if (err) *err = error;
    return code;
}

enum apiary_code ap_store_race(
    struct ap_store *store, int racers, struct ap_proof *out, struct apiary_error *err)
{
    char key[64];
    struct ap_proof proof = { 0 };
    ap_assert(racers >= 2 && racers <= RACERS_MAX);
    AP_AUTO_FREE struct racer *all = ap_calloc((size_t)racers, sizeof *all);
    if (!all) return ap_fail_memory(err, "a race");
    snprintf(key, sizeof key, "_registry/proof/%016" PRIx64, ap_random_u64(store->env));
    enum apiary_code code = race_on(store, key, all, racers, &proof, err);
    (void)!ap_store_delete(store, key, NULL); /* who may not delete may share all the same */
    if (code == APIARY_OK) *out = proof;
    return code;
}

static enum apiary_code fail_shared(struct ap_store *store, struct apiary_error *err)
{
    __atomic_store_n(&store->shared_writing, false, __ATOMIC_RELAXED);
    ap_fail(err, APIARY_UNSUPPORTED,
        "storage %s cannot be shared by writers: it told two of them that each had created the "
        "same "
        "object (it ignores 'only if nobody has')",
        store->uri);
    return ap_hint(err, "use a store with conditional writes, or add writers=one to the URI and "
                        "let one process write");
}

/* True when the root has a verdict. */
static enum apiary_code read_verdict(
    struct ap_store *store, bool *known, bool *holds, struct apiary_error *err)
{
    struct ap_get get = { .key = verdict_key, .range = AP_RANGE_ALL, .size_max = PROOF_MAX };
    AP_AUTO_JSON *doc = NULL;
    struct ap_str word;
    ap_store_get_many(store, &get, 1);
    enum apiary_code code = get.code;
    if (code == APIARY_OK &&
        ap_json_parse(ap_bytes_view(&get.body), verdict_key, &doc, NULL) == 0 &&
        ap_json_str(yyjson_doc_get_root(doc), "conditionalPut", &word)) {
        *known = ap_str_is(word, "holds") || ap_str_is(word, "fails");
        *holds = ap_str_is(word, "holds");
    }
    if (code != APIARY_OK && err) *err = get.error;
    ap_get_done(&get);
    return code == APIARY_NOT_FOUND || code == APIARY_LIMIT ? APIARY_OK : code;
}

static enum apiary_code prove(struct ap_store *store, bool *holds, struct apiary_error *err)
{
    struct ap_proof proof;
    AP_AUTO(ap_bytes) text = { 0 };
    enum apiary_code code = ap_store_race(store, RACERS_USUAL, &proof, err);
    if (code != APIARY_OK && code != APIARY_UNSUPPORTED) return code;
    *holds = code == APIARY_OK && proof.winners == 1 && proof.body_is_winners;
    AP_TRY(
        ap_bytes_printf(&text, err, "{\"format\":1,\"conditionalPut\":\"%s\",\"provedUs\":%lld}\n",
            *holds ? "holds" : "fails", (long long)ap_now_us(store->env)));
    (void)!ap_store_put(
        store, verdict_key, ap_bytes_view(&text), NULL); /* else it is proved again */
    return APIARY_OK;
}

enum apiary_code ap_store_prove(struct ap_store *store, struct apiary_error *err)
{
    bool known = false, holds = false;
    if (!store->is_remote || __atomic_load_n(&store->proved, __ATOMIC_RELAXED)) return APIARY_OK;
    if (store->one_writer)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "storage %s was opened for one writer (writers=one): it cannot be shared", store->uri);
    AP_TRY(read_verdict(store, &known, &holds, err));
    if (!known) AP_TRY(prove(store, &holds, err));
    if (!holds) return fail_shared(store, err);
    __atomic_store_n(&store->proved, true, __ATOMIC_RELAXED);
    return APIARY_OK;
}
