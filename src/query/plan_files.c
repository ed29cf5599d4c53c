/* Files in a query that is to be divided: each call of read_parquet, read_csv or read_json whose files every node can
 * read becomes a table, whose files are worked on as a frame's cells are (docs/decisions/0051; for text, plan_text.c).
 *
 * Its columns are asked for here, over all of its files, as one node would have them; a task reads its own
 * files in just these columns (ap_file_list_sql). What a task could not do in the same way is left to one
 * node: values of folders by name, other options, columns whose names the engine changed. */
#include "query/files.h"
#include "query/planner.h"

#include "core/alloc.h"

#define VIEW "apiary files " /* no frame's name holds a space */
#define LISTS_BYTES_MAX (UINT64_C(32) << 20) /* of all lists: half of a manifest (AP_MANIFEST_BYTES_MAX) */

/* ---- what stands at an index ---- */

size_t ap_planner_frame_count(const struct ap_planner *planner)
{
    return planner->source->scan_count + planner->list_count;
}

uint64_t ap_planner_frame_bytes(const struct ap_planner *planner, size_t index)
{
    size_t scans = planner->source->scan_count;
    return index < scans ? planner->source->scans[index].kept_bytes : planner->lists[index - scans].bytes;
}

enum apiary_code ap_planner_frame_nothing(
    struct ap_planner *planner, size_t index, struct ap_bytes *out, struct apiary_error *err)
{
    size_t scans = planner->source->scan_count;
    return index < scans ? ap_shape_nothing(&planner->source->scans[index].snapshot->metadata, out, err)
                         : ap_file_list_nothing(planner->lists[index - scans].files, out, err);
}

size_t ap_planner_list(const struct ap_planner *planner, const struct ap_table_ref *ref)
{
    struct ap_str prefix = AP_STR(VIEW), name = ref->parts[2];
    uint64_t number = 0;
    if (ref->parts[0].size + ref->parts[1].size > 0 || !ap_str_starts_with(name, prefix)) return SIZE_MAX;
    struct ap_str rest = { name.data + prefix.size, name.size - prefix.size };
    return ap_str_to_u64(rest, &number) && number < planner->list_count ? (size_t)number : SIZE_MAX;
}

static bool is_exact(const char *type)
{
    static const char *const exact[] = { "TINYINT", "SMALLINT", "INTEGER", "BIGINT" };
    for (size_t i = 0; i < sizeof exact / sizeof *exact; i++)
        if (strcmp(type, exact[i]) == 0) return true;
    size_t size = strlen(type);
    return strncmp(type, "DECIMAL(", 8) == 0 && type[size - 1] == ')';
}

bool ap_planner_list_column(const struct ap_planner *planner, struct ap_str name, bool *exact)
{
    bool found = false;
    for (size_t i = 0; i < planner->list_count; i++) {
        const struct ap_plan_files *files = planner->lists[i].files;
        for (size_t j = 0; j < files->column_count; j++) {
            if (!ap_str_equal_nocase(name, ap_str_from(files->columns[j].name))) continue;
            found = true;
            *exact &= is_exact(files->columns[j].type);
        }
    }
    return found;
}

/* ---- a list ---- */

/* "p=1/x.parquet" of a virtual name: folders "column=value" alone stand in it. */
static struct ap_str rest_of(struct ap_str name)
{
    size_t number = 0;
    struct ap_str rest = { 0 };
    return ap_file_name_parse(name, &number, &rest) ? rest : name;
}

static size_t folders_in(struct ap_str name)
{
    struct ap_str rest = rest_of(name);
    size_t slashes = 0;
    for (size_t i = 0; i < rest.size; i++) slashes += rest.data[i] == '/';
    return slashes;
}

/* The next part of a virtual name up to '/', taken off `rest`; false: what is left is the file's own name. */
static bool next_part(struct ap_str *rest, struct ap_str *part)
{
    size_t size = ap_str_find(*rest, AP_STR("/"));
    if (size == SIZE_MAX) return false;
    *part = (struct ap_str) { rest->data, size };
    *rest = (struct ap_str) { rest->data + size + 1, rest->size - size - 1 };
    return true;
}

/* "p" of a folder "p=1"; empty: it is none. */
static struct ap_str column_of(struct ap_str part)
{
    size_t equals = ap_str_find(part, AP_STR("="));
    return (struct ap_str) { part.data, equals == SIZE_MAX ? 0 : equals };
}

/* Do two files lie in folders of the same columns? */
static bool same_folders(struct ap_str a, struct ap_str b)
{
    struct ap_str part_a, part_b;
    if (folders_in(a) != folders_in(b)) return false;
    a = rest_of(a);
    b = rest_of(b);
    while (next_part(&a, &part_a) && next_part(&b, &part_b))
        if (!ap_str_equal(column_of(part_a), column_of(part_b))) return false;
    return true;
}

