#include "core/str.h"

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/alloc.h"

/* Longer than any double needs to be exact (the least subnormal has 1075 digits). */
enum { DOUBLE_TEXT_MAX = 1200, BYTES_FIRST = 64 };

/* ---- views ---- */

struct ap_str ap_str_from(const char *text)
{
    return text ? (struct ap_str) { text, strlen(text) } : (struct ap_str) { "", 0 };
}

bool ap_str_equal(struct ap_str a, struct ap_str b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

bool ap_str_equal_nocase(struct ap_str a, struct ap_str b)
{
    if (a.size != b.size) return false;
    for (size_t i = 0; i < a.size; i++)
        if (lower(a.data[i]) != lower(b.data[i])) return false;
    return true;
}

bool ap_str_has_nocase(struct ap_str text, struct ap_str needle)
{
    if (needle.size == 0) return true;
    unsigned char first = lower(needle.data[0]);
    for (size_t i = 0; i + needle.size <= text.size; i++)
        if (lower(text.data[i]) == first && ap_str_equal_nocase((struct ap_str) { text.data + i, needle.size }, needle)) return true;
    return false;
}

bool ap_str_is(struct ap_str a, const char *text)
{
    return ap_str_equal(a, ap_str_from(text));
}

bool ap_str_starts_with(struct ap_str text, struct ap_str prefix)
{
    return text.size >= prefix.size &&
           ap_str_equal((struct ap_str) { text.data, prefix.size }, prefix);
}

bool ap_str_ends_with(struct ap_str text, struct ap_str suffix)
{
    if (text.size < suffix.size) return false;
    if (suffix.size == 0) return true;
    return memcmp(text.data + text.size - suffix.size, suffix.data, suffix.size) == 0;
}

int ap_str_compare(struct ap_str a, struct ap_str b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;
    if (order != 0) return order < 0 ? -1 : 1;
    return (a.size > b.size) - (a.size < b.size);
}

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

struct ap_str ap_str_trim(struct ap_str text)
{
    while (text.size && is_space(text.data[0])) {
        text.data++;
        text.size--;
    }
    while (text.size && is_space(text.data[text.size - 1])) text.size--;
    return text;
}

size_t ap_str_find(struct ap_str text, struct ap_str needle)
{
    if (needle.size == 0) return 0;
    if (text.size < needle.size) return SIZE_MAX;
    const char *found = memmem(text.data, text.size, needle.data, needle.size);
    return found ? (size_t)(found - text.data) : SIZE_MAX;
}

char *ap_str_dup(struct ap_str text)
{
    return ap_strndup(text.data, text.size);
}

/* ---- numbers ---- */

bool ap_str_to_u64(struct ap_str text, uint64_t *out)
{
    uint64_t value = 0;
    if (text.size == 0) return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c < '0' || c > '9') return false;
        if (__builtin_mul_overflow(value, UINT64_C(10), &value)) return false;
        if (__builtin_add_overflow(value, (uint64_t)(c - '0'), &value)) return false;
    }
    *out = value;
    return true;
}

bool ap_str_to_i64(struct ap_str text, int64_t *out)
{
    bool negative = text.size && text.data[0] == '-';
    if (negative) {
        text.data++;
        text.size--;
    }
    uint64_t value;
    if (!ap_str_to_u64(text, &value)) return false;
    if (value > (uint64_t)INT64_MAX + negative) return false;
    *out = negative ? (int64_t)(0 - value) : (int64_t)value;
    return true;
}

static size_t skip_digits(struct ap_str text, size_t at)
{
    while (at < text.size && text.data[at] >= '0' && text.data[at] <= '9') at++;
    return at;
}

