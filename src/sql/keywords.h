/* Words of the engine's grammar, whatever their case. */
#ifndef AP_SQL_KEYWORDS_H
#define AP_SQL_KEYWORDS_H

#include "core/str.h"

bool ap_word_is_reserved(struct ap_str word); /* never a name when unquoted */
bool ap_word_is_keyword(struct ap_str word);  /* reserved or not */

#endif
