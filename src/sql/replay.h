/* Would the same frames give the same rows again, whoever runs the query and in whatever order rows
 * come? Pure. */
#ifndef AP_SQL_REPLAY_H
#define AP_SQL_REPLAY_H

#include "sql/tree.h"

/* NULL: yes, but for the last digits of floats. Else why that is not sure: static text for the user,
 * begins lower case. Doubts where it cannot tell. `tree` is that of one statement without constants of
 * the moment. */
const char *ap_replay_doubt(yyjson_doc *tree);

#endif
