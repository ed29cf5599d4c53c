#include "swarm/result.h"

#include "core/alloc.h"
#include "core/id.h"
#include "core/json.h"
#include "storage/slot.h"
#include "swarm/envelope.h"

#include <inttypes.h>

enum { HEAD_BYTES_MAX = 1 << 20, SETTLE_S = 60, PUTS_MAX = 8, BROKEN_MAX = 3, BACKOFF_BASE_US = 50000, BACKOFF_CAP_US = 2000000 };
enum { READ_TOGETHER_MAX = 32, READ_TOGETHER_BYTES_MAX = 64 << 20 };
enum { TOGETHER_EACH_LEAST = 64 << 10 }; /* room for what a server says of an error */
#define OBJECT_BYTES_MAX (UINT64_C(80) << 20)
static const char kind[] = "result";

void ap_result_entry_done(struct ap_result_entry *entry)
{
    ap_bytes_done(&entry->bytes);
    ap_free(entry->message);
    ap_free(entry->hint);
    memset(entry, 0, sizeof *entry);
}

void ap_result_entries_free(struct ap_result_entry *entries, size_t count)
{
    for (size_t i = 0; entries != NULL && i < count; i++) ap_result_entry_done(&entries[i]);
    ap_free(entries);
}

/* ---- payloads ---- */

enum apiary_code ap_payload_put(
    const struct ap_swarm *swarm, const char *id, struct ap_str bytes, struct ap_query_key *key, struct apiary_error *err)
{
    char name[AP_ID_TEXT_SIZE + 2] = "p/";
    ap_id_random(swarm->env, name + 2);
    *key = ap_query_key(id, name);
    enum apiary_code code = APIARY_IO;
    for (int put = 0; put < PUTS_MAX && code == APIARY_IO; put++) {
        if (put > 0) ap_backoff(swarm->env, put, BACKOFF_BASE_US, BACKOFF_CAP_US);
        code = swarm->fleeting ? ap_store_put_fleeting(swarm->store, key->text, bytes, err) : ap_store_put(swarm->store, key->text, bytes, err);
    }
    return code;
}

enum apiary_code ap_payload_get(const struct ap_swarm *swarm, const char *id, struct ap_str key, uint64_t size, struct ap_str sha256,
    struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_query_key prefix = ap_query_key(id, "p/"), name;
    enum apiary_code code = APIARY_OK;
    int broken_reads = 0;
    if (!ap_str_starts_with(key, ap_str_from(prefix.text)) || key.size >= sizeof name.text || size > AP_RESULTS_BYTES_MAX)
        return ap_fail(err, APIARY_CORRUPT, "query %s: a payload is outside of the query, or too large", id);
    snprintf(name.text, sizeof name.text, AP_FMT, AP_ARG(key));
    for (int read = 0; read < PUTS_MAX && broken_reads < BROKEN_MAX; read++) {
        if (read > 0) ap_backoff(swarm->env, read, BACKOFF_BASE_US, BACKOFF_CAP_US);
        struct ap_get get = { .key = name.text, .range = AP_RANGE_ALL, .size_max = size + 1 };
        ap_store_get_many(swarm->store, &get, 1);
        code = get.code;
        if (err != NULL) *err = get.error;
        if (code == APIARY_OK && (get.body.size != size || !ap_str_is(sha256, ap_hash_text(ap_bytes_view(&get.body)).text)))
            code = ap_fail(err, APIARY_CORRUPT, "object %s: size or hash is not what the result says", name.text);
        if (code == APIARY_OK) {
            ap_bytes_done(out);
            *out = AP_TAKE(get.body);
        }
        ap_get_done(&get);
        if (code != APIARY_IO && code != APIARY_CORRUPT) break;
        broken_reads += code == APIARY_CORRUPT;
    }
    if (code == APIARY_CORRUPT && broken_reads < BROKEN_MAX) return ap_fail(err, APIARY_IO, "object %s could not be read well", name.text);
    return code;
}

/* ---- writing ---- */

static enum apiary_code write_entry(const struct ap_swarm *swarm, const char *id, const struct ap_result_entry *entry,
    struct ap_bytes *head, struct ap_bytes *bytes, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(head, err, "{\"task\":%zu,\"run_us\":%" PRId64, entry->task, entry->run_us));
    if (entry->code != APIARY_OK) {
        AP_TRY(ap_bytes_printf(head, err, ",\"code\":%d,\"message\":", (int)entry->code));
        AP_TRY(ap_json_quote(head, ap_str_from(entry->message), err));
        AP_TRY(ap_bytes_add_text(head, ",\"hint\":", err));
        AP_TRY(ap_json_quote(head, ap_str_from(entry->hint), err));
        return ap_bytes_add_text(head, "}", err);
    }
    struct ap_str text = ap_bytes_view(&entry->bytes);
    AP_TRY(ap_bytes_printf(head, err, ",\"size\":%zu", text.size));
    if (text.size <= AP_RESULT_INLINE_MAX) {
        AP_TRY(ap_bytes_add_str(bytes, text, err));
        return ap_bytes_add_text(head, "}", err);
    }
    struct ap_query_key payload;
    AP_TRY(ap_payload_put(swarm, id, text, &payload, err));
    return ap_bytes_printf(head, err, ",\"payload\":\"%s\",\"sha256\":\"%s\"}", payload.text, ap_hash_text(text).text);
}

