/* libcurl, loaded when the first bucket is opened: it brings some thirty libraries along, and
 * whoever works on a directory, or only imports Apiary into a notebook, should not wait for them.
 */
#ifndef AP_STORAGE_CURL_H
#define AP_STORAGE_CURL_H

#include "core/error.h"

/* Plain prototypes of the variadic functions: the macros around them call by name. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>

#define AP_CURL_FUNCTIONS(X)                                                                       \
    X(global_init)                                                                                 \
    X(easy_init)                                                                                   \
    X(easy_cleanup)                                                                                \
    X(easy_reset)                                                                                  \
    X(easy_setopt)                                                                                 \
    X(easy_getinfo)                                                                                \
    X(easy_strerror)                                                                               \
    X(multi_init)                                                                                  \
    X(multi_cleanup)                                                                               \
    X(multi_add_handle)                                                                            \
    X(multi_remove_handle)                                                                         \
    X(multi_perform)                                                                               \
    X(multi_poll)                                                                                  \
    X(multi_info_read)                                                                             \
    X(slist_append)                                                                                \
    X(slist_free_all)

struct ap_curl {
#define AP_CURL_MEMBER(name) __typeof__(curl_##name) *name;
    AP_CURL_FUNCTIONS(AP_CURL_MEMBER)
#undef AP_CURL_MEMBER
};

/* Loaded once in a process and kept. codes: UNSUPPORTED (not installed, too old), INTERNAL */
AP_CHECKED enum apiary_code ap_curl_load(const struct ap_curl **out, struct apiary_error *err);

#endif
