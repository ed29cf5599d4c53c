#include "apiary_test.h"

#include "core/alloc.h"
#include "core/config.h"
#include "core/config_toml.h"
#include "core/json.h"

static const char *const no_environment[] = { "HOME=/nowhere", NULL };

static void write_file(const char *path, const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    fclose(file);
}

/* Loads one file in one role and gives code and message. */
static enum apiary_code load_text(struct ap_config *config, const char *path, const char *text,
    size_t size, bool local, struct apiary_error *err)
{
    write_file(path, text, size);
    struct ap_config_sources sources = { .environment = no_environment,
        .system_file = "",
        .user_file = local ? "" : path,
        .directory_file = local ? path : "" };
    return ap_config_load(config, &sources, err);
}

static void test_defaults(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_config) config = { 0 };
    struct ap_config_sources sources = { .system_file = "", .user_file = "", .directory_file = "" };
    assert_ok(ap_config_load(&config, &sources, &err));
    for (int key = 0; key < AP_CONFIG_COUNT; key++) {
        assert_non_null(config.value[key]);
        assert_string_equal(config.origin[key], "default");
    }
    assert_string_equal(ap_config_text(&config, AP_CONFIG_memory_limit), "75%");
    assert_string_equal(ap_config_text(&config, AP_CONFIG_distributed), "auto");
    assert_int_equal(ap_config_count(&config, AP_CONFIG_bees, 5), 5);
    assert_int_equal(ap_config_count(&config, AP_CONFIG_checkpoint_interval, 5), 100);
    assert_int_equal(ap_config_us(&config, AP_CONFIG_heartbeat), 5000000);
    assert_int_equal(ap_config_us(&config, AP_CONFIG_result_timeout), 300000000);
    assert_true(ap_config_bool(&config, AP_CONFIG_fsync));
    assert_false(ap_config_bool(&config, AP_CONFIG_require_seal));
    assert_int_equal(ap_config_size(&config, AP_CONFIG_cache_limit, 123), 123);
    assert_int_equal(ap_config_size(&config, AP_CONFIG_memory_limit, 1000), 750);
    assert_true(
        ap_config_size(&config, AP_CONFIG_memory_limit, UINT64_MAX) == UINT64_MAX / 4 * 3 + 2);
}

