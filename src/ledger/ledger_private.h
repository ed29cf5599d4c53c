/* What an open frame holds (ledger.h). For this folder. */
#ifndef AP_LEDGER_LEDGER_PRIVATE_H
#define AP_LEDGER_LEDGER_PRIVATE_H

#include "ledger/fold.h"
#include "ledger/ledger.h"
#include "ledger/log_read.h"

/* Locks, in the order in which they are taken:
 *   committing  one commit of this process at a time; held through its store calls
 *   working     the fold; held through the store calls of a refresh
 *   glance      the fields that ap_ledger_cached reads; never held through a call */
struct ap_ledger {
    struct ap_env *env;
    struct ap_store *store;
    char *prefix;
    char *name;
    struct ap_engine_port engine;
    bool has_engine;
    struct ap_log *log;
    uint64_t checkpoint_interval;
    struct ap_log_place place;

    struct ap_lock *committing;
    struct ap_lock *working;
    struct { /* under working */
        struct ap_fold fold;
        bool folded; /* fold is that of `newest` */
    } work;
    struct ap_lock *glance;
    struct {                        /* under glance */
        struct ap_snapshot *newest; /* NULL: nothing is known */
        int64_t confirmed_us; /* monotonic: when the look began that proved newest to be the head */
    } seen;
};

/* How long a proof that a version is the head may be used (swarm.md, section 1). */
#define AP_HEAD_TRUSTED_US (INT64_C(3600) * 1000 * 1000)
#define AP_HEAD_CONFIRM_US (INT64_C(600) * 1000 * 1000)

/* The newest snapshot, referenced for the caller, or NULL; and when it was confirmed. */
struct ap_snapshot *ap_ledger_peek(struct ap_ledger *ledger, int64_t *confirmed_us);
/* Reads what came since, by the freshness rule. */
AP_CHECKED enum apiary_code ap_ledger_refresh(
    struct ap_ledger *ledger, struct ap_snapshot **out, struct apiary_error *err);
/* Applies the body of `version` when it is the next one; what is known already is left alone, and
 * a gap is closed by a refresh. confirmed_us: -1 leaves the time of the last proof. */
AP_CHECKED enum apiary_code ap_ledger_advance(struct ap_ledger *ledger, uint64_t version,
    struct ap_str body, int64_t confirmed_us, struct ap_snapshot **out, struct apiary_error *err);
/* Forgets everything: the next look reads the log anew. */
void ap_ledger_forget(struct ap_ledger *ledger);
/* The state of a version without touching what is cached. */
AP_CHECKED enum apiary_code ap_ledger_read_version(
    struct ap_ledger *ledger, uint64_t version, struct ap_snapshot **out, struct apiary_error *err);
/* time_travel.c: the version that was newest at `time_ms`. newest: the newest there is. */
AP_CHECKED enum apiary_code ap_ledger_version_at(struct ap_ledger *ledger,
    const struct ap_snapshot *newest, int64_t time_ms, uint64_t *version, struct apiary_error *err);
/* deletion_vector.c: the key of a vector that lies below the table (storage "u"). */
AP_CHECKED enum apiary_code ap_deletion_vector_key(const struct ap_ledger *ledger,
    struct ap_str place, struct ap_bytes *out, struct apiary_error *err);
/* vacuum.c: delta.deletedFileRetentionDuration, or its default. UNSUPPORTED: it is no length. */
#define AP_RETENTION_DEFAULT_US (INT64_C(7) * 24 * 3600 * 1000 * 1000)
AP_CHECKED enum apiary_code ap_retention_us(
    const struct ap_snapshot *snapshot, int64_t *us, struct apiary_error *err);
/* checkpoint_read.c: folds a checkpoint. */
AP_CHECKED enum apiary_code ap_checkpoint_read(struct ap_ledger *ledger,
    const struct ap_log_segment *segment, struct ap_fold *fold, struct apiary_error *err);
/* checkpoint_write.c: writes one when the table's interval says so; never fails, logs. */
void ap_checkpoint_after_commit(
    struct ap_ledger *ledger, struct ap_snapshot *snapshot, uint64_t version);

#endif
