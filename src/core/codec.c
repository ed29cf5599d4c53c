#include "core/codec.h"

static const char hex_digits[] = "0123456789abcdef";

void ap_hex(const void *data, size_t size, char *out)
{
    const unsigned char *bytes = data;
    for (size_t i = 0; i < size; i++) {
        *out++ = hex_digits[bytes[i] >> 4];
        *out++ = hex_digits[bytes[i] & 15];
    }
    *out = 0;
}

/* Gives up what was appended behind `size`. */
static enum apiary_code undo(struct ap_bytes *out, size_t size, enum apiary_code code)
{
    out->size = size;
    if (out->data) out->data[size] = 0;
    return code;
}

/* ---- base64 (RFC 4648, section 4; padding is required) ---- */

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

enum apiary_code ap_base64_encode(
    struct ap_bytes *out, struct ap_str data, struct apiary_error *err)
{
    if (data.size > SIZE_MAX / 4) return ap_fail(err, APIARY_LIMIT, "too much to write as base64");
    AP_TRY(ap_bytes_reserve(out, (data.size + 2) / 3 * 4, err));
    const unsigned char *bytes = (const unsigned char *)data.data;
    char *to = out->data + out->size;
    for (size_t i = 0; i < data.size; i += 3) {
        size_t left = data.size - i;
        uint32_t word = (uint32_t)bytes[i] << 16;
        if (left > 1) word |= (uint32_t)bytes[i + 1] << 8;
        if (left > 2) word |= bytes[i + 2];
        *to++ = base64_digits[word >> 18];
        *to++ = base64_digits[word >> 12 & 63];
        *to++ = left > 1 ? base64_digits[word >> 6 & 63] : '=';
        *to++ = left > 2 ? base64_digits[word & 63] : '=';
    }
    *to = 0;
    out->size = (size_t)(to - out->data);
    return APIARY_OK;
}

static int base64_value(char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

enum apiary_code ap_base64_decode(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    if (text.size % 4 != 0)
        return ap_fail(
            err, APIARY_CORRUPT, "base64 text has %zu characters, not a multiple of 4", text.size);
    size_t before = out->size;
    size_t padding = 0;
    while (padding < 2 && padding < text.size && text.data[text.size - 1 - padding] == '=')
        padding++;
    AP_TRY(ap_bytes_reserve(out, text.size / 4 * 3, err));
    size_t digits = text.size - padding;
    uint32_t word = 0;
    for (size_t i = 0; i < text.size; i++) {
        int value = i < digits ? base64_value(text.data[i]) : 0;
        if (value < 0)
            return undo(
                out, before, ap_fail(err, APIARY_CORRUPT, "base64 text is broken at byte %zu", i));
        word = word << 6 | (uint32_t)value;
        if (i % 4 < 3) continue;
        out->data[out->size++] = (char)(word >> 16);
        out->data[out->size++] = (char)(word >> 8);
        out->data[out->size++] = (char)word;
        if (i + 1 < text.size) word = 0;
    }
    /* Bits that no byte holds must be zero: one value has one spelling. */
    if (padding && (word & (padding == 2 ? 0xFFFFU : 0xFFU)))
        return undo(out, before, ap_fail(err, APIARY_CORRUPT, "base64 text is broken at its end"));
    return undo(out, out->size - padding, APIARY_OK);
}

/* ---- Z85 (ZeroMQ RFC 32) ---- */

static const char z85_digits[] =
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.-:+=^!/*?&<>()[]{}@%$#";

enum apiary_code ap_z85_decode(struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    if (text.size % 5 != 0)
        return ap_fail(
            err, APIARY_CORRUPT, "Z85 text has %zu characters, not a multiple of 5", text.size);
    size_t before = out->size;
    AP_TRY(ap_bytes_reserve(out, text.size / 5 * 4, err));
    uint64_t word = 0;
    for (size_t i = 0; i < text.size; i++) {
        const char *digit = text.data[i] ? strchr(z85_digits, text.data[i]) : NULL;
        if (digit) word = word * 85 + (uint64_t)(digit - z85_digits);
        if (!digit || word > UINT32_MAX)
            return undo(
                out, before, ap_fail(err, APIARY_CORRUPT, "Z85 text is broken at byte %zu", i));
        if (i % 5 < 4) continue;
        for (int shift = 24; shift >= 0; shift -= 8) out->data[out->size++] = (char)(word >> shift);
        word = 0;
    }
    return undo(out, out->size, APIARY_OK);
}

/* ---- percent encoding ---- */

static bool is_plain(char c, const char *keep)
{
    if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) return true;
    return c && strchr(keep, c);
}

enum apiary_code ap_percent_encode(
    struct ap_bytes *out, struct ap_str text, const char *keep, struct apiary_error *err)
{
    if (text.size > SIZE_MAX / 4) return ap_fail(err, APIARY_LIMIT, "too much to percent-encode");
    AP_TRY(ap_bytes_reserve(out, text.size * 3, err));
    char *to = out->data + out->size;
    for (size_t i = 0; i < text.size; i++) {
        unsigned char byte = (unsigned char)text.data[i];
        if (is_plain(text.data[i], keep)) {
            *to++ = (char)byte;
        } else {
            *to++ = '%';
            *to++ = "0123456789ABCDEF"[byte >> 4];
            *to++ = "0123456789ABCDEF"[byte & 15];
        }
    }
    *to = 0;
    out->size = (size_t)(to - out->data);
    return APIARY_OK;
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

enum apiary_code ap_percent_decode(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    size_t before = out->size;
    AP_TRY(ap_bytes_reserve(out, text.size, err));
    for (size_t i = 0; i < text.size; i++) {
        int byte = (unsigned char)text.data[i];
        if (byte == '%') {
            int high = text.size - i > 2 ? hex_value(text.data[i + 1]) : -1;
            int low = text.size - i > 2 ? hex_value(text.data[i + 2]) : -1;
            byte = high < 0 || low < 0 ? 0 : high << 4 | low;
        }
        if (byte == 0)
            return undo(out, before,
                ap_fail(err, APIARY_CORRUPT, "percent-encoding is broken at byte %zu", i));
        if (text.data[i] == '%') i += 2;
        out->data[out->size++] = (char)byte;
    }
    return undo(out, out->size, APIARY_OK);
}
