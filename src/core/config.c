#include "core/config.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/alloc.h"
#include "core/config_toml.h"
#include "core/json.h"
#include "core/machine.h"
#include "core/name.h"
#include "core/time.h"

enum { COUNT_MAX = 1000000000, TEXT_MAX = 4096, WORDS_MAX = 6 };
#define ENVIRONMENT_PREFIX "APIARY_"

enum kind { KIND_TEXT, KIND_COUNT, KIND_MEMORY, KIND_SIZE, KIND_DURATION, KIND_WORD, KIND_BOOL };

static const struct key {
    const char *name;
    enum kind kind;
    const char *fallback;
    bool local_file;
    const char *meaning;
} keys[AP_CONFIG_COUNT] = {
#define KEY_ROW(key, kind, fallback, local_file, text)                                             \
    { #key, KIND_##kind, fallback, local_file, text },
    AP_CONFIG_KEYS(KEY_ROW)
#undef KEY_ROW
};

static const char *const key_names[AP_CONFIG_COUNT] = {
#define KEY_NAME(key, kind, fallback, local_file, text) #key,
    AP_CONFIG_KEYS(KEY_NAME)
#undef KEY_NAME
};

static const struct {
    enum ap_config_key key;
    const char *words[WORDS_MAX];
} word_lists[] = {
    { AP_CONFIG_distributed, { "auto", "off", "force" } },
    { AP_CONFIG_backpressure, { "block", "error", "ignore" } },
    { AP_CONFIG_log, { "error", "warning", "info", "debug", "off" } },
    { AP_CONFIG_log_format, { "text", "json" } },
    { AP_CONFIG_maintenance, { "off", "cold", "always" } },
    { AP_CONFIG_history, { "off", "shape", "full" } },
};

/* Variables with our prefix that are no settings: places of programs, the build, tests. */
static const char *const other_variables[] = { "BEE", "DEPS_CACHE", "BUILD_DIR", "SOURCE_DIR",
    "PROGRESS" };
#define TEST_VARIABLES "TEST_"

/* ---- checking one value ---- */

static bool parse_percent(struct ap_str text, int64_t *permyriad)
{
    text = ap_str_trim(text);
    if (!ap_str_ends_with(text, AP_STR("%"))) return false;
    text.size--;
    double percent;
    if (!ap_str_to_double(ap_str_trim(text), &percent) || !(percent >= 0.01 && percent <= 100))
        return false;
    *permyriad = (int64_t)(percent * 100 + 0.5);
    return true;
}

/* "on" or "off", or NULL. */
static const char *parse_bool(struct ap_str text)
{
    static const char *const yes[] = { "on", "true", "yes", "1" }, *const no[] = { "off", "false",
        "no", "0" };
    for (size_t i = 0; i < 4; i++) {
        if (ap_str_equal_nocase(text, ap_str_from(yes[i]))) return "on";
        if (ap_str_equal_nocase(text, ap_str_from(no[i]))) return "off";
    }
    return NULL;
}

static const char *const *words_of(enum ap_config_key key)
{
    for (size_t i = 0; i < sizeof word_lists / sizeof *word_lists; i++)
        if (word_lists[i].key == key) return word_lists[i].words;
    ap_assert(!"a WORD setting without its words");
    return NULL;
}

static const char *find_word(enum ap_config_key key, struct ap_str text)
{
    for (const char *const *word = words_of(key); *word; word++)
        if (ap_str_equal_nocase(text, ap_str_from(*word))) return *word;
    return NULL;
}

/* Whether the text is a value of the key; *canonical is how it is kept. */
static bool is_value(enum ap_config_key key, struct ap_str text, struct ap_str *canonical)
{
    uint64_t number;
    int64_t amount;
    const char *word;
    *canonical = text;
    if (text.size == 0) return !*keys[key].fallback; /* "": computed at open */
    switch (keys[key].kind) {
        case KIND_TEXT:
            if (text.size > TEXT_MAX || !ap_utf8_valid(text)) return false;
            for (size_t i = 0; i < text.size; i++)
                if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7F) return false;
            return true;
        case KIND_COUNT: return ap_str_to_u64(text, &number) && number >= 1 && number <= COUNT_MAX;
        case KIND_MEMORY:
            return parse_percent(text, &amount) || (ap_size_parse(text, &number) && number > 0);
        case KIND_SIZE: return ap_size_parse(text, &number) && number > 0;
        case KIND_DURATION: return ap_duration_parse(text, &amount) && amount > 0;
        case KIND_WORD:
            word = find_word(key, text);
            *canonical = ap_str_from(word);
            return word != NULL;
        case KIND_BOOL:
            word = parse_bool(text);
            *canonical = ap_str_from(word);
            return word != NULL;
    }
    return false;
}

