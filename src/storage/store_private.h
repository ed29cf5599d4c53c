/* What the backends share with store.c, and nobody else sees. */
#ifndef AP_STORAGE_STORE_PRIVATE_H
#define AP_STORAGE_STORE_PRIVATE_H

#include "storage/store.h"

/* A root, taken apart and made absolute. */
struct ap_root {
    struct ap_bytes uri;  /* canonical */
    struct ap_bytes path; /* local: the absolute path without "/" at its end (unless it is "/") */
    enum { AP_ROOT_LOCAL, AP_ROOT_MEMORY, AP_ROOT_S3, AP_ROOT_GCS, AP_ROOT_AZURE } kind;
};
void ap_root_done(struct ap_root *root);
/* codes: UNSUPPORTED names the scheme; INVALID */
AP_CHECKED enum apiary_code ap_root_parse(
    struct ap_root *root, const char *uri, struct apiary_error *err);

/* The backends. On OK *out is ready but for `uri`, which ap_store_open fills in. */
AP_CHECKED enum apiary_code ap_local_open(struct ap_env *env, struct ap_str path, bool fsync,
    struct ap_store **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_s3_open(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_gcs_open(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_azure_open(
    struct ap_env *env, const char *uri, struct ap_store **out, struct apiary_error *err);
/* Their canonical URIs. */
AP_CHECKED enum apiary_code ap_gcs_canonical(
    const char *uri, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_azure_canonical(
    const char *uri, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_memory_open(
    struct ap_env *env, struct ap_store **out, struct apiary_error *err);

#endif
