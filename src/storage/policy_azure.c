/* An assignment of a role at an Azure container, with conditions on the paths of blobs. Azure asks in
 * each for the action, so a right that nobody has is one whose condition never holds. */
#include "storage/policy_private.h"

#define BLOBS "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"

struct clause {
    unsigned rights;
    const char *actions, *attribute;
};
static const struct clause clauses[] = {
    { AP_MAY_LIST, "ActionMatches{'" BLOBS "/read'} AND SubOperationMatches{'Blob.List'}", "@Request[" BLOBS ":prefix]" },
    { AP_MAY_READ, "ActionMatches{'" BLOBS "/read'} AND NOT SubOperationMatches{'Blob.List'}", "@Resource[" BLOBS ":path]" },
    { AP_MAY_CREATE | AP_MAY_REPLACE, "ActionMatches{'" BLOBS "/write'} OR ActionMatches{'" BLOBS "/add/action'}",
        "@Resource[" BLOBS ":path]" },
    { AP_MAY_DELETE, "ActionMatches{'" BLOBS "/delete'}", "@Resource[" BLOBS ":path]" },
};
enum { CLAUSES = sizeof clauses / sizeof *clauses };

static enum apiary_code add_clause(const struct ap_policy *policy, const struct clause *clause,
    const struct ap_cloud_uri *place, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(policy->out, err, "((!(%s))", clause->actions));
    for (size_t i = 0; i < policy->count; i++)
        if (policy->grants[i].rights & clause->rights)
            AP_TRY(ap_bytes_printf(policy->out, err, "\n   OR (%s StringLike '%s%s')",
                clause->attribute, ap_bytes_text(&place->prefix), policy->grants[i].keys));
    return ap_bytes_add_text(policy->out, ")", err);
}

enum apiary_code ap_policy_azure(const struct ap_policy *policy, struct apiary_error *err)
{
    AP_AUTO(ap_cloud_uri) place = { 0 };
    bool writes = ap_policy_has(policy, AP_MAY_CREATE | AP_MAY_REPLACE | AP_MAY_DELETE);
    AP_TRY(ap_policy_place(policy, "az", &place, err));
    AP_TRY(ap_bytes_printf(policy->out, err,
        "# WHO: the object id of a user, group or service principal; ACCOUNT: the storage account's resource id\n"
        "# typed into a shell: first \"set +H\", the condition holds !( )\n"
        "az role assignment create --assignee \"$WHO\" --role 'Storage Blob Data %s' \\\n"
        "  --scope \"$ACCOUNT/blobServices/default/containers/%s\" --description 'apiary %s' \\\n"
        "  --condition-version 2.0 --condition \"",
        writes ? "Contributor" : "Reader", ap_bytes_text(&place.bucket), policy->title));
    for (size_t i = 0; i < CLAUSES; i++) {
        if (i >= 2 && !writes) break; /* the role has no such right */
        if (i > 0) AP_TRY(ap_bytes_add_text(policy->out, "\n  AND ", err));
        AP_TRY(add_clause(policy, &clauses[i], &place, err));
    }
    return ap_bytes_add_text(policy->out, "\"\n", err);
}
