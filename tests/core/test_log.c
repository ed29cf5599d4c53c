#include "apiary_test.h"

#include "core/json.h"
#include "core/log.h"

struct kept {
    char line[8192];
    int count;
    enum ap_log_level level;
};

static void keep(void *context, enum ap_log_level level, const char *line)
{
    struct kept *kept = context;
    snprintf(kept->line, sizeof kept->line, "%s", line);
    kept->level = level;
    kept->count++;
}

static int64_t fake_now(void *world)
{
    (void)world;
    return INT64_C(1700000000123456);
}

static const struct ap_env_ops ops = { .now_us = fake_now };
static struct ap_env env = { &ops, NULL };

static void test_text(void **state)
{
    (void)state;
    struct kept kept = { 0 };
    struct ap_log log = { &env, AP_LOG_INFO, false, keep, &kept };
    ap_log_event(&log, AP_LOG_INFO, "ledger", "append", "frame=%s version=%d", "a.b.c", 41);
    assert_string_equal(
        kept.line, "2023-11-14T22:13:20.123Z info ledger event=append frame=a.b.c version=41");
    assert_int_equal(kept.level, AP_LOG_INFO);
    ap_log_event(&log, AP_LOG_ERROR, "bee", "died", "%s", "");
    assert_string_equal(kept.line, "2023-11-14T22:13:20.123Z error bee event=died");
    ap_log_event(&log, AP_LOG_WARNING, "x", "y", "raw=%s", "a\nb\x1b[0m\xFF");
    assert_string_equal(kept.line, "2023-11-14T22:13:20.123Z warning x event=y raw=a?b?[0m?");
}

static void test_levels(void **state)
{
    (void)state;
    for (int limit = AP_LOG_OFF; limit <= AP_LOG_DEBUG; limit++) {
        for (int level = AP_LOG_ERROR; level <= AP_LOG_DEBUG; level++) {
            struct kept kept = { 0 };
            struct ap_log log = { &env, (enum ap_log_level)limit, level % 2, keep, &kept };
            ap_log_event(&log, (enum ap_log_level)level, "r", "e", "k=%d", 1);
            assert_int_equal(kept.count, level <= limit);
        }
    }
    ap_log_event(NULL, AP_LOG_ERROR, "r", "e", "k=%d", 1);
    struct ap_log no_sink = { &env, AP_LOG_DEBUG, false, NULL, NULL };
    ap_log_event(&no_sink, AP_LOG_ERROR, "r", "e", "k=%d", 1);

    static const char *const words[] = { "off", "error", "warning", "info", "debug" };
    for (int i = 0; i < 5; i++) {
        enum ap_log_level level = AP_LOG_DEBUG;
        assert_true(ap_log_level_parse(words[i], &level));
        assert_int_equal(level, i - 1);
        assert_string_equal(ap_log_level_text(level), words[i]);
    }
    enum ap_log_level level = AP_LOG_INFO;
    assert_false(ap_log_level_parse("loud", &level));
    assert_int_equal(level, AP_LOG_INFO);
}

static void test_quoting(void **state)
{
    (void)state;
    static const struct {
        const char *text, *wanted;
    } rows[] = {
        { "plain", "plain" }, { "a.b/c-d:1", "a.b/c-d:1" }, { "", "\"\"" },
        { "two words", "\"two words\"" }, { "a=b", "\"a=b\"" },
        { "say \"x\"", "\"say \\\"x\\\"\"" }, { "a\nb", "\"a\\nb\"" }, { "\x1b", "\"\\u001b\"" },
        { "Z\xC3\xBC", "Z\xC3\xBC" }, { "\xFF", "\"\xEF\xBF\xBD\"" },
        { "back\\slash", "\"back\\\\slash\"" },
        { "0123456789012345678901234567890", "0123456789012345678901234567890" },
        { "01234567890123456789012345678901",
            "\"01234567890123456789012345678\"" }, /* cut to the buffer */
        { "012345678901234567890123456 \x1b",
            "\"012345678901234567890123456 \"" }, /* no half escape */
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        char out[32];
        assert_ptr_equal(ap_log_text(out, sizeof out, ap_str_from(rows[i].text)), out);
        assert_string_in(rows[i].text, out, rows[i].wanted);
    }
    for (size_t size = 8; size < 40; size++) {
        char out[40];
        memset(out, 'X', sizeof out);
        ap_log_text(out, size, AP_STR("\"\"\"\"\"\x01\x02\xFF\xFF\xE2\x82\xAC long enough"));
        assert_true(memchr(out, 0, size) != NULL);
        if (size < 40) assert_int_equal(out[size], size == 40 ? 0 : 'X');
    }
}