static void test_precedence(void **state)
{
    (void)state;
    struct apiary_error err;
    char folder[AP_TEST_PATH_MAX], system[600], user[600], local[600];
    ap_test_folder(folder);
    snprintf(system, sizeof system, "%s/system.toml", folder);
    snprintf(user, sizeof user, "%s/user.toml", folder);
    snprintf(local, sizeof local, "%s/local.toml", folder);
    static const char system_text[] =
        "bees = 1\ntask_tries = 1\ntimezone = 'A'\nlog = 'error'\nhistory='off'\n";
    static const char user_text[] = "task_tries = 2\n\ntimezone = 'B'\nlog = 'info'\n";
    static const char local_text[] = "timezone = 'C'\n";
    write_file(system, system_text, sizeof system_text - 1);
    write_file(user, user_text, sizeof user_text - 1);
    write_file(local, local_text, sizeof local_text - 1);
    const char *environment[] = { "HOME=/nowhere", "APIARY_LOG=debug", "APIARY_HISTORY=full",
        "APIARY_TIMEZONE=", "OTHER=1", "APIARY_BEE=/x/apiary-bee", "APIARY_DEPS_CACHE=/c",
        "APIARY_TEST_PYTHON=p", "APIARY_TEST_=", "APIARY_NOVALUE", NULL };
    const struct apiary_setting arguments[] = { { "History", "SHAPE" } };
    struct ap_config_sources sources = { environment, system, user, local, arguments, 1 };
    AP_AUTO(ap_config) config = { 0 };
    assert_ok(ap_config_load(&config, &sources, &err));

    static const struct {
        enum ap_config_key key;
        const char *value, *origin;
    } rows[] = {
        { AP_CONFIG_bees, "1", "system.toml:1" },
        { AP_CONFIG_task_tries, "2", "user.toml:1" },
        { AP_CONFIG_timezone, "C", "local.toml:1" },
        { AP_CONFIG_log, "debug", "environment" },
        { AP_CONFIG_history, "shape", "argument" },
        { AP_CONFIG_fsync, "on", "default" },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        assert_string_equal(ap_config_text(&config, rows[i].key), rows[i].value);
        const char *origin = config.origin[rows[i].key];
        assert_true(ap_str_ends_with(ap_str_from(origin), ap_str_from(rows[i].origin)));
        if (strchr(rows[i].origin, ':'))
            assert_true(ap_str_starts_with(ap_str_from(origin), AP_STR("file /")));
    }

    /* The user's folder is found by the environment; one file is not read in two roles. */
    char variable[700], path[700];
    snprintf(variable, sizeof variable, "XDG_CONFIG_HOME=%s", folder);
    snprintf(path, sizeof path, "%s/apiary", folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/apiary/apiary.toml", folder);
    write_file(path, "bees = 9", 8);
    const char *found[] = { variable, NULL };
    struct ap_config_sources searched = {
        .environment = found, .system_file = "", .directory_file = path
    };
    assert_ok(ap_config_load(&config, &searched, &err));
    assert_int_equal(ap_config_count(&config, AP_CONFIG_bees, 0), 9);
    ap_test_folder_remove(folder);
}

static void test_toml(void **state)
{
    (void)state;
    static const struct {
        const char *label, *text, *wanted; /* value of storage, or with "!" a part of the message */
    } rows[] = {
        { "basic", "storage = \"/data\"", "/data" },
        { "literal", "storage='C:\\x'", "C:\\x" },
        { "blanks and comment", "\t storage\t=  '/d'   # where", "/d" },
        { "CRLF and BOM", "\xEF\xBB\xBF# x\r\n\r\nstorage = '/d'\r\n", "/d" },
        { "hash in a string", "storage = \"a#b\"", "a#b" },
        { "escapes", "storage = \"a\\\"\\\\\\u00fc\\U0001F41D\\u20AC\"",
            "a\"\\\xC3\xBC\xF0\x9F\x90\x9D\xE2\x82\xAC" },
        { "quoted key", "\"storage\" = '/d'", "/d" },
        { "other case", "Storage = '/d'", "/d" },
        { "only comments", "# nothing\n\n   # more", "" },
        { "table", "\n[server]\n", "!:2: tables are not supported" },
        { "dotted", "a.b = 1", "!:1: dotted keys" },
        { "list", "bees = [1]", "!:1: lists are not supported" },
        { "inline table", "bees = {}", "!:1: inline tables" },
        { "multi-line", "storage = \"\"\"x", "!:1: strings over several lines" },
        { "no value", "storage =", "!:1: a value is missing" },
        { "comment for a value", "storage = # x", "!:1: a value is missing" },
        { "no equals sign", "storage '/d'", "!:1: expected a line like" },
        { "no key", "= 1", "!:1: expected a line like" },
        { "open string", "storage = \"/d", "!:1: the string has no end" },
        { "open at a backslash", "storage = \"/d\\", "!:1: the string has no end" },
        { "behind", "storage = '/d' x", "!:1: something stands behind" },
        { "unknown escape", "storage = \"\\q\"", "!:1: an unknown escape" },
        { "short escape", "storage = \"\\u12\"", "!:1: a \\u escape without" },
        { "surrogate", "storage = \"\\uD800\"", "!:1: a \\u escape that is no" },
        { "NUL escape", "storage = \"\\u0000\"", "!:1: a \\u escape that is no" },
        { "beyond Unicode", "storage = \"\\U00110000\"", "!:1: a \\u escape that is no" },
        { "control in a string", "storage = \"a\x01\"", "!:1: a control character" },
        { "control by escape", "storage = \"a\\n\"", "!must be a text" },
        { "bad UTF-8", "#\n# \xFF\n", "!:2: this is no UTF-8" },
        { "bare word", "storage = data",
            "!:1: data is no number, true or false; text stands in quotes: \"data\"" },
        { "size without quotes", "memory_limit = 4GiB", "!:1: 4GiB is no number" },
        { "date", "bees = 2024-01-01", "!:1: 2024-01-01 is no number" },
        { "number with exponent", "bees = 1e3", "!:1: 1e3 is no number" },
        { "hex", "bees = 0x10", "!:1: 0x10 is no number" },
        { "underscore at the end", "bees = 1_", "!:1: 1_ is no number" },
        { "double underscore", "bees = 1__0", "!:1: 1__0 is no number" },
        { "negative", "bees = -1", "!must be a whole number from 1 to 1000000000, not '-1'" },
        { "twice", "storage='/a'\nbees=1\nstorage='/b'", "!:3 stands in line 1 already" },
        { "unknown", "bees=3\n\nmemory_limt = \"4GB\"", "!unknown setting 'memory_limt' in " },
        { "empty for what has a default", "heartbeat = ''", "!must be a time" },
    };
    struct apiary_error err;
    char folder[AP_TEST_PATH_MAX], path[600];
    ap_test_folder(folder);
    snprintf(path, sizeof path, "%s/apiary.toml", folder);
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_config) config = { 0 };
        bool wrong = rows[i].wanted[0] == '!';
        assert_code_in(rows[i].label,
            load_text(&config, path, rows[i].text, strlen(rows[i].text), false, &err),
            wrong ? APIARY_CONFIG : APIARY_OK);
        if (!wrong)
            assert_string_in(
                rows[i].label, ap_config_text(&config, AP_CONFIG_storage), rows[i].wanted);
        else if (!strstr(err.message, rows[i].wanted + 1))
            fail_msg("%s: %s", rows[i].label, err.message);
        else if (!strstr(err.message, path))
            fail_msg("%s names no file: %s", rows[i].label, err.message);
    }
    char wanted[1200];
    AP_AUTO(ap_config) config = { 0 };
    assert_code(
        load_text(&config, path, "bees=3\n\nmemory_limt = '4GB'", 27, false, &err), APIARY_CONFIG);
    snprintf(wanted, sizeof wanted,
        "unknown setting 'memory_limt' in %s:3; did you mean 'memory_limit'?", path);
    assert_string_equal(err.message, wanted);
    assert_null(config.value[0]);
    assert_code(load_text(&config, path, "bees=1\0", 7, false, &err), APIARY_CONFIG);
    ap_test_folder_remove(folder);
}

