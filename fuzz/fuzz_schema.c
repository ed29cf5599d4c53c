/* Schema JSON: what parses is written and parses to the same again. */
#include "ledger/schema.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err;
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_schema schema, again;
    if (ap_schema_parse(&arena, (struct ap_str) { (const char *)data, size }, &schema, &err) !=
        APIARY_OK)
        return 0;
    ap_assert(ap_schema_write(&schema, &text, &err) == APIARY_OK);
    ap_assert(ap_schema_parse(&arena, ap_bytes_view(&text), &again, &err) == APIARY_OK);
    ap_assert(ap_schema_same(&schema, &again, NULL));
    if (ap_schema_check(&schema, NULL, &err) != APIARY_OK) return 0;
    for (size_t i = 0; i < schema.field_count; i++)
        ap_assert(ap_schema_find(&schema, schema.fields[i].name) == i);
    return 0;
}
