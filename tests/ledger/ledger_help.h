/* What the tests of the ledger share: a store in memory, a table in it, cells to add. */
#ifndef LEDGER_HELP_H
#define LEDGER_HELP_H

#include "apiary_test.h"
#include "core/alloc.h"
#include "ledger/ledger.h"

#include <inttypes.h>

static inline struct ap_store *help_store(void)
{
    struct apiary_error err = { 0 };
    struct ap_store *store = NULL;
    struct ap_store_options options = { 0 };
    assert_ok(ap_store_open(ap_env_system(), "memory://test", &options, &store, &err));
    return store;
}

static inline struct ap_ledger *help_ledger(struct ap_store *store)
{
    struct apiary_error err = { 0 };
    struct ap_ledger *ledger = NULL;
    struct ap_ledger_options options = {
        .env = store->env, .store = store, .prefix = "t", .name = "main.main.t"
    };
    assert_ok(ap_ledger_open(&options, &ledger, &err));
    return ledger;
}

/* A schema from "name type[!], …" (! = NOT NULL), in an arena of the caller's. */
static inline struct ap_schema help_schema(struct ap_arena *arena, const char *text)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_bytes) json = { 0 };
    assert_ok(ap_bytes_add_text(&json, "{\"type\":\"struct\",\"fields\":[", &err));
    char copy[2048];
    snprintf(copy, sizeof copy, "%s", text);
    char *at = copy;
    for (int i = 0; *at; i++) {
        size_t name = strcspn(at, " "), end = strcspn(at, ";");
        bool more = at[end] != 0, required = at[end - 1] == '!';
        at[name] = at[required ? end - 1 : end] = 0;
        assert_ok(ap_bytes_printf(&json, &err,
            "%s{\"name\":\"%s\",\"type\":\"%s\",\"nullable\":%s,\"metadata\":{}}", i ? "," : "", at,
            at + name + 1, required ? "false" : "true"));
        at += end + (more ? 1 : 0);
        while (*at == ' ') at++;
    }
    assert_ok(ap_bytes_add_text(&json, "]}", &err));
    struct ap_schema schema;
    assert_ok(ap_schema_parse(arena, ap_bytes_view(&json), &schema, &err));
    return schema;
}

/* Version 0: columns as in help_schema, at most two partition columns. */
static inline void help_create(
    struct ap_ledger *ledger, const char *columns, const char *partition, const char *partition2)
{
    struct apiary_error err = { 0 };
    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_str by[2] = { ap_str_from(partition), ap_str_from(partition2) };
    struct ap_table_spec spec = { .schema = help_schema(&arena, columns),
        .partition_by = by,
        .partition_count = (partition ? 1u : 0u) + (partition2 ? 1u : 0u) };
    struct ap_commit commit = { .spec = &spec, .data_change = true, .operation = "CREATE TABLE" };
    uint64_t version = 99;
    assert_ok(ap_ledger_commit(ledger, &commit, &version, NULL, &err));
    assert_int_equal(version, 0);
}

static inline struct ap_snapshot *help_snapshot(struct ap_ledger *ledger)
{
    struct apiary_error err = { 0 };
    struct ap_snapshot *snapshot = NULL;
    assert_ok(ap_ledger_snapshot(ledger, NULL, &snapshot, &err));
    return snapshot;
}

/* A blind append of one cell; returns the version. */
static inline uint64_t help_append(struct ap_ledger *ledger, struct ap_snapshot *base,
    const char *key, const char *value, const char *stats)
{
    struct apiary_error err = { 0 };
    struct ap_str values[1] = { ap_str_from(value) };
    if (!value) values[0].data = NULL;
    struct ap_new_cell cell = { .key = ap_str_from(key),
        .partition_values = values,
        .size_bytes = 100,
        .modified_ms = 5,
        .stats = ap_str_from(stats),
        .tags = AP_STR("") };
    struct ap_commit commit = {
        .base = base, .adds = &cell, .add_count = 1, .data_change = true, .operation = "WRITE"
    };
    uint64_t version = 0;
    assert_ok(ap_ledger_commit(ledger, &commit, &version, NULL, &err));
    return version;
}

static inline void help_put(struct ap_store *store, const char *key, const char *text)
{
    struct apiary_error err = { 0 };
    assert_ok(ap_store_put(store, key, ap_str_from(text), &err));
}

static inline void help_put_version(struct ap_store *store, uint64_t version, const char *text)
{
    char key[64];
    snprintf(key, sizeof key, "t/_delta_log/%020" PRIu64 ".json", version);
    help_put(store, key, text);
}

#endif
