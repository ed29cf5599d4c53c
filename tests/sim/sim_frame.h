/* The frame of the ledger's simulations: partitioned by d, with a column x. */
#ifndef AP_TESTS_SIM_FRAME_H
#define AP_TESTS_SIM_FRAME_H

#include "ledger/ledger.h"
#include "sim/sim.h"

/* Version 0 at "t", before anything goes wrong. */
static inline void sim_create_frame(struct sim *sim)
{
    struct apiary_error err;
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_ledger *ledger = NULL;
    struct ap_ledger_options options = {
        .env = sim_bare_env(sim), .store = sim_bare(sim), .prefix = "t", .name = "t"
    };
    ap_assert(ap_ledger_open(&options, &ledger, &err) == APIARY_OK);
    struct ap_str by = AP_STR("d");
    struct ap_table_spec spec = { .partition_by = &by, .partition_count = 1 };
    ap_assert(ap_schema_parse(&arena,
                  AP_STR("{\"type\":\"struct\",\"fields\":[{\"name\":\"d\",\"type\":\"string\","
                         "\"nullable\":true,\"metadata\":{}},"
                         "{\"name\":\"x\",\"type\":\"long\",\"nullable\":true,\"metadata\":{}}]}"),
                  &spec.schema, &err) == APIARY_OK);
    struct ap_commit commit = { .spec = &spec, .operation = "CREATE TABLE" };
    ap_assert(ap_ledger_commit(ledger, &commit, NULL, NULL, &err) == APIARY_OK);
    ap_ledger_close(ledger);
}

#endif
