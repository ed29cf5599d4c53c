/* A source: one chamber made ready to run a query over frames. Names are resolved in
 * resolve.c; here are the chamber, the job documents and the syntax tree. */
#include "query/answers.h"
#include "query/read.h"
#include "query/resolve.h"
#include "query/tries.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/time.h"

#include <nanoarrow/nanoarrow.h>

#define SMALL_BYTES (UINT64_C(16) << 20) /* of cells: a statement that may be the guest */

enum apiary_code ap_source_new(
    struct ap_session *session, struct ap_source **out, struct apiary_error *err)
{
    AP_TRY(ap_world_check(session->world, err));
    struct ap_source *source = ap_calloc(1, sizeof *source);
    if (source == NULL) return ap_fail_memory(err, "a statement");
    source->session = session;
    source->cancel = &session->cancel;
    enum apiary_code code = ap_cell_set_new(session->world->env, &source->cells, err);
    if (code == APIARY_OK) ap_cell_set_name(source->cells, session->world->cell_names);
    if (code == APIARY_OK)
        code = ap_cell_set_page(source->cells, session->world->cache,
            &(struct ap_paging) { .threads = AP_POOL_COLD_THREADS,
                .gap_bytes = ap_config_size(&session->config, AP_CONFIG_read_gap, 0),
                .cancel = source->cancel },
            err);
    if (code != APIARY_OK) {
        ap_source_close(source);
        return code;
    }
    source->handler = (struct ap_handler) {
        .context = source->cells,
        .open = ap_cell_set_open,
        .stat = ap_cell_set_stat,
        .list = ap_cell_set_list,
        .rename = ap_cell_set_rename,
        .unlink = ap_cell_set_unlink,
        .range = ap_cell_set_range,
        .map = ap_cell_set_map,
        .take = ap_cell_set_take,
    };
    *out = source;
    return APIARY_OK;
}

/* Functions that make many rows or much text out of nothing. */
static bool makes_much(const struct ap_texts *functions)
{
    static const char *const names[] = { "range", "generate_series", "repeat", "unnest", "unlist", "list_resize" };
    for (size_t i = 0; i < functions->count; i++)
        for (size_t j = 0; j < sizeof names / sizeof *names; j++)
            if (strcmp(functions->items[i], names[j]) == 0) return true;
    return false;
}

int ap_source_width(const struct ap_source *source)
{
    bool known = source->tree != NULL && source->names.file_count == 0 && source->input_count == 0;
    if (!known || makes_much(&source->names.functions)) return AP_WIDTH_ALL;
    uint64_t bytes = 0;
    for (size_t i = 0; i < source->scan_count; i++) bytes += source->scans[i].kept_bytes;
    /* What is joined may multiply. */
    uint64_t joined = source->names.table_count > 1 ? source->names.table_count : 1;
    return bytes <= SMALL_BYTES / (joined * joined) ? AP_WIDTH_SMALL : AP_WIDTH_ALL;
}

enum apiary_code ap_source_take(struct ap_source *source, int width, struct apiary_error *err)
{
    if (source->chamber != NULL) return APIARY_OK;
    struct ap_pool *pool = NULL;
    AP_TRY(ap_world_pool(source->session->world, &pool, err));
    return ap_chamber_take(pool, width, source->cancel, &source->chamber, err);
}

void ap_source_rest(struct ap_source *source)
{
    if (source->chamber != NULL) ap_chamber_give(source->chamber);
    source->chamber = NULL;
}

void ap_source_keep(struct ap_source *source)
{
    if (source->apart && source->scan_count == 0) ap_source_share(source);
}

void ap_source_close(struct ap_source *source)
{
    if (source == NULL) return;
    ap_source_rest(source);
    ap_needs_free(source->needs);
    for (size_t i = 0; i < source->scan_count; i++) {
        ap_entry_done(&source->scans[i].entry);
        ap_snapshot_unref(source->scans[i].snapshot);
        ap_free(source->scans[i].reasons);
        ap_free(source->scans[i].view);
    }
    ap_free(source->scans);
    ap_free(source->named);
    ap_cell_set_free(source->cells);
    ap_texts_done(&source->setup);
    ap_texts_done(&source->undo);
    for (size_t i = 0; i < source->input_count; i++)
        if (source->input_streams[i].release != NULL)
            source->input_streams[i].release(&source->input_streams[i]);
    ap_bytes_done(&source->sql);
    ap_bytes_done(&source->qualified);
    ap_texts_done(&source->names.functions);
    yyjson_doc_free(source->tree);
    ap_arena_done(&source->arena);
    ap_free(source);
}

