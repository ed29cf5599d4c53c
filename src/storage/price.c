#include "storage/price.h"

#include "core/time.h"

#include <stdio.h>

/* List prices of 2026 for the usual class in the largest region; data out only where a client is
 * elsewhere, so it is not counted unless it is set. */
static const struct {
    const char *prefix, *part; /* of the URI */
    struct ap_prices prices;
} table[] = {
    { "s3://", "r2.cloudflarestorage.com", { 4.5, 0.36, 4.5, 0, 0 } },
    { "s3://", "backblazeb2.com", { 0, 0.4, 4.0, 0, 0 } },
    { "s3://", "storage.googleapis.com", { 5.0, 0.4, 5.0, 0, 0 } },
    { "s3://", "localhost", { 0, 0, 0, 0, 0 } },
    { "s3://", "127.0.0.1", { 0, 0, 0, 0, 0 } },
    { "s3://", "", { 5.0, 0.4, 5.0, 0, 0 } },
    { "gs://", "", { 5.0, 0.4, 5.0, 0, 0 } },
    { "az://", "", { 6.5, 0.5, 6.5, 0, 0 } },
};

static double *price_named(struct ap_prices *prices, struct ap_str name)
{
    return ap_str_is(name, "put")      ? &prices->put
           : ap_str_is(name, "get")    ? &prices->get
           : ap_str_is(name, "list")   ? &prices->list
           : ap_str_is(name, "delete") ? &prices->remove
           : ap_str_is(name, "gb_out") ? &prices->gigabyte_out
                                       : NULL;
}

static enum apiary_code apply(
    struct ap_prices *prices, struct ap_str word, struct apiary_error *err)
{
    double value = 0;
    size_t equals = ap_str_find(word, AP_STR("="));
    size_t end = equals == SIZE_MAX ? word.size : equals;
    double *price = price_named(prices, (struct ap_str) { word.data, end });
    if (!price || equals == SIZE_MAX ||
        !ap_str_to_double((struct ap_str) { word.data + end + 1, word.size - end - 1 }, &value) ||
        !(value >= 0 && value < 1e9)) {
        ap_fail(err, APIARY_CONFIG, "'" AP_FMT "' is no price of a store",
            (int)(word.size < 60 ? word.size : 60), word.data);
        return ap_hint(err, "like: put=5 get=0.4 list=5 delete=0 gb_out=0.09 (dollars a million "
                            "requests, a gigabyte)");
    }
    *price = value;
    return APIARY_OK;
}

enum apiary_code ap_prices_choose(
    struct ap_prices *prices, const char *uri, const char *text, struct apiary_error *err)
{
    struct ap_prices chosen = { 0 };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        if (strncmp(uri, table[i].prefix, strlen(table[i].prefix)) != 0 ||
            !strstr(uri, table[i].part))
            continue;
        chosen = table[i].prices;
        break;
    }
    for (const char *at = text ? text : ""; *at;) {
        size_t size = strcspn(at, " ,");
        if (size) AP_TRY(apply(&chosen, (struct ap_str) { at, size }, err));
        at += size + strspn(at + size, " ,");
    }
    *prices = chosen;
    return APIARY_OK;
}

double ap_prices_dollars(const struct ap_prices *prices, const struct ap_store_counts *counts)
{
    return ((double)(counts->puts + counts->puts_if_absent) * prices->put +
               (double)(counts->gets + counts->ranges) * prices->get +
               (double)counts->lists * prices->list + (double)counts->deletes * prices->remove) /
               1e6 +
           (double)counts->bytes_in / 1e9 * prices->gigabyte_out;
}

enum apiary_code ap_store_counts_json(const struct ap_store_counts *counts,
    const struct ap_prices *prices, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_store_counts now = { 0 };
    ap_store_counts_add(&now, counts);
    uint64_t requests =
        now.puts + now.puts_if_absent + now.gets + now.ranges + now.lists + now.deletes;
    AP_TRY(ap_bytes_printf(out, err, "\"requests\":%llu", (unsigned long long)requests));
#define ADD(name)                                                                                  \
    AP_TRY(ap_bytes_printf(out, err, ",\"%s\":%llu", #name, (unsigned long long)now.name));
    AP_STORE_COUNTS(ADD)
#undef ADD
    if (!prices) return APIARY_OK;
    return ap_bytes_printf(
        out, err, ",\"estimated_cost_dollars\":%.8f", ap_prices_dollars(prices, &now));
}

void ap_store_counts_text(const struct ap_store_counts *counts, const struct ap_prices *prices,
    char out[AP_STORE_COUNTS_TEXT_MAX])
{
    struct ap_store_counts now = { 0 };
    char in[32], written[32];
    ap_store_counts_add(&now, counts);
    unsigned long long puts = now.puts + now.puts_if_absent, gets = now.gets + now.ranges,
                       lists = now.lists, deletes = now.deletes;
    ap_size_format(now.bytes_in, in);
    ap_size_format(now.bytes_out, written);
    snprintf(out, AP_STORE_COUNTS_TEXT_MAX,
        "store: %llu requests (%llu put, %llu get, %llu list, %llu delete), %s read, %s written, "
        "about $%.7f",
        puts + gets + lists + deletes, puts, gets, lists, deletes, in, written,
        ap_prices_dollars(prices, &now));
}
