#include "swarm/garbage.h"

#include "core/alloc.h"
#include "swarm/finish.h"

enum { OBJECTS_MAX = 4 * AP_QUERY_TASKS_MAX, BATCH = 500 };

/* Deletes the objects of one step, in batches. */
static enum apiary_code delete_step(
    const struct ap_swarm *swarm, const struct ap_list *list, size_t prefix, bool (*of_step)(enum ap_query_part part), struct apiary_error *err)
{
    const char *keys[BATCH];
    size_t count = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct ap_query_name name;
        ap_query_name_parse(ap_str_from(list->objects[i].key + prefix), &name);
        if (of_step(name.part)) keys[count++] = list->objects[i].key;
        if (count < BATCH && i + 1 < list->count) continue;
        if (count > 0) AP_TRY(ap_store_delete_many(swarm->store, keys, count, err));
        count = 0;
    }
    return APIARY_OK;
}

static bool is_work(enum ap_query_part part)
{
    return part != AP_PART_MANIFEST && part != AP_PART_OUT && part != AP_PART_END;
}
static bool is_manifest(enum ap_query_part part)
{
    return part == AP_PART_MANIFEST;
}
static bool is_out(enum ap_query_part part)
{
    return part == AP_PART_OUT;
}
static bool is_end(enum ap_query_part part)
{
    return part == AP_PART_END;
}

static enum apiary_code collect(const struct ap_swarm *swarm, const char *id, struct apiary_error *err)
{
    AP_AUTO(ap_list) list = { 0 };
    struct ap_query_key prefix = ap_query_key(id, NULL);
    struct ap_list_request request = { .prefix = prefix.text, .limit = OBJECTS_MAX };
    size_t length = strlen(prefix.text);
    AP_TRY(ap_finish_unannounce(swarm, id, err));
    AP_TRY(ap_store_list(swarm->store, &request, &list, err));
    AP_TRY(delete_step(swarm, &list, length, is_work, err));
    AP_TRY(delete_step(swarm, &list, length, is_manifest, err));
    AP_TRY(delete_step(swarm, &list, length, is_out, err));
    AP_TRY(delete_step(swarm, &list, length, is_end, err));
    ap_log_event(swarm->log, AP_LOG_INFO, "swarm", "query_collected", "query=%s objects=%zu", id, list.count);
    return APIARY_OK;
}

/* A query that nobody decided: its deadline is in the manifest. */
static enum apiary_code decide(const struct ap_swarm *swarm, const char *id, int64_t now_us, struct apiary_error *err)
{
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_AUTO(ap_end) winner = { 0 };
    AP_AUTO(ap_end) end = { 0 };
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_manifest_get(swarm->store, swarm->secret, id, &manifest, &why);
    if (code == APIARY_OK) {
        if (now_us < manifest.deadline_us + AP_GARBAGE_LOST_US) return APIARY_OK;
        return ap_finish_late(swarm, &manifest, &winner, err);
    }
    if (code != APIARY_CORRUPT) return APIARY_OK; /* another version's, or not to be had now */
    if (now_us < ap_query_id_time(id) + AP_MANIFEST_LIFE_US) return APIARY_OK;
    AP_TRY(ap_end_failure(&end, AP_END_FAILED, &why, err));
    return ap_end_put(swarm, id, &end, &winner, err);
}

static enum apiary_code consider(const struct ap_swarm *swarm, const char *id, struct apiary_error *err)
{
    AP_AUTO(ap_board) board = { 0 };
    AP_TRY(ap_board_look(swarm->store, id, 0, &board, err));
    if (!board.ended && board.manifest) return decide(swarm, id, board.now_us, err);
    if (!board.manifest) { /* what came late to a query that was collected, or was never announced */
        if (board.now_us - board.newest_us < AP_GARBAGE_LOST_US) return APIARY_OK;
        return collect(swarm, id, err);
    }
    int64_t since_us = board.out ? board.out_us : board.ended_us;
    if (board.now_us - since_us < AP_GARBAGE_ENDED_US) return APIARY_OK;
    if (!board.out) {
        AP_AUTO(ap_end) end = { 0 };
        AP_TRY(ap_end_get(swarm, id, &end, err));
        if (end.decision == AP_END_COMMIT) {
            /* A commit whose outcome nobody wrote down is settled while that is allowed. Later it stays:
             * its outcome can be told from the frame's log alone, and so can what it meant to add. */
            AP_AUTO(ap_manifest) manifest = { 0 };
            AP_AUTO(ap_outcome) outcome = { 0 };
            AP_TRY(ap_manifest_get(swarm->store, swarm->secret, id, &manifest, err));
            return ap_roll_forward(swarm, &manifest, &end, board.now_us, &outcome, err);
        }
    }
    return collect(swarm, id, err);
}

void ap_garbage_collect(const struct ap_swarm *swarm)
{
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = AP_QUERIES, .delimited = true };
    if (ap_store_list(swarm->store, &request, &list, NULL) != APIARY_OK) return;
    for (size_t i = 0; i < list.prefixes.count; i++) {
        struct ap_str name = ap_str_from(list.prefixes.items[i] + sizeof AP_QUERIES - 1);
        struct ap_query_id id = { 0 };
        if (name.size == 0 || !ap_query_id_valid((struct ap_str) { name.data, name.size - 1 })) continue;
        memcpy(id.text, name.data, name.size - 1);
        if (list.now_us - ap_query_id_time(id.text) < AP_GARBAGE_ENDED_US) continue;
        struct apiary_error error = { 0 };
        char why[256];
        if (consider(swarm, id.text, &error) != APIARY_OK)
            ap_log_event(swarm->log, AP_LOG_WARNING, "swarm", "garbage_left", "query=%s error=%s", id.text,
                ap_log_text(why, sizeof why, ap_str_from(error.message)));
    }
}