/* ---- job documents ---- */

static enum apiary_code add_value(yyjson_mut_doc *doc, const struct apiary_value *value, int depth,
    yyjson_mut_val **out, struct apiary_error *err)
{
    static const char *const words[] = { "null", "bool", "int64", "uint64", "double", "text",
        "blob", "date", "timestamp", "timestamptz", "time", "decimal", "list" };
    enum { DEPTH_MAX = 16 };
    if ((unsigned)value->type >= sizeof words / sizeof *words || depth > DEPTH_MAX)
        return ap_fail(
            err, APIARY_INVALID, "a parameter has an unknown type or is nested too deep");
    char number[AP_TIME_TEXT_MAX] = "";
    AP_AUTO(ap_bytes) blob = { 0 };
    yyjson_mut_val *object = yyjson_mut_obj(doc);
    if (value->name != NULL) yyjson_mut_obj_add_strcpy(doc, object, "n", value->name);
    yyjson_mut_obj_add_str(doc, object, "t", words[value->type]);
    switch (value->type) {
        case APIARY_VALUE_NULL: break;
        case APIARY_VALUE_DOUBLE: snprintf(number, sizeof number, "%.17g", value->real); break;
        case APIARY_VALUE_UINT64:
            snprintf(number, sizeof number, "%llu", (unsigned long long)value->integer);
            break;
        case APIARY_VALUE_BOOL:
            snprintf(number, sizeof number, "%s", value->integer ? "true" : "false");
            break;
        case APIARY_VALUE_TEXT:
        case APIARY_VALUE_DECIMAL:
            if (!ap_utf8_valid((struct ap_str) { value->text, value->length }))
                return ap_fail(err, APIARY_INVALID, "a text parameter is not valid UTF-8");
            yyjson_mut_obj_add_strncpy(doc, object, "v", value->text, value->length);
            break;
        case APIARY_VALUE_BLOB:
            AP_TRY(ap_base64_encode(&blob, (struct ap_str) { value->text, value->length }, err));
            yyjson_mut_obj_add_strncpy(doc, object, "v", ap_bytes_text(&blob), blob.size);
            break;
        case APIARY_VALUE_LIST: {
            yyjson_mut_val *items = yyjson_mut_obj_add_arr(doc, object, "v");
            for (size_t i = 0; i < value->length; i++) {
                yyjson_mut_val *item = NULL;
                AP_TRY(add_value(doc, &value->items[i], depth + 1, &item, err));
                yyjson_mut_arr_append(items, item);
            }
            break;
        }
        case APIARY_VALUE_DATE:
            if (value->integer < INT32_MIN || value->integer > INT32_MAX)
                return ap_fail(err, APIARY_INVALID, "a date parameter is out of range");
            ap_date_format((int32_t)value->integer, number);
            break;
        case APIARY_VALUE_TIMESTAMP:
        case APIARY_VALUE_TIMESTAMP_TZ:
            ap_timestamp_format(
                value->integer, ' ', 6, value->type == APIARY_VALUE_TIMESTAMP_TZ, number);
            break;
        case APIARY_VALUE_TIME: {
            int64_t seconds = value->integer / AP_US_PER_SECOND;
            if (value->integer < 0 || seconds > 24 * 3600)
                return ap_fail(err, APIARY_INVALID, "a time parameter is out of range");
            snprintf(number, sizeof number, "%02d:%02d:%02d.%06d", (int)(seconds / 3600),
                (int)(seconds / 60 % 60), (int)(seconds % 60),
                (int)(value->integer % AP_US_PER_SECOND));
            break;
        }
        default: snprintf(number, sizeof number, "%lld", (long long)value->integer); break;
    }
    if (number[0] != '\0') yyjson_mut_obj_add_strcpy(doc, object, "v", number);
    *out = object;
    return APIARY_OK;
}

static enum apiary_code add_values(yyjson_mut_doc *doc, yyjson_mut_val *root,
    const struct apiary_query *query, struct apiary_error *err)
{
    if (query == NULL || query->value_count == 0) return APIARY_OK;
    yyjson_mut_val *values = yyjson_mut_obj_add_arr(doc, root, "values");
    for (size_t i = 0; i < query->value_count; i++) {
        yyjson_mut_val *value = NULL;
        AP_TRY(add_value(doc, &query->values[i], 0, &value, err));
        yyjson_mut_arr_append(values, value);
    }
    return APIARY_OK;
}

