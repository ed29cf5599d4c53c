/* What the names of a text mean: AT, scans with their pruned cells, tables of the caller, views, files. */
#include "query/resolve_private.h"
#include "query/looks.h"
#include "query/temporary.h"

#include "core/alloc.h"

enum { SCANS_MAX = 4096 };

/* ---- AT ---- */

enum apiary_code ap_at_by_engine(struct ap_source *source, bool is_version,
    struct ap_str expression, const struct apiary_query *query, struct ap_at *out,
    struct apiary_error *err)
{
    int64_t number = 0;
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_AUTO_JSON *answer = NULL;
    AP_TRY(ap_bytes_printf(&sql, err,
        is_version ? "SELECT CAST((" AP_FMT ") AS BIGINT)"
                   : "SELECT epoch_us(CAST((" AP_FMT ") AS TIMESTAMPTZ))",
        AP_ARG(expression)));
    AP_TRY(ap_source_ask(source, ap_bytes_view(&sql), query, &done, err));
    AP_TRY(ap_json_parse(ap_bytes_view(&done), "a chamber's answer", &answer, err));
    yyjson_val *value = yyjson_arr_get_first(
        yyjson_arr_get_first(ap_json_member(yyjson_doc_get_root(answer), "rows")));
    if (!yyjson_is_str(value) ||
        !ap_str_to_i64((struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) }, &number))
        return ap_fail(err, APIARY_SQL, "the AT clause does not give a version or a time");
    if (is_version && number < 0)
        return ap_fail(err, APIARY_SQL, "versions begin at 0, not %lld", (long long)number);
    *out = is_version
               ? (struct ap_at) { .kind = AP_AT_VERSION, .version = (uint64_t)number }
               : (struct ap_at) { .kind = AP_AT_TIME,
                     .time_ms = number / 1000 - (number % 1000 < 0) };
    return APIARY_OK;
}

/* The text of the expression in AT (WORD => expression) behind the reference at `offset`. */
static bool at_text(
    const struct ap_tokens *tokens, struct ap_str text, size_t offset, struct ap_str *out)
{
    size_t at = ap_token_at(tokens, offset);
    for (; at != SIZE_MAX && tokens->items[at].kind != AP_TOKEN_END; at++) {
        if (!ap_token_is(&tokens->items[at], "AT") || !ap_token_is(&tokens->items[at + 1], "("))
            continue;
        int depth = tokens->items[at + 1].depth;
        size_t start = at + 2;
        while (
            tokens->items[start].kind != AP_TOKEN_END && !ap_token_is(&tokens->items[start], "=>"))
            start++;
        size_t end = start;
        while (tokens->items[end].kind != AP_TOKEN_END &&
               !(ap_token_is(&tokens->items[end], ")") && tokens->items[end].depth == depth))
            end++;
        if (tokens->items[start].kind == AP_TOKEN_END || tokens->items[end].kind == AP_TOKEN_END)
            return false;
        size_t from = tokens->items[start].offset + tokens->items[start].text.size;
        *out = ap_str_trim((struct ap_str) { text.data + from, tokens->items[end].offset - from });
        return true;
    }
    return false;
}

static enum apiary_code at_of(struct ap_analysis *analysis, const struct ap_table_ref *ref,
    struct ap_at *out, struct apiary_error *err)
{
    *out = (struct ap_at) { .kind = AP_AT_NEWEST };
    if (!ref->at_version && !ref->at_time) return APIARY_OK;
    struct ap_str expression = { 0 };
    if (!at_text(&analysis->tokens, analysis->text, ref->query_location, &expression))
        return ap_fail(err, APIARY_SQL, "the AT clause of \"" AP_FMT "\" cannot be read",
            AP_ARG(ref->parts[2]));
    int64_t number = 0;
    if (ref->at_version && ap_str_to_i64(expression, &number) &&
        number >= 0) { /* the usual case needs no engine */
        *out = (struct ap_at) { .kind = AP_AT_VERSION, .version = (uint64_t)number };
        return APIARY_OK;
    }
    return ap_at_by_engine(
        analysis->source, ref->at_version, expression, analysis->query, out, err);
}

/* ---- scans ---- */

static bool same_at(const struct ap_at *a, const struct ap_at *b)
{
    return a->kind == b->kind &&
           (a->kind == AP_AT_NEWEST || (a->kind == AP_AT_VERSION && a->version == b->version) ||
               (a->kind == AP_AT_TIME && a->time_ms == b->time_ms));
}

/* Pins the frame's snapshot; *entry is taken. All cells are dropped until a reference wants them.
 */
