/* CREATE FRAME: with columns, AS SELECT, or over a Delta table that is there already. */
#include "query/create.h"
#include "query/body.h"
#include "query/cluster.h"
#include "query/commit.h"
#include "query/spread_write.h"
#include "query/temporary.h"
#include "query/types.h"

#include "core/alloc.h"
#include "ledger/column_mapping.h"

enum { PROPERTIES_MAX = 256 };

/* ---- metadata ---- */

enum apiary_code ap_metadata_partition(struct ap_arena *arena, const struct ap_texts *partition_by,
    struct ap_metadata *metadata, struct apiary_error *err)
{
    AP_TRY(ap_schema_check(&metadata->schema, partition_by, err));
    size_t count = partition_by != NULL ? partition_by->count : 0;
    struct ap_str *names = ap_arena_alloc(arena, (count == 0 ? 1 : count) * sizeof *names);
    if (names == NULL) return ap_fail_memory(err, "a frame's partition columns");
    for (size_t i = 0; i < count; i++) {
        size_t column = ap_schema_find(&metadata->schema, ap_str_from(partition_by->items[i]));
        if (column == SIZE_MAX)
            return ap_fail(err, APIARY_SCHEMA, "there is no column \"%s\" to partition by",
                partition_by->items[i]);
        names[i] = metadata->schema.fields[column].name;
    }
    metadata->partition_by = names;
    metadata->partition_count = count;
    return APIARY_OK;
}

enum apiary_code ap_metadata_of_columns(struct ap_session *session, struct ap_arena *arena,
    const struct ap_described_list *columns, const struct ap_texts *partition_by, bool keep_names,
    struct ap_metadata *out, struct apiary_error *err)
{
    struct ap_field *fields =
        ap_arena_alloc(arena, (columns->count == 0 ? 1 : columns->count) * sizeof *fields);
    if (fields == NULL) return ap_fail_memory(err, "a frame's schema");
    for (size_t i = 0; i < columns->count; i++) {
        bool ok = true;
        const char *notice = NULL;
        struct ap_str name = ap_str_from(columns->items[i].name);
        fields[i] =
            (struct ap_field) { .nullable = true, .metadata = AP_STR("{}"), .field_id = -1 };
        fields[i].name = ap_arena_str(arena, name, &ok);
        if (!ok) return ap_fail_memory(err, "a frame's schema");
        AP_TRY(ap_type_from_engine(
            arena, name, ap_str_from(columns->items[i].type), &fields[i].type, &notice, err));
        if (notice != NULL)
            ap_session_notice(session, "column \"%s\": %s", columns->items[i].name, notice);
    }
    out->schema = (struct ap_schema) { fields, columns->count };
    if (ap_mapping_on(out) || (keep_names && ap_mapping_asked(&out->schema)))
        AP_TRY(ap_mapping_assign(session->world->env, arena, out, err));
    return ap_metadata_partition(arena, partition_by, out, err);
}

/* WITH (key = value, …) and TBLPROPERTIES. */
static enum apiary_code properties_of(const struct ap_statement *statement, struct ap_arena *arena,
    struct ap_metadata *out, struct apiary_error *err)
{
    size_t count = statement->option_count;
    if (count > PROPERTIES_MAX)
        return ap_fail(err, APIARY_LIMIT, "a frame has at most %d properties", PROPERTIES_MAX);
    struct ap_property *properties =
        ap_arena_alloc(arena, (count + 1) * sizeof *properties);
    if (properties == NULL) return ap_fail_memory(err, "a frame's properties");
    for (size_t i = 0; i < count; i++) {
        AP_AUTO(ap_tokens) tokens = { 0 };
        AP_AUTO(ap_bytes) value = { 0 };
        bool ok = true, also = true;
        AP_TRY(ap_lex(statement->options[i].value, &tokens, err));
        if (tokens.items[0].kind == AP_TOKEN_STRING)
            AP_TRY(ap_token_value(&tokens.items[0], &value, err));
        else
            AP_TRY(ap_bytes_add_str(&value, ap_str_trim(statement->options[i].value), err));
        properties[i].key = ap_arena_str(arena, ap_str_from(statement->options[i].name), &ok);
        properties[i].value = ap_arena_str(arena, ap_bytes_view(&value), &also);
        if (!ok || !also) return ap_fail_memory(err, "a frame's properties");
    }
    out->configuration = properties;
    out->configuration_count = count;
    return APIARY_OK;
}