/* [+-] digits [. digits] [e [+-] digits], with a digit before or behind the point */
static bool is_decimal(struct ap_str text)
{
    size_t at = text.size && (text.data[0] == '-' || text.data[0] == '+');
    size_t whole = skip_digits(text, at) - at;
    at += whole;
    size_t part = 0;
    if (at < text.size && text.data[at] == '.') {
        part = skip_digits(text, at + 1) - (at + 1);
        at += 1 + part;
    }
    if (whole + part == 0) return false;
    if (at < text.size && (text.data[at] == 'e' || text.data[at] == 'E')) {
        at++;
        if (at < text.size && (text.data[at] == '-' || text.data[at] == '+')) at++;
        size_t end = skip_digits(text, at);
        if (end == at) return false;
        at = end;
    }
    return at == text.size;
}

static bool special_double(struct ap_str text, double *out)
{
    bool negative = text.size && text.data[0] == '-';
    if (text.size && (text.data[0] == '-' || text.data[0] == '+')) {
        text.data++;
        text.size--;
    }
    if (ap_str_equal_nocase(text, AP_STR("inf")) || ap_str_equal_nocase(text, AP_STR("infinity")))
        *out = negative ? -(double)INFINITY : (double)INFINITY;
    else if (ap_str_equal_nocase(text, AP_STR("nan")))
        *out = (double)NAN;
    else
        return false;
    return true;
}

bool ap_str_to_double(struct ap_str text, double *out)
{
    if (!is_decimal(text)) return special_double(text, out);
    if (text.size > DOUBLE_TEXT_MAX) return false;
    char copy[DOUBLE_TEXT_MAX + 1];
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    /* The host may have set a locale whose point is a comma. */
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (plain == (locale_t)0) return false;
    double value = strtod_l(copy, NULL, plain);
    freelocale(plain);
    if (isinf(value)) return false;
    *out = value;
    return true;
}

/* ---- UTF-8 ---- */

static bool is_tail(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t ap_utf8_length(struct ap_str text)
{
    if (text.size == 0) return 0;
    unsigned char first = (unsigned char)text.data[0];
    if (first < 0x80) return 1;
    size_t length = first < 0xC2 ? 0 : first < 0xE0 ? 2 : first < 0xF0 ? 3 : first < 0xF5 ? 4 : 0;
    if (length == 0 || text.size < length) return 0;
    for (size_t i = 1; i < length; i++)
        if (!is_tail(text.data[i])) return 0;
    unsigned char second = (unsigned char)text.data[1];
    if (first == 0xE0 && second < 0xA0) return 0;  /* overlong */
    if (first == 0xED && second >= 0xA0) return 0; /* surrogate */
    if (first == 0xF0 && second < 0x90) return 0;  /* overlong */
    if (first == 0xF4 && second >= 0x90) return 0; /* beyond U+10FFFF */
    return length;
}

bool ap_utf8_valid(struct ap_str text)
{
    while (text.size) {
        size_t length = ap_utf8_length(text);
        if (length == 0) return false;
        text.data += length;
        text.size -= length;
    }
    return true;
}

void ap_str_line(struct ap_str text, char *out, size_t size)
{
    size_t used = 0;
    bool blank = false;
    while (text.size) {
        size_t length = ap_utf8_length(text);
        unsigned char c = (unsigned char)*text.data;
        if (length == 0 || used + blank + length >= size) break;
        if (c <= ' ' || c == 0x7F) {
            blank = used > 0;
        } else {
            if (blank) out[used++] = ' ';
            blank = false;
            memcpy(out + used, text.data, length);
            used += length;
        }
        text.data += length;
        text.size -= length;
    }
    out[used] = '\0';
}

/* ---- bytes ---- */

void ap_bytes_done(struct ap_bytes *bytes)
{
    ap_free(bytes->data);
    *bytes = (struct ap_bytes) { 0 };
}

enum apiary_code ap_bytes_reserve(struct ap_bytes *bytes, size_t extra, struct apiary_error *err)
{
    size_t need;
    if (__builtin_add_overflow(bytes->size, extra, &need) || need > SIZE_MAX / 2 - 1)
        return ap_fail_memory(err, "a buffer");
    need++; /* the NUL behind the end */
    if (need <= bytes->capacity) return APIARY_OK;
    size_t capacity = bytes->capacity + bytes->capacity / 2;
    if (capacity < need) capacity = need < BYTES_FIRST ? BYTES_FIRST : need;
    char *data = ap_realloc(bytes->data, capacity);
    if (!data)
        return ap_fail(err, APIARY_MEMORY, "out of memory for a buffer of %zu bytes", capacity);
    bytes->data = data;
    bytes->capacity = capacity;
    data[bytes->size] = 0;
    return APIARY_OK;
}

enum apiary_code ap_bytes_add(
    struct ap_bytes *bytes, const void *data, size_t size, struct apiary_error *err)
{
    AP_TRY(ap_bytes_reserve(bytes, size, err));
    if (size) memcpy(bytes->data + bytes->size, data, size);
    bytes->size += size;
    bytes->data[bytes->size] = 0;
    return APIARY_OK;
}

enum apiary_code ap_bytes_add_str(
    struct ap_bytes *bytes, struct ap_str text, struct apiary_error *err)
{
    return ap_bytes_add(bytes, text.data, text.size, err);
}

enum apiary_code ap_bytes_add_text(
    struct ap_bytes *bytes, const char *text, struct apiary_error *err)
{
    return ap_bytes_add(bytes, text, strlen(text), err);
}

AP_PRINTF(3, 0)
static enum apiary_code bytes_vprintf(
    struct ap_bytes *bytes, struct apiary_error *err, const char *format, va_list args)
{
    va_list again;
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, again);
    va_end(again);
    if (length < 0) return ap_fail(err, APIARY_INTERNAL, "a text could not be formatted");
    AP_TRY(ap_bytes_reserve(bytes, (size_t)length, err));
    vsnprintf(bytes->data + bytes->size, (size_t)length + 1, format, args);
    bytes->size += (size_t)length;
    return APIARY_OK;
}

