/* kill -9 at every step of the local store: after it each object is the old one or the new one, no
 * half of anything shows, and the next writer goes on. The writer is this program itself, started
 * with tests/crash/killer.c preloaded. */
#include "apiary_test.h"

#include "storage/store.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

enum { STEPS_MAX = 400 };

static const char old_body[] = "the old state of things, which must stay whole";
static const char new_body[] = "the new state, of another length altogether";

/* ---- the writer ---- */

static int writer_main(const char *root)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    struct ap_stage *stage = NULL;
    enum apiary_code code = ap_store_open(ap_env_system(), root, NULL, &store, &err);
    if (code == APIARY_OK) code = ap_store_put(store, "hint", ap_str_from(new_body), &err);
    if (code == APIARY_OK)
        code = ap_store_put_if_absent(store, "new/folder/log/1", ap_str_from(new_body), &err);
    if (code == APIARY_OK) code = ap_store_stage(store, &stage, &err);
    if (code == APIARY_OK && write(stage->fd, new_body, sizeof new_body - 1) < 0) code = APIARY_IO;
    if (code == APIARY_OK) code = ap_stage_commit(stage, "f/p=1/cell", NULL, &err);
    ap_stage_close(stage);
    if (code == APIARY_OK) code = ap_store_delete(store, "gone/for/good", &err);
    ap_store_close(store);
    if (code != APIARY_OK) fprintf(stderr, "writer: %s\n", err.message);
    return code == APIARY_OK ? 0 : 1;
}

/* The exit status of a writer that is killed at step `at`. */
static int run_writer(const char *root, long at, const char *when)
{
    char self[512], preload[600], number[40], how[40];
    char *variables[64];
    size_t count = 0;
    pid_t child;
    int status = 0;
    ssize_t size = readlink("/proc/self/exe", self, sizeof self - 1);
    assert_true(size > 0);
    self[size] = 0;
    const char *build = getenv("APIARY_BUILD_DIR");
    char *slash = strrchr(self, '/');
    if (build)
        snprintf(preload, sizeof preload, "LD_PRELOAD=%.500s/tests/crash/libkiller.so", build);
    else
        snprintf(preload, sizeof preload, "LD_PRELOAD=%.*s/crash/libkiller.so", (int)(slash - self),
            self);
    snprintf(number, sizeof number, "AP_KILL_AT=%ld", at);
    snprintf(how, sizeof how, "AP_KILL_WHEN=%s", when);
    static char asan[] = "ASAN_OPTIONS=verify_asan_link_order=0";
    variables[count++] = preload;
    variables[count++] = number;
    variables[count++] = how;
    variables[count++] = asan;
    variables[count] = NULL;
    char word[] = "writer";
    char *arguments[] = { self, word, (char *)(uintptr_t)root, NULL };
    assert_int_equal(posix_spawn(&child, self, NULL, NULL, arguments, variables), 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

/* ---- the checks ---- */

static void is_whole(
    const char *label, struct ap_store *store, const char *key, bool may_be_old, bool may_miss)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    enum apiary_code code = ap_store_get(store, key, AP_RANGE_ALL, &body, NULL, &err);
    if (code == APIARY_NOT_FOUND && may_miss) return;
    assert_code_in(label, code, APIARY_OK);
    if (may_be_old && strcmp(ap_bytes_text(&body), old_body) == 0) return;
    assert_string_in(label, ap_bytes_text(&body), new_body);
}

static void check_after(const char *label, const char *root)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    assert_ok(ap_store_open(ap_env_system(), root, NULL, &store, &err));
    is_whole(label, store, "hint", true, false);
    is_whole(label, store, "new/folder/log/1", false, true);
    is_whole(label, store, "f/p=1/cell", false, true);
    is_whole(label, store, "gone/for/good", true, true);
    assert_ok(ap_store_list(store, &request, &list, &err));
    assert_true_in(label, list.count <= 4);
    for (size_t i = 0; i < list.count; i++) assert_true_in(label, list.objects[i].size > 0);
    /* The next writer is not in the way of the dead one. */
    enum apiary_code code =
        ap_store_put_if_absent(store, "new/folder/log/1", ap_str_from(new_body), &err);
    assert_true_in(label, code == APIARY_OK || code == APIARY_CONFLICT);
    assert_code_in(label, ap_store_put(store, "hint", ap_str_from(new_body), &err), APIARY_OK);
    assert_code_in(label,
        ap_store_put_if_absent(store, "new/folder/log/2", ap_str_from(new_body), &err), APIARY_OK);
    ap_store_close(store);
}

static void killed_at_every_step(void **state)
{
    static const char *const moments[] = { "before", "after" };
    (void)state;
    for (size_t m = 0; m < AP_COUNT(moments); m++) {
        int status = -1;
        long at = 1;
        for (; at < STEPS_MAX && status != 0; at++) {
            char folder[AP_TEST_PATH_MAX], root[AP_TEST_PATH_MAX + 8], label[60];
            struct apiary_error err;
            struct ap_store *store = NULL;
            snprintf(label, sizeof label, "killed %s step %ld", moments[m], at);
            ap_test_folder(folder);
            snprintf(root, sizeof root, "%s/root", folder);
            assert_ok(ap_store_open(ap_env_system(), root, NULL, &store, &err));
            assert_ok(ap_store_put(store, "hint", ap_str_from(old_body), &err));
            assert_ok(ap_store_put(store, "gone/for/good", ap_str_from(old_body), &err));
            ap_store_close(store);
            status = run_writer(root, at, moments[m]);
            assert_true_in(
                label, status == 0 || (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL));
            check_after(label, root);
            ap_test_folder_remove(folder);
        }
        /* Every put is at least: create, sync, link or rename, sync. */
        assert_true(at > 12);
        print_message("# killed %s each of %ld steps\n", moments[m], at - 2);
    }
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "writer") == 0) return writer_main(argv[2]);
    const struct CMUnitTest tests[] = { cmocka_unit_test(killed_at_every_step) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
