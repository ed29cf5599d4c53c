#include "swarm/claim.h"

#include "core/json.h"
#include "storage/slot.h"
#include "swarm/envelope.h"

enum { SETTLE_S = 30, BYTES_MAX = 16 * 1024 };
static const char claim_kind[] = "claim", failure_kind[] = "failure";
static const char *const reasons[] = { "dead", "failed", "late", "steal", "slow" };

static enum apiary_code settle(const struct ap_swarm *swarm, const char *kind, const char *key, struct ap_str body, bool *mine, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) object = { 0 };
    AP_TRY(ap_envelope_write(swarm->secret, kind, key, body, &object, err));
    struct ap_slot_options options = { .deadline_mono_us = ap_mono_us(swarm->env) + SETTLE_S * INT64_C(1000000), .body_max = BYTES_MAX };
    enum ap_slot_outcome outcome;
    AP_TRY(ap_slot_settle(swarm->store, key, ap_bytes_view(&object), &options, &outcome, NULL, err));
    *mine = outcome == AP_SLOT_MINE;
    return APIARY_OK;
}

static enum apiary_code corrupt(const char *key, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "object %s: it does not say who wrote it and why", key);
}

static bool read_boot(yyjson_val *root, struct ap_node_id *out)
{
    struct ap_str boot;
    if (!ap_json_str(root, "boot", &boot) || !ap_id_valid(boot)) return false;
    memcpy(out->text, boot.data, boot.size);
    out->text[boot.size] = '\0';
    return true;
}

enum apiary_code ap_claim_put(const struct ap_swarm *swarm, const char *id, size_t task, int number, enum ap_claim_reason reason,
    bool *mine, struct ap_claim *standing, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_query_key key = ap_query_key_of(id, 'c', task, number);
    bool is_mine = false;
    AP_TRY(ap_bytes_printf(&body, err, "{\"boot\":\"%s\",\"reason\":\"%s\"}", swarm->boot.text, reasons[reason]));
    AP_TRY(settle(swarm, claim_kind, key.text, ap_bytes_view(&body), &is_mine, err));
    if (!is_mine) AP_TRY(ap_claim_get(swarm, id, task, number, standing, err));
    else *standing = (struct ap_claim) { swarm->boot, reason };
    *mine = is_mine;
    return APIARY_OK;
}

enum apiary_code ap_claim_get(
    const struct ap_swarm *swarm, const char *id, size_t task, int number, struct ap_claim *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO_JSON *doc = NULL;
    struct ap_query_key key = ap_query_key_of(id, 'c', task, number);
    struct ap_claim claim = { 0 };
    struct ap_str body, word;
    AP_TRY(ap_envelope_get(swarm->store, swarm->secret, claim_kind, key.text, BYTES_MAX, &text, &body, err));
    AP_TRY(ap_json_parse(body, key.text, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    size_t at = 0;
    if (!read_boot(root, &claim.boot) || !ap_json_str(root, "reason", &word)) return corrupt(key.text, err);
    while (at < sizeof reasons / sizeof *reasons && !ap_str_is(word, reasons[at])) at++;
    if (at == sizeof reasons / sizeof *reasons) return corrupt(key.text, err);
    claim.reason = (enum ap_claim_reason)at;
    *out = claim;
    return APIARY_OK;
}

enum apiary_code ap_failure_put(
    const struct ap_swarm *swarm, const char *id, size_t task, int number, const struct apiary_error *why, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_query_key key = ap_query_key_of(id, 'f', task, number);
    bool mine = false;
    AP_TRY(ap_bytes_printf(&body, err, "{\"boot\":\"%s\",\"code\":%d,\"message\":", swarm->boot.text, (int)why->code));
    AP_TRY(ap_json_quote(&body, ap_str_from(why->message), err));
    AP_TRY(ap_bytes_add_text(&body, "}", err));
    return settle(swarm, failure_kind, key.text, ap_bytes_view(&body), &mine, err);
}

enum apiary_code ap_failure_get(
    const struct ap_swarm *swarm, const char *id, size_t task, int number, struct ap_failure *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO_JSON *doc = NULL;
    struct ap_query_key key = ap_query_key_of(id, 'f', task, number);
    struct ap_failure failure = { 0 };
    struct ap_str body, message = AP_STR("");
    int64_t code = 0;
    AP_TRY(ap_envelope_get(swarm->store, swarm->secret, failure_kind, key.text, BYTES_MAX, &text, &body, err));
    AP_TRY(ap_json_parse(body, key.text, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!read_boot(root, &failure.boot) || !ap_json_i64(root, "code", &code) || code <= 0 || code > INT16_MAX) return corrupt(key.text, err);
    ap_json_str(root, "message", &message);
    failure.code = (enum apiary_code)code;
    failure.death = failure.code == APIARY_CHAMBER || failure.code == APIARY_MEMORY;
    snprintf(failure.message, sizeof failure.message, AP_FMT, AP_ARG(message));
    *out = failure;
    return APIARY_OK;
}
