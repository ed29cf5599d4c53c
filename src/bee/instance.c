#include "bee/instance.h"

#include "core/alloc.h"

#include <inttypes.h>
#include <stdio.h>

/* Of memory_limit: chunks of a result that nobody has fetched yet. The engine counts 16 bytes for a
 * text however long it is, so a thousand bytes a row make it forty times as much. */
enum { STREAM_PART = 512, STREAM_BYTES_MIN = 32 << 10, STREAM_BYTES_MAX = 1 << 20 };

bool bee_instance_query(duckdb_connection connection, const char *sql, struct ap_bytes *text)
{
    duckdb_result result;
    bool ok = duckdb_query(connection, sql, &result) == DuckDBSuccess;
    if (!ok && text) {
        const char *said = duckdb_result_error(&result);
        if (ap_bytes_add_text(text, said ? said : "", NULL) != APIARY_OK) ap_bytes_clear(text);
    }
    duckdb_destroy_result(&result);
    return ok;
}

enum apiary_code bee_sql_literal(struct ap_bytes *out, struct ap_str text, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add(out, "'", 1, err));
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == '\'') AP_TRY(ap_bytes_add(out, "'", 1, err));
        AP_TRY(ap_bytes_add(out, text.data + i, 1, err));
    }
    return ap_bytes_add(out, "'", 1, err);
}

static enum apiary_code set(
    duckdb_connection connection, const char *sql, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    if (bee_instance_query(connection, sql, &text)) return APIARY_OK;
    return ap_fail(
        err, APIARY_CHAMBER, "the engine refused its settings: %s", ap_bytes_text(&text));
}

