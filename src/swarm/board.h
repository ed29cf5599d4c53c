/* The board of a query: what one LIST of its prefix shows. */
#ifndef AP_SWARM_BOARD_H
#define AP_SWARM_BOARD_H

#include "storage/store.h"
#include "swarm/query_key.h"

struct ap_board_task {
    bool done;
    uint8_t claims;      /* the highest number */
    uint32_t failures;   /* bit k: the holder of claim k reported a failure */
    int64_t claimed_us;  /* when the highest claim was made */
    int64_t done_us;
    size_t result;       /* index into results: the first object, in byte order, that has it */
};
struct ap_board_result {
    char *key;
    uint64_t size_bytes;
};
struct ap_board {
    bool ended, out, manifest;
    int64_t ended_us, out_us, manifest_us;
    int64_t newest_us;       /* the youngest object of all */
    int64_t now_us, mono_us; /* the store's clock; this reader's, before the LIST was asked for */
    struct ap_board_task *tasks;
    size_t task_count, done_count;
    struct ap_board_result *results;
    size_t result_count, result_capacity;
    size_t objects;          /* that the LIST gave */
};
void ap_board_done(struct ap_board *board);
/* codes: those of ap_store_list, LIMIT, MEMORY */
AP_CHECKED enum apiary_code ap_board_look(
    struct ap_store *store, const char *id, size_t task_count, struct ap_board *out, struct apiary_error *err);

#endif
