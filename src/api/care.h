/* Maintenance of a node that has joined the swarm (query/maintenance.h); private to this room. */
#ifndef AP_API_CARE_H
#define AP_API_CARE_H

#include "api/handle.h"

/* Starts it when the settings say so. Called once a join. */
struct ap_care;
AP_CHECKED enum apiary_code ap_care_start(
    struct apiary *handle, struct ap_care **out, struct apiary_error *err);
void ap_care_stop(struct ap_care *care); /* NULL is fine */

#endif
