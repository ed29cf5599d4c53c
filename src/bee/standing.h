/* What a kept engine instance holds from one statement to the next: databases, schemas and views over cells,
 * committed. A frame that is asked again, as it was, is there already: making its view would bind it, and read the
 * footer of its first cell, for nothing. */
#ifndef AP_BEE_STANDING_H
#define AP_BEE_STANDING_H

#include "bee/failure.h"
#include "core/json.h"

#include <duckdb.h>

struct bee_standing { /* zeros: nothing */
    struct ap_texts make, undo; /* statements, in the order in which they were run; undo "": none is needed */
};

/* Makes the instance hold exactly what the list says: [["make","undo"],…], later ones may need earlier ones.
 * What is not in it is undone, the last made first; what is new is made. After a failure nobody knows what the
 * instance holds: it is to be closed. *stuck: what others left could not be undone, for which the list is not to blame.
 * why->setup: the index in the list. NULL list: nothing is to stand. */
enum apiary_code bee_standing_set(struct bee_standing *standing, duckdb_connection connection,
    yyjson_val *list, bool *stuck, struct bee_failure *why);
void bee_standing_done(struct bee_standing *standing); /* forgets it: the instance is gone */

#endif
