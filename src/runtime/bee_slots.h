/* Bees of the machine: slots that all processes of one user share, so that a notebook, a node
 * and the command line on one board do not use it three times over.
 *
 * One file, DIR/bees, whose bytes are locked and never mean anything by their content:
 *
 *   byte 0 … total - 1    a bee; locked as long as a chamber works with it
 *   byte GUEST            the guest's place (pool_private.h)
 *   byte COUNTER          locked while a ticket is drawn; the last number stands in bytes 0 to 7
 *   byte TICKETS + n      ticket n; locked as long as its holder waits
 *
 * The locks are of open file descriptions (F_OFD_SETLK). A chamber's description is opened by
 * the node and shared with the chamber's process, so a slot stays taken until the node gives it
 * back or both are gone: kill -9 of either frees nothing too early and nothing too late. Who waits
 * holds a ticket; the lowest is served first. A holder that is stopped while it waits is passed
 * over after some seconds.
 *
 * Not thread-safe: the pool's lock is held around every call. */
#ifndef AP_RUNTIME_BEE_SLOTS_H
#define AP_RUNTIME_BEE_SLOTS_H

#include "core/error.h"

#include <stdint.h>

struct ap_slots;

/* dir: made when needed, must be the user's own. total: bees that the machine has. */
AP_CHECKED enum apiary_code ap_slots_open(
    const char *dir, int total, struct ap_slots **out, struct apiary_error *err);
void ap_slots_close(struct ap_slots *slots); /* NULL is fine */

/* A description for one chamber, close-on-exec; -1: errno says why. */
int ap_slots_descriptor(const struct ap_slots *slots);
/* Takes up to `want` free slots for the description, or none when fewer than `need` are free or
 * others were here first; then it keeps a place in the line until ap_slots_leave. Returns how
 * many. slots NULL: nobody shares, `want` is given. */
int ap_slots_take(struct ap_slots *slots, int fd, int need, int want, int64_t now_us);
/* The guest's place, which knows no line. */
bool ap_slots_take_guest(struct ap_slots *slots, int fd);
void ap_slots_give(struct ap_slots *slots, int fd); /* all that the description holds */
void ap_slots_leave(struct ap_slots *slots);        /* gives up the place in the line */
bool ap_slots_others_wait(struct ap_slots *slots);

#endif
