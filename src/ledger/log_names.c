#include "ledger/log_names.h"

#include <inttypes.h>
#include <stdio.h>

enum { VERSION_DIGITS = 20, PART_DIGITS = 10, UUID_SIZE = 36 };

/* Takes exactly `digits` decimal digits from the front. */
static bool take_number(struct ap_str *text, size_t digits, uint64_t *out)
{
    if (text->size < digits) return false;
    for (size_t i = 0; i < digits; i++)
        if (text->data[i] < '0' || text->data[i] > '9') return false;
    if (!ap_str_to_u64((struct ap_str) { text->data, digits }, out)) return false;
    *text = (struct ap_str) { text->data + digits, text->size - digits };
    return true;
}

static bool take_text(struct ap_str *text, const char *wanted)
{
    struct ap_str prefix = ap_str_from(wanted);
    if (!ap_str_starts_with(*text, prefix)) return false;
    *text = (struct ap_str) { text->data + prefix.size, text->size - prefix.size };
    return true;
}

static bool take_uuid(struct ap_str *text)
{
    if (text->size < UUID_SIZE) return false;
    for (size_t i = 0; i < UUID_SIZE; i++) {
        char c = text->data[i];
        bool dash = i == 8 || i == 13 || i == 18 || i == 23;
        bool hex = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
        if (dash ? c != '-' : !hex) return false;
    }
    *text = (struct ap_str) { text->data + UUID_SIZE, text->size - UUID_SIZE };
    return true;
}

struct ap_log_name ap_log_name_parse(struct ap_str name)
{
    struct ap_log_name out = { .kind = AP_LOG_OTHER };
    struct ap_str rest = name;
    uint64_t version, part, parts;
    /* The largest version is kept free: the one after it must exist as a number. */
    if (!take_number(&rest, VERSION_DIGITS, &version) || version >= INT64_MAX) return out;
    out.version = version;
    if (ap_str_is(rest, ".json"))
        out.kind = AP_LOG_COMMIT;
    else if (ap_str_is(rest, ".checkpoint.parquet"))
        out.kind = AP_LOG_CHECKPOINT;
    if (out.kind != AP_LOG_OTHER || !take_text(&rest, ".checkpoint.")) return out;

    struct ap_str after = rest;
    if (take_number(&after, PART_DIGITS, &part) && take_text(&after, ".") &&
        take_number(&after, PART_DIGITS, &parts) && ap_str_is(after, ".parquet") && part >= 1 &&
        part <= parts && parts <= UINT32_MAX) {
        out.kind = AP_LOG_CHECKPOINT_PART;
        out.part = (uint32_t)part;
        out.parts = (uint32_t)parts;
        return out;
    }
    if (!take_uuid(&rest)) return out;
    if (ap_str_is(rest, ".parquet"))
        out.kind = AP_LOG_CHECKPOINT_PARQUET;
    else if (ap_str_is(rest, ".json"))
        out.kind = AP_LOG_CHECKPOINT_JSON;
    return out;
}

enum apiary_code ap_log_key(
    struct ap_bytes *out, const char *prefix, const char *name, struct apiary_error *err)
{
    return ap_bytes_printf(out, err, "%s%s_delta_log/%s", prefix, *prefix ? "/" : "", name);
}

enum apiary_code ap_log_commit_key(
    struct ap_bytes *out, const char *prefix, uint64_t version, struct apiary_error *err)
{
    return ap_bytes_printf(
        out, err, "%s%s_delta_log/%020" PRIu64 ".json", prefix, *prefix ? "/" : "", version);
}
