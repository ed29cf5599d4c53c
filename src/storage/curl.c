#include "storage/curl.h"

#include <dlfcn.h>
#include <pthread.h>

static struct {
    pthread_once_t once;
    struct ap_curl functions;
    enum apiary_code code;
    struct apiary_error error;
} loaded = { .once = PTHREAD_ONCE_INIT };

/* The names of what is wanted, and where in the table each goes. */
static const struct {
    const char *name;
    size_t offset;
} wanted[] = {
#define AP_CURL_ROW(name) { "curl_" #name, offsetof(struct ap_curl, name) },
    AP_CURL_FUNCTIONS(AP_CURL_ROW)
#undef AP_CURL_ROW
};

static void load(void)
{
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
    if (!library) {
        loaded.code = ap_fail(&loaded.error, APIARY_UNSUPPORTED, "libcurl.so.4 cannot be loaded");
        ap_hint(&loaded.error, "install libcurl (package libcurl4)");
        return;
    }
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        void *found = dlsym(library, wanted[i].name);
        if (!found) {
            loaded.code = ap_fail(&loaded.error, APIARY_UNSUPPORTED,
                "libcurl.so.4 is too old: it has no %s", wanted[i].name);
            return;
        }
        __builtin_memcpy((char *)&loaded.functions + wanted[i].offset, &found, sizeof found);
    }
    /* The one thing that it wants for the whole process; it does no harm to the host's own use. */
    if (loaded.functions.global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK)
        loaded.code = ap_fail(&loaded.error, APIARY_INTERNAL, "libcurl does not start");
}

enum apiary_code ap_curl_load(const struct ap_curl **out, struct apiary_error *err)
{
    if (pthread_once(&loaded.once, load) != 0)
        return ap_fail(err, APIARY_INTERNAL, "libcurl does not start");
    if (loaded.code != APIARY_OK) {
        if (err) *err = loaded.error;
        return loaded.code;
    }
    *out = &loaded.functions;
    return APIARY_OK;
}
