/* SET, RESET, SET VARIABLE and session macros. */
#include "query/read.h"

#include "core/alloc.h"
#include "core/name.h"

#include <unistd.h>

/* Settings of the engine that change how a statement reads or answers, and nothing of the machine.
 */
static const char *const engine_settings[] = { "default_null_order", "null_order", "default_order",
    "integer_division", "ieee_floating_point_ops",
    "scalar_subquery_error_on_multiple_rows", "order_by_non_integer_literal",
    "preserve_insertion_order", "old_implicit_casting", "lambda_syntax", "calendar" };

/* Settings of Apiary that one session may change. */
static const enum ap_config_key session_keys[] = { AP_CONFIG_timezone, AP_CONFIG_query_timeout,
    AP_CONFIG_result_timeout, AP_CONFIG_task_tries, AP_CONFIG_distributed, AP_CONFIG_backpressure,
    AP_CONFIG_target_cell_size, AP_CONFIG_read_gap, AP_CONFIG_vacuum_wait, AP_CONFIG_vacuum_retention_check, AP_CONFIG_max_partitions };

enum {
    ENGINE_SETTINGS = sizeof engine_settings / sizeof *engine_settings,
    SESSION_KEYS = sizeof session_keys / sizeof *session_keys
};

static void lower(const char *text, char *out, size_t size)
{
    size_t at = 0;
    for (; text[at] != '\0' && at + 1 < size; at++)
        out[at] = text[at] >= 'A' && text[at] <= 'Z' ? (char)(text[at] - 'A' + 'a') : text[at];
    out[at] = '\0';
}

/* The host's time zone, "Europe/Berlin", from where /etc/localtime points. */
static enum apiary_code host_zone(struct ap_bytes *out, struct apiary_error *err)
{
    char target[512];
    ssize_t size = readlink("/etc/localtime", target, sizeof target - 1);
    if (size > 0) {
        target[size] = '\0';
        const char *zone = strstr(target, "zoneinfo/");
        if (zone != NULL) return ap_bytes_add_text(out, zone + strlen("zoneinfo/"), err);
    }
    return ap_bytes_add_text(out, "UTC", err);
}

static enum apiary_code value_text(
    const struct ap_statement *statement, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_tokens) tokens = { 0 };
    AP_TRY(ap_lex(statement->value, &tokens, err));
    if (tokens.items[0].kind == AP_TOKEN_STRING || tokens.items[0].kind == AP_TOKEN_QUOTED)
        return ap_token_value(&tokens.items[0], out, err);
    return ap_bytes_add_str(out, ap_str_trim(statement->value), err);
}

static void forget_engine_setting(struct ap_session *session, const char *name)
{
    struct ap_texts *set = &session->settings;
    for (size_t i = 0; i + 1 < set->count; i += 2) {
        if (strcmp(set->items[i], name) != 0) continue;
        ap_free(set->items[i]);
        ap_free(set->items[i + 1]);
        memmove(&set->items[i], &set->items[i + 2], (set->count - i - 2) * sizeof *set->items);
        set->count -= 2;
        return;
    }
}

static enum apiary_code set_session_key(struct ap_session *session, enum ap_config_key key,
    const struct ap_statement *statement, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) value = { 0 };
    if (statement->flags.reset)
        AP_TRY(ap_bytes_add_text(&value, ap_config_text(session->world->config, key), err));
    else
        AP_TRY(value_text(statement, &value, err));
    if (key == AP_CONFIG_timezone && strcasecmp(ap_bytes_text(&value), "local") == 0) {
        ap_bytes_clear(&value);
        AP_TRY(host_zone(&value, err));
    }
    return ap_config_set(
        &session->config, ap_str_from(ap_config_name(key)), ap_bytes_view(&value), "SET", err);
}

static enum apiary_code unknown_setting(const char *name, struct apiary_error *err)
{
    const char *known[ENGINE_SETTINGS + SESSION_KEYS];
    enum ap_config_key key;
    if (ap_config_find(ap_str_from(name), &key)) {
        ap_fail(err, APIARY_DENIED, "%s is a setting of the node, not of a session", name);
        return ap_hint(err, "set it in apiary.toml, in the environment, or as an argument");
    }
    for (size_t i = 0; i < ENGINE_SETTINGS; i++) known[i] = engine_settings[i];
    for (size_t i = 0; i < SESSION_KEYS; i++)
        known[ENGINE_SETTINGS + i] = ap_config_name(session_keys[i]);
    const char *near = ap_nearest(ap_str_from(name), known, ENGINE_SETTINGS + SESSION_KEYS);
    ap_fail(err, APIARY_CONFIG, "there is no setting %s that a session may change", name);
    return near != NULL ? ap_hint(err, "did you mean %s?", near) : APIARY_CONFIG;
}

static enum apiary_code run_set(struct ap_request *request, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    char name[128];
    lower(statement->setting, name, sizeof name);
    for (size_t i = 0; i < SESSION_KEYS; i++)
        if (strcmp(ap_config_name(session_keys[i]), name) == 0)
            return set_session_key(session, session_keys[i], statement, err);
    for (size_t i = 0; i < ENGINE_SETTINGS; i++) {
        if (strcmp(engine_settings[i], name) != 0) continue;
        forget_engine_setting(session, name);
        if (statement->flags.reset) return APIARY_OK;
        AP_AUTO(ap_bytes) value = { 0 };
        AP_TRY(value_text(statement, &value, err));
        AP_TRY(ap_texts_add(&session->settings, ap_str_from(name), err));
        return ap_texts_add(&session->settings, ap_bytes_view(&value), err);
    }
    return unknown_setting(name, err);
}

/* Runs the statement in a chamber to see that it is right, then keeps it for replay. */
static enum apiary_code keep(struct ap_request *request, int kind, const char *name,
    struct ap_str sql, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_AUTO(ap_bytes) done = { 0 };
    AP_TRY(ap_source_open(request->session, (struct ap_str) { 0 }, NULL, &source, err));
    enum apiary_code code = ap_source_run(source, sql, "none", request->query, &done, NULL, err);
    ap_source_close(source);
    return code == APIARY_OK
               ? ap_session_replay(request->session, kind, ap_str_from(name), sql, err)
               : code;
}

enum apiary_code ap_run_set(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    if (statement->kind == AP_STATEMENT_CREATE_MACRO) {
        /* Every instance is a fresh one: it may be there already only within this session. */
        return keep(request, AP_OBJECT_MACRO, statement->name.parts[statement->name.count - 1],
            request->text, err);
    }
    if (statement->object != AP_OBJECT_VARIABLE) return run_set(request, err);
    if (statement->flags.reset) {
        ap_session_forget(request->session, AP_OBJECT_VARIABLE, ap_str_from(statement->setting));
        return APIARY_OK;
    }
    return keep(request, AP_OBJECT_VARIABLE, statement->setting, request->text, err);
}
