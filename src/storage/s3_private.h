/* The S3 backend's own: where the bucket is and who we are. */
#ifndef AP_STORAGE_S3_PRIVATE_H
#define AP_STORAGE_S3_PRIVATE_H

#include "storage/aws_identity.h"
#include "storage/cloud.h"
#include "storage/s3_xml.h"
#include "storage/sigv4.h"

/* ---- s3_uri.c ---- */

/* s3://bucket[/prefix][?option=value&…] and what the environment adds: AWS_REGION,
 * AWS_DEFAULT_REGION, the profile's region, AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL. Options: region,
 * endpoint, style (path, virtual), profile, anonymous, requester_pays (true, false), sse (AES256,
 * aws:kms), sse_key (a KMS key's id), writers (one, many). */
struct ap_s3_place {
    struct ap_bytes bucket;
    struct ap_bytes prefix; /* "" or ends in '/' */
    struct ap_bytes region;
    struct ap_bytes base; /* "https://host[:port]", without path; virtual style: with the bucket */
    struct ap_bytes host; /* as the Host header has it */
    struct ap_bytes root; /* before each key: "/" or "/bucket/", encoded */
    struct ap_bytes uri;  /* canonical: with what the URI itself said, sorted */
    struct ap_bytes profile, sse, sse_key;
    bool anonymous, requester_pays, one_writer;
    bool is_aws;    /* no endpoint was named: hosts follow the region */
    bool is_google; /* the endpoint is Google's: its own header for conditions */
};
void ap_s3_place_done(struct ap_s3_place *place);
/* codes: INVALID (names the part), MEMORY */
AP_CHECKED enum apiary_code ap_s3_place_parse(
    struct ap_s3_place *place, const char *uri, struct apiary_error *err);
/* base and host for another region (AWS only; else the same ones). Appends. */
AP_CHECKED enum apiary_code ap_s3_place_host(const struct ap_s3_place *place, struct ap_str region,
    struct ap_bytes *base, struct ap_bytes *host, struct apiary_error *err);
bool ap_s3_region_is_good(struct ap_str region);

/* ---- s3.c ---- */

struct ap_s3 {
    struct ap_cloud cloud;
    struct ap_s3_place place;
    struct ap_aws_identity *identity;
    struct ap_lock *lock;
    struct ap_bytes moved; /* the region that an answer named; guarded by lock */
};
static inline struct ap_s3 *ap_s3_of(struct ap_cloud *cloud)
{
    return (struct ap_s3 *)(void *)cloud;
}

#endif
