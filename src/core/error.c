#include "core/error.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/str.h"

/* Makes the text one printable line of valid UTF-8, in place: control characters
 * (C0, DEL, C1) become spaces, bytes that are no UTF-8 become '?'. Errors quote
 * what came from outside, and a terminal must not obey it. */
static void make_line(char *text)
{
    char *to = text;
    for (const char *from = text; *from;) {
        unsigned char byte = (unsigned char)*from;
        size_t length = ap_utf8_length((struct ap_str) { from, strnlen(from, 4) });
        bool c1 = length == 2 && byte == 0xC2 && (unsigned char)from[1] < 0xA0;
        if (length == 0) {
            *to++ = '?';
            from++;
        } else if (byte < 0x20 || byte == 0x7F || c1) {
            *to++ = ' ';
            from += length;
        } else {
            for (; length; length--) *to++ = *from++;
        }
    }
    *to = 0;
}

/* Formats into a buffer of `size`, cut at a character's border. The arguments may
 * point into the buffer itself (a message that quotes the one before it). */
AP_PRINTF(3, 0)
static void format_line(char *out, size_t size, const char *format, va_list args)
{
    char text[sizeof((struct apiary_error *)0)->message + 4];
    ap_assert(size + 4 <= sizeof text);
    int length = vsnprintf(text, sizeof text, format, args);
    if (length < 0) text[0] = 0;
    if (length >= (int)size) {
        size_t end = size - 1;
        while (end > 0 && ((unsigned char)text[end] & 0xC0) == 0x80) end--;
        text[end] = 0;
    }
    make_line(text);
    memcpy(out, text, strlen(text) + 1);
}

enum apiary_code ap_vfail(
    struct apiary_error *err, enum apiary_code code, const char *format, va_list args)
{
    if (!err) return code;
    format_line(err->message, sizeof err->message, format, args);
    err->hint[0] = 0;
    err->code = (int32_t)code;
    return code;
}

enum apiary_code ap_fail(struct apiary_error *err, enum apiary_code code, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    ap_vfail(err, code, format, args);
    va_end(args);
    return code;
}

enum apiary_code ap_hint(struct apiary_error *err, const char *format, ...)
{
    if (!err) return APIARY_INTERNAL;
    va_list args;
    va_start(args, format);
    format_line(err->hint, sizeof err->hint, format, args);
    va_end(args);
    return (enum apiary_code)err->code;
}

enum apiary_code ap_context(
    struct apiary_error *err, enum apiary_code code, const char *format, ...)
{
    if (!err) return code;
    char before[sizeof err->message];
    va_list args;
    va_start(args, format);
    format_line(before, sizeof before, format, args);
    va_end(args);
    struct apiary_error whole;
    ap_fail(&whole, code, "%s: %s", before, err->message);
    memcpy(err->message, whole.message, sizeof err->message);
    return code;
}

static enum apiary_code code_of_errno(int error_number)
{
    switch (error_number) {
        case ENOSPC:
        case EDQUOT: return APIARY_FULL;
        case EACCES:
        case EPERM:
        case EROFS: return APIARY_DENIED;
        case ENOENT: return APIARY_NOT_FOUND;
        default: return APIARY_IO;
    }
}

enum apiary_code ap_fail_errno(struct apiary_error *err, int error_number, const char *format, ...)
{
    enum apiary_code code = code_of_errno(error_number);
    if (!err) return code;
    char what[sizeof err->message];
    va_list args;
    va_start(args, format);
    format_line(what, sizeof what, format, args);
    va_end(args);
    char buffer[128];
    return ap_fail(err, code, "%s: %s", what, strerror_r(error_number, buffer, sizeof buffer));
}

void ap_error_clear(struct apiary_error *err)
{
    if (!err) return;
    err->code = APIARY_OK;
    err->message[0] = 0;
    err->hint[0] = 0;
}

const char *ap_code_name(int code)
{
    switch (code) {
#define CODE_CASE(name, value, text)                                                               \
    case value: return #name;
        APIARY_CODES(CODE_CASE)
#undef CODE_CASE
        default: return "UNKNOWN";
    }
}

const char *ap_code_text(int code)
{
    switch (code) {
#define CODE_CASE(name, value, text)                                                               \
    case value: return text;
        APIARY_CODES(CODE_CASE)
#undef CODE_CASE
        default: return "unknown code";
    }
}

void ap_assert_failed(const char *condition, const char *file, int line)
{
    fprintf(stderr, "apiary: %s:%d: broken invariant: %s\n", file, line, condition);
    abort();
}
