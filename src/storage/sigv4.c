#include "storage/sigv4.h"

#include "core/codec.h"
#include "core/time.h"

#include <stdio.h>
#include <stdlib.h>

static const char unreserved[] = "-._~"; /* besides letters and digits */

void ap_sigv4_time(int64_t now_us, char out[AP_SIGV4_TIME_SIZE])
{
    int64_t year, days = now_us / AP_US_PER_DAY;
    unsigned month, day;
    ap_assert(now_us >= 0 && days < 2932897); /* before the year 10000 */
    ap_civil_from_days(days, &year, &month, &day);
    unsigned seconds = (unsigned)(now_us % AP_US_PER_DAY / AP_US_PER_SECOND);
    snprintf(out, AP_SIGV4_TIME_SIZE, "%04u%02u%02uT%02u%02u%02uZ", (unsigned)year % 10000,
        month % 100, day % 100, seconds / 3600 % 100, seconds / 60 % 60, seconds % 60);
}

void ap_sigv4_hash(struct ap_str body, char out[AP_SIGV4_HASH_SIZE])
{
    uint8_t hash[AP_SHA256_SIZE];
    ap_sha256(body.data, body.size, hash);
    ap_hex(hash, sizeof hash, out);
}

enum apiary_code ap_sigv4_path(struct ap_bytes *out, struct ap_str path, struct apiary_error *err)
{
    return ap_percent_encode(out, path, "-._~/", err);
}

/* ---- sorting ---- */

static int pair_compare(const void *a, const void *b)
{
    const struct ap_sigv4_pair *const *left = a, *const *right = b;
    int order = strcmp((*left)->name, (*right)->name);
    return order ? order : strcmp((*left)->value, (*right)->value);
}

static enum apiary_code sort_pairs(const struct ap_sigv4_pair *pairs, size_t count,
    const struct ap_sigv4_pair *sorted[AP_SIGV4_PAIRS_MAX], struct apiary_error *err)
{
    if (count > AP_SIGV4_PAIRS_MAX)
        return ap_fail(err, APIARY_LIMIT,
            "a request has %zu headers or parameters; %d is the limit", count, AP_SIGV4_PAIRS_MAX);
    for (size_t i = 0; i < count; i++) sorted[i] = &pairs[i];
    qsort(sorted, count, sizeof *sorted, pair_compare);
    return APIARY_OK;
}

/* Names are sorted before they are encoded here, the standard says after: the same for the names
 * that are used (letters, digits and '-' encode to themselves). */
enum apiary_code ap_sigv4_query(
    struct ap_bytes *out, const struct ap_sigv4_pair *pairs, size_t count, struct apiary_error *err)
{
    const struct ap_sigv4_pair *sorted[AP_SIGV4_PAIRS_MAX];
    AP_TRY(sort_pairs(pairs, count, sorted, err));
    for (size_t i = 0; i < count; i++) {
        if (i) AP_TRY(ap_bytes_add_text(out, "&", err));
        AP_TRY(ap_percent_encode(out, ap_str_from(sorted[i]->name), unreserved, err));
        AP_TRY(ap_bytes_add_text(out, "=", err));
        AP_TRY(ap_percent_encode(out, ap_str_from(sorted[i]->value), unreserved, err));
    }
    return APIARY_OK;
}

/* ---- signing ---- */

/* Ends trimmed, runs of spaces made one. */
static enum apiary_code add_header_value(
    struct ap_bytes *out, const char *value, struct apiary_error *err)
{
    struct ap_str text = ap_str_trim(ap_str_from(value));
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == ' ' && i > 0 && text.data[i - 1] == ' ') continue;
        AP_TRY(ap_bytes_add(out, &text.data[i], 1, err));
    }
    return APIARY_OK;
}

static enum apiary_code add_names(struct ap_bytes *out, const struct ap_sigv4_pair *const *sorted,
    size_t count, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) {
        if (i && strcmp(sorted[i]->name, sorted[i - 1]->name) == 0) continue;
        if (i) AP_TRY(ap_bytes_add_text(out, ";", err));
        AP_TRY(ap_bytes_add_text(out, sorted[i]->name, err));
    }
    return APIARY_OK;
}