/* "a size such as 512MB or 4GiB" */
static enum apiary_code describe(enum ap_config_key key, struct ap_bytes *out)
{
    switch (keys[key].kind) {
        case KIND_TEXT:
            return ap_bytes_printf(
                out, NULL, "a text of 1 to %d bytes without control characters", (int)TEXT_MAX);
        case KIND_COUNT:
            return ap_bytes_printf(out, NULL, "a whole number from 1 to %d", (int)COUNT_MAX);
        case KIND_MEMORY:
            return ap_bytes_add_text(
                out, "a size such as 512MB or 4GiB, or a share such as 75%", NULL);
        case KIND_SIZE: return ap_bytes_add_text(out, "a size such as 512MB or 4GiB", NULL);
        case KIND_DURATION: return ap_bytes_add_text(out, "a time such as 500ms, 30s or 5m", NULL);
        case KIND_BOOL: return ap_bytes_add_text(out, "on or off", NULL);
        case KIND_WORD: break;
    }
    for (const char *const *word = words_of(key); *word; word++)
        AP_TRY(ap_bytes_printf(out, NULL, "%s%s",
            word == words_of(key) ? ""
            : word[1]             ? ", "
                                  : " or ",
            *word));
    return APIARY_OK;
}

/* ---- setting ---- */

/* Where a value stands, as errors say it: `setting 'x' in /p/apiary.toml:3`. */
struct place {
    const char *before; /* "setting '" */
    const char *after;  /* "' in /p/apiary.toml:3" */
};

static enum apiary_code fail_value(enum ap_config_key key, struct ap_str value,
    const struct place *place, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) wanted = { 0 };
    if (describe(key, &wanted) != APIARY_OK) return ap_fail_memory(err, "an error message");
    /* A text is not repeated: it may be a location with something secret in it. */
    if (keys[key].kind == KIND_TEXT)
        return ap_fail(err, APIARY_CONFIG, "%s%s%s must be %s", place->before, keys[key].name,
            place->after, ap_bytes_text(&wanted));
    return ap_fail(err, APIARY_CONFIG, "%s%s%s must be %s, not '%.*s'", place->before,
        keys[key].name, place->after, ap_bytes_text(&wanted),
        value.size > 80 ? 80 : (int)value.size, value.data);
}

static enum apiary_code fail_unknown(
    struct ap_str key, const char *before, const char *after, struct apiary_error *err)
{
    const char *near = ap_nearest(key, key_names, AP_CONFIG_COUNT);
    if (near)
        return ap_fail(err, APIARY_CONFIG, "unknown setting '%s" AP_FMT "'%s; did you mean '%s%s'?",
            before, AP_ARG(key), after, before, near);
    ap_fail(err, APIARY_CONFIG, "unknown setting '%s" AP_FMT "'%s", before, AP_ARG(key), after);
    return ap_hint(err, "`apiary config` lists the settings");
}

static enum apiary_code store(struct ap_config *config, enum ap_config_key key, struct ap_str value,
    const char *origin, const struct place *place, struct apiary_error *err)
{
    struct ap_str canonical;
    if (!is_value(key, value, &canonical)) return fail_value(key, value, place, err);
    AP_AUTO_FREE char *text = ap_str_dup(canonical);
    AP_AUTO_FREE char *from = ap_strdup(origin);
    if (!text || !from) return ap_fail_memory(err, "a setting");
    ap_free(config->value[key]);
    ap_free(config->origin[key]);
    config->value[key] = AP_TAKE(text);
    config->origin[key] = AP_TAKE(from);
    return APIARY_OK;
}

