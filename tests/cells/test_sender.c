/* What a chamber writes goes to the store while it grows. */
#include "apiary_test.h"

#include "cells/cells.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

enum { MEGABYTE = 1 << 20, WAIT_MAX_MS = 60000 };

/* A store in memory that notes what it was given ahead of the commit. */
static struct {
    _Atomic uint64_t written; /* of the last call */
    _Atomic int calls, keys, closed;
    _Atomic bool hold, fail;
    char key[64]; /* guarded by key_lock */
} seen;
static pthread_mutex_t key_lock = PTHREAD_MUTEX_INITIALIZER;

static enum apiary_code note_advance(struct ap_store *store, struct ap_stage *stage,
    const char *key, uint64_t written, struct apiary_error *err)
{
    pthread_mutex_lock(&key_lock);
    snprintf(seen.key, sizeof seen.key, "%s", key);
    pthread_mutex_unlock(&key_lock);
    seen.written = written;
    seen.calls++;
    while (seen.hold) usleep(1000);
    assert_true(fcntl(stage->fd, F_GETFD) >= 0); /* nobody closed it meanwhile */
    return seen.fail ? ap_fail(err, APIARY_IO, "refused") : APIARY_OK;
}

static enum apiary_code name_key(
    void *context, const char *name, struct ap_bytes *key, struct apiary_error *err)
{
    seen.keys++;
    return ap_bytes_printf(key, err, "%s/%s", (const char *)context, name);
}

static struct ap_output_keys naming(uint64_t bytes_max)
{
    static char folder[] = "t";
    return (struct ap_output_keys) { .key = name_key, .context = folder, .bytes_max = bytes_max };
}

struct world {
    struct ap_store *store;
    struct ap_store_ops ops;
    struct ap_cell_set *set;
    size_t number;
};

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct apiary_error err;
    memset(&seen, 0, sizeof seen);
    assert_ok(ap_store_open(ap_env_system(), "memory://sender", NULL, &world->store, &err));
    world->ops = *world->store->ops;
    world->ops.stage_advance = note_advance;
    world->store->ops = &world->ops;
    assert_ok(ap_cell_set_new(ap_env_system(), &world->set, &err));
    assert_ok(ap_cell_set_add_output(world->set, world->store, NULL, &world->number, &err));
    *state = world;
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    ap_cell_set_free(world->set);
    ap_store_close(world->store);
    free(world);
    return 0;
}

static int write_megabytes(struct world *world, const char *name, int count)
{
    static char block[MEGABYTE];
    int fd = -1;
    uint64_t size, paging[2];
    assert_int_equal(
        ap_cell_set_open(world->set, name, O_CREAT | O_WRONLY | O_TRUNC, &fd, &size, paging), 0);
    for (int i = 0; i < count; i++) assert_int_equal(write(fd, block, MEGABYTE), MEGABYTE);
    return fd;
}

static void wait_for(_Atomic int *what, int least)
{
    for (int i = 0; *what < least; i++) {
        if (i == WAIT_MAX_MS) fail_msg("waited a minute for %d calls, there were %d", least, *what);
        usleep(1000);
    }
}

static void test_sent_while_it_grows(void **state)
{
    struct world *world = *state;
    struct apiary_error err;
    struct ap_object object = { 0 };
    ap_output_send(world->set, world->number, naming(0));
    int fd = write_megabytes(world, "/out/0/w", 3);
    wait_for(&seen.calls, 1);
    pthread_mutex_lock(&key_lock);
    bool right = strcmp(seen.key, "t/w") == 0;
    pthread_mutex_unlock(&key_lock);
    assert_true(right);
    while (seen.written < 3 * MEGABYTE) usleep(1000);
    /* Nothing before the end can be changed any more. */
    assert_true(fcntl(fd, F_GETFL) & O_APPEND);
    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(write(fd, "end", 3), 3);
    while (seen.written < 3 * MEGABYTE + 3) usleep(1000);
    close(fd);
    ap_output_send_end(world->set);
    ap_output_send_end(world->set);
    int calls = seen.calls;
    assert_int_equal(seen.keys, 1);
    assert_string_equal(ap_output_key(world->set, 0, 0), "t/w");
    assert_ok(ap_output_commit(world->set, 0, 0, "t/w", &object, &err));
    assert_int_equal(object.size, 3 * MEGABYTE + 3);
    assert_int_equal(seen.calls, calls);
}

static void test_small_large_and_refused(void **state)
{
    struct world *world = *state;
    seen.fail = true;
    ap_output_send(world->set, world->number,
        naming(4 * MEGABYTE));
    int large = write_megabytes(world, "/out/0/large", 5), small = -1, other;
    uint64_t size, paging[2];
    assert_int_equal(
        ap_cell_set_open(world->set, "/out/0/small", O_CREAT | O_WRONLY, &small, &size, paging), 0);
    assert_int_equal(write(small, "x", 1), 1);
    other = write_megabytes(world, "/out/0/other", 2);
    wait_for(&seen.calls, 1);
    usleep(100000); /* what was refused once is left to the commit: a longer wait shows no more */
    ap_output_send_end(world->set);
    assert_int_equal(seen.keys, seen.calls);
    assert_null(ap_output_key(world->set, 0, 1));
    close(large), close(small), close(other);
}

static void *unlink_it(void *context)
{
    struct world *world = context;
    assert_int_equal(ap_cell_set_unlink(world->set, "/out/0/w"), 0);
    seen.closed = 1;
    return NULL;
}

static void test_a_file_goes_while_it_is_sent(void **state)
{
    struct world *world = *state;
    pthread_t thread;
    seen.hold = true;
    ap_output_send(world->set, world->number, naming(0));
    close(write_megabytes(world, "/out/0/w", 2));
    wait_for(&seen.calls, 1);
    assert_int_equal(pthread_create(&thread, NULL, unlink_it, world), 0);
    usleep(50000);
    assert_int_equal(seen.closed, 0);
    /* Questions are answered meanwhile. */
    bool directory = false;
    uint64_t size = 0;
    assert_int_equal(ap_cell_set_stat(world->set, "/out/0/w", &size, &directory), 0);
    assert_int_equal(size, 2 * MEGABYTE);
    seen.hold = false;
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(ap_output_count(world->set, 0), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_sent_while_it_grows),
        TEST(test_small_large_and_refused),
        TEST(test_a_file_goes_while_it_is_sent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
