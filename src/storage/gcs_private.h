/* The part of the Google backend that is tested by itself. */
#ifndef AP_STORAGE_GCS_PRIVATE_H
#define AP_STORAGE_GCS_PRIVATE_H

#include "storage/cloud.h"

/* A page of objects.list. codes: CORRUPT, MEMORY, LIMIT (more than AP_CLOUD_PAGE_MAX entries) */
AP_CHECKED enum apiary_code ap_gcs_page_parse(
    struct ap_str answer, struct ap_cloud_page *out, struct apiary_error *err);

#endif