enum apiary_code ap_config_set(struct ap_config *config, struct ap_str key, struct ap_str value,
    const char *origin, struct apiary_error *err)
{
    enum ap_config_key found;
    if (!ap_config_find(key, &found)) return fail_unknown(key, "", "", err);
    return store(config, found, value, origin, &(struct place) { "setting '", "'" }, err);
}

/* ---- files ---- */

struct file {
    struct ap_config *config;
    const char *path;
    bool local;                /* ./apiary.toml: some keys only */
    int seen[AP_CONFIG_COUNT]; /* line, 0: not yet */
};

static enum apiary_code take_pair(
    void *context, struct ap_str key, struct ap_str value, int line, struct apiary_error *err)
{
    struct file *file = context;
    AP_AUTO(ap_bytes) origin = { 0 };
    AP_AUTO(ap_bytes) after = { 0 };
    AP_TRY(ap_bytes_printf(&origin, err, "file %s:%d", file->path, line));
    AP_TRY(ap_bytes_printf(&after, err, "' in %s:%d", file->path, line));
    enum ap_config_key found;
    if (!ap_config_find(key, &found)) return fail_unknown(key, "", ap_bytes_text(&after) + 1, err);
    if (file->seen[found])
        return ap_fail(err, APIARY_CONFIG, "setting '%s%s stands in line %d already",
            keys[found].name, ap_bytes_text(&after), file->seen[found]);
    file->seen[found] = line;
    if (file->local && !keys[found].local_file) {
        ap_fail(err, APIARY_CONFIG,
            "setting '%s%s: a file in the current directory may not set this", keys[found].name,
            ap_bytes_text(&after));
        return ap_hint(err,
            "put it into the user's apiary.toml, into " ENVIRONMENT_PREFIX "… or into an argument");
    }
    return store(file->config, found, value, ap_bytes_text(&origin),
        &(struct place) { "setting '", ap_bytes_text(&after) }, err);
}

static enum apiary_code read_text(
    int fd, const char *path, struct ap_bytes *text, struct apiary_error *err)
{
    AP_TRY(ap_bytes_reserve(text, AP_TOML_SIZE_MAX + 1, err));
    while (text->size <= AP_TOML_SIZE_MAX) {
        ssize_t got = read(fd, text->data + text->size, AP_TOML_SIZE_MAX + 1 - text->size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return ap_fail_errno(err, errno, "reading %s", path);
        if (got == 0) break;
        text->size += (size_t)got;
    }
    text->data[text->size] = 0;
    return APIARY_OK;
}

/* *identity: which file it was, so that one is not read a second time in another role. */
static enum apiary_code load_fd(struct ap_config *config, int fd, const char *path, bool local,
    struct stat *identity, struct apiary_error *err)
{
    struct stat about;
    if (fstat(fd, &about) < 0) return ap_fail_errno(err, errno, "reading %s", path);
    if (!S_ISREG(about.st_mode)) return ap_fail(err, APIARY_CONFIG, "%s is no regular file", path);
    if (about.st_dev == identity->st_dev && about.st_ino == identity->st_ino) return APIARY_OK;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(read_text(fd, path, &text, err));
    struct file file = { .config = config, .path = path, .local = local };
    AP_TRY(ap_toml_parse(ap_bytes_view(&text), path, take_pair, &file, err));
    *identity = about;
    return APIARY_OK;
}

static enum apiary_code load_file(struct ap_config *config, const char *path, bool local,
    struct stat *identity, struct apiary_error *err)
{
    if (!*path) return APIARY_OK;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY); /* it might be a pipe */
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR)) return APIARY_OK;
    if (fd < 0) return ap_fail_errno(err, errno, "opening %s", path);
    enum apiary_code code = load_fd(config, fd, path, local, identity, err);
    close(fd);
    return code;
}

