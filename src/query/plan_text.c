/* CSV and JSON in a query that is to be divided (docs/decisions/0058).
 *
 * CSV by name: each file's dialect and types are found out from that file alone, and its values are then read as
 * the types of all files together. So a task may find out its own files' dialects again; what it has to get are the types
 * of all. Those it gets from *witnesses*: a few files of the list that have them all between them, and are read
 * along for their first lines.
 *
 * JSON: types are found out over all files together, and each file is read as these. So a task is told them,
 * and finds out nothing. */
#include "query/planner.h"

#include "core/alloc.h"

static bool is_in(struct ap_str name, const char *const *list, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(list[i]))) return true;
    return false;
}
#define IN(name, list) is_in(name, list, sizeof list / sizeof *list)

bool ap_planner_reader(const struct ap_file_ref *ref, enum ap_plan_reader *out)
{
    static const char *const parquet[] = { "read_parquet", "parquet_scan" };
    static const char *const csv[] = { "read_csv", "read_csv_auto" };
    static const char *const json[] = { "read_json", "read_json_auto" };
    *out = IN(ref->function, csv) ? AP_PLAN_CSV : IN(ref->function, json) ? AP_PLAN_JSON : AP_PLAN_PARQUET;
    return *out != AP_PLAN_PARQUET || IN(ref->function, parquet);
}

static const struct ap_file_option *option_of(const struct ap_file_ref *ref, const char *name, const char *other)
{
    for (size_t i = 0; i < ref->option_count; i++)
        if (ap_str_equal_nocase(ref->options[i].name, ap_str_from(name)) || ap_str_equal_nocase(ref->options[i].name, ap_str_from(other)))
            return &ref->options[i];
    return NULL;
}

/* Options that count for each file by itself; what makes columns of names or leaves out rows is for one node. So is what the engine
 * does in another way with another number of threads: padding beside quoted lines, and quotes that it guesses at. */
static bool knows(enum ap_plan_reader reader, const struct ap_file_option *given)
{
    static const struct {
        const char *name, *value;
    } only[] = { { "null_padding", "false" }, { "strict_mode", "true" } };
    struct ap_str option = given->name;
    for (size_t i = 0; i < sizeof only / sizeof *only; i++)
        if (ap_str_equal_nocase(option, ap_str_from(only[i].name))) return reader == AP_PLAN_CSV && ap_str_is(given->value, only[i].value);
    static const char *const csv[] = { "all_varchar", "allow_quoted_nulls", "auto_type_candidates", "buffer_size", "column_types", "comment",
        "compression", "dateformat", "date_format", "decimal_separator", "delim", "delimiter", "dtypes", "escape", "header", "max_line_size",
        "maximum_line_size", "new_line", "normalize_names", "nullstr", "quote", "sample_size", "sep", "skip", "thousands", "timestampformat", "timestamp_format", "types" };
    static const char *const json[] = { "compression", "convert_strings_to_integers", "dateformat", "date_format", "format", "map_inference_threshold",
        "maximum_depth", "maximum_object_size", "maximum_sample_files", "records", "sample_size", "timestampformat", "timestamp_format" };
    return reader == AP_PLAN_CSV ? IN(option, csv) : IN(option, json);
}

const char *ap_planner_text_refusal(enum ap_plan_reader reader, const struct ap_file_ref *ref)
{
    if (!ref->by_name && ref->path_count == 1) return "one node reads CSV or JSON that is one file alone";
    if (!ref->by_name) return "it reads CSV or JSON whose columns are not put together by name (union_by_name)";
    if (ref->folders_asked) return "folders of its CSV or JSON are columns";
    for (size_t i = 0; i < ref->option_count; i++)
        if (!knows(reader, &ref->options[i])) return "its read_csv or read_json has options that one node follows";
    return NULL;
}

enum apiary_code ap_planner_text_call(const struct ap_file_ref *ref, enum ap_plan_reader reader,
    const struct ap_plan_list *items, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "%s([", reader == AP_PLAN_CSV ? "read_csv" : "read_json"));
    for (size_t i = 0; i < (items != NULL ? items->count : ref->path_count); i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_string(out, ref->paths[items != NULL ? items->items[i] : i], err));
    }
    AP_TRY(ap_bytes_add_text(out, "], union_by_name = true, hive_partitioning = false", err));
    for (size_t i = 0; i < ref->option_count; i++)
        AP_TRY(ap_bytes_printf(out, err, ", " AP_FMT " = " AP_FMT, AP_ARG(ref->options[i].name), AP_ARG(ref->options[i].value)));
    return ap_bytes_add_text(out, ")", err);
}