/* One line a name; several values of one name stand on it with commas between. */
static enum apiary_code add_headers(struct ap_bytes *out, const struct ap_sigv4_pair *const *sorted,
    size_t count, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) {
        bool again = i && strcmp(sorted[i]->name, sorted[i - 1]->name) == 0;
        if (!again) AP_TRY(ap_bytes_add_text(out, sorted[i]->name, err));
        AP_TRY(ap_bytes_add_text(out, again ? "," : ":", err));
        AP_TRY(add_header_value(out, sorted[i]->value, err));
        bool last = i + 1 == count || strcmp(sorted[i]->name, sorted[i + 1]->name) != 0;
        if (last) AP_TRY(ap_bytes_add_text(out, "\n", err));
    }
    return APIARY_OK;
}

static void signing_key(
    const struct ap_sigv4_key *key, const char *date, uint8_t out[AP_SHA256_SIZE])
{
    char first[5 + 128 + 1];
    uint8_t by_date[AP_SHA256_SIZE], by_region[AP_SHA256_SIZE], by_service[AP_SHA256_SIZE];
    const char *end = key->google ? "goog4_request" : "aws4_request";
    int size =
        snprintf(first, sizeof first, "%s%.128s", key->google ? "GOOG4" : "AWS4", key->secret_key);
    ap_hmac_sha256(first, (size_t)size, date, 8, by_date);
    ap_hmac_sha256(by_date, sizeof by_date, key->region, strlen(key->region), by_region);
    ap_hmac_sha256(by_region, sizeof by_region, key->service, strlen(key->service), by_service);
    ap_hmac_sha256(by_service, sizeof by_service, end, strlen(end), out);
    explicit_bzero(first, sizeof first);
}

enum apiary_code ap_sigv4_authorize(struct ap_bytes *out, const struct ap_sigv4_key *key,
    const struct ap_sigv4_request *request, struct apiary_error *err)
{
    const struct ap_sigv4_pair *sorted[AP_SIGV4_PAIRS_MAX];
    AP_AUTO(ap_bytes) canonical = { 0 }, names = { 0 }, to_sign = { 0 };
    char hash[AP_SIGV4_HASH_SIZE], signature[AP_SIGV4_HASH_SIZE];
    uint8_t secret[AP_SHA256_SIZE], mac[AP_SHA256_SIZE];
    size_t count = request->header_count;
    AP_TRY(sort_pairs(request->headers, count, sorted, err));
    AP_TRY(add_names(&names, sorted, count, err));

    AP_TRY(ap_bytes_printf(
        &canonical, err, "%s\n%s\n%s\n", request->method, request->path, request->query));
    AP_TRY(add_headers(&canonical, sorted, count, err));
    AP_TRY(
        ap_bytes_printf(&canonical, err, "\n%s\n%s", ap_bytes_text(&names), request->payload_hash));
    ap_sigv4_hash(ap_bytes_view(&canonical), hash);

    const char *name = key->google ? "GOOG4" : "AWS4", *end = key->google ? "goog4" : "aws4";
    AP_TRY(ap_bytes_printf(&to_sign, err, "%s-HMAC-SHA256\n%s\n%.8s/%s/%s/%s_request\n%s", name,
        request->time, request->time, key->region, key->service, end, hash));
    signing_key(key, request->time, secret);
    ap_hmac_sha256(secret, sizeof secret, to_sign.data, to_sign.size, mac);
    explicit_bzero(secret, sizeof secret);
    ap_hex(mac, sizeof mac, signature);
    return ap_bytes_printf(out, err,
        "%s-HMAC-SHA256 Credential=%s/%.8s/%s/%s/%s_request,SignedHeaders=%s,Signature=%s", name,
        key->access_key, request->time, key->region, key->service, end, ap_bytes_text(&names),
        signature);
}
