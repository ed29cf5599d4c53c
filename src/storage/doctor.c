#include "storage/doctor.h"

#include "core/alloc.h"
#include "core/time.h"
#include "storage/prove.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
    RACERS_USUAL = 4,
    LATENCIES = 9,
    BIG_BYTES = 8 << 20,
    SKEW_WARN_S = 5,
    SKEW_BAD_S = 900,
    LATENCY_WARN_MS = 500,
};

struct visit {
    struct ap_env *env;
    struct ap_store *store;
    const struct ap_doctor_options *options;
    char key[64], big[64];
    int bad;
    bool can_read, can_write;
};

static void tell(struct visit *visit, const char *check, enum ap_health health, const char *detail,
    const char *next)
{
    struct ap_finding finding = { check, health, detail, next };
    visit->bad += health == AP_HEALTH_BAD;
    visit->options->report(visit->options->context, &finding);
}

/* Which right is missing, in the words of the store's provider. */
static void missing_right(
    const struct visit *visit, const char *s3, const char *google, const char *azure, char out[256])
{
    const char *uri = visit->store->uri;
    if (strncmp(uri, "s3://", 5) == 0)
        snprintf(out, 256, "permit %s to these credentials on this bucket and prefix", s3);
    else if (strncmp(uri, "gs://", 5) == 0)
        snprintf(
            out, 256, "grant a role with %s on this bucket (roles/storage.objectUser)", google);
    else if (strncmp(uri, "az://", 5) == 0)
        snprintf(
            out, 256, "grant %s on this container (role Storage Blob Data Contributor)", azure);
    else
        snprintf(out, 256, "change the owner or mode of the directory");
}

static void tell_failure(struct visit *visit, const char *check, enum apiary_code code,
    const struct apiary_error *error, const char *s3, const char *google, const char *azure)
{
    char next[256] = "";
    switch (code) {
        case APIARY_DENIED: missing_right(visit, s3, google, azure, next); break;
        case APIARY_IO:
            snprintf(
                next, sizeof next, "check the endpoint, the network and proxies, then try again");
            break;
        case APIARY_NOT_FOUND:
            snprintf(next, sizeof next, "make the bucket, or correct its name in the URI");
            break;
        case APIARY_FULL: snprintf(next, sizeof next, "free space, or raise the quota"); break;
        default: break;
    }
    tell(visit, check, AP_HEALTH_BAD, error->message, *next ? next : error->hint);
}

static void skip(struct visit *visit, const char *check, const char *why)
{
    tell(visit, check, AP_HEALTH_SKIPPED, why, "");
}

/* ---- checks ---- */

static bool check_identity(struct visit *visit)
{
    struct ap_store_identity identity = { { 0 } };
    struct apiary_error error;
    char detail[AP_IDENTITY_MAX + 80], ends[AP_TIME_TEXT_MAX];
    enum apiary_code code = ap_store_identity(visit->store, &identity, &error);
    if (code != APIARY_OK) {
        tell_failure(visit, "credentials", code, &error, "", "", "");
        return false;
    }
    snprintf(detail, sizeof detail, "%s", identity.source);
    if (identity.expires_us) {
        ap_timestamp_format(identity.expires_us, 'T', 0, true, ends);
        snprintf(detail, sizeof detail, "%s, until %s", identity.source, ends);
    }
    tell(visit, "credentials", AP_HEALTH_GOOD, detail, "");
    return true;
}

static bool check_list(struct visit *visit)
{
    struct apiary_error error;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "_registry/", .delimited = true, .limit = 100 };
    char detail[160];
    enum apiary_code code = ap_store_list(visit->store, &request, &list, &error);
    if (code != APIARY_OK) {
        tell_failure(visit, "list", code, &error, "s3:ListBucket", "storage.objects.list",
            "Microsoft.Storage/…/blobs/read");
        return false;
    }
    snprintf(detail, sizeof detail, "%zu%s names in _registry", list.count + list.prefixes.count,
        list.more ? " or more" : "");
    tell(visit, "list", AP_HEALTH_GOOD, detail, "");
    int64_t skew_s = (list.now_us - ap_now_us(visit->env)) / AP_US_PER_SECOND;
    if (skew_s < 0) skew_s = -skew_s;
    snprintf(detail, sizeof detail, "this machine's clock and the store's differ by %" PRId64 " s",
        skew_s);
    if (skew_s >= SKEW_BAD_S)
        tell(visit, "clock", AP_HEALTH_BAD, detail,
            "set the clock of this machine (NTP): signatures are refused at 15 minutes");
    else if (skew_s > SKEW_WARN_S)
        tell(visit, "clock", AP_HEALTH_WARNING, detail, "set the clock of this machine (NTP)");
    else
        tell(visit, "clock", AP_HEALTH_GOOD, detail, "");
    return true;
}

