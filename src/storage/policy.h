/* Access policies in a provider's own language, for `apiary policy`. Who needs what is told by the
 * caller; this writes it down. Nothing is asked of the store. */
#ifndef AP_STORAGE_POLICY_H
#define AP_STORAGE_POLICY_H

#include "core/str.h"

#include <stddef.h>

enum {
    AP_MAY_LIST = 1,    /* list below such a prefix, and learn that such a key is not there */
    AP_MAY_READ = 2,
    AP_MAY_CREATE = 4,  /* put-if-not-exists */
    AP_MAY_REPLACE = 8, /* put over what is there; with it AP_MAY_CREATE is not needed */
    AP_MAY_DELETE = 16,
    AP_MAY_ABORT = 32,  /* end an upload in parts that came to nothing */
};

/* keys: a pattern below the root; '*' stands for any characters, also '/'. */
struct ap_grant {
    const char *keys;
    unsigned rights;
};

/* Appends the policy for the root `uri` (canonical): S3: a document of IAM. Google, Azure: commands of
 * their tools. title: a word for names in it ("reader").
 * codes: UNSUPPORTED (the store is no bucket), INVALID, MEMORY */
AP_CHECKED enum apiary_code ap_policy_write(const char *uri, const char *title,
    const struct ap_grant *grants, size_t count, struct ap_bytes *out, struct apiary_error *err);

#endif