/* Settings of the session: those of the engine, and the time zone. */
static void add_settings(
    const struct ap_session *session, yyjson_mut_doc *doc, yyjson_mut_val *settings)
{
    yyjson_mut_obj_add_str(
        doc, settings, "TimeZone", ap_config_text(&session->config, AP_CONFIG_timezone));
    const struct ap_texts *set = &session->settings;
    for (size_t i = 0; i + 1 < set->count; i += 2)
        yyjson_mut_obj_add_str(doc, settings, set->items[i], set->items[i + 1]);
}

enum apiary_code ap_source_settings(
    struct ap_source *source, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "settings");
    yyjson_mut_val *settings = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, settings);
    add_settings(source->session, doc, settings);
    return ap_json_write(doc, out, err);
}

/* A member that is JSON text already. */
static enum apiary_code add_json(yyjson_mut_doc *doc, yyjson_mut_val *root, const char *key,
    const char *text, struct apiary_error *err)
{
    AP_AUTO_JSON *parsed = NULL;
    AP_TRY(ap_json_parse(ap_str_from(text), "a plan's settings", &parsed, err));
    yyjson_mut_obj_add_val(
        doc, root, key, yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed)));
    return APIARY_OK;
}

/* How many of the set-up's statements may stay in the engine: not so many or long ones that they
 * would be its memory. Databases are the first of them (one: in_one_database of resolve.c). */
static size_t standing_count(const struct ap_source *source)
{
    enum { COUNT_MAX = 200, BYTES_MAX = 256 << 10 };
    size_t most = source->kept ? source->undo.count : 0, count = 0, bytes = 0;
    ap_assert(most <= source->setup.count);
    while (count < most && count < COUNT_MAX &&
           (bytes += strlen(source->setup.items[count])) <= BYTES_MAX)
        count++;
    return count;
}

static void add_setup(
    const struct ap_source *source, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
    size_t stands = standing_count(source);
    if (source->kept) yyjson_mut_obj_add_bool(doc, root, "kept", true);
    if (source->kept && source->part) yyjson_mut_obj_add_bool(doc, root, "part", true);
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, root, "standing");
    for (size_t i = 0; i < stands; i++) {
        yyjson_mut_val *pair = yyjson_mut_arr_add_arr(doc, list);
        yyjson_mut_arr_add_str(doc, pair, source->setup.items[i]);
        yyjson_mut_arr_add_str(doc, pair, source->undo.items[i]);
    }
    yyjson_mut_val *setup = yyjson_mut_obj_add_arr(doc, root, "setup");
    for (size_t i = stands; i < source->setup.count; i++)
        yyjson_mut_arr_add_str(doc, setup, source->setup.items[i]);
}

/* Is there a text of the statement, the views and macros that it may use among them, with this word in it? */
static bool mentions(const struct ap_source *source, struct ap_str sql, struct ap_str word)
{
    if (ap_str_has_nocase(sql, word)) return true;
    for (size_t i = 0; i < source->setup.count; i++)
        if (ap_str_has_nocase(ap_str_from(source->setup.items[i]), word)) return true;
    return false;
}

bool ap_source_says_limit(struct ap_str text)
{
    static const char *const words[] = { "limit", "offset", "fetch", "sample" };
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (ap_str_has_nocase(text, ap_str_from(words[i]))) return true;
    return false;
}

/* Engine 1.5.5 pushes the filter that it makes of a join's build side through LIMIT and top n below the other side, which then take
 * other rows (its issue 22924). */
static enum apiary_code keep_limits(yyjson_mut_doc *doc, yyjson_mut_val *root, struct apiary_error *err)
{
    static const char key[] = "disabled_optimizers";
    yyjson_mut_val *settings = yyjson_mut_obj_get(root, "settings");
    const char *others = yyjson_mut_get_str(yyjson_mut_obj_get(settings, key));
    AP_AUTO(ap_bytes) all = { 0 };
    bool more = others != NULL && others[0] != '\0';
    AP_TRY(ap_bytes_printf(&all, err, "join_filter_pushdown%s%s", more ? "," : "", more ? others : ""));
    yyjson_mut_obj_remove_key(settings, key);
    return yyjson_mut_obj_add_strcpy(doc, settings, key, ap_bytes_text(&all)) ? APIARY_OK : ap_fail_memory(err, "a job");
}

