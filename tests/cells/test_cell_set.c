/* What a chamber is answered: exactly what was granted, each time with a description of its own. */
#include "cells/cells.h"

#include "apiary_test.h"

#include "core/alloc.h"

#include <errno.h>
#include <fcntl.h>

struct world {
    char folder[AP_TEST_PATH_MAX];
    struct ap_store *store;
    struct ap_cell_set *set;
};

static void put(struct ap_store *store, const char *key, const char *body)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_store_put(store, key, ap_str_from(body), &err));
}

static void write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static int open_world(struct world *world, const char *uri)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_store_open(ap_env_system(), uri, NULL, &world->store, &err));
    assert_ok(ap_cell_set_new(ap_env_system(), &world->set, &err));
    return 0;
}

static int setup(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    char uri[AP_TEST_PATH_MAX + 8];
    ap_test_folder(world->folder);
    snprintf(uri, sizeof uri, "%s/store", world->folder);
    *state = world;
    return open_world(world, uri);
}

static int setup_memory(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    ap_test_folder(world->folder);
    *state = world;
    return open_world(world, "memory://x");
}

static int teardown(void **state)
{
    struct world *world = *state;
    ap_cell_set_free(world->set);
    ap_store_close(world->store);
    ap_test_folder_remove(world->folder);
    free(world);
    return 0;
}

static int open_name(struct world *world, const char *name, int flags, int *fd)
{
    uint64_t size = 0, paging[2] = { 0 };
    *fd = -1;
    return ap_cell_set_open(world->set, name, flags, fd, &size, paging);
}

static void test_cells(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number = 99;
    char text[16] = "";
    put(world->store, "f/a.parquet", "0123456789");
    put(world->store, "f/b.parquet", "secret");
    assert_ok(ap_cell_set_add(
        world->set, world->store, "f/a.parquet", 10, -1, "p=1/x.parquet", &number, &err));
    assert_int_equal(number, 0);
    int first, second;
    assert_int_equal(open_name(world, "/cells/0/p=1/x.parquet", O_RDONLY | O_CLOEXEC, &first), 0);
    assert_int_equal(open_name(world, "/cells/0/p=1/x.parquet", O_RDONLY, &second), 0);
    assert_int_equal(read(first, text, 4), 4);
    assert_int_equal(read(second, text, 2), 2);
    assert_memory_equal(text, "01", 2); /* offsets are not shared */
    assert_int_equal(write(first, "x", 1), -1);
    assert_true(fcntl(first, F_GETFD) & FD_CLOEXEC);
    close(first);
    close(second);
}

static const struct {
    const char *name;
    int flags, error;
} refused[] = {
    { "/cells/1/p=1/x.parquet", O_RDONLY, ENOENT },
    { "/cells/0/p=2/x.parquet", O_RDONLY, ENOENT },
    { "/cells/0/x.parquet", O_RDONLY, ENOENT },
    { "/cells/00/p=1/x.parquet", O_RDONLY, ENOENT },
    { "/cells/-1/p=1/x.parquet", O_RDONLY, ENOENT },
    { "/cells/18446744073709551616/x", O_RDONLY, ENOENT },
    { "/cells/0/../0/p=1/x.parquet", O_RDONLY, ENOENT },
    { "/cells/0//p=1/x.parquet", O_RDONLY, ENOENT },
    { "/cells/0/p=1/x.parquet/", O_RDONLY, ENOENT },
    { "/cells/0", O_RDONLY, EISDIR },
    { "/cells", O_RDONLY, EISDIR },
    { "/cellsx/0/p=1/x.parquet", O_RDONLY, ENOENT },
    { "/etc/passwd", O_RDONLY, ENOENT },
    { "", O_RDONLY, ENOENT },
    { "/cells/0/p=1/x.parquet", O_RDWR, EACCES },
    { "/cells/0/p=1/x.parquet", O_RDONLY | O_TRUNC, EACCES },
    { "/cells/0/p=1/x.parquet", O_RDONLY | O_CREAT, EACCES },
    { "/files/0/y", O_RDONLY, ENOENT },
    { "/out/0/y", O_RDWR | O_CREAT, ENOENT },
};

