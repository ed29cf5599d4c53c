/* Who we are to Azure when there is no account key and no SAS: tokens of Entra ID.
 *
 *   AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_CLIENT_SECRET       a service principal
 *   AZURE_TENANT_ID, AZURE_CLIENT_ID, AZURE_FEDERATED_TOKEN_FILE  workload identity (Kubernetes)
 *   IDENTITY_ENDPOINT, IDENTITY_HEADER                          managed identity of an app
 *   the metadata service of the machine                         managed identity of a machine */
#include "storage/bearer.h"

#include "core/file.h"
#include "core/codec.h"
#include "storage/aws_private.h"

#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_FILE_MAX = 64 << 10 };
static const char resource[] = "https://storage.azure.com/";

static const char *variable(const char *name)
{
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

/* A secret or the token of a file is changed for a token of the store. */
static enum apiary_code principal(struct ap_bearer *bearer, const char *tenant, const char *client,
    const char *secret, const char *file, struct ap_bearer_token *out, struct apiary_error *err)
{
    const char *host = variable("AZURE_AUTHORITY_HOST");
    struct ap_bytes form = { 0 }, text = { 0 };
    AP_AUTO(ap_bytes) url = { 0 };
    if (!host) host = "https://login.microsoftonline.com";
    AP_TRY(ap_bytes_printf(&url, err, "%s%s%s/oauth2/v2.0/token", host,
        host[strlen(host) - 1] == '/' ? "" : "/", tenant));
    enum apiary_code code = ap_form_add(&form, "client_id", ap_str_from(client), err);
    if (code == APIARY_OK)
        code = ap_form_add(&form, "scope", AP_STR("https://storage.azure.com/.default"), err);
    if (code == APIARY_OK)
        code = ap_form_add(&form, "grant_type", AP_STR("client_credentials"), err);
    if (code == APIARY_OK && file) {
        code = ap_file_read(file, TOKEN_FILE_MAX, &text, NULL, err);
        if (code == APIARY_OK)
            code = ap_form_add(&form, "client_assertion_type",
                AP_STR("urn:ietf:params:oauth:client-assertion-type:jwt-bearer"), err);
        if (code == APIARY_OK)
            code = ap_form_add(&form, "client_assertion", ap_str_trim(ap_bytes_view(&text)), err);
    } else if (code == APIARY_OK) {
        code = ap_form_add(&form, "client_secret", ap_str_from(secret), err);
    }
    if (code == APIARY_OK)
        code = ap_bearer_ask(bearer, ap_bytes_text(&url), NULL, NULL, ap_bytes_view(&form),
            "Entra ID", NULL, out, err);
    ap_wipe(&form);
    ap_wipe(&text);
    snprintf(out->source, sizeof out->source, "%s, client %.100s",
        file ? "workload identity" : "service principal", client);
    return code;
}

static enum apiary_code managed(struct ap_bearer *bearer, const char *client, bool *there,
    struct ap_bearer_token *out, struct apiary_error *err)
{
    const char *endpoint = variable("IDENTITY_ENDPOINT"), *header = variable("IDENTITY_HEADER"),
               *other = variable("AZURE_POD_IDENTITY_AUTHORITY_HOST");
    bool app = endpoint && header;
    AP_AUTO(ap_bytes) url = { 0 };
    if (app)
        AP_TRY(ap_bytes_printf(&url, err, "%s?api-version=2019-08-01&resource=", endpoint));
    else
        AP_TRY(ap_bytes_printf(&url, err,
            "%s/metadata/identity/oauth2/token?api-version=2018-02-01&resource=",
            other ? other : "http://169.254.169.254"));
    AP_TRY(ap_percent_encode(&url, ap_str_from(resource), "-._~", err));
    if (client) {
        AP_TRY(ap_bytes_add_text(&url, "&client_id=", err));
        AP_TRY(ap_percent_encode(&url, ap_str_from(client), "-._~", err));
    }
    snprintf(
        out->source, sizeof out->source, "managed identity of the %s", app ? "app" : "machine");
    return ap_bearer_ask(bearer, ap_bytes_text(&url), app ? "X-IDENTITY-HEADER" : "Metadata",
        app ? header : "true", (struct ap_str) { "", 0 }, "the managed identity's service", there,
        out, err);
}

enum apiary_code ap_azure_find(
    struct ap_bearer *bearer, struct ap_bearer_token *out, struct apiary_error *err)
{
    const char *tenant = variable("AZURE_TENANT_ID"), *client = variable("AZURE_CLIENT_ID"),
               *secret = variable("AZURE_CLIENT_SECRET"),
               *file = variable("AZURE_FEDERATED_TOKEN_FILE");
    bool there = false;
    if (tenant && client && (secret || file))
        return principal(bearer, tenant, client, secret, secret ? NULL : file, out, err);
    AP_TRY(managed(bearer, client, &there, out, err));
    if (there) return APIARY_OK;
    ap_fail(err, APIARY_CONFIG,
        "no Azure credentials: neither AZURE_STORAGE_KEY, AZURE_STORAGE_SAS_TOKEN or "
        "AZURE_STORAGE_CONNECTION_STRING nor AZURE_CLIENT_ID with its tenant and secret are set, "
        "and "
        "no machine of Azure's offers any");
    return ap_hint(err, "set one of them, or add anonymous=true to the URI of a public container");
}
