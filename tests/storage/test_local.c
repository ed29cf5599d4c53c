/* What only a local directory can get wrong: links, full and broken disks, left-overs, names that
 * lead out, foreign files. System calls of the backend are replaced here and fail when told to. */
#include "apiary_test.h"

#include "storage/local_private.h"
#include "storage/slot.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <time.h>

/* ---- system calls that fail ---- */

static struct {
    int link_error;        /* what linkat says */
    bool link_done_anyway; /* and does it all the same: a lost answer */
    int rename_error;      /* renameat2 */
    int write_error;
    int open_error; /* openat with O_CREAT */
    int fsync_error;
    int fsync_good; /* so many calls go through first */
    _Atomic int folders_read;
    bool network; /* fstatfs says NFS */
    bool own;     /* … ext4 */
} broken;

static int fail_with(int error)
{
    errno = error;
    return -1;
}

int linkat(int from_dir, const char *from, int to_dir, const char *to, int flags)
{
    if (broken.link_error && !broken.link_done_anyway) return fail_with(broken.link_error);
    long done = syscall(SYS_linkat, from_dir, from, to_dir, to, flags);
    return broken.link_error ? fail_with(broken.link_error) : (int)done;
}

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags)
{
    if (broken.rename_error) return fail_with(broken.rename_error);
    return (int)syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
}

ssize_t write(int fd, const void *data, size_t size)
{
    if (broken.write_error && fd > 2) return fail_with(broken.write_error);
    return syscall(SYS_write, fd, data, size);
}

int openat(int dir, const char *path, int flags, ...)
{
    va_list args;
    va_start(args, flags);
    mode_t mode = flags & O_CREAT ? va_arg(args, mode_t) : 0;
    va_end(args);
    if (broken.open_error && flags & O_CREAT) return fail_with(broken.open_error);
    return (int)syscall(SYS_openat, dir, path, flags, mode);
}

int fsync(int fd)
{
    if (broken.fsync_error && broken.fsync_good-- <= 0) return fail_with(broken.fsync_error);
    return (int)syscall(SYS_fsync, fd);
}

int fstatfs(int fd, struct statfs *out)
{
    long got = syscall(SYS_fstatfs, fd, out);
    if (broken.network) out->f_type = 0x6969;
    if (broken.own) out->f_type = 0xEF53;
    return (int)got;
}

/* ---- a store in a fresh folder ---- */

struct place {
    char folder[AP_TEST_PATH_MAX];
    char root[AP_TEST_PATH_MAX + 8];
    struct ap_store *store;
};

static int set_up(void **state)
{
    static struct place place;
    struct apiary_error err;
    memset(&place, 0, sizeof place);
    memset(&broken, 0, sizeof broken);
    ap_test_folder(place.folder);
    snprintf(place.root, sizeof place.root, "%s/root", place.folder);
    assert_ok(ap_store_open(ap_env_system(), place.root, NULL, &place.store, &err));
    *state = &place;
    return 0;
}

static int tear_down(void **state)
{
    struct place *place = *state;
    memset(&broken, 0, sizeof broken);
    ap_store_close(place->store);
    ap_test_folder_remove(place->folder);
    return 0;
}

static void path_of(const struct place *place, const char *name, char out[AP_TEST_PATH_MAX * 2])
{
    snprintf(out, AP_TEST_PATH_MAX * 2, "%s/%s", place->root, name);
}

