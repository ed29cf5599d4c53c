/* Reading and settling the slots of the registry.
 *
 * Reading. A 404 on slot v+1 proves that v is the newest only while nobody can have removed slots:
 * they go after 30 days and 100 versions at the earliest, and v+1 is trusted for an hour after v
 * was last confirmed (boot-time clock). Later, and at first, a LIST decides, which starts behind
 * the `latest` hint to be short. The hint is overwritten now and then; whatever it says, a slot
 * that was read decides.
 *
 * Writing. Invariants
 *  (1) A slot is written once: ap_slot_settle.
 *  (2) What is put has been parsed by the same code that reads it: nothing unreadable is written.
 *  (3) A change is checked against the very state that its slot follows ("base").
 *  (4) After a slot is ours nothing turns success into failure: hint and removal are best effort.
 * A process that slept between confirming the head and putting the next slot could re-create a slot
 * that was removed meanwhile (swarm.md, section 0.5): see is_ghost. */
#include "catalog/registry_slot.h"

#include "core/alloc.h"
#include "core/json.h"
#include "storage/slot.h"

#include <inttypes.h>
#include <stdio.h>

enum { SLOT_DIGITS = 20, READ_TRIES_MAX = 6, COMMITS_MAX = 64, STEPS_MAX = 8, LIST_MAX = 5000 };
enum {
    HINT_EVERY = 8,
    HINT_BYTES_MAX = 256,
    REMOVE_EVERY = 32,
    REMOVE_MAX = 500,
    KEEP_VERSIONS = 100
};
#define TRUST_US (INT64_C(3600) * 1000000)
#define KEEP_US (INT64_C(30) * 86400 * 1000000)
#define SETTLE_US (INT64_C(120) * 1000000)
#define BACKOFF_BASE_US INT64_C(10000)
#define BACKOFF_CAP_US INT64_C(1000000)
#define VERSION_MAX (INT64_MAX - 1)

/* ---- life ---- */

void ap_chain_init(struct ap_chain *chain, struct ap_env *env, struct ap_store *store,
    struct ap_log *log, struct ap_lock *lock, const char *hive_id)
{
    memset(chain, 0, sizeof *chain);
    chain->env = env;
    chain->store = store;
    chain->log = log;
    chain->lock = lock;
    chain->kind = hive_id ? AP_REGISTRY_HIVE : AP_REGISTRY_HIVES;
    snprintf(chain->id, sizeof chain->id, "%s", hive_id ? hive_id : "");
    snprintf(chain->prefix, sizeof chain->prefix, "_registry/%s", hive_id ? chain->id : "hives");
}

void ap_chain_done(struct ap_chain *chain)
{
    ap_registry_drop(chain->shared.head);
    chain->shared.head = NULL;
}

struct ap_registry *ap_chain_head(struct ap_chain *chain)
{
    ap_lock(chain->env, chain->lock);
    struct ap_registry *head = ap_registry_keep(chain->shared.head);
    ap_unlock(chain->env, chain->lock);
    return head;
}

/* A state that was read or written (taken over), or NULL; and when it was seen to be the newest
 * (INT64_MIN: it was not). An older one than what is known changes nothing. */
static void install(struct ap_chain *chain, struct ap_registry *state, int64_t confirmed_us)
{
    struct ap_registry *old = state;
    ap_lock(chain->env, chain->lock);
    struct ap_registry *head = chain->shared.head;
    if (state && (!head || state->version > head->version)) {
        old = head;
        chain->shared.head = state;
        chain->shared.confirmed_us = confirmed_us;
    } else if ((!state || state->version == head->version) &&
               confirmed_us > chain->shared.confirmed_us) {
        chain->shared.confirmed_us = confirmed_us;
    }
    ap_unlock(chain->env, chain->lock);
    ap_registry_drop(old);
}

static int64_t confirmed_at(struct ap_chain *chain)
{
    ap_lock(chain->env, chain->lock);
    int64_t at = chain->shared.head ? chain->shared.confirmed_us : INT64_MIN;
    ap_unlock(chain->env, chain->lock);
    return at;
}

static bool is_trusted(struct ap_chain *chain, int64_t now_us)
{
    int64_t at = confirmed_at(chain);
    return at != INT64_MIN && now_us - at < TRUST_US;
}

/* ---- keys ---- */

static void slot_key(const struct ap_chain *chain, int64_t version, char out[AP_CHAIN_KEY_MAX])
{
    snprintf(out, AP_CHAIN_KEY_MAX, "%s/%0*" PRId64 ".json", chain->prefix, SLOT_DIGITS, version);
}

