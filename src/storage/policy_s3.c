/* A policy of IAM, to be attached to a user, a group or a role.
 *
 * S3 answers 404 for a key that is not there only to who may list it, taking the key as s3:prefix; else 403.
 * What is asked for before it exists (the next version of a log) is therefore listed too. StringLike
 * and not StringLikeIfExists: that would allow a list of the whole bucket. */
#include "storage/policy_private.h"
#include "storage/s3_private.h"

#include "core/json.h"

struct writing {
    const struct ap_policy *policy;
    const struct ap_s3_place *place;
    const char *partition; /* "aws", "aws-cn", "aws-us-gov" */
    size_t statements;
};

/* Text in which '*' and '?' mean themselves. */
static enum apiary_code add_literal(
    struct ap_bytes *out, const struct ap_bytes *text, struct apiary_error *err)
{
    for (size_t i = 0; i < text->size; i++) {
        char c = text->data[i];
        bool special = c == '*' || c == '?' || c == '$';
        AP_TRY(ap_bytes_printf(out, err, special ? "${%c}" : "%c", c));
    }
    return APIARY_OK;
}

/* The names of all grants with one of these rights and none of the others, as the items of a JSON list. */
static enum apiary_code add_names(const struct writing *writing, unsigned rights, unsigned not,
    bool resources, struct apiary_error *err)
{
    const struct ap_policy *policy = writing->policy;
    const char *comma = "";
    for (size_t i = 0; i < policy->count; i++) {
        AP_AUTO(ap_bytes) name = { 0 };
        if (!(policy->grants[i].rights & rights) || (policy->grants[i].rights & not)) continue;
        if (resources)
            AP_TRY(ap_bytes_printf(&name, err, "arn:%s:s3:::%s/", writing->partition,
                ap_bytes_text(&writing->place->bucket)));
        AP_TRY(add_literal(&name, &writing->place->prefix, err));
        AP_TRY(ap_bytes_add_text(&name, policy->grants[i].keys, err));
        AP_TRY(ap_bytes_printf(policy->out, err, "%s\n        ", comma));
        AP_TRY(ap_json_quote(policy->out, ap_bytes_view(&name), err));
        comma = ",";
    }
    return APIARY_OK;
}

/* actions: as JSON */
static enum apiary_code begin(
    struct writing *writing, const char *sid, const char *effect, const char *actions, struct apiary_error *err)
{
    return ap_bytes_printf(writing->policy->out, err,
        "%s\n    {\n      \"Sid\": \"%s\",\n      \"Effect\": \"%s\",\n      \"Action\": %s,\n",
        writing->statements++ > 0 ? "," : "", sid, effect, actions);
}

static enum apiary_code add_list(struct writing *writing, struct apiary_error *err)
{
    struct ap_bytes *out = writing->policy->out;
    if (!ap_policy_has(writing->policy, AP_MAY_LIST)) return APIARY_OK;
    AP_TRY(begin(writing, "List", "Allow", "\"s3:ListBucket\"", err));
    AP_TRY(ap_bytes_printf(out, err,
        "      \"Resource\": \"arn:%s:s3:::%s\",\n      \"Condition\": {\"StringLike\": {\"s3:prefix\": [",
        writing->partition, ap_bytes_text(&writing->place->bucket)));
    AP_TRY(add_names(writing, AP_MAY_LIST, 0, false, err));
    return ap_bytes_add_text(out, "\n      ]}}\n    }", err);
}

static enum apiary_code add_objects(struct writing *writing, const char *sid, const char *actions,
    unsigned rights, struct apiary_error *err)
{
    if (!ap_policy_has(writing->policy, rights)) return APIARY_OK;
    AP_TRY(begin(writing, sid, "Allow", actions, err));
    AP_TRY(ap_bytes_add_text(writing->policy->out, "      \"Resource\": [", err));
    AP_TRY(add_names(writing, rights, 0, true, err));
    return ap_bytes_add_text(writing->policy->out, "\n      ]\n    }", err);
}