/* CLUSTER BY, as a property: the columns have to be known. */
static enum apiary_code clustering_of(const struct ap_statement *statement, struct ap_arena *arena,
    struct ap_metadata *out, struct apiary_error *err)
{
    if (statement->cluster_by.count == 0) return APIARY_OK;
    AP_AUTO(ap_bytes) value = { 0 };
    bool ok = true;
    size_t count = out->configuration_count;
    struct ap_property *properties = ap_arena_alloc(arena, (count + 1) * sizeof *properties);
    if (properties == NULL) return ap_fail_memory(err, "a frame's properties");
    for (size_t i = 0; i < count; i++) properties[i] = out->configuration[i];
    AP_TRY(ap_cluster_value(out, &statement->cluster_by, &value, err));
    properties[count].key = AP_STR(AP_CLUSTER_PROPERTY);
    properties[count].value = ap_arena_str(arena, ap_bytes_view(&value), &ok);
    out->configuration = properties;
    out->configuration_count = count + 1;
    return ok ? APIARY_OK : ap_fail_memory(err, "a frame's properties");
}

/* Types as the user wrote them are read by the engine: DESCRIBE SELECT CAST(NULL AS type) AS
 * "name", … */
static enum apiary_code describe_columns(struct ap_source *source,
    const struct ap_statement *statement, struct ap_described_list *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(ap_bytes_add_text(&sql, "SELECT ", err));
    for (size_t i = 0; i < statement->column_count; i++) {
        const struct ap_column_definition *column = &statement->columns[i];
        if (column->refused.size > 0) {
            ap_fail(err, APIARY_UNSUPPORTED, "column \"%s\": " AP_FMT " is not supported",
                column->name, AP_ARG(column->refused));
            return ap_hint(err, "NOT NULL is the one constraint that a frame enforces");
        }
        AP_TRY(ap_bytes_printf(
            &sql, err, "%sCAST(NULL AS " AP_FMT ") AS ", i > 0 ? ", " : "", AP_ARG(column->type)));
        AP_TRY(ap_sql_name(&sql, ap_str_from(column->name), err));
    }
    return ap_source_describe(source, ap_bytes_view(&sql), NULL, out, err);
}

static enum apiary_code metadata_of_definitions(struct ap_session *session,
    const struct ap_statement *statement, struct ap_arena *arena, struct ap_metadata *out,
    struct apiary_error *err)
{
    struct ap_source *source = NULL;
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_TRY(ap_source_open(session, (struct ap_str) { 0 }, NULL, &source, err));
    ap_source_keep(source);
    enum apiary_code code = describe_columns(source, statement, &columns, err);
    ap_source_close(source);
    if (code != APIARY_OK) return code;
    AP_TRY(ap_metadata_of_columns(
        session, arena, &columns, &statement->partition_by, false, out, err));
    struct ap_field *fields =
        (struct ap_field *)(uintptr_t)out->schema.fields; /* made a moment ago, in our arena */
    for (size_t i = 0; i < statement->column_count && i < out->schema.field_count; i++) {
        fields[i].nullable = !statement->columns[i].not_null;
        if (statement->columns[i].comment == NULL) continue;
        AP_AUTO(ap_bytes) member = { 0 };
        AP_TRY(ap_bytes_add_text(&member, "\"comment\":", err));
        AP_TRY(ap_json_quote(&member, ap_str_from(statement->columns[i].comment), err));
        AP_TRY(ap_field_add_metadata(arena, &fields[i], ap_bytes_view(&member), err));
    }
    return APIARY_OK;
}

/* ---- the statement ---- */

/* Is it there already, by a look since then? */
static enum apiary_code already_there(struct ap_session *session, const struct ap_name3 *name,
    int64_t since_us, bool *there, struct apiary_error *err)
{
    struct ap_catalog *catalog = session->world->catalog;
    AP_AUTO(ap_entry) entry = { 0 };
    if (ap_name_temporary(name)) {
        *there = ap_temporary_has(session, name->frame);
        return APIARY_OK;
    }
    AP_TRY(ap_catalog_refresh_since(catalog, name->hive, since_us, err));
    *there = ap_catalog_find(catalog, name, &entry, NULL) == APIARY_OK;
    return APIARY_OK;
}

/* What a frame becomes when it is replaced: everything of its log but its versions. */
static struct ap_table_spec spec_of(const struct ap_target *target, const struct ap_metadata *metadata)
{
    return (struct ap_table_spec) { .schema = metadata->schema,
        .partition_by = metadata->partition_by,
        .partition_count = metadata->partition_count,
        .configuration = metadata->configuration,
        .configuration_count = metadata->configuration_count,
        .name = ap_str_from(target->entry.name.frame),
        .description = metadata->description };
}

