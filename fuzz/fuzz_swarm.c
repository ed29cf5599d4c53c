/* Objects of a query, from whoever may write to the bucket: the first byte says which, the rest is the
 * body, wrapped so that size and hash are right. A manifest that is read is written and read again. */
#include "swarm/claim.h"
#include "swarm/decide.h"
#include "swarm/envelope.h"
#include "swarm/result.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ID "01a0c450f929-653ce7eb12b4aef7a288"
enum { TASKS = 3 };

static void put(struct ap_store *store, const char *kind, const char *key, struct ap_str body)
{
    AP_AUTO(ap_bytes) text = { 0 };
    ap_assert(ap_envelope_write((struct ap_str) { 0 }, kind, key, body, &text, NULL) == APIARY_OK);
    ap_assert(ap_store_put(store, key, ap_bytes_view(&text), NULL) == APIARY_OK);
}

static void check_error(enum apiary_code code, const struct apiary_error *err)
{
    ap_assert(code == APIARY_OK || (err->message[0] && !strchr(err->message, '\n')));
}

static void read_manifest(struct ap_str body)
{
    AP_AUTO(ap_bytes) text = { 0 }, again = { 0 };
    AP_AUTO(ap_manifest) manifest = { 0 };
    AP_AUTO(ap_manifest) back = { 0 };
    struct apiary_error err = { 0 };
    ap_assert(ap_envelope_write((struct ap_str) { 0 }, "manifest", AP_QUERIES ID "/1manifest", body, &text, NULL) == APIARY_OK);
    enum apiary_code code = ap_manifest_read(ID, (struct ap_str) { 0 }, ap_bytes_view(&text), &manifest, &err);
    check_error(code, &err);
    if (code != APIARY_OK) return;
    ap_assert(ap_manifest_write(&manifest, (struct ap_str) { 0 }, &again, &err) == APIARY_OK);
    ap_assert(ap_manifest_read(ID, (struct ap_str) { 0 }, ap_bytes_view(&again), &back, &err) == APIARY_OK);
    ap_assert(back.task_count == manifest.task_count && ap_str_equal(back.plan, manifest.plan));
}

static void read_results(const struct ap_swarm *swarm, struct ap_str body)
{
    size_t tasks[TASKS] = { 0, 1, 2 };
    AP_AUTO(ap_board) board = { 0 };
    struct ap_result_entry *entries = NULL;
    struct apiary_error err = { 0 };
    put(swarm->store, "result", ap_query_key_results(ID, tasks, TASKS).text, body);
    ap_assert(ap_board_look(swarm->store, ID, TASKS, &board, NULL) == APIARY_OK && board.done_count == TASKS);
    enum apiary_code code = ap_results_read(swarm, ID, &board, &entries, &err);
    check_error(code, &err);
    if (code == APIARY_OK) ap_result_entries_free(entries, TASKS);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct ap_store *store;
    struct apiary_error err = { 0 };
    if (store == NULL) ap_assert(ap_store_open(ap_env_system(), "memory://", NULL, &store, NULL) == APIARY_OK);
    if (size == 0) return 0;
    struct ap_swarm swarm = { .env = ap_env_system(), .store = store };
    struct ap_str body = { (const char *)data + 1, size - 1 };
    struct ap_query_name name;
    ap_query_name_parse(body, &name);
    ap_assert(name.count <= AP_QUERY_BATCH_MAX);
    switch (data[0]) {
        case 'm': read_manifest(body); break;
        case 'r': read_results(&swarm, body); break;
        case 'e': {
            AP_AUTO(ap_end) end = { 0 };
            put(store, "end", AP_QUERIES ID "/0end", body);
            check_error(ap_end_get(&swarm, ID, &end, &err), &err);
            break;
        }
        case 'o': {
            AP_AUTO(ap_outcome) outcome = { 0 };
            put(store, "out", AP_QUERIES ID "/0out", body);
            check_error(ap_outcome_get(&swarm, ID, &outcome, &err), &err);
            break;
        }
        case 'c': {
            struct ap_claim claim;
            put(store, "claim", AP_QUERIES ID "/c/00001.2", body);
            check_error(ap_claim_get(&swarm, ID, 1, 2, &claim, &err), &err);
            break;
        }
        case 'f': {
            struct ap_failure failure;
            put(store, "failure", AP_QUERIES ID "/f/00001.0", body);
            check_error(ap_failure_get(&swarm, ID, 1, 0, &failure, &err), &err);
            break;
        }
        default: {
            struct ap_str whole;
            check_error(ap_envelope_read((struct ap_str) { 0 }, "end", AP_QUERIES ID "/0end", body, &whole, &err), &err);
        }
    }
    return 0;
}
