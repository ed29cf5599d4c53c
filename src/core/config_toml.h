/* The part of TOML that settings need: `key = value` lines with strings, numbers and
 * booleans, and comments. Everything else is refused by name. */
#ifndef AP_CORE_CONFIG_TOML_H
#define AP_CORE_CONFIG_TOML_H

#include "core/str.h"

enum { AP_TOML_SIZE_MAX = 64 * 1024, AP_TOML_KEY_MAX = 128, AP_TOML_VALUE_MAX = 4096 };

/* One pair. value: the text of a string without quotes, the digits of a number without
 * underscores, "on" or "off" for a boolean. line counts from 1. Views hold for the call. */
typedef enum apiary_code ap_toml_each(
    void *context, struct ap_str key, struct ap_str value, int line, struct apiary_error *err);

/* Calls `each` for every pair in order and stops at the first error.
 * code CONFIG with "PATH:LINE: …", or what `each` gave */
AP_CHECKED enum apiary_code ap_toml_parse(struct ap_str text, const char *path, ap_toml_each *each,
    void *context, struct apiary_error *err);

#endif