static void test_toml_limits(void **state)
{
    (void)state;
    struct apiary_error err;
    char folder[AP_TEST_PATH_MAX], path[600];
    ap_test_folder(folder);
    snprintf(path, sizeof path, "%s/apiary.toml", folder);
    static char text[AP_TOML_SIZE_MAX + 10];
    AP_AUTO(ap_config) config = { 0 };
    memset(text, '#', sizeof text);
    assert_ok(load_text(&config, path, text, AP_TOML_SIZE_MAX, false, &err));
    assert_code(load_text(&config, path, text, AP_TOML_SIZE_MAX + 1, false, &err), APIARY_CONFIG);
    memset(text, 'k', sizeof text);
    assert_code(load_text(&config, path, text, 5000, false, &err), APIARY_CONFIG);
    memcpy(text, "storage='", 9);
    assert_code(load_text(&config, path, text, 5000, false, &err), APIARY_CONFIG);
    assert_non_null(strstr(err.message, "too long"));

    /* What is not there sets nothing; what cannot be a settings file is an error, not a hang. */
    char missing[700];
    snprintf(missing, sizeof missing, "%s/missing.toml", folder);
    struct ap_config_sources sources = { no_environment, missing, missing, missing, NULL, 0 };
    assert_ok(ap_config_load(&config, &sources, &err));
    sources.user_file = folder;
    assert_code(ap_config_load(&config, &sources, &err), APIARY_CONFIG);
    assert_non_null(strstr(err.message, "no regular file"));
    assert_int_equal(mkfifo(missing, 0600), 0);
    sources.user_file = "";
    assert_code(ap_config_load(&config, &sources, &err), APIARY_CONFIG);
    ap_test_folder_remove(folder);
}

