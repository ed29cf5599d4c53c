#include "swarm/finish.h"

#include "core/alloc.h"
#include "core/json.h"
#include "swarm/result.h"

/* Codes of a merge after which another try, here or elsewhere, may do better. */
static bool passing(enum apiary_code code)
{
    return code == APIARY_IO || code == APIARY_UNCERTAIN || code == APIARY_BUSY || code == APIARY_CANCELLED || code == APIARY_NOT_FOUND;
}

/* The entry that ends the query: an error, a real one before an abandoned task. */
static const struct ap_result_entry *first_error(const struct ap_result_entry *entries, size_t count)
{
    const struct ap_result_entry *found = NULL;
    for (size_t i = 0; i < count; i++) {
        if (entries[i].code == APIARY_OK) continue;
        if (entries[i].code != APIARY_ABANDONED) return &entries[i];
        if (found == NULL) found = &entries[i];
    }
    return found;
}

static enum apiary_code end_by_entry(const struct ap_result_entry *entry, struct ap_end *end, struct apiary_error *err)
{
    struct apiary_error why = { 0 };
    ap_fail(&why, entry->code, "%s", entry->message);
    if (entry->hint[0] != '\0') ap_hint(&why, "%s", entry->hint);
    return ap_end_failure(end, entry->code == APIARY_ABANDONED ? AP_END_ABANDONED : AP_END_FAILED, &why, err);
}

static enum apiary_code merge(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_result_entry *entries,
    const struct ap_cancel *cancel, struct ap_end *end, struct apiary_error *err)
{
    AP_AUTO_FREE struct ap_partial *partials = ap_calloc(manifest->task_count, sizeof *partials);
    struct apiary_error why = { 0 };
    if (partials == NULL) return ap_fail_memory(err, "a query's results");
    for (size_t i = 0; i < manifest->task_count; i++) partials[i] = (struct ap_partial) { i, ap_bytes_view(&entries[i].bytes) };
    *end = (struct ap_end) { .decision = manifest->writes ? AP_END_COMMIT : AP_END_DONE };
    enum apiary_code code = swarm->port.merge(swarm->port.context, manifest, partials, manifest->task_count, cancel, &end->again, &end->content, &why);
    if (code == APIARY_OK) return APIARY_OK;
    ap_end_done(end);
    if (passing(code)) {
        if (err != NULL) *err = why;
        return code;
    }
    return ap_end_failure(end, AP_END_FAILED, &why, err);
}

enum apiary_code ap_finish_done(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_board *board,
    const struct ap_cancel *cancel, struct ap_end *winner, struct apiary_error *err)
{
    AP_AUTO(ap_end) end = { 0 };
    struct ap_result_entry *entries = NULL;
    struct apiary_error why = { 0 };
    enum apiary_code code = ap_results_read(swarm, manifest->id.text, board, &entries, &why);
    if (code == APIARY_CORRUPT || code == APIARY_LIMIT || code == APIARY_UNSUPPORTED) {
        /* What lies there stays as it is: nobody will read it better. */
        AP_TRY(ap_end_failure(&end, AP_END_FAILED, &why, err));
    } else if (code != APIARY_OK) {
        if (err != NULL) *err = why;
        return code;
    } else {
        const struct ap_result_entry *bad = first_error(entries, board->task_count);
        code = bad != NULL ? end_by_entry(bad, &end, err) : merge(swarm, manifest, entries, cancel, &end, err);
        ap_result_entries_free(entries, board->task_count);
        AP_TRY(code);
    }
    return ap_end_put(swarm, manifest->id.text, &end, winner, err);
}

enum apiary_code ap_finish_late(
    const struct ap_swarm *swarm, const struct ap_manifest *manifest, struct ap_end *winner, struct apiary_error *err)
{
    AP_AUTO(ap_end) end = { 0 };
    struct apiary_error why = { 0 };
    ap_fail(&why, APIARY_TIMEOUT, "query %s was not done by its deadline", manifest->id.text);
    ap_hint(&why, "are nodes alive? apiary nodes shows them; a longer deadline gives them more time");
    AP_TRY(ap_end_failure(&end, AP_END_FAILED, &why, err));
    return ap_end_put(swarm, manifest->id.text, &end, winner, err);
}

enum apiary_code ap_finish_ended(const struct ap_swarm *swarm, const char *id, bool *ended, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) first = { 0 };
    struct ap_query_key key = ap_query_key(id, "0end");
    enum apiary_code code = ap_store_get(swarm->store, key.text, (struct ap_range) { 0, 1, false }, &first, NULL, err);
    if (code != APIARY_OK && code != APIARY_NOT_FOUND) return code;
    *ended = code == APIARY_OK;
    return APIARY_OK;
}

enum apiary_code ap_finish_unannounce(const struct ap_swarm *swarm, const char *id, struct apiary_error *err)
{
    struct ap_query_key key = ap_query_key_announcement(id);
    return swarm->fleeting ? ap_store_delete_fleeting(swarm->store, key.text, err) : ap_store_delete(swarm->store, key.text, err);
}
