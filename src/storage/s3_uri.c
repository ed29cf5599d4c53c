/* s3://bucket/prefix?options: where a bucket is (s3_private.h). */
#include "storage/s3_private.h"

#include "storage/cloud_uri.h"

#include <stdlib.h>

enum { REGION_MAX = 63 };
enum {
    OPTION_ANONYMOUS,
    OPTION_ENDPOINT,
    OPTION_PROFILE,
    OPTION_REGION,
    OPTION_REQUESTER_PAYS,
    OPTION_SSE,
    OPTION_SSE_KEY,
    OPTION_STYLE,
    OPTION_WRITERS,
};
static const char *const options[] = { "anonymous", "endpoint", "profile", "region",
    "requester_pays", "sse", "sse_key", "style", "writers", NULL };

void ap_s3_place_done(struct ap_s3_place *place)
{
    struct ap_bytes *const all[] = { &place->bucket, &place->prefix, &place->region, &place->base,
        &place->host, &place->root, &place->uri, &place->profile, &place->sse, &place->sse_key };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) ap_bytes_done(all[i]);
}

bool ap_s3_region_is_good(struct ap_str region)
{
    for (size_t i = 0; i < region.size; i++) {
        char c = region.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
            return false;
    }
    return region.size > 0 && region.size <= REGION_MAX;
}

enum apiary_code ap_s3_place_host(const struct ap_s3_place *place, struct ap_str region,
    struct ap_bytes *base, struct ap_bytes *host, struct apiary_error *err)
{
    if (!place->is_aws) {
        AP_TRY(ap_bytes_add_str(host, ap_bytes_view(&place->host), err));
        return ap_bytes_add_str(base, ap_bytes_view(&place->base), err);
    }
    bool virtual_style = place->root.size == 1, china = ap_str_starts_with(region, AP_STR("cn-"));
    if (virtual_style) AP_TRY(ap_bytes_printf(host, err, "%s.", ap_bytes_text(&place->bucket)));
    AP_TRY(ap_bytes_printf(
        host, err, "s3." AP_FMT ".amazonaws.com%s", AP_ARG(region), china ? ".cn" : ""));
    return ap_bytes_printf(base, err, "https://%s", ap_bytes_text(host));
}

/* A custom endpoint is a host name and nothing more. */
static enum apiary_code locate_endpoint(
    struct ap_s3_place *place, struct ap_str endpoint, bool virtual_style, struct apiary_error *err)
{
    bool plain = ap_str_starts_with(endpoint, AP_STR("http://"));
    if (endpoint.data[endpoint.size - 1] == '/') endpoint.size--;
    size_t skip = plain ? 7 : 8;
    if (!ap_cloud_endpoint_is_good(endpoint) ||
        memchr(endpoint.data + skip, '/', endpoint.size - skip))
        return ap_fail(err, APIARY_INVALID,
            "the S3 endpoint must be http:// or https:// with a host name and nothing more");
    struct ap_str name = { endpoint.data + skip, endpoint.size - skip };
    place->is_google = ap_str_is(name, "storage.googleapis.com");
    if (virtual_style)
        AP_TRY(ap_bytes_printf(&place->host, err, "%s.", ap_bytes_text(&place->bucket)));
    AP_TRY(ap_bytes_add_str(&place->host, name, err));
    return ap_bytes_printf(
        &place->base, err, "%s://%s", plain ? "http" : "https", ap_bytes_text(&place->host));
}

/* Fills in base, host and root. */
static enum apiary_code locate(struct ap_s3_place *place, const struct ap_bytes *style,
    struct ap_str endpoint, struct apiary_error *err)
{
    place->is_aws = endpoint.size == 0;
    bool virtual_style = place->is_aws;
    if (style->size) {
        virtual_style = ap_str_is(ap_bytes_view(style), "virtual");
        if (!virtual_style && !ap_str_is(ap_bytes_view(style), "path"))
            return ap_fail(err, APIARY_INVALID, "storage s3://: style is path or virtual, not '%s'",
                ap_bytes_text(style));
    }
    /* A dot in the name breaks TLS in virtual-host style. */
    if (memchr(place->bucket.data, '.', place->bucket.size)) virtual_style = false;
    AP_TRY(virtual_style
               ? ap_bytes_add_text(&place->root, "/", err)
               : ap_bytes_printf(&place->root, err, "/%s/", ap_bytes_text(&place->bucket)));
    if (!place->is_aws) return locate_endpoint(place, endpoint, virtual_style, err);
    return ap_s3_place_host(place, ap_bytes_view(&place->region), &place->base, &place->host, err);
}