/* The version of a slot's key, or -1: other objects may lie there. */
static int64_t slot_version(const struct ap_chain *chain, const char *key)
{
    int64_t version = -1;
    char again[AP_CHAIN_KEY_MAX];
    size_t skip = strlen(chain->prefix) + 1;
    if (strlen(key) < skip + SLOT_DIGITS) return -1;
    if (!ap_str_to_i64((struct ap_str) { key + skip, SLOT_DIGITS }, &version) || version < 0)
        return -1;
    slot_key(chain, version, again);
    return strcmp(key, again) == 0 && version <= VERSION_MAX ? version : -1;
}

/* ---- reading ---- */

static bool is_passing(enum apiary_code code)
{
    return code == APIARY_IO || code == APIARY_CORRUPT || code == APIARY_UNCERTAIN ||
           code == APIARY_TIMEOUT;
}

/* Asks again while the store fails in passing; the first try may have been made already. */
static void get_patiently(struct ap_chain *chain, struct ap_get *get, bool asked)
{
    for (int attempt = 0; attempt < READ_TRIES_MAX; attempt++) {
        if (!asked) ap_store_get_many(chain->store, get, 1);
        asked = false;
        if (!is_passing(get->code)) return;
        if (attempt + 1 < READ_TRIES_MAX)
            ap_backoff(chain->env, attempt, BACKOFF_BASE_US, BACKOFF_CAP_US);
    }
}

static enum apiary_code list_patiently(struct ap_chain *chain,
    const struct ap_list_request *request, struct ap_list *out, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    for (int attempt = 0; attempt < READ_TRIES_MAX; attempt++) {
        if (attempt > 0) ap_backoff(chain->env, attempt - 1, BACKOFF_BASE_US, BACKOFF_CAP_US);
        code = ap_store_list(chain->store, request, out, err);
        if (!is_passing(code)) return code;
    }
    return code;
}

static enum apiary_code get_failed(const struct ap_get *get, struct apiary_error *err)
{
    if (err) *err = get->error;
    if (get->code == APIARY_LIMIT)
        return ap_fail(err, APIARY_CORRUPT, "registry slot %s is larger than %d bytes", get->key,
            AP_REGISTRY_BYTES_MAX);
    return ap_context(err, get->code, "cannot read the registry");
}

static void question_make(
    struct ap_catalog_look *question, struct ap_chain *chain, int64_t version)
{
    memset(question, 0, sizeof *question);
    question->chain = chain;
    question->version = version;
    question->asked_us = ap_mono_us(chain->env);
    slot_key(chain, version, question->key);
    question->get = (struct ap_get) {
        .key = question->key, .range = AP_RANGE_ALL, .size_max = AP_REGISTRY_BYTES_MAX
    };
}

/* Takes the answer in: a newer state is installed and *found says so; 404 confirms the head. listed_us:
 * when the LIST began that had this slot as the newest, else -1: what was found may have successors,
 * and trust begins where that of the state before did. */
static enum apiary_code question_settle(struct ap_catalog_look *question, struct ap_chain *chain,
    bool asked, int64_t listed_us, bool *found, struct apiary_error *err)
{
    struct ap_registry *state = NULL;
    get_patiently(chain, &question->get, asked);
    enum apiary_code code = question->get.code;
    *found = code == APIARY_OK;
    if (code == APIARY_NOT_FOUND) {
        install(chain, NULL, question->asked_us);
        code = APIARY_OK;
    } else if (code != APIARY_OK) {
        code = get_failed(&question->get, err);
    } else {
        code = ap_registry_parse(ap_bytes_view(&question->get.body), question->key, chain->kind,
            question->version, &state, err);
        if (code == APIARY_OK)
            install(chain, state, listed_us >= 0 ? listed_us : confirmed_at(chain));
    }
    ap_get_done(&question->get);
    return code;
}

/* What the hint says, or -1. Nothing depends on its being right. */
static int64_t read_hint(struct ap_chain *chain)
{
    char key[AP_CHAIN_KEY_MAX];
    int64_t version = -1;
    AP_AUTO_JSON *doc = NULL;
    snprintf(key, sizeof key, "%s/latest", chain->prefix);
    struct ap_get get = { .key = key, .range = AP_RANGE_ALL, .size_max = HINT_BYTES_MAX };
    ap_store_get_many(chain->store, &get, 1);
    bool read = get.code == APIARY_OK &&
                ap_json_parse(ap_bytes_view(&get.body), key, &doc, NULL) == APIARY_OK;
    if (!read || !ap_json_i64(yyjson_doc_get_root(doc), "version", &version) ||
        version > VERSION_MAX)
        version = -1;
    ap_get_done(&get);
    return version < 0 ? -1 : version;
}

