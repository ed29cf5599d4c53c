#include "swarm/envelope.h"

#include "core/codec.h"
#include "core/json.h"

enum { HEAD_BYTES_MAX = 2048, READS_MAX = 8, BROKEN_MAX = 4, BACKOFF_BASE_US = 100000, BACKOFF_CAP_US = 2000000, FORMAT = 1 };

struct ap_hash_text ap_hash_text(struct ap_str data)
{
    uint8_t hash[AP_SHA256_SIZE];
    struct ap_hash_text out;
    ap_sha256(data.data, data.size, hash);
    ap_hex(hash, sizeof hash, out.text);
    return out;
}

/* The hash stands for the body. "" without a secret. */
static enum apiary_code sign(
    struct ap_str secret, const char *kind, const char *key, const struct ap_hash_text *hash, struct ap_hash_text *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) signed_text = { 0 };
    uint8_t mac[AP_SHA256_SIZE];
    out->text[0] = '\0';
    if (secret.size == 0) return APIARY_OK;
    AP_TRY(ap_bytes_printf(&signed_text, err, "%s\n%s\n%s", kind, key, hash->text));
    ap_hmac_sha256(secret.data, secret.size, signed_text.data, signed_text.size, mac);
    ap_hex(mac, sizeof mac, out->text);
    return APIARY_OK;
}

enum apiary_code ap_envelope_write(
    struct ap_str secret, const char *kind, const char *key, struct ap_str body, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_hash_text hash = ap_hash_text(body), mac;
    AP_TRY(sign(secret, kind, key, &hash, &mac, err));
    AP_TRY(ap_bytes_printf(out, err, "{\"apiary\":\"%s\",\"format\":%d,\"key\":\"%s\",\"size\":%zu,\"sha256\":\"%s\",\"hmac\":\"%s\"}\n", kind,
        FORMAT, key, body.size, hash.text, mac.text));
    return ap_bytes_add_str(out, body, err);
}

static enum apiary_code broken(const char *key, const char *what, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "object %s: %s", key, what);
}

/* Takes as long wherever they differ. */
static bool same_mac(struct ap_str told, const struct ap_hash_text *ours)
{
    unsigned differ = 0;
    if (told.size != strlen(ours->text)) return false;
    for (size_t i = 0; i < told.size; i++) differ |= (unsigned)(told.data[i] ^ ours->text[i]);
    return differ == 0;
}

static enum apiary_code check_mac(
    struct ap_str secret, const char *kind, const char *key, struct ap_str told, const struct ap_hash_text *hash, struct apiary_error *err)
{
    struct ap_hash_text ours;
    if (secret.size == 0 && told.size == 0) return APIARY_OK;
    if (secret.size == 0) {
        ap_fail(err, APIARY_UNSUPPORTED, "object %s is signed, and no secret is set here", key);
        return ap_hint(err, "set swarm_secret_file to the file that the other nodes have");
    }
    AP_TRY(sign(secret, kind, key, hash, &ours, err));
    if (same_mac(told, &ours)) return APIARY_OK;
    ap_fail(err, APIARY_UNSUPPORTED, "object %s is %s", key, told.size == 0 ? "not signed" : "signed with another secret");
    return ap_hint(err, "all who use this swarm need the same swarm_secret_file");
}

enum apiary_code ap_envelope_read(
    struct ap_str secret, const char *kind, const char *key, struct ap_str text, struct ap_str *body, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    const char *end = text.size > 0 ? memchr(text.data, '\n', text.size < HEAD_BYTES_MAX ? text.size : HEAD_BYTES_MAX) : NULL;
    struct ap_str word, sha, mac;
    int64_t format = 0, size = 0;
    if (end == NULL) return broken(key, "its first line is missing", err);
    struct ap_str head = { text.data, (size_t)(end - text.data) };
    AP_TRY(ap_json_parse(head, key, &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    if (!ap_json_i64(root, "format", &format) || !ap_json_str(root, "apiary", &word)) return broken(key, "its first line is not ours", err);
    if (format != FORMAT)
        return ap_fail(err, APIARY_UNSUPPORTED, "object %s has format %d, and this version reads %d", key, (int)format, FORMAT);
    if (!ap_str_is(word, kind)) return broken(key, "it is of another kind", err);
    if (!ap_json_str(root, "key", &word) || !ap_str_is(word, key)) return broken(key, "it was written under another key", err);
    if (!ap_json_str(root, "hmac", &mac)) return broken(key, "its first line is not ours", err);
    struct ap_str rest = { end + 1, text.size - head.size - 1 };
    if (!ap_json_i64(root, "size", &size) || size < 0 || (uint64_t)size != rest.size) return broken(key, "its size is wrong", err);
    struct ap_hash_text hash = ap_hash_text(rest);
    if (!ap_json_str(root, "sha256", &sha) || !ap_str_is(sha, hash.text)) return broken(key, "its hash is wrong", err);
    AP_TRY(check_mac(secret, kind, key, mac, &hash, err));
    *body = rest;
    return APIARY_OK;
}

enum apiary_code ap_envelope_get(struct ap_store *store, struct ap_str secret, const char *kind, const char *key, uint64_t size_max,
    struct ap_bytes *text, struct ap_str *body, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    int broken_reads = 0;
    for (int read = 0; read < READS_MAX && broken_reads < BROKEN_MAX; read++) {
        if (read > 0) ap_backoff(store->env, read, BACKOFF_BASE_US, BACKOFF_CAP_US);
        struct ap_get get = { .key = key, .range = AP_RANGE_ALL, .size_max = size_max + HEAD_BYTES_MAX };
        ap_store_get_many(store, &get, 1);
        code = get.code;
        if (code == APIARY_OK) code = ap_envelope_read(secret, kind, key, ap_bytes_view(&get.body), body, err);
        else if (err != NULL) *err = get.error;
        if (code == APIARY_OK) {
            ap_bytes_done(text);
            *text = AP_TAKE(get.body);
        }
        ap_get_done(&get);
        if (code != APIARY_IO && code != APIARY_CORRUPT) break;
        broken_reads += code == APIARY_CORRUPT;
    }
    /* Read wrong once among failures says nothing of what lies there. */
    if (code == APIARY_CORRUPT && broken_reads < BROKEN_MAX) return ap_fail(err, APIARY_IO, "object %s could not be read well", key);
    return code;
}
