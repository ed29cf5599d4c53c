/* XML answers of an object store. */
#include "storage/s3_xml.h"
#include "storage/xml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ap_str document = { (const char *)data, size };
    struct ap_cloud_error error;
    struct ap_cloud_page page = { 0 };
    (void)ap_s3_error_parse(document, &error);
    if (ap_s3_page_parse(document, &page, NULL) == APIARY_OK) ap_cloud_page_done(&page);
    if (ap_s3_deleted_parse(document, NULL) != APIARY_OK) return 0;
    return 0;
}
