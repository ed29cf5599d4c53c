#include "swarm/decide.h"

#include "core/alloc.h"
#include "core/json.h"
#include "storage/slot.h"
#include "swarm/envelope.h"
#include "swarm/result.h"

#include <inttypes.h>

enum { SETTLE_S = 60, HEAD_BYTES_MAX = 64 * 1024 };
#define END_BYTES_MAX (UINT64_C(4) << 20)
static const char end_kind[] = "end", out_kind[] = "out";

static const char *const decisions[] = { "done", "commit", "failed", "cancelled", "abandoned" };

const char *ap_decision_text(enum ap_decision decision)
{
    return decisions[decision];
}

void ap_end_done(struct ap_end *end)
{
    ap_free(end->message);
    ap_free(end->hint);
    ap_bytes_done(&end->content);
    memset(end, 0, sizeof *end);
}

void ap_outcome_done(struct ap_outcome *outcome)
{
    ap_free(outcome->message);
    ap_free(outcome->hint);
    memset(outcome, 0, sizeof *outcome);
}

enum apiary_code ap_end_failure(struct ap_end *end, enum ap_decision decision, const struct apiary_error *why, struct apiary_error *err)
{
    char *message = ap_strdup(why->message), *hint = ap_strdup(why->hint);
    if (message == NULL || hint == NULL) {
        ap_free(message);
        ap_free(hint);
        return ap_fail_memory(err, "a query's end");
    }
    *end = (struct ap_end) { .decision = decision, .code = (enum apiary_code)why->code, .message = message, .hint = hint };
    return APIARY_OK;
}

/* Puts and settles; *theirs is the winner's body where it is not mine. */
static enum apiary_code settle(const struct ap_swarm *swarm, const char *kind, const char *key, struct ap_str body, bool *mine,
    struct ap_bytes *theirs, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) object = { 0 };
    AP_TRY(ap_envelope_write(swarm->secret, kind, key, body, &object, err));
    struct ap_slot_options options = { .deadline_mono_us = ap_mono_us(swarm->env) + SETTLE_S * INT64_C(1000000), .body_max = END_BYTES_MAX,
        .fleeting = swarm->fleeting };
    enum ap_slot_outcome outcome;
    AP_TRY(ap_slot_settle(swarm->store, key, ap_bytes_view(&object), &options, &outcome, theirs, err));
    *mine = outcome == AP_SLOT_MINE;
    return APIARY_OK;
}

/* ---- 0end ---- */

static enum apiary_code write_end(
    const struct ap_swarm *swarm, const char *id, const struct ap_end *end, struct ap_bytes *out, struct apiary_error *err)
{
    char token[AP_ID_TEXT_SIZE];
    struct ap_str content = ap_bytes_view(&end->content);
    ap_id_random(swarm->env, token); /* tells this decision from another's that says the same */
    AP_TRY(ap_bytes_printf(out, err, "{\"decision\":\"%s\",\"by\":\"%s\",\"token\":\"%s\",\"code\":%d,\"again\":%s,\"message\":",
        decisions[end->decision], swarm->boot.text, token, (int)end->code, end->again ? "true" : "false"));
    AP_TRY(ap_json_quote(out, ap_str_from(end->message), err));
    AP_TRY(ap_bytes_add_text(out, ",\"hint\":", err));
    AP_TRY(ap_json_quote(out, ap_str_from(end->hint), err));
    AP_TRY(ap_bytes_printf(out, err, ",\"size\":%zu", content.size));
    if (content.size <= AP_RESULT_INLINE_MAX) {
        AP_TRY(ap_bytes_add_text(out, "}\n", err));
        return ap_bytes_add_str(out, content, err);
    }
    struct ap_query_key payload;
    AP_TRY(ap_payload_put(swarm, id, content, &payload, err));
    return ap_bytes_printf(out, err, ",\"payload\":\"%s\",\"sha256\":\"%s\"}\n", payload.text, ap_hash_text(content).text);
}

static enum apiary_code corrupt(const char *key, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "object %s: it is no decision", key);
}

