/* One provider's way to write a policy (policy.h). */
#ifndef AP_STORAGE_POLICY_PRIVATE_H
#define AP_STORAGE_POLICY_PRIVATE_H

#include "storage/cloud_uri.h"
#include "storage/policy.h"

struct ap_policy {
    const char *uri, *title;
    const struct ap_grant *grants;
    size_t count;
    struct ap_bytes *out;
};

/* Does any grant have one of these rights? */
bool ap_policy_has(const struct ap_policy *policy, unsigned rights);

/* Bucket and prefix for commands of a shell: INVALID where the prefix holds more than letters, digits and . _ = / -. */
AP_CHECKED enum apiary_code ap_policy_place(
    const struct ap_policy *policy, const char *scheme, struct ap_cloud_uri *out, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_policy_s3(const struct ap_policy *policy, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_policy_gcs(const struct ap_policy *policy, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_policy_azure(const struct ap_policy *policy, struct apiary_error *err);

#endif
