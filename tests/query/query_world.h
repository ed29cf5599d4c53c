/* What the tests of statements share: a store in a folder of their own, with one session and one bee. */
#ifndef AP_TESTS_QUERY_WORLD_H
#define AP_TESTS_QUERY_WORLD_H

#include "apiary_test.h"

/* memory_limit: NULL for the machine's. No chamber is started yet. */
static inline void query_open(const char *folder, const char *memory_limit, struct apiary **handle,
    struct apiary_session **session)
{
    struct apiary_error err = { 0 };
    char store[AP_TEST_PATH_MAX + 8], scratch[AP_TEST_PATH_MAX + 8], cache[AP_TEST_PATH_MAX + 8],
        bee[AP_TEST_PATH_MAX];
    snprintf(store, sizeof store, "%s/store", folder);
    snprintf(scratch, sizeof scratch, "%s/scratch", folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    const char *build = getenv("APIARY_BUILD_DIR");
    snprintf(bee, sizeof bee, "%s/apiary-bee", build ? build : "build");
    setenv("APIARY_BEE", bee, 1);
    const struct apiary_setting settings[] = { { "scratch_dir", scratch }, { "cache_dir", cache },
        { "bees", "1" }, { "fsync", "off" }, { "memory_limit", memory_limit } };
    size_t count = AP_COUNT(settings) - (memory_limit == NULL);
    assert_ok(apiary_open(store, settings, count, handle, &err));
    assert_ok(apiary_session_open(*handle, session, &err));
}

/* A statement that succeeds. */
static inline void query_run(struct apiary_session *session, const char *sql)
{
    struct apiary_error err = { 0 };
    struct apiary_result *result = NULL;
    const struct apiary_query query = { .sql = sql, .length = strlen(sql) };
    assert_ok(apiary_sql(session, &query, &result, &err));
    apiary_result_close(result);
}

#endif
