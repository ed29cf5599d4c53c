#include "ledger/log_read.h"

#include "core/alloc.h"
#include "core/json.h"

#include <inttypes.h>
#include <stdio.h>

enum {
    LISTINGS_MAX = 4,
    LISTING_PAUSE_US = 50 * 1000,
    BATCH_COUNT_MAX = 256,
    HINT_BYTES_MAX = 8 << 20
};
/* A commit of unknown size counts as much as this towards a batch. */
#define COMMIT_BYTES_GUESS (UINT64_C(64) << 10)
#define BATCH_BYTES_MAX (UINT64_C(16) << 20)
#define COMMIT_BYTES_MAX (UINT64_C(2) << 30)

void ap_log_segment_done(struct ap_log_segment *segment)
{
    ap_texts_done(&segment->checkpoint);
    ap_free(segment->commits);
    *segment = (struct ap_log_segment) { .checkpoint_version = AP_VERSION_NONE };
}

/* One listing of _delta_log from `from` on. */
static enum apiary_code list_log(
    const struct ap_log_place *place, uint64_t from, struct ap_list *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) prefix = { 0 };
    AP_AUTO(ap_bytes) start = { 0 };
    char name[32];
    /* The bare number sorts before the commit and the checkpoints of its version. */
    snprintf(name, sizeof name, "%020" PRIu64, from);
    AP_TRY(ap_log_key(&prefix, place->prefix, "", err));
    AP_TRY(ap_log_key(&start, place->prefix, name, err));
    struct ap_list_request request = { .prefix = ap_bytes_text(&prefix),
        .delimited = true,
        .start_after = from ? ap_bytes_text(&start) : NULL };
    return ap_store_list(place->store, &request, out, err);
}

static struct ap_log_name name_of(const struct ap_log_place *place, const struct ap_object *object)
{
    struct ap_str key = ap_str_from(object->key);
    size_t folder = strlen(place->prefix) + (*place->prefix ? 1 : 0) + sizeof "_delta_log/" - 1;
    if (key.size < folder) return (struct ap_log_name) { .kind = AP_LOG_OTHER };
    return ap_log_name_parse((struct ap_str) { key.data + folder, key.size - folder });
}

/* A checkpoint that is all there, while the listing is walked. */
struct candidate {
    enum ap_checkpoint_kind kind;
    uint64_t version;
    size_t first, parts; /* objects of the listing: consecutive for parts */
};

/* Keys of the parts of one multi-part checkpoint stand together ("…checkpoint.o.p" sorts by o, so
 * parts of different p may be mixed): count those of the same version and p. */
static bool all_parts(const struct ap_log_place *place, const struct ap_list *list, size_t at,
    struct ap_log_name name)
{
    uint32_t seen = 0;
    for (size_t i = at; i < list->count; i++) {
        struct ap_log_name other = name_of(place, &list->objects[i]);
        if (other.kind != AP_LOG_OTHER && other.version != name.version) break;
        if (other.kind == AP_LOG_CHECKPOINT_PART && other.parts == name.parts &&
            other.part == seen + 1)
            seen++;
    }
    return seen == name.parts;
}

static struct candidate newest_checkpoint(
    const struct ap_log_place *place, const struct ap_list *list, uint64_t wanted)
{
    struct candidate best = { .kind = AP_CHECKPOINT_NONE };
    for (size_t i = 0; i < list->count; i++) {
        struct ap_log_name name = name_of(place, &list->objects[i]);
        if (name.kind == AP_LOG_OTHER || name.kind == AP_LOG_COMMIT || name.version > wanted)
            continue;
        if (best.kind != AP_CHECKPOINT_NONE && name.version < best.version) continue;
        struct candidate found = { AP_CHECKPOINT_PARQUET, name.version, i, 1 };
        if (name.kind == AP_LOG_CHECKPOINT_JSON) found.kind = AP_CHECKPOINT_JSON;
        if (name.kind == AP_LOG_CHECKPOINT_PART) {
            if (name.part != 1 || !all_parts(place, list, i, name)) continue;
            found.parts = name.parts;
        }
        /* Of several at one version any will do; one file is the cheapest to read. */
        if (best.kind != AP_CHECKPOINT_NONE && best.version == name.version && best.parts == 1)
            continue;
        best = found;
    }
    return best;
}

static enum apiary_code take_checkpoint(const struct ap_log_place *place,
    const struct ap_list *list, struct candidate best, struct ap_log_segment *out,
    struct apiary_error *err)
{
    struct ap_log_name first = name_of(place, &list->objects[best.first]);
    for (size_t i = best.first; i < list->count && out->checkpoint.count < best.parts; i++) {
        struct ap_log_name name = name_of(place, &list->objects[i]);
        if (name.kind != first.kind || name.version != first.version || name.parts != first.parts)
            continue;
        AP_TRY(ap_texts_add(&out->checkpoint, ap_str_from(list->objects[i].key), err));
    }
    out->kind = best.kind;
    out->checkpoint_version = best.version;
    out->checkpoint_us = list->objects[best.first].modified_us;
    return APIARY_OK;
}