/* Is there a LIMIT or a sample below something? Where there is no tree, any may be. */
static bool is_limited(const struct ap_source *source, struct ap_str sql)
{
    bool limited = source->limited || (source->tree == NULL && ap_source_says_limit(sql));
    for (size_t i = 0; source->tree == NULL && i < source->setup.count; i++) limited |= ap_source_says_limit(ap_str_from(source->setup.items[i]));
    return limited;
}

/* May the source's own query be bound once (core/wire.h)? Of its functions only current_query would see
 * the difference. */
static bool is_once(const struct ap_source *source, struct ap_str sql, const char *result,
    const struct apiary_query *query)
{
    if (strcmp(result, "arrow") != 0) return false; /* a COPY around it, or a question of ours */
    if ((source->values != NULL && strcmp(source->values, "[]") != 0) || (query != NULL && query->value_count > 0)) return false;
    bool differ = source->tree != NULL && source->names.columns_differ && sql.data == source->sql.data;
    return (source->fragment || differ) && !mentions(source, sql, AP_STR("current_query"));
}

/* How many of the caller's tables its jobs read: a stream must not be asked again behind its end. */
static size_t inputs_read(const struct ap_source *source)
{
    return source->staged ? 0 : source->input_count;
}

enum apiary_code ap_source_job(struct ap_source *source, struct ap_str sql, const char *result,
    const struct apiary_query *query, struct ap_bytes *document, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "a job");
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    add_setup(source, doc, root);
    yyjson_mut_obj_add_strn(doc, root, "sql", sql.data, sql.size);
    if (is_once(source, sql, result, query)) yyjson_mut_obj_add_bool(doc, root, "once", true);
    if (source->values != NULL)
        AP_TRY(add_json(doc, root, "values", source->values, err));
    else
        AP_TRY(add_values(doc, root, query, err));
    if (source->settings != NULL)
        AP_TRY(add_json(doc, root, "settings", source->settings, err));
    else
        add_settings(source->session, doc, yyjson_mut_obj_add_obj(doc, root, "settings"));
    if (is_limited(source, sql)) AP_TRY(keep_limits(doc, root, err));
    if (source->frugal) { /* the engine keeps 100 files open and 524,288 rows for them */
        yyjson_mut_val *settings = yyjson_mut_obj_get(root, "settings");
        yyjson_mut_obj_add_str(doc, settings, "partitioned_write_max_open_files", "2");
        yyjson_mut_obj_add_str(doc, settings, "partitioned_write_flush_threshold", "2048");
    }
    if (ap_cell_set_warm(source->cells)) {
        yyjson_mut_val *settings = yyjson_mut_obj_get(root, "settings");
        source->paged = true;
        /* Whole column chunks in one read, as from a store, not page by page. */
        yyjson_mut_obj_add_str(doc, settings, "prefetch_all_parquet_files", "true");
        /* Pages are kept by us; the engine's own cache reads what lies between two ranges too. */
        yyjson_mut_obj_add_str(doc, settings, "enable_external_file_cache", "false");
        yyjson_mut_obj_add_str(doc, root, "canary", AP_CANARY_NAME);
    }
    if (inputs_read(source) > 0) {
        yyjson_mut_val *inputs = yyjson_mut_obj_add_arr(doc, root, "inputs");
        for (size_t i = 0; i < inputs_read(source); i++)
            yyjson_mut_arr_add_str(doc, inputs, source->input_names[i]);
    }
    yyjson_mut_obj_add_str(doc, root, "result", result);
    return ap_json_write(doc, document, err);
}

int ap_source_threads(const struct ap_source *source)
{
    int width = ap_chamber_width(source->chamber);
    if (source->frugal) return 1;
    if (!source->paged) return 0;
    return ap_pool_cold_threads(ap_pool_memory_per_bee(source->session->world->pool) * (uint64_t)width, width);
}

