#include "core/machine.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/str.h"

/* FILE_MAX holds /proc/self/cgroup of hosts with many v1 controllers. */
enum { FILE_MAX = 8192, PATH_SIZE = 4096, CPUS_FIRST = 1024, CPUS_MAX = 1 << 20 };

/* ---- small files ---- */

/* The trimmed text of root/folder/name, cut at FILE_MAX; false when it cannot be read. */
static bool read_file(
    const char *root, const char *folder, const char *name, char text[FILE_MAX], struct ap_str *out)
{
    char path[PATH_SIZE];
    int length = snprintf(path, sizeof path, "%s%s/%s", root, folder, name);
    if (length < 0 || length >= (int)sizeof path) return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    size_t size = 0;
    while (size < FILE_MAX - 1) {
        ssize_t got = read(fd, text + size, FILE_MAX - 1 - size);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) break;
        size += (size_t)got;
    }
    close(fd);
    text[size] = 0;
    *out = ap_str_trim((struct ap_str) { text, size });
    return true;
}

/* Cuts the text at the first `end` and returns what stood before it. */
static struct ap_str cut(struct ap_str *text, char end)
{
    const char *found = text->size ? memchr(text->data, end, text->size) : NULL;
    struct ap_str before = { text->data, found ? (size_t)(found - text->data) : text->size };
    size_t taken = before.size + (found ? 1 : 0);
    text->data += taken;
    text->size -= taken;
    return before;
}

/* The first word of the text, after spaces. */
static struct ap_str word(struct ap_str *text)
{
    *text = ap_str_trim(*text);
    size_t size = 0;
    while (size < text->size && text->data[size] != ' ' && text->data[size] != '\t') size++;
    struct ap_str out = { text->data, size };
    text->data += size;
    text->size -= size;
    return out;
}

/* What follows `label` on its line of a file, e.g. "MemTotal:" of proc/meminfo. */
static bool read_line(const char *root, const char *folder, const char *name, const char *label,
    char text[FILE_MAX], struct ap_str *out)
{
    struct ap_str whole;
    if (!read_file(root, folder, name, text, &whole)) return false;
    while (whole.size) {
        struct ap_str line = cut(&whole, '\n');
        if (!ap_str_starts_with(line, ap_str_from(label))) continue;
        size_t skip = strlen(label);
        *out = ap_str_trim((struct ap_str) { line.data + skip, line.size - skip });
        return true;
    }
    return false;
}

static bool read_number(const char *root, const char *folder, const char *name, uint64_t *out)
{
    char text[FILE_MAX];
    struct ap_str value;
    return read_file(root, folder, name, text, &value) &&
           ap_str_to_u64(value, out); /* "max", "-1": none */
}

static void lower_to(uint64_t *least, uint64_t value)
{
    if (value > 0 && value < *least) *least = value;
}

/* ---- control groups ---- */

struct limits {
    uint64_t memory_bytes;
    uint64_t cpu_permille; /* of one core */
};

static void lower_cpu(struct limits *limits, uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0 || quota > UINT64_MAX / 1000) return;
    uint64_t permille = quota * 1000 / period;
    lower_to(&limits->cpu_permille, permille ? permille : 1);
}

static void look_v2(const char *root, const char *folder, struct limits *limits)
{
    uint64_t bytes, quota, period;
    if (read_number(root, folder, "memory.max", &bytes)) lower_to(&limits->memory_bytes, bytes);
    /* Beyond memory.high the kernel slows the group down to a crawl. */
    if (read_number(root, folder, "memory.high", &bytes)) lower_to(&limits->memory_bytes, bytes);
    char text[FILE_MAX];
    struct ap_str line;
    if (!read_file(root, folder, "cpu.max", text, &line)) return;
    if (ap_str_to_u64(word(&line), &quota) && ap_str_to_u64(word(&line), &period))
        lower_cpu(limits, quota, period);
}

static void look_v1_memory(const char *root, const char *folder, struct limits *limits)
{
    uint64_t bytes;
    if (read_number(root, folder, "memory.limit_in_bytes", &bytes))
        lower_to(&limits->memory_bytes, bytes);
}

static void look_v1_cpu(const char *root, const char *folder, struct limits *limits)
{
    uint64_t quota, period;
    if (read_number(root, folder, "cpu.cfs_quota_us", &quota) &&
        read_number(root, folder, "cpu.cfs_period_us", &period))
        lower_cpu(limits, quota, period);
}

/* Looks at the group and at every one above it up to the mount: any of them may limit.
 * In a container the group's own path may not be visible; then the mount still is. */