static enum apiary_code take_commits(const struct ap_log_place *place, const struct ap_list *list,
    uint64_t after, uint64_t wanted, struct ap_log_segment *out, struct apiary_error *err)
{
    for (size_t i = 0; i < list->count; i++) {
        struct ap_log_name name = name_of(place, &list->objects[i]);
        if (name.kind != AP_LOG_COMMIT || name.version > wanted) continue;
        if (after != AP_VERSION_NONE && name.version <= after) continue;
        AP_TRY(AP_GROW(out->commits, out->commit_capacity, out->commit_count + 1, err));
        out->commits[out->commit_count++] = (struct ap_log_commit) { name.version,
            list->objects[i].size, list->objects[i].modified_us };
    }
    return APIARY_OK;
}

/* The first version that is missing in the segment, or AP_VERSION_NONE. */
static uint64_t first_hole(const struct ap_log_segment *segment)
{
    uint64_t next =
        segment->checkpoint_version == AP_VERSION_NONE ? 0 : segment->checkpoint_version + 1;
    for (size_t i = 0; i < segment->commit_count; i++, next++)
        if (segment->commits[i].version != next) return next;
    return AP_VERSION_NONE;
}

enum found { FOUND, HOLE, LATER, NOTHING }; /* LATER: versions after the wanted one */

static bool has_versions(const struct ap_log_place *place, const struct ap_list *list)
{
    for (size_t i = 0; i < list->count; i++)
        if (name_of(place, &list->objects[i]).kind != AP_LOG_OTHER) return true;
    return false;
}

/* One look at the log. */
static enum apiary_code look(const struct ap_log_place *place, uint64_t from, uint64_t wanted,
    bool use_checkpoints, struct ap_log_segment *out, enum found *found, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    ap_log_segment_done(out);
    AP_TRY(list_log(place, from, &list, err));
    out->now_us = list.now_us;
    struct candidate best = newest_checkpoint(place, &list, wanted);
    if (!use_checkpoints) {
        AP_TRY(take_commits(place, &list, AP_VERSION_NONE, wanted, out, err));
        if (out->commit_count && first_hole(out) == AP_VERSION_NONE) best.kind = AP_CHECKPOINT_NONE;
        out->commit_count = 0;
    }
    if (best.kind != AP_CHECKPOINT_NONE) AP_TRY(take_checkpoint(place, &list, best, out, err));
    AP_TRY(take_commits(place, &list, out->checkpoint_version, wanted, out, err));
    bool nothing = best.kind == AP_CHECKPOINT_NONE && out->commit_count == 0;
    *found = first_hole(out) != AP_VERSION_NONE ? HOLE : FOUND;
    if (nothing)
        *found = wanted != AP_VERSION_NONE && has_versions(place, &list) ? LATER : NOTHING;
    out->version =
        out->commit_count ? out->commits[out->commit_count - 1].version : out->checkpoint_version;
    return APIARY_OK;
}

/* An older version: what it is made of went when the log was cleaned. */
static enum apiary_code fail_cleaned(uint64_t wanted, struct apiary_error *err)
{
    return ap_fail(err, APIARY_NOT_FOUND,
        "version %" PRIu64 " cannot be read any more: the log before it was cleaned away", wanted);
}

static enum apiary_code fail_hole(const struct ap_log_place *place,
    const struct ap_log_segment *segment, uint64_t wanted, struct apiary_error *err)
{
    uint64_t hole = first_hole(segment);
    if (hole == 0 && wanted != AP_VERSION_NONE) return fail_cleaned(wanted, err);
    if (hole == 0)
        return ap_fail(err, APIARY_CORRUPT,
            "%s%s_delta_log: the log begins at version %" PRIu64 " without a checkpoint",
            place->prefix, *place->prefix ? "/" : "", segment->commits[0].version);
    return ap_fail(err, APIARY_CORRUPT, "%s%s_delta_log: version %" PRIu64 " is missing",
        place->prefix, *place->prefix ? "/" : "", hole);
}

enum apiary_code ap_log_find(const struct ap_log_place *place, uint64_t hint, uint64_t wanted,
    bool use_checkpoints, struct ap_log_segment *out, struct apiary_error *err)
{
    struct ap_log_segment segment = { .checkpoint_version = AP_VERSION_NONE };
    enum apiary_code code = APIARY_OK;
    enum found found = NOTHING;
    uint64_t from = use_checkpoints ? hint : 0;
    for (int attempt = 0; attempt < LISTINGS_MAX; attempt++) {
        code = look(place, from, wanted, use_checkpoints, &segment, &found, err);
        if (code != APIARY_OK || found == FOUND) break;
        /* A hint may be stale, or name a checkpoint that is not all there: from the beginning then.
         */
        bool from_hint = from != 0;
        from = 0;
        if (from_hint) continue;
        if (found != HOLE) break;
        ap_sleep_us(place->store->env, (int64_t)LISTING_PAUSE_US << attempt);
    }
    if (code == APIARY_OK && found == HOLE) code = fail_hole(place, &segment, wanted, err);
    if (code == APIARY_OK && found == LATER) code = fail_cleaned(wanted, err);
    if (code == APIARY_OK && found == NOTHING)
        code = ap_fail(err, APIARY_NOT_FOUND, "there is no table in %s%s",
            *place->prefix ? "folder " : "the root", place->prefix);
    if (code == APIARY_OK && wanted != AP_VERSION_NONE && segment.version != wanted)
        code = ap_fail(err, APIARY_NOT_FOUND,
            "there is no version %" PRIu64 "; the newest is %" PRIu64, wanted, segment.version);
    if (code != APIARY_OK) {
        ap_log_segment_done(&segment);
        return code;
    }
    ap_log_segment_done(out);
    *out = segment;
    return APIARY_OK;
}

