/* The few XML documents that S3 answers with. */
#ifndef AP_STORAGE_S3_XML_H
#define AP_STORAGE_S3_XML_H

#include "storage/cloud.h"

/* <Error>: Code and Message, cut to their buffers; empty when the document has none. True when the
 * document is an <Error>. Never fails: what cannot be read gives empty texts. */
bool ap_s3_error_parse(struct ap_str document, struct ap_cloud_error *out);

/* A page of ListObjectsV2 that was asked for with encoding-type=url; whether it is so, it says itself.
 * codes: CORRUPT, MEMORY, LIMIT (more than AP_CLOUD_PAGE_MAX entries) */
AP_CHECKED enum apiary_code ap_s3_page_parse(
    struct ap_str document, struct ap_cloud_page *out, struct apiary_error *err);

/* <DeleteResult>: OK when every key went; else the first <Error> as IO or DENIED, with its key. */
AP_CHECKED enum apiary_code ap_s3_deleted_parse(struct ap_str document, struct apiary_error *err);

/* <InitiateMultipartUploadResult>: the id of the upload. CORRUPT when there is none. */
AP_CHECKED enum apiary_code ap_s3_upload_parse(
    struct ap_str document, struct ap_bytes *id, struct apiary_error *err);

#endif
