#include "core/id.h"

#include <stdio.h>

#include "core/codec.h"
#include "core/env.h"

enum { ID_BYTES = 16 };

void ap_id_random(struct ap_env *env, char out[AP_ID_TEXT_SIZE])
{
    uint8_t bytes[ID_BYTES];
    ap_random(env, bytes, sizeof bytes);
    ap_hex(bytes, sizeof bytes, out);
}

/* Sets version and variant (RFC 9562, section 4) and writes the text. */
static void uuid_text(uint8_t bytes[ID_BYTES], unsigned version, char out[AP_UUID_TEXT_SIZE])
{
    bytes[6] = (uint8_t)((bytes[6] & 0x0F) | version << 4);
    bytes[8] = (uint8_t)((bytes[8] & 0x3F) | 0x80);
    char hex[AP_ID_TEXT_SIZE];
    ap_hex(bytes, ID_BYTES, hex);
    snprintf(out, AP_UUID_TEXT_SIZE, "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12, hex + 16,
        hex + 20);
}

void ap_uuid4(struct ap_env *env, char out[AP_UUID_TEXT_SIZE])
{
    uint8_t bytes[ID_BYTES];
    ap_random(env, bytes, sizeof bytes);
    uuid_text(bytes, 4, out);
}

/* The twelve bits behind the milliseconds hold the fraction of the millisecond
 * (RFC 9562, section 6.2, method 3), so that ids of one node sort by time. */
void ap_uuid7(struct ap_env *env, char out[AP_UUID_TEXT_SIZE])
{
    int64_t now = ap_now_us(env);
    uint64_t us = now > 0 ? (uint64_t)now : 0;
    uint64_t ms = us / 1000, fraction = us % 1000 * 4096 / 1000;
    uint8_t bytes[ID_BYTES];
    ap_random(env, bytes, sizeof bytes);
    for (unsigned i = 0; i < 6; i++) bytes[i] = (uint8_t)(ms >> (40 - 8 * i));
    bytes[6] = (uint8_t)(fraction >> 8);
    bytes[7] = (uint8_t)fraction;
    uuid_text(bytes, 7, out);
}

bool ap_id_valid(struct ap_str text)
{
    if (text.size != AP_ID_TEXT_SIZE - 1) return false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return false;
    }
    return true;
}