enum apiary_code ap_log_list_commits(const struct ap_log_place *place, uint64_t after,
    struct ap_log_commit **commits, size_t *count, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    AP_TRY(list_log(place, after == AP_VERSION_NONE ? 0 : after, &list, err));
    struct ap_log_segment found = { 0 };
    enum apiary_code code = take_commits(place, &list, after, AP_VERSION_NONE, &found, err);
    if (code != APIARY_OK) {
        ap_free(found.commits);
        return code;
    }
    *commits = found.commits;
    *count = found.commit_count;
    return APIARY_OK;
}

/* How many of the commits fit one batch: at least one. */
static size_t batch_size(const struct ap_log_commit *commits, size_t count)
{
    uint64_t bytes = 0;
    size_t n = 0;
    while (n < count && n < BATCH_COUNT_MAX) {
        bytes += commits[n].size ? commits[n].size : COMMIT_BYTES_GUESS;
        if (n && bytes > BATCH_BYTES_MAX) break;
        n++;
    }
    return n;
}

struct ap_get ap_log_commit_get(const struct ap_bytes *key)
{
    return (struct ap_get) {
        .key = ap_bytes_text(key), .range = AP_RANGE_ALL, .size_max = COMMIT_BYTES_MAX
    };
}

static enum apiary_code visit_batch(const struct ap_log_place *place,
    const struct ap_log_commit *commits, size_t count, struct ap_get *gets, struct ap_bytes *keys,
    struct ap_log_visit visit, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) {
        ap_bytes_clear(&keys[i]);
        AP_TRY(ap_log_commit_key(&keys[i], place->prefix, commits[i].version, err));
        gets[i] = ap_log_commit_get(&keys[i]);
    }
    ap_store_get_many(place->store, gets, count);
    enum apiary_code code = APIARY_OK;
    for (size_t i = 0; i < count; i++) {
        if (code == APIARY_OK && gets[i].code != APIARY_OK) {
            code = gets[i].code;
            if (err) *err = gets[i].error;
        }
        if (code == APIARY_OK)
            code = visit.commit(visit.context, commits[i].version, ap_bytes_view(&gets[i].body),
                gets[i].key, &gets[i].object, err);
        ap_get_done(&gets[i]);
    }
    return code;
}

enum apiary_code ap_log_get_commits(const struct ap_log_place *place,
    const struct ap_log_commit *commits, size_t count, struct ap_log_visit visit,
    struct apiary_error *err)
{
    size_t most = count < BATCH_COUNT_MAX ? count : BATCH_COUNT_MAX;
    if (most == 0) return APIARY_OK;
    struct ap_get *gets = ap_calloc(most, sizeof *gets);
    struct ap_bytes *keys = ap_calloc(most, sizeof *keys);
    enum apiary_code code = gets && keys ? APIARY_OK : ap_fail_memory(err, "a batch of commits");
    while (code == APIARY_OK && count) {
        size_t n = batch_size(commits, count);
        code = visit_batch(place, commits, n, gets, keys, visit, err);
        commits += n;
        count -= n;
    }
    for (size_t i = 0; keys && i < most; i++) ap_bytes_done(&keys[i]);
    ap_free(keys);
    ap_free(gets);
    return code;
}

enum apiary_code ap_log_hint_read(
    const struct ap_log_place *place, uint64_t *version, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) key = { 0 };
    *version = 0;
    AP_TRY(ap_log_key(&key, place->prefix, "_last_checkpoint", err));
    struct ap_get get = {
        .key = ap_bytes_text(&key), .range = AP_RANGE_ALL, .size_max = HINT_BYTES_MAX
    };
    ap_store_get_many(place->store, &get, 1);
    enum apiary_code code = get.code;
    if (code != APIARY_OK && code != APIARY_NOT_FOUND && code != APIARY_LIMIT && err)
        *err = get.error;
    int64_t number;
    AP_AUTO_JSON *doc = NULL;
    if (code == APIARY_OK &&
        ap_json_parse(ap_bytes_view(&get.body), "_last_checkpoint", &doc, NULL) == APIARY_OK &&
        ap_json_i64(yyjson_doc_get_root(doc), "version", &number) && number > 0)
        *version = (uint64_t)number;
    ap_get_done(&get);
    /* It is only a hint: absent, too large or garbage means none. */
    return code == APIARY_NOT_FOUND || code == APIARY_LIMIT ? APIARY_OK : code;
}
