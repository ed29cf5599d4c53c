/* Names of hives, boxes and frames: ASCII [A-Za-z0-9_][A-Za-z0-9_-]{0,127}, no
 * dot; matched by ASCII lower case, spelled as written (design, section 7). */
#ifndef AP_CORE_NAME_H
#define AP_CORE_NAME_H

#include "core/str.h"

enum { AP_NAME_MAX = 128 };
enum ap_name_kind { AP_NAME_HIVE, AP_NAME_BOX, AP_NAME_FRAME };

const char *ap_name_kind_text(enum ap_name_kind kind); /* "hive", "box", "frame" */
/* INVALID with a clear message (says which character, or that it is reserved). */
AP_CHECKED enum apiary_code ap_name_check(enum ap_name_kind kind, struct ap_str name, struct apiary_error *err);
/* Lower case into out (NUL-ended); name must have passed ap_name_check. */
void ap_name_fold(struct ap_str name, char out[AP_NAME_MAX + 1]);

/* The candidate nearest to `word` by edit distance (ignoring case) if it is near
 * enough to be meant, else NULL. */
const char *ap_nearest(struct ap_str word, const char *const *candidates, size_t count);

/* hive.box.frame as far as given; empty parts are empty strings. */
struct ap_name3 {
    char hive[AP_NAME_MAX + 1];
    char box[AP_NAME_MAX + 1];
    char frame[AP_NAME_MAX + 1];
};

#endif
