/* Removing objects that no version within the retention names, and pins that keep versions
 * (swarm.md, section 5; docs/maintenance.md).
 *
 * Objects of a frame
 *   _apiary_vacuum/%020d.plan.json   PINE: {"format":1,"txnId","who","version","keys":[…]}
 *   _apiary_vacuum/%020d.done.json   the plan is carried out
 *   _apiary_pins/{name}.json         PINE: {"format":1,"version"}
 *
 * Invariants
 *  (1) What is listed is listed before the head is read: whatever was committed before is live.
 *  (2) Ages are taken from the store: LastModified against the clock of the listing's answer.
 *      No node's clock and no timestamp inside the log decides.
 *  (3) What an entry removed within the retention stays, and so does all that a pinned version holds.
 *      A file that no entry names stays for the retention and never less than 24 h: its writer may
 *      still commit it, and writers give up 12 h after they began.
 *  (4) Who wants an old version back (PIN, RESTORE) writes its pin first and looks for plans then;
 *      vacuum writes its plan first and looks for pins then, right before it deletes. So one of the
 *      two sees the other, whatever their clocks say.
 *  (5) Between plan and deletion lies `wait_us`, for readers of versions that nothing protects.
 *  (6) A plan is carried out by who wrote it, within 12 h; its body is never trusted by others to
 *      delete, only to stay away from. After 24 h it means nothing.
 * Rejected: a lock. Two vacuums at once are each right, so a crashed one blocks nobody. */
#ifndef AP_LEDGER_VACUUM_H
#define AP_LEDGER_VACUUM_H

#include "ledger/ledger.h"

struct ap_vacuum_options {
    int64_t retain_us;    /* negative: as the table says (delta.deletedFileRetentionDuration) */
    bool below_retention; /* allow less than the table says */
    int64_t wait_us;      /* between plan and deletion */
    bool dry_run;
    const struct ap_cancel *cancel;
};
struct ap_vacuumed {
    struct ap_texts keys; /* below the frame's folder: deleted, or with dry_run to be deleted */
    int64_t bytes;
    uint64_t version; /* head when the plan was made */
};
void ap_vacuumed_done(struct ap_vacuumed *vacuumed);
/* codes: UNSUPPORTED (the table's protocol forbids us to write), INVALID (below the retention),
 *        BUSY (another vacuum of this frame is at work), CANCELLED, … */
AP_CHECKED enum apiary_code ap_ledger_vacuum(struct ap_ledger *ledger,
    const struct ap_vacuum_options *options, struct ap_vacuumed *out, struct apiary_error *err);

struct ap_pin {
    char *name;
    uint64_t version;
    int64_t modified_us; /* by the store's clock */
};
struct ap_pins {
    struct ap_pin *items;
    size_t count, capacity;
};
void ap_pins_done(struct ap_pins *pins);
AP_CHECKED enum apiary_code ap_ledger_pins(
    struct ap_ledger *ledger, struct ap_pins *out, struct apiary_error *err);
/* Keeps a version until it is unpinned. codes: EXISTS (the name is taken), INVALID (a bad name),
 * NOT_FOUND (no such version, or a cell of it is gone), BUSY (a vacuum is about to delete one) */
AP_CHECKED enum apiary_code ap_ledger_pin(
    struct ap_ledger *ledger, const char *name, uint64_t version, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_ledger_unpin(
    struct ap_ledger *ledger, const char *name, struct apiary_error *err); /* NOT_FOUND */

/* Is every object that the snapshot names there, and in no plan? As ap_ledger_pin. */
AP_CHECKED enum apiary_code ap_ledger_check_cells(
    struct ap_ledger *ledger, const struct ap_snapshot *snapshot, struct apiary_error *err);

/* An older version's cells and metadata as a new version. Nothing is done when they are what is there.
 * codes: as ap_ledger_pin (a cell was vacuumed: NOT_FOUND names it) and ap_ledger_commit */
struct ap_restored {
    uint64_t from, version; /* what was restored; where it landed (the head when nothing was done) */
    size_t cells_back, cells_gone;
};
AP_CHECKED enum apiary_code ap_ledger_restore(struct ap_ledger *ledger, const struct ap_at *at,
    const struct ap_cancel *cancel, struct ap_restored *out, struct apiary_error *err);

#endif
