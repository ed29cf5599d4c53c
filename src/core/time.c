#include "core/time.h"

#include <inttypes.h>
#include <stdio.h>

enum { YEAR_DIGITS_MIN = 4, YEAR_DIGITS_MAX = 7, FRACTION_DIGITS_MAX = 9 };

/* ---- calendar: days are counted from 0000-03-01 in eras of 400 years, so that the
 * leap day is the last of a year (Hinnant, "chrono-compatible low-level date
 * algorithms") ---- */

enum { DAYS_PER_ERA = 146097, DAYS_TO_EPOCH = 719468 };

static int64_t days_from_civil(int64_t year, unsigned month, unsigned day)
{
    if (month <= 2) year--;
    int64_t era = (year >= 0 ? year : year - 399) / 400;
    int64_t year_of_era = year - era * 400;
    int64_t day_of_year =
        (153 * (int64_t)(month + (month > 2 ? -3U : 9U)) + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    return era * DAYS_PER_ERA + day_of_era - DAYS_TO_EPOCH;
}

int32_t ap_days_from_civil(int64_t year, unsigned month, unsigned day)
{
    return (int32_t)days_from_civil(year, month, day);
}

void ap_civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day)
{
    days += DAYS_TO_EPOCH;
    int64_t era = (days >= 0 ? days : days - (DAYS_PER_ERA - 1)) / DAYS_PER_ERA;
    int64_t day_of_era = days - era * DAYS_PER_ERA;
    int64_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    int64_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t shifted = (5 * day_of_year + 2) / 153; /* March is 0 */
    *day = (unsigned)(day_of_year - (153 * shifted + 2) / 5 + 1);
    *month = (unsigned)(shifted < 10 ? shifted + 3 : shifted - 9);
    *year = year_of_era + era * 400 + (*month <= 2);
}