static void check_json(const struct kept *kept, const char *wanted)
{
    struct apiary_error err;
    AP_AUTO_JSON *doc = NULL;
    assert_code_in(
        kept->line, ap_json_parse(ap_str_from(kept->line), "log line", &doc, &err), APIARY_OK);
    if (wanted) assert_string_equal(kept->line, wanted);
}

#define JSON_BEFORE                                                                                \
    "{\"time\":\"2023-11-14T22:13:20.123Z\",\"level\":\"info\",\"room\":\"r\",\"event\":\"e\""

static void test_json_lines(void **state)
{
    (void)state;
    static const struct {
        const char *pairs, *wanted;
    } rows[] = {
        { "", "" },
        { "a=1 b=-2.5 c=x", ",\"a\":1,\"b\":-2.5,\"c\":\"x\"" },
        { "t=true f=false n=null", ",\"t\":true,\"f\":false,\"n\":null" },
        { "zeros=007 dots=1.2.3 end=1. minus=- hex=0x1 exp=1e5 zero=0 part=0.5",
            ",\"zeros\":\"007\",\"dots\":\"1.2.3\",\"end\":\"1.\",\"minus\":\"-\",\"hex\":\"0x1\","
            "\"exp\":\"1e5\",\"zero\":0,"
            "\"part\":0.5" },
        { "id=12345678901234567890123456789012", ",\"id\":\"12345678901234567890123456789012\"" },
        { "q=\"two words\" r=\"a\\\"b\\u0001\"", ",\"q\":\"two words\",\"r\":\"a\\\"b\\u0001\"" },
        { "bad=\"no end", ",\"bad\":\"\\\"no end\"" },
        { "bad=\"x\\q\"", ",\"bad\":\"\\\"x\\\\q\\\"\"" },
        { "word empty= x=y=z", ",\"word\":\"\",\"empty\":\"\",\"x\":\"y=z\"" },
        { "raw=\x01\xFF", ",\"raw\":\"\\u0001\xEF\xBF\xBD\"" },
    };
    struct kept kept = { 0 };
    struct ap_log log = { &env, AP_LOG_INFO, true, keep, &kept };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        char wanted[512];
        snprintf(wanted, sizeof wanted, JSON_BEFORE "%s}", rows[i].wanted);
        ap_log_event(&log, AP_LOG_INFO, "r", "e", "%s", rows[i].pairs);
        check_json(&kept, wanted);
    }
}

static void test_limits(void **state)
{
    (void)state;
    struct kept kept = { 0 };
    struct ap_log log = { &env, AP_LOG_INFO, true, keep, &kept };
    char big[6000];
    for (size_t size = 3900; size < 4200; size++) {
        memset(big, 'x', size);
        big[size] = 0;
        log.json = true;
        ap_log_event(&log, AP_LOG_INFO, "r", "e", "a=1 b=%s c=2", big);
        check_json(&kept, NULL);
        assert_true(strlen(kept.line) < 4096);
        assert_non_null(strstr(kept.line, "\"a\":1"));
        if (size > 4090) assert_non_null(strstr(kept.line, "\"cut\":true"));
        log.json = false;
        ap_log_event(&log, AP_LOG_INFO, "r", "e", "a=1 b=%s c=2", big);
        assert_true(strlen(kept.line) < 4096);
    }
    memset(big, 1, 3000); /* six bytes each in JSON */
    big[3000] = 0;
    log.json = true;
    ap_log_event(&log, AP_LOG_INFO, "r", "e", "a=1 b=%s", big);
    check_json(&kept, JSON_BEFORE ",\"a\":1,\"cut\":true}");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_text), cmocka_unit_test(test_levels),
        cmocka_unit_test(test_quoting), cmocka_unit_test(test_json_lines),
        cmocka_unit_test(test_limits) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