/* The greatest version behind `after` (-1: of all) that a LIST shows; `after` when there is none.
 */
static enum apiary_code list_newest(
    struct ap_chain *chain, int64_t after, int64_t *newest, struct apiary_error *err)
{
    char prefix[AP_CHAIN_PREFIX_MAX + 1], start[AP_CHAIN_KEY_MAX] = "";
    *newest = after;
    snprintf(prefix, sizeof prefix, "%s/", chain->prefix);
    if (after >= 0) slot_key(chain, after, start);
    for (bool more = true; more;) {
        AP_AUTO(ap_list) list = { 0 };
        const struct ap_list_request request = {
            .prefix = prefix, .start_after = start, .limit = LIST_MAX
        };
        AP_TRY(list_patiently(chain, &request, &list, err));
        for (size_t i = 0; i < list.count; i++) {
            int64_t version = slot_version(chain, list.objects[i].key);
            if (version > *newest) *newest = version;
        }
        more = list.more && list.count > 0;
        if (more) snprintf(start, sizeof start, "%s", list.objects[list.count - 1].key);
    }
    return APIARY_OK;
}

/* The first look, or one after a long time: by LIST. */
static enum apiary_code look_by_list(struct ap_chain *chain, struct apiary_error *err)
{
    struct ap_catalog_look question;
    AP_AUTO_REGISTRY *head = ap_chain_head(chain);
    int64_t known = head ? head->version : -1;
    int64_t after = head ? known : read_hint(chain), newest = -1;
    int64_t asked_us = ap_mono_us(chain->env);
    bool found = false;
    AP_TRY(list_newest(chain, after, &newest, err));
    if (newest >= 0 && newest > known) {
        question_make(&question, chain, newest);
        AP_TRY(question_settle(&question, chain, false, asked_us, &found, err));
        if (found) return APIARY_OK;
        /* The hint named a slot that is not there. */
        AP_TRY(list_newest(chain, -1, &newest, err));
        if (newest >= 0) {
            question_make(&question, chain, newest);
            AP_TRY(question_settle(&question, chain, false, asked_us, &found, err));
            if (found) return APIARY_OK;
            return ap_fail(
                err, APIARY_IO, "registry slot %s was listed and is not there", question.key);
        }
    }
    if (head) {
        install(chain, NULL, asked_us);
        return APIARY_OK;
    }
    struct ap_registry *initial = NULL;
    AP_TRY(ap_registry_initial(chain->kind, chain->id, &initial, err));
    install(chain, initial, asked_us);
    return APIARY_OK;
}

/* Walks on from the head until a 404; a chain that is far ahead is caught up with by LIST, since
 * each slot is the whole state. */
static enum apiary_code walk(struct ap_chain *chain, struct apiary_error *err)
{
    for (int step = 0; step < STEPS_MAX; step++) {
        struct ap_catalog_look question;
        bool found = false;
        AP_AUTO_REGISTRY *head = ap_chain_head(chain);
        question_make(&question, chain, head->version + 1);
        AP_TRY(question_settle(&question, chain, false, -1, &found, err));
        if (!found) return APIARY_OK;
    }
    return look_by_list(chain, err);
}

bool ap_chain_fresh(struct ap_chain *chain, int64_t since_us)
{
    return confirmed_at(chain) > since_us;
}

bool ap_chain_trusted(struct ap_chain *chain)
{
    return is_trusted(chain, ap_mono_us(chain->env));
}

void ap_chain_look_begin(struct ap_chain *chain, struct ap_catalog_look *look)
{
    AP_AUTO_REGISTRY *head = ap_chain_head(chain);
    question_make(look, chain, head->version + 1);
    look->get.code = APIARY_IO; /* until it was sent */
}

void ap_chain_look_end(struct ap_chain *chain, struct ap_catalog_look *look)
{
    bool found = false;
    bool answered = look->get.code == APIARY_OK || look->get.code == APIARY_NOT_FOUND;
    if (!answered || question_settle(look, chain, true, -1, &found, NULL) != APIARY_OK)
        ap_get_done(&look->get); /* the refresh that follows tells why */
}

enum { TOGETHER_MAX = 2 };

