#include "storage/policy_private.h"

bool ap_policy_has(const struct ap_policy *policy, unsigned rights)
{
    for (size_t i = 0; i < policy->count; i++)
        if (policy->grants[i].rights & rights) return true;
    return false;
}

enum apiary_code ap_policy_place(
    const struct ap_policy *policy, const char *scheme, struct ap_cloud_uri *out, struct apiary_error *err)
{
    AP_TRY(ap_cloud_uri_parse(out, scheme, policy->uri, NULL, err));
    for (size_t i = 0; i < out->prefix.size; i++) {
        char c = out->prefix.data[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && !strchr("._=/-", c))
            return ap_fail(err, APIARY_INVALID,
                "no commands can be written for %s: its prefix has other characters than letters, digits and . _ = / -", policy->uri);
    }
    return APIARY_OK;
}

enum apiary_code ap_policy_write(const char *uri, const char *title, const struct ap_grant *grants,
    size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_policy policy = { uri, title, grants, count, out };
    struct ap_str text = ap_str_from(uri);
    if (ap_str_starts_with(text, AP_STR("s3://"))) return ap_policy_s3(&policy, err);
    if (ap_str_starts_with(text, AP_STR("gs://"))) return ap_policy_gcs(&policy, err);
    if (ap_str_starts_with(text, AP_STR("az://"))) return ap_policy_azure(&policy, err);
    ap_fail(err, APIARY_UNSUPPORTED, "the store %s has no access policies: it is no bucket", uri);
    return ap_hint(err, "name a bucket: --storage s3://bucket/root (or gs://, az://); who may use a "
                        "directory is said by its owner and mode");
}
