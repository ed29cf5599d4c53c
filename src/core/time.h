/* Calendar arithmetic on UTC microseconds and days since 1970-01-01, proleptic
 * Gregorian with a year 0, as far as int32 days and int64 microseconds reach.
 * Years are written with at least four digits and a '-' where negative, and read
 * with four to seven digits and an optional sign. Pure: no clock, no zone files. */
#ifndef AP_CORE_TIME_H
#define AP_CORE_TIME_H

#include "core/str.h"

#define AP_US_PER_SECOND INT64_C(1000000)
#define AP_US_PER_DAY INT64_C(86400000000)

enum { AP_TIME_TEXT_MAX = 48 };

/* month 1..12, day 1..31; the result must fit: |year| up to 5,800,000. */
int32_t ap_days_from_civil(int64_t year, unsigned month, unsigned day);
void ap_civil_from_days(int64_t days, int64_t *year, unsigned *month, unsigned *day);

/* "yyyy-MM-dd" and nothing else. */
bool ap_date_parse(struct ap_str text, int32_t *days);
void ap_date_format(int32_t days, char out[AP_TIME_TEXT_MAX]);

/* yyyy-MM-dd[T| ]HH:mm[:ss[.fffffffff]][Z|±HH[:MM]]; without zone UTC is meant and
 * *had_zone is false. Fractions beyond microseconds are cut; *inexact tells.
 * had_zone and inexact may be NULL. */
bool ap_timestamp_parse(struct ap_str text, int64_t *us, bool *had_zone, bool *inexact);
/* digits: 0, 3 or 6 of the fraction. separator 'T' or ' '. zone: append "Z". */
void ap_timestamp_format(int64_t us, char separator, int digits, bool zone, char out[AP_TIME_TEXT_MAX]);

/* "30s", "5m", "2h", "1d", "250ms", "1.5s" → microseconds; also plain seconds. */
bool ap_duration_parse(struct ap_str text, int64_t *us);
/* Delta's "interval 7 days", "interval 1 week", "interval 36 hours", "interval 1 day
 * 12 hours" → microseconds. Months and years have no length: false. */
bool ap_interval_parse(struct ap_str text, int64_t *us);
/* "512MB" (10^6), "4GiB" (2^30), "1.5 GB", "1024" → bytes; any case. */
bool ap_size_parse(struct ap_str text, uint64_t *bytes);
void ap_size_format(uint64_t bytes, char out[32]); /* "13.5 MB" */

#endif