enum apiary_code ap_resolve_scan(struct ap_source *source, struct ap_entry *entry,
    const struct ap_at *at, size_t *index, struct apiary_error *err)
{
    for (size_t i = 0; i < source->scan_count; i++)
        if (strcmp(source->scans[i].entry.id.text, entry->id.text) == 0 &&
            same_at(&source->scans[i].at, at)) {
            *index = i;
            return APIARY_OK;
        }
    if (source->scan_count >= SCANS_MAX)
        return ap_fail(err, APIARY_LIMIT, "a statement may name at most %d frames", SCANS_MAX);
    AP_TRY(AP_GROW(source->scans, source->scan_capacity, source->scan_count + 1, err));
    struct ap_scan scan = { .at = *at };
    AP_TRY(ap_frames_ledger(
        source->session->world->frames, entry, &scan.ledger, &scan.store, &scan.prefix, err));
    AP_TRY(ap_ledger_snapshot_since(
        scan.ledger, at, source->session->begun_us, &scan.snapshot, err));
    size_t count = scan.snapshot->cell_count;
    scan.reasons = ap_calloc(count == 0 ? 1 : count, sizeof *scan.reasons);
    AP_AUTO(ap_bytes) view = { 0 };
    struct ap_name3 name = entry->name;
    enum apiary_code code =
        scan.reasons == NULL ? ap_fail_memory(err, "a frame's cells") : APIARY_OK;
    if (code == APIARY_OK && at->kind == AP_AT_NEWEST)
        code = ap_engine_name(&name, &view, err);
    else if (code ==
             APIARY_OK) /* its own view beside the newest one; names cannot hold a dot or @ */
        code = ap_bytes_printf(&view, err, "\"memory\".\"main\".\"%s.%s.%s@%llu\"", name.hive,
            name.box, name.frame, (unsigned long long)scan.snapshot->version);
    if (code == APIARY_OK) code = ap_bytes_take_text(&view, &scan.view, err);
    if (code != APIARY_OK) {
        ap_snapshot_unref(scan.snapshot);
        ap_free(scan.reasons);
        return code;
    }
    for (size_t i = 0; i < count; i++) scan.reasons[i] = AP_DROPPED_STATISTICS;
    scan.entry = AP_TAKE(*entry);
    *index = source->scan_count;
    source->scans[source->scan_count++] = scan;
    return APIARY_OK;
}

/* Keeps what this reference needs too; a reason for dropping stays that of the first reference. */
enum apiary_code ap_resolve_prune(
    struct ap_scan *scan, const struct ap_predicate *predicate, struct apiary_error *err)
{
    size_t count = scan->snapshot->cell_count;
    if (count == 0) return APIARY_OK;
    AP_AUTO_FREE enum ap_prune_reason *reasons = ap_calloc(count, sizeof *reasons);
    if (reasons == NULL) return ap_fail_memory(err, "pruning");
    if (predicate != NULL) ap_prune(scan->snapshot, predicate, reasons);
    for (size_t i = 0; i < count; i++) {
        if (scan->reasons[i] == AP_KEPT) continue;
        scan->reasons[i] = reasons[i];
        if (reasons[i] != AP_KEPT) continue;
        scan->kept++;
        scan->kept_bytes += (uint64_t)scan->snapshot->cells[i].size_bytes;
    }
    return APIARY_OK;
}

/* ---- references ---- */

static enum apiary_code complete_name(const struct ap_analysis *analysis,
    const struct ap_table_ref *ref, struct ap_name3 *out, struct apiary_error *err)
{
    struct ap_str hive = ref->parts[0].size > 0 ? ref->parts[0] : ap_str_from(analysis->home->hive);
    struct ap_str box = ref->parts[1].size > 0 ? ref->parts[1] : ap_str_from(analysis->home->box);
    struct ap_str frame = ref->parts[2];
    if (hive.size > AP_NAME_MAX || box.size > AP_NAME_MAX || frame.size > AP_NAME_MAX)
        return ap_fail(err, APIARY_NOT_FOUND, "no frame can have so long a name as \"" AP_FMT "\"",
            (int)AP_NAME_MAX, frame.data);
    snprintf(out->hive, sizeof out->hive, AP_FMT, AP_ARG(hive));
    snprintf(out->box, sizeof out->box, AP_FMT, AP_ARG(box));
    snprintf(out->frame, sizeof out->frame, AP_FMT, AP_ARG(frame));
    bool alone = ref->parts[0].size + ref->parts[1].size == 0;
    if (alone && !analysis->from_catalogue &&
        ap_temporary_has(analysis->source->session, out->frame)) {
        snprintf(out->hive, sizeof out->hive, "temp");
        snprintf(out->box, sizeof out->box, "main");
    }
    if (analysis->from_catalogue && ap_name_temporary(out)) /* the text is anybody's */
        return ap_fail(err, APIARY_NOT_FOUND, "no frame temp.%s.%s", out->box, out->frame);
    return APIARY_OK;
}

