/* Abandonment: a step that may be repeated is tried again with memory of what happened, and given
 * up after task_tries with the whole history.
 *
 *   MEMORY    the same try frugally, where the step knows how; then once more with all bees, when the chamber had fewer
 *   TIMEOUT   again with twice the time
 *   IO        again after a back-off
 *   CHAMBER   again in a fresh chamber
 *   others    never: another try would end the same way (CORRUPT, SQL, DENIED …) or is not wanted
 *
 * Only for steps that leave nothing behind: reads of which no row was handed out yet, and cells that
 * no ledger names. Rows of the caller (Arrow inputs) are read once: such a step is not repeated. */
#ifndef AP_QUERY_TRIES_H
#define AP_QUERY_TRIES_H

#include "query/read.h"

struct ap_tries {
    struct ap_source *source;
    int made, max;
    int width;          /* of the next try: for ap_source_take */
    int64_t timeout_us; /* of the next try: query_timeout or more */
    int64_t begin_us;   /* of the running try */
    bool widened;
    const char *frame; /* whose cells the step writes; it heeds the source's `frugal` then. NULL: it does not */
    bool in_pieces;    /* what it writes frugally it writes in pieces */
    struct ap_bytes history; /* "try 1 with 1 bee and 134.2 MB, 0.3 s: …; try 2 …" */
};

void ap_tries_begin(struct ap_tries *tries, struct ap_source *source, int width);
void ap_tries_done(struct ap_tries *tries);
/* From here the step is frugal, which the log tells with the reason. For steps with a frame. */
void ap_tries_frugally(struct ap_tries *tries, const char *reason);
/* A try ended with `code`, which *err tells. True: try again, the source's chamber was given back and
 * the pause is over. False: *err is what the statement ends with (ABANDONED, when there was more than
 * one try), and *code its code. */
bool ap_tries_again(struct ap_tries *tries, enum apiary_code *code, struct apiary_error *err);

#endif