static enum apiary_code run_document(struct ap_source *source, struct ap_str document,
    struct ArrowArrayStream **inputs, struct ap_bytes *done, struct ap_job_stats *stats,
    struct apiary_error *err)
{
    struct ap_session *session = source->session;
    struct ap_job job = {
        .document = document.data,
        .document_size = document.size,
        .task = session->task,
        .handler = &source->handler,
        .inputs = inputs,
        .input_count = inputs != NULL ? inputs_read(source) : 0,
        .cancel = source->cancel,
        .progress = source->aside ? NULL : session->progress,
        .progress_context = session->progress_context,
        .timeout_us = ap_config_us(&session->config, AP_CONFIG_query_timeout),
    };
    struct apiary_error failure = { 0 };
    struct ap_job_stats ignored = { 0 };
    AP_AUTO(ap_tries) tries = { 0 };
    enum apiary_code code;
    /* Names are being resolved: one bee for this job alone. It is a question, so it can be asked
     * again; what runs in a chamber of the caller's is the caller's to repeat. */
    bool borrowed = source->chamber == NULL;
    ap_tries_begin(&tries, source, 1);
    do {
        code = ap_source_take(source, tries.width, &failure);
        job.timeout_us = tries.timeout_us;
        job.threads = code == APIARY_OK ? ap_source_threads(source) : 0;
        if (code == APIARY_OK)
            code = ap_job_run(source->chamber, &job, done, stats != NULL ? stats : &ignored, &failure);
        if (code != APIARY_OK) code = ap_source_explain_failure(source, code, &failure);
    } while (code != APIARY_OK && borrowed && ap_tries_again(&tries, &code, &failure));
    if (borrowed) ap_source_rest(source);
    if (code != APIARY_OK && err != NULL) *err = failure;
    return code;
}

enum apiary_code ap_source_run(struct ap_source *source, struct ap_str sql, const char *result,
    const struct apiary_query *query, struct ap_bytes *done, struct ap_job_stats *stats,
    struct apiary_error *err)
{
    AP_AUTO(ap_bytes) document = { 0 };
    AP_TRY(ap_source_job(source, sql, result, query, &document, err));
    return run_document(source, ap_bytes_view(&document), source->inputs, done, stats, err);
}

/* Empty streams of the inputs' schemas: a question must not use up what the statement reads. */
static enum apiary_code stand_ins(
    struct ap_source *source, struct ArrowArrayStream *streams, struct apiary_error *err)
{
    for (size_t i = 0; i < inputs_read(source); i++) {
        struct ArrowSchema schema = { 0 };
        struct ArrowArrayStream *input = source->inputs[i];
        if (input->get_schema(input, &schema) != 0) {
            const char *why = input->get_last_error(input);
            return ap_fail(err, APIARY_IO, "table %s cannot be read: %s", source->input_names[i],
                why != NULL ? why : "no schema");
        }
        if (ArrowBasicArrayStreamInit(&streams[i], &schema, 0) != NANOARROW_OK) {
            schema.release(&schema);
            return ap_fail_memory(err, "a question about a table");
        }
    }
    return APIARY_OK;
}

static enum apiary_code ask_engine(
    struct ap_source *source, struct ap_str document, struct ap_bytes *done, struct apiary_error *err)
{
    struct ArrowArrayStream streams[AP_SOURCE_INPUTS_MAX] = { 0 };
    struct ArrowArrayStream *inputs[AP_SOURCE_INPUTS_MAX];
    for (size_t i = 0; i < AP_SOURCE_INPUTS_MAX; i++) inputs[i] = &streams[i];
    enum apiary_code code = stand_ins(source, streams, err);
    if (code == APIARY_OK) code = run_document(source, document, inputs, done, NULL, err);
    for (size_t i = 0; i < source->input_count; i++)
        if (streams[i].release != NULL) streams[i].release(&streams[i]);
    return code;
}

enum apiary_code ap_source_ask(struct ap_source *source, struct ap_str sql,
    const struct apiary_query *query, struct ap_bytes *done, struct apiary_error *err)
{
    struct ap_answers *answers = source->lasting && source->input_count == 0 ? source->session->world->plan_answers : NULL;
    AP_AUTO(ap_bytes) document = { 0 };
    bool found = false;
    AP_TRY(ap_source_job(source, sql, "json", query, &document, err));
    AP_TRY(ap_answers_find(answers, "", ap_bytes_view(&document), &found, done, err));
    if (found) return APIARY_OK;
    AP_TRY(ask_engine(source, ap_bytes_view(&document), done, err));
    ap_answers_keep(answers, "", ap_bytes_view(&document), ap_bytes_view(done));
    return APIARY_OK;
}