/* The settings that can be given only at the opening. */
static enum apiary_code fill_config(duckdb_config config, const char *scratch, uint64_t spill_bytes,
    uint64_t number, const struct bee_measures *work, struct apiary_error *err)
{
    char memory[32], spill[32], threads[32];
    snprintf(memory, sizeof memory, "%" PRIu64 "B", work->memory_bytes);
    snprintf(spill, sizeof spill, "%" PRIu64 "B", spill_bytes);
    snprintf(threads, sizeof threads, "%" PRId64, work->threads);
    AP_AUTO(ap_bytes) folder = { 0 };
    AP_TRY(ap_bytes_printf(&folder, err, "%s/spill-%" PRIu64, scratch, number));
    const char *const settings[][2] = {
        { "threads", threads },
        { "memory_limit", memory },
        { "temp_directory", ap_bytes_text(&folder) },
        { "max_temp_directory_size", spill },
        { "home_directory", scratch },
        { "autoinstall_known_extensions", "false" },
        { "autoload_known_extensions", "false" },
        { "allow_community_extensions", "false" },
        { "allow_persistent_secrets", "false" },
        { "validate_external_file_cache",
            "NO_VALIDATION" }, /* cells are immutable, names never reused */
        { "errors_as_json", "true" },
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (duckdb_set_config(config, settings[i][0], settings[i][1]) != DuckDBSuccess)
            return ap_fail(err, APIARY_CHAMBER, "the engine does not take the setting %s = %s",
                settings[i][0], settings[i][1]);
    return APIARY_OK;
}

static enum apiary_code open_database(
    struct bee_instance *instance, duckdb_config config, struct apiary_error *err)
{
    char *said = NULL;
    if (duckdb_open_ext(NULL, &instance->database, config, &said) != DuckDBSuccess) {
        enum apiary_code code = ap_fail(
            err, APIARY_CHAMBER, "the engine did not open: %s", said ? said : "no reason given");
        if (said) duckdb_free(said);
        return code;
    }
    if (duckdb_connect(instance->database, &instance->connection) != DuckDBSuccess)
        return ap_fail(err, APIARY_CHAMBER, "the engine gave no connection");
    return APIARY_OK;
}

/* What each connection has for itself. */
static enum apiary_code add_connection_settings(
    const struct bee_instance *instance, struct ap_bytes *sql, struct apiary_error *err)
{
    uint64_t bytes = instance->work.memory_bytes / STREAM_PART;
    if (bytes < STREAM_BYTES_MIN) bytes = STREAM_BYTES_MIN;
    if (bytes > STREAM_BYTES_MAX) bytes = STREAM_BYTES_MAX;
    return ap_bytes_printf(sql, err,
        "SET enable_progress_bar=true; SET enable_progress_bar_print=false; SET "
        "progress_bar_time=200; SET streaming_buffer_size='%" PRIu64 "B';",
        bytes);
}

/* Settings that exist only on an open database, in one round. */
static enum apiary_code settle(
    struct bee_instance *instance, const char *scratch, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(add_connection_settings(instance, &sql, err));
    AP_TRY(ap_bytes_add_text(&sql, "SET allowed_directories=['/cells/','/files/','/out/',", err));
    AP_AUTO(ap_bytes) folder = { 0 };
    AP_TRY(ap_bytes_printf(&folder, err, "%s/", scratch));
    AP_TRY(bee_sql_literal(&sql, ap_bytes_view(&folder), err));
    AP_TRY(ap_bytes_add_text(&sql,
"]; SET TimeZone=", err));
    AP_TRY(bee_sql_literal(&sql, ap_str_from(instance->work.timezone), err));
#ifndef AP_TEST_UNLOCKED /* tests/bee/test_escape.c looks at what the kernel refuses without it */
    AP_TRY(ap_bytes_add_text(
        &sql, "; SET enable_external_access=false", err)); /* freezes the allowed folders */
#endif
    return set(instance->connection, ap_bytes_text(&sql), err);
}

enum apiary_code bee_instance_open(struct bee_instance **out, const char *scratch,
    uint64_t spill_bytes, uint64_t number, const struct bee_measures *work,
    struct apiary_error *err)
{
    struct bee_instance *instance = ap_calloc(1, sizeof *instance);
    if (instance == NULL) return ap_fail_memory(err, "an engine instance");
    instance->work = *work;
    duckdb_config config = NULL;
    enum apiary_code code = APIARY_OK;
    if (duckdb_create_config(&config) != DuckDBSuccess)
        code = ap_fail_memory(err, "the engine's settings");
    if (code == APIARY_OK) code = fill_config(config, scratch, spill_bytes, number, work, err);
    if (code == APIARY_OK) code = open_database(instance, config, err);
    duckdb_destroy_config(&config);
    if (code == APIARY_OK) code = settle(instance, scratch, err);
    if (code != APIARY_OK) {
        bee_instance_close(instance);
        return code;
    }
    *out = instance;
    return APIARY_OK;
}

enum apiary_code bee_instance_adjust(
    struct bee_instance *instance, const struct bee_measures *work, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    if (work->threads != instance->work.threads)
        AP_TRY(ap_bytes_printf(&sql, err, "SET threads=%" PRId64 ";", work->threads));
    if (work->memory_bytes != instance->work.memory_bytes)
        AP_TRY(ap_bytes_printf(&sql, err, "SET memory_limit='%" PRIu64 "B';", work->memory_bytes));
    if (strcmp(work->timezone, instance->work.timezone) != 0) {
        AP_TRY(ap_bytes_add_text(&sql, "SET TimeZone=", err));
        AP_TRY(bee_sql_literal(&sql, ap_str_from(work->timezone), err));
    }
    bool memory = work->memory_bytes != instance->work.memory_bytes;
    instance->work = *work;
    if (memory) {
        if (sql.size) AP_TRY(ap_bytes_add_text(&sql, ";", err));
        AP_TRY(add_connection_settings(instance, &sql, err));
    }
    return sql.size ? set(instance->connection, ap_bytes_text(&sql), err) : APIARY_OK;
}

enum apiary_code bee_instance_lock(struct bee_instance *instance, struct apiary_error *err)
{
#ifdef AP_TEST_UNLOCKED
    return APIARY_OK;
#else
    return set(instance->connection, "SET lock_configuration=true", err);
#endif
}

enum apiary_code bee_instance_keep(struct bee_instance *instance, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(ap_bytes_add_text(&sql,
        "SET enable_external_file_cache=false; SET parquet_metadata_cache=true; SET allowed_configs=['enable_progress_bar', "
        "'enable_progress_bar_print', 'progress_bar_time', 'streaming_buffer_size']; SET GLOBAL "
        "TimeZone=",
        err));
    AP_TRY(bee_sql_literal(&sql, ap_str_from(instance->work.timezone), err));
    AP_TRY(set(instance->connection, ap_bytes_text(&sql), err));
    return bee_instance_lock(instance, err);
}

enum apiary_code bee_instance_connect(
    struct bee_instance *instance, duckdb_connection *out, struct apiary_error *err)
{
    if (duckdb_connect(instance->database, out) != DuckDBSuccess)
        return ap_fail(err, APIARY_CHAMBER, "the engine gave no connection");
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(add_connection_settings(instance, &sql, err));
    return set(*out, ap_bytes_text(&sql), err);
}

void bee_instance_close(struct bee_instance *instance)
{
    if (instance == NULL) return;
    if (instance->connection) duckdb_disconnect(&instance->connection);
    if (instance->database) duckdb_close(&instance->database);
    ap_free(instance);
}