/* CREATE [OR REPLACE] FRAME … (columns). */
static enum apiary_code create_empty(struct ap_request *request, const struct ap_name3 *name,
    bool replace, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_written) nothing = { 0 };
    struct ap_metadata metadata = { 0 };
    uint64_t version = 0;
    AP_TRY(properties_of(statement, &arena, &metadata, err));
    if (replace) {
        AP_TRY(ap_target_open(session, name, &target, err));
        AP_TRY(ap_mapping_keep(&arena, &target.metadata, &metadata, err));
    }
    AP_TRY(metadata_of_definitions(session, statement, &arena, &metadata, err));
    AP_TRY(clustering_of(statement, &arena, &metadata, err));
    if (statement->comment != NULL) metadata.description = ap_str_from(statement->comment);
    if (replace) {
        target.metadata = metadata;
        struct ap_table_spec spec = spec_of(&target, &metadata);
        struct ap_write_commit how = { .operation = "CREATE OR REPLACE TABLE", .replace_all = true, .spec = &spec };
        AP_TRY(ap_commit_written(session, &target, &nothing, &how, &version, err));
        return ap_result_message(result, err, "Created frame %s (version %llu).", target.name, (unsigned long long)version);
    }
    AP_TRY(ap_target_new(session, name, statement->location, &metadata, &target, err));
    AP_TRY(ap_target_create(session, &target, NULL, 0, "CREATE TABLE", NULL, err));
    return ap_result_message(result, err, "Created frame %s.", target.name);
}

/* CREATE FRAME … LOCATION: what is there is taken as it is, after a look at it. */
static enum apiary_code adopt(struct ap_request *request, const struct ap_name3 *name,
    struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    AP_AUTO(ap_target) target = { 0 };
    struct ap_metadata nothing = { 0 };
    AP_TRY(ap_target_new(session, name, request->statement->location, &nothing, &target, err));
    struct ap_snapshot *snapshot = NULL;
    enum apiary_code code = ap_ledger_snapshot(target.ledger, NULL, &snapshot, err);
    if (code == APIARY_NOT_FOUND) {
        ap_fail(
            err, APIARY_NOT_FOUND, "there is no Delta table at %s", request->statement->location);
        return ap_hint(err, "give column definitions to make a new one there");
    }
    if (code != APIARY_OK) return code;
    uint64_t version = snapshot->version;
    ap_snapshot_unref(snapshot);
    struct ap_new_entry entry = { .kind = AP_ENTRY_FRAME,
        .name = &target.entry.name,
        .location = target.entry.location,
        .external = true };
    AP_TRY(ap_catalog_register(session->world->catalog, &entry, err));
    return ap_result_message(result, err, "Created frame %s over the table at %s (version %llu).",
        target.name, target.entry.location, (unsigned long long)version);
}

/* Rows of the source into cells and the commit, here. */
static enum apiary_code write_here(struct ap_request *request, struct ap_target *target,
    struct ap_source *source, const struct ap_fitted *fitted, const struct ap_write_commit *how,
    int64_t *rows, struct apiary_error *err)
{
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    uint64_t version = 0;
    AP_TRY(ap_fitted_select(source, fitted, &select, err));
    AP_TRY(ap_source_take(source, 0, err));
    AP_TRY(ap_write_cells(
        source, target, ap_bytes_view(&select), request->query, true, &written, err));
    AP_TRY(ap_commit_written(request->session, target, &written, how, &version, err));
    *rows = written.rows;
    return APIARY_OK;
}

/* CREATE [OR REPLACE] FRAME … AS body. plan: NULL, or that of the body: other nodes take part. */
static enum apiary_code create_as(struct ap_request *request, const struct ap_name3 *name,
    bool replace, struct ap_source *source, struct ap_plan *plan, struct ap_result *result,
    struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    __attribute__((cleanup(ap_fitted_done))) struct ap_fitted fitted = { 0 };
    struct ap_metadata metadata = { 0 };
    if (plan != NULL)
        AP_TRY(ap_plan_columns(plan, &columns, err));
    else
        AP_TRY(ap_source_describe(
            source, ap_bytes_view(&source->sql), request->query, &columns, err));
    ap_source_rest(source); /* the ledger may need a chamber */
    AP_TRY(properties_of(statement, &arena, &metadata, err));
    if (replace) {
        AP_TRY(ap_target_open(session, name, &target, err));
        AP_TRY(ap_mapping_keep(&arena, &target.metadata, &metadata, err));
    }
    AP_TRY(ap_metadata_of_columns(
        session, &arena, &columns, &statement->partition_by, false, &metadata, err));
    AP_TRY(clustering_of(statement, &arena, &metadata, err));
    if (statement->comment != NULL) metadata.description = ap_str_from(statement->comment);
    if (replace)
        target.metadata = metadata;
    else
        AP_TRY(ap_target_new(session, name, statement->location, &metadata, &target, err));

    struct ap_fit fit = { .columns = &columns };
    AP_TRY(ap_fitted_make(session, &target, &fit, &fitted, err));
    struct ap_table_spec spec = spec_of(&target, &metadata);
    bool reads = false;
    AP_TRY(ap_reads_base(source, &target, &reads, err));
    struct ap_write_commit how = { .operation = replace ? "CREATE OR REPLACE TABLE AS SELECT"
                                                        : "CREATE TABLE AS SELECT",
        .replace_all = replace,
        .spec = replace ? &spec : NULL,
        .reads_target = reads };
    struct ap_plan_wrote wrote = { 0 };
    struct ap_write_spread spread = { .target = &target,
        .how = &how,
        .head = ap_bytes_view(&fitted.head),
        .tail = ap_bytes_view(&fitted.tail) };
    AP_TRY(plan != NULL
               ? ap_write_spread_run(session, plan, &spread, &wrote, err)
               : write_here(request, &target, source, &fitted, &how, &wrote.rows, err));
    result->rows_changed = wrote.rows;
    return ap_result_message(result, err, "Created frame %s with %lld row%s.", target.name,
        (long long)wrote.rows, wrote.rows == 1 ? "" : "s");
}

