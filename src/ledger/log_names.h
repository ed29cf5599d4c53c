/* Names of objects in _delta_log, by their exact shapes (delta.md, section 1). */
#ifndef AP_LEDGER_LOG_NAMES_H
#define AP_LEDGER_LOG_NAMES_H

#include "core/str.h"

enum ap_log_kind {
    AP_LOG_OTHER, /* .crc, compaction, hints, folders, names of no known shape */
    AP_LOG_COMMIT,
    AP_LOG_CHECKPOINT,         /* classic, one file */
    AP_LOG_CHECKPOINT_PART,    /* part of parts */
    AP_LOG_CHECKPOINT_PARQUET, /* named by a uuid (V2) */
    AP_LOG_CHECKPOINT_JSON
};
struct ap_log_name {
    enum ap_log_kind kind;
    uint64_t version;
    uint32_t part, parts; /* CHECKPOINT_PART: 1-based */
};

/* name: what follows "_delta_log/". */
struct ap_log_name ap_log_name_parse(struct ap_str name);

/* A key below the frame's prefix ("" for the root): "prefix/_delta_log/name". */
AP_CHECKED enum apiary_code ap_log_key(
    struct ap_bytes *out, const char *prefix, const char *name, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_log_commit_key(
    struct ap_bytes *out, const char *prefix, uint64_t version, struct apiary_error *err);

#endif
