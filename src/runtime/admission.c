/* Who may begin at which temperature (docs/colony.md). */
#include "core/time.h"
#include "runtime/pool_private.h"

#include <inttypes.h>
#include <unistd.h>

/* What each kind does in the hot band, and above it. */
static const struct rule {
    bool waits;         /* while it is hot, at most AP_ADMIT_WAIT_MS */
    bool waits_critical; /* also above */
    bool refused_hot;   /* when it is hot (still, after waiting) */
    const char *what;
} rules[] = {
    [AP_ADMIT_QUERY] = { true, false, false, "query" },
    [AP_ADMIT_WRITE_BLOCK] = { true, true, true, "write" },
    [AP_ADMIT_WRITE_ERROR] = { false, false, true, "write" },
    [AP_ADMIT_WRITE_IGNORE] = { false, false, false, "write" },
};

static enum apiary_code refuse(
    const struct ap_pool_load *load, const struct rule *rule, struct apiary_error *err)
{
    int64_t seconds = load->wait_us / AP_US_PER_SECOND + 1;
    ap_fail(err, APIARY_BUSY,
        "the colony is %s (temperature %.2f): %d of %d bees busy, %zu waiting; the %s was not begun",
        ap_band_text(load->band), load->temperature, load->bees_busy, load->bees, load->waiting,
        rule->what);
    ap_hint(err, "try again in about %" PRId64 " s", seconds);
    return APIARY_BUSY;
}

enum apiary_code ap_pool_admit(struct ap_pool *pool, enum ap_admit kind,
    const struct ap_cancel *cancel, struct apiary_error *err)
{
    AP_TRY(ap_pool_check_owner(pool, err));
    const struct rule *rule = &rules[kind];
    int64_t deadline = ap_pool_deadline(pool, pool->admit_wait_ms);
    struct ap_pool_load load;
    for (;;) {
        ap_pool_load(pool, &load);
        if (load.band < AP_BAND_HOT) return APIARY_OK;
        bool wait = rule->waits && (load.band == AP_BAND_HOT || rule->waits_critical);
        if (!wait || ap_mono_us(pool->env) >= deadline) break;
        if (ap_cancel_requested(cancel))
            return ap_fail(err, APIARY_CANCELLED, "cancelled while waiting for the colony to cool down");
        ap_sleep_us(pool->env, AP_POOL_TICK_MS * 1000);
        if (cancel && cancel->look) cancel->look(cancel->look_context);
    }
    bool refused = load.band == AP_BAND_CRITICAL || rule->refused_hot;
    return refused ? refuse(&load, rule, err) : APIARY_OK;
}
