/* FSCK [frame]: every object that is missing or damaged, by its key. Reads only.
 *
 * Behind what the ledger finds out (ledger/fsck.h): the footer of every Parquet file, and every value of
 * every cell, decoded by the engine. Cells are read many at a time; only where that fails one by one. */
#include "query/optimize.h"
#include "query/target.h"
#include "query/temporary.h"

#include "cells/footer.h"
#include "core/alloc.h"
#include "ledger/fsck.h"

#include <stdio.h>

enum { CELLS_AT_ONCE = 64 };

struct look {
    struct ap_session *session;
    struct ap_rows *rows;
    char frame[3 * AP_NAME_MAX + 4];
    size_t findings;
};

static enum apiary_code finding(
    void *context, const char *key, const char *problem, struct apiary_error *err)
{
    struct look *look = context;
    look->findings++;
    AP_TRY(ap_rows_text(look->rows, ap_str_from(look->frame), err));
    AP_TRY(ap_rows_text(look->rows, ap_str_from(key), err));
    return ap_rows_text(look->rows, ap_str_from(problem), err);
}

static bool is_failure_of_ours(enum apiary_code code)
{
    return code == APIARY_CANCELLED || code == APIARY_MEMORY || code == APIARY_TIMEOUT ||
           code == APIARY_BUSY || code == APIARY_INTERNAL || code == APIARY_INVALID;
}

/* A finding, or a failure that says nothing about the object. */
static enum apiary_code settle(struct look *look, const char *key, enum apiary_code code,
    const struct apiary_error *why, struct apiary_error *err)
{
    if (code == APIARY_OK) return APIARY_OK;
    if (!is_failure_of_ours(code)) return finding(look, key, why->message, err);
    if (err != NULL) *err = *why;
    return code;
}

/* ---- footers ---- */

static enum apiary_code read_footer(
    struct ap_store *store, const char *key, struct ap_footer *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) tail = { 0 };
    AP_AUTO(ap_bytes) metadata = { 0 };
    struct ap_object object = { 0 };
    uint64_t length = 0;
    AP_TRY(ap_store_get(
        store, key, (struct ap_range) { 0, AP_FOOTER_TAIL, true }, &tail, &object, err));
    AP_TRY(ap_footer_length(ap_bytes_view(&tail), object.size, &length, err));
    struct ap_range range = { object.size - AP_FOOTER_TAIL - length, length, false };
    AP_TRY(ap_store_get(store, key, range, &metadata, NULL, err));
    return ap_footer_parse(ap_bytes_view(&metadata), object.size, out, err);
}

/* rows: as the log says; -1 unknown. *fine: it is worth decoding. */
static enum apiary_code check_footer(struct look *look, struct ap_store *store, const char *key,
    int64_t rows, bool *fine, struct apiary_error *err)
{
    AP_AUTO(ap_footer) footer = { 0 };
    struct apiary_error why = { 0 };
    enum apiary_code code = read_footer(store, key, &footer, &why);
    *fine = false;
    if (code == APIARY_NOT_FOUND) return APIARY_OK; /* told already */
    if (code == APIARY_OK && rows >= 0 && footer.row_count != (uint64_t)rows)
        code = ap_fail(&why, APIARY_CORRUPT, "its footer says %llu rows, the log says %lld",
            (unsigned long long)footer.row_count, (long long)rows);
    *fine = code == APIARY_OK;
    return settle(look, key, code, &why, err);
}

/* ---- values ---- */

static enum apiary_code decode(struct look *look, const struct ap_target *target, const bool *keep,
    struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_AUTO(ap_bytes) rows = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_TRY(ap_source_resolve(look->session, (struct ap_str) { 0 }, NULL, &source, err));
    enum apiary_code code = ap_source_take(source, 0, err);
    if (code == APIARY_OK) code = ap_source_add_target(source, target, keep, &rows, err);
    if (code == APIARY_OK)
        code = ap_bytes_printf(&sql, err,
            "SELECT count(*), bit_xor(hash(apiary_rows)) FROM (" AP_FMT ") AS apiary_rows",
            AP_ARG(ap_bytes_view(&rows)));
    if (code == APIARY_OK) code = ap_source_ask(source, ap_bytes_view(&sql), NULL, &done, err);
    ap_source_close(source);
    return code;
}

static enum apiary_code key_of(const struct ap_target *target, size_t cell, struct ap_bytes *key,
    bool *ours, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) relative = { 0 };
    bool absolute = false;
    struct apiary_error why;
    ap_bytes_clear(key);
    *ours = false;
    if (ap_cell_key(&target->base->cells[cell], &relative, &absolute, &why) != APIARY_OK || absolute)
        return APIARY_OK; /* told already, or elsewhere */
    *ours = true;
    return ap_bytes_printf(key, err, "%s%s%s", target->prefix, *target->prefix ? "/" : "",
        ap_bytes_text(&relative));
}

/* Decodes the flagged ones of [first, end); one by one when they fail together. */
static enum apiary_code decode_range(struct look *look, const struct ap_target *target,
    const bool *fine, size_t first, size_t end, bool *keep, struct apiary_error *err)
{
    size_t count = 0, last = first;
    memset(keep, 0, target->base->cell_count * sizeof *keep);
    for (size_t i = first; i < end; i++) {
        keep[i] = fine[i];
        if (fine[i]) count++, last = i;
    }
    if (count == 0) return APIARY_OK;
    struct apiary_error why = { 0 };
    enum apiary_code code = decode(look, target, keep, &why);
    if (code == APIARY_OK) return APIARY_OK;
    if (count > 1 && !is_failure_of_ours(code)) {
        for (size_t i = first; i < end; i++)
            if (fine[i]) AP_TRY(decode_range(look, target, fine, i, i + 1, keep, err));
        return APIARY_OK;
    }
    AP_AUTO(ap_bytes) key = { 0 };
    bool ours = false;
    AP_TRY(key_of(target, last, &key, &ours, err));
    return settle(look, ap_bytes_text(&key), code, &why, err);
}