static void test_local_file(void **state)
{
    (void)state;
    struct apiary_error err;
    char folder[AP_TEST_PATH_MAX], path[600];
    ap_test_folder(folder);
    snprintf(path, sizeof path, "%s/apiary.toml", folder);
    static const struct {
        const char *key, *value;
        bool may;
    } rows[] = {
        { "storage", "/x", false },
        { "bees", "1", false },
        { "memory_limit", "1GB", false },
        { "target_cell_size", "1GB", true },
        { "scratch_dir", "/x", false },
        { "scratch_limit", "1GB", false },
        { "cache_dir", "/x", false },
        { "cache_limit", "1GB", false },
        { "read_gap", "1MB", true },
        { "heartbeat", "1s", false },
        { "swarm_secret_file", "/secret", false },
        { "task_tries", "1", true },
        { "query_timeout", "1s", true },
        { "result_timeout", "1s", true },
        { "distributed", "off", true },
        { "checkpoint_interval", "1", true },
        { "maintenance", "always", false },
        { "maintenance_interval", "5s", false },
        { "vacuum_wait", "5s", true },
        { "vacuum_retention_check", "off", true },
        { "max_partitions", "1", true },
        { "backpressure", "error", true },
        { "storage_prices", "put=1", false },
        { "fsync", "off", false },
        { "local_files", "off", false },
        { "require_seal", "on", false },
        { "timezone", "UTC", true },
        { "log", "info", false },
        { "log_format", "json", false },
        { "history", "off", false },
    };
    assert_int_equal(AP_COUNT(rows), AP_CONFIG_COUNT);
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_config) config = { 0 };
        char text[200];
        int size = snprintf(text, sizeof text, "# x\n%s = '%s'\n", rows[i].key, rows[i].value);
        assert_code_in(rows[i].key, load_text(&config, path, text, (size_t)size, true, &err),
            rows[i].may ? APIARY_OK : APIARY_CONFIG);
        if (!rows[i].may)
            assert_non_null(
                strstr(err.message, "apiary.toml:2: a file in the current directory may not"));
        assert_code_in(
            rows[i].key, load_text(&config, path, text, (size_t)size, false, &err), APIARY_OK);
    }
    ap_test_folder_remove(folder);
}

