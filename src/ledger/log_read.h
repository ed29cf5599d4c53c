/* Reading _delta_log: what is there, and the commits themselves (delta.md, section 3). */
#ifndef AP_LEDGER_LOG_READ_H
#define AP_LEDGER_LOG_READ_H

#include "ledger/log_names.h"
#include "ledger/snapshot.h"

/* One table's log in a store. Borrowed by everything here. */
struct ap_log_place {
    struct ap_store *store;
    const char *prefix; /* the frame's folder, "" for the root, no '/' at its end */
};

struct ap_log_commit {
    uint64_t version;
    uint64_t size;
    int64_t modified_us;
};

enum ap_checkpoint_kind { AP_CHECKPOINT_NONE, AP_CHECKPOINT_PARQUET, AP_CHECKPOINT_JSON };

/* What to read for one version: a checkpoint, if any, and the commits after it. */
struct ap_log_segment {
    enum ap_checkpoint_kind kind;
    uint64_t checkpoint_version;   /* AP_VERSION_NONE without */
    int64_t checkpoint_us;         /* when it was written */
    struct ap_texts checkpoint;    /* keys, parts in order */
    struct ap_log_commit *commits; /* ascending, contiguous */
    size_t commit_count, commit_capacity;
    uint64_t version; /* that it makes */
    int64_t now_us;   /* the store's clock at the listing */
};
void ap_log_segment_done(struct ap_log_segment *segment);

/* Lists the log and picks what makes version `wanted` (AP_VERSION_NONE: the newest).
 * hint: version of a checkpoint that is said to be there, or 0: where the listing starts.
 * use_checkpoints false: the log from version 0, if it is all there; else as with true.
 * Holes are looked at again a few times: a local folder is not listed at one moment.
 * codes: NOT_FOUND no table, or no such version; CORRUPT a hole, or no start; IO */
AP_CHECKED enum apiary_code ap_log_find(const struct ap_log_place *place, uint64_t hint,
    uint64_t wanted, bool use_checkpoints, struct ap_log_segment *out, struct apiary_error *err);

/* Commits that are listed, whatever checkpoints there are: versions greater than `after`
 * (AP_VERSION_NONE: all), ascending, perhaps with holes. now_us may be NULL. */
AP_CHECKED enum apiary_code ap_log_list_commits(const struct ap_log_place *place, uint64_t after,
    struct ap_log_commit **commits, size_t *count, struct apiary_error *err);

/* Gets commits in parallel, in batches of bounded memory, and hands them over in order.
 * code NOT_FOUND: one was not there any more; visits before it have happened. */
struct ap_log_visit {
    enum apiary_code (*commit)(void *context, uint64_t version, struct ap_str body, const char *key,
        const struct ap_object *object, struct apiary_error *err);
    void *context;
};
/* The request for one commit, by its key (which must outlive it). */
struct ap_get ap_log_commit_get(const struct ap_bytes *key);
AP_CHECKED enum apiary_code ap_log_get_commits(const struct ap_log_place *place,
    const struct ap_log_commit *commits, size_t count, struct ap_log_visit visit,
    struct apiary_error *err);

/* The version that _last_checkpoint names, or 0 when it names none (absent, garbage). */
AP_CHECKED enum apiary_code ap_log_hint_read(
    const struct ap_log_place *place, uint64_t *version, struct apiary_error *err);

#endif
