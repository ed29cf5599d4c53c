/* Who we are to Google: application default credentials as their users know them.
 *
 *   GOOGLE_APPLICATION_CREDENTIALS      a file, else that of 'gcloud auth application-default
 * login': service_account                   a signed JWT is changed for a token authorized_user the
 * refresh token is GCE_METADATA_HOST, else Google's    the machine's service account */
#include "storage/bearer.h"

#include "core/file.h"
#include "core/alloc.h"
#include "core/codec.h"
#include "core/json.h"
#include "core/time.h"
#include "storage/aws_private.h"

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <stdio.h>
#include <stdlib.h>

enum { FILE_MAX = 256 << 10, TOKEN_SECONDS = 3600 };

static const char scope[] = "https://www.googleapis.com/auth/devstorage.read_write";

static enum apiary_code base64_url(
    struct ap_bytes *out, const void *data, size_t size, struct apiary_error *err)
{
    size_t before = out->size;
    AP_TRY(ap_base64_encode(out, (struct ap_str) { data, size }, err));
    while (out->size > before && out->data[out->size - 1] == '=') out->data[--out->size] = 0;
    for (size_t i = before; i < out->size; i++) {
        if (out->data[i] == '+') out->data[i] = '-';
        if (out->data[i] == '/') out->data[i] = '_';
    }
    return APIARY_OK;
}

/* Appends ".signature" by RSA and SHA-256. */
static enum apiary_code sign(struct ap_bytes *jwt, struct ap_str pem, struct apiary_error *err)
{
    unsigned char *signature = NULL;
    size_t size = 0;
    BIO *bio = BIO_new_mem_buf(pem.data, (int)pem.size);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, NULL, NULL) : NULL;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good =
        key && context && EVP_DigestSignInit(context, NULL, EVP_sha256(), NULL, key) == 1 &&
        EVP_DigestSign(context, NULL, &size, (const unsigned char *)jwt->data, jwt->size) == 1 &&
        (signature = ap_calloc(1, size)) &&
        EVP_DigestSign(context, signature, &size, (const unsigned char *)jwt->data, jwt->size) == 1;
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
    BIO_free(bio);
    enum apiary_code code =
        good ? ap_bytes_add_text(jwt, ".", err)
             : ap_fail(err, APIARY_CONFIG, "the private key of the service account cannot be used");
    if (code == APIARY_OK) code = base64_url(jwt, signature, size, err);
    ap_free(signature);
    return code;
}

static enum apiary_code make_jwt(struct ap_bearer *bearer, struct ap_str email, struct ap_str uri,
    struct ap_str pem, struct ap_bytes *jwt, struct apiary_error *err)
{
    static const char header[] = "{\"alg\":\"RS256\",\"typ\":\"JWT\"}";
    AP_AUTO(ap_bytes) claims = { 0 };
    int64_t now = ap_now_us(bearer->env) / AP_US_PER_SECOND;
    AP_TRY(ap_bytes_add_text(&claims, "{\"iss\":", err));
    AP_TRY(ap_json_quote(&claims, email, err));
    AP_TRY(ap_bytes_printf(&claims, err, ",\"scope\":\"%s\",\"aud\":", scope));
    AP_TRY(ap_json_quote(&claims, uri, err));
    AP_TRY(ap_bytes_printf(&claims, err, ",\"iat\":%lld,\"exp\":%lld}", (long long)now,
        (long long)now + TOKEN_SECONDS));
    AP_TRY(base64_url(jwt, header, sizeof header - 1, err));
    AP_TRY(ap_bytes_add_text(jwt, ".", err));
    AP_TRY(base64_url(jwt, claims.data, claims.size, err));
    return sign(jwt, pem, err);
}

static enum apiary_code service_account(struct ap_bearer *bearer, yyjson_val *root,
    const char *path, struct ap_bearer_token *out, struct apiary_error *err)
{
    struct ap_str email, pem, uri = AP_STR("https://oauth2.googleapis.com/token");
    struct ap_bytes jwt = { 0 }, form = { 0 };
    AP_AUTO(ap_bytes) url = { 0 };
    (void)ap_json_str(root, "token_uri", &uri);
    if (!ap_json_str(root, "client_email", &email) || !ap_json_str(root, "private_key", &pem))
        return ap_fail(err, APIARY_CONFIG, "%s has no client_email and private_key", path);
    AP_TRY(ap_bytes_add_str(&url, uri, err));
    enum apiary_code code = make_jwt(bearer, email, uri, pem, &jwt, err);
    if (code == APIARY_OK)
        code = ap_form_add(
            &form, "grant_type", AP_STR("urn:ietf:params:oauth:grant-type:jwt-bearer"), err);
    if (code == APIARY_OK) code = ap_form_add(&form, "assertion", ap_bytes_view(&jwt), err);
    if (code == APIARY_OK)
        code = ap_bearer_ask(bearer, ap_bytes_text(&url), NULL, NULL, ap_bytes_view(&form),
            "Google's token service", NULL, out, err);
    ap_wipe(&jwt);
    ap_wipe(&form);
    snprintf(out->source, sizeof out->source, "service account %.*s (%.120s)",
        (int)(email.size < 120 ? email.size : 120), email.data, path);
    return code;
}

