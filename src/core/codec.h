/* Encodings: hex, base64, percent, Z85, CRC-32, SHA-256, MD5. Pure.
 * What writes into ap_bytes appends, and leaves it as it was on failure; decoders
 * fail with CORRUPT, naming the byte. */
#ifndef AP_CORE_CODEC_H
#define AP_CORE_CODEC_H

#include "core/str.h"

enum { AP_SHA256_SIZE = 32, AP_MD5_SIZE = 16 };

void ap_hex(const void *data, size_t size, char *out /* 2*size+1 */);
void ap_sha256(const void *data, size_t size, uint8_t out[AP_SHA256_SIZE]);
void ap_hmac_sha256(const void *key, size_t key_size, const void *data, size_t size, uint8_t out[AP_SHA256_SIZE]);
void ap_md5(const void *data, size_t size, uint8_t out[AP_MD5_SIZE]);
uint32_t ap_crc32(uint32_t seed, const void *data, size_t size); /* zlib polynomial */
AP_CHECKED enum apiary_code ap_base64_encode(struct ap_bytes *out, struct ap_str data, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_base64_decode(struct ap_bytes *out, struct ap_str text, struct apiary_error *err);
/* Ascii85 of ZeroMQ RFC 32 (deletion vectors). Size must be a multiple of 5. */
AP_CHECKED enum apiary_code ap_z85_decode(struct ap_bytes *out, struct ap_str text, struct apiary_error *err);
/* Percent-encodes every byte but A-Z a-z 0-9 and those in `keep` (e.g. "-._/="). */
AP_CHECKED enum apiary_code ap_percent_encode(struct ap_bytes *out, struct ap_str text, const char *keep, struct apiary_error *err);
/* Decodes %XX exactly once; CORRUPT for a broken escape or %00. */
AP_CHECKED enum apiary_code ap_percent_decode(struct ap_bytes *out, struct ap_str text, struct apiary_error *err);

#endif