/* What the URI says, else the first variable that is set. */
static struct ap_str choose(const struct ap_bytes *named, const char *first, const char *second)
{
    struct ap_str value = ap_bytes_view(named);
    if (value.size == 0) value = ap_str_from(getenv(first));
    return value.size ? value : ap_str_from(getenv(second));
}

static enum apiary_code choose_region(
    struct ap_s3_place *place, const struct ap_bytes *named, struct apiary_error *err)
{
    struct ap_str region = choose(named, "AWS_REGION", "AWS_DEFAULT_REGION");
    if (region.size)
        AP_TRY(ap_bytes_add_str(&place->region, region, err));
    else if (!ap_aws_profile_value(ap_bytes_text(&place->profile), "region", &place->region))
        AP_TRY(ap_bytes_add_text(&place->region, "us-east-1", err));
    if (ap_s3_region_is_good(ap_bytes_view(&place->region))) return APIARY_OK;
    return ap_fail(err, APIARY_INVALID, "storage s3://: the region is no name");
}

static enum apiary_code take_options(
    struct ap_s3_place *place, struct ap_bytes *values, struct apiary_error *err)
{
    struct ap_str sse = ap_bytes_view(&values[OPTION_SSE]),
                  writers = ap_bytes_view(&values[OPTION_WRITERS]);
    AP_TRY(ap_cloud_uri_flag("anonymous", &values[OPTION_ANONYMOUS], &place->anonymous, err));
    AP_TRY(ap_cloud_uri_flag(
        "requester_pays", &values[OPTION_REQUESTER_PAYS], &place->requester_pays, err));
    place->one_writer = ap_str_is(writers, "one");
    if (writers.size && !place->one_writer && !ap_str_is(writers, "many"))
        return ap_fail(err, APIARY_INVALID,
            "storage s3://: writers is one or many, not '" AP_FMT "'", AP_ARG(writers));
    if (sse.size && !ap_str_is(sse, "AES256") && !ap_str_starts_with(sse, AP_STR("aws:kms")))
        return ap_fail(err, APIARY_INVALID,
            "storage s3://: sse is AES256 or aws:kms, not '" AP_FMT "'", AP_ARG(sse));
    place->profile = AP_TAKE(values[OPTION_PROFILE]);
    place->sse = AP_TAKE(values[OPTION_SSE]);
    place->sse_key = AP_TAKE(values[OPTION_SSE_KEY]);
    return APIARY_OK;
}

static enum apiary_code place_at(
    struct ap_s3_place *place, struct ap_cloud_uri *uri, struct apiary_error *err)
{
    place->bucket = AP_TAKE(uri->bucket);
    place->prefix = AP_TAKE(uri->prefix);
    place->uri = AP_TAKE(uri->uri);
    AP_TRY(take_options(place, uri->values, err));
    AP_TRY(choose_region(place, &uri->values[OPTION_REGION], err));
    struct ap_str endpoint =
        choose(&uri->values[OPTION_ENDPOINT], "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL");
    AP_TRY(locate(place, &uri->values[OPTION_STYLE], endpoint, err));
    if (!place->is_google || (place->sse.size == 0 && !place->requester_pays)) return APIARY_OK;
    ap_fail(err, APIARY_INVALID, "storage s3://: sse and requester_pays are not for Google's endpoint");
    return ap_hint(err, "the bucket's own settings say how it encrypts and who pays");
}

enum apiary_code ap_s3_place_parse(
    struct ap_s3_place *place, const char *text, struct apiary_error *err)
{
    AP_AUTO(ap_cloud_uri) uri = { 0 };
    AP_AUTO(ap_s3_place) parsed = { 0 };
    AP_TRY(ap_cloud_uri_parse(&uri, "s3", text, options, err));
    AP_TRY(place_at(&parsed, &uri, err));
    *place = AP_TAKE(parsed);
    return APIARY_OK;
}
