/* The secret that a swarm shares (setting swarm_secret_file). */
#include "api/handle.h"

#include "core/alloc.h"
#include "core/file.h"

enum { SECRET_BYTES_MIN = 16, SECRET_BYTES_MAX = 4096 };

enum apiary_code ap_secret_open(struct apiary *handle, struct apiary_error *err)
{
    const char *path = ap_config_text(&handle->config, AP_CONFIG_swarm_secret_file);
    struct ap_bytes *secret = &handle->secret;
    struct apiary_error why = { 0 };
    if (path[0] == '\0') return APIARY_OK;
    if (ap_file_read(path, SECRET_BYTES_MAX, secret, NULL, &why) != APIARY_OK)
        return ap_fail(err, APIARY_CONFIG, "swarm_secret_file: %s", why.message);
    while (secret->size > 0 && (secret->data[secret->size - 1] == '\n' || secret->data[secret->size - 1] == '\r')) secret->size--;
    if (secret->size >= SECRET_BYTES_MIN) return APIARY_OK;
    ap_fail(err, APIARY_CONFIG, "swarm_secret_file: %s does not hold %d bytes", path, SECRET_BYTES_MIN);
    return ap_hint(err, "for example: openssl rand -hex 32 > %s", path);
}

void ap_secret_close(struct apiary *handle)
{
    if (handle->secret.data != NULL) explicit_bzero(handle->secret.data, handle->secret.capacity);
    ap_bytes_done(&handle->secret);
}