static enum apiary_code read_end(
    const struct ap_swarm *swarm, const char *id, const char *key, struct ap_str body, struct ap_end *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_AUTO(ap_end) end = { 0 };
    struct ap_str word, message = AP_STR(""), hint = AP_STR(""), payload, sha;
    int64_t code = 0, size = 0;
    const char *line = body.size > 0 ? memchr(body.data, '\n', body.size < HEAD_BYTES_MAX ? body.size : HEAD_BYTES_MAX) : NULL;
    if (line == NULL) return corrupt(key, err);
    struct ap_str head = { body.data, (size_t)(line - body.data) }, bytes = { line + 1, body.size - head.size - 1 };
    AP_TRY(ap_json_parse(head, key, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    size_t at = 0;
    if (!ap_json_str(root, "decision", &word)) return corrupt(key, err);
    while (at < sizeof decisions / sizeof *decisions && !ap_str_is(word, decisions[at])) at++;
    if (at == sizeof decisions / sizeof *decisions) return corrupt(key, err);
    if (!ap_json_i64(root, "code", &code) || code < 0 || code > INT16_MAX || !ap_json_i64(root, "size", &size) || size < 0) return corrupt(key, err);
    if (!ap_json_bool(root, "again", &end.again)) return corrupt(key, err);
    ap_json_str(root, "message", &message);
    ap_json_str(root, "hint", &hint);
    end.decision = (enum ap_decision)at;
    end.code = (enum apiary_code)code;
    end.message = ap_str_dup(message);
    end.hint = ap_str_dup(hint);
    if (end.message == NULL || end.hint == NULL) return ap_fail_memory(err, "a query's end");
    if (ap_json_str(root, "payload", &payload)) {
        if (!ap_json_str(root, "sha256", &sha)) return corrupt(key, err);
        AP_TRY(ap_payload_get(swarm, id, payload, (uint64_t)size, sha, &end.content, err));
    } else {
        if ((uint64_t)size != bytes.size) return corrupt(key, err);
        AP_TRY(ap_bytes_add_str(&end.content, bytes, err));
    }
    *out = AP_TAKE(end);
    return APIARY_OK;
}

enum apiary_code ap_end_get(const struct ap_swarm *swarm, const char *id, struct ap_end *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_query_key key = ap_query_key(id, "0end");
    struct ap_str body;
    AP_TRY(ap_envelope_get(swarm->store, swarm->secret, end_kind, key.text, END_BYTES_MAX, &text, &body, err));
    return read_end(swarm, id, key.text, body, out, err);
}

/* A decision can only be put where none stands: the query is undecided, or it was collected, which
 * removes the manifest before 0end. Who slept through that must not bring it back to life: having put
 * or read a decision, one looks for the manifest (tests/sim/model/query.pml). */
static enum apiary_code still_there(const struct ap_swarm *swarm, const char *id, struct apiary_error *err)
{
    enum { LOOKS_MAX = 60, BASE_US = 50000, CAP_US = 2000000 };
    struct ap_query_key key = ap_query_key(id, "1manifest");
    enum apiary_code code = APIARY_IO;
    for (int look = 0; look < LOOKS_MAX; look++) {
        if (look > 0) ap_backoff(swarm->env, look, BASE_US, CAP_US);
        AP_AUTO(ap_bytes) first = { 0 };
        code = ap_store_get(swarm->store, key.text, (struct ap_range) { 0, 1, false }, &first, NULL, err);
        if (code == APIARY_OK || code == APIARY_NOT_FOUND) break;
    }
    if (code != APIARY_NOT_FOUND) return code;
    return ap_fail(err, APIARY_NOT_FOUND, "query %s is not there any more", id);
}

enum apiary_code ap_end_put(
    const struct ap_swarm *swarm, const char *id, const struct ap_end *mine, struct ap_end *winner, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 }, theirs = { 0 };
    struct ap_query_key key = ap_query_key(id, "0end");
    bool is_mine = false;
    AP_TRY(write_end(swarm, id, mine, &body, err));
    AP_TRY(settle(swarm, end_kind, key.text, ap_bytes_view(&body), &is_mine, &theirs, err));
    if (is_mine) {
        enum apiary_code code = still_there(swarm, id, err);
        if (code == APIARY_NOT_FOUND) {
            enum apiary_code removed = ap_store_delete(swarm->store, key.text, NULL); /* else it is garbage, found by its age */
            (void)removed;
        }
        AP_TRY(code);
        return read_end(swarm, id, key.text, ap_bytes_view(&body), winner, err);
    }
    return ap_end_get(swarm, id, winner, err); /* once more: its hash decides whether it was read well */
}

/* ---- 0out ---- */

static enum apiary_code read_out(const char *key, struct ap_str body, struct ap_outcome *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_AUTO(ap_outcome) outcome = { .version = -1 };
    struct ap_str word, message = AP_STR(""), hint = AP_STR("");
    int64_t code = 0;
    AP_TRY(ap_json_parse(body, key, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!ap_json_str(root, "outcome", &word) || !ap_json_i64(root, "version", &outcome.version) || !ap_json_i64(root, "code", &code)
        || code < 0 || code > INT16_MAX)
        return corrupt(key, err);
    outcome.committed = ap_str_is(word, "committed");
    outcome.code = (enum apiary_code)code;
    ap_json_str(root, "message", &message);
    ap_json_str(root, "hint", &hint);
    outcome.message = ap_str_dup(message);
    outcome.hint = ap_str_dup(hint);
    if (outcome.message == NULL || outcome.hint == NULL) return ap_fail_memory(err, "a query's outcome");
    *out = AP_TAKE(outcome);
    return APIARY_OK;
}

enum apiary_code ap_outcome_get(const struct ap_swarm *swarm, const char *id, struct ap_outcome *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_query_key key = ap_query_key(id, "0out");
    struct ap_str body;
    AP_TRY(ap_envelope_get(swarm->store, swarm->secret, out_kind, key.text, END_BYTES_MAX, &text, &body, err));
    return read_out(key.text, body, out, err);
}

enum apiary_code ap_outcome_answer(const struct ap_manifest *manifest, const struct ap_outcome *outcome, struct apiary_error *err)
{
    if (outcome->committed) return APIARY_OK;
    enum apiary_code code = outcome->code == APIARY_OK ? APIARY_CONFLICT : outcome->code;
    ap_fail(err, code, "%s", outcome->message != NULL ? outcome->message : manifest->id.text);
    if (outcome->hint != NULL && outcome->hint[0] != '\0') ap_hint(err, "%s", outcome->hint);
    return code;
}

static bool try_again(enum apiary_code code)
{
    return code == APIARY_IO || code == APIARY_UNCERTAIN || code == APIARY_TIMEOUT || code == APIARY_BUSY || code == APIARY_MEMORY
           || code == APIARY_CANCELLED || code == APIARY_CHAMBER || code == APIARY_FULL || code == APIARY_DENIED || code == APIARY_CORRUPT;
}

static enum apiary_code put_out(const struct ap_swarm *swarm, const char *id, enum apiary_code code, int64_t version,
    const struct apiary_error *why, struct ap_outcome *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 }, theirs = { 0 };
    struct ap_query_key key = ap_query_key(id, "0out");
    bool mine = false;
    AP_TRY(ap_bytes_printf(&body, err, "{\"outcome\":\"%s\",\"version\":%" PRId64 ",\"code\":%d,\"by\":\"%s\",\"message\":",
        code == APIARY_OK ? "committed" : "conflict", version, (int)code, swarm->boot.text));
    AP_TRY(ap_json_quote(&body, ap_str_from(why->message), err));
    AP_TRY(ap_bytes_add_text(&body, ",\"hint\":", err));
    AP_TRY(ap_json_quote(&body, ap_str_from(why->hint), err));
    AP_TRY(ap_bytes_add_text(&body, "}", err));
    AP_TRY(settle(swarm, out_kind, key.text, ap_bytes_view(&body), &mine, &theirs, err));
    return mine ? read_out(key.text, ap_bytes_view(&body), out, err) : ap_outcome_get(swarm, id, out, err);
}

enum apiary_code ap_roll_forward(const struct ap_swarm *swarm, const struct ap_manifest *manifest, const struct ap_end *end,
    int64_t now_us, struct ap_outcome *out, struct apiary_error *err)
{
    struct apiary_error why = { 0 };
    int64_t version = -1;
    ap_assert(end->decision == AP_END_COMMIT);
    if (ap_query_over(manifest, now_us)) return ap_fail(err, APIARY_TIMEOUT, "query %s is past its deadline", manifest->id.text);
    AP_TRY(still_there(swarm, manifest->id.text, err)); /* after the decision was read */
    enum apiary_code code = swarm->port.commit(swarm->port.context, manifest, ap_bytes_view(&end->content), &version, &why);
    if (try_again(code)) {
        if (err != NULL) *err = why;
        return code;
    }
    if (code == APIARY_OK) ap_error_clear(&why);
    return put_out(swarm, manifest->id.text, code, version, &why, out, err);
}
