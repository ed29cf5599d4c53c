/* Running many seeds, and what the environment says about which. */
#include "sim/sim_private.h"

#include <stdio.h>
#include <stdlib.h>

static bool number(const char *name, uint64_t *out)
{
    const char *text = getenv(name);
    if (!text || !*text) return false;
    *out = strtoull(text, NULL, 10);
    return true;
}

struct sim_seeds sim_seeds(uint64_t count)
{
    struct sim_seeds seeds = { .first = 1, .count = count };
    if (number("AP_SEED", &seeds.first)) {
        seeds.count = 1;
        return seeds;
    }
    number("AP_SEED_FIRST", &seeds.first);
    number("AP_SEEDS", &seeds.count);
    return seeds;
}

bool sim_each(
    const char *name, uint64_t count, const char *(*one)(uint64_t seed, void *arg), void *arg)
{
    struct sim_seeds seeds = sim_seeds(count);
    const char *blame = NULL;
    uint64_t seed = seeds.first;
    for (; seed < seeds.first + seeds.count && !blame; seed++) {
        blame = one(seed, arg);
        if (blame)
            fprintf(stderr, "%s: seed %llu: %s\n    (replay with every call shown: AP_SEED=%llu)\n",
                name, (unsigned long long)seed, blame, (unsigned long long)seed);
    }
    fiber_drop_stacks();
    return !blame;
}

uint64_t sim_catch(uint64_t count, const char *(*one)(uint64_t seed, void *arg), void *arg)
{
    uint64_t caught = 0;
    for (uint64_t seed = 1; seed <= count && !caught; seed++)
        if (one(seed, arg)) caught = seed;
    fiber_drop_stacks();
    return caught;
}

struct sim_faults sim_faults_all(void)
{
    return (struct sim_faults) {
        .refuse_percent = 5,
        .lose_reply_percent = 5,
        .late_percent = 5,
        .twice_percent = 3,
        .slow_percent = 3,
        .truncate_percent = 2,
        .corrupt_percent = 1,
        .split_list_percent = 20,
        .crash_per_mille = 5,
        .pause_per_mille = 3,
        .outage_per_mille = 1,
        .garble_per_mille = 5,
        .garble_prefix = "_queries/",
        .clock_step_per_mille = 2,
        .clock_skew_us_max = INT64_C(3600) * 1000000,
        .restarts_max = 3,
    };
}
