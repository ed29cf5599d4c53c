/* Typed identifiers. Ids of namespace things are 16 random bytes written as 32
 * lower-case hex digits; node ids name a boot. Distinct struct types, so that a
 * hive id cannot be passed for a frame id. */
#ifndef AP_CORE_ID_H
#define AP_CORE_ID_H

#include "core/str.h"

struct ap_env;
enum { AP_ID_TEXT_SIZE = 33, AP_UUID_TEXT_SIZE = 37 };

struct ap_hive_id { char text[AP_ID_TEXT_SIZE]; };
struct ap_box_id { char text[AP_ID_TEXT_SIZE]; };
struct ap_frame_id { char text[AP_ID_TEXT_SIZE]; };
struct ap_cell_id { char text[AP_UUID_TEXT_SIZE]; };  /* uuid, version 7 */
struct ap_node_id { char text[AP_ID_TEXT_SIZE]; };
struct ap_bee_id { uint32_t index; };                /* "bee-0", … */

/* 32 hex digits from env randomness. */
void ap_id_random(struct ap_env *env, char out[AP_ID_TEXT_SIZE]);
/* RFC 9562 text; v4 random, v7 time-ordered by env's clock. */
void ap_uuid4(struct ap_env *env, char out[AP_UUID_TEXT_SIZE]);
void ap_uuid7(struct ap_env *env, char out[AP_UUID_TEXT_SIZE]);
bool ap_id_valid(struct ap_str text); /* exactly 32 lower-case hex digits */

#endif