enum apiary_code ap_chain_refresh(
    struct ap_chain *const *chains, size_t count, int64_t since_us, struct apiary_error *err)
{
    struct ap_catalog_look questions[TOGETHER_MAX];
    struct ap_get gets[TOGETHER_MAX];
    bool asked[TOGETHER_MAX] = { false }, fresh[TOGETHER_MAX] = { false };
    size_t together = 0;
    ap_assert(count <= TOGETHER_MAX);
    for (size_t i = 0; i < count; i++) {
        fresh[i] = ap_chain_fresh(chains[i], since_us);
        if (fresh[i] || !ap_chain_trusted(chains[i])) continue;
        ap_chain_look_begin(chains[i], &questions[i]);
        asked[i] = true;
        gets[together++] = questions[i].get;
    }
    if (together) ap_store_get_many(chains[0]->store, gets, together);
    for (size_t i = 0, at = 0; i < count; i++)
        if (asked[i]) questions[i].get = gets[at++];
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; i < count; i++) {
        bool found = false;
        if (code != APIARY_OK) {
            if (asked[i]) ap_get_done(&questions[i].get);
        } else if (asked[i]) {
            code = question_settle(&questions[i], chains[i], true, -1, &found, err);
            if (code == APIARY_OK && found) code = walk(chains[i], err);
        } else if (!fresh[i]) {
            code = look_by_list(chains[i], err);
        }
    }
    return code;
}

/* ---- writing ---- */

static void write_hint(struct ap_chain *chain, int64_t version)
{
    char key[AP_CHAIN_KEY_MAX], body[64];
    snprintf(key, sizeof key, "%s/latest", chain->prefix);
    int size = snprintf(body, sizeof body, "{\"version\":%" PRId64 "}\n", version);
    struct apiary_error why = { 0 };
    if (ap_store_put(chain->store, key, (struct ap_str) { body, (size_t)size }, &why) != APIARY_OK)
        ap_log_event(chain->log, AP_LOG_INFO, "catalog", "hint", "key=%s code=%s", key,
            ap_code_name(why.code));
}

/* Deletes slots older than 30 days and more than 100 versions behind `version`, some at a time. */
static void remove_old(struct ap_chain *chain, int64_t version)
{
    char prefix[AP_CHAIN_PREFIX_MAX + 1];
    AP_AUTO(ap_list) list = { 0 };
    const char *keys[REMOVE_MAX];
    size_t count = 0;
    struct apiary_error why = { 0 };
    if (version < KEEP_VERSIONS) return;
    snprintf(prefix, sizeof prefix, "%s/", chain->prefix);
    const struct ap_list_request request = { .prefix = prefix, .limit = REMOVE_MAX };
    enum apiary_code code = ap_store_list(chain->store, &request, &list, &why);
    for (size_t i = 0; code == APIARY_OK && i < list.count; i++) {
        int64_t old = slot_version(chain, list.objects[i].key);
        if (old < 0 || old > version - KEEP_VERSIONS) continue;
        if (list.objects[i].modified_us >= list.now_us - KEEP_US) continue;
        keys[count++] = list.objects[i].key;
    }
    if (count) code = ap_store_delete_many(chain->store, keys, count, &why);
    if (count || code != APIARY_OK)
        ap_log_event(chain->log, AP_LOG_INFO, "catalog", "remove", "prefix=%s slots=%zu code=%s",
            chain->prefix, count, ap_code_name(code));
}

static void after_commit(struct ap_chain *chain, int64_t version)
{
    if (version % HINT_EVERY == 0 && version > 0) write_hint(chain, version);
    if (version % REMOVE_EVERY == 0) remove_old(chain, version);
}

/* Slot `state` is ours, but the head was confirmed more than an hour before: others may have gone
 * on, and removed the slots between. A newer slot that does not build on ours proves it; ours is
 * then taken away again, and the change is made anew. */
static enum apiary_code is_ghost(
    struct ap_chain *chain, const struct ap_registry *state, bool *ghost, struct apiary_error *err)
{
    int64_t newest = -1;
    char key[AP_CHAIN_KEY_MAX];
    *ghost = false;
    AP_TRY(list_newest(chain, state->version, &newest, err));
    if (newest == state->version) return APIARY_OK;
    slot_key(chain, state->version + 1, key);
    struct ap_get get = { .key = key, .range = AP_RANGE_ALL, .size_max = AP_REGISTRY_BYTES_MAX };
    get_patiently(chain, &get, false);
    struct ap_registry *next = NULL;
    enum apiary_code code = get.code;
    if (code == APIARY_OK)
        code = ap_registry_parse(
            ap_bytes_view(&get.body), key, chain->kind, state->version + 1, &next, err);
    else if (code != APIARY_NOT_FOUND)
        code = get_failed(&get, err);
    if (code == APIARY_NOT_FOUND || code == APIARY_OK)
        *ghost = !next || strcmp(next->base, state->txn) != 0;
    ap_registry_drop(next);
    ap_get_done(&get);
    if (!*ghost) return code;
    slot_key(chain, state->version, key);
    return ap_store_delete(chain->store, key, err);
}

