/* What requests cost, by a table of prices: an estimate for people who look, not a bill. */
#ifndef AP_STORAGE_PRICE_H
#define AP_STORAGE_PRICE_H

#include "storage/store.h"

/* Dollars for a million requests of a kind, and for a gigabyte that leaves the store. */
struct ap_prices {
    double put, get, list, remove, gigabyte_out;
};

/* The provider's list price by the URI's scheme and endpoint (zero for this machine's stores), then
 * what `text` says: "put=5 get=0.4 list=5 delete=0 gb_out=0.09", any of them, separated by blanks
 * or commas. codes: CONFIG (names the word) */
AP_CHECKED enum apiary_code ap_prices_choose(
    struct ap_prices *prices, const char *uri, const char *text, struct apiary_error *err);
double ap_prices_dollars(const struct ap_prices *prices, const struct ap_store_counts *counts);

/* Appends members of a JSON object, without braces: each kind, "requests" (their sum) and
 * "estimated_cost_dollars". prices NULL: without the last. */
AP_CHECKED enum apiary_code ap_store_counts_json(const struct ap_store_counts *counts,
    const struct ap_prices *prices, struct ap_bytes *out, struct apiary_error *err);

/* "store: 5 requests (2 put, 3 get, 0 list, 0 delete), 0 B read, 1.2 kB written, about $0.0000112" */
enum { AP_STORE_COUNTS_TEXT_MAX = 256 };
void ap_store_counts_text(const struct ap_store_counts *counts, const struct ap_prices *prices,
    char out[AP_STORE_COUNTS_TEXT_MAX]);

#endif