static void test_only_what_was_granted(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    put(world->store, "f/a.parquet", "0123456789");
    assert_ok(ap_cell_set_add(
        world->set, world->store, "f/a.parquet", 10, -1, "p=1/x.parquet", &number, &err));
    for (size_t i = 0; i < AP_COUNT(refused); i++) {
        int fd;
        assert_int_in(refused[i].name, open_name(world, refused[i].name, refused[i].flags, &fd),
            refused[i].error);
        assert_int_in(refused[i].name, fd, -1);
    }
    assert_ok(ap_cell_set_trouble(world->set, &err)); /* probing is no trouble */
    static const char *const tails[] = { "", "/x", "x/", "a//b", "../x", "./x", "a/../b", "x\n" };
    for (size_t i = 0; i < AP_COUNT(tails); i++)
        assert_code_in(tails[i],
            ap_cell_set_add(world->set, world->store, "f/a.parquet", 10, -1, tails[i], &number, &err),
            APIARY_CORRUPT);
    assert_code(
        ap_cell_set_add(world->set, world->store, "../a", 10, -1, "x", &number, &err), APIARY_INVALID);
    uint64_t size;
    bool directory = false;
    assert_int_equal(ap_cell_set_stat(world->set, "/cells/0/p=1", &size, &directory), 0);
    assert_true(directory);
    assert_int_equal(ap_cell_set_stat(world->set, "/cells/0/p=1/x.parquet", &size, &directory), 0);
    assert_true(!directory && size == 10);
    assert_int_equal(ap_cell_set_stat(world->set, "/cells/0/p", &size, &directory), ENOENT);
    AP_AUTO(ap_texts) names = { 0 };
    assert_int_equal(ap_cell_set_list(world->set, "/cells", &names), EACCES);
    assert_int_equal(ap_cell_set_unlink(world->set, "/cells/0/p=1/x.parquet"), EACCES);
    assert_int_equal(ap_cell_set_rename(world->set, "/cells/0/p=1/x.parquet", "/out/0/x"), EACCES);
}

static void test_trouble(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    int fd;
    put(world->store, "f/a.parquet", "0123456789");
    assert_ok(ap_cell_set_add(world->set, world->store, "f/a.parquet", 11, -1, "x", &number, &err));
    assert_ok(ap_cell_set_add(world->set, world->store, "f/gone.parquet", 5, -1, "x", &number, &err));
    assert_int_equal(open_name(world, "/cells/0/x", O_RDONLY, &fd), EIO);
    assert_int_equal(open_name(world, "/cells/1/x", O_RDONLY, &fd), ENOENT);
    assert_code(ap_cell_set_trouble(world->set, &err), APIARY_CORRUPT); /* the first */
    assert_non_null(strstr(err.message, "f/a.parquet has 10 bytes; the ledger says 11"));
    struct ap_cell_set *other = NULL;
    assert_ok(ap_cell_set_new(ap_env_system(), &other, &err));
    assert_ok(
        ap_cell_set_add(other, world->store, "f/gone.parquet", UINT64_MAX, -1, "x", &number, &err));
    uint64_t size;
    assert_int_equal(ap_cell_set_open(other, "/cells/0/x", O_RDONLY, &fd, &size, (uint64_t[2]) { 0 }), ENOENT);
    assert_code(ap_cell_set_trouble(other, &err), APIARY_NOT_FOUND);
    assert_non_null(strstr(err.message, "f/gone.parquet is gone"));
    ap_cell_set_free(other);
}