/* Parts of an upload bear no condition; its end does. */
static enum apiary_code add_never_replace(struct writing *writing, struct apiary_error *err)
{
    /* Other servers than AWS do not all know these conditions, and some refuse what they do not know. */
    if (!writing->place->is_aws || !ap_policy_has(writing->policy, AP_MAY_CREATE)) return APIARY_OK;
    AP_TRY(begin(writing, "NeverReplace", "Deny", "\"s3:PutObject\"", err));
    AP_TRY(ap_bytes_add_text(writing->policy->out, "      \"Resource\": [", err));
    AP_TRY(add_names(writing, AP_MAY_CREATE, AP_MAY_REPLACE, true, err));
    return ap_bytes_add_text(writing->policy->out,
        "\n      ],\n      \"Condition\": {\"Null\": {\"s3:if-none-match\": \"true\"}, "
        "\"Bool\": {\"s3:ObjectCreationOperation\": \"true\"}}\n    }", err);
}

/* With a key of KMS of one's own, its use is a right of its own. */
static enum apiary_code add_key(struct writing *writing, struct apiary_error *err)
{
    const struct ap_bytes *key = &writing->place->sse_key;
    struct ap_bytes *out = writing->policy->out;
    if (key->size == 0) return APIARY_OK;
    bool writes = ap_policy_has(writing->policy, AP_MAY_CREATE | AP_MAY_REPLACE);
    bool whole = ap_str_starts_with(ap_bytes_view(key), AP_STR("arn:"));
    AP_AUTO(ap_bytes) name = { 0 };
    if (!whole)
        AP_TRY(ap_bytes_printf(&name, err, "arn:%s:kms:%s:*:key/", writing->partition,
            ap_bytes_text(&writing->place->region)));
    AP_TRY(ap_bytes_add_str(&name, ap_bytes_view(key), err));
    AP_TRY(begin(writing, "Key", "Allow",
        writes ? "[\"kms:Decrypt\", \"kms:GenerateDataKey\"]" : "[\"kms:Decrypt\"]", err));
    AP_TRY(ap_bytes_add_text(out, "      \"Resource\": ", err));
    AP_TRY(ap_json_quote(out, ap_bytes_view(&name), err));
    return ap_bytes_add_text(out, "\n    }", err);
}

enum apiary_code ap_policy_s3(const struct ap_policy *policy, struct apiary_error *err)
{
    AP_AUTO(ap_s3_place) place = { 0 };
    AP_TRY(ap_s3_place_parse(&place, policy->uri, err));
    if (place.is_google) return ap_policy_gcs(policy, err);
    struct ap_str region = ap_bytes_view(&place.region);
    struct writing writing = { .policy = policy, .place = &place, .partition = "aws" };
    if (place.is_aws && ap_str_starts_with(region, AP_STR("cn-"))) writing.partition = "aws-cn";
    if (place.is_aws && ap_str_starts_with(region, AP_STR("us-gov-"))) writing.partition = "aws-us-gov";
    AP_TRY(ap_bytes_add_text(policy->out, "{\n  \"Version\": \"2012-10-17\",\n  \"Statement\": [", err));
    AP_TRY(add_list(&writing, err));
    AP_TRY(add_objects(&writing, "Read", "\"s3:GetObject\"", AP_MAY_READ, err));
    AP_TRY(add_objects(&writing, "Write", "\"s3:PutObject\"", AP_MAY_CREATE | AP_MAY_REPLACE, err));
    AP_TRY(add_objects(&writing, "Delete", "\"s3:DeleteObject\"", AP_MAY_DELETE, err));
    AP_TRY(add_objects(&writing, "Abort", "\"s3:AbortMultipartUpload\"", AP_MAY_ABORT, err));
    AP_TRY(add_never_replace(&writing, err));
    AP_TRY(add_key(&writing, err));
    return ap_bytes_add_text(policy->out, "\n  ]\n}\n", err);
}
