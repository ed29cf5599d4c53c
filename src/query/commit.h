/* From written cells to a ledger version, the same for every statement that writes. */
#ifndef AP_QUERY_COMMIT_H
#define AP_QUERY_COMMIT_H

#include "query/cellwriter.h"

struct ap_write_commit {
    const char *operation; /* "WRITE", "CREATE TABLE AS SELECT", … */
    bool replace_all;      /* every cell of the base goes */
    const struct ap_cell *const *removes;
    size_t remove_count;
    bool reads_target;                /* the rows came (partly) from the frame itself */
    bool by_position;                 /* as ledger.h has it */
    const struct ap_table_spec *spec; /* a changed schema or properties; else NULL */
    const char *txn;                  /* once for good under this id (EXISTS: it was); else NULL */
    int64_t expires_mono_us;          /* 0: as the cells' age says */
};
/* Commits `written` to the target; on failure (but UNCERTAIN) the cells are deleted again, if
 * written->keys names them. A frame
 * that is being made (target->base NULL) is created with them. No chamber may be held. */
AP_CHECKED enum apiary_code ap_commit_written(struct ap_session *session, struct ap_target *target,
    struct ap_written *written, const struct ap_write_commit *how, uint64_t *version,
    struct apiary_error *err);

/* What apiary_write and apiary_import answer. */
#define AP_VERSION_UNKNOWN UINT64_MAX /* another node committed, and did not say where */
AP_CHECKED enum apiary_code ap_write_json(struct ap_session *session,
    const struct ap_written *written, uint64_t version, int64_t started_us, bool created,
    struct ap_bytes *json, struct apiary_error *err);

#endif
