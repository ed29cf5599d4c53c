/* A pool over the real chamber program or over fake_bee, and jobs on it in one line. */
#ifndef AP_TEST_POOL_FIXTURE_H
#define AP_TEST_POOL_FIXTURE_H

#include "apiary_test.h"

#include "core/alloc.h"
#include "core/json.h"
#include "runtime/pool.h"

#define MIB (UINT64_C(1) << 20)

struct fixture {
    char folder[AP_TEST_PATH_MAX];
    char program[AP_TEST_PATH_MAX];
    char machine[AP_TEST_PATH_MAX]; /* an empty folder: the kernel tells no pressure */
    struct ap_pool *pool;
    struct apiary_error err;
};

static inline const char *build_folder(void)
{
    const char *folder = getenv("APIARY_BUILD_DIR");
    return folder ? folder : "build";
}

/* Folders and program without a pool, so without threads: for tests that fork. A child of a threaded
 * process may find a sanitizer's allocator locked for ever.
 * program: NULL for the real one, else a program of the test folder. */
static inline void fixture_prepare(struct fixture *f, const char *program)
{
    memset(f, 0, sizeof *f);
    ap_test_folder(f->folder);
    ap_test_folder(f->machine);
    snprintf(f->program, sizeof f->program, "%s/%s%s", build_folder(), program ? "tests/" : "",
        program ? program : "apiary-bee");
}

static inline void fixture_open(struct fixture *f, const char *program, int bees, uint64_t memory)
{
    fixture_prepare(f, program);
    struct ap_pool_options options = {
        .bees = bees,
        .memory_bytes = memory,
        .scratch_dir = f->folder,
        .scratch_bytes_max = 1024 * MIB,
        .program = f->program,
        .machine_root = f->machine,
        .kernel_limit = getenv("AP_SANITIZED") == NULL,
    };
    struct apiary_error err = { 0 };
    assert_ok(ap_pool_open(ap_env_system(), &options, &f->pool, &err));
}

static inline void fixture_close(struct fixture *f)
{
    ap_pool_close(f->pool);
    ap_test_folder_remove(f->folder);
    ap_test_folder_remove(f->machine);
}

/* {"sql":…,"result":…} into a text that the caller frees. */
static inline char *document(const char *sql, const char *result)
{
    struct ap_bytes text = { 0 };
    struct apiary_error err = { 0 };
    assert_ok(ap_bytes_add_text(&text, "{\"sql\":", &err));
    assert_ok(ap_json_quote(&text, ap_str_from(sql), &err));
    assert_ok(ap_bytes_printf(
        &text, &err, ",\"result\":\"%s\",\"settings\":{\"TimeZone\":\"UTC\"}}", result));
    return text.data;
}

static inline struct ap_job job_of(char *text)
{
    return (struct ap_job) { .document = text, .document_size = strlen(text) };
}

/* Runs a statement whose rows come as JSON; the code, and the DONE document in done. */
static inline enum apiary_code run_json(
    struct ap_chamber *chamber, const char *sql, struct ap_bytes *done, struct apiary_error *err)
{
    char *text = document(sql, "json");
    struct ap_job job = job_of(text);
    enum apiary_code code = ap_job_run(chamber, &job, done, NULL, err);
    ap_free(text);
    return code;
}

#endif
