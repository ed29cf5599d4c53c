#include "query/file_list.h"
#include "query/files.h"
#include "query/remote_files.h"

#include "core/alloc.h"

/* ---- noted ---- */

enum apiary_code ap_file_note(
    struct ap_source *source, const struct ap_named_file *file, struct apiary_error *err)
{
    AP_TRY(AP_GROW(source->named, source->named_capacity, source->named_count + 1, err));
    struct ap_named_file *kept = &source->named[source->named_count];
    *kept = *file;
    kept->object.key = NULL;
    kept->name = ap_arena_dup(&source->arena, ap_str_from(file->name));
    if (file->path != NULL) kept->path = ap_arena_dup(&source->arena, ap_str_from(file->path));
    if (file->key != NULL) kept->key = ap_arena_dup(&source->arena, ap_str_from(file->key));
    if (kept->name == NULL || (kept->path == NULL) != (file->path == NULL) ||
        (kept->key == NULL) != (file->key == NULL))
        return ap_fail_memory(err, "the files of a statement");
    source->named_count++;
    return APIARY_OK;
}

/* What has the number 7 was noted at 7, or before it where others are granted too. */
const struct ap_named_file *ap_file_noted(const struct ap_source *source, struct ap_str name)
{
    size_t number = 0;
    struct ap_str rest = { 0 };
    if (!ap_file_name_parse(name, &number, &rest)) return NULL;
    size_t at = number < source->named_count ? number + 1 : source->named_count;
    while (at > 0)
        if (ap_str_is(name, source->named[--at].name)) return &source->named[at];
    return NULL;
}

uint64_t ap_files_bytes(const struct ap_source *source)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < source->named_count; i++) bytes += source->named[i].object.size;
    return bytes;
}

/* ---- pinned ---- */

static const char local_scheme[] = "local://";

/* What of `place` is below `root`: "a/b" of "x/a/b" and "x"; false: it lies elsewhere. */
static bool below(struct ap_str root, struct ap_str place, struct ap_str *key)
{
    if (!ap_str_starts_with(place, root) || place.size <= root.size + 1 || place.data[root.size] != '/') return false;
    *key = (struct ap_str) { place.data + root.size + 1, place.size - root.size - 1 };
    return true;
}

/* Of a file of the machine, in a root that is a folder. */
static enum apiary_code key_in_folder(const struct ap_store *root, const char *path,
    struct ap_bytes *key, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) uri = { 0 };
    struct ap_str found = { 0 };
    if (!ap_str_starts_with(ap_str_from(root->uri), ap_str_from(local_scheme))) return APIARY_OK;
    AP_TRY(ap_store_canonical(path, &uri, err));
    return below(ap_str_from(root->uri), ap_bytes_view(&uri), &found) ? ap_bytes_add_str(key, found, err) : APIARY_OK;
}

/* Of an object, in a root that is a bucket or a prefix of one. */
static enum apiary_code key_in_bucket(struct ap_world *world, const struct ap_named_file *file,
    struct ap_bytes *key, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) bucket = { 0 };
    AP_AUTO(ap_bytes) place = { 0 };
    struct ap_store *store = NULL;
    struct ap_str root = ap_remote_plain(ap_str_from(world->store->uri)), found = { 0 };
    if (!world->store->is_remote) return APIARY_OK;
    AP_TRY(ap_remote_bucket(ap_str_from(world->store->uri), &bucket, err));
    AP_TRY(ap_frames_store(world->frames, ap_bytes_text(&bucket), &store, err));
    if (file->store != store) return APIARY_OK;
    AP_TRY(ap_bytes_printf(&place, err, AP_FMT "/%s", AP_ARG(ap_remote_plain(ap_bytes_view(&bucket))), file->key));
    return below(root, ap_bytes_view(&place), &found) ? ap_bytes_add_str(key, found, err) : APIARY_OK;
}