/* A store whose objects cannot be opened in place. */
static void test_remote(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    int first, second;
    char text[16] = "";
    put(world->store, "f/a.parquet", "0123456789");
    put(world->store, "f/empty", "");
    world->store->is_local = false;
    assert_ok(ap_cell_set_add(world->set, world->store, "f/a.parquet", 10, -1, "x", &number, &err));
    assert_ok(ap_cell_set_add(world->set, world->store, "f/empty", 0, -1, "x", &number, &err));
    assert_int_equal(open_name(world, "/cells/0/x", O_RDONLY, &first), 0);
    assert_int_equal(open_name(world, "/cells/0/x", O_RDONLY, &second), 0);
    assert_int_equal(read(first, text, 10), 10);
    assert_int_equal(pread(second, text, 3, 7), 3);
    assert_memory_equal(text, "789", 3);
    close(first);
    close(second);
    assert_int_equal(open_name(world, "/cells/1/x", O_RDONLY, &first), 0);
    assert_int_equal(read(first, text, 10), 0);
    close(first);
    world->store->is_local = true;
}

/* Folders that are columns stay in a file's name, right above it and nowhere else. */
static void test_folders_of_files(void **state)
{
    static const struct {
        const char *key, *name;
    } cases[] = {
        { "lake/k=1/m=a%20b/x.csv", "/files/0/k=1/m=a%20b/x.csv" },
        { "k=1/x.csv", "/files/1/k=1/x.csv" },
        { "k=1/plain/x.csv", "/files/2/x.csv" },
        { "a/=1/x.csv", "/files/3/x.csv" },
        { "a/k=/x=1.csv", "/files/4/k=/x=1.csv" },
        { "a/k=*[1]/x?.csv", "/files/5/k=__1_/x_.csv" },
        { "a/b=1=2/.hidden=1/x", "/files/6/b=1=2/.hidden=1/x" },
    };
    struct world *world = *state;
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        AP_AUTO(ap_bytes) name = { 0 };
        int fd = -1;
        char path[AP_TEST_PATH_MAX + 64];
        size_t number;
        snprintf(path, sizeof path, "%s/%s", world->folder, cases[i].key);
        for (char *at = path + strlen(world->folder) + 1; (at = strchr(at, '/')); at++) {
            *at = 0;
            mkdir(path, 0700);
            *at = '/';
        }
        write_file(path, "x");
        assert_ok(ap_cell_set_add_file(world->set, path, &number, NULL, &name, &err));
        assert_string_equal(ap_bytes_text(&name), cases[i].name);
        assert_int_equal(open_name(world, cases[i].name, O_RDONLY, &fd), 0);
        close(fd);
    }
    AP_AUTO(ap_texts) names = { 0 };
    assert_int_equal(ap_cell_set_list(world->set, "/files/0", &names), 0);
    assert_int_equal(ap_cell_set_list(world->set, "/files/0/k=1", &names), 0);
    assert_int_equal(ap_cell_set_list(world->set, "/files/0/k=1/m=a%20b", &names), 0);
    assert_string_equal(names.items[0], "k=1/");
    assert_string_equal(names.items[1], "m=a%20b/");
    assert_string_equal(names.items[2], "x.csv");
    assert_int_equal(ap_cell_set_list(world->set, "/files/0/k=2", &names), ENOENT);
}

static void test_names_of_files(void **state)
{
    static const struct {
        const char *name, *rest;
        size_t number;
    } names[] = { { "/files/0/x.parquet", "x.parquet", 0 }, { "/files/17/p=1/q=2/x.csv", "p=1/q=2/x.csv", 17 },
        { "/files/0", NULL, 0 }, { "/files//x", NULL, 0 }, { "/files/a/x", NULL, 0 }, { "/cells/0/x", NULL, 0 }, { "", NULL, 0 } };
    static const struct {
        const char *rest, *path;
        bool fits;
    } cases[] = { { "x.csv", "a/x.csv", true }, { "x.csv", "x.csv", true }, { "x.csv", "ax.csv", false }, { "p=1/x.csv", "a/p=1/x.csv", true },
        { "p=1/x.csv", "p=2/x.csv", false }, { "x_y.csv", "a/x*y.csv", true }, { "x*y.csv", "a/x_y.csv", false }, { "a/x.csv", "x.csv", false } };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(names); i++) {
        size_t number = SIZE_MAX;
        struct ap_str rest = { 0 };
        bool parsed = ap_file_name_parse(ap_str_from(names[i].name), &number, &rest);
        assert_int_equal(parsed, names[i].rest != NULL);
        if (!parsed) continue;
        assert_int_equal(number, names[i].number);
        assert_true(ap_str_is(rest, names[i].rest));
    }
    for (size_t i = 0; i < AP_COUNT(cases); i++)
        assert_int_equal(ap_file_name_fits(ap_str_from(cases[i].rest), ap_str_from(cases[i].path)), cases[i].fits);
}

