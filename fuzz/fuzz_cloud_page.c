/* Lists of Google and Azure, and URIs of buckets. */
#include "storage/azure_private.h"
#include "storage/gcs_private.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const options[] = { "account", "endpoint", NULL };
    struct ap_str document = { (const char *)data, size };
    struct ap_cloud_page page = { 0 };
    struct ap_cloud_uri uri = { 0 };
    if (ap_gcs_page_parse(document, &page, NULL) == APIARY_OK) ap_cloud_page_done(&page);
    memset(&page, 0, sizeof page);
    if (ap_azure_page_parse(document, &page, NULL) == APIARY_OK) ap_cloud_page_done(&page);
    AP_AUTO(ap_bytes) text = { 0 };
    if (size > 4096 || ap_bytes_add_str(&text, document, NULL) != APIARY_OK) return 0;
    if (ap_cloud_uri_parse(&uri, "az", ap_bytes_text(&text), options, NULL) == APIARY_OK)
        ap_cloud_uri_done(&uri);
    return 0;
}