/* The state that `copy` is to be, as bytes and as they will be read. */
static enum apiary_code make_slot(struct ap_chain *chain, struct ap_registry *copy,
    const struct ap_registry *base, const char *txn, struct ap_bytes *body,
    struct ap_registry **state, struct apiary_error *err)
{
    char key[AP_CHAIN_KEY_MAX];
    copy->base = ap_registry_text(copy, base->txn);
    copy->txn = ap_registry_text(copy, txn);
    if (!copy->base || !copy->txn) return ap_fail_memory(err, "the registry");
    if (base->version >= VERSION_MAX)
        return ap_fail(err, APIARY_LIMIT, "%s has no version left", chain->prefix);
    AP_TRY(ap_registry_write(copy, body, err));
    slot_key(chain, base->version + 1, key);
    enum apiary_code code =
        ap_registry_parse(ap_bytes_view(body), key, chain->kind, base->version + 1, state, err);
    if (code == APIARY_CORRUPT) return ap_context(err, APIARY_INTERNAL, "refused to write");
    return code;
}

/* One attempt. *done: ours, or nothing to do. */
static enum apiary_code commit_once(struct ap_chain *chain, ap_chain_alter *alter, void *context,
    const char *txn, bool *done, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_bytes) theirs = { 0 };
    AP_AUTO_REGISTRY *copy = NULL, *state = NULL, *winner = NULL;
    char key[AP_CHAIN_KEY_MAX];
    bool changed = false, ghost = false;
    enum ap_slot_outcome outcome;
    struct ap_chain *one[] = { chain };

    AP_TRY(ap_chain_refresh(one, 1, INT64_MAX, err));
    AP_AUTO_REGISTRY *base = ap_chain_head(chain);
    AP_TRY(ap_registry_dup(base, &copy, err));
    AP_TRY(alter(copy, context, &changed, err));
    *done = !changed;
    if (!changed) return APIARY_OK;
    AP_TRY(make_slot(chain, copy, base, txn, &body, &state, err));

    slot_key(chain, state->version, key);
    int64_t confirmed_us = confirmed_at(chain), put_us = ap_mono_us(chain->env);
    struct ap_slot_options options = { .deadline_mono_us = put_us + SETTLE_US,
        .body_max = AP_REGISTRY_BYTES_MAX };
    enum apiary_code code =
        ap_slot_settle(chain->store, key, ap_bytes_view(&body), &options, &outcome, &theirs, err);
    if (code != APIARY_OK) return ap_context(err, code, "registry, transaction %s", txn);
    if (outcome == AP_SLOT_THEIRS) {
        AP_TRY(ap_registry_parse(
            ap_bytes_view(&theirs), key, chain->kind, state->version, &winner, err));
        /* It was written after the head was confirmed, so trust begins where the head's did. */
        install(chain, AP_TAKE(winner), confirmed_us);
        return APIARY_OK;
    }
    if (ap_mono_us(chain->env) - confirmed_us > TRUST_US) {
        code = is_ghost(chain, state, &ghost, err);
        if (code != APIARY_OK)
            return ap_fail(err, APIARY_UNCERTAIN,
                "registry, transaction %s: written after a long pause, and it "
                "cannot be seen whether others went on meanwhile",
                txn);
        if (ghost) return APIARY_OK;
    }
    int64_t version = state->version;
    install(chain, AP_TAKE(state), put_us);
    after_commit(chain, version);
    *done = true;
    return APIARY_OK;
}

enum apiary_code ap_chain_commit(
    struct ap_chain *chain, ap_chain_alter *alter, void *context, struct apiary_error *err)
{
    char txn[AP_ID_TEXT_SIZE];
    ap_id_random(chain->env, txn);
    for (int attempt = 0; attempt < COMMITS_MAX; attempt++) {
        bool done = false;
        if (attempt > 0) ap_backoff(chain->env, attempt - 1, BACKOFF_BASE_US, BACKOFF_CAP_US);
        AP_TRY(commit_once(chain, alter, context, txn, &done, err));
        if (!done) continue;
        if (attempt > 2)
            ap_log_event(chain->log, AP_LOG_INFO, "catalog", "commit", "prefix=%s attempts=%d",
                chain->prefix, attempt + 1);
        return APIARY_OK;
    }
    return ap_fail(err, APIARY_CONFLICT, "lost %d races for the registry in a row", COMMITS_MAX);
}
