/* Any bytes as the pairs of a log event: the line stays one line, valid UTF-8, and JSON where
 * that was asked for. */
#include "core/json.h"
#include "core/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_line(void *context, enum ap_log_level level, const char *line)
{
    struct apiary_error err;
    ap_assert(!strchr(line, '\n') && ap_utf8_valid(ap_str_from(line)));
    if (!*(bool *)context) return;
    AP_AUTO_JSON *doc = NULL;
    ap_assert(ap_json_parse(ap_str_from(line), "line", &doc, &err) == APIARY_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ap_str text = { (const char *)data, size };
    bool json = true;
    struct ap_log log = { ap_env_system(), AP_LOG_INFO, json, check_line, &json };
    char value[64];
    ap_log_event(&log, AP_LOG_INFO, "fuzz", "event", AP_FMT " text=%s", AP_ARG(text),
        ap_log_text(value, sizeof value, text));
    log.json = json = false;
    ap_log_event(&log, AP_LOG_INFO, "fuzz", "event", AP_FMT " text=%s", AP_ARG(text),
        ap_log_text(value, sizeof value, text));
    return 0;
}
