/* A settings file: loads, or is refused in one line that names the place. */
#include "core/config.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static int file = -1;
    static char path[64];
    if (file < 0) {
        file = memfd_create("apiary.toml", MFD_CLOEXEC);
        ap_assert(file >= 0);
        snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    }
    ap_assert(ftruncate(file, 0) == 0);
    ap_assert(pwrite(file, data, size, 0) == (ssize_t)size);

    struct ap_config_sources sources = { .system_file = "", .user_file = path, .directory_file = "" };
    struct apiary_error err = { 0 };
    AP_AUTO(ap_config) config = { 0 };
    enum apiary_code code = ap_config_load(&config, &sources, &err);
    ap_assert(code == APIARY_OK || (err.message[0] && !strchr(err.message, '\n')));
    if (code != APIARY_OK) return 0;
    for (int key = 0; key < AP_CONFIG_COUNT; key++) ap_assert(config.value[key] && config.origin[key]);
    AP_AUTO(ap_bytes) json = { 0 };
    ap_assert(ap_config_json(&config, &json, &err) == APIARY_OK);
    return 0;
}
