/* Files into frames: apiary_import and COPY … FROM. Types are those that the engine infers, or
 * those of the frame where it is there already. */
#include "query/commit.h"
#include "query/create.h"
#include "query/files.h"
#include "query/import.h"
#include "query/remote_files.h"
#include "query/resolve.h"
#include "query/temporary.h"
#include "query/types.h"
#include "query/write.h"

#include "core/alloc.h"
#include "storage/web.h"

static const struct {
    const char *format, *reader, *options;
} readers[] = { { "csv", "read_csv", "" }, { "tsv", "read_csv", ", delim = '\t'" },
    { "json", "read_json", "" }, { "jsonl", "read_json", ", format = 'newline_delimited'" },
    { "ndjson", "read_json", ", format = 'newline_delimited'" },
    { "parquet", "read_parquet", "" } };

static enum apiary_code find_reader(
    const char *format, const char *path, size_t *index, struct apiary_error *err)
{
    char ending[32] = "";
    if (format == NULL) { /* by the name: x.csv, x.csv.gz */
        struct ap_str name = ap_str_from(path);
        if (ap_str_ends_with(name, AP_STR(".gz")))
            name.size -= 3;
        else if (ap_str_ends_with(name, AP_STR(".zst")))
            name.size -= 4;
        size_t at = name.size;
        while (at > 0 && name.data[at - 1] != '.' && name.data[at - 1] != '/') at--;
        snprintf(ending, sizeof ending, AP_FMT, (int)(name.size - at), name.data + at);
        format = ending;
    }
    for (size_t i = 0; i < sizeof readers / sizeof *readers; i++)
        if (strcasecmp(readers[i].format, format) == 0) {
            *index = i;
            return APIARY_OK;
        }
    ap_fail(err, APIARY_INVALID, "cannot tell the format of %s", path);
    return ap_hint(err, "say it: format csv, json, jsonl or parquet");
}

/* The engine reads CSV through buffers of 32 MB, several at a time: more than the budget of a small
 * bee. These hold the longest line that it takes; larger ones were not faster. */
enum { CSV_BUFFER_BYTES = 2200000 };

static bool chooses_buffers(const char *options)
{
    return options != NULL && (strcasestr(options, "buffer_size") != NULL ||
                                  strcasestr(options, "max_line_size") != NULL);
}

enum apiary_code ap_import_reader(struct ap_source *source, const struct ap_import_source *what,
    struct ap_bytes *out, struct apiary_error *err)
{
    if (!ap_config_bool(&source->session->config, AP_CONFIG_local_files))
        return ap_fail(
            err, APIARY_DENIED, "this reads files of the machine, which local_files = off forbids");
    AP_AUTO(ap_texts) files = { 0 };
    AP_AUTO(ap_texts) names = { 0 };
    AP_AUTO(ap_bytes) first = { 0 }; /* its name tells the format */
    struct ap_str path = ap_str_from(what->paths[0]);
    bool remote = ap_files_remote(path);
    if (remote) {
        AP_TRY(ap_remote_shown(ap_remote_plain(path), &first, err));
    } else {
        AP_TRY(ap_files_expand(path, &files, err));
        AP_TRY(ap_bytes_add_text(&first, files.items[0], err));
    }
    size_t reader = 0;
    AP_TRY(find_reader(what->format, ap_bytes_text(&first), &reader, err));
    bool parquet = strcmp(readers[reader].reader, "read_parquet") == 0;
    for (size_t i = 0; i < what->path_count; i++)
        AP_TRY(ap_files_allow(source, ap_str_from(what->paths[i]), parquet, &names, err));
    AP_TRY(ap_cell_set_fetch(source->cells, err));
    AP_TRY(ap_bytes_printf(out, err, "%s(", readers[reader].reader));
    AP_TRY(ap_files_list(&names, out, err));
    bool csv = strcmp(readers[reader].format, "csv") == 0;
    char delimiter =
        csv && what->options == NULL && !remote ? ap_csv_delimiter(files.items[0]) : '\0';
    if (delimiter != '\0')
        AP_TRY(ap_bytes_printf(
            out, err, ", delim = '%c', quote = '\"', skip = 0, null_padding = false", delimiter));
    if (strcmp(readers[reader].reader, "read_csv") == 0 && !chooses_buffers(what->options))
        AP_TRY(ap_bytes_printf(out, err, ", buffer_size = %d", CSV_BUFFER_BYTES));
    /* Values of folders are no columns of a file that is imported, unless they are asked for. */
    if (what->options == NULL || strstr(what->options, "hive_partitioning") == NULL)
        AP_TRY(ap_bytes_add_text(out, ", hive_partitioning = false", err));
    return ap_bytes_printf(out, err, "%s%s%s", readers[reader].options,
        names.count > 1 ? ", union_by_name = true" : "",
        what->options != NULL ? what->options : "");
}