static void walk_up(const char *root, const char *mount, struct ap_str group,
    void (*look)(const char *root, const char *folder, struct limits *limits),
    struct limits *limits)
{
    char folder[PATH_SIZE];
    if (ap_str_find(group, AP_STR("..")) != SIZE_MAX) group.size = 0;
    int length = snprintf(folder, sizeof folder, "%s" AP_FMT, mount, AP_ARG(group));
    if (length < 0 || length >= (int)sizeof folder) return;
    for (size_t at = (size_t)length; at >= strlen(mount); at--) {
        if (folder[at] != '/' && folder[at] != 0) continue;
        folder[at] = 0;
        look(root, folder, limits);
        if (at == 0) return;
    }
}

static bool lists(struct ap_str names, const char *name)
{
    while (names.size)
        if (ap_str_is(cut(&names, ','), name)) return true;
    return false;
}

static void look_at_groups(const char *root, struct limits *limits)
{
    char text[FILE_MAX];
    struct ap_str whole;
    if (!read_file(root, "/proc/self", "cgroup", text, &whole)) whole = AP_STR("0::/");
    while (whole.size) {
        struct ap_str group = cut(&whole, '\n'); /* number:controllers:path */
        bool unified = ap_str_is(cut(&group, ':'), "0");
        struct ap_str controllers = cut(&group, ':');
        if (unified && controllers.size == 0) {
            walk_up(root, "/sys/fs/cgroup", group, look_v2, limits);
            walk_up(root, "/sys/fs/cgroup/unified", group, look_v2, limits);
        }
        if (lists(controllers, "memory"))
            walk_up(root, "/sys/fs/cgroup/memory", group, look_v1_memory, limits);
        if (lists(controllers, "cpu")) {
            walk_up(root, "/sys/fs/cgroup/cpu", group, look_v1_cpu, limits);
            walk_up(root, "/sys/fs/cgroup/cpu,cpuacct", group, look_v1_cpu, limits);
        }
    }
}

/* ---- affinity, rlimits, physical memory ---- */

static int count_affinity(void)
{
    for (int cpus = CPUS_FIRST; cpus <= CPUS_MAX; cpus *= 2) {
        cpu_set_t *set = CPU_ALLOC((size_t)cpus);
        if (!set) break;
        size_t size = CPU_ALLOC_SIZE((size_t)cpus);
        int failed = sched_getaffinity(0, size, set) < 0 ? errno : 0;
        int count = failed ? 0 : CPU_COUNT_S(size, set);
        CPU_FREE(set);
        if (count > 0) return count;
        if (failed != EINVAL) break; /* EINVAL: the kernel knows more CPUs than fit */
    }
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 && online <= CPUS_MAX ? (int)online : 1;
}

/* "0-3,8" → 5 */
static int count_list(struct ap_str list)
{
    uint64_t count = 0;
    while (list.size) {
        struct ap_str range = ap_str_trim(cut(&list, ','));
        uint64_t first, last;
        if (!ap_str_to_u64(cut(&range, '-'), &first)) return 0;
        if (!ap_str_to_u64(range, &last)) last = first;
        if (last < first || last - first >= CPUS_MAX) return 0;
        count += last - first + 1;
    }
    return count <= CPUS_MAX ? (int)count : 0;
}

static int look_at_affinity(const char *root)
{
    if (!*root) return count_affinity();
    char text[FILE_MAX];
    struct ap_str list;
    return read_line(root, "/proc/self", "status", "Cpus_allowed_list:", text, &list)
               ? count_list(list)
               : 0;
}