static bool check_write(struct visit *visit)
{
    struct apiary_error error;
    enum apiary_code code = ap_store_put(visit->store, visit->key, AP_STR("0123456789"), &error);
    if (code != APIARY_OK) {
        tell_failure(visit, "write", code, &error, "s3:PutObject", "storage.objects.create",
            "Microsoft.Storage/…/blobs/write");
        return false;
    }
    tell(visit, "write", AP_HEALTH_GOOD, "an object of 10 bytes", "");
    return true;
}

static bool check_read(struct visit *visit)
{
    struct apiary_error error;
    AP_AUTO(ap_bytes) body = { 0 };
    enum apiary_code code = ap_store_get(
        visit->store, visit->key, (struct ap_range) { 3, 4, false }, &body, NULL, &error);
    if (code != APIARY_OK) {
        tell_failure(visit, "read", code, &error, "s3:GetObject", "storage.objects.get",
            "Microsoft.Storage/…/blobs/read");
        return false;
    }
    bool right = ap_str_is(ap_bytes_view(&body), "3456");
    tell(visit, "read", right ? AP_HEALTH_GOOD : AP_HEALTH_BAD,
        right ? "a part of an object" : "another part of the object came than was asked for",
        right ? "" : "this server does not serve ranges as it must: use another one");
    return right;
}

static void check_race(struct visit *visit)
{
    struct apiary_error error;
    struct ap_proof proof;
    char detail[160];
    int racers = visit->options->racers ? visit->options->racers : RACERS_USUAL;
    enum apiary_code code = ap_store_race(visit->store, racers, &proof, &error);
    if (code != APIARY_OK) {
        tell_failure(visit, "conditional put", code, &error, "s3:PutObject",
            "storage.objects.create", "Microsoft.Storage/…/blobs/write");
        return;
    }
    bool right = proof.winners == 1 && proof.body_is_winners;
    snprintf(detail, sizeof detail, "%d writers at once, %d told that they won", proof.racers,
        proof.winners);
    tell(visit, "conditional put", right ? AP_HEALTH_GOOD : AP_HEALTH_BAD, detail,
        right
            ? ""
            : "this store cannot be shared by writers: use another one, or writers=one in the URI");
}

static void check_delete(struct visit *visit)
{
    struct apiary_error error;
    AP_AUTO(ap_bytes) body = { 0 };
    enum apiary_code code = ap_store_delete(visit->store, visit->key, &error);
    if (code != APIARY_OK) {
        tell_failure(visit, "delete", code, &error, "s3:DeleteObject", "storage.objects.delete",
            "Microsoft.Storage/…/blobs/delete");
        return;
    }
    code = ap_store_get(visit->store, visit->key, AP_RANGE_ALL, &body, NULL, &error);
    if (code == APIARY_NOT_FOUND)
        tell(visit, "delete", AP_HEALTH_GOOD, "gone at once", "");
    else if (code == APIARY_DENIED) /* S3 says so of what is not there to who may not list */
        tell(visit, "delete", AP_HEALTH_WARNING, error.message,
            "permit s3:ListBucket, so that a missing object is told from a forbidden one");
    else
        tell(visit, "delete", AP_HEALTH_BAD, "the object can still be read",
            "this store does not show its writes at once: it cannot be used");
}

static int compare_times(const void *a, const void *b)
{
    const int64_t *left = a, *right = b;
    return (*left > *right) - (*left < *right);
}