static void test_values(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value;
        const char *kept; /* NULL: refused */
    } rows[] = {
        { "bees", "4", "4" },
        { "bees", "0", NULL },
        { "bees", "1000000001", NULL },
        { "bees", "4.0", NULL },
        { "bees", "", "" },
        { "task_tries", "", NULL },
        { "memory_limit", "75%", "75%" },
        { "memory_limit", "12.5 %", "12.5 %" },
        { "memory_limit", "100%", "100%" },
        { "memory_limit", "101%", NULL },
        { "memory_limit", "0%", NULL },
        { "memory_limit", "-5%", NULL },
        { "memory_limit", "nan%", NULL },
        { "memory_limit", "%", NULL },
        { "memory_limit", "4GiB", "4GiB" },
        { "memory_limit", "0", NULL },
        { "memory_limit", "lots", NULL },
        { "cache_limit", "50%", NULL },
        { "cache_limit", "1.5GB", "1.5GB" },
        { "cache_limit", "99999999TiB", NULL },
        { "read_gap", "1MB", "1MB" },
        { "read_gap", "", NULL },
        { "read_gap", "far", NULL },
        { "heartbeat", "250ms", "250ms" },
        { "heartbeat", "0s", NULL },
        { "heartbeat", "5", "5" },
        { "heartbeat", "soon", NULL },
        { "distributed", "FORCE", "force" },
        { "distributed", "on", NULL },
        { "backpressure", "ignore", "ignore" },
        { "backpressure", "wait", NULL },
        { "fsync", "TRUE", "on" },
        { "fsync", "no", "off" },
        { "fsync", "1", "on" },
        { "fsync", "0", "off" },
        { "fsync", "maybe", NULL },
        { "log", "off", "off" },
        { "log", "loud", NULL },
        { "log_format", "JSON", "json" },
        { "history", "full", "full" },
        { "timezone", "Europe/Zurich", "Europe/Zurich" },
        { "timezone", "a\nb", NULL },
        { "storage", "s3://b/\xFF", NULL },
        { "TimeZone", "UTC", "UTC" },
    };
    struct apiary_error err;
    AP_AUTO(ap_config) config = { 0 };
    struct ap_config_sources sources = { .system_file = "", .user_file = "", .directory_file = "" };
    assert_ok(ap_config_load(&config, &sources, &err));
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_config) changed = { 0 };
        enum ap_config_key key;
        assert_ok(ap_config_copy(&changed, &config, &err));
        assert_true_in(rows[i].key, ap_config_find(ap_str_from(rows[i].key), &key));
        assert_code_in(rows[i].value,
            ap_config_set(
                &changed, ap_str_from(rows[i].key), ap_str_from(rows[i].value), "SET", &err),
            rows[i].kept ? APIARY_OK : APIARY_CONFIG);
        assert_string_in(rows[i].value, ap_config_text(&changed, key),
            rows[i].kept ? rows[i].kept : ap_config_text(&config, key));
        assert_string_in(rows[i].value, changed.origin[key], rows[i].kept ? "SET" : "default");
    }
    assert_code(
        ap_config_set(&config, AP_STR("heartbeat"), AP_STR("soon"), "SET", &err), APIARY_CONFIG);
    assert_string_equal(
        err.message, "setting 'heartbeat' must be a time such as 500ms, 30s or 5m, not 'soon'");
    assert_code(ap_config_set(&config, AP_STR("log"), AP_STR("loud"), "SET", &err), APIARY_CONFIG);
    assert_string_equal(
        err.message, "setting 'log' must be error, warning, info, debug or off, not 'loud'");
    assert_code(
        ap_config_set(&config, AP_STR("memory_limt"), AP_STR("1"), "SET", &err), APIARY_CONFIG);
    assert_string_equal(err.message, "unknown setting 'memory_limt'; did you mean 'memory_limit'?");
    /* A location may hold a secret: it is not said again. */
    assert_code(
        ap_config_set(&config, AP_STR("storage"), AP_STR("s3://key:secret@b\x01"), "SET", &err),
        APIARY_CONFIG);
    assert_null(strstr(err.message, "secret"));
    assert_true(ap_config_size(&config, AP_CONFIG_memory_limit, 100) == 75);
    assert_ok(ap_config_set(&config, AP_STR("memory_limit"), AP_STR("4GiB"), "SET", &err));
    assert_true(ap_config_size(&config, AP_CONFIG_memory_limit, 100) == UINT64_C(4) << 30);
    assert_string_equal(ap_config_name(AP_CONFIG_log_format), "log_format");
}

static void test_environment(void **state)
{
    (void)state;
    static const struct {
        const char *entry, *wanted; /* NULL: fine, else the message */
    } rows[] = {
        { "APIARY_BEES=3", NULL },
        { "APIARY_BEES=x", "setting 'bees' in the environment must be a whole number from 1 to "
                           "1000000000, not 'x'" },
        { "APIARY_MEMORY_LIMT=3", "unknown setting in the environment: APIARY_MEMORY_LIMT; did you "
                                  "mean APIARY_MEMORY_LIMIT?" },
        { "APIARY_bees=3",
            "unknown setting in the environment: APIARY_bees; did you mean APIARY_BEES?" },
        { "APIARY_XYZZY=secret", "unknown setting in the environment: APIARY_XYZZY" },
        { "APIARY_=1", "unknown setting in the environment: APIARY_" },
        { "APIARYX=1", NULL },
        { "APIARY_BEE=x", NULL },
        { "APIARY_TEST_ANYTHING=x", NULL },
        { "APIARY_TESTS=x", "unknown setting in the environment: APIARY_TESTS" },
    };
    struct apiary_error err;
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        AP_AUTO(ap_config) config = { 0 };
        const char *environment[] = { rows[i].entry, NULL };
        struct ap_config_sources sources = {
            .environment = environment, .system_file = "", .user_file = "", .directory_file = ""
        };
        assert_code_in(rows[i].entry, ap_config_load(&config, &sources, &err),
            rows[i].wanted ? APIARY_CONFIG : APIARY_OK);
        if (rows[i].wanted) assert_string_in(rows[i].entry, err.message, rows[i].wanted);
    }
}