static unsigned days_in_month(int64_t year, unsigned month)
{
    static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* ---- reading: a cursor over the text; each step says whether it fitted ---- */

static bool skip(struct ap_str *text, char c)
{
    if (text->size == 0 || text->data[0] != c) return false;
    text->data++;
    text->size--;
    return true;
}

/* Takes all digits that stand here, up to `most`; returns how many. */
static int digits(struct ap_str *text, int most, int64_t *value)
{
    int count = 0;
    *value = 0;
    while (count < most && text->size && text->data[0] >= '0' && text->data[0] <= '9') {
        *value = *value * 10 + (text->data[0] - '0');
        text->data++;
        text->size--;
        count++;
    }
    return count;
}

static bool two_digits(struct ap_str *text, int64_t least, int64_t most, int64_t *value)
{
    return digits(text, 2, value) == 2 && *value >= least && *value <= most;
}

static bool date(struct ap_str *text, int64_t *days)
{
    bool negative = skip(text, '-');
    if (!negative) skip(text, '+');
    int64_t year, month, day;
    if (digits(text, YEAR_DIGITS_MAX, &year) < YEAR_DIGITS_MIN) return false;
    if (negative) year = -year;
    if (!skip(text, '-') || !two_digits(text, 1, 12, &month)) return false;
    if (!skip(text, '-') || !two_digits(text, 1, days_in_month(year, (unsigned)month), &day))
        return false;
    *days = days_from_civil(year, (unsigned)month, (unsigned)day);
    return true;
}

bool ap_date_parse(struct ap_str text, int32_t *days)
{
    int64_t value;
    if (!date(&text, &value) || text.size) return false;
    if (value < INT32_MIN || value > INT32_MAX) return false;
    *days = (int32_t)value;
    return true;
}

/* .fffffffff → microseconds; what is cut away is told. */
static bool fraction(struct ap_str *text, int64_t *us, bool *inexact)
{
    int count = digits(text, FRACTION_DIGITS_MAX, us);
    if (count == 0) return false;
    for (; count < 6; count++) *us *= 10;
    for (; count > 6; count--) {
        if (*us % 10) *inexact = true;
        *us /= 10;
    }
    return true;
}

/* Z or ±HH[:MM] → seconds east of UTC */
static bool zone(struct ap_str *text, int64_t *east)
{
    int64_t hours, minutes = 0;
    *east = 0;
    if (skip(text, 'Z')) return true;
    bool west = skip(text, '-');
    if (!west && !skip(text, '+')) return false;
    if (!two_digits(text, 0, 23, &hours)) return false;
    if (skip(text, ':') && !two_digits(text, 0, 59, &minutes)) return false;
    *east = (hours * 60 + minutes) * (west ? -60 : 60);
    return true;
}

bool ap_timestamp_parse(struct ap_str text, int64_t *us, bool *had_zone, bool *inexact)
{
    int64_t days, hour, minute, second = 0, part = 0, east = 0;
    bool zoned = false, cut = false;
    if (!date(&text, &days)) return false;
    if (!skip(&text, 'T') && !skip(&text, ' ')) return false;
    if (!two_digits(&text, 0, 23, &hour)) return false;
    if (!skip(&text, ':') || !two_digits(&text, 0, 59, &minute)) return false;
    if (skip(&text, ':')) {
        if (!two_digits(&text, 0, 59, &second)) return false;
        if (skip(&text, '.') && !fraction(&text, &part, &cut)) return false;
    }
    if (text.size) {
        if (!zone(&text, &east) || text.size) return false;
        zoned = true;
    }
    __int128 value = (__int128)days * AP_US_PER_DAY +
                     ((hour * 60 + minute) * 60 + second - east) * AP_US_PER_SECOND + part;
    if (value < INT64_MIN || value > INT64_MAX) return false;
    *us = (int64_t)value;
    if (had_zone) *had_zone = zoned;
    if (inexact) *inexact = cut;
    return true;
}

/* ---- writing ---- */

static int date_text(int64_t days, char *out, size_t size)
{
    int64_t year;
    unsigned month, day;
    ap_civil_from_days(days, &year, &month, &day);
    return snprintf(out, size, "%s%04" PRId64 "-%02u-%02u", year < 0 ? "-" : "",
        year < 0 ? -year : year, month, day);
}

void ap_date_format(int32_t days, char out[AP_TIME_TEXT_MAX])
{
    date_text(days, out, AP_TIME_TEXT_MAX);
}

void ap_timestamp_format(
    int64_t us, char separator, int digit_count, bool with_zone, char out[AP_TIME_TEXT_MAX])
{
    ap_assert(digit_count == 0 || digit_count == 3 || digit_count == 6);
    int64_t days = us / AP_US_PER_DAY, rest = us % AP_US_PER_DAY;
    if (rest < 0) {
        rest += AP_US_PER_DAY;
        days--;
    }
    int64_t seconds = rest / AP_US_PER_SECOND, part = rest % AP_US_PER_SECOND;
    size_t at = (size_t)date_text(days, out, AP_TIME_TEXT_MAX);
    at += (size_t)snprintf(out + at, AP_TIME_TEXT_MAX - at, "%c%02d:%02d:%02d", separator,
        (int)(seconds / 3600), (int)(seconds / 60 % 60), (int)(seconds % 60));
    if (digit_count == 3)
        at += (size_t)snprintf(out + at, AP_TIME_TEXT_MAX - at, ".%03d", (int)(part / 1000));
    else if (digit_count == 6)
        at += (size_t)snprintf(out + at, AP_TIME_TEXT_MAX - at, ".%06d", (int)part);
    if (with_zone) snprintf(out + at, AP_TIME_TEXT_MAX - at, "Z");
}

/* ---- quantities: a decimal number and a unit ---- */

struct unit {
    const char *name;
    uint64_t factor;
};

/* "1.5" at the front of the text → whole and billionths; at least one digit. */
static bool quantity(struct ap_str *text, uint64_t *whole, uint64_t *billionths)
{
    size_t size = 0;
    while (size < text->size && text->data[size] >= '0' && text->data[size] <= '9') size++;
    if (!ap_str_to_u64((struct ap_str) { text->data, size }, whole)) return false;
    text->data += size;
    text->size -= size;
    *billionths = 0;
    if (!skip(text, '.')) return true;
    int64_t part;
    int count = digits(text, FRACTION_DIGITS_MAX, &part);
    if (count == 0) return false;
    for (; count < FRACTION_DIGITS_MAX; count++) part *= 10;
    *billionths = (uint64_t)part;
    return true;
}

static const struct unit *find_unit(const struct unit *units, struct ap_str name)
{
    for (; units->name; units++)
        if (ap_str_equal_nocase(name, ap_str_from(units->name))) return units;
    return NULL;
}

/* Rounds down; false on overflow. */
static bool scale(
    uint64_t whole, uint64_t billionths, uint64_t factor, uint64_t most, uint64_t *out)
{
    unsigned __int128 value = (unsigned __int128)whole * factor +
                              (unsigned __int128)billionths * factor / UINT64_C(1000000000);
    if (value > most) return false;
    *out = (uint64_t)value;
    return true;
}

static bool parse_quantity(
    struct ap_str text, const struct unit *units, uint64_t most, uint64_t *out)
{
    uint64_t whole, billionths;
    text = ap_str_trim(text);
    if (!quantity(&text, &whole, &billionths)) return false;
    const struct unit *unit = find_unit(units, ap_str_trim(text));
    return unit && scale(whole, billionths, unit->factor, most, out);
}

bool ap_duration_parse(struct ap_str text, int64_t *us)
{
    static const struct unit units[] = {
        { "", 1000000 },
        { "us", 1 },
        { "ms", 1000 },
        { "s", 1000000 },
        { "m", UINT64_C(60000000) },
        { "min", UINT64_C(60000000) },
        { "h", UINT64_C(3600000000) },
        { "d", UINT64_C(86400000000) },
        { NULL, 0 },
    };
    uint64_t value;
    if (!parse_quantity(text, units, INT64_MAX, &value)) return false;
    *us = (int64_t)value;
    return true;
}

bool ap_size_parse(struct ap_str text, uint64_t *bytes)
{
    static const struct unit units[] = {
        { "", 1 },
        { "B", 1 },
        { "K", 1000 },
        { "KB", 1000 },
        { "KiB", UINT64_C(1) << 10 },
        { "M", 1000000 },
        { "MB", 1000000 },
        { "MiB", UINT64_C(1) << 20 },
        { "G", UINT64_C(1000000000) },
        { "GB", UINT64_C(1000000000) },
        { "GiB", UINT64_C(1) << 30 },
        { "T", UINT64_C(1000000000000) },
        { "TB", UINT64_C(1000000000000) },
        { "TiB", UINT64_C(1) << 40 },
        { NULL, 0 },
    };
    return parse_quantity(text, units, UINT64_MAX, bytes);
}

/* The next word, and the spaces behind it. */
static struct ap_str word(struct ap_str *text)
{
    struct ap_str out = { text->data, 0 };
    while (out.size < text->size && text->data[out.size] != ' ') out.size++;
    text->data += out.size;
    text->size -= out.size;
    while (skip(text, ' ')) {}
    return out;
}

bool ap_interval_parse(struct ap_str text, int64_t *us)
{
    static const struct unit units[] = {
        { "microsecond", 1 },
        { "millisecond", 1000 },
        { "second", 1000000 },
        { "minute", UINT64_C(60000000) },
        { "hour", UINT64_C(3600000000) },
        { "day", UINT64_C(86400000000) },
        { "week", UINT64_C(604800000000) },
        { NULL, 0 },
    };
    text = ap_str_trim(text);
    if (text.size >= 9 &&
        ap_str_equal_nocase((struct ap_str) { text.data, 9 }, AP_STR("interval ")))
        word(&text);
    int64_t total = 0;
    bool any = false;
    while (text.size) {
        uint64_t count, part;
        if (!ap_str_to_u64(word(&text), &count)) return false;
        struct ap_str name = word(&text);
        if (name.size && (name.data[name.size - 1] == 's' || name.data[name.size - 1] == 'S'))
            name.size--;
        const struct unit *unit = find_unit(units, name);
        if (!unit || !scale(count, 0, unit->factor, INT64_MAX, &part)) return false;
        if (__builtin_add_overflow(total, (int64_t)part, &total)) return false;
        any = true;
    }
    if (any) *us = total;
    return any;
}

void ap_size_format(uint64_t bytes, char out[32])
{
    static const char *const names[] = { "kB", "MB", "GB", "TB", "PB", "EB" };
    if (bytes < 1000) {
        snprintf(out, 32, "%" PRIu64 " B", bytes);
        return;
    }
    uint64_t factor = 1000;
    size_t name = 0;
    /* 999,950 would be written 1000.0 kB */
    while (name < 5 && bytes >= factor * 1000 - factor / 20) {
        factor *= 1000;
        name++;
    }
    uint64_t tenths = bytes / (factor / 10) + (bytes % (factor / 10) >= factor / 20);
    snprintf(out, 32, "%" PRIu64 ".%u %s", tenths / 10, (unsigned)(tenths % 10), names[name]);
}