static enum apiary_code check_cells(
    struct look *look, const struct ap_target *target, struct apiary_error *err)
{
    size_t count = target->base->cell_count;
    AP_AUTO_FREE bool *fine = ap_calloc(count + 1, sizeof *fine);
    AP_AUTO_FREE bool *keep = ap_calloc(count + 1, sizeof *keep);
    AP_AUTO(ap_bytes) key = { 0 };
    if (fine == NULL || keep == NULL) return ap_fail_memory(err, "a frame's cells");
    for (size_t i = 0; i < count; i++) {
        bool ours = false;
        AP_TRY(key_of(target, i, &key, &ours, err));
        if (ours)
            AP_TRY(check_footer(look, target->store, ap_bytes_text(&key),
                target->base->cells[i].row_count, &fine[i], err));
    }
    for (size_t i = 0; i < count; i += CELLS_AT_ONCE)
        AP_TRY(decode_range(look, target, fine, i,
            i + CELLS_AT_ONCE < count ? i + CELLS_AT_ONCE : count, keep, err));
    return APIARY_OK;
}

/* ---- frames ---- */

static enum apiary_code check_frame(
    struct look *look, const struct ap_entry *entry, struct apiary_error *err)
{
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_texts) parquet = { 0 };
    const char *prefix = NULL;
    struct ap_fsck_report report = { finding, look };
    snprintf(look->frame, sizeof look->frame, "%s.%s.%s", entry->name.hive, entry->name.box,
        entry->name.frame);
    target.entry.name = entry->name;
    target.entry.location = ap_strdup(entry->location);
    AP_TRY(ap_frames_ledger(look->session->world->frames, entry, &target.ledger, &target.store,
        &prefix, err));
    target.prefix = ap_strdup(prefix);
    if (target.prefix == NULL || target.entry.location == NULL)
        return ap_fail_memory(err, "a frame");
    snprintf(target.name, sizeof target.name, "%s", look->frame);
    AP_TRY(ap_ledger_fsck(target.ledger, &report, &target.base, &parquet, err));
    for (size_t i = 0; i < parquet.count; i++) {
        bool fine = false;
        AP_TRY(check_footer(look, target.store, parquet.items[i], -1, &fine, err));
    }
    if (target.base == NULL) return APIARY_OK;
    target.metadata = target.base->metadata;
    return check_cells(look, &target, err);
}

static enum apiary_code check_hive(struct look *look, const char *hive, struct apiary_error *err)
{
    struct ap_catalog *catalog = look->session->world->catalog;
    struct apiary_error why = { 0 };
    AP_AUTO(ap_texts) boxes = { 0 };
    enum apiary_code code = ap_catalog_refresh(catalog, hive, &why);
    if (code != APIARY_OK) {
        snprintf(look->frame, sizeof look->frame, "%s", hive);
        return settle(look, "_registry", code, &why, err);
    }
    AP_TRY(ap_catalog_boxes(catalog, hive, &boxes, err));
    for (size_t i = 0; i < boxes.count; i++) {
        AP_AUTO(ap_entries) entries = { 0 };
        AP_TRY(ap_catalog_entries(catalog, hive, boxes.items[i], false, &entries, err));
        for (size_t j = 0; j < entries.count; j++)
            if (entries.items[j].kind == AP_ENTRY_FRAME)
                AP_TRY(check_frame(look, &entries.items[j], err));
    }
    return APIARY_OK;
}

static enum apiary_code check_store(struct look *look, struct apiary_error *err)
{
    struct ap_catalog *catalog = look->session->world->catalog;
    struct apiary_error why = { 0 };
    AP_AUTO(ap_texts) hives = { 0 };
    enum apiary_code code = ap_catalog_refresh(catalog, NULL, &why);
    if (code != APIARY_OK) return settle(look, "_registry", code, &why, err);
    AP_TRY(ap_catalog_hives(catalog, &hives, err));
    for (size_t i = 0; i < hives.count; i++) AP_TRY(check_hive(look, hives.items[i], err));
    return APIARY_OK;
}

static enum apiary_code check_named(
    struct ap_request *request, struct look *look, struct apiary_error *err)
{
    struct ap_name3 name = { 0 };
    AP_AUTO(ap_entry) entry = { 0 };
    AP_TRY(ap_names_find(request->session, &request->statement->name, &name, err));
    AP_TRY(ap_session_find(request->session, &name, &entry, err));
    if (entry.kind == AP_ENTRY_VIEW)
        return ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view: it has no objects", name.hive,
            name.box, name.frame);
    return check_frame(look, &entry, err);
}

enum apiary_code ap_run_fsck(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct look look = { .session = request->session };
    AP_TRY(ap_rows_new(&look.rows, err));
    enum apiary_code code = ap_rows_column(look.rows, "frame", AP_ROWS_TEXT, err);
    if (code == APIARY_OK) code = ap_rows_column(look.rows, "object", AP_ROWS_TEXT, err);
    if (code == APIARY_OK) code = ap_rows_column(look.rows, "problem", AP_ROWS_TEXT, err);
    if (code == APIARY_OK)
        code = request->statement->name.count > 0 ? check_named(request, &look, err)
                                                  : check_store(&look, err);
    if (code == APIARY_OK) code = ap_rows_finish(look.rows, result, err);
    ap_rows_free(look.rows);
    return code;
}