/* What was opened is told of, whatever lies at its path by then. */
static void test_object_of_a_file(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_object object = { 0 };
    AP_AUTO(ap_bytes) name = { 0 };
    size_t number;
    struct stat info;
    char path[AP_TEST_PATH_MAX + 32], other[AP_TEST_PATH_MAX + 32], before[AP_ETAG_MAX];
    snprintf(path, sizeof path, "%s/pinned.parquet", world->folder);
    snprintf(other, sizeof other, "%s/other.parquet", world->folder);
    write_file(path, "12345");
    write_file(other, "123456");
    assert_ok(ap_cell_set_add_file(world->set, path, &number, &object, &name, &err));
    assert_int_equal(object.size, 5);
    snprintf(before, sizeof before, "%s", object.etag);
    assert_int_equal(stat(path, &info), 0);
    ap_local_describe(&info, &object);
    assert_string_equal(object.etag, before);
    assert_int_equal(rename(other, path), 0);
    assert_int_equal(stat(path, &info), 0);
    ap_local_describe(&info, &object);
    assert_string_not_equal(object.etag, before);
}

static void test_files(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) name = { 0 };
    AP_AUTO(ap_texts) names = { 0 };
    size_t number;
    int first, second;
    char path[AP_TEST_PATH_MAX + 32], text[16] = "";
    snprintf(path, sizeof path, "%s/da*ta.csv", world->folder);
    write_file(path, "a,b\n1,2\n");
    assert_ok(ap_cell_set_add_file(world->set, path, &number, NULL, &name, &err));
    assert_string_equal(ap_bytes_text(&name), "/files/0/da_ta.csv"); /* no pattern for the engine */
    unlink(path);                                                    /* it is open by now */
    assert_int_equal(open_name(world, "/files/0/da_ta.csv", O_RDONLY, &first), 0);
    assert_int_equal(open_name(world, "/files/0/da_ta.csv", O_RDONLY, &second), 0);
    assert_int_equal(read(first, text, 4), 4);
    assert_int_equal(read(second, text, 4), 4);
    assert_memory_equal(text, "a,b\n", 4);
    close(first);
    close(second);
    assert_ok(ap_cell_set_add_bytes(world->set, AP_STR("xyz"), "in.json", &number, &err));
    assert_int_equal(number, 1);
    assert_int_equal(open_name(world, "/files/1/in.json", O_RDONLY, &first), 0);
    assert_int_equal(read(first, text, 10), 3);
    close(first);
    assert_int_equal(ap_cell_set_list(world->set, "/files/1", &names), 0);
    assert_int_equal(names.count, 1);
    assert_string_equal(names.items[0], "in.json");
    assert_int_equal(ap_cell_set_unlink(world->set, "/files/1/in.json"), EACCES);
    assert_int_equal(open_name(world, "/files/1/in.json", O_RDWR, &first), EACCES);
    assert_code(
        ap_cell_set_add_file(world->set, world->folder, &number, NULL, &name, &err), APIARY_INVALID);
    assert_code(ap_cell_set_add_file(world->set, path, &number, NULL, &name, &err), APIARY_NOT_FOUND);
    assert_code(
        ap_cell_set_add_file(world->set, "/dev/null", &number, NULL, &name, &err), APIARY_UNSUPPORTED);
    snprintf(path, sizeof path, "%s/pipe", world->folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_code(ap_cell_set_add_file(world->set, path, &number, NULL, &name, &err), APIARY_UNSUPPORTED);
}