static const char *refusal(const struct ap_planner *planner, const struct ap_file_ref *ref, enum ap_plan_reader *reader)
{
    const struct ap_source *source = planner->source;
    if (!ap_planner_reader(ref, reader)) return "it reads files that are neither Parquet nor CSV nor JSON";
    if (!ref->constant || ref->path_count == 0) return "its files are not named by constants";
    if (ref->others || (*reader == AP_PLAN_PARQUET && ref->option_count > 0)) return "its reader has options that one node follows";
    const char *why = *reader != AP_PLAN_PARQUET ? ap_planner_text_refusal(*reader, ref) : NULL;
    if (why != NULL) return why;
    if (planner->list_count == AP_PLANNER_LISTS_MAX) return "it names too many lists of files";
    if (ref->path_count > AP_PLAN_CELLS_MAX) return "it names too many files for one plan";
    for (size_t i = 0; i < ref->path_count; i++) {
        if (ap_file_noted(source, ref->paths[i]) == NULL) return "it reads files of this machine";
        if (!ref->folders) continue;
        if (ref->by_name && folders_in(ref->paths[i]) > 0) return "folders of its files may be columns, and it reads them by name";
        if (!same_folders(ref->paths[0], ref->paths[i])) return "its files lie in folders of different columns";
    }
    return NULL;
}

/* "STRUCT(BIGINT, …)", "STRUCT(a BIGINT, "" BIGINT)": the text of the type does not say enough. */
static bool has_nameless_field(const char *type)
{
    static const char open[] = "STRUCT(";
    if (strstr(type, "\"\" ") != NULL) return true;
    for (const char *at = strstr(type, open); at != NULL; at = strstr(at, open)) {
        at += strlen(open);
        const char *end = at;
        while ((*end >= 'A' && *end <= 'Z') || (*end >= '0' && *end <= '9') || *end == '_') end++;
        bool type_alone = end > at && *end != ' ' && *end != '\0';
        if (type_alone || strncmp(at, "TIMESTAMP WITH", 14) == 0 || strncmp(at, "TIME WITH", 9) == 0) return true;
    }
    return false;
}

/* Names that the engine made up, since a file has the same one twice ("a", "A_1") or an empty one ("C" and
 * its place), or that are ours. */
static const char *odd_columns(const struct ap_described_list *columns, enum ap_plan_reader reader)
{
    for (size_t i = 0; i < columns->count; i++)
        if (has_nameless_field(columns->items[i].type)) return "its files have structs with fields without a name";
    for (size_t i = 0; i < columns->count; i++)
        if (columns->items[i].cut) return "its files have a column with a zero byte in its name";
    for (size_t i = 0; i < columns->count; i++) {
        struct ap_str name = ap_str_from(columns->items[i].name), prefix = AP_STR(AP_CUT_PREFIX);
        if (name.size >= prefix.size && ap_str_equal_nocase((struct ap_str) { name.data, prefix.size }, prefix))
            return "its files have a column whose name begins with " AP_CUT_PREFIX;
        if (reader == AP_PLAN_CSV) continue; /* a name is made up in a file by itself, and found again there */
        char made_up[32];
        snprintf(made_up, sizeof made_up, "C%zu", i);
        if (ap_str_is(name, made_up)) return "its files may have a column without a name";
        size_t end = name.size;
        while (end > 0 && name.data[end - 1] >= '0' && name.data[end - 1] <= '9') end--;
        if (end == name.size || end < 2 || name.data[end - 1] != '_') continue;
        for (size_t j = 0; j < columns->count; j++)
            if (ap_str_equal_nocase((struct ap_str) { name.data, end - 1 }, ap_str_from(columns->items[j].name)))
                return "its files have columns like a and a_1, which may be one name";
    }
    return NULL;
}

static enum apiary_code describe(struct ap_planner *planner, const struct ap_file_ref *ref,
    enum ap_plan_reader reader, struct ap_described_list *out, struct apiary_error *err)
{
    AP_AUTO(ap_texts) names = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    for (size_t i = 0; i < ref->path_count; i++) AP_TRY(ap_texts_add(&names, ref->paths[i], err));
    AP_TRY(ap_bytes_add_text(&sql, "SELECT * FROM ", err));
    if (reader != AP_PLAN_PARQUET) {
        AP_TRY(ap_planner_text_call(ref, reader, NULL, &sql, err));
        return ap_source_describe(planner->source, ap_bytes_view(&sql), NULL, out, err);
    }
    AP_TRY(ap_bytes_add_text(&sql, "read_parquet(", err));
    AP_TRY(ap_files_list(&names, &sql, err));
    AP_TRY(ap_bytes_printf(&sql, err, ", union_by_name = %s%s)", ref->by_name ? "true" : "false",
        !ref->folders ? ", hive_partitioning = false" : ref->folders_asked ? ", hive_partitioning = true" : ""));
    return ap_source_describe(planner->source, ap_bytes_view(&sql), NULL, out, err);
}

