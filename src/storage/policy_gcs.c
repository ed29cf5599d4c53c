/* Bindings of roles at a Google bucket, each with a condition on the names of objects.
 *
 * Listing is a right at the bucket and not at objects, so it is given for the whole bucket. Who may
 * only create (roles/storage.objectCreator) can replace nothing: Google wants the right to delete for
 * that. A condition holds twelve operators at most; so there is a binding for each pattern. */
#include "storage/policy_private.h"

struct writing {
    const struct ap_policy *policy;
    const struct ap_cloud_uri *place;
    int bindings;
};

static enum apiary_code begin(struct writing *writing, const char *role, struct apiary_error *err)
{
    return ap_bytes_printf(writing->policy->out, err,
        "gcloud storage buckets add-iam-policy-binding 'gs://%s' --member=\"$MEMBER\" \\\n"
        "  --role='roles/storage.%s' --condition='title=apiary-%s-%d,expression=",
        ap_bytes_text(&writing->place->bucket), role, writing->policy->title, ++writing->bindings);
}

/* A pattern as an expression: what stands before the first '*' begins the name, what stands between
 * two is in it, what stands behind the last ends it. */
static enum apiary_code add_pattern(
    struct writing *writing, const char *keys, struct apiary_error *err)
{
    struct ap_bytes *out = writing->policy->out;
    struct ap_str rest = ap_str_from(keys);
    size_t star = ap_str_find(rest, AP_STR("*"));
    AP_TRY(ap_bytes_printf(out, err, star == SIZE_MAX ? "resource.name == " : "resource.name.startsWith("));
    AP_TRY(ap_bytes_printf(out, err, "\"projects/_/buckets/%s/objects/%s%.*s\"",
        ap_bytes_text(&writing->place->bucket), ap_bytes_text(&writing->place->prefix),
        (int)(star == SIZE_MAX ? rest.size : star), rest.data));
    if (star == SIZE_MAX) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(out, ")", err));
    for (;;) {
        rest = (struct ap_str) { rest.data + star + 1, rest.size - star - 1 };
        star = ap_str_find(rest, AP_STR("*"));
        if (star == SIZE_MAX) break;
        AP_TRY(ap_bytes_printf(out, err, " && resource.name.extract(\"%.*s{rest}\") != \"\"", (int)star, rest.data));
    }
    if (rest.size == 0) return APIARY_OK;
    return ap_bytes_printf(out, err, " && resource.name.endsWith(\"" AP_FMT "\")", AP_ARG(rest));
}

static enum apiary_code add_bindings(struct writing *writing, const char *role, unsigned rights,
    unsigned not, struct apiary_error *err)
{
    const struct ap_policy *policy = writing->policy;
    for (size_t i = 0; i < policy->count; i++) {
        if (!(policy->grants[i].rights & rights) || (policy->grants[i].rights & not)) continue;
        AP_TRY(begin(writing, role, err));
        AP_TRY(add_pattern(writing, policy->grants[i].keys, err));
        AP_TRY(ap_bytes_add_text(policy->out, "'\n", err));
    }
    return APIARY_OK;
}

enum apiary_code ap_policy_gcs(const struct ap_policy *policy, struct apiary_error *err)
{
    enum { ANEW = AP_MAY_REPLACE | AP_MAY_DELETE }; /* objectUser: may read too */
    AP_AUTO(ap_cloud_uri) place = { 0 };
    struct writing writing = { .policy = policy, .place = &place };
    AP_TRY(ap_policy_place(policy, "gs", &place, err));
    AP_TRY(ap_bytes_add_text(policy->out,
        "# MEMBER: serviceAccount:NAME@PROJECT.iam.gserviceaccount.com, user:ADDRESS, group:ADDRESS\n", err));
    if (ap_policy_has(policy, AP_MAY_LIST)) {
        AP_TRY(begin(&writing, "objectViewer", err));
        AP_TRY(ap_bytes_add_text(policy->out, "resource.type == \"storage.googleapis.com/Bucket\"'\n", err));
    }
    AP_TRY(add_bindings(&writing, "objectViewer", AP_MAY_READ, ANEW, err));
    AP_TRY(add_bindings(&writing, "objectCreator", AP_MAY_CREATE, ANEW, err));
    return add_bindings(&writing, "objectUser", ANEW, 0, err);
}
