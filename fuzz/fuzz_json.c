/* JSON of any origin: log entries, registry slots, manifests, the chamber's documents. What parses
 * is written and parses again to the same text. */
#include "core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err = { 0 };
    struct ap_str text = { (const char *)data, size };

    AP_AUTO(ap_bytes) quoted = { 0 };
    if (ap_json_quote(&quoted, text, &err) == APIARY_OK) {
        AP_AUTO_JSON *string = NULL;
        ap_assert(ap_json_parse(ap_bytes_view(&quoted), "a string of ours", &string, &err) == APIARY_OK);
        ap_assert(!ap_utf8_valid(text)
            || ap_str_equal(text, (struct ap_str) { yyjson_get_str(string->root), yyjson_get_len(string->root) }));
    }

    AP_AUTO_JSON *first = NULL;
    if (ap_json_parse(text, "the input", &first, &err) != APIARY_OK) {
        ap_assert(err.message[0] && !strchr(err.message, '\n'));
        return 0;
    }
    AP_AUTO(ap_bytes) once = { 0 };
    if (ap_json_write_val(first->root, &once, &err) != APIARY_OK) return 0;
    AP_AUTO_JSON *second = NULL;
    ap_assert(ap_json_parse(ap_bytes_view(&once), "what was written", &second, &err) == APIARY_OK);
    AP_AUTO(ap_bytes) twice = { 0 };
    ap_assert(ap_json_write_val(second->root, &twice, &err) == APIARY_OK);
    ap_assert(ap_str_equal(ap_bytes_view(&once), ap_bytes_view(&twice)));
    return 0;
}