static uint64_t look_at_address_space(const char *root)
{
    struct rlimit limit;
    if (!*root)
        return getrlimit(RLIMIT_AS, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY ? limit.rlim_cur
                                                                                    : UINT64_MAX;
    char text[FILE_MAX];
    struct ap_str line;
    uint64_t bytes;
    if (read_line(root, "/proc/self", "limits", "Max address space", text, &line) &&
        ap_str_to_u64(word(&line), &bytes))
        return bytes;
    return UINT64_MAX;
}

static uint64_t look_at_physical(const char *root)
{
    char text[FILE_MAX];
    struct ap_str line;
    uint64_t kib;
    if (read_line(root, "/proc", "meminfo", "MemTotal:", text, &line) &&
        ap_str_to_u64(word(&line), &kib) && kib < UINT64_MAX / 1024)
        return kib * 1024;
    long pages = sysconf(_SC_PHYS_PAGES), size = sysconf(_SC_PAGESIZE);
    return pages > 0 && size > 0 ? (uint64_t)pages * (uint64_t)size : UINT64_C(1) << 30;
}

void ap_machine_look(struct ap_machine *out, const char *root)
{
    struct limits limits = { UINT64_MAX, UINT64_MAX };
    look_at_groups(root, &limits);

    struct ap_machine machine = { .cores = look_at_affinity(root) };
    if (machine.cores < 1) machine.cores = 1;
    if (limits.cpu_permille < (uint64_t)machine.cores * 1000)
        machine.cores = (int)((limits.cpu_permille + 999) / 1000);

    machine.memory_bytes_physical = look_at_physical(root);
    machine.memory_bytes = machine.memory_bytes_physical;
    lower_to(&machine.memory_bytes, limits.memory_bytes);
    lower_to(&machine.memory_bytes, look_at_address_space(root));

    if (gethostname(machine.host, sizeof machine.host - 1) != 0 || !machine.host[0])
        memcpy(machine.host, "localhost", sizeof "localhost");
    *out = machine;
}

/* ---- pressure ---- */

/* "some avg10=8.97 avg60=2.74 …": a share from 0 to 1. */
static bool read_pressure(const char *root, const char *folder, const char *name, double *out)
{
    char text[FILE_MAX];
    struct ap_str line;
    double percent = 0;
    if (!read_line(root, folder, name, "some avg10=", text, &line)) return false;
    if (!ap_str_to_double(word(&line), &percent) || !(percent >= 0)) return false;
    *out = percent < 100 ? percent / 100 : 1;
    return true;
}

void ap_machine_pressure(struct ap_pressure *out, const char *root)
{
    char text[FILE_MAX], folder[PATH_SIZE];
    struct ap_str group;
    struct ap_pressure pressure = { 0 };
    snprintf(folder, sizeof folder, "/proc/self");
    if (read_line(root, folder, "cgroup", "0::", text, &group) &&
        ap_str_find(group, AP_STR("..")) == SIZE_MAX && group.size > 1)
        snprintf(folder, sizeof folder, "/sys/fs/cgroup" AP_FMT, AP_ARG(group));
    if (!read_pressure(root, folder, "cpu.pressure", &pressure.cpu))
        read_pressure(root, "/proc/pressure", "cpu", &pressure.cpu);
    if (!read_pressure(root, folder, "memory.pressure", &pressure.memory))
        read_pressure(root, "/proc/pressure", "memory", &pressure.memory);
    *out = pressure;
}

/* ---- the user's folders ---- */

static const char *variable(const char *const *environment, const char *name)
{
    size_t length = strlen(name);
    for (; environment && *environment; environment++)
        if (strncmp(*environment, name, length) == 0 && (*environment)[length] == '=')
            return *environment + length + 1;
    return NULL;
}

/* The home directory, or false when there is none that is absolute. */
static bool find_home(const char *const *environment, char *out, size_t size)
{
    const char *home = variable(environment, "HOME");
    struct passwd entry, *found = NULL;
    char buffer[PATH_SIZE];
    if (!home || home[0] != '/') {
        if (getpwuid_r(getuid(), &entry, buffer, sizeof buffer, &found) != 0 || !found)
            return false;
        home = found->pw_dir;
    }
    if (!home || home[0] != '/') return false;
    int length = snprintf(out, size, "%s", home);
    return length >= 0 && length < (int)size;
}

char *ap_user_folder(const char *kind, const char *const *environment)
{
    static const struct {
        const char *kind, *variable, *below_home;
    } kinds[] = {
        { "data", "XDG_DATA_HOME", ".local/share" },
        { "cache", "XDG_CACHE_HOME", ".cache" },
        { "config", "XDG_CONFIG_HOME", ".config" },
        { "runtime", "XDG_RUNTIME_DIR", NULL },
    };
    AP_AUTO(ap_bytes) path = { 0 };
    char home[PATH_SIZE];
    char *out = NULL;
    enum apiary_code code = APIARY_INTERNAL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(kind, kinds[i].kind) != 0) continue;
        const char *base = variable(environment, kinds[i].variable);
        if (base && base[0] == '/')
            code = ap_bytes_printf(&path, NULL, "%s/apiary", base);
        else if (kinds[i].below_home && find_home(environment, home, sizeof home))
            code = ap_bytes_printf(&path, NULL, "%s/%s/apiary", home, kinds[i].below_home);
        else
            code = ap_bytes_printf(&path, NULL, "/tmp/apiary-%u%s%s", (unsigned)getuid(),
                kinds[i].below_home ? "/" : "", kinds[i].below_home ? kind : "");
    }
    ap_assert(code != APIARY_INTERNAL);
    if (code == APIARY_OK) code = ap_bytes_take_text(&path, &out, NULL);
    return code == APIARY_OK ? out : NULL;
}
