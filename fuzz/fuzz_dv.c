/* Deletion vectors: roaring bitmaps of bytes that we did not write. */
#include "core/alloc.h"
#include "ledger/roaring.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err;
    uint64_t *numbers = NULL;
    size_t count = 0;
    if (ap_roaring_read((struct ap_str) { (const char *)data, size }, 200000, &numbers, &count,
            &err) != APIARY_OK)
        return 0;
    ap_assert(count <= 200000);
    for (size_t i = 1; i < count; i++) ap_assert(numbers[i - 1] < numbers[i]);
    ap_free(numbers);
    return 0;
}