enum apiary_code ap_bytes_printf(
    struct ap_bytes *bytes, struct apiary_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    enum apiary_code code = bytes_vprintf(bytes, err, format, args);
    va_end(args);
    return code;
}

void ap_bytes_clear(struct ap_bytes *bytes)
{
    bytes->size = 0;
    if (bytes->data) bytes->data[0] = 0;
}

enum apiary_code ap_bytes_take_text(struct ap_bytes *bytes, char **out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_reserve(bytes, 0, err));
    *out = bytes->data;
    *bytes = (struct ap_bytes) { 0 };
    return APIARY_OK;
}

/* ---- lists of texts ---- */

void ap_texts_done(struct ap_texts *texts)
{
    for (size_t i = 0; i < texts->count; i++) ap_free(texts->items[i]);
    ap_free(texts->items);
    *texts = (struct ap_texts) { 0 };
}

enum apiary_code ap_texts_add(struct ap_texts *texts, struct ap_str text, struct apiary_error *err)
{
    AP_TRY(AP_GROW(texts->items, texts->capacity, texts->count + 1, err));
    char *copy = ap_str_dup(text);
    if (!copy) return ap_fail_memory(err, "a text");
    texts->items[texts->count++] = copy;
    return APIARY_OK;
}

enum apiary_code ap_texts_printf(
    struct ap_texts *texts, struct apiary_error *err, const char *format, ...)
{
    AP_AUTO(ap_bytes) text = { 0 };
    va_list args;
    va_start(args, format);
    enum apiary_code code = bytes_vprintf(&text, err, format, args);
    va_end(args);
    AP_TRY(code);
    return ap_texts_add(texts, ap_bytes_view(&text), err);
}

size_t ap_texts_find(const struct ap_texts *texts, struct ap_str text)
{
    for (size_t i = 0; i < texts->count; i++)
        if (ap_str_is(text, texts->items[i])) return i;
    return SIZE_MAX;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

void ap_texts_sort(struct ap_texts *texts)
{
    if (texts->count > 1) qsort(texts->items, texts->count, sizeof *texts->items, compare_texts);
}
