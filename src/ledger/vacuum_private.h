/* Between vacuum.c and pin.c. */
#ifndef AP_LEDGER_VACUUM_PRIVATE_H
#define AP_LEDGER_VACUUM_PRIVATE_H

#include "ledger/held.h"
#include "ledger/vacuum.h"
#include "storage/slot.h"

#define AP_VACUUM_FOLDER "_apiary_vacuum"
#define AP_PINS_FOLDER "_apiary_pins"
/* Pins that RESTORE holds while it runs begin so; a crash leaves them, and after a day they end. */
#define AP_PIN_OF_RESTORE "restore-"

enum { AP_VACUUM_KEYS_MAX = 100000, AP_VACUUM_OPEN_MAX = 64 };
#define AP_VACUUM_PLAN_BYTES_MAX (UINT64_C(256) << 20)
#define AP_VACUUM_FORGET_US (INT64_C(24) * 3600 * 1000 * 1000)
#define AP_VACUUM_WORK_US (INT64_C(12) * 3600 * 1000 * 1000)

/* Plans that are not carried out and not forgotten. */
struct ap_vacuum_log {
    uint64_t next; /* number of the next plan */
    int64_t now_us, newest_us;
    size_t open;
    char keys[AP_VACUUM_OPEN_MAX][AP_KEY_MAX + 1];
};
AP_CHECKED enum apiary_code ap_vacuum_plans(
    struct ap_ledger *ledger, struct ap_vacuum_log *out, struct apiary_error *err);

AP_CHECKED enum apiary_code ap_care_key(const struct ap_ledger *ledger, const char *folder,
    const char *name, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_care_settle(struct ap_ledger *ledger, const char *key,
    struct ap_str body, enum ap_slot_outcome *outcome, struct apiary_error *err);

#endif