static void test_arguments(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_config) config = { 0 };
    struct apiary_setting argument = { "bees", NULL };
    struct ap_config_sources sources = { .system_file = "",
        .user_file = "",
        .directory_file = "",
        .arguments = &argument,
        .argument_count = 1 };
    assert_code(ap_config_load(&config, &sources, &err), APIARY_CONFIG);
    argument = (struct apiary_setting) { NULL, "3" };
    assert_code(ap_config_load(&config, &sources, &err), APIARY_CONFIG);
    argument = (struct apiary_setting) { "bees", "3" };
    assert_ok(ap_config_load(&config, &sources, &err));
    /* A load that fails leaves what was loaded before. */
    argument.value = "none";
    assert_code(ap_config_load(&config, &sources, &err), APIARY_CONFIG);
    assert_int_equal(ap_config_count(&config, AP_CONFIG_bees, 0), 3);
}

static void test_json(void **state)
{
    (void)state;
    struct apiary_error err;
    AP_AUTO(ap_config) config = { 0 };
    struct ap_config_sources sources = { .system_file = "", .user_file = "", .directory_file = "" };
    assert_ok(ap_config_load(&config, &sources, &err));
    assert_ok(ap_config_set(&config, AP_STR("storage"), AP_STR("/a \"b\"\\"), "argument", &err));
    AP_AUTO(ap_bytes) text = { 0 };
    assert_ok(ap_config_json(&config, &text, &err));
    AP_AUTO_JSON *doc = NULL;
    assert_ok(ap_json_parse(ap_bytes_view(&text), "settings", &doc, &err));
    assert_int_equal(yyjson_arr_size(yyjson_doc_get_root(doc)), AP_CONFIG_COUNT);
    size_t i, count;
    yyjson_val *row;
    yyjson_arr_foreach(yyjson_doc_get_root(doc), i, count, row)
    {
        struct ap_str key = { 0 }, value = { 0 }, origin = { 0 }, meaning = { 0 };
        assert_true(ap_json_str(row, "key", &key) && ap_json_str(row, "value", &value));
        assert_true(ap_json_str(row, "origin", &origin) && ap_json_str(row, "meaning", &meaning));
        assert_true(ap_str_is(key, ap_config_name((enum ap_config_key)i)));
        assert_true(ap_str_is(value, ap_config_text(&config, (enum ap_config_key)i)));
        assert_true(meaning.size > 0);
    }
}

static enum apiary_code load_and_print(const struct ap_config_sources *sources,
    struct ap_config *config, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_config) copy = { 0 };
    AP_TRY(ap_config_load(config, sources, err));
    AP_TRY(ap_config_copy(&copy, config, err));
    return ap_config_json(&copy, out, err);
}

static void test_memory(void **state)
{
    (void)state;
    struct apiary_error err;
    char folder[AP_TEST_PATH_MAX], path[600];
    ap_test_folder(folder);
    snprintf(path, sizeof path, "%s/apiary.toml", folder);
    write_file(path, "bees = 1\nlog = \"\\u0069nfo\"\n", 27);
    const char *environment[] = { "APIARY_TASK_TRIES=2", NULL };
    struct ap_config_sources sources = {
        .environment = environment, .system_file = "", .user_file = path, .directory_file = ""
    };
    struct ap_config config = { 0 };
    struct ap_bytes out = { 0 };
    assert_memory_failures(
        load_and_print(&sources, &config, &out, &err), out.size == 0, ap_config_done(&config));
    assert_string_equal(ap_config_text(&config, AP_CONFIG_log), "info");
    ap_config_done(&config);
    ap_bytes_done(&out);
    ap_test_folder_remove(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),
        cmocka_unit_test(test_precedence),
        cmocka_unit_test(test_toml),
        cmocka_unit_test(test_toml_limits),
        cmocka_unit_test(test_local_file),
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_environment),
        cmocka_unit_test(test_arguments),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
