/* Footers of Parquet files: the input is a whole file. */
#include "cells/footer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err;
    struct ap_footer footer = { 0 };
    struct ap_str file = { (const char *)data, size };
    uint64_t length = 0;
    if (ap_footer_length(file, size, &length, &err) != APIARY_OK) return 0;
    ap_assert(length <= size - AP_FOOTER_TAIL);
    struct ap_str metadata = { file.data + size - AP_FOOTER_TAIL - length, (size_t)length };
    if (ap_footer_parse(metadata, size, &footer, &err) != APIARY_OK) return 0;
    for (size_t i = 0; footer.column_count && i < footer.group_count * footer.column_count; i++) {
        const struct ap_footer_span *spans[] = { &footer.chunks[i].data, &footer.chunks[i].bloom,
            &footer.chunks[i].column_index, &footer.chunks[i].offset_index };
        for (size_t j = 0; j < sizeof spans / sizeof *spans; j++) {
            if (spans[j]->length == 0) continue;
            ap_assert(spans[j]->offset <= size);
            ap_assert(spans[j]->length <= size - spans[j]->offset);
        }
    }
    ap_footer_done(&footer);
    return 0;
}