/* Characters that a frame's column name cannot hold become '_'; names that the frame has are fine. */
static bool mend_names(struct ap_session *session, const struct ap_schema *schema,
    struct ap_described_list *columns)
{
    bool mended = false;
    for (size_t i = 0; i < columns->count; i++) {
        char *name = columns->items[i].name;
        AP_AUTO_FREE char *before = ap_strdup(name);
        if (ap_name_forbidden(ap_str_from(name)) == 0 ||
            ap_schema_find(schema, ap_str_from(name)) != SIZE_MAX)
            continue;
        mended = true;
        for (char *at = name; *at != '\0'; at++)
            if (ap_name_forbidden((struct ap_str) { at, 1 }) != 0) *at = '_';
        if (before != NULL)
            ap_session_notice(session, "column \"%s\" is called \"%s\"", before, name);
    }
    return mended;
}

/* CSV columns that came out as another type than the frame's are read as the frame's: so that a bad
 * value is told with its line. */
static enum apiary_code frame_types(const struct ap_target *target,
    const struct ap_described_list *columns, struct ap_bytes *out, struct apiary_error *err)
{
    size_t given = 0;
    for (size_t i = 0; i < columns->count; i++) {
        size_t at = ap_schema_find(&target->metadata.schema, ap_str_from(columns->items[i].name));
        if (at == SIZE_MAX) continue;
        const struct ap_type *type = &target->metadata.schema.fields[at].type;
        if (ap_type_widens(ap_str_from(columns->items[i].type), type)) continue;
        AP_AUTO(ap_bytes) text = { 0 };
        AP_TRY(ap_type_to_engine(type, &text, err));
        AP_TRY(ap_bytes_add_text(out, given++ == 0 ? ", types = {" : ", ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(columns->items[i].name), err));
        AP_TRY(ap_bytes_printf(out, err, ": '%s'", ap_bytes_text(&text)));
    }
    return given > 0 ? ap_bytes_add_text(out, "}", err) : APIARY_OK;
}

/* ---- by all nodes ---- */

/* The files as a query that was typed. */
static enum apiary_code as_query(struct ap_source *source, struct ap_str reader, struct apiary_error *err)
{
    ap_source_rest(source); /* a ledger may need the chamber */
    ap_texts_done(&source->setup);
    ap_texts_done(&source->undo);
    ap_bytes_clear(&source->sql);
    AP_TRY(ap_bytes_printf(&source->sql, err, "SELECT * FROM " AP_FMT ")", AP_ARG(reader)));
    AP_TRY(ap_source_tree(source, ap_bytes_view(&source->sql), &source->tree, err));
    return source->tree == NULL ? APIARY_OK : ap_tree_names(&source->arena, source->tree, &source->names, err);
}

static enum apiary_code run_shared(const struct ap_import_share *share, struct ap_plan *plan,
    struct ap_plan_wrote *wrote, struct apiary_error *err)
{
    __attribute__((cleanup(ap_fitted_done))) struct ap_fitted fitted = { 0 };
    struct ap_session *session = share->source->session;
    AP_TRY(ap_fitted_make(session, share->target, share->fit, &fitted, err));
    struct ap_write_spread spread = { .target = share->target, .how = share->how,
        .head = ap_bytes_view(&fitted.head), .tail = ap_bytes_view(&fitted.tail) };
    return ap_write_spread_run(session, plan, &spread, wrote, err);
}

/* What leaves the files to this node; NULL: nothing that can be told without a plan. */
static const char *alone_reason(const struct ap_import_share *share)
{
    const struct ap_source *source = share->source;
    const char *why = NULL;
    if (ap_name_temporary(&share->target->entry.name)) return "it is a temporary frame";
    if (source->session->handover != NULL) return NULL; /* whoever is there then */
    if (source->named_count == 1) return "one node reads a file that is alone";
    /* Last: it asks the store. */
    return ap_write_shared(source->session, ap_spread_bytes(source), &why) ? NULL : why;
}

enum apiary_code ap_import_spread(const struct ap_import_share *share, struct ap_plan_wrote *wrote,
    size_t *tasks, struct apiary_error *err)
{
    struct ap_source *source = share->source;
    struct ap_session *session = source->session;
    AP_AUTO(ap_plan_made) made = { 0 };
    struct ap_plan_wish wish = ap_plan_wish_of_tests();
    wish.columns = share->columns;
    bool forced = strcmp(ap_config_text(&session->config, AP_CONFIG_distributed), "force") == 0;
    const char *why = alone_reason(share);
    *tasks = 0;
    if (why == NULL) {
        AP_TRY(as_query(source, share->reader, err));
        AP_TRY(ap_plan_make(source, &wish, &made, err));
        if (made.plan == NULL) AP_TRY(ap_source_prepare(source, err));
    }
    if (!ap_plan_in_parts(made.plan)) AP_TRY(ap_handover_fail(session, why != NULL ? why : ap_bytes_text(&made.why), err));
    if (made.plan == NULL) {
        if (forced)
            ap_session_notice(
                session, "not distributed: %s", why != NULL ? why : ap_bytes_text(&made.why));
        return APIARY_OK;
    }
    *tasks = made.plan->stages[made.plan->stage_count - 1].task_count;
    return run_shared(share, made.plan, wrote, err);
}

/* ---- apiary_import ---- */

struct importing {
    struct ap_session *session;
    struct ap_source *source;
    struct ap_target *target;
    struct ap_described_list columns;
    struct ap_bytes reader; /* "read_csv([…]…" without its closing bracket */
    bool keep_names, created, mended; /* mended: names of columns are not the files' */
};

static enum apiary_code describe_reader(struct importing *importing, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(ap_bytes_printf(&sql, err, "SELECT * FROM %s)", ap_bytes_text(&importing->reader)));
    ap_described_list_done(&importing->columns);
    return ap_source_describe(
        importing->source, ap_bytes_view(&sql), NULL, &importing->columns, err);
}

static enum apiary_code open_target(struct importing *importing, const struct ap_name3 *name,
    struct ap_arena *arena, const struct apiary_import_options *options, struct apiary_error *err)
{
    struct apiary_error missing = { 0 };
    struct ap_name3 parent = { 0 };
    enum apiary_code code = ap_target_open(importing->session, name, importing->target, &missing);
    if (code != APIARY_OK && code != APIARY_NOT_FOUND) {
        if (err != NULL) *err = missing;
        return code;
    }
    if (!importing->keep_names)
        importing->mended = mend_names(importing->session, &importing->target->metadata.schema, &importing->columns);
    if (code == APIARY_OK) return APIARY_OK;
    AP_TRY(
        ap_catalog_spell(importing->session->world->catalog, name->hive, name->box, &parent, err));
    AP_AUTO(ap_texts) partitions = { 0 };
    struct ap_metadata metadata = { 0 };
    for (size_t i = 0; i < options->partition_count; i++)
        AP_TRY(ap_texts_add(&partitions, ap_str_from(options->partition_by[i]), err));
    AP_TRY(ap_metadata_of_columns(importing->session, arena, &importing->columns, &partitions,
        importing->keep_names, &metadata, err));
    AP_TRY(ap_target_new(importing->session, name, NULL, &metadata, importing->target, err));
    importing->created = true;
    return APIARY_OK;
}

static enum apiary_code import_all(struct importing *importing, const struct ap_name3 *name,
    const struct ap_import_source *what, const struct apiary_import_options *options,
    struct ap_written *written, uint64_t *version, struct apiary_error *err)
{
    AP_AUTO(ap_arena) arena = { 0 };
    AP_AUTO(ap_bytes) select = { 0 };
    AP_TRY(ap_import_reader(importing->source, what, &importing->reader, err));
    AP_TRY(describe_reader(importing, err));
    ap_source_rest(importing->source); /* the ledger may need a chamber */
    AP_TRY(open_target(importing, name, &arena, options, err));
    AP_TRY(ap_source_take(importing->source, 0, err));
    if (!importing->created && strncmp(ap_bytes_text(&importing->reader), "read_csv", 8) == 0) {
        size_t before = importing->reader.size;
        AP_TRY(frame_types(importing->target, &importing->columns, &importing->reader, err));
        if (importing->reader.size > before) {
            AP_TRY(describe_reader(importing, err));
            if (!importing->keep_names)
                importing->mended = mend_names(importing->session, &importing->target->metadata.schema, &importing->columns);
        }
    }
    struct ap_fit fit = {
        .columns = &importing->columns, .by_name = true, .strict = !importing->created
    };
    struct ap_write_commit how = { .operation =
                                       importing->created ? "CREATE TABLE AS SELECT" : "WRITE",
        .replace_all = options->overwrite != 0 && !importing->created };
    struct ap_import_share share = { .source = importing->source, .target = importing->target, .fit = &fit,
        .how = &how, .reader = ap_bytes_view(&importing->reader),
        .columns = importing->mended ? NULL : &importing->columns };
    struct ap_plan_wrote wrote = { 0 };
    size_t tasks = 0;
    AP_TRY(ap_import_spread(&share, &wrote, &tasks, err));
    if (tasks > 0) {
        ap_session_notice(importing->session, "by the swarm in %zu task%s", tasks, tasks == 1 ? "" : "s");
        written->rows = wrote.rows;
        written->bytes = wrote.bytes;
        written->count = wrote.cells;
        *version = wrote.version >= 0 ? (uint64_t)wrote.version : AP_VERSION_UNKNOWN;
        return APIARY_OK;
    }
    AP_TRY(ap_bytes_add_text(&select, "SELECT ", err));
    AP_TRY(ap_fit_columns(importing->session, importing->target, &fit, &select, err));
    AP_TRY(ap_bytes_printf(
        &select, err, " FROM %s) AS apiary_rows", ap_bytes_text(&importing->reader)));
    AP_TRY(ap_fit_aliases(importing->target, &fit, &select, err));
    AP_TRY(ap_write_cells(
        importing->source, importing->target, ap_bytes_view(&select), NULL, true, written, err));
    return ap_commit_written(importing->session, importing->target, written, &how, version, err);
}

enum apiary_code ap_import_files(struct ap_session *session, const char *frame,
    const char *const *paths, size_t path_count, const struct apiary_import_options *options,
    struct ap_bytes *json, struct apiary_error *err)
{
    int64_t started_us = ap_mono_us(session->world->env);
    struct ap_name3 name = { 0 };
    AP_AUTO(ap_target) target = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_TRY(ap_world_check(session->world, err));
    ap_session_begin(session);
    AP_TRY(ap_session_admit_write(session, NULL, err));
    AP_TRY(ap_target_name(session, frame, &name, err));
    struct importing importing = {
        .session = session, .target = &target, .keep_names = options->keep_names != 0
    };
    AP_TRY(ap_source_open(session, (struct ap_str) { 0 }, NULL, &importing.source, err));
    struct ap_import_source what = {
        .paths = paths, .path_count = path_count, .format = options->format
    };
    uint64_t version = 0;
    enum apiary_code code = import_all(&importing, &name, &what, options, &written, &version, err);
    ap_source_close(importing.source);
    ap_described_list_done(&importing.columns);
    ap_bytes_done(&importing.reader);
    if (code != APIARY_OK && err != NULL) ap_web_redact(err->message);
    if (code != APIARY_OK) return code;
    return ap_write_json(session, &written, version, started_us, importing.created, json, err);
}
