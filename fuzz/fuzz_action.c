/* Commit bytes: folded as version 1 behind a small table, then judged as a winner. What folds must
 * publish, and what was published must survive being written as a checkpoint's actions. */
#include "core/alloc.h"
#include "ledger/action.h"
#include "ledger/conflict.h"
#include "ledger/fold.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char first[] = "{\"protocol\":{\"minReaderVersion\":1,\"minWriterVersion\":2}}\n"
                            "{\"metaData\":{\"id\":\"i\",\"format\":{\"provider\":\"parquet\"},"
                            "\"schemaString\":\"{\\\"type\\\":\\\"struct\\\",\\\"fields\\\":["
                            "{\\\"name\\\":\\\"p\\\",\\\"type\\\":\\\"string\\\",\\\"nullable\\\":"
                            "true,\\\"metadata\\\":{}},{\\\"name\\\":\\\"a\\\",\\\"type\\\":"
                            "\\\"long\\\",\\\"nullable\\\":true,\\\"metadata\\\":{}}]}\","
                            "\"partitionColumns\":[\"p\"],\"configuration\":{}}}\n"
                            "{\"add\":{\"path\":\"p=x/"
                            "a\",\"partitionValues\":{\"p\":\"x\"},\"size\":1,\"modificationTime\":"
                            "1,\"dataChange\":true}}\n";

static void write_all(const struct ap_snapshot *snapshot)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) out = { 0 };
    ap_assert(ap_action_write_metadata(&out, &snapshot->metadata, &err) == APIARY_OK);
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        AP_AUTO(ap_bytes) key = { 0 };
        bool absolute;
        ap_assert(snapshot->cells[i].path.size > 0);
        ap_assert(ap_action_write_add(&out, &snapshot->cells[i], snapshot->partition_names,
                      snapshot->metadata.partition_count, true, &err) == APIARY_OK);
        if (ap_cell_key(&snapshot->cells[i], &key, &absolute, &err) == APIARY_OK && !absolute)
            ap_assert(!strstr(ap_bytes_text(&key), "..//") && key.size > 0);
    }
    for (size_t i = 0; i < snapshot->tombstone_count; i++)
        ap_assert(ap_action_write_tombstone(&out, &snapshot->tombstones[i], &err) == APIARY_OK);
    /* every line of ours is an action that we read */
    struct ap_action_reader reader = { 0 };
    struct ap_str rest = ap_bytes_view(&out), line;
    while (ap_commit_next_line(&rest, &line)) {
        struct ap_action action;
        ap_assert(ap_action_parse(&reader, line, &action, &err) == APIARY_OK);
        ap_assert(action.kind != AP_ACTION_UNKNOWN);
    }
    ap_action_reader_done(&reader);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err;
    struct ap_fold fold;
    struct ap_snapshot *base = NULL, *next = NULL;
    struct ap_str body = { (const char *)data, size };
    ap_assert(ap_fold_init(&fold, &err) == APIARY_OK);
    ap_assert(ap_fold_commit(&fold, 0, ap_str_from(first), "0", 1, &err) == APIARY_OK);
    ap_assert(ap_fold_publish(&fold, &base, &err) == APIARY_OK);
    if (ap_fold_commit(&fold, 1, body, "1", 1, &err) == APIARY_OK &&
        ap_fold_publish(&fold, &next, &err) == APIARY_OK)
        write_all(next);
    ap_assert(base->cell_count == 1 && ap_str_is(base->cells[0].path, "p=x/a"));

    const struct ap_cell *removes[1] = { &base->cells[0] };
    struct ap_commit commit = { .base = base,
        .removes = removes,
        .remove_count = 1,
        .data_change = true,
        .scope = AP_READ_ALL };
    struct ap_commit blind = { .base = base, .data_change = true, .txn_app_id = "a" };
    enum apiary_code code = ap_conflict_check(&commit, 1, body, &err);
    if (code == APIARY_OK) code = ap_conflict_check(&blind, 1, body, &err);
    (void)code;
    ap_snapshot_unref(next);
    ap_snapshot_unref(base);
    ap_fold_done(&fold);
    return 0;
}