static int descriptors(void)
{
    int count = 0;
    for (int fd = 0; fd < 4096; fd++) count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

static int out_new(struct world *world, const char *name, const char *text)
{
    int fd;
    int error = open_name(world, name, O_RDWR | O_CREAT | O_TRUNC, &fd);
    if (error) return error;
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
    close(fd);
    return 0;
}

static void test_stages(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_texts) names = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_object object = { 0 };
    size_t number = 9;
    uint64_t size;
    bool directory;
    int fd;
    assert_ok(ap_cell_set_add_output(world->set, world->store, NULL, &number, &err));
    assert_int_equal(number, 0);
    assert_int_equal(open_name(world, "/out/0/p=1/a.parquet", O_RDWR, &fd), ENOENT);
    assert_int_equal(out_new(world, "/out/0/p=1/tmp_a.parquet", "one"), 0);
    assert_int_equal(
        ap_cell_set_rename(world->set, "/out/0/p=1/tmp_a.parquet", "/out/0/p=1/a.parquet"), 0);
    assert_int_equal(out_new(world, "/out/0/p=2/b.parquet", "two"), 0);
    assert_int_equal(out_new(world, "/out/0/p=2/c.parquet", "gone"), 0);
    assert_int_equal(ap_cell_set_unlink(world->set, "/out/0/p=2/c.parquet"), 0);
    assert_int_equal(ap_cell_set_unlink(world->set, "/out/0/p=2/c.parquet"), ENOENT);
    assert_int_equal(ap_cell_set_unlink(world->set, "/out/0/p=2"), EISDIR);
    assert_int_equal(open_name(world, "/out/0/p=1", O_RDWR | O_CREAT, &fd), EISDIR);
    assert_int_equal(open_name(world, "/out/0/p=1/a.parquet/x", O_RDWR | O_CREAT, &fd), ENOTDIR);
    assert_int_equal(
        open_name(world, "/out/0/p=1/a.parquet", O_RDWR | O_CREAT | O_EXCL, &fd), EEXIST);
    assert_int_equal(open_name(world, "/out/0/../x", O_RDWR | O_CREAT, &fd), ENOENT);
    assert_int_equal(
        ap_cell_set_rename(world->set, "/out/0/p=1/a.parquet", "/out/1/a.parquet"), EXDEV);
    assert_int_equal(ap_cell_set_stat(world->set, "/out/0/p=1", &size, &directory), 0);
    assert_true(directory);
    assert_int_equal(ap_cell_set_stat(world->set, "/out/0/p=1/a.parquet", &size, &directory), 0);
    assert_true(!directory && size == 3);
    assert_int_equal(ap_cell_set_list(world->set, "/out/0", &names), 0);
    assert_int_equal(names.count, 2);
    assert_string_equal(names.items[0], "p=1/");

    AP_AUTO(ap_list) list = { 0 };
    const struct ap_list_request all = { .prefix = "" };
    assert_ok(ap_store_list(world->store, &all, &list, &err));
    assert_int_equal(list.count, 0); /* nothing is visible yet */
    assert_int_equal(ap_output_count(world->set, 0), 2);
    assert_string_equal(ap_output_name(world->set, 0, 0), "p=1/a.parquet");
    assert_ok(ap_output_commit(world->set, 0, 0, "main/t/p=1/a.parquet", &object, &err));
    assert_int_equal(object.size, 3);
    assert_ok(ap_store_get(world->store, "main/t/p=1/a.parquet", AP_RANGE_ALL, &body, NULL, &err));
    assert_string_equal(ap_bytes_text(&body), "one");
    assert_code(ap_output_commit(world->set, 0, 0, "main/t/again", &object, &err), APIARY_INVALID);
    put(world->store, "main/t/taken", "x");
    assert_code(ap_output_commit(world->set, 0, 1, "main/t/taken", &object, &err), APIARY_CONFLICT);
    assert_ok(ap_output_commit(world->set, 0, 1, "main/t/p=2/b.parquet", &object, &err));
}

