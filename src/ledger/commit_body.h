/* The bytes of a commit: what goes into a slot. */
#ifndef AP_LEDGER_COMMIT_BODY_H
#define AP_LEDGER_COMMIT_BODY_H

#include "core/id.h"
#include "ledger/ledger.h"

struct ap_commit_stamp {
    char txn_id[AP_UUID_TEXT_SIZE]; /* the same at every attempt */
    int64_t now_ms;
    int64_t in_commit_ms; /* -1: the table has none */
};

/* base: what the transaction was made from; NULL when it creates the table. Appends to out.
 * codes: SCHEMA, UNSUPPORTED (a property asks for a feature), INVALID */
AP_CHECKED enum apiary_code ap_commit_body(const struct ap_commit *commit,
    const struct ap_snapshot *base, const struct ap_commit_stamp *stamp, struct ap_env *env,
    struct ap_bytes *out, struct apiary_error *err);

/* Only adds, nothing read, nothing else changed. */
bool ap_commit_is_blind(const struct ap_commit *commit);

#endif
