/* The contract of a store: each case on each backend, each on a fresh store. */
#include "contract/contract.h"

struct run {
    const struct contract_backend *backend;
    const struct contract_case *one;
    char name[96];
};

static void run_case(void **state)
{
    struct run *run = *state;
    struct contract contract = { .backend = run->backend };
    if (!run->backend->make(&contract)) skip();
    run->one->run(&contract);
    run->backend->destroy(&contract);
}

int main(void)
{
    enum { RUNS_MAX = 400 };
    static struct run runs[RUNS_MAX];
    static struct CMUnitTest tests[RUNS_MAX];
    static const struct contract_case *const lists[] = { contract_object_cases, contract_list_cases,
        contract_race_cases };
    size_t count = 0;
    /* "versitygw": that backend alone */
    const char *only = getenv("AP_CONTRACT_ONLY");
    for (const struct contract_backend *const *backend = contract_backends; *backend; backend++) {
        if (only && *only && strcmp(only, (*backend)->name) != 0) continue;
        for (size_t list = 0; list < AP_COUNT(lists); list++) {
            for (const struct contract_case *one = lists[list]; one->name && count < RUNS_MAX;
                 one++) {
                struct run *run = &runs[count];
                *run = (struct run) { .backend = *backend, .one = one };
                snprintf(run->name, sizeof run->name, "%s: %s", (*backend)->name, one->name);
                tests[count++] = (struct CMUnitTest) {
                    .name = run->name, .test_func = run_case, .initial_state = run
                };
            }
        }
    }
    return _cmocka_run_group_tests("store contract", tests, count, NULL, NULL);
}