/* ---- CSV ---- */

enum { LOOKED_AT_MAX = 1000 }; /* a look takes 10 to 50 ms */

struct search {
    struct ap_planner *planner;
    const struct ap_file_ref *ref;
    const struct ap_described_list *columns; /* of all files */
    size_t items[AP_PLAN_WITNESSES_MAX];
    struct ap_described_list shapes[AP_PLAN_WITNESSES_MAX]; /* of each by itself; empty: it has none by itself */
    struct ap_plan_list found;
};

static bool same_columns(const struct ap_described_list *a, const struct ap_described_list *b)
{
    bool same = a->count == b->count;
    for (size_t i = 0; same && i < a->count; i++)
        same = strcmp(a->items[i].name, b->items[i].name) == 0 && strcmp(a->items[i].type, b->items[i].type) == 0;
    return same;
}

/* The columns of some files; empty: the engine says no, as of a file that lacks a column whose type is given. */
static enum apiary_code columns_of(const struct search *search, const struct ap_plan_list *items,
    struct ap_described_list *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_TRY(ap_bytes_add_text(&sql, "SELECT * FROM ", err));
    AP_TRY(ap_planner_text_call(search->ref, AP_PLAN_CSV, items, &sql, err));
    enum apiary_code code = ap_source_describe(search->planner->source, ap_bytes_view(&sql), NULL, out, err);
    if (code != APIARY_SQL) return code;
    ap_error_clear(err);
    return APIARY_OK;
}

/* A column without a value counts for nothing in a union, and is text when it stays so: which of the two a file's text is
 * cannot be seen. Here it can, where each has a value in the first lines. */
static enum apiary_code texts_are_told(const struct search *search, bool *told, struct apiary_error *err)
{
    static const char yes[] = "apiary-yes";
    struct ap_plan_list first = { (size_t[]) { 0 }, 1 };
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    *told = false;
    if (option_of(search->ref, "sample_size", "sample_size") != NULL) return APIARY_OK;
    if (strstr(search->planner->plan->settings, "preserve_insertion_order") != NULL) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(&sql, "SELECT CASE WHEN true", err));
    for (size_t i = 0; i < search->columns->count; i++) {
        if (strcmp(search->columns->items[i].type, "VARCHAR") != 0) continue;
        AP_TRY(ap_bytes_add_text(&sql, " AND count(", err));
        AP_TRY(ap_sql_name(&sql, ap_str_from(search->columns->items[i].name), err));
        AP_TRY(ap_bytes_add_text(&sql, ") > 0", err));
    }
    AP_TRY(ap_bytes_printf(&sql, err, " THEN '%s' END AS told FROM (SELECT * FROM ", yes));
    AP_TRY(ap_planner_text_call(search->ref, AP_PLAN_CSV, &first, &sql, err));
    AP_TRY(ap_bytes_add_text(&sql, " LIMIT 1000) AS apiary_rows", err));
    enum apiary_code code = ap_source_ask(search->planner->source, ap_bytes_view(&sql), NULL, &done, err);
    if (code == APIARY_SQL) {
        ap_error_clear(err);
        return APIARY_OK;
    }
    *told = code == APIARY_OK && ap_str_find(ap_bytes_view(&done), ap_str_from(yes)) != SIZE_MAX;
    return code;
}

/* Looks at a file: is it the first one that looks so? */
static enum apiary_code look_at(struct search *search, size_t index, struct apiary_error *err)
{
    size_t count = search->found.count;
    struct ap_plan_list alone = { &index, 1 };
    AP_AUTO(ap_described_list) shape = { 0 };
    AP_TRY(columns_of(search, &alone, &shape, err));
    for (size_t i = 0; shape.count > 0 && i < count; i++)
        if (same_columns(&search->shapes[i], &shape)) return APIARY_OK;
    if (count == AP_PLAN_WITNESSES_MAX) return ap_planner_give_up(search->planner, "its CSV files have too many different columns", err);
    search->shapes[count] = AP_TAKE(shape);
    search->items[search->found.count++] = index;
    return APIARY_OK;
}