/* Thousands of partitions must not need thousands of descriptors. */
static void test_many_outputs(void **state)
{
    enum { MANY = 1500 };
    struct world *world = *state;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) body = { 0 };
    struct ap_object object = { 0 };
    size_t number;
    char name[64], text[32];
    int before = descriptors();
    assert_ok(ap_cell_set_add_output(world->set, world->store, NULL, &number, &err));
    for (int i = 0; i < MANY; i++) {
        snprintf(name, sizeof name, "/out/0/p=%d/c.parquet", i);
        snprintf(text, sizeof text, "cell %d", i);
        assert_int_in(name, out_new(world, name, text), 0);
    }
    assert_true(descriptors() - before < 260);
    for (int i = 0; i < MANY; i += 499) {
        snprintf(name, sizeof name, "t/p=%d", i);
        snprintf(text, sizeof text, "cell %d", i);
        assert_ok(ap_output_commit(world->set, 0, (size_t)i, name, &object, &err));
        assert_ok(ap_store_get(world->store, name, AP_RANGE_ALL, &body, NULL, &err));
        assert_string_equal(ap_bytes_text(&body), text);
    }
    ap_cell_set_free(world->set);
    world->set = NULL;
    assert_int_equal(descriptors(), before - 0);
}

static size_t files_in(const char *folder)
{
    char command[AP_TEST_PATH_MAX + 64], line[32] = "";
    snprintf(command, sizeof command, "find '%s' -mindepth 1 | wc -l", folder);
    FILE *pipe = popen(command, "r");
    if (!pipe || !fgets(line, sizeof line, pipe)) fail();
    pclose(pipe);
    return (size_t)strtoul(line, NULL, 10);
}

static void read_file(const char *path, char text[64])
{
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    size_t size = fread(text, 1, 63, file);
    text[size] = 0;
    fclose(file);
}

static void test_machine_file(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    char path[AP_TEST_PATH_MAX + 32], link[AP_TEST_PATH_MAX + 32], folder[AP_TEST_PATH_MAX + 8],
        text[64];
    snprintf(folder, sizeof folder, "%s/f", world->folder);
    snprintf(path, sizeof path, "%s/x.csv", folder);
    snprintf(link, sizeof link, "%s/link", folder);
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_ok(ap_cell_set_add_output(world->set, NULL, path, &number, &err));
    assert_int_equal(out_new(world, "/out/0/tmp_x.csv", "a\n1\n"), 0);
    assert_int_equal(access(path, F_OK), -1); /* not before it is whole */
    assert_int_equal(ap_cell_set_rename(world->set, "/out/0/tmp_x.csv", "/out/0/x.csv"), 0);
    assert_ok(ap_output_publish(world->set, 0, false, &err));
    read_file(path, text);
    assert_string_equal(text, "a\n1\n");
    assert_ok(ap_cell_set_add_output(world->set, NULL, path, &number, &err));
    assert_int_equal(out_new(world, "/out/1/x.csv", "second"), 0);
    assert_code(ap_output_publish(world->set, 1, false, &err), APIARY_EXISTS);
    read_file(path, text);
    assert_string_equal(text, "a\n1\n");
    assert_ok(ap_output_publish(world->set, 1, true, &err));
    read_file(path, text);
    assert_string_equal(text, "second");
    assert_int_equal(symlink("x.csv", link), 0);
    assert_ok(ap_cell_set_add_output(world->set, NULL, link, &number, &err));
    assert_int_equal(out_new(world, "/out/2/x.csv", "through the link"), 0);
    assert_ok(ap_output_publish(world->set, 2, true, &err));
    read_file(path, text);
    assert_string_equal(text, "through the link");
    assert_ok(ap_cell_set_add_output(world->set, NULL, path, &number, &err));
    assert_int_equal(out_new(world, "/out/3/x.csv", "never published"), 0);
    ap_cell_set_free(world->set);
    world->set = NULL;
    assert_int_equal(files_in(folder), 2); /* the file and the link: nothing hidden is left */
    read_file(path, text);
    assert_string_equal(text, "through the link");
}

