/* Slots of the registry: any bytes are read or refused; what is read can be written and read again.
 */
#include "catalog/registry.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void once(struct ap_str body, enum ap_registry_kind kind)
{
    struct apiary_error err = { 0 };
    AP_AUTO_REGISTRY *read = NULL, *copy = NULL, *again = NULL;
    AP_AUTO(ap_bytes) first = { 0 };
    AP_AUTO(ap_bytes) second = { 0 };
    if (ap_registry_parse(body, "slot", kind, 1, &read, &err) != APIARY_OK) return;
    ap_assert(ap_registry_dup(read, &copy, &err) == APIARY_OK);
    ap_assert(ap_registry_write(copy, &first, &err) == APIARY_OK);
    ap_assert(ap_registry_parse(ap_bytes_view(&first), "slot", kind, 1, &again, &err) == APIARY_OK);
    ap_assert(again->count == read->count);
    ap_assert(ap_registry_write(again, &second, &err) == APIARY_OK);
    ap_assert(ap_str_equal(ap_bytes_view(&first), ap_bytes_view(&second)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ap_str body = { (const char *)data, size };
    once(body, AP_REGISTRY_HIVES);
    once(body, AP_REGISTRY_HIVE);
    return 0;
}