static enum apiary_code load_files(
    struct ap_config *config, const struct ap_config_sources *sources, struct apiary_error *err)
{
    struct stat identity = { 0 };
    const char *system_file =
        sources->system_file ? sources->system_file : "/etc/apiary/apiary.toml";
    AP_TRY(load_file(config, system_file, false, &identity, err));
    if (sources->user_file) {
        AP_TRY(load_file(config, sources->user_file, false, &identity, err));
    } else {
        AP_AUTO_FREE char *folder = ap_user_folder("config", sources->environment);
        AP_AUTO(ap_bytes) path = { 0 };
        if (!folder) return ap_fail_memory(err, "the settings");
        AP_TRY(ap_bytes_printf(&path, err, "%s/apiary.toml", folder));
        AP_TRY(load_file(config, ap_bytes_text(&path), false, &identity, err));
    }
    return load_file(config, sources->directory_file ? sources->directory_file : "./apiary.toml",
        true, &identity, err);
}

/* ---- environment and arguments ---- */

static bool is_other_variable(struct ap_str name)
{
    if (ap_str_starts_with(name, AP_STR(TEST_VARIABLES))) return true;
    for (size_t i = 0; i < sizeof other_variables / sizeof *other_variables; i++)
        if (ap_str_is(name, other_variables[i])) return true;
    return false;
}

/* Only the spelling in capitals is a setting. */
static bool find_variable(struct ap_str name, enum ap_config_key *out)
{
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] >= 'a' && name.data[i] <= 'z') return false;
    return ap_config_find(name, out);
}

static enum apiary_code fail_variable(struct ap_str name, struct apiary_error *err)
{
    const char *near = ap_nearest(name, key_names, AP_CONFIG_COUNT);
    if (!near) {
        ap_fail(err, APIARY_CONFIG,
            "unknown setting in the environment: " ENVIRONMENT_PREFIX AP_FMT, AP_ARG(name));
        return ap_hint(err, "`apiary config` lists the settings");
    }
    char upper[AP_NAME_MAX + 1] = "";
    for (size_t i = 0; near[i] && i < AP_NAME_MAX; i++)
        upper[i] = (char)(near[i] >= 'a' && near[i] <= 'z' ? near[i] - ('a' - 'A') : near[i]);
    return ap_fail(err, APIARY_CONFIG,
        "unknown setting in the environment: " ENVIRONMENT_PREFIX AP_FMT
        "; did you mean " ENVIRONMENT_PREFIX "%s?",
        AP_ARG(name), upper);
}

static enum apiary_code load_variable(
    struct ap_config *config, struct ap_str entry, struct apiary_error *err)
{
    if (!ap_str_starts_with(entry, AP_STR(ENVIRONMENT_PREFIX))) return APIARY_OK;
    size_t prefix = strlen(ENVIRONMENT_PREFIX), end = ap_str_find(entry, AP_STR("="));
    if (end == SIZE_MAX) return APIARY_OK;
    struct ap_str name = { entry.data + prefix, end - prefix };
    struct ap_str value = { entry.data + end + 1, entry.size - end - 1 };
    enum ap_config_key key;
    if (is_other_variable(name)) return APIARY_OK;
    if (!find_variable(name, &key)) return fail_variable(name, err);
    if (value.size == 0) return APIARY_OK;
    return store(config, key, value, "environment",
        &(struct place) { "setting '", "' in the environment" }, err);
}

static enum apiary_code load_all(
    struct ap_config *config, const struct ap_config_sources *sources, struct apiary_error *err)
{
    static const struct place built_in = { "setting '", "'" };
    for (int key = 0; key < AP_CONFIG_COUNT; key++)
        AP_TRY(store(config, (enum ap_config_key)key, ap_str_from(keys[key].fallback), "default",
            &built_in, err));
    AP_TRY(load_files(config, sources, err));
    for (const char *const *entry = sources->environment; entry && *entry; entry++)
        AP_TRY(load_variable(config, ap_str_from(*entry), err));
    for (size_t i = 0; i < sources->argument_count; i++) {
        const struct apiary_setting *setting = &sources->arguments[i];
        if (!setting->key || !setting->value)
            return ap_fail(
                err, APIARY_CONFIG, "setting %zu has no %s", i + 1, setting->key ? "value" : "key");
        AP_TRY(ap_config_set(
            config, ap_str_from(setting->key), ap_str_from(setting->value), "argument", err));
    }
    return APIARY_OK;
}

