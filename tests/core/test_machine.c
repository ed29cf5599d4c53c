#include "apiary_test.h"

#include "core/alloc.h"
#include "core/machine.h"

struct fake_file {
    const char *path, *text;
};

/* Writes root/path, making its folders. */
static void put(const char *root, const char *path, const char *text)
{
    char whole[1024];
    snprintf(whole, sizeof whole, "%s/%s", root, path);
    for (char *slash = whole + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = 0;
        mkdir(whole, 0700);
        *slash = '/';
    }
    FILE *file = fopen(whole, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

#define GIB (UINT64_C(1) << 30)
enum { FILES_MAX = 8 };

static void test_fake_roots(void **state)
{
    (void)state;
    static const struct {
        const char *label;
        struct fake_file files[FILES_MAX];
        int cores;
        uint64_t memory;
    } rows[] = {
        { "no control groups", { { NULL } }, 8, 16 * GIB },
        { "v2, nothing set",
            { { "proc/self/cgroup", "0::/a/b\n" }, { "sys/fs/cgroup/a/b/memory.max", "max\n" },
                { "sys/fs/cgroup/a/b/cpu.max", "max 100000\n" } },
            8, 16 * GIB },
        { "v2, own limits",
            { { "proc/self/cgroup", "0::/a/b\n" },
                { "sys/fs/cgroup/a/b/memory.max", "4294967296\n" },
                { "sys/fs/cgroup/a/b/cpu.max", "200000 100000\n" } },
            2, 4 * GIB },
        { "v2, a parent is stricter",
            { { "proc/self/cgroup", "0::/a/b\n" },
                { "sys/fs/cgroup/a/b/memory.max", "4294967296\n" },
                { "sys/fs/cgroup/a/memory.max", "2147483648\n" },
                { "sys/fs/cgroup/a/b/cpu.max", "300000 100000\n" },
                { "sys/fs/cgroup/a/cpu.max", "50000 100000\n" } },
            1, 2 * GIB },
        { "v2, the mount itself (container)",
            { { "proc/self/cgroup", "0::/\n" }, { "sys/fs/cgroup/memory.max", "1073741824\n" },
                { "sys/fs/cgroup/cpu.max", "150000 100000\n" } },
            2, 1 * GIB },
        { "v2, the group is not visible here",
            { { "proc/self/cgroup", "0::/docker/abc\n" },
                { "sys/fs/cgroup/memory.max", "1073741824\n" } },
            8, 1 * GIB },
        { "v2, the group is outside",
            { { "proc/self/cgroup", "0::/../other\n" },
                { "sys/fs/cgroup/memory.max", "1073741824\n" } },
            8, 1 * GIB },
        { "v2, high is lower than max",
            { { "proc/self/cgroup", "0::/a\n" }, { "sys/fs/cgroup/a/memory.max", "4294967296\n" },
                { "sys/fs/cgroup/a/memory.high", "3221225472\n" } },
            8, 3 * GIB },
        { "v2, looser than the machine",
            { { "proc/self/cgroup", "0::/a\n" },
                { "sys/fs/cgroup/a/memory.max", "109951162777600\n" },
                { "sys/fs/cgroup/a/cpu.max", "6400000 100000\n" } },
            8, 16 * GIB },
        { "v1",
            { { "proc/self/cgroup", "12:memory:/u/s\n5:cpu,cpuacct:/u/s\n1:name=systemd:/u\n" },
                { "sys/fs/cgroup/memory/u/s/memory.limit_in_bytes", "9223372036854771712\n" },
                { "sys/fs/cgroup/memory/u/memory.limit_in_bytes", "5368709120\n" },
                { "sys/fs/cgroup/cpu,cpuacct/u/s/cpu.cfs_quota_us", "-1\n" },
                { "sys/fs/cgroup/cpu,cpuacct/u/s/cpu.cfs_period_us", "100000\n" },
                { "sys/fs/cgroup/cpu,cpuacct/u/cpu.cfs_quota_us", "250000\n" },
                { "sys/fs/cgroup/cpu,cpuacct/u/cpu.cfs_period_us", "100000\n" } },
            3, 5 * GIB },
        { "hybrid: memory v1, cpu v2",
            { { "proc/self/cgroup", "3:memory:/x\n0::/x\n" },
                { "sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1073741824\n" },
                { "sys/fs/cgroup/unified/x/cpu.max", "100000 100000\n" } },
            1, 1 * GIB },
        { "affinity", { { "proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-1,4\n" } }, 3,
            16 * GIB },
        { "RLIMIT_AS",
            { { "proc/self/limits",
                "Limit                     Soft Limit           Hard Limit           Units     \n"
                "Max address space         6442450944           unlimited            bytes     "
                "\n" } },
            8, 6 * GIB },
        { "no limit of RLIMIT_AS",
            { { "proc/self/limits",
                "Max address space         unlimited            unlimited            bytes\n" } },
            8, 16 * GIB },
        { "nonsense everywhere",
            { { "proc/self/cgroup", "::::\n\n0\nx:memory\n0::/a" },
                { "sys/fs/cgroup/a/memory.max", "-5" }, { "sys/fs/cgroup/a/cpu.max", "100000" },
                { "sys/fs/cgroup/cpu.max", "1 0" },
                { "sys/fs/cgroup/memory.max", "99999999999999999999999999" },
                { "proc/self/limits", "Max address space" } },
            8, 16 * GIB },
        { "zero is no limit",
            { { "proc/self/cgroup", "0::/a\n" }, { "sys/fs/cgroup/a/memory.max", "0\n" },
                { "sys/fs/cgroup/a/cpu.max", "0 100000\n" } },
            8, 16 * GIB },
        { "a sliver of a core is one",
            { { "proc/self/cgroup", "0::/a\n" }, { "sys/fs/cgroup/a/cpu.max", "1 1000000\n" } }, 1,
            16 * GIB },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        char root[AP_TEST_PATH_MAX];
        struct ap_machine machine;
        ap_test_folder(root);
        put(root, "proc/meminfo", "MemTotal:       16777216 kB\nMemFree:  1 kB\n");
        put(root, "proc/self/status", "Cpus_allowed_list:\t0-7\n");
        for (size_t f = 0; f < FILES_MAX && rows[i].files[f].path; f++)
            put(root, rows[i].files[f].path, rows[i].files[f].text);
        ap_machine_look(&machine, root);
        ap_test_folder_remove(root);
        assert_int_in(rows[i].label, machine.cores, rows[i].cores);
        assert_int_in(rows[i].label, machine.memory_bytes, rows[i].memory);
        assert_int_in(rows[i].label, machine.memory_bytes_physical, 16 * GIB);
        assert_true(machine.host[0]);
    }
}

static void test_this_machine(void **state)
{
    (void)state;
    struct ap_machine machine;
    ap_machine_look(&machine, "");
    assert_true(machine.cores >= 1 && machine.cores <= sysconf(_SC_NPROCESSORS_CONF));
    assert_true(machine.memory_bytes > 0 && machine.memory_bytes <= machine.memory_bytes_physical);
    ap_machine_look(&machine, "/nowhere/at/all");
    assert_true(machine.cores >= 1 && machine.memory_bytes > 0);
}

static void test_folders(void **state)
{
    (void)state;
    static const struct {
        const char *label, *kind, *environment[3], *wanted;
    } rows[] = {
        { "data below home", "data", { "HOME=/h" }, "/h/.local/share/apiary" },
        { "cache below home", "cache", { "HOME=/h" }, "/h/.cache/apiary" },
        { "config below home", "config", { "HOME=/h" }, "/h/.config/apiary" },
        { "XDG", "data", { "HOME=/h", "XDG_DATA_HOME=/x/d" }, "/x/d/apiary" },
        { "XDG cache", "cache", { "XDG_CACHE_HOME=/x", "HOME=/h" }, "/x/apiary" },
        { "relative XDG is ignored", "config", { "XDG_CONFIG_HOME=x", "HOME=/h" },
            "/h/.config/apiary" },
        { "empty XDG is ignored", "config", { "XDG_CONFIG_HOME=", "HOME=/h" },
            "/h/.config/apiary" },
        { "runtime", "runtime", { "XDG_RUNTIME_DIR=/run/user/1" }, "/run/user/1/apiary" },
        { "a longer name is another", "data", { "XDG_DATA_HOMES=/x", "HOME=/h" },
            "/h/.local/share/apiary" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        const char *environment[4] = { rows[i].environment[0], rows[i].environment[1], NULL };
        char *folder = ap_user_folder(rows[i].kind, environment);
        assert_string_in(rows[i].label, folder, rows[i].wanted);
        ap_free(folder);
    }
    char wanted[64];
    snprintf(wanted, sizeof wanted, "/tmp/apiary-%u", (unsigned)getuid());
    char *folder = ap_user_folder("runtime", NULL);
    assert_string_equal(folder, wanted);
    ap_free(folder);
    folder = ap_user_folder("data", NULL);
    assert_true(folder && folder[0] == '/');
    ap_free(folder);
    ap_alloc_fail_after(1);
    assert_null(ap_user_folder("runtime", NULL));
    ap_alloc_fail_after(0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_fake_roots),
        cmocka_unit_test(test_this_machine), cmocka_unit_test(test_folders) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