static enum apiary_code create_frame(struct ap_request *request, const struct ap_name3 *name,
    bool there, struct ap_result *result, struct apiary_error *err)
{
    const struct ap_statement *statement = request->statement;
    if (statement->body.size == 0) {
        bool replace = there && statement->flags.or_replace;
        if (replace && (statement->column_count == 0 || statement->location != NULL)) {
            ap_fail(err, APIARY_UNSUPPORTED, "OR REPLACE makes a new version of the frame where it is, and takes no LOCATION");
            return ap_hint(err, "drop the frame first");
        }
        return statement->column_count > 0 ? create_empty(request, name, replace, result, err)
                                           : adopt(request, name, result, err);
    }
    struct ap_source *source = NULL;
    struct ap_plan *plan = NULL;
    AP_TRY(ap_body_open(request, statement->location != NULL || ap_name_temporary(name), &source, &plan, err));
    enum apiary_code code =
        create_as(request, name, there && statement->flags.or_replace, source, plan, result, err);
    ap_source_close(source);
    ap_plan_free(plan);
    return code;
}

/* Another one's creation is seen in two steps: its ledger first, then its name. */
static enum apiary_code wait_for_other(
    struct ap_session *session, const struct ap_name3 *name, bool *there, struct apiary_error *err)
{
    enum { LOOKS_MAX = 40, LOOK_US = 50000 };
    for (int i = 0; i < LOOKS_MAX; i++) {
        AP_TRY(already_there(session, name, ap_mono_us(session->world->env), there, err));
        if (*there || ap_cancel_requested(&session->cancel)) return APIARY_OK;
        ap_sleep_us(session->world->env, LOOK_US);
    }
    return APIARY_OK;
}

static enum apiary_code name_of_new(struct ap_session *session,
    const struct ap_statement *statement, struct ap_name3 *out, struct apiary_error *err)
{
    AP_TRY(ap_names_complete(session, &statement->name, AP_NAME_FRAME, out, err));
    if (statement->flags.temporary) {
        if (statement->name.count > 1 && !ap_name_temporary(out))
            return ap_fail(err, APIARY_SQL, "a temporary frame lies in no box: its name has one part");
        snprintf(out->hive, sizeof out->hive, "temp");
        snprintf(out->box, sizeof out->box, "main");
    } else if (ap_name_temporary(out)) {
        ap_fail(err, APIARY_INVALID, "hive temp is kept for temporary frames");
        return ap_hint(err, "CREATE TEMP FRAME %s", out->frame);
    }
    if (statement->flags.temporary && statement->location != NULL)
        return ap_fail(err, APIARY_SQL, "a temporary frame has no LOCATION: it ends with the session");
    return APIARY_OK;
}

enum apiary_code ap_run_create_frame(
    struct ap_request *request, struct ap_result *result, struct apiary_error *err)
{
    struct ap_session *session = request->session;
    const struct ap_statement *statement = request->statement;
    struct ap_name3 name = { 0 };
    struct apiary_error why = { 0 };
    bool there = false, or_there = statement->flags.if_not_exists;
    AP_TRY(name_of_new(session, statement, &name, err));
    AP_TRY(already_there(session, &name, session->begun_us, &there, err));
    if (!there || !or_there) {
        enum apiary_code code = create_frame(request, &name, there, result, &why);
        if (code == APIARY_EXISTS && or_there) AP_TRY(wait_for_other(session, &name, &there, err));
        bool lost = code == APIARY_EXISTS && or_there && there;
        if (!lost && err != NULL) *err = why;
        if (!lost) return code;
    }
    ap_session_notice(session, "frame %s.%s.%s is there already; nothing was done", name.hive,
        name.box, name.frame);
    return APIARY_OK;
}
