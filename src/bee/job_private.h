/* What the files of a job share: job.c (its life), job_instance.c (the engine that it gets),
 * job_start.c (from the text to the first task). */
#ifndef AP_BEE_JOB_PRIVATE_H
#define AP_BEE_JOB_PRIVATE_H

#include "bee/input.h"
#include "bee/job.h"
#include "core/json.h"

enum mode { MODE_ARROW, MODE_JSON, MODE_NONE, MODE_FILES };

/* How far it came. In between it is a question: the engine was asked what a text means, and nothing ran. */
enum part { PART_SETUP, PART_QUESTION, PART_RUN };

struct job {
    struct bee_hive *hive;
    uint32_t number;
    yyjson_val *document;
    enum mode mode;
    enum part part;
    bool shared;
    struct bee_kept *place; /* of a kept job's instance; NULL until it has one, and of others */
    uint64_t resident_bytes; /* of this process when a kept job was given its instance; 0: not known */
    bool kept, of_plan;
    bool for_reason;     /* it runs only to fail again: its rows are let go */
    bool in_transaction; /* the set-up of a kept one */
    struct bee_measures measures;
    struct ap_bytes settings; /* as SET statements */
    struct bee_instance *instance;
    duckdb_connection connection; /* the instance's, or of a kept job alone */
    struct bee_inputs *inputs;
    duckdb_prepared_statement statement;
    duckdb_pending_result pending;
    duckdb_result result;
    bool has_result;
    uint64_t rows_changed;
    struct ap_bytes answer; /* fields of DONE, each ended by a comma */
    struct bee_failure why;
};

/* codes: CANCELLED */
AP_CHECKED enum apiary_code bee_job_go_on(struct job *job);
bool bee_job_has_inputs(const struct job *job);

/* An instance for the job, with its settings, locked. */
AP_CHECKED enum apiary_code bee_job_take_instance(struct job *job);
/* A kept job's instance holds what it wants to stand, and nothing else. Another one is taken where what others left cannot be undone. */
AP_CHECKED enum apiary_code bee_job_let_stand(struct job *job);
/* What the job made in its instance is taken back, or the instance is closed by a thread that nobody waits
 * for: that takes up to 20 ms. */
void bee_job_give_instance(struct job *job, bool failed);

/* Parses, binds and plans the statement: job->pending can be worked on. */
AP_CHECKED enum apiary_code bee_job_start(struct job *job);
void bee_job_keep_question(struct job *job);

#endif
