/* Every object of a frame that is missing, cut off or not what it should be, each by its key. Reads
 * only. What Parquet files hold inside is for whoever can read them (query/fsck.c). */
#ifndef AP_LEDGER_FSCK_H
#define AP_LEDGER_FSCK_H

#include "ledger/ledger.h"

struct ap_fsck_report {
    enum apiary_code (*finding)(
        void *context, const char *key, const char *problem, struct apiary_error *err);
    void *context;
};

/* The log line by line, its holes, its hint, deletion vectors, pins, and whether every cell of the
 * newest and of pinned versions is there in its size. *head: the newest state for the caller, NULL
 * when it cannot be had (that is among the findings). parquet: keys of checkpoints, to be looked
 * into. Failures to look at all are errors. */
AP_CHECKED enum apiary_code ap_ledger_fsck(struct ap_ledger *ledger,
    const struct ap_fsck_report *report, struct ap_snapshot **head, struct ap_texts *parquet,
    struct apiary_error *err);

#endif