enum apiary_code ap_source_text_function(struct ap_source *source, const char *sql,
    struct ap_str argument, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_answers *answers = source->session->world->answers;
    bool found = false;
    AP_TRY(ap_answers_find(answers, sql, argument, &found, out, err));
    if (found) return APIARY_OK;
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "a job");
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_str(doc, root, "sql", sql);
    struct apiary_value value = {
        .type = APIARY_VALUE_TEXT, .text = argument.data, .length = argument.size
    };
    AP_TRY(
        add_values(doc, root, &(struct apiary_query) { .values = &value, .value_count = 1 }, err));
    yyjson_mut_obj_add_str(doc, root, "result", "json");
    yyjson_mut_obj_add_bool(doc, root, "shared", true);
    AP_AUTO(ap_bytes) document = { 0 };
    AP_TRY(ap_json_write(doc, &document, err));

    AP_AUTO(ap_bytes) done = { 0 };
    AP_TRY(run_document(source, ap_bytes_view(&document), NULL, &done, NULL, err));
    AP_AUTO_JSON *answer = NULL;
    AP_TRY(ap_json_parse(ap_bytes_view(&done), "a chamber's answer", &answer, err));
    yyjson_val *row = yyjson_arr_get_first(ap_json_member(yyjson_doc_get_root(answer), "rows"));
    yyjson_val *text = yyjson_arr_get_first(row);
    if (!yyjson_is_str(text)) return ap_fail(err, APIARY_CORRUPT, "a chamber gave no text back");
    struct ap_str said = { yyjson_get_str(text), yyjson_get_len(text) };
    ap_answers_keep(answers, sql, argument, said);
    return ap_bytes_add_str(out, said, err);
}

enum apiary_code ap_source_tree(
    struct ap_source *source, struct ap_str sql, yyjson_doc **tree, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(
        ap_source_text_function(source, "SELECT json_serialize_sql($1::VARCHAR)", sql, &text, err));
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_tree_parse(ap_bytes_view(&text), &doc, err));
    yyjson_val *root = yyjson_doc_get_root(doc);
    bool failed = false;
    struct ap_str kind = { 0 };
    if (ap_json_bool(root, "error", &failed) && failed && ap_json_str(root, "error_type", &kind) &&
        ap_str_equal(kind, AP_STR("not implemented")))
        return APIARY_OK; /* PIVOT and the like: *tree stays NULL */
    *tree = doc;
    doc = NULL;
    return APIARY_OK;
}

/* ---- DESCRIBE ---- */

void ap_described_list_done(struct ap_described_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        ap_free(list->items[i].name);
        ap_free(list->items[i].type);
    }
    ap_free(list->items);
    memset(list, 0, sizeof *list);
}

enum apiary_code ap_described_add(struct ap_described_list *list, const char *name,
    const char *type, struct apiary_error *err)
{
    AP_TRY(AP_GROW(list->items, list->capacity, list->count + 1, err));
    struct ap_described item = { ap_strdup(name), ap_strdup(type), false };
    if (item.name == NULL || item.type == NULL) {
        ap_free(item.name);
        ap_free(item.type);
        return ap_fail_memory(err, "the columns of a statement");
    }
    list->items[list->count++] = item;
    return APIARY_OK;
}

static enum apiary_code described_row(
    struct ap_described_list *list, yyjson_val *row, struct apiary_error *err)
{
    const char *name = yyjson_get_str(yyjson_arr_get(row, 0)),
               *type = yyjson_get_str(yyjson_arr_get(row, 1));
    if (name == NULL || type == NULL)
        return ap_fail(err, APIARY_CORRUPT, "a chamber's description lacks a name or a type");
    AP_TRY(ap_described_add(list, name, type, err));
    list->items[list->count - 1].cut = strlen(name) != yyjson_get_len(yyjson_arr_get(row, 0));
    return APIARY_OK;
}

enum apiary_code ap_source_describe(struct ap_source *source, struct ap_str sql,
    const struct apiary_query *query, struct ap_described_list *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) ask = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    AP_TRY(ap_bytes_printf(&ask, err, "DESCRIBE " AP_FMT, AP_ARG(sql)));
    AP_TRY(ap_source_ask(source, ap_bytes_view(&ask), query, &done, err));
    AP_AUTO_JSON *answer = NULL;
    AP_TRY(ap_json_parse(ap_bytes_view(&done), "a chamber's description", &answer, err));
    AP_AUTO(ap_described_list) list = { 0 };
    yyjson_val *row = NULL;
    size_t index = 0, count = 0;
    yyjson_arr_foreach(ap_json_member(yyjson_doc_get_root(answer), "rows"), index, count, row)
        AP_TRY(described_row(&list, row, err));
    *out = AP_TAKE(list);
    return APIARY_OK;
}
