#include "storage/cloud.h"

#include "core/codec.h"

#include <errno.h>
#include <openssl/evp.h>
#include <unistd.h>

enum { STEP = 1 << 20 };

static bool add_file(EVP_MD_CTX *context, const struct ap_cloud_call *call, char *step)
{
    uint64_t at = 0, size = call->body.size;
    while (at < size) {
        ssize_t got = pread(call->body_fd, step, size - at < STEP ? size - at : STEP,
            (off_t)(call->body_offset + at));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0 || EVP_DigestUpdate(context, step, (size_t)got) != 1) return false;
        at += (uint64_t)got;
    }
    return true;
}

enum apiary_code ap_cloud_digest(const struct ap_cloud_call *call, enum ap_cloud_sum sum,
    unsigned char out[AP_CLOUD_SUM_MAX], struct apiary_error *err)
{
    AP_AUTO(ap_bytes) step = { 0 };
    if (call->from_file) AP_TRY(ap_bytes_reserve(&step, STEP, err));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool good =
        context &&
        EVP_DigestInit_ex(context, sum == AP_CLOUD_MD5 ? EVP_md5() : EVP_sha256(), NULL) == 1 &&
        (call->from_file ? add_file(context, call, step.data)
                         : EVP_DigestUpdate(context, call->body.data, call->body.size) == 1) &&
        EVP_DigestFinal_ex(context, out, NULL) == 1;
    EVP_MD_CTX_free(context);
    return good ? APIARY_OK : ap_fail(err, APIARY_IO, "cannot read a staged file");
}

enum apiary_code ap_cloud_md5_text(
    const struct ap_cloud_call *call, struct ap_bytes *out, struct apiary_error *err)
{
    unsigned char sum[AP_CLOUD_SUM_MAX];
    AP_TRY(ap_cloud_digest(call, AP_CLOUD_MD5, sum, err));
    return ap_base64_encode(out, (struct ap_str) { (const char *)sum, AP_MD5_SIZE }, err);
}