static void test_machine_folder(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    char path[AP_TEST_PATH_MAX + 32], file[AP_TEST_PATH_MAX + 64], text[64];
    snprintf(path, sizeof path, "%s/dir/", world->folder);
    assert_ok(ap_cell_set_add_output(world->set, NULL, path, &number, &err));
    assert_int_equal(out_new(world, "/out/0/dir/p=1/q=2/a.csv", "1"), 0);
    assert_int_equal(out_new(world, "/out/0/dir/p=2/q=2/a.csv", "2"), 0);
    assert_ok(ap_output_publish(world->set, 0, false, &err));
    snprintf(file, sizeof file, "%s/dir/p=2/q=2/a.csv", world->folder);
    read_file(file, text);
    assert_string_equal(text, "2");
    assert_ok(ap_cell_set_add_output(world->set, NULL, path, &number, &err));
    assert_int_equal(out_new(world, "/out/1/p=9/a.csv", "9"), 0);
    assert_code(
        ap_output_publish(world->set, 1, true, &err), APIARY_EXISTS); /* it holds something */
    read_file(file, text);
    assert_string_equal(text, "2");
}

/* What the shell's ">" leads to is a file, and is written where it stands. */
static void test_own_descriptor(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    char path[AP_TEST_PATH_MAX + 32], name[64], text[64];
    snprintf(path, sizeof path, "%s/redirected", world->folder);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    assert_int_equal(write(fd, "before ", 7), 7);
    snprintf(name, sizeof name, "/dev/fd/%d", fd);
    assert_ok(ap_cell_set_add_output(world->set, NULL, name, &number, &err));
    assert_int_equal(out_new(world, "/out/0/x.csv", "rows "), 0);
    assert_ok(ap_output_publish(world->set, 0, false, &err));
    assert_int_equal(write(fd, "after", 5), 5);
    close(fd);
    read_file(path, text);
    assert_string_equal(text, "before rows after");
}