static enum apiary_code keep_columns(struct ap_planner *planner, const struct ap_described_list *columns,
    struct ap_plan_files *files, struct apiary_error *err)
{
    files->column_count = columns->count;
    files->columns = ap_arena_alloc(&planner->plan->arena, (columns->count + 1) * sizeof *files->columns);
    if (files->columns == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < columns->count; i++) {
        AP_TRY(ap_planner_keep_text(planner, ap_str_from(columns->items[i].name), &files->columns[i].name, err));
        AP_TRY(ap_planner_keep_text(planner, ap_str_from(columns->items[i].type), &files->columns[i].type, err));
    }
    return APIARY_OK;
}

/* The folders "column=value" of the first file that came out as columns: the engine takes them only if all files lie in such. */
static enum apiary_code keep_folders(struct ap_planner *planner, const struct ap_file_ref *ref,
    struct ap_plan_files *files, struct apiary_error *err)
{
    struct ap_str rest = rest_of(ref->paths[0]);
    files->folders = ap_arena_alloc(&planner->plan->arena, AP_PLAN_FOLDERS_MAX * sizeof *files->folders);
    if (files->folders == NULL) return ap_fail_memory(err, "a plan");
    struct ap_str part;
    while (ref->folders && next_part(&rest, &part)) {
        const char *text = NULL;
        if (column_of(part).size == 0) continue;
        AP_TRY(ap_planner_keep_text(planner, column_of(part), &text, err));
        if (ap_plan_files_type(files, text) == NULL) continue;
        if (files->folder_count == AP_PLAN_FOLDERS_MAX) return ap_planner_give_up(planner, "its files lie too deep in folders", err);
        for (size_t i = 0; i < files->folder_count; i++)
            if (strcasecmp(text, files->folders[i]) == 0)
                return ap_planner_give_up(planner, "folders of its files name a column twice", err);
        files->folders[files->folder_count++] = text;
    }
    return APIARY_OK;
}

static enum apiary_code stays_outside(struct ap_planner *planner, enum ap_plan_reader reader, struct apiary_error *err)
{
    char why[128];
    snprintf(why, sizeof why, "its files lie outside the store's root, or are not called %s", ap_plan_reader_endings(reader));
    return ap_planner_give_up(planner, why, err);
}

static enum apiary_code pin_all(struct ap_planner *planner, const struct ap_file_ref *ref,
    struct ap_plan_frame *list, struct ap_plan_files *files, struct apiary_error *err)
{
    struct ap_arena *arena = &planner->plan->arena;
    list->cells = ap_arena_alloc(arena, ref->path_count * sizeof *list->cells);
    files->sizes = ap_arena_alloc(arena, ref->path_count * sizeof *files->sizes);
    files->etags = ap_arena_alloc(arena, ref->path_count * sizeof *files->etags);
    if (list->cells == NULL || files->sizes == NULL || files->etags == NULL) return ap_fail_memory(err, "a plan");
    for (size_t i = 0; i < ref->path_count; i++) {
        AP_AUTO(ap_bytes) key = { 0 };
        const struct ap_named_file *file = ap_file_noted(planner->source, ref->paths[i]);
        bool inside = false;
        AP_TRY(ap_file_pin(planner->source->session, file, files->reader, &key, &inside, err));
        if (!inside) return stays_outside(planner, files->reader, err);
        /* An ending says how a file of text is compressed. */
        bool named = ap_file_name_fits(rest_of(ref->paths[i]), ap_bytes_view(&key));
        if (!named && files->reader != AP_PLAN_PARQUET) return ap_planner_give_up(planner, "links are among its files", err);
        if (ref->folders && folders_in(ref->paths[i]) > 0 && !named)
            return ap_planner_give_up(planner, "folders above its store, or links, are columns", err);
        planner->lists_bytes += ap_plan_file_bytes(ap_bytes_text(&key), file->object.etag);
        if (planner->lists_bytes > LISTS_BYTES_MAX) return ap_planner_give_up(planner, "its files are too many for one plan", err);
        AP_TRY(ap_planner_keep_text(planner, ap_bytes_view(&key), &list->cells[i], err));
        AP_TRY(ap_planner_keep_text(planner, ap_str_from(file->object.etag), &files->etags[i], err));
        files->sizes[i] = file->object.size;
        list->bytes += file->object.size;
        list->cell_count++;
    }
    return APIARY_OK;
}