/* One of each kind of file. All of one kind have the same types, or text that may count for nothing; if there are other types
 * for such a column, that is seen in what the witnesses have between them. */
static enum apiary_code find(struct search *search, struct apiary_error *err)
{
    AP_AUTO(ap_described_list) together = { 0 };
    bool told = false;
    AP_TRY(look_at(search, 0, err));
    if (same_columns(&search->shapes[0], search->columns)) AP_TRY(texts_are_told(search, &told, err));
    if (told) return APIARY_OK;
    if (search->ref->path_count > LOOKED_AT_MAX) return ap_planner_give_up(search->planner, "its CSV files are too many to look at each of them", err);
    for (size_t i = 1; !ap_planner_gave_up(search->planner) && i < search->ref->path_count; i++) AP_TRY(look_at(search, i, err));
    if (ap_planner_gave_up(search->planner)) return APIARY_OK;
    AP_TRY(columns_of(search, &search->found, &together, err));
    return same_columns(&together, search->columns)
               ? APIARY_OK
               : ap_planner_give_up(search->planner, "no few of its CSV files tell the types of all", err);
}

static enum apiary_code take_csv(struct ap_planner *planner, const struct ap_file_ref *ref,
    const struct ap_described_list *columns, struct ap_plan_files *files, struct apiary_error *err)
{
    struct search search = { .planner = planner, .ref = ref, .columns = columns };
    search.found.items = search.items;
    for (size_t i = 0; i < columns->count; i++)
        if (strcasecmp(columns->items[i].name, "filename") == 0)
            return ap_planner_give_up(planner, "its CSV files have a column called filename", err);
    enum apiary_code code = find(&search, err);
    for (size_t i = 0; i < AP_PLAN_WITNESSES_MAX; i++) ap_described_list_done(&search.shapes[i]);
    if (code != APIARY_OK || ap_planner_gave_up(planner)) return code;
    files->witnesses.count = search.found.count;
    files->witnesses.items = ap_arena_alloc(&planner->plan->arena, sizeof search.items);
    if (files->witnesses.items == NULL) return ap_fail_memory(err, "a plan");
    memcpy(files->witnesses.items, search.items, sizeof search.items);
    return APIARY_OK;
}

/* ---- JSON ---- */

/* The format of dates is found out over all files, and nobody can be asked for it; what records are, too. */
static const char *json_refusal(const struct ap_file_ref *ref, const struct ap_described_list *columns)
{
    bool dates = option_of(ref, "dateformat", "date_format") != NULL, times = option_of(ref, "timestampformat", "timestamp_format") != NULL;
    const struct ap_file_option *records = option_of(ref, "records", "records");
    for (size_t i = 0; i < columns->count; i++) {
        if (!dates && strstr(columns->items[i].type, "DATE") != NULL) return "one node finds out how dates in its JSON are written: dateformat says it";
        if (!times && strstr(columns->items[i].type, "TIMESTAMP") != NULL)
            return "one node finds out how times in its JSON are written: timestampformat says it";
    }
    if (records != NULL && !ap_str_is(records->value, "'true'")) return "its JSON is not read as records";
    return records == NULL && columns->count == 1 && strcmp(columns->items[0].name, "json") == 0 ? "its JSON may be no records" : NULL;
}

enum apiary_code ap_planner_take_text(struct ap_planner *planner, const struct ap_file_ref *ref,
    const struct ap_described_list *columns, struct ap_plan_files *files, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) options = { 0 };
    for (size_t i = 0; i < ref->option_count; i++) {
        struct ap_str name = ref->options[i].name;
        if (files->reader == AP_PLAN_JSON && ap_str_equal_nocase(name, AP_STR("records"))) continue; /* a task says so anyway */
        AP_TRY(ap_bytes_printf(&options, err, ", " AP_FMT " = " AP_FMT, AP_ARG(name), AP_ARG(ref->options[i].value)));
    }
    AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&options), &files->options, err));
    if (files->reader == AP_PLAN_CSV) return take_csv(planner, ref, columns, files, err);
    const char *why = json_refusal(ref, columns);
    return why != NULL ? ap_planner_give_up(planner, why, err) : APIARY_OK;
}
