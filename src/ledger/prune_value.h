/* Values that pruning compares: column bounds and constants, turned into one of three domains.
 *
 * A constant or a bound becomes an interval that surely holds the true value. Where the engine's
 * own conversion is not exactly known (decimal to double, a time without its zone, a float's
 * text) the interval is widened, so that a wrong guess keeps a cell and never drops one. */
#ifndef AP_LEDGER_PRUNE_VALUE_H
#define AP_LEDGER_PRUNE_VALUE_H

#include "core/predicate.h"
#include "ledger/schema.h"

enum ap_domain_kind {
    AP_DOMAIN_EXACT,  /* integers, decimals, booleans; dates and times as microseconds */
    AP_DOMAIN_DOUBLE, /* floating point, and what the engine compares as such */
    AP_DOMAIN_TEXT    /* UTF-8 bytes */
};

struct ap_value {
    enum ap_domain_kind domain;
    __int128 digits; /* EXACT: digits × 10^-scale */
    int scale;
    double number;
    struct ap_str text; /* borrowed */
};

/* Inclusive; a side that is not there is not known. */
struct ap_interval {
    bool has_low, has_high;
    struct ap_value low, high;
};

/* Compares within one domain: -1, 0, 1; *known false when decimals are too far apart in scale. */
int ap_value_compare(const struct ap_value *a, const struct ap_value *b, bool *known);

/* A constant compared with a column of `type`, both sides known; false: cannot be told. */
bool ap_literal_interval(
    const struct ap_type *type, const struct ap_literal *literal, struct ap_interval *out);
/* What values a partition's text can mean, in `domain`. false: cannot be told. */
bool ap_partition_interval(const struct ap_type *type, enum ap_domain_kind domain,
    struct ap_str text, struct ap_interval *out);
/* A bound out of stats: the text of a JSON number or string, or "true"/"false". `upper`: of
 * maxValues. false: it bounds nothing. */
bool ap_stats_bound(const struct ap_type *type, enum ap_domain_kind domain, struct ap_str text,
    bool upper, struct ap_value *out);

/* digits, '.', exponent → exact; false when it has more than 38 digits. */
bool ap_decimal_parse(struct ap_str text, __int128 *digits, int *scale);

#endif