enum apiary_code ap_file_pin(struct ap_session *session, const struct ap_named_file *file,
    enum ap_plan_reader reader, struct ap_bytes *key, bool *inside, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    if (file->path != NULL)
        AP_TRY(key_in_folder(world->store, file->path, key, err));
    else
        AP_TRY(key_in_bucket(world, file, key, err));
    *inside = key->size > 0 && ap_plan_file_key_check(reader, ap_bytes_text(key), NULL) == APIARY_OK;
    return APIARY_OK;
}

/* ---- read ---- */

/* in_pages: what is read of it comes from a bucket; else ap_cell_set_fetch brings it whole. */
static enum apiary_code grant(struct ap_source *source, const struct ap_plan_frame *list,
    size_t index, bool in_pages, struct ap_texts *names, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) name = { 0 };
    struct ap_object object = { .size = list->files->sizes[index] };
    snprintf(object.etag, sizeof object.etag, "%s", list->files->etags[index]);
    AP_TRY(ap_plan_file_key_check(list->files->reader, list->cells[index], err));
    AP_TRY(ap_cell_set_add_object(
        source->cells, source->session->world->store, list->cells[index], &object, in_pages, &name, err));
    return ap_texts_add(names, ap_bytes_view(&name), err);
}

/* ", schema = MAP {'a': {name: 'a', type: 'INTEGER', default_value: NULL}, …}": a file without the column
 * has NULL there, as in a union by name. */
static enum apiary_code add_schema(
    const struct ap_plan_files *files, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, ", schema = MAP {", err));
    for (size_t i = 0; i < files->column_count; i++) {
        struct ap_str name = ap_str_from(files->columns[i].name);
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_string(out, name, err));
        AP_TRY(ap_bytes_add_text(out, ": {name: ", err));
        AP_TRY(ap_sql_string(out, name, err));
        AP_TRY(ap_bytes_add_text(out, ", type: ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(files->columns[i].type), err));
        AP_TRY(ap_bytes_add_text(out, ", default_value: NULL}", err));
    }
    return ap_bytes_add_text(out, "}", err);
}

/* ", hive_partitioning = true, hive_types = {'p': 'BIGINT', …}" */
static enum apiary_code add_folders(
    const struct ap_plan_files *files, struct ap_bytes *out, struct apiary_error *err)
{
    if (files->folder_count == 0) return ap_bytes_add_text(out, ", hive_partitioning = false", err);
    AP_TRY(ap_bytes_add_text(out, ", hive_partitioning = true, hive_types_autocast = false, hive_types = {", err));
    for (size_t i = 0; i < files->folder_count; i++) {
        const char *type = ap_plan_files_type(files, files->folders[i]);
        ap_assert(type != NULL);
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(files->folders[i]), err));
        AP_TRY(ap_bytes_add_text(out, ": ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(type), err));
    }
    return ap_bytes_add_text(out, "}", err);
}

enum apiary_code ap_file_list_nothing(
    const struct ap_plan_files *files, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) select = { 0 };
    for (size_t i = 0; i < files->column_count; i++)
        AP_TRY(ap_nothing_column(&select, ap_str_from(files->columns[i].type), ap_str_from(files->columns[i].name), err));
    AP_TRY(ap_nothing_end(&select, err));
    return ap_bytes_add_str(out, ap_bytes_view(&select), err);
}

/* SELECT "a" AS "a", …: a name alone would be spelled as the first of a task's files spells it. */
static enum apiary_code add_columns(const struct ap_plan_files *files, struct ap_bytes *out, struct apiary_error *err)
{
    for (size_t i = 0; i < files->column_count; i++) {
        AP_TRY(ap_bytes_add_text(out, i == 0 ? "SELECT " : ", ", err));
        AP_TRY(ap_sql_name(out, ap_str_from(files->columns[i].name), err));
        AP_TRY(ap_bytes_add_text(out, " AS ", err));
        AP_TRY(ap_sql_name(out, ap_str_from(files->columns[i].name), err));
    }
    return APIARY_OK;
}

