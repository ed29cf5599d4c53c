#include "apiary_test.h"

#include <time.h>

#include "core/time.h"

static void test_known_days(void **state)
{
    (void)state;
    static const struct {
        int64_t year;
        unsigned month, day;
        int32_t days;
    } rows[] = {
        { 1970, 1, 1, 0 },
        { 1969, 12, 31, -1 },
        { 2000, 2, 29, 11016 },
        { 2000, 3, 1, 11017 },
        { 1900, 3, 1, -25508 },
        { 1, 1, 1, -719162 },
        { 0, 1, 1, -719528 },
        { 0, 2, 29, -719469 },
        { -1, 12, 31, -719529 },
        { 9999, 12, 31, 2932896 },
        { 2038, 1, 19, 24855 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        int64_t year;
        unsigned month, day;
        assert_int_equal(
            ap_days_from_civil(rows[i].year, rows[i].month, rows[i].day), rows[i].days);
        ap_civil_from_days(rows[i].days, &year, &month, &day);
        assert_true(year == rows[i].year && month == rows[i].month && day == rows[i].day);
    }
}

static void check_date(int32_t days)
{
    int64_t year;
    unsigned month, day;
    char text[AP_TIME_TEXT_MAX];
    int32_t back = 0;
    ap_civil_from_days(days, &year, &month, &day);
    assert_int_equal(ap_days_from_civil(year, month, day), days);
    ap_date_format(days, text);
    if (!ap_date_parse(ap_str_from(text), &back) || back != days)
        fail_msg("day %d is written %s", (int)days, text);
}

/* Consecutive days: month, day and year advance as a calendar does. */
static void test_calendar(void **state)
{
    (void)state;
    static const unsigned lengths[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    int64_t year = -805;
    unsigned month = 1, day = 1;
    for (int32_t days = ap_days_from_civil(year, 1, 1); year < 2406; days++) {
        int64_t y;
        unsigned m, d;
        ap_civil_from_days(days, &y, &m, &d);
        if (y != year || m != month || d != day)
            fail_msg("day %d is no %lld-%u-%u", (int)days, (long long)year, month, day);
        assert_int_equal(ap_days_from_civil(year, month, day), days);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (++day > lengths[month - 1] + (leap && month == 2)) {
            day = 1;
            if (++month > 12) {
                month = 1;
                year++;
            }
        }
    }
}

static void test_date_range(void **state)
{
    (void)state;
    int64_t first = ap_days_from_civil(-290000, 1, 1), last = ap_days_from_civil(290000, 12, 31);
    for (int64_t days = first; days <= last; days += 499) check_date((int32_t)days);
    for (int64_t days = INT32_MIN; days <= INT32_MAX; days += 40009) check_date((int32_t)days);
    check_date(INT32_MIN);
    check_date(INT32_MAX);
}

static void test_date_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int32_t days;
    } rows[] = {
        { "1970-01-01", true, 0 },
        { "2024-02-29", true, 19782 },
        { "0000-01-01", true, -719528 },
        { "-0001-12-31", true, -719529 },
        { "+10000-01-01", true, 2932897 },
        { "10000-01-01", true, 2932897 },
        { "5881580-07-11", true, INT32_MAX },
        { "-5877641-06-23", true, INT32_MIN },
        { "5881580-07-12", false, 0 },
        { "-5877641-06-22", false, 0 },
        { "9999999-01-01", false, 0 },
        { "12345678-01-01", false, 0 },
        { "2023-02-29", false, 0 },
        { "1900-02-29", false, 0 },
        { "2024-00-10", false, 0 },
        { "2024-13-10", false, 0 },
        { "2024-01-00", false, 0 },
        { "2024-04-31", false, 0 },
        { "2024-1-1", false, 0 },
        { "24-01-01", false, 0 },
        { "2024-01-01 ", false, 0 },
        { " 2024-01-01", false, 0 },
        { "2024-01-01T00:00:00", false, 0 },
        { "2024/01/01", false, 0 },
        { "20240101", false, 0 },
        { "", false, 0 },
        { "-", false, 0 },
        { "infinity", false, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        int32_t days = 77;
        assert_int_in(rows[i].text, ap_date_parse(ap_str_from(rows[i].text), &days), rows[i].ok);
        assert_int_in(rows[i].text, days, rows[i].ok ? rows[i].days : 77);
    }
}

static void check_timestamp(int64_t us)
{
    char text[AP_TIME_TEXT_MAX];
    int64_t back = 0;
    bool zone = false, inexact = true;
    for (int kind = 0; kind < 4; kind++) {
        ap_timestamp_format(us, kind & 1 ? 'T' : ' ', 6, kind & 2, text);
        if (!ap_timestamp_parse(ap_str_from(text), &back, &zone, &inexact) || back != us)
            fail_msg("%lld us is written %s", (long long)us, text);
        assert_int_equal(zone, kind >> 1);
        assert_false(inexact);
    }
}

static void test_timestamp_range(void **state)
{
    (void)state;
    check_timestamp(INT64_MIN);
    check_timestamp(INT64_MAX);
    for (int64_t us = -5; us <= 5; us++) check_timestamp(us);
    for (int64_t us = INT64_MIN; us < INT64_MAX - INT64_C(184467440737095);
         us += INT64_C(184467440737095))
        check_timestamp(us);
    /* The C library agrees where it can. */
    for (int64_t second = INT64_C(-62167219200); second < INT64_C(253402300800);
         second += 86400 * 31 + 12345) {
        time_t wanted = (time_t)second;
        struct tm parts;
        char text[AP_TIME_TEXT_MAX], libc[64];
        gmtime_r(&wanted, &parts);
        snprintf(libc, sizeof libc, "%04d-%02d-%02dT%02d:%02d:%02dZ", parts.tm_year + 1900,
            parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec);
        ap_timestamp_format(second * AP_US_PER_SECOND, 'T', 0, true, text);
        assert_string_equal(text, libc);
    }
}

static void test_timestamp_parse(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok, zone, inexact;
        int64_t us;
    } rows[] = {
        { "1970-01-01T00:00:00Z", true, true, false, 0 },
        { "1970-01-01 00:00", true, false, false, 0 },
        { "1970-01-01 00:01:02", true, false, false, 62000000 },
        { "1970-01-01T00:00:00.5", true, false, false, 500000 },
        { "1970-01-01T00:00:00.000001", true, false, false, 1 },
        { "1970-01-01T00:00:00.0000019", true, false, true, 1 },
        { "1970-01-01T00:00:00.000001000", true, false, false, 1 },
        { "1970-01-01T00:00:00.123456789Z", true, true, true, 123456 },
        { "1969-12-31T23:59:59.999999", true, false, false, -1 },
        { "1969-12-31T23:59:59.9999999", true, false, true, -1 },
        { "1970-01-01T01:00:00+01:00", true, true, false, 0 },
        { "1970-01-01 05:30:00+05:30", true, true, false, 0 },
        { "1969-12-31T16:00:00-08", true, true, false, 0 },
        { "1970-01-01 00:00:00+00", true, true, false, 0 },
        { "1970-01-01 00:00-00:01", true, true, false, 60000000 },
        { "294247-01-10T04:00:54.775807Z", true, true, false, INT64_MAX },
        { "-290308-12-21T19:59:05.224192Z", true, true, false, INT64_MIN },
        { "294247-01-10T04:00:54.775808Z", false, false, false, 0 },
        { "-290308-12-21T19:59:05.224191Z", false, false, false, 0 },
        { "294247-01-10T04:00:54.775807-00:01", false, false, false, 0 },
        { "9999999-01-01T00:00:00Z", false, false, false, 0 },
        { "1970-01-01", false, false, false, 0 },
        { "1970-01-01T", false, false, false, 0 },
        { "1970-01-01T00", false, false, false, 0 },
        { "1970-01-01T24:00:00", false, false, false, 0 },
        { "1970-01-01T00:60:00", false, false, false, 0 },
        { "1970-01-01T00:00:60", false, false, false, 0 },
        { "1970-01-01T00:00:00.", false, false, false, 0 },
        { "1970-01-01T00:00:00.1234567890", false, false, false, 0 },
        { "1970-01-01T00:00:00z", false, false, false, 0 },
        { "1970-01-01t00:00:00", false, false, false, 0 },
        { "1970-01-01  00:00:00", false, false, false, 0 },
        { "1970-01-01T00:00:00+", false, false, false, 0 },
        { "1970-01-01T00:00:00+1", false, false, false, 0 },
        { "1970-01-01T00:00:00+24:00", false, false, false, 0 },
        { "1970-01-01T00:00:00+01:60", false, false, false, 0 },
        { "1970-01-01T00:00:00+01:", false, false, false, 0 },
        { "1970-01-01T00:00:00Z ", false, false, false, 0 },
        { "1970-02-30T00:00:00Z", false, false, false, 0 },
        { "", false, false, false, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        int64_t us = 77;
        bool zone = false, inexact = false;
        assert_int_in(rows[i].text,
            ap_timestamp_parse(ap_str_from(rows[i].text), &us, &zone, &inexact), rows[i].ok);
        assert_true_in(rows[i].text, us == (rows[i].ok ? rows[i].us : 77));
        assert_int_in(rows[i].text, zone, rows[i].zone);
        assert_int_in(rows[i].text, inexact, rows[i].inexact);
        assert_int_in(rows[i].text, ap_timestamp_parse(ap_str_from(rows[i].text), &us, NULL, NULL),
            rows[i].ok);
    }
}

static void test_timestamp_format(void **state)
{
    (void)state;
    char text[AP_TIME_TEXT_MAX];
    ap_timestamp_format(-1, ' ', 3, false, text);
    assert_string_equal(text, "1969-12-31 23:59:59.999");
    ap_timestamp_format(1234567, 'T', 0, true, text);
    assert_string_equal(text, "1970-01-01T00:00:01Z");
    ap_timestamp_format(1234567, 'T', 6, false, text);
    assert_string_equal(text, "1970-01-01T00:00:01.234567");
    ap_timestamp_format(INT64_MIN, 'T', 6, true, text);
    assert_string_equal(text, "-290308-12-21T19:59:05.224192Z");
}

static void test_duration(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        int64_t us;
    } rows[] = {
        { "30s", true, 30000000 },
        { "5m", true, 300000000 },
        { "2h", true, INT64_C(7200000000) },
        { "1d", true, INT64_C(86400000000) },
        { "250ms", true, 250000 },
        { "7us", true, 7 },
        { "30", true, 30000000 },
        { "1.5s", true, 1500000 },
        { "0.000001s", true, 1 },
        { " 5 m ", true, 300000000 },
        { "5MIN", true, 300000000 },
        { "0s", true, 0 },
        { "9223372036854775807us", true, INT64_MAX },
        { "9223372036854775808us", false, 0 },
        { "106751992d", false, 0 },
        { "99999999999999999999s", false, 0 },
        { "", false, 0 },
        { "s", false, 0 },
        { "-1s", false, 0 },
        { "1 s s", false, 0 },
        { "1.s", false, 0 },
        { ".5s", false, 0 },
        { "1e3s", false, 0 },
        { "1mon", false, 0 },
        { "1.0000000001s", false, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        int64_t us = 77;
        assert_int_in(rows[i].text, ap_duration_parse(ap_str_from(rows[i].text), &us), rows[i].ok);
        assert_int_in(rows[i].text, us, rows[i].ok ? rows[i].us : 77);
    }
}

static void test_interval(void **state)
{
    (void)state;
    const int64_t hour = INT64_C(3600000000);
    const struct {
        const char *text;
        bool ok;
        int64_t us;
    } rows[] = {
        { "interval 7 days", true, 168 * hour },
        { "interval 1 week", true, 168 * hour },
        { "interval 36 hours", true, 36 * hour },
        { "INTERVAL  2 Weeks ", true, 336 * hour },
        { "interval 1 day 12 hours", true, 36 * hour },
        { "30 days", true, 720 * hour },
        { "interval 90 minutes", true, hour + hour / 2 },
        { "interval 5 seconds", true, 5000000 },
        { "interval 5 milliseconds 3 microseconds", true, 5003 },
        { "interval 0 days", true, 0 },
        { "interval 1 month", false, 0 },
        { "interval 1 year", false, 0 },
        { "interval", false, 0 },
        { "interval days", false, 0 },
        { "interval 7", false, 0 },
        { "interval -7 days", false, 0 },
        { "interval 7 dayss", false, 0 },
        { "", false, 0 },
        { "interval 99999999999999 days", false, 0 },
        { "interval 106751990 days 106751990 days", false, 0 },
        { "interval7 days", false, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        int64_t us = 77;
        assert_int_in(rows[i].text, ap_interval_parse(ap_str_from(rows[i].text), &us), rows[i].ok);
        assert_int_in(rows[i].text, us, rows[i].ok ? rows[i].us : 77);
    }
}

static void test_size(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
        uint64_t bytes;
    } rows[] = {
        { "1024", true, 1024 },
        { "0", true, 0 },
        { "512MB", true, 512000000 },
        { "4GiB", true, UINT64_C(4) << 30 },
        { "4 gib", true, UINT64_C(4) << 30 },
        { "1.5GB", true, 1500000000 },
        { "10B", true, 10 },
        { "3k", true, 3000 },
        { "2KiB", true, 2048 },
        { "1TiB", true, UINT64_C(1) << 40 },
        { "2TB", true, UINT64_C(2000000000000) },
        { "0.5KiB", true, 512 },
        { "18446744073709551615", true, UINT64_MAX },
        { "18446744073709551616", false, 0 },
        { "16777216TiB", false, 0 },
        { "-1", false, 0 },
        { "", false, 0 },
        { "MB", false, 0 },
        { "1XB", false, 0 },
        { "1 2", false, 0 },
        { "1e3", false, 0 },
        { "75%", false, 0 },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        uint64_t bytes = 77;
        assert_int_in(rows[i].text, ap_size_parse(ap_str_from(rows[i].text), &bytes), rows[i].ok);
        assert_true_in(rows[i].text, bytes == (rows[i].ok ? rows[i].bytes : 77));
    }
    static const struct {
        uint64_t bytes;
        const char *text;
    } texts[] = {
        { 0, "0 B" },
        { 999, "999 B" },
        { 1000, "1.0 kB" },
        { 1049, "1.0 kB" },
        { 1050, "1.1 kB" },
        { 13500000, "13.5 MB" },
        { 999949, "999.9 kB" },
        { 999950, "1.0 MB" },
        { UINT64_C(5000000000), "5.0 GB" },
        { UINT64_C(999950000000), "1.0 TB" },
        { UINT64_C(2000000000000000), "2.0 PB" },
        { UINT64_MAX, "18.4 EB" },
    };
    for (size_t i = 0; i < AP_COUNT(texts); i++) {
        char text[32];
        ap_size_format(texts[i].bytes, text);
        assert_string_equal(text, texts[i].text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_days),
        cmocka_unit_test(test_calendar),
        cmocka_unit_test(test_date_range),
        cmocka_unit_test(test_date_parse),
        cmocka_unit_test(test_timestamp_range),
        cmocka_unit_test(test_timestamp_parse),
        cmocka_unit_test(test_timestamp_format),
        cmocka_unit_test(test_duration),
        cmocka_unit_test(test_interval),
        cmocka_unit_test(test_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
