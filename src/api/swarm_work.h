/* Work of the swarm on this handle: parts of plans run for others (struct ap_task_port), stages of our
 * own statements given to others (struct ap_spread_port), queries that outlive who asked. */
#ifndef AP_API_SWARM_WORK_H
#define AP_API_SWARM_WORK_H

#include "api/handle.h"
#include "swarm/submit.h"
#include "swarm/worker.h"

/* This handle as a party to the protocol, under `boot`. */
struct ap_swarm ap_swarm_of(struct apiary *handle, const struct ap_node_id *boot);

/* What a manifest may say that it needs. */
#define AP_NEED_PLAN "plan-1"   /* parts of plans, statements as text */
#define AP_NEED_WRITE "write-1" /* parts that store cells; their commit */
#define AP_NEED_COMPACT "compact-1" /* parts that put cells together */
#define AP_NEED_FILES "files-1" /* parts that read files of the store beside its frames */
#define AP_NEED_TEXT "text-1" /* … such of CSV and JSON */
#define AP_NEED_UNION "union-1" /* tasks over cells of several references, under UNION ALL */
#define AP_NEED_HOLD "hold-1" /* statements as text that write; their commit */

/* How long the nodes may take for a statement that somebody waits for, and for any that writes: cells that no log
 * names yet are safe from vacuum for a day, and the commit may take some hours too. */
#define AP_ORDER_DEADLINE_US (INT64_C(6) * 3600 * 1000000)

/* The port of queries that is hung into the world. Its context is the handle. */
void ap_spread_port_init(struct apiary *handle);

/* What a manifest's plan says (untrusted text). */
struct ap_order {
    bool detached;        /* the merged rows are kept */
    bool whole;           /* one task: the statement as text */
    struct ap_plan *plan; /* not whole; of a whole one that writes after ap_order_held */
    size_t stage;
    char *sql; /* whole */
    yyjson_doc *doc;
};
void ap_order_done(struct ap_order *order);
AP_CHECKED enum apiary_code ap_order_read(const struct ap_manifest *manifest, struct ap_order *out, struct apiary_error *err);

/* Of what is to be committed: the cells as text. A whole statement says itself where they go: order->plan,
 * NULL if there is nothing to commit. */
AP_CHECKED enum apiary_code ap_order_held(
    struct ap_order *order, struct ap_str content, struct ap_str *cells, struct apiary_error *err);

struct ap_order_kind {
    bool writes;  /* it stores rows */
    bool planned; /* as a plan alone: its text is run by nobody else (OPTIMIZE, COPY) */
};
/* Can the text be done by others, later? *sql becomes its one statement. codes: SQL, UNSUPPORTED */
AP_CHECKED enum apiary_code ap_order_check(struct ap_str *sql, struct ap_order_kind *kind, struct apiary_error *err);

/* The manifest of one stage of a plan, or of a statement as text; strings live in its arena. */
struct ap_order_spec {
    const struct ap_plan_run *run; /* NULL: whole */
    struct ap_str sql;             /* whole */
    bool writes;                   /* whole: it writes */
    bool detached;
    int64_t deadline_us;           /* from now */
};
AP_CHECKED enum apiary_code ap_order_write(const struct ap_swarm *swarm, struct ap_session *session, const struct ap_order_spec *spec,
    struct ap_view *view, struct ap_manifest *out, struct apiary_error *err);

/* Announces it and leaves; *query: its id, owned by the caller. codes: of ap_submit; UNCERTAIN: one that writes may have
 * been announced, the hint names it */
AP_CHECKED enum apiary_code ap_order_hand_over(
    struct apiary *handle, struct ap_session *session, const struct ap_order_spec *spec, char **query, struct apiary_error *err);

/* Its tasks alone, each with the node to which it would go. */
AP_CHECKED enum apiary_code ap_order_tasks(
    const struct ap_order_spec *spec, const struct ap_view *view, struct ap_manifest *out, struct apiary_error *err);

/* Bytes of a file from its start / a new file with these bytes. */
AP_CHECKED enum apiary_code ap_file_bytes(int fd, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_bytes_file(const struct ap_session *session, struct ap_str bytes, int *out, struct apiary_error *err);

#endif