/* The next of planner->lists, and what stands for it in the tree. */
/* Each file of text costs a task two looks more. Whoever insists, or hands the statement over, has it divided. */
static bool are_small(const struct ap_planner *planner, const struct ap_plan_frame *list)
{
    enum { SMALL_BYTES = 1 << 20 };
    const struct ap_session *session = planner->source->session;
    bool insists = strcmp(ap_config_text(&session->config, AP_CONFIG_distributed), "force") == 0 || session->handover != NULL;
    return !insists && list->bytes / list->cell_count < SMALL_BYTES;
}

static enum apiary_code add_list(struct ap_planner *planner, const struct ap_file_ref *ref,
    yyjson_doc **query, struct apiary_error *err)
{
    struct ap_plan_frame list = { 0 };
    AP_AUTO(ap_described_list) columns = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_bytes) nothing = { 0 };
    char view[64];
    enum ap_plan_reader reader = AP_PLAN_PARQUET;
    const char *why = refusal(planner, ref, &reader);
    if (why != NULL) return ap_planner_give_up(planner, why, err);
    struct ap_plan_files *files = ap_arena_alloc(&planner->plan->arena, sizeof *files);
    if (files == NULL) return ap_fail_memory(err, "a plan");
    *files = (struct ap_plan_files) { .reader = reader, .by_name = ref->by_name };
    list.files = files;
    AP_TRY(pin_all(planner, ref, &list, files, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    if (reader != AP_PLAN_PARQUET && are_small(planner, &list))
        return ap_planner_give_up(planner, "one node is sooner done with small files of CSV or JSON", err);
    const struct ap_described_list *known = planner->wish->columns != NULL ? planner->wish->columns : &columns;
    if (known == &columns) AP_TRY(describe(planner, ref, reader, &columns, err));
    why = odd_columns(known, reader);
    if (why != NULL) return ap_planner_give_up(planner, why, err);
    AP_TRY(keep_columns(planner, known, files, err));
    if (reader == AP_PLAN_PARQUET) AP_TRY(keep_folders(planner, ref, files, err));
    else AP_TRY(ap_planner_take_text(planner, ref, known, files, err));
    if (ap_planner_gave_up(planner)) return APIARY_OK;
    snprintf(view, sizeof view, "\"" VIEW "%zu\"", planner->list_count);
    AP_TRY(ap_planner_keep_text(planner, ap_str_from(view), &list.view, err));
    AP_TRY(ap_file_list_nothing(files, &nothing, err));
    AP_TRY(ap_texts_printf(&planner->empty, err, "CREATE TEMP VIEW %s AS %s", view, ap_bytes_text(&nothing)));
    AP_TRY(ap_bytes_printf(&text, err, "SELECT * FROM %s", view));
    AP_TRY(ap_source_tree(planner->source, ap_bytes_view(&text), query, err));
    planner->lists[planner->list_count++] = list;
    return APIARY_OK;
}

enum apiary_code ap_planner_take_files(
    struct ap_planner *planner, yyjson_doc **tree, struct apiary_error *err)
{
    struct ap_arena *arena = &planner->plan->arena;
    struct ap_tree_names names = { 0 };
    AP_AUTO(ap_bytes) text = { 0 };
    yyjson_doc *swapped = NULL;
    AP_TRY(ap_tree_names(arena, *tree, &names, err));
    ap_texts_done(&names.functions);
    if (names.file_count == 0) return APIARY_OK;
    struct ap_cut_swap *swaps = ap_calloc(names.file_count, sizeof *swaps);
    enum apiary_code code = swaps == NULL ? ap_fail_memory(err, "a plan") : APIARY_OK;
    for (size_t i = 0; code == APIARY_OK && !ap_planner_gave_up(planner) && i < names.file_count; i++) {
        swaps[i].node = names.files[i].node;
        code = add_list(planner, &names.files[i], &swaps[i].tree, err);
    }
    if (code == APIARY_OK && !ap_planner_gave_up(planner))
        code = ap_cut_swap_nodes(*tree, swaps, names.file_count, &text, err);
    for (size_t i = 0; swaps != NULL && i < names.file_count; i++) yyjson_doc_free(swaps[i].tree);
    ap_free(swaps);
    if (code != APIARY_OK || ap_planner_gave_up(planner)) return code;
    AP_TRY(ap_tree_parse(ap_bytes_view(&text), &swapped, err));
    yyjson_doc_free(*tree);
    *tree = swapped;
    return APIARY_OK;
}
