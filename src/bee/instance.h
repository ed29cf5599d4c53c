/* One instance of the engine in memory: opened for one statement, locked before it,
 * closed after it, so that no statement inherits anything. */
#ifndef AP_BEE_INSTANCE_H
#define AP_BEE_INSTANCE_H

#include "core/str.h"

#include <duckdb.h>

enum { BEE_ZONE_SIZE = 64, BEE_THREADS_MAX = 1024 };

/* What may differ from statement to statement and can be guessed ahead. */
struct bee_measures {
    uint64_t memory_bytes; /* the engine's memory_limit */
    int64_t threads;
    char timezone[BEE_ZONE_SIZE];
};

struct bee_instance {
    struct bee_measures work; /* as set now */
    duckdb_database database;
    duckdb_connection connection;
};

/* scratch: spill of instance `number` goes to {scratch}/spill-{number}, at most
 * spill_bytes. Not locked yet. codes: CHAMBER (the engine's words), MEMORY */
AP_CHECKED enum apiary_code bee_instance_open(struct bee_instance **out, const char *scratch,
    uint64_t spill_bytes, uint64_t number, const struct bee_measures *work,
    struct apiary_error *err);
/* Changes what differs from `work`. codes: SQL (bad time zone), CHAMBER */
AP_CHECKED enum apiary_code bee_instance_adjust(
    struct bee_instance *instance, const struct bee_measures *work, struct apiary_error *err);
/* From here no setting changes. (What files are reachable is fixed at the opening.) */
AP_CHECKED enum apiary_code bee_instance_lock(
    struct bee_instance *instance, struct apiary_error *err);
/* Locked too, for a row of statements that leave nothing behind (job.c): each has a connection of
 * its own, and what is remembered of files by their names is off. */
AP_CHECKED enum apiary_code bee_instance_keep(
    struct bee_instance *instance, struct apiary_error *err);
/* One more connection to a kept instance, with the settings that a connection has for itself. */
AP_CHECKED enum apiary_code bee_instance_connect(
    struct bee_instance *instance, duckdb_connection *out, struct apiary_error *err);
void bee_instance_close(struct bee_instance *instance); /* NULL does nothing */

/* Runs one statement and drops its result. The engine's text goes to *text when it
 * fails (owned by the caller; may stay empty without memory). */
bool bee_instance_query(duckdb_connection connection, const char *sql, struct ap_bytes *text);
/* Appends 'text' as an SQL string literal. */
AP_CHECKED enum apiary_code bee_sql_literal(
    struct ap_bytes *out, struct ap_str text, struct apiary_error *err);

#endif