static void test_machine_trouble(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    size_t number;
    int fd;
    char path[AP_TEST_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/none/x.csv", world->folder);
    assert_ok(ap_cell_set_add_output(world->set, NULL, path, &number, &err));
    assert_int_equal(open_name(world, "/out/0/x.csv", O_WRONLY | O_CREAT, &fd), ENOENT);
    assert_code(ap_cell_set_trouble(world->set, &err), APIARY_NOT_FOUND);
    assert_non_null(strstr(err.message, path));
    assert_code(ap_cell_set_add_output(world->set, NULL, "", &number, &err), APIARY_INVALID);
    assert_ok(ap_cell_set_add_output(world->set, NULL, "/dev/null", &number, &err));
    assert_int_equal(out_new(world, "/out/1/x.csv", "gone"), 0);
    assert_ok(ap_output_publish(world->set, 1, false, &err));
    struct stat info;
    assert_true(stat("/dev/null", &info) == 0 && S_ISCHR(info.st_mode));
}

/* Each allocation fails in turn: nothing leaks (the sanitizer sees), nothing is half granted. */
static void test_no_memory(void **state)
{
    struct world *world = *state;
    put(world->store, "f/a.parquet", "0123456789");
    int failed = 0;
    for (long n = 1; n < 60; n++) {
        struct apiary_error err = { 0 };
        struct ap_cell_set *set = NULL;
        AP_AUTO(ap_bytes) name = { 0 };
        size_t number;
        uint64_t size;
        int fd = -1;
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_cell_set_new(ap_env_system(), &set, &err);
        if (code == APIARY_OK)
            code =
                ap_cell_set_add(set, world->store, "f/a.parquet", 10, -1, "x.parquet", &number, &err);
        if (code == APIARY_OK)
            code = ap_cell_set_add_file(set, "/dev/../etc/passwd", &number, NULL, &name, &err);
        if (code == APIARY_OK)
            code = ap_cell_set_add_bytes(set, AP_STR("x"), "x.json", &number, &err);
        if (code == APIARY_OK)
            code = ap_cell_set_add_output(set, world->store, NULL, &number, &err);
        int error = code == APIARY_OK
                        ? ap_cell_set_open(set, "/out/0/p=1/x", O_RDWR | O_CREAT, &fd, &size, (uint64_t[2]) { 0 })
                        : 0;
        ap_alloc_fail_after(0);
        if (code != APIARY_OK && code != APIARY_MEMORY)
            fail_msg("allocation %ld: %s: %s", n, ap_code_name((int)code), err.message);
        if (error && error != ENOMEM) fail_msg("allocation %ld: errno %d", n, error);
        if (fd >= 0) close(fd);
        ap_cell_set_free(set);
        failed += code == APIARY_MEMORY || error == ENOMEM;
    }
    assert_true(failed > 5 && failed < 59);
}

/* Two sets of one process name a cell the same, and never two cells alike. */
static void test_numbers_stand_for_cells(void **state)
{
    struct world *world = *state;
    struct apiary_error err = { 0 };
    struct ap_cell_names *names = NULL;
    put(world->store, "f/a.parquet", "0123456789");
    assert_ok(ap_cell_names_new(ap_env_system(), &names, &err));
    struct ap_cell_set *sets[2] = { 0 };
    size_t numbers[2][5];
    uint64_t size;
    int fd = -1;
    for (size_t i = 0; i < 2; i++) {
        assert_ok(ap_cell_set_new(ap_env_system(), &sets[i], &err));
        ap_cell_set_name(sets[i], names);
        static const struct {
            uint64_t size;
            int64_t modified_ms;
            const char *tail;
        } rows[] = { { 10, 5, "x.parquet" }, { 10, 6, "x.parquet" }, { 11, 5, "x.parquet" },
            { 10, 5, "p=1/x.parquet" }, { 10, 5, "x.parquet" } };
        for (size_t k = 0; k < AP_COUNT(rows); k++) {
            size_t row = i == 0 ? k : AP_COUNT(rows) - 1 - k; /* in another order */
            assert_ok(ap_cell_set_add(sets[i], world->store, "f/a.parquet", rows[row].size, rows[row].modified_ms,
                rows[row].tail, &numbers[i][row], &err));
        }
        for (size_t a = 0; a < AP_COUNT(rows); a++)
            for (size_t b = 0; b < a; b++) assert_int_not_equal(numbers[i][a], numbers[i][b]);
    }
    for (size_t row = 1; row < 4; row++) assert_int_equal(numbers[0][row], numbers[1][row]);
    assert_int_equal(numbers[0][0], numbers[1][4]); /* the first of two grants of one cell */
    assert_int_equal(numbers[0][4], numbers[1][0]);
    char path[64];
    snprintf(path, sizeof path, "/cells/%zu/p=1/x.parquet", numbers[0][3]);
    assert_int_equal(ap_cell_set_open(sets[1], path, O_RDONLY, &fd, &size, (uint64_t[2]) { 0 }), 0);
    assert_int_equal(size, 10);
    close(fd);
    assert_int_equal(ap_cell_set_open(sets[1], "/cells/899999/x.parquet", O_RDONLY, &fd, &size, (uint64_t[2]) { 0 }), ENOENT);
    for (size_t i = 0; i < 2; i++) ap_cell_set_free(sets[i]);
    ap_cell_names_free(names);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_cells),
        TEST(test_only_what_was_granted),
        TEST(test_trouble),
        TEST(test_remote),
        TEST(test_files),
        TEST(test_names_of_files),
        TEST(test_object_of_a_file),
        TEST(test_folders_of_files),
        TEST(test_stages),
        { "test_cells in memory", test_cells, setup_memory, teardown, NULL },
        { "test_stages in memory", test_stages, setup_memory, teardown, NULL },
        TEST(test_many_outputs),
        TEST(test_machine_file),
        TEST(test_machine_folder),
        TEST(test_own_descriptor),
        TEST(test_machine_trouble),
        TEST(test_no_memory),
        TEST(test_numbers_stand_for_cells),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
