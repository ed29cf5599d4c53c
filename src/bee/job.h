/* One statement from its document to DONE or FAILED. */
#ifndef AP_BEE_JOB_H
#define AP_BEE_JOB_H

#include "bee/control.h"
#include "bee/stable.h"
#include "bee/standing.h"

struct bee_kept { /* an instance that serves "kept" jobs of one measure and these settings */
    struct bee_instance *instance; /* NULL: none */
    duckdb_connection ready; /* the next job's, made after the last: its settings take a third of a millisecond. NULL: none */
    bool parts; /* of plans, and no others */
    struct ap_bytes settings;
    struct bee_standing standing;
    int jobs; /* it has served */
    uint64_t grown_bytes; /* by which resident memory grew while they ran, and did not shrink again */
    uint64_t used; /* `kept_uses` when it was last taken */
};

struct bee_hive { /* what all jobs of this process share */
    struct bee_control *control;
    struct bee_stable *stable;
    struct bee_instance *parser; /* serves "shared" jobs; opened by the first */
    duckdb_prepared_statement question; /* of the last of them, which is asked again and again; NULL: none */
    struct ap_bytes question_sql;
    struct bee_kept kept[AP_WIRE_KEPT_MAX];
    size_t kept_places; /* of them that may be used: at least 1 */
    uint64_t kept_uses;
    uint64_t resident_bytes; /* the least of this process when a kept one was opened */
    uint64_t memory_bytes;       /* budget of the widest statement */
};

/* The engine's memory_limit for a budget: what is left after code, stacks and our
 * own buffers, halved, since ordinary sorts overshoot by 60 % and freed pages linger.
 * source design.md D3, chamber.md 7 */
uint64_t bee_memory_limit(uint64_t budget_bytes, int64_t threads);

/* Runs the job and sends its last message. CHAMBER when that cannot be sent. */
AP_CHECKED enum apiary_code bee_job_run(
    struct bee_hive *hive, const struct ap_wire_message *message, struct apiary_error *err);

#endif