enum apiary_code ap_results_put(const struct ap_swarm *swarm, const char *id, const struct ap_result_entry *entries, size_t count,
    bool *mine, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 }, bytes = { 0 }, object = { 0 };
    size_t tasks[AP_QUERY_BATCH_MAX];
    ap_assert(count > 0 && count <= AP_QUERY_BATCH_MAX);
    AP_TRY(ap_bytes_printf(&body, err, "{\"node\":\"%s\",\"entries\":[", swarm->boot.text));
    for (size_t i = 0; i < count; i++) {
        tasks[i] = entries[i].task;
        if (i > 0) AP_TRY(ap_bytes_add_text(&body, ",", err));
        AP_TRY(write_entry(swarm, id, &entries[i], &body, &bytes, err));
    }
    AP_TRY(ap_bytes_add_text(&body, "]}\n", err));
    AP_TRY(ap_bytes_add_str(&body, ap_bytes_view(&bytes), err));
    struct ap_query_key key = ap_query_key_results(id, tasks, count);
    AP_TRY(ap_envelope_write(swarm->secret, kind, key.text, ap_bytes_view(&body), &object, err));
    struct ap_slot_options options = { .deadline_mono_us = ap_mono_us(swarm->env) + SETTLE_S * INT64_C(1000000), .body_max = OBJECT_BYTES_MAX, .fleeting = swarm->fleeting };
    enum ap_slot_outcome outcome;
    AP_TRY(ap_slot_settle(swarm->store, key.text, ap_bytes_view(&object), &options, &outcome, NULL, err));
    *mine = outcome == AP_SLOT_MINE;
    return APIARY_OK;
}

/* ---- reading ---- */

struct reading {
    const struct ap_swarm *swarm;
    const char *id;
    const struct ap_board *board;
    struct ap_result_entry *entries;
    uint64_t bytes;
};

static enum apiary_code corrupt(const char *key, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "object %s: its entries are not those of its name", key);
}

static enum apiary_code read_error(yyjson_val *item, int64_t code, struct ap_result_entry *out, struct apiary_error *err)
{
    struct ap_str message = AP_STR(""), hint = AP_STR("");
    ap_json_str(item, "message", &message);
    ap_json_str(item, "hint", &hint);
    out->code = (enum apiary_code)code;
    out->message = ap_str_dup(message);
    out->hint = ap_str_dup(hint);
    return out->message != NULL && out->hint != NULL ? APIARY_OK : ap_fail_memory(err, "a result");
}

/* The entry's bytes: *at is where the inline ones of it begin. */
static enum apiary_code read_bytes(struct reading *reading, const char *key, yyjson_val *item, struct ap_str bytes, size_t *at,
    struct ap_result_entry *out, bool wanted, struct apiary_error *err)
{
    struct ap_str payload, sha;
    int64_t size = 0;
    if (!ap_json_i64(item, "size", &size) || size < 0) return corrupt(key, err);
    bool inside = !ap_json_str(item, "payload", &payload);
    if (inside && (uint64_t)size > bytes.size - *at) return corrupt(key, err);
    struct ap_str mine = { bytes.data + *at, (size_t)size };
    if (inside) *at += (size_t)size;
    if (!wanted) return APIARY_OK;
    reading->bytes += (uint64_t)size;
    if (reading->bytes > AP_RESULTS_BYTES_MAX)
        return ap_fail(err, APIARY_LIMIT, "query %s: the partial results take more than %d MiB", reading->id, (int)(AP_RESULTS_BYTES_MAX >> 20));
    if (inside) return ap_bytes_add_str(&out->bytes, mine, err);
    if (!ap_json_str(item, "sha256", &sha)) return corrupt(key, err);
    return ap_payload_get(reading->swarm, reading->id, payload, (uint64_t)size, sha, &out->bytes, err);
}