/* ", records = 'true', columns = {'a': 'INTEGER', …}" */
static enum apiary_code add_json_columns(const struct ap_plan_files *files, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, ", records = 'true', columns = {", err));
    for (size_t i = 0; i < files->column_count; i++) {
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(files->columns[i].name), err));
        AP_TRY(ap_bytes_add_text(out, ": ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(files->columns[i].type), err));
    }
    return ap_bytes_add_text(out, "}", err);
}

/* CSV and JSON. Witnesses that are none of its own are read along for their first lines. */
static enum apiary_code text_sql(struct ap_source *source, const struct ap_plan_frame *list,
    size_t first, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_plan_files *files = list->files;
    AP_AUTO(ap_texts) names = { 0 };
    size_t witnesses = 0;
    AP_TRY(ap_cell_set_scan(source->cells, err));
    for (size_t i = 0; i < files->witnesses.count; i++)
        if (files->witnesses.items[i] < first || files->witnesses.items[i] >= first + count)
            AP_TRY(grant(source, list, files->witnesses.items[i], true, &names, err));
    witnesses = names.count;
    for (size_t i = first; i < first + count; i++) AP_TRY(grant(source, list, i, false, &names, err));
    AP_TRY(ap_cell_set_fetch(source->cells, err));
    AP_TRY(add_columns(files, out, err));
    AP_TRY(ap_bytes_printf(out, err, " FROM %s(", files->reader == AP_PLAN_CSV ? "read_csv" : "read_json"));
    AP_TRY(ap_files_list(&names, out, err));
    AP_TRY(ap_bytes_printf(out, err, ", union_by_name = true, hive_partitioning = false%s", files->options));
    if (files->reader == AP_PLAN_JSON) AP_TRY(add_json_columns(files, out, err));
    /* Under just this name the engine leaves out files by it, and does not read their rows. */
    AP_TRY(ap_bytes_add_text(out, witnesses > 0 ? ", filename = true) WHERE true" : ")", err));
    for (size_t i = 0; i < witnesses; i++) {
        AP_TRY(ap_bytes_add_text(out, " AND filename <> ", err));
        AP_TRY(ap_sql_string(out, ap_str_from(names.items[i]), err));
    }
    return APIARY_OK;
}

enum apiary_code ap_file_list_sql(struct ap_source *source, const struct ap_plan_frame *list,
    size_t first, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_plan_files *files = list->files;
    AP_AUTO(ap_texts) names = { 0 };
    if (count == 0) return ap_file_list_nothing(files, out, err);
    if (files->reader != AP_PLAN_PARQUET) return text_sql(source, list, first, count, out, err);
    /* Else columns are those of the list's first file, which then is read for them alone. (Its rows are read too, and dropped: under
     * the name of text_sql they would not be, but the engine then tells of a file that differs as if it differed from itself.) */
    bool led = !files->by_name && first > 0;
    AP_TRY(ap_cell_set_scan(source->cells, err));
    if (led) AP_TRY(grant(source, list, 0, true, &names, err));
    for (size_t i = first; i < first + count; i++) AP_TRY(grant(source, list, i, true, &names, err));
    AP_TRY(ap_cell_set_fetch(source->cells, err));
    AP_TRY(add_columns(files, out, err));
    AP_TRY(ap_bytes_add_text(out, " FROM read_parquet(", err));
    AP_TRY(ap_files_list(&names, out, err));
    AP_TRY(add_folders(files, out, err));
    if (files->by_name) AP_TRY(add_schema(files, out, err));
    if (!led) return ap_bytes_add_text(out, ")", err);
    AP_TRY(ap_bytes_add_text(out, ", filename = '" AP_FILE_COLUMN "') WHERE " AP_FILE_COLUMN " <> ", err));
    return ap_sql_string(out, ap_str_from(names.items[0]), err);
}
