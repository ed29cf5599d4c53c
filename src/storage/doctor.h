/* What works with a store, tried out: for `apiary doctor`. */
#ifndef AP_STORAGE_DOCTOR_H
#define AP_STORAGE_DOCTOR_H

#include "storage/store.h"

enum ap_health { AP_HEALTH_GOOD, AP_HEALTH_WARNING, AP_HEALTH_BAD, AP_HEALTH_SKIPPED };

struct ap_finding {
    const char *check; /* "credentials", "list", "write", … */
    enum ap_health health;
    const char *detail; /* one line */
    const char *next;   /* what to do; "" where all is well */
};
typedef void ap_doctor_report(void *context, const struct ap_finding *finding);

struct ap_doctor_options {
    int racers; /* 0: the usual few */
    ap_doctor_report *report;
    void *context;
};

/* Runs every check that the ones before it permit; what it writes lies below "_registry/proof/" and
 * is removed. *bad: how many checks failed. codes: what opening said; MEMORY */
AP_CHECKED enum apiary_code ap_doctor(struct ap_env *env, const char *uri,
    const struct ap_doctor_options *options, int *bad, struct apiary_error *err);

#endif