enum apiary_code ap_config_load(
    struct ap_config *config, const struct ap_config_sources *sources, struct apiary_error *err)
{
    AP_AUTO(ap_config) loaded = { 0 };
    AP_TRY(load_all(&loaded, sources, err));
    ap_config_done(config);
    *config = AP_TAKE(loaded);
    return APIARY_OK;
}

/* ---- the whole ---- */

void ap_config_done(struct ap_config *config)
{
    for (int key = 0; key < AP_CONFIG_COUNT; key++) {
        ap_free(config->value[key]);
        ap_free(config->origin[key]);
    }
    *config = (struct ap_config) { 0 };
}

enum apiary_code ap_config_copy(
    struct ap_config *to, const struct ap_config *from, struct apiary_error *err)
{
    AP_AUTO(ap_config) copy = { 0 };
    for (int key = 0; key < AP_CONFIG_COUNT; key++) {
        copy.value[key] = ap_strdup(from->value[key]);
        copy.origin[key] = ap_strdup(from->origin[key]);
        if (!copy.value[key] || !copy.origin[key]) return ap_fail_memory(err, "the settings");
    }
    ap_config_done(to);
    *to = AP_TAKE(copy);
    return APIARY_OK;
}

bool ap_config_find(struct ap_str key, enum ap_config_key *out)
{
    for (int i = 0; i < AP_CONFIG_COUNT; i++) {
        if (!ap_str_equal_nocase(key, ap_str_from(keys[i].name))) continue;
        *out = (enum ap_config_key)i;
        return true;
    }
    return false;
}

const char *ap_config_name(enum ap_config_key key)
{
    return keys[key].name;
}

const char *ap_config_text(const struct ap_config *config, enum ap_config_key key)
{
    return config->value[key];
}

/* ---- values by type ---- */

uint64_t ap_config_size(const struct ap_config *config, enum ap_config_key key, uint64_t fallback)
{
    ap_assert(keys[key].kind == KIND_SIZE || keys[key].kind == KIND_MEMORY);
    struct ap_str text = ap_str_from(config->value[key]);
    int64_t permyriad;
    uint64_t bytes;
    if (text.size == 0) return fallback;
    if (keys[key].kind == KIND_MEMORY && parse_percent(text, &permyriad))
        return (uint64_t)((unsigned __int128)fallback * (uint64_t)permyriad / 10000);
    bool parsed = ap_size_parse(text, &bytes);
    ap_assert(parsed);
    return bytes;
}

int64_t ap_config_count(const struct ap_config *config, enum ap_config_key key, int64_t fallback)
{
    ap_assert(keys[key].kind == KIND_COUNT);
    struct ap_str text = ap_str_from(config->value[key]);
    int64_t count;
    if (text.size == 0) return fallback;
    bool parsed = ap_str_to_i64(text, &count);
    ap_assert(parsed);
    return count;
}

int64_t ap_config_us(const struct ap_config *config, enum ap_config_key key)
{
    ap_assert(keys[key].kind == KIND_DURATION);
    int64_t us;
    bool parsed = ap_duration_parse(ap_str_from(config->value[key]), &us);
    ap_assert(parsed);
    return us;
}

bool ap_config_bool(const struct ap_config *config, enum ap_config_key key)
{
    ap_assert(keys[key].kind == KIND_BOOL);
    return strcmp(config->value[key], "on") == 0;
}

enum apiary_code ap_config_json(
    const struct ap_config *config, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_bytes_add_text(&text, "[", err));
    for (int key = 0; key < AP_CONFIG_COUNT; key++) {
        const char *const members[][2] = { { "{\"key\":", keys[key].name },
            { ",\"value\":", config->value[key] }, { ",\"origin\":", config->origin[key] },
            { ",\"meaning\":", keys[key].meaning } };
        if (key) AP_TRY(ap_bytes_add_text(&text, ",", err));
        for (size_t i = 0; i < 4; i++) {
            AP_TRY(ap_bytes_add_text(&text, members[i][0], err));
            AP_TRY(ap_json_quote(&text, ap_str_from(members[i][1]), err));
        }
        AP_TRY(ap_bytes_add_text(&text, "}", err));
    }
    AP_TRY(ap_bytes_add_text(&text, "]", err));
    return ap_bytes_add_str(out, ap_bytes_view(&text), err);
}
