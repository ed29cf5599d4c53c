/* A predicate as SQL, which the engine could run. */
#ifndef TESTS_SQL_PREDICATE_SHOW_H
#define TESTS_SQL_PREDICATE_SHOW_H

#include "core/predicate.h"

void show_predicate(const struct ap_predicate *predicate, struct ap_bytes *out);

#endif