static enum apiary_code read_entries(
    struct reading *reading, size_t index, yyjson_val *list, struct ap_str bytes, struct apiary_error *err)
{
    const char *key = reading->board->results[index].key;
    struct ap_query_name name;
    size_t i, count, at = 0;
    yyjson_val *item;
    ap_query_name_parse(ap_str_from(key + strlen(ap_query_key(reading->id, NULL).text)), &name);
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) != name.count) return corrupt(key, err);
    yyjson_arr_foreach(list, i, count, item)
    {
        int64_t task = 0, code = 0, run_us = 0;
        if (!ap_json_i64(item, "task", &task) || task != (int64_t)name.tasks[i]) return corrupt(key, err);
        struct ap_result_entry *entry = &reading->entries[task];
        bool wanted = reading->board->tasks[task].result == index;
        ap_json_i64(item, "run_us", &run_us);
        bool failed = ap_json_i64(item, "code", &code);
        if (failed && (code <= 0 || code > INT16_MAX)) return corrupt(key, err);
        if (wanted) entry->run_us = run_us;
        if (failed && wanted) AP_TRY(read_error(item, code, entry, err));
        if (!failed) AP_TRY(read_bytes(reading, key, item, bytes, &at, entry, wanted, err));
    }
    return APIARY_OK;
}

/* One object, which was asked for with others: what did not come well is read again. */
static enum apiary_code read_object(struct reading *reading, size_t index, const struct ap_get *asked, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) again = { 0 };
    AP_AUTO_JSON *doc = NULL;
    const struct ap_swarm *swarm = reading->swarm;
    const char *key = asked->key;
    struct ap_str body;
    bool good = asked->code == APIARY_OK && ap_envelope_read(swarm->secret, kind, key, ap_bytes_view(&asked->body), &body, NULL) == APIARY_OK;
    if (!good) AP_TRY(ap_envelope_get(swarm->store, swarm->secret, kind, key, OBJECT_BYTES_MAX, &again, &body, err));
    const char *end = body.size > 0 ? memchr(body.data, '\n', body.size < HEAD_BYTES_MAX ? body.size : HEAD_BYTES_MAX) : NULL;
    if (end == NULL) return corrupt(key, err);
    struct ap_str head = { body.data, (size_t)(end - body.data) }, bytes = { end + 1, body.size - head.size - 1 };
    AP_TRY(ap_json_parse(head, key, &doc, err));
    return read_entries(reading, index, ap_json_member(yyjson_doc_get_root(doc), "entries"), bytes, err);
}

/* How many objects from `first` on are asked for together: at least one. */
static size_t read_together(const struct ap_board *board, size_t first)
{
    size_t count = 0;
    uint64_t left = READ_TOGETHER_BYTES_MAX;
    while (count < READ_TOGETHER_MAX && first + count < board->result_count) {
        uint64_t size = board->results[first + count].size_bytes;
        if (size > left) break;
        left -= size;
        count++;
    }
    return count > 0 ? count : 1;
}

/* Who merges has to be quick: when it takes long, others begin to merge too. */
static enum apiary_code read_some(struct reading *reading, size_t first, size_t count, struct apiary_error *err)
{
    AP_AUTO_FREE struct ap_get *gets = ap_calloc(count, sizeof *gets);
    enum apiary_code code = APIARY_OK;
    if (gets == NULL) return ap_fail_memory(err, "a query's results");
    for (size_t i = 0; i < count; i++) {
        /* What is larger than it was listed does not come with others: read_object reads it alone. */
        const struct ap_board_result *result = &reading->board->results[first + i];
        uint64_t size_max = result->size_bytes < OBJECT_BYTES_MAX ? result->size_bytes : OBJECT_BYTES_MAX;
        if (size_max < TOGETHER_EACH_LEAST) size_max = TOGETHER_EACH_LEAST;
        gets[i] = (struct ap_get) { .key = result->key, .range = AP_RANGE_ALL, .size_max = size_max };
    }
    ap_store_get_many(reading->swarm->store, gets, count);
    for (size_t i = 0; i < count; i++) {
        if (code == APIARY_OK) code = read_object(reading, first + i, &gets[i], err);
        ap_get_done(&gets[i]);
    }
    return code;
}

enum apiary_code ap_results_read(const struct ap_swarm *swarm, const char *id, const struct ap_board *board,
    struct ap_result_entry **entries, struct apiary_error *err)
{
    struct reading reading = { .swarm = swarm, .id = id, .board = board };
    ap_assert(board->done_count == board->task_count);
    reading.entries = ap_calloc(board->task_count, sizeof *reading.entries);
    if (reading.entries == NULL) return ap_fail_memory(err, "a query's results");
    for (size_t i = 0; i < board->task_count; i++) reading.entries[i].task = i;
    enum apiary_code code = APIARY_OK;
    for (size_t first = 0, count = 0; first < board->result_count && code == APIARY_OK; first += count) {
        count = read_together(board, first);
        code = read_some(&reading, first, count, err);
    }
    if (code != APIARY_OK) {
        ap_result_entries_free(reading.entries, board->task_count);
        return code;
    }
    *entries = reading.entries;
    return APIARY_OK;
}
