/* Small texts: encodings, numbers, times, sizes. The first byte chooses; what can be read is
 * written and read to the same value again. */
#include "core/codec.h"
#include "core/time.h"

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_codecs(struct ap_str text)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) coded = { 0 };
    AP_AUTO(ap_bytes) back = { 0 };
    ap_assert(ap_base64_encode(&coded, text, &err) == APIARY_OK);
    ap_assert(ap_base64_decode(&back, ap_bytes_view(&coded), &err) == APIARY_OK);
    ap_assert(ap_str_equal(ap_bytes_view(&back), text));

    ap_bytes_clear(&coded);
    ap_bytes_clear(&back);
    ap_assert(ap_percent_encode(&coded, text, "-._/=", &err) == APIARY_OK);
    enum apiary_code code = ap_percent_decode(&back, ap_bytes_view(&coded), &err);
    bool has_nul = text.size && memchr(text.data, 0, text.size);
    ap_assert(code == (has_nul ? APIARY_CORRUPT : APIARY_OK));
    ap_assert(has_nul || ap_str_equal(ap_bytes_view(&back), text));

    ap_bytes_clear(&back);
    if (ap_base64_decode(&back, text, &err) != APIARY_OK) ap_assert(back.size == 0);
    ap_bytes_clear(&back);
    if (ap_percent_decode(&back, text, &err) != APIARY_OK) ap_assert(back.size == 0);
    ap_bytes_clear(&back);
    if (ap_z85_decode(&back, text, &err) != APIARY_OK) ap_assert(back.size == 0);
}

static void check_times(struct ap_str text)
{
    char written[AP_TIME_TEXT_MAX];
    int32_t days, days_again;
    if (ap_date_parse(text, &days)) {
        ap_date_format(days, written);
        ap_assert(ap_date_parse(ap_str_from(written), &days_again));
        ap_assert(days == days_again);
    }
    int64_t us, us_again;
    bool had_zone, inexact;
    if (ap_timestamp_parse(text, &us, &had_zone, &inexact)) {
        ap_timestamp_format(us, 'T', 6, true, written);
        ap_assert(ap_timestamp_parse(ap_str_from(written), &us_again, &had_zone, &inexact));
        ap_assert(us == us_again && had_zone && !inexact);
    }
    ap_duration_parse(text, &us);
    ap_interval_parse(text, &us);
}

static void check_numbers(struct ap_str text)
{
    int64_t i;
    uint64_t u;
    double d;
    char written[32];
    if (ap_str_to_i64(text, &i)) {
        int64_t again;
        snprintf(written, sizeof written, "%lld", (long long)i);
        ap_assert(ap_str_to_i64(ap_str_from(written), &again) && again == i);
    }
    if (ap_str_to_u64(text, &u)) {
        uint64_t again;
        snprintf(written, sizeof written, "%llu", (unsigned long long)u);
        ap_assert(ap_str_to_u64(ap_str_from(written), &again) && again == u);
    }
    ap_str_to_double(text, &d);
    if (ap_size_parse(text, &u)) ap_size_format(u, written);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) return 0;
    struct ap_str text = { (const char *)data + 1, size - 1 };
    switch (data[0] % 3) {
        case 0: check_codecs(text); break;
        case 1: check_times(text); break;
        case 2: check_numbers(text); break;
    }
    return 0;
}