static enum apiary_code authorized_user(struct ap_bearer *bearer, yyjson_val *root,
    const char *path, struct ap_bearer_token *out, struct apiary_error *err)
{
    static const char *const names[] = { "client_id", "client_secret", "refresh_token" };
    struct ap_str value, uri = AP_STR("https://oauth2.googleapis.com/token");
    struct ap_bytes form = { 0 };
    AP_AUTO(ap_bytes) url = { 0 };
    (void)ap_json_str(root, "token_uri", &uri);
    AP_TRY(ap_bytes_add_str(&url, uri, err));
    enum apiary_code code = ap_form_add(&form, "grant_type", AP_STR("refresh_token"), err);
    for (size_t i = 0; i < sizeof names / sizeof *names && code == APIARY_OK; i++)
        code = ap_json_str(root, names[i], &value)
                   ? ap_form_add(&form, names[i], value, err)
                   : ap_fail(err, APIARY_CONFIG, "%s has no %s", path, names[i]);
    if (code == APIARY_OK)
        code = ap_bearer_ask(bearer, ap_bytes_text(&url), NULL, NULL, ap_bytes_view(&form),
            "Google's token service", NULL, out, err);
    ap_wipe(&form);
    snprintf(out->source, sizeof out->source, "user credentials (%.200s)", path);
    return code;
}

static enum apiary_code from_text(struct ap_bearer *bearer, struct ap_str text, const char *path,
    struct ap_bearer_token *out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    struct ap_str type = { "", 0 };
    if (ap_json_parse(text, path, &doc, NULL) != APIARY_OK)
        return ap_fail(err, APIARY_CONFIG, "%s is no JSON", path);
    yyjson_val *root = yyjson_doc_get_root(doc);
    (void)ap_json_str(root, "type", &type);
    if (ap_str_is(type, "service_account")) return service_account(bearer, root, path, out, err);
    if (ap_str_is(type, "authorized_user")) return authorized_user(bearer, root, path, out, err);
    ap_fail(err, APIARY_UNSUPPORTED, "%s holds credentials of type '%.*s'", path,
        (int)(type.size < 40 ? type.size : 40), type.data);
    return ap_hint(err, "service_account and authorized_user are known");
}

static enum apiary_code from_machine(
    struct ap_bearer *bearer, struct ap_bearer_token *out, bool *there, struct apiary_error *err)
{
    const char *host = getenv("GCE_METADATA_HOST");
    AP_AUTO(ap_bytes) url = { 0 };
    AP_TRY(ap_bytes_printf(&url, err,
        "http://%s/computeMetadata/v1/instance/service-accounts/default/token",
        host && *host ? host : "metadata.google.internal"));
    snprintf(out->source, sizeof out->source, "service account of the machine");
    return ap_bearer_ask(bearer, ap_bytes_text(&url), "Metadata-Flavor", "Google",
        (struct ap_str) { "", 0 }, "Google's metadata service", there, out, err);
}

enum apiary_code ap_google_find(
    struct ap_bearer *bearer, struct ap_bearer_token *out, struct apiary_error *err)
{
    const char *named = getenv("GOOGLE_APPLICATION_CREDENTIALS"), *home = getenv("HOME"),
               *config = getenv("CLOUDSDK_CONFIG");
    char path[PATH_MAX];
    struct ap_bytes text = { 0 };
    bool there = false;
    if (named && *named)
        snprintf(path, sizeof path, "%s", named);
    else if (config && *config)
        snprintf(path, sizeof path, "%s/application_default_credentials.json", config);
    else
        snprintf(path, sizeof path, "%s/.config/gcloud/application_default_credentials.json",
            home ? home : "");
    enum apiary_code code =
        ap_file_read(path, FILE_MAX, &text, named && *named ? NULL : &there, err);
    if (code == APIARY_OK && ((named && *named) || there))
        code = from_text(bearer, ap_bytes_view(&text), path, out, err);
    else if (code == APIARY_OK)
        code = from_machine(bearer, out, &there, err);
    ap_wipe(&text);
    if (code != APIARY_OK || there || (named && *named)) return code;
    ap_fail(err, APIARY_CONFIG,
        "no Google credentials: GOOGLE_APPLICATION_CREDENTIALS is not set, there is no %s, and no "
        "machine of Google's offers any",
        path);
    return ap_hint(err, "run 'gcloud auth application-default login', or add anonymous=true to a "
                        "public bucket's URI");
}
