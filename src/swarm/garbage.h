/* What queries leave behind. A query is collected a while after it ended, one that writes only after
 * its outcome stands; one that nobody decided is decided long after its deadline, and collected later.
 *
 * Order: results, claims, failures, payloads; the manifest; 0out; 0end last. So whoever slept and
 * finds no 0end can tell by the manifest whether the query is undecided or gone. */
#ifndef AP_SWARM_GARBAGE_H
#define AP_SWARM_GARBAGE_H

#include "swarm/swarm.h"

/* Longer than a signed request can be on its way (15 min), so that no late write of a live process
 * comes to a place that was cleared. */
#define AP_GARBAGE_ENDED_US (INT64_C(20) * 60 * 1000000)
#define AP_GARBAGE_LOST_US (INT64_C(3600) * 1000000)

/* Goes through all queries of the store once. What fails is left for the next time. */
void ap_garbage_collect(const struct ap_swarm *swarm);

#endif