static void make_file(const struct place *place, const char *name, const char *text)
{
    char path[AP_TEST_PATH_MAX * 2];
    path_of(place, name, path);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_folder(const struct place *place, const char *name)
{
    char path[AP_TEST_PATH_MAX * 2];
    path_of(place, name, path);
    assert_int_equal(mkdir(path, 0777), 0);
}

static size_t temp_files(const struct place *place)
{
    char path[AP_TEST_PATH_MAX * 2];
    size_t count = 0;
    path_of(place, ".tmp", path);
    DIR *dir = opendir(path);
    if (!dir) return 0;
    for (struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

static enum apiary_code get(struct place *place, const char *key, struct ap_bytes *body)
{
    struct apiary_error err;
    return ap_store_get(place->store, key, AP_RANGE_ALL, body, NULL, &err);
}

static void expect_keys(struct place *place, const char *prefix, const char *wanted)
{
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    struct ap_list_request request = { .prefix = prefix };
    assert_ok(ap_store_list(place->store, &request, &list, &err));
    assert_ok(ap_bytes_add_text(&text, "", &err));
    for (size_t i = 0; i < list.count; i++)
        assert_ok(ap_bytes_printf(&text, &err, "%s%s", i ? " " : "", list.objects[i].key));
    assert_string_in(prefix, ap_bytes_text(&text), wanted);
}

/* ---- links ---- */

static void a_lost_answer_to_link_is_recognised(void **state)
{
    static const int errors[] = { EEXIST, EIO, ETIMEDOUT };
    struct place *place = *state;
    for (size_t i = 0; i < AP_COUNT(errors); i++) {
        struct apiary_error err;
        AP_AUTO(ap_bytes) body = { 0 };
        char key[20];
        snprintf(key, sizeof key, "log/%zu", i);
        broken.link_error = errors[i];
        broken.link_done_anyway = true;
        assert_ok(ap_store_put_if_absent(place->store, key, AP_STR("mine"), &err));
        broken.link_error = 0;
        assert_code(
            ap_store_put_if_absent(place->store, key, AP_STR("other"), &err), APIARY_CONFLICT);
        assert_ok(get(place, key, &body));
        assert_string_equal(ap_bytes_text(&body), "mine");
        assert_int_equal(temp_files(place), 0);
    }
}

static void an_unclear_link_is_uncertain(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    broken.link_error = EIO;
    assert_code(ap_store_put_if_absent(place->store, "a", AP_STR("x"), &err), APIARY_UNCERTAIN);
    assert_int_equal(get(place, "a", &body), APIARY_NOT_FOUND);
    assert_int_equal(temp_files(place), 0);
}

static void without_links_rename_serves(void **state)
{
    static const int errors[] = { EPERM, EOPNOTSUPP, EMLINK };
    struct place *place = *state;
    for (size_t i = 0; i < AP_COUNT(errors); i++) {
        struct apiary_error err;
        char key[20];
        snprintf(key, sizeof key, "log/%zu", i);
        broken.link_error = errors[i];
        assert_ok(ap_store_put_if_absent(place->store, key, AP_STR("x"), &err));
        assert_code(ap_store_put_if_absent(place->store, key, AP_STR("y"), &err), APIARY_CONFLICT);
        assert_true(place->store->shared_writing);
        assert_int_equal(temp_files(place), 0);
    }
}

static void without_both_shared_writing_is_refused(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    struct ap_stage *stage = NULL;
    broken.link_error = EPERM;
    broken.rename_error = EINVAL;
    assert_code(ap_store_put_if_absent(place->store, "a/b", AP_STR("x"), &err), APIARY_UNSUPPORTED);
    assert_non_null(strstr(err.message, "shared writing is refused"));
    assert_non_null(strstr(err.message, place->root));
    assert_true(err.hint[0] != 0);
    assert_false(place->store->shared_writing);
    assert_ok(ap_store_stage(place->store, &stage, &err));
    assert_code(ap_stage_commit(stage, "a/c", NULL, &err), APIARY_UNSUPPORTED);
    ap_stage_close(stage);
    assert_ok(ap_store_put(place->store, "a/b", AP_STR("x"), &err));
    assert_int_equal(temp_files(place), 0);
}

/* ---- broken disks ---- */

static void a_failed_write_leaves_nothing(void **state)
{
    static const struct {
        const char *label;
        int write_error, open_error, fsync_error;
        enum apiary_code code;
    } cases[] = {
        { "disk full", ENOSPC, 0, 0, APIARY_FULL },
        { "quota", EDQUOT, 0, 0, APIARY_FULL },
        { "write fails", EIO, 0, 0, APIARY_IO },
        { "read-only", 0, EROFS, 0, APIARY_DENIED },
        { "not ours", 0, EACCES, 0, APIARY_DENIED },
        { "no room for a name", 0, ENOSPC, 0, APIARY_FULL },
        { "fsync fails", 0, 0, EIO, APIARY_IO },
        { "fsync finds no room", 0, 0, ENOSPC, APIARY_FULL },
    };
    struct place *place = *state;
    struct apiary_error err;
    assert_ok(ap_store_put(place->store, "d/old", AP_STR("old"), &err));
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        const char *label = cases[i].label;
        AP_AUTO(ap_bytes) body = { 0 };
        broken.write_error = cases[i].write_error;
        broken.open_error = cases[i].open_error;
        broken.fsync_error = cases[i].fsync_error;
        assert_code_in(
            label, ap_store_put_if_absent(place->store, "d/new", AP_STR("x"), &err), cases[i].code);
        assert_true_in(label, strstr(err.message, place->root));
        assert_code_in(
            label, ap_store_put(place->store, "d/old", AP_STR("x"), &err), cases[i].code);
        assert_true_in(label, strstr(err.message, place->root));
        memset(&broken, 0, sizeof broken);
        assert_int_in(label, temp_files(place), 0);
        expect_keys(place, "", "d/old");
        assert_code_in(label, get(place, "d/old", &body), APIARY_OK);
        assert_string_in(label, ap_bytes_text(&body), "old");
    }
}

/* The object has its name, but whether the name is on the disk is not known. */
static void a_failed_sync_of_the_folder_is_uncertain(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
    struct ap_slot_options options = { .deadline_mono_us = INT64_MAX };
    assert_ok(ap_store_put(place->store, "log/0", AP_STR("x"), &err));
    broken.fsync_error = EIO;
    broken.fsync_good = 1; /* the file's */
    assert_code(
        ap_store_put_if_absent(place->store, "log/1", AP_STR("mine"), &err), APIARY_UNCERTAIN);
    /* The next attempt must not believe the name before it is synced. */
    broken.fsync_good = 0;
    assert_code(
        ap_store_put_if_absent(place->store, "log/1", AP_STR("mine"), &err), APIARY_UNCERTAIN);
    broken.fsync_error = 0;
    assert_ok(
        ap_slot_settle(place->store, "log/1", AP_STR("mine"), &options, &outcome, NULL, &err));
    assert_int_equal(outcome, AP_SLOT_MINE);
    assert_int_equal(temp_files(place), 0);
}

/* No sync succeeds, and nobody asks for one. */
static void what_is_fleeting_waits_for_no_disk(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    enum ap_slot_outcome outcome = AP_SLOT_THEIRS;
    struct ap_slot_options options = { .deadline_mono_us = INT64_MAX, .fleeting = true };
    assert_ok(ap_store_put(place->store, "there", AP_STR("x"), &err)); /* the root is */
    assert_ok(ap_store_put(place->store, "q/there", AP_STR("x"), &err)); /* so is this */
    broken.fsync_error = EIO;
    assert_code(ap_store_put(place->store, "q/lasting", AP_STR("x"), &err), APIARY_IO);
    assert_ok(ap_store_put_fleeting(place->store, "q/1/a", AP_STR("one"), &err));
    assert_ok(ap_store_put_fleeting(place->store, "q/1/a", AP_STR("two"), &err));
    assert_code(ap_store_put_fleeting_if_absent(place->store, "q/1/a", AP_STR("three"), &err), APIARY_CONFLICT);
    assert_code(get(place, "q/1/a", &body), APIARY_OK);
    assert_string_equal(ap_bytes_text(&body), "two");
    assert_ok(ap_slot_settle(place->store, "q/1/b", AP_STR("mine"), &options, &outcome, NULL, &err));
    assert_int_equal(outcome, AP_SLOT_MINE);
    assert_ok(ap_store_delete_fleeting(place->store, "q/1/a", &err));
    assert_ok(ap_store_delete_fleeting(place->store, "q/1/b", &err));
    assert_code(ap_store_put_fleeting(place->store, ".hidden", AP_STR("x"), &err), APIARY_INVALID);
    assert_int_equal(temp_files(place), 0);
    expect_keys(place, "", "q/there there");
}

/* The folders right in the root are everybody's: what is put there later, and is to last, finds them there. */
static void a_folder_of_the_root_lasts(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    assert_ok(ap_store_put(place->store, "there", AP_STR("x"), &err)); /* the root is */
    broken.fsync_error = EIO;
    assert_code(ap_store_put_fleeting(place->store, "_queries/1/a", AP_STR("one"), &err), APIARY_IO);
    broken.fsync_error = 0;
    assert_ok(ap_store_put_fleeting(place->store, "_queries/1/a", AP_STR("one"), &err));
    broken.fsync_error = EIO;
    assert_ok(ap_store_put_fleeting(place->store, "_queries/2/a", AP_STR("two"), &err));
}

/* Is something to be heard at all, and `name` among it? */
static bool hears(const struct ap_ear *ear, const char *name)
{
    struct pollfd wait = { .fd = ear->fd, .events = POLLIN };
    return poll(&wait, 1, 0) == 1 && ap_ear_heard(ear, name);
}

static void what_is_written_is_heard(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    struct ap_ear ear = AP_EAR_NONE;
    broken.own = true;
    assert_code(ap_store_listen(place->store, "bells", &ear, &err), APIARY_NOT_FOUND);
    assert_ok(ap_store_put(place->store, "bells/a", AP_STR("x"), &err));
    assert_code(ap_store_listen(place->store, "bells/a", &ear, &err), APIARY_NOT_FOUND); /* no folder */
    assert_code(ap_store_listen(place->store, "../bells", &ear, &err), APIARY_INVALID);
    assert_int_equal(ear.fd, -1);
    assert_ok(ap_store_listen(place->store, "bells", &ear, &err));
    assert_false(hears(&ear, NULL));
    assert_ok(ap_store_put(place->store, "other/b", AP_STR("x"), &err));
    assert_false(hears(&ear, NULL));
    assert_ok(ap_store_put(place->store, "bells/a", AP_STR("y"), &err));
    assert_true(hears(&ear, "a"));
    assert_false(hears(&ear, NULL)); /* it was taken */
    assert_ok(ap_store_put_if_absent(place->store, "bells/b", AP_STR("y"), &err));
    assert_false(hears(&ear, "a"));
    assert_ok(ap_store_put_fleeting(place->store, "bells/deep/c", AP_STR("y"), &err));
    assert_true(hears(&ear, "deep"));
    assert_ok(ap_store_listen(place->store, "other", &ear, &err)); /* beside the first */
    assert_ok(ap_store_put(place->store, "other/c", AP_STR("x"), &err));
    assert_true(hears(&ear, NULL));
    int kept = ear.fd;
    ap_store_unlisten(place->store, &ear);
    assert_int_equal(ear.fd, -1);
    assert_ok(ap_store_listen(place->store, "other", &ear, &err)); /* with nothing left of before */
    assert_int_equal(ear.fd, kept);
    assert_ok(ap_store_put(place->store, "bells/a", AP_STR("z"), &err));
    assert_false(hears(&ear, NULL));
    struct ap_ear second = AP_EAR_NONE;
    assert_ok(ap_store_listen(place->store, "bells", &second, &err)); /* at the same time */
    int other = second.fd;
    ap_store_unlisten(place->store, &ear);
    ap_store_unlisten(place->store, &second);
    assert_ok(ap_store_listen(place->store, "bells", &ear, &err));
    assert_ok(ap_store_listen(place->store, "bells", &second, &err));
    assert_true((ear.fd == kept && second.fd == other) || (ear.fd == other && second.fd == kept)); /* neither was closed */
    ap_store_unlisten(place->store, &ear);
    ap_store_unlisten(place->store, &second);
    broken.own = false;
    broken.network = true; /* other machines may write there */
    assert_code(ap_store_listen(place->store, "bells", &ear, &err), APIARY_UNSUPPORTED);
    assert_int_equal(ear.fd, -1);
}

static void a_stage_whose_sync_failed_is_lost(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    struct ap_stage *stage = NULL;
    assert_ok(ap_store_stage(place->store, &stage, &err));
    assert_int_equal(write(stage->fd, "x", 1), 1);
    make_folder(place, "f");
    broken.fsync_error = EIO;
    assert_code(ap_stage_commit(stage, "f/cell", NULL, &err), APIARY_IO);
    broken.fsync_error = 0;
    assert_code(ap_stage_commit(stage, "f/cell", NULL, &err), APIARY_INVALID);
    ap_stage_close(stage);
    expect_keys(place, "", "");
    assert_int_equal(temp_files(place), 0);
}

/* ---- names that lead out, and foreign things ---- */

static void links_are_not_followed(void **state)
{
    struct place *place = *state;
    char secret[AP_TEST_PATH_MAX * 2], path[AP_TEST_PATH_MAX * 2];
    struct apiary_error err;
    snprintf(secret, sizeof secret, "%s/secret", place->folder);
    assert_int_equal(mkdir(secret, 0777), 0);
    assert_ok(ap_store_put(place->store, "a/inside", AP_STR("x"), &err));
    make_file(place, "../secret/file", "secret");
    path_of(place, "a/link", path);
    assert_int_equal(symlink(secret, path), 0);
    path_of(place, "a/file", path);
    assert_int_equal(symlink("../../secret/file", path), 0);
    for (int walking = 0; walking < 2; walking++) {
        AP_AUTO(ap_bytes) body = { 0 };
        int fd = -1;
        ap_local_of(place->store)->no_openat2 = walking;
        assert_int_equal(get(place, "a/link/file", &body), APIARY_DENIED);
        assert_int_equal(get(place, "a/file", &body), APIARY_DENIED);
        assert_code(ap_store_open_read(place->store, "a/file", &fd, NULL, &err), APIARY_DENIED);
        assert_non_null(strstr(err.message, "symbolic link"));
        assert_code(ap_store_put(place->store, "a/link/new", AP_STR("x"), &err), APIARY_DENIED);
        assert_code(
            ap_store_put_if_absent(place->store, "a/link/new", AP_STR("x"), &err), APIARY_DENIED);
        assert_code(ap_store_delete(place->store, "a/link/file", &err), APIARY_DENIED);
        expect_keys(place, "", "a/inside");
        expect_keys(place, "a/", "a/inside");
    }
    assert_int_equal(access(secret, F_OK), 0);
    path_of(place, "../secret/file", path);
    assert_int_equal(access(path, F_OK), 0);
}

static void the_root_may_be_a_link(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    struct ap_store *other = NULL;
    char link[AP_TEST_PATH_MAX * 2];
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_store_put(place->store, "a", AP_STR("x"), &err));
    snprintf(link, sizeof link, "%s/link", place->folder);
    assert_int_equal(symlink(place->root, link), 0);
    assert_ok(ap_store_open(ap_env_system(), link, NULL, &other, &err));
    assert_ok(ap_store_get(other, "a", AP_RANGE_ALL, &body, NULL, &err));
    assert_ok(ap_store_put_if_absent(other, "b", AP_STR("y"), &err));
    expect_keys(place, "", "a b");
    assert_string_equal(other->uri, place->store->uri);
    ap_store_close(other);
}

static void a_root_that_is_a_file(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    AP_AUTO(ap_bytes) body = { 0 };
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    FILE *file = fopen(place->root, "w");
    assert_non_null(file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(get(place, "a", &body), APIARY_INVALID);
    assert_code(ap_store_list(place->store, &request, &list, &err), APIARY_INVALID);
    assert_code(ap_store_put(place->store, "a", AP_STR("x"), &err), APIARY_INVALID);
    assert_non_null(strstr(err.message, "is not a directory"));
}

static void foreign_things_are_not_listed(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    char path[AP_TEST_PATH_MAX * 2];
    AP_AUTO(ap_bytes) body = { 0 };
    assert_ok(ap_store_put(place->store, "t/part-0.parquet", AP_STR("x"), &err));
    make_file(place, "t/.part-0.parquet.crc", "x");
    make_file(place, ".x.tmp", "x");
    make_folder(place, "t/.hidden");
    make_file(place, "t/.hidden/y", "x");
    make_file(place, "t/back\\slash", "x");
    make_folder(place, "t/empty");
    make_folder(place, "t/empty/er");
    path_of(place, "t/pipe", path);
    assert_int_equal(mkfifo(path, 0666), 0);
    expect_keys(place, "", "t/part-0.parquet");
    expect_keys(place, "t/.hidden/", "");
    expect_keys(place, ".", "");
    assert_int_equal(get(place, "t/pipe", &body), APIARY_NOT_FOUND); /* and it does not hang */
    assert_ok(ap_store_delete(place->store, "t/pipe", &err));
    assert_int_equal(access(path, F_OK), 0);
    /* Level by level an empty folder is no prefix. */
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "t/", .delimited = true };
    assert_ok(ap_store_list(place->store, &request, &list, &err));
    assert_int_equal(list.prefixes.count, 0);
}

/* ---- left-overs ---- */

static void age(const struct place *place, const char *name, time_t seconds)
{
    char path[AP_TEST_PATH_MAX * 2];
    struct timespec times[2] = { { .tv_sec = time(NULL) - seconds },
        { .tv_sec = time(NULL) - seconds } };
    path_of(place, name, path);
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static void stale_files_are_swept(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    struct ap_store *fresh = NULL;
    struct ap_stage *stage = NULL;
    char name[AP_TEST_PATH_MAX];
    assert_ok(ap_store_stage(place->store, &stage, &err)); /* of a slow writer */
    make_file(place, ".tmp/put-old", "half");
    make_file(place, ".tmp/put-new", "half");
    age(place, ".tmp/put-old", 3700);
    age(place, ".tmp/put-new", 3500);
    snprintf(name, sizeof name, ".tmp/%s", strrchr(stage->path, '/') + 1);
    age(place, name, 90000);
    make_file(place, ".tmp/stage-old", "half");
    make_file(place, ".tmp/stage-new", "half");
    age(place, ".tmp/stage-old", 90000);
    age(place, ".tmp/stage-new", 8000);
    assert_int_equal(temp_files(place), 5);
    assert_ok(ap_store_open(ap_env_system(), place->root, NULL, &fresh, &err));
    AP_AUTO(ap_bytes) body = { 0 };
    (void)!ap_store_get(fresh, "x", AP_RANGE_ALL, &body, NULL, &err); /* reading sweeps nothing */
    assert_int_equal(temp_files(place), 5);
    assert_ok(ap_store_put(fresh, "x", AP_STR("x"), &err));
    assert_int_equal(temp_files(place), 3);
    assert_int_equal(access(stage->path, F_OK), 0);
    assert_ok(ap_stage_commit(stage, "cell", NULL, &err));
    ap_stage_close(stage);
    ap_store_close(fresh);
}

static void a_stage_that_was_removed_says_so(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    struct ap_stage *stage = NULL;
    assert_ok(ap_store_stage(place->store, &stage, &err));
    assert_int_equal(unlink(stage->path), 0);
    assert_code(ap_stage_commit(stage, "a/cell", NULL, &err), APIARY_IO);
    assert_non_null(strstr(err.message, "its temporary file was removed"));
    ap_stage_close(stage);
    expect_keys(place, "", "");
}

static void empty_folders_go(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    char path[AP_TEST_PATH_MAX * 2];
    assert_ok(ap_store_put(place->store, "a/b/c/d", AP_STR("x"), &err));
    assert_ok(ap_store_put(place->store, "a/e", AP_STR("x"), &err));
    assert_ok(ap_store_delete(place->store, "a/b/c/d", &err));
    path_of(place, "a/b", path);
    assert_int_equal(access(path, F_OK), -1);
    path_of(place, "a", path);
    assert_int_equal(access(path, F_OK), 0);
    assert_ok(ap_store_delete(place->store, "a/e", &err));
    assert_int_equal(access(path, F_OK), -1);
    assert_int_equal(access(place->root, F_OK), 0);
}

/* ---- lists ---- */

DIR *fdopendir(int fd)
{
    DIR *(*next)(int) = (DIR * (*)(int)) dlsym(RTLD_NEXT, "fdopendir");
    broken.folders_read++;
    return next(fd);
}

static void a_ledger_is_listed_without_its_cells(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    char key[64];
    for (int i = 0; i < 40; i++) {
        snprintf(key, sizeof key, "h/b/f/p=%d/cell", i);
        assert_ok(ap_store_put(place->store, key, AP_STR("x"), &err));
    }
    assert_ok(ap_store_put(place->store, "h/b/f/_delta_log/00", AP_STR("x"), &err));
    assert_ok(ap_store_put(place->store, "h/b/f/_delta_log/01", AP_STR("x"), &err));
    broken.folders_read = 0;
    expect_keys(place, "h/b/f/_delta_log/0", "h/b/f/_delta_log/00 h/b/f/_delta_log/01");
    assert_int_equal(broken.folders_read, 1);
    broken.folders_read = 0;
    expect_keys(place, "h/b/f/_", "h/b/f/_delta_log/00 h/b/f/_delta_log/01");
    assert_int_equal(broken.folders_read, 2);
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "h/", .start_after = "h/b/f/p=39/a" };
    broken.folders_read = 0;
    assert_ok(ap_store_list(place->store, &request, &list, &err));
    assert_true(list.count > 0);
    assert_true(broken.folders_read < 12); /* p=39 and p=4..9 of the partitions */
}

static void foreign_clocks_are_asked(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    AP_AUTO(ap_list) list = { 0 };
    struct ap_list_request request = { .prefix = "" };
    assert_ok(ap_store_put(place->store, "a", AP_STR("x"), &err));
    broken.network = true;
    assert_ok(ap_store_list(place->store, &request, &list, &err));
    assert_int_equal(list.count, 1);
    assert_true(list.now_us >= list.objects[0].modified_us);
    assert_true(list.now_us - list.objects[0].modified_us < INT64_C(60000000));
    assert_int_equal(temp_files(place), 0);
}

struct churn {
    struct ap_store *store;
    _Atomic bool stop;
};

static void *churn(void *self)
{
    struct churn *job = self;
    struct apiary_error err;
    char key[40];
    for (int i = 0; !job->stop; i++) {
        snprintf(key, sizeof key, "x/%d/%d", i % 7, i % 50);
        (void)!ap_store_put(job->store, key, AP_STR("x"), &err);
        snprintf(key, sizeof key, "x/%d/%d", (i + 3) % 7, (i + 25) % 50);
        (void)!ap_store_delete(job->store, key, &err);
    }
    return NULL;
}

static void lists_bear_what_vanishes(void **state)
{
    struct place *place = *state;
    struct apiary_error err;
    pthread_t thread;
    struct churn job = { 0 };
    struct ap_store_options options = { .fsync = false };
    assert_ok(ap_store_open(ap_env_system(), place->root, &options, &job.store, &err));
    assert_ok(ap_store_put(place->store, "always", AP_STR("x"), &err));
    assert_int_equal(pthread_create(&thread, NULL, churn, &job), 0);
    for (int i = 0; i < 300; i++) {
        AP_AUTO(ap_list) list = { 0 };
        struct ap_list_request request = { .prefix = "" };
        assert_ok(ap_store_list(place->store, &request, &list, &err));
        assert_string_equal(list.objects[0].key, "always");
    }
    job.stop = true;
    assert_int_equal(pthread_join(thread, NULL), 0);
    ap_store_close(job.store);
}

int main(void)
{
#define LOCAL_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        LOCAL_TEST(a_lost_answer_to_link_is_recognised),
        LOCAL_TEST(an_unclear_link_is_uncertain),
        LOCAL_TEST(without_links_rename_serves),
        LOCAL_TEST(without_both_shared_writing_is_refused),
        LOCAL_TEST(a_failed_write_leaves_nothing),
        LOCAL_TEST(a_failed_sync_of_the_folder_is_uncertain),
        LOCAL_TEST(what_is_fleeting_waits_for_no_disk),
        LOCAL_TEST(a_folder_of_the_root_lasts),
        LOCAL_TEST(what_is_written_is_heard),
        LOCAL_TEST(a_stage_whose_sync_failed_is_lost),
        LOCAL_TEST(links_are_not_followed),
        LOCAL_TEST(the_root_may_be_a_link),
        LOCAL_TEST(a_root_that_is_a_file),
        LOCAL_TEST(foreign_things_are_not_listed),
        LOCAL_TEST(stale_files_are_swept),
        LOCAL_TEST(a_stage_that_was_removed_says_so),
        LOCAL_TEST(empty_folders_go),
        LOCAL_TEST(a_ledger_is_listed_without_its_cells),
        LOCAL_TEST(foreign_clocks_are_asked),
        LOCAL_TEST(lists_bear_what_vanishes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