/* The engine's own views of itself. */
static bool is_engine_name(const struct ap_table_ref *ref)
{
    static const char *const names[] = { "sqlite_master", "sqlite_schema", "duckdb_tables",
        "duckdb_views", "duckdb_columns", "duckdb_schemas", "duckdb_databases", "duckdb_types",
        "duckdb_constraints", "duckdb_indexes", "duckdb_logs", "pragma_database_list", "pg_tables",
        "pg_class", "pg_namespace", "pg_attribute", "pg_type", "pg_database" };
    if (ap_str_equal_nocase(ref->parts[1], AP_STR("information_schema")) ||
        ap_str_equal_nocase(ref->parts[1], AP_STR("pg_catalog")))
        return true;
    if (ref->parts[0].size + ref->parts[1].size > 0) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (ap_str_equal_nocase(ref->parts[2], ap_str_from(names[i]))) return true;
    return false;
}

/* A table that the caller brought is moved into the source by the statement that names it. */
static enum apiary_code take_input(struct ap_analysis *analysis, const struct ap_table_ref *ref,
    bool *found, struct apiary_error *err)
{
    struct ap_source *source = analysis->source;
    *found = false;
    if (analysis->query == NULL || ref->parts[0].size + ref->parts[1].size > 0) return APIARY_OK;
    for (size_t i = 0; i < source->input_count; i++)
        if (ap_str_equal_nocase(ref->parts[2], ap_str_from(source->input_names[i]))) *found = true;
    for (size_t i = 0; !*found && i < analysis->query->table_count; i++) {
        const struct apiary_table *table = &analysis->query->tables[i];
        if (!ap_str_equal_nocase(ref->parts[2], ap_str_from(table->name))) continue;
        if (table->stream->release == NULL)
            return ap_fail(err, APIARY_INVALID, "table %s was read by an earlier statement already",
                table->name);
        AP_TRY(ap_source_add_input(source, table->name, table->stream, err));
        *found = true;
    }
    return APIARY_OK;
}

/* A short name that the catalogue does not know: the caller may have a table of it. `code` and err
 * are the catalogue's failure, which stands when the caller has none. */
static enum apiary_code ask_caller(struct ap_analysis *analysis, const struct ap_table_ref *ref, enum apiary_code code,
    bool *found, struct apiary_error *err)
{
    const struct apiary_query *query = analysis->query;
    *found = false;
    if (code != APIARY_NOT_FOUND || query == NULL || query->find_table == NULL || analysis->from_catalogue) return code;
    if (ref->parts[0].size + ref->parts[1].size > 0 || ref->at_version || ref->at_time) return code;
    char name[AP_NAME_MAX + 1];
    if (ref->parts[2].size >= sizeof name) return code;
    snprintf(name, sizeof name, AP_FMT, AP_ARG(ref->parts[2]));
    struct ArrowArrayStream stream = { 0 };
    if (!query->find_table(query->find_context, name, &stream)) return code;
    ap_error_clear(err);
    code = ap_source_add_input(analysis->source, name, &stream, err);
    if (code != APIARY_OK && stream.release != NULL) stream.release(&stream);
    *found = code == APIARY_OK;
    return code;
}

/* One request for each hive and each frame that the text names, all at once. What a name means is
 * guessed by what was known before: resolving goes by the answers, and asks where the guess was wrong.
 */
void ap_resolve_look(struct ap_analysis *analysis)
{
    const struct ap_tree_names *names = &analysis->names;
    AP_AUTO(ap_looks) looks = { 0 };
    const struct ap_session *session = analysis->source->session;
    ap_looks_begin(&looks, session->world, session->begun_us);
    for (size_t i = 0; i < names->table_count; i++) {
        struct ap_name3 name;
        if (is_engine_name(&names->tables[i])) continue;
        if (complete_name(analysis, &names->tables[i], &name, NULL) != APIARY_OK) continue;
        ap_looks_add(&looks, &name);
    }
    ap_looks_end(&looks);
}

