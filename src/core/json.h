/* JSON: yyjson behind limits. Text from outside is parsed only through
 * ap_json_parse, which bounds size and depth before a tree exists. */
#ifndef AP_CORE_JSON_H
#define AP_CORE_JSON_H

#include "core/str.h"

#include <yyjson.h>

enum { AP_JSON_DEPTH_MAX = 128 };
#define AP_JSON_SIZE_MAX (UINT64_C(1) << 31)

/* Parses one document. what: named in the error ("registry slot x/…/3.json").
 * CORRUPT with the byte position. Numbers outside int64/uint64/double come as
 * raw text (YYJSON_READ_BIGNUM_AS_RAW). Free with yyjson_doc_free. */
AP_CHECKED enum apiary_code ap_json_parse(
    struct ap_str text, const char *what, yyjson_doc **out, struct apiary_error *err);
/* The same with a depth of one's own, for documents that rightly nest deeper (syntax trees). Who
 * walks them must bear it: recursion by depth. */
AP_CHECKED enum apiary_code ap_json_parse_deep(struct ap_str text, const char *what,
    size_t depth_max, yyjson_doc **out, struct apiary_error *err);
void ap_json_doc_free(yyjson_doc **doc); /* for cleanup attributes; NULL fine */
#define AP_AUTO_JSON __attribute__((cleanup(ap_json_doc_free))) yyjson_doc

/* Member of an object as text / integer / bool; false when absent, null or of another type. */
bool ap_json_str(yyjson_val *object, const char *key, struct ap_str *out);
bool ap_json_i64(yyjson_val *object, const char *key, int64_t *out);
bool ap_json_bool(yyjson_val *object, const char *key, bool *out);
yyjson_val *ap_json_member(yyjson_val *object, const char *key); /* NULL when absent or null */

/* The library's allocator for yyjson: yyjson_mut_doc_new(ap_json_alc()). Static, stateless. */
const yyjson_alc *ap_json_alc(void);

/* Writes a mutable document / a value compactly, appended to out. */
AP_CHECKED enum apiary_code ap_json_write(
    yyjson_mut_doc *doc, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_json_write_val(
    yyjson_val *val, struct ap_bytes *out, struct apiary_error *err);
void ap_json_mut_free(yyjson_mut_doc **doc);
#define AP_AUTO_JSON_MUT __attribute__((cleanup(ap_json_mut_free))) yyjson_mut_doc
/* The form inside a JSON string of the first character of text (not empty): at most 6
 * bytes into out, *taken bytes of text stand for it. Invalid UTF-8 becomes U+FFFD. */
size_t ap_json_escape(struct ap_str text, char out[8], size_t *taken);
/* Appends text as a JSON string with quotes. Invalid UTF-8 becomes U+FFFD. */
AP_CHECKED enum apiary_code ap_json_quote(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err);

#endif
