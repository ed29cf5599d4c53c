/* Text and bytes: `struct ap_str` is a borrowed view (by value, not ended by
 * NUL); `struct ap_bytes` owns, grows, and always keeps a NUL behind its end. */
#ifndef AP_CORE_STR_H
#define AP_CORE_STR_H

#include "core/error.h"

#include <stdint.h>
#include <string.h>

struct ap_str {
    const char *data;
    size_t size;
};

#define AP_STR(literal) ((struct ap_str) { "" literal, sizeof(literal) - 1 })
#define AP_FMT "%.*s"
#define AP_ARG(str) (int)(str).size, (str).data

struct ap_str ap_str_from(const char *text); /* NULL gives an empty view */
bool ap_str_equal(struct ap_str a, struct ap_str b);
bool ap_str_equal_nocase(struct ap_str a, struct ap_str b); /* ASCII folding */
bool ap_str_is(struct ap_str a, const char *text);
bool ap_str_starts_with(struct ap_str text, struct ap_str prefix);
bool ap_str_ends_with(struct ap_str text, struct ap_str suffix);
int ap_str_compare(struct ap_str a, struct ap_str b); /* bytes, memcmp order */
struct ap_str ap_str_trim(struct ap_str text); /* ASCII space around */
/* Offset of the first `needle`, or SIZE_MAX. */
size_t ap_str_find(struct ap_str text, struct ap_str needle);
bool ap_str_has_nocase(struct ap_str text, struct ap_str needle); /* ASCII folding */
/* Whole text as number, whatever the locale; false when anything is left over or
 * out of range. Integers: digits with an optional '-'. Doubles: decimal, with an
 * optional exponent, or inf, infinity, nan. */
bool ap_str_to_i64(struct ap_str text, int64_t *out);
bool ap_str_to_u64(struct ap_str text, uint64_t *out);
bool ap_str_to_double(struct ap_str text, double *out);
bool ap_utf8_valid(struct ap_str text);
/* Bytes (1..4) of the valid character that text begins with, else 0. NUL counts as one. */
size_t ap_utf8_length(struct ap_str text);
/* The beginning of a text as one line, NUL-ended: blanks and control characters in a row become one space, none at its
 * ends; cut between characters. What is no UTF-8 ends it. size: of out, at least 1. */
void ap_str_line(struct ap_str text, char *out, size_t size);
char *ap_str_dup(struct ap_str text); /* NUL-ended, ap_free; NULL without memory */

struct ap_bytes {
    char *data; /* data[size] == 0 whenever data != NULL */
    size_t size;
    size_t capacity;
};

void ap_bytes_done(struct ap_bytes *bytes);
static inline struct ap_str ap_bytes_view(const struct ap_bytes *bytes)
{
    return (struct ap_str) { bytes->data ? bytes->data : "", bytes->size };
}
/* The text as NUL-ended C string; "" when empty. */
static inline const char *ap_bytes_text(const struct ap_bytes *bytes)
{
    return bytes->data ? bytes->data : "";
}
AP_CHECKED enum apiary_code ap_bytes_reserve(struct ap_bytes *bytes, size_t extra, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_bytes_add(struct ap_bytes *bytes, const void *data, size_t size, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_bytes_add_str(struct ap_bytes *bytes, struct ap_str text, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_bytes_add_text(struct ap_bytes *bytes, const char *text, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_bytes_printf(struct ap_bytes *bytes, struct apiary_error *err, const char *format, ...)
    AP_PRINTF(3, 4);
void ap_bytes_clear(struct ap_bytes *bytes); /* size 0, memory kept */
/* Moves the text out as NUL-ended C string (ap_free / apiary_free); never NULL on OK. */
AP_CHECKED enum apiary_code ap_bytes_take_text(struct ap_bytes *bytes, char **out, struct apiary_error *err);

/* A growing list of owned NUL-ended texts. */
struct ap_texts {
    char **items;
    size_t count;
    size_t capacity;
};
void ap_texts_done(struct ap_texts *texts);
AP_CHECKED enum apiary_code ap_texts_add(struct ap_texts *texts, struct ap_str text, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_texts_printf(struct ap_texts *texts, struct apiary_error *err, const char *format, ...)
    AP_PRINTF(3, 4);
/* Index of an equal text, or SIZE_MAX. */
size_t ap_texts_find(const struct ap_texts *texts, struct ap_str text);
void ap_texts_sort(struct ap_texts *texts); /* byte order */

#endif
