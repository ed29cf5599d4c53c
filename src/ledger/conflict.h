/* Does a commit that won conflict with ours (delta.md 5.3)? */
#ifndef AP_LEDGER_CONFLICT_H
#define AP_LEDGER_CONFLICT_H

#include "ledger/ledger.h"

/* body: of the winner's slot. CONFLICT names the winner; EXISTS: it carries our txn_app_id. */
AP_CHECKED enum apiary_code ap_conflict_check(
    const struct ap_commit *commit, uint64_t version, struct ap_str body, struct apiary_error *err);

/* Cells written for the commit's base still fit a table whose metadata is `now`. */
bool ap_commit_still_fits(const struct ap_commit *commit, const struct ap_metadata *now);

#endif