static void check_latency(struct visit *visit)
{
    struct apiary_error error;
    int64_t times[LATENCIES];
    char detail[160];
    for (int i = 0; i < LATENCIES; i++) {
        AP_AUTO(ap_bytes) body = { 0 };
        int64_t before = ap_mono_us(visit->env);
        enum apiary_code code =
            ap_store_get(visit->store, visit->key, AP_RANGE_ALL, &body, NULL, &error);
        times[i] = ap_mono_us(visit->env) - before;
        if (code == APIARY_OK) continue;
        tell_failure(visit, "latency", code, &error, "s3:GetObject", "storage.objects.get",
            "Microsoft.Storage/…/blobs/read");
        return;
    }
    qsort(times, LATENCIES, sizeof *times, compare_times);
    double middle_ms = (double)times[LATENCIES / 2] / 1000,
           worst_ms = (double)times[LATENCIES - 1] / 1000;
    snprintf(detail, sizeof detail, "a small read takes %.1f ms (the slowest of %d: %.1f ms)",
        middle_ms, LATENCIES, worst_ms);
    bool slow = middle_ms > LATENCY_WARN_MS;
    tell(visit, "latency", slow ? AP_HEALTH_WARNING : AP_HEALTH_GOOD, detail,
        slow ? "run nearer to the bucket: in its region" : "");
}

static double rate(size_t bytes, int64_t us)
{
    return us > 0 ? (double)bytes / (double)us : 0; /* MB/s */
}

static void check_throughput(struct visit *visit)
{
    struct apiary_error error;
    AP_AUTO(ap_bytes) sent = { 0 }, got = { 0 };
    char detail[160];
    enum apiary_code code = ap_bytes_reserve(&sent, BIG_BYTES, &error);
    if (code == APIARY_OK) {
        ap_random(visit->env, sent.data, BIG_BYTES);
        sent.size = BIG_BYTES;
    }
    int64_t start = ap_mono_us(visit->env), written = start;
    if (code == APIARY_OK)
        code = ap_store_put(visit->store, visit->big, ap_bytes_view(&sent), &error);
    written = ap_mono_us(visit->env);
    if (code == APIARY_OK)
        code = ap_store_get(visit->store, visit->big, AP_RANGE_ALL, &got, NULL, &error);
    int64_t read = ap_mono_us(visit->env);
    enum apiary_code removed = ap_store_delete(visit->store, visit->big, NULL);
    if (code != APIARY_OK) {
        tell_failure(visit, "throughput", code, &error, "s3:PutObject", "storage.objects.create",
            "Microsoft.Storage/…/blobs/write");
        return;
    }
    bool same = ap_str_equal(ap_bytes_view(&sent), ap_bytes_view(&got));
    snprintf(detail, sizeof detail, "8 MiB: written at %.1f MB/s, read at %.1f MB/s%s",
        rate(BIG_BYTES, written - start), rate(BIG_BYTES, read - written),
        removed == APIARY_OK ? "" : " (the object could not be removed)");
    tell(visit, "throughput", same ? AP_HEALTH_GOOD : AP_HEALTH_BAD,
        same ? detail : "other bytes came back than were written",
        same ? "" : "do not use this store");
}

/* ---- the visit ---- */

static void go_round(struct visit *visit)
{
    if (!check_identity(visit)) return;
    visit->can_read = check_list(visit);
    visit->can_write = check_write(visit);
    if (!visit->can_write) {
        skip(visit, "conditional put", "nothing can be written");
        return;
    }
    visit->can_read = check_read(visit);
    check_race(visit);
    if (visit->can_read) {
        check_latency(visit);
        check_throughput(visit);
    }
    check_delete(visit);
}

enum apiary_code ap_doctor(struct ap_env *env, const char *uri,
    const struct ap_doctor_options *options, int *bad, struct apiary_error *err)
{
    struct visit visit = { .env = env, .options = options };
    AP_TRY(ap_store_open(env, uri, NULL, &visit.store, err));
    unsigned long long number = ap_random_u64(env);
    snprintf(visit.key, sizeof visit.key, "_registry/proof/%016llx.small", number);
    snprintf(visit.big, sizeof visit.big, "_registry/proof/%016llx.big", number);
    go_round(&visit);
    ap_store_close(visit.store);
    *bad = visit.bad;
    return APIARY_OK;
}
