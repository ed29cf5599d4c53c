/* Actions: the lines of a commit and the rows of a checkpoint (delta.md, section 2). */
#ifndef AP_LEDGER_ACTION_H
#define AP_LEDGER_ACTION_H

#include "ledger/snapshot.h"

/* Limits of what is accepted from a bucket. */
enum { AP_ACTION_PARTITIONS_MAX = 1000, AP_PROPERTIES_MAX = 10000, AP_FEATURES_MAX = 200 };

enum ap_action_kind {
    AP_ACTION_UNKNOWN, /* ignored, as the protocol asks */
    AP_ACTION_PROTOCOL,
    AP_ACTION_METADATA,
    AP_ACTION_ADD,
    AP_ACTION_REMOVE,
    AP_ACTION_CDC,
    AP_ACTION_TXN,
    AP_ACTION_DOMAIN,
    AP_ACTION_COMMIT_INFO,
    AP_ACTION_SIDECAR,
    AP_ACTION_CHECKPOINT_METADATA
};

/* A file action, add or remove. Text is borrowed from whatever was parsed. */
struct ap_file_action {
    struct ap_str path;
    const struct ap_property *partition; /* value.data NULL = null */
    size_t partition_count;
    bool has_partition;              /* a remove may leave it out */
    int64_t size_bytes, modified_ms; /* -1 unknown */
    int64_t deleted_ms;              /* remove: deletionTimestamp, 0 when absent */
    bool data_change;
    struct ap_str stats, tags; /* "" absent */
    struct ap_deletion_vector deletion_vector;
    int64_t base_row_id, default_row_commit_version; /* -1 */
};

struct ap_protocol_action {
    int min_reader, min_writer;
    yyjson_val *reader_features, *writer_features; /* lists of text, or NULL */
};

struct ap_metadata_action {
    struct ap_str id, name, description, schema_json;
    yyjson_val *partition_columns; /* list of text */
    yyjson_val *configuration;     /* object of text, or NULL */
    int64_t created_ms;
};

struct ap_commit_info {
    int64_t timestamp_ms, in_commit_timestamp_ms, read_version; /* -1 absent */
    bool blind_append;
    struct ap_str operation, engine, txn_id; /* "" absent */
    yyjson_val *parameters, *metrics;        /* or NULL */
};

struct ap_action {
    enum ap_action_kind kind;
    union {
        struct ap_protocol_action protocol;
        struct ap_metadata_action metadata;
        struct ap_file_action file; /* add, remove, cdc */
        struct ap_txn txn;
        struct {
            struct ap_domain domain;
            bool removed;
        } domain;
        struct ap_commit_info info;
        struct {
            struct ap_str path;
            int64_t size_bytes;
        } sidecar;
    };
};

/* Reads actions one after the other. One reader is used by one thread. */
struct ap_action_reader {
    yyjson_doc *doc; /* of the action given last */
    struct ap_property *partition;
    size_t partition_capacity;
    struct ap_bytes tags;
};
void ap_action_reader_done(struct ap_action_reader *reader);

/* Parses one line. What `out` points to lives until the next call and as long as `line`.
 * codes: CORRUPT with what is wrong (not where: the caller knows the key), LIMIT */
AP_CHECKED enum apiary_code ap_action_parse(struct ap_action_reader *reader, struct ap_str line,
    struct ap_action *out, struct apiary_error *err);
/* The same from a value that is an action ({"add":{…}}) in a document of the caller's. */
AP_CHECKED enum apiary_code ap_action_from_json(struct ap_action_reader *reader, yyjson_val *json,
    struct ap_action *out, struct apiary_error *err);

/* Known storage, sizes there. CORRUPT. */
AP_CHECKED enum apiary_code ap_deletion_vector_check(
    const struct ap_deletion_vector *vector, struct apiary_error *err);

/* The kind from the first key alone, without parsing: UNKNOWN when that does not tell. */
enum ap_action_kind ap_action_peek(struct ap_str line);

/* Steps through the lines of a commit: the next line that is not blank, or false. */
bool ap_commit_next_line(struct ap_str *rest, struct ap_str *line);

/* ---- writing (action_write.c): one line with its '\n' is appended to out ---- */

AP_CHECKED enum apiary_code ap_action_write_protocol(
    struct ap_bytes *out, const struct ap_protocol *protocol, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_action_write_metadata(
    struct ap_bytes *out, const struct ap_metadata *metadata, struct apiary_error *err);
/* names: the keys of partition_values (physical names), name_count of them.
 * checkpoint: without stats when they are empty, dataChange false. */
AP_CHECKED enum apiary_code ap_action_write_add(struct ap_bytes *out, const struct ap_cell *cell,
    const struct ap_str *names, size_t name_count, bool data_change, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_action_write_remove(struct ap_bytes *out, const struct ap_cell *cell,
    const struct ap_str *names, size_t name_count, int64_t deleted_ms, bool data_change,
    struct apiary_error *err);
AP_CHECKED enum apiary_code ap_action_write_tombstone(
    struct ap_bytes *out, const struct ap_tombstone *tombstone, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_action_write_txn(
    struct ap_bytes *out, const struct ap_txn *txn, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_action_write_domain(
    struct ap_bytes *out, const struct ap_domain *domain, struct apiary_error *err);

#endif
