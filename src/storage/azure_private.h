/* The parts of the Azure backend that are tested by themselves. */
#ifndef AP_STORAGE_AZURE_PRIVATE_H
#define AP_STORAGE_AZURE_PRIVATE_H

#include "storage/bearer.h"
#include "storage/cloud.h"
#include "storage/cloud_uri.h"

/* base64(HMAC-SHA256(key, text)), appended. */
AP_CHECKED enum apiary_code ap_azure_signature(
    struct ap_str key, struct ap_str text, struct ap_bytes *out, struct apiary_error *err);
/* A page of List Blobs. codes: CORRUPT, MEMORY, LIMIT (more than AP_CLOUD_PAGE_MAX entries) */
AP_CHECKED enum apiary_code ap_azure_page_parse(
    struct ap_str document, struct ap_cloud_page *out, struct apiary_error *err);

#endif