enum apiary_code ap_resolve_reference(struct ap_analysis *analysis, const struct ap_table_ref *ref,
    struct ap_reference *target, struct apiary_error *err)
{
    struct ap_session *session = analysis->source->session;
    bool input = false;
    AP_TRY(take_input(analysis, ref, &input, err));
    if (input) {
        target->kind = AP_REFERENCE_INPUT;
        return APIARY_OK;
    }
    bool short_name = ref->parts[0].size + ref->parts[1].size == 0;
    if (short_name && !analysis->from_catalogue &&
        ap_session_replayed(session, AP_OBJECT_VIEW, ref->parts[2]) != NULL) {
        target->kind = AP_REFERENCE_TEMP_VIEW;
        return APIARY_OK;
    }
    if (is_engine_name(ref)) {
        target->kind = AP_REFERENCE_ENGINE;
        return APIARY_OK;
    }
    struct ap_name3 name;
    AP_TRY(complete_name(analysis, ref, &name, err));
    AP_AUTO(ap_entry) entry = { 0 };
    enum apiary_code code = ap_session_find_since(session, &name, session->begun_us, &entry, err);
    if (code != APIARY_OK) {
        code = ask_caller(analysis, ref, code, &input, err);
        if (input) target->kind = AP_REFERENCE_INPUT;
        return code;
    }
    if (entry.kind == AP_ENTRY_VIEW) {
        if (ref->at_version || ref->at_time)
            return ap_fail(err, APIARY_UNSUPPORTED, "%s.%s.%s is a view: AT works on frames",
                name.hive, name.box, name.frame);
        target->kind = AP_REFERENCE_VIEW;
        target->entry = AP_TAKE(entry);
        return APIARY_OK;
    }
    struct ap_at at;
    AP_TRY(at_of(analysis, ref, &at, err));
    target->kind = AP_REFERENCE_FRAME;
    return ap_resolve_scan(analysis->source, &entry, &at, &target->scan, err);
}

bool ap_resolve_has_column(void *context, size_t table, struct ap_str column)
{
    struct ap_analysis *analysis = context;
    const struct ap_reference *target = &analysis->targets[table];
    if (target->kind != AP_REFERENCE_FRAME) return false;
    if (column.size == 0) return true; /* asked whether its columns are known */
    return ap_schema_find(&analysis->source->scans[target->scan].snapshot->metadata.schema,
               column) != SIZE_MAX;
}

/* Must the engine see another name than the one that stands in the text? */
static bool must_splice(const struct ap_analysis *analysis, size_t index)
{
    const struct ap_table_ref *ref = &analysis->names.tables[index];
    const struct ap_reference *target = &analysis->targets[index];
    if (target->kind == AP_REFERENCE_FRAME &&
        ap_name_temporary(&analysis->source->scans[target->scan].entry.name))
        return true;
    if (ref->at_version || ref->at_time || analysis->from_catalogue) return true;
    if (ref->parts[0].size > 0) return ap_str_equal_nocase(ref->parts[0], AP_STR("main"));
    /* box.frame where a catalog of the engine has the box's name */
    return ref->parts[1].size > 0 &&
           (ap_str_equal_nocase(ref->parts[1], ap_str_from(analysis->home->hive)) ||
               ap_str_equal_nocase(ref->parts[1], AP_STR("memory")));
}

/* Notes the whole name for a text that is to be stored (CREATE VIEW). */
enum apiary_code ap_resolve_qualify(struct ap_analysis *analysis, const struct ap_table_ref *ref,
    const struct ap_name3 *name, struct apiary_error *err)
{
    if (analysis->depth > 0 || ref->query_location == SIZE_MAX) return APIARY_OK;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_sql_name(&text, ap_str_from(name->hive), err));
    AP_TRY(ap_bytes_add_text(&text, ".", err));
    AP_TRY(ap_sql_name(&text, ap_str_from(name->box), err));
    AP_TRY(ap_bytes_add_text(&text, ".", err));
    AP_TRY(ap_sql_name(&text, ap_str_from(name->frame), err));
    return ap_splice_name(&analysis->qualified, &analysis->tokens, ref->query_location,
        ap_bytes_view(&text), NULL, err);
}

enum apiary_code ap_resolve_splice(
    struct ap_analysis *analysis, size_t index, struct ap_str engine_name, struct apiary_error *err)
{
    const struct ap_table_ref *ref = &analysis->names.tables[index];
    if (!must_splice(analysis, index)) return APIARY_OK;
    if (ref->query_location == SIZE_MAX)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "the name \"" AP_FMT "\" must be written in three parts here", AP_ARG(ref->parts[2]));
    struct ap_str alias = ref->alias.size > 0 ? (struct ap_str) { 0 } : ref->parts[2];
    if (!ref->at_version && !ref->at_time) alias.size = 0; /* its last part is the same */
    return ap_splice_reference(
        &analysis->splice, &analysis->tokens, ref->query_location, engine_name, alias, err);
}
