/* A plan from JSON. Reading trusts nothing: every size, index and order is checked here, so that whoever runs a
 * plan may follow its indices. */
#include "query/plan_private.h"

#include "catalog/registry.h"
#include "core/alloc.h"
#include "core/json.h"

enum { PLAN_FRAME_TEXT_MAX = 1024 };

struct reading {
    struct ap_plan *plan;
    struct apiary_error *err;
};

static enum apiary_code wrong(const struct reading *reading, const char *what)
{
    return ap_fail(reading->err, APIARY_CORRUPT, "a plan is out of form: %s", what);
}

static void *room(const struct reading *reading, size_t count, size_t size)
{
    return ap_arena_alloc(&reading->plan->arena, (count == 0 ? 1 : count) * size);
}

/* A text member without NUL in it; needed: absence is an error, else *out stays NULL. */
static enum apiary_code text_of(const struct reading *reading, yyjson_val *value, const char *what,
    bool needed, const char **out)
{
    if (value == NULL && !needed) return APIARY_OK;
    if (!yyjson_is_str(value)) return wrong(reading, what);
    struct ap_str text = { yyjson_get_str(value), yyjson_get_len(value) };
    if (text.size > AP_PLAN_SQL_MAX)
        return ap_fail(reading->err, APIARY_LIMIT, "a plan is too large: %s has %zu bytes", what, text.size);
    if (memchr(text.data, 0, text.size) != NULL) return wrong(reading, what);
    *out = ap_arena_dup(&reading->plan->arena, text);
    return *out != NULL ? APIARY_OK : ap_fail_memory(reading->err, "a plan");
}

static enum apiary_code number_of(const struct reading *reading, yyjson_val *value,
    const char *what, uint64_t max, uint64_t *out)
{
    if (!yyjson_is_uint(value) || yyjson_get_uint(value) > max) return wrong(reading, what);
    *out = yyjson_get_uint(value);
    return APIARY_OK;
}

static enum apiary_code index_of(const struct reading *reading, yyjson_val *value,
    const char *what, size_t count, size_t *out)
{
    uint64_t number = 0;
    if (count == 0) return wrong(reading, what);
    AP_TRY(number_of(reading, value, what, count - 1, &number));
    *out = (size_t)number;
    return APIARY_OK;
}

/* The items of a list with at most `max` of them. */
static enum apiary_code items_of(const struct reading *reading, yyjson_val *object,
    const char *key, size_t max, yyjson_val **out, size_t *count)
{
    yyjson_val *list = yyjson_obj_get(object, key);
    if (!yyjson_is_arr(list)) return wrong(reading, key);
    if (yyjson_arr_size(list) > max)
        return ap_fail(reading->err, APIARY_LIMIT, "a plan is too large: %s has %zu items, at most %zu are possible",
            key, yyjson_arr_size(list), max);
    *out = list;
    *count = yyjson_arr_size(list);
    return APIARY_OK;
}

/* Rising indices below `below`. */
static enum apiary_code list_of(const struct reading *reading, yyjson_val *object, const char *key,
    size_t below, struct ap_plan_list *out)
{
    yyjson_val *list = NULL, *item = NULL;
    size_t index = 0, count = 0;
    AP_TRY(items_of(reading, object, key, below, &list, &out->count));
    out->items = room(reading, out->count, sizeof *out->items);
    if (out->items == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(list, index, count, item)
    {
        AP_TRY(index_of(reading, item, key, below, &out->items[index]));
        if (index > 0 && out->items[index] <= out->items[index - 1]) return wrong(reading, key);
    }
    return APIARY_OK;
}

static enum apiary_code texts_of(const struct reading *reading, yyjson_val *object,
    const char *key, size_t max, const char ***out, size_t *out_count)
{
    yyjson_val *list = NULL, *item = NULL;
    size_t index = 0, count = 0;
    AP_TRY(items_of(reading, object, key, max, &list, out_count));
    *out = room(reading, *out_count, sizeof **out);
    if (*out == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(list, index, count, item)
        AP_TRY(text_of(reading, item, key, true, &(*out)[index]));
    return APIARY_OK;
}

static enum apiary_code name_of(const struct reading *reading, yyjson_val *object, const char *key,
    enum ap_name_kind kind, char out[AP_NAME_MAX + 1])
{
    struct ap_str text = { 0 };
    if (!ap_json_str(object, key, &text)) return wrong(reading, key);
    AP_TRY(ap_name_check(kind, text, reading->err));
    memcpy(out, text.data, text.size);
    out[text.size] = '\0';
    return APIARY_OK;
}

static enum apiary_code read_columns(
    const struct reading *reading, yyjson_val *object, struct ap_plan_column **out, size_t *out_count)
{
    yyjson_val *list = NULL, *item = NULL;
    size_t index = 0, count = 0;
    AP_TRY(items_of(reading, object, "columns", AP_PLAN_COLUMNS_MAX, &list, out_count));
    *out = room(reading, *out_count, sizeof **out);
    if (*out == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(list, index, count, item)
    {
        AP_TRY(text_of(reading, yyjson_obj_get(item, "name"), "name", true, &(*out)[index].name));
        AP_TRY(text_of(reading, yyjson_obj_get(item, "type"), "type", true, &(*out)[index].type));
    }
    return APIARY_OK;
}

/* Size and etag of each file; `count` keys were read before. */
static enum apiary_code read_pins(
    const struct reading *reading, yyjson_val *object, size_t count, struct ap_plan_files *files)
{
    yyjson_val *list = NULL, *item = NULL;
    size_t index = 0, all = 0, sizes = 0, etags = 0;
    AP_TRY(items_of(reading, object, "sizes", AP_PLAN_CELLS_MAX, &list, &sizes));
    AP_TRY(texts_of(reading, object, "etags", AP_PLAN_CELLS_MAX, &files->etags, &etags));
    if (sizes != count || etags != count) return wrong(reading, "files without a size or an etag");
    files->sizes = room(reading, count, sizeof *files->sizes);
    if (files->sizes == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(list, index, all, item)
    {
        AP_TRY(number_of(reading, item, "a file's size", INT64_MAX, &files->sizes[index]));
        if (strlen(files->etags[index]) >= AP_ETAG_MAX) return wrong(reading, "a file's etag");
    }
    return APIARY_OK;
}

/* By whom they are read; "": it is Parquet, as of nodes that know nothing else. */
static enum apiary_code read_reader(
    const struct reading *reading, yyjson_val *object, size_t count, struct ap_plan_files *files)
{
    struct ap_str name = { 0 };
    if (yyjson_obj_get(object, "reader") == NULL) return APIARY_OK;
    if (!ap_json_str(object, "reader", &name)) return wrong(reading, "reader");
    for (size_t i = AP_PLAN_CSV; i < AP_PLAN_READERS; i++)
        if (ap_str_is(name, ap_plan_reader_names[i])) files->reader = (enum ap_plan_reader)i;
    if (files->reader == AP_PLAN_PARQUET) return wrong(reading, "reader");
    if (!files->by_name) return wrong(reading, "text that is not read by name");
    AP_TRY(text_of(reading, yyjson_obj_get(object, "options"), "options", true, &files->options));
    AP_TRY(list_of(reading, object, "witnesses", count, &files->witnesses));
    bool fits = (files->reader == AP_PLAN_CSV) == (files->witnesses.count > 0) && files->witnesses.count <= AP_PLAN_WITNESSES_MAX;
    return fits ? APIARY_OK : wrong(reading, "witnesses");
}

static enum apiary_code read_files(
    const struct reading *reading, yyjson_val *object, struct ap_plan_frame *frame)
{
    struct ap_plan_files *files = room(reading, 1, sizeof *files);
    if (files == NULL) return ap_fail_memory(reading->err, "a plan");
    *files = (struct ap_plan_files) { 0 };
    if (!ap_json_bool(object, "byName", &files->by_name)) return wrong(reading, "byName");
    AP_TRY(read_columns(reading, object, &files->columns, &files->column_count));
    if (frame->cell_count == 0 || files->column_count == 0) return wrong(reading, "a list without files or columns");
    AP_TRY(texts_of(reading, object, "folders", AP_PLAN_FOLDERS_MAX, &files->folders, &files->folder_count));
    if (files->by_name && files->folder_count > 0) return wrong(reading, "folders of files that are read by name");
    for (size_t i = 0; i < files->folder_count; i++) {
        if (ap_plan_files_type(files, files->folders[i]) == NULL) return wrong(reading, "a folder that is no column");
        for (size_t j = 0; j < i; j++)
            if (strcasecmp(files->folders[i], files->folders[j]) == 0) return wrong(reading, "folders of one column");
    }
    AP_TRY(read_reader(reading, object, frame->cell_count, files));
    for (size_t i = 0; i < frame->cell_count; i++) AP_TRY(ap_plan_file_key_check(files->reader, frame->cells[i], reading->err));
    frame->files = files;
    return read_pins(reading, object, frame->cell_count, files);
}

static enum apiary_code read_frame(
    const struct reading *reading, yyjson_val *object, struct ap_plan_frame *frame)
{
    struct ap_str id = { 0 };
    yyjson_val *files = yyjson_obj_get(object, "files");
    *frame = (struct ap_plan_frame) { 0 };
    AP_TRY(number_of(reading, yyjson_obj_get(object, "bytes"), "bytes", INT64_MAX, &frame->bytes));
    AP_TRY(text_of(reading, yyjson_obj_get(object, "view"), "view", true, &frame->view));
    if (strlen(frame->view) > PLAN_FRAME_TEXT_MAX) return wrong(reading, "view");
    AP_TRY(texts_of(
        reading, object, "cells", AP_PLAN_CELLS_MAX, &frame->cells, &frame->cell_count));
    if (files != NULL) return read_files(reading, files, frame);
    AP_TRY(name_of(reading, object, "hive", AP_NAME_HIVE, frame->name.hive));
    AP_TRY(name_of(reading, object, "box", AP_NAME_BOX, frame->name.box));
    AP_TRY(name_of(reading, object, "frame", AP_NAME_FRAME, frame->name.frame));
    if (!ap_json_str(object, "id", &id) || !ap_id_valid(id)) return wrong(reading, "id");
    memcpy(frame->id.text, id.data, id.size);
    return number_of(
        reading, yyjson_obj_get(object, "version"), "version", INT64_MAX, &frame->version);
}

/* "shardFrame", or "shardFrames" of two and more; a frame may stand there twice. */
static enum apiary_code read_shards(
    const struct reading *reading, yyjson_val *object, struct ap_plan_stage *stage)
{
    yyjson_val *one = yyjson_obj_get(object, "shardFrame"), *list = NULL, *item = NULL;
    size_t index = 0, count = 0;
    stage->shard_count = 1;
    if (one == NULL) {
        AP_TRY(items_of(reading, object, "shardFrames", AP_CUT_REFERENCES_MAX, &list, &stage->shard_count));
        if (stage->shard_count < 2) return wrong(reading, "shardFrames");
    } else if (yyjson_obj_get(object, "shardFrames") != NULL)
        return wrong(reading, "shardFrame and shardFrames");
    stage->shards = room(reading, stage->shard_count, sizeof *stage->shards);
    if (stage->shards == NULL) return ap_fail_memory(reading->err, "a plan");
    if (one != NULL) return index_of(reading, one, "shardFrame", reading->plan->frame_count, &stage->shards[0]);
    yyjson_arr_foreach(list, index, count, item)
        AP_TRY(index_of(reading, item, "shardFrames", reading->plan->frame_count, &stage->shards[index]));
    return APIARY_OK;
}

/* Tasks follow each other and cover all cells of the shards, or there is one without any cell. */
static enum apiary_code read_tasks(
    const struct reading *reading, yyjson_val *object, struct ap_plan_stage *stage)
{
    yyjson_val *list = NULL, *item = NULL;
    size_t index = 0, count = 0, next = 0;
    size_t cells = ap_plan_shard_cells(reading->plan, stage);
    AP_TRY(items_of(reading, object, "tasks", AP_PLAN_TASKS_MAX, &list, &stage->task_count));
    if (stage->task_count == 0) return wrong(reading, "no tasks");
    stage->tasks = room(reading, stage->task_count, sizeof *stage->tasks);
    if (stage->tasks == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(list, index, count, item)
    {
        uint64_t first = 0, cell_count = 0;
        AP_TRY(number_of(reading, yyjson_arr_get(item, 0), "a task's first cell", cells, &first));
        AP_TRY(number_of(reading, yyjson_arr_get(item, 1), "a task's cells", cells, &cell_count));
        AP_TRY(number_of(reading, yyjson_arr_get(item, 2), "a task's bytes", INT64_MAX,
            &stage->tasks[index].bytes));
        if (first != next || cell_count > cells - first ||
            (cell_count == 0 && stage->task_count > 1))
            return wrong(reading, "tasks leave cells out or share them");
        stage->tasks[index].first = (size_t)first;
        stage->tasks[index].count = (size_t)cell_count;
        next += (size_t)cell_count;
    }
    return next == cells ? APIARY_OK : wrong(reading, "tasks leave cells out");
}

static enum apiary_code read_stage(
    const struct reading *reading, yyjson_val *object, size_t index, struct ap_plan_stage *stage)
{
    struct ap_plan *plan = reading->plan;
    struct ap_str kind = { 0 };
    size_t at = 0;
    if (!ap_json_str(object, "kind", &kind)) return wrong(reading, "kind");
    while (at <= AP_CUT_GATHER && !ap_str_is(kind, ap_cut_kind_text((enum ap_cut_kind)at))) at++;
    if (at > AP_CUT_GATHER) return wrong(reading, "kind");
    stage->kind = (enum ap_cut_kind)at;
    if (stage->kind != AP_CUT_WHOLE) {
        AP_TRY(text_of(reading, yyjson_obj_get(object, "fragment"), "fragment", true,
            &stage->fragment_sql));
        AP_TRY(read_shards(reading, object, stage));
        AP_TRY(read_tasks(reading, object, stage));
        AP_TRY(
            list_of(reading, object, "fragmentFrames", plan->frame_count, &stage->fragment_frames));
        AP_TRY(list_of(reading, object, "fragmentStages", index, &stage->fragment_stages));
        AP_TRY(text_of(reading, yyjson_obj_get(object, "mergedView"), "mergedView", true,
            &stage->merged_view));
    }
    AP_TRY(text_of(reading, yyjson_obj_get(object, "merge"), "merge", true, &stage->merge_sql));
    AP_TRY(list_of(reading, object, "mergeFrames", plan->frame_count, &stage->merge_frames));
    AP_TRY(list_of(reading, object, "mergeStages", index, &stage->merge_stages));
    AP_TRY(read_columns(reading, object, &stage->columns, &stage->column_count));
    return text_of(reading, yyjson_obj_get(object, "resultView"), "resultView",
        index + 1 < plan->stage_count, &stage->result_view);
}

/* A JSON member kept as text. */
static enum apiary_code json_of(const struct reading *reading, yyjson_val *value, const char *what,
    bool list, const char **out)
{
    AP_AUTO(ap_bytes) text = { 0 };
    if (list ? !yyjson_is_arr(value) : !yyjson_is_obj(value)) return wrong(reading, what);
    AP_TRY(ap_json_write_val(value, &text, reading->err));
    *out = ap_arena_dup(&reading->plan->arena, ap_bytes_view(&text));
    return *out != NULL ? APIARY_OK : ap_fail_memory(reading->err, "a plan");
}

static enum apiary_code bool_of(
    const struct reading *reading, yyjson_val *object, const char *key, bool *out)
{
    return ap_json_bool(object, key, out) ? APIARY_OK : wrong(reading, key);
}

/* What a frame is to be. */
static enum apiary_code read_spec(
    const struct reading *reading, yyjson_val *object, struct ap_plan_write *write)
{
    size_t texts = 0;
    AP_TRY(text_of(
        reading, yyjson_obj_get(object, "description"), "description", true, &write->description));
    AP_TRY(texts_of(reading, object, "partitionBy", AP_PLAN_COLUMNS_MAX, &write->partition_by,
        &write->partition_count));
    AP_TRY(texts_of(reading, object, "properties", AP_PLAN_SETUP_MAX, &write->properties, &texts));
    write->property_count = texts / 2;
    return texts % 2 == 0 ? APIARY_OK : wrong(reading, "properties");
}

/* Bins cover the cells of the frame that is written to, and tasks end where bins do. */
static enum apiary_code check_bins(const struct reading *reading, const struct ap_plan_write *write, const struct ap_plan_compaction *compaction)
{
    const struct ap_plan_stage *stage = &reading->plan->stages[reading->plan->stage_count - 1];
    if (stage->shard_count != 1) return wrong(reading, "it puts cells of several frames together");
    const struct ap_plan_frame *frame = &reading->plan->frames[stage->shards[0]];
    if (frame->files != NULL || !write->in_tasks || write->replace_all || write->schema != NULL || strcmp(frame->id.text, write->id.text) != 0
        || frame->version != write->base || reading->plan->stage_count != 1)
        return wrong(reading, "it puts cells of another frame together");
    size_t at = 0, task = 0;
    for (size_t i = 0; i < compaction->bin_count; i++) {
        if (at == stage->tasks[task].first + stage->tasks[task].count && ++task == stage->task_count)
            return wrong(reading, "bins have more cells than there are");
        if (compaction->bins[i] > stage->tasks[task].first + stage->tasks[task].count - at) return wrong(reading, "a task ends within a bin");
        at += compaction->bins[i];
    }
    return at == frame->cell_count ? APIARY_OK : wrong(reading, "bins leave cells out");
}

static enum apiary_code read_compaction(const struct reading *reading, yyjson_val *object, struct ap_plan_write *write)
{
    struct ap_plan_compaction *compaction = room(reading, 1, sizeof *compaction);
    yyjson_val *list = NULL, *item = NULL;
    size_t index = 0, count = 0;
    if (compaction == NULL) return ap_fail_memory(reading->err, "a plan");
    *compaction = (struct ap_plan_compaction) { 0 };
    AP_TRY(items_of(reading, object, "bins", AP_PLAN_CELLS_MAX, &list, &compaction->bin_count));
    compaction->bins = room(reading, compaction->bin_count, sizeof *compaction->bins);
    if (compaction->bins == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(list, index, count, item)
    {
        uint64_t cells = 0;
        AP_TRY(number_of(reading, item, "a bin's cells", AP_PLAN_CELLS_MAX, &cells));
        if (cells == 0) return wrong(reading, "a bin without cells");
        compaction->bins[index] = (size_t)cells;
    }
    AP_TRY(texts_of(reading, object, "clusterBy", AP_PLAN_COLUMNS_MAX, &compaction->cluster_by, &compaction->cluster_count));
    AP_TRY(text_of(reading, yyjson_obj_get(object, "condition"), "condition", true, &compaction->condition));
    write->compaction = compaction;
    return check_bins(reading, write, compaction);
}

static enum apiary_code read_write(const struct reading *reading, yyjson_val *object)
{
    struct ap_plan_write *write = room(reading, 1, sizeof *write);
    const struct ap_plan_stage *last = &reading->plan->stages[reading->plan->stage_count - 1];
    struct ap_str id = { 0 };
    if (write == NULL) return ap_fail_memory(reading->err, "a plan");
    *write = (struct ap_plan_write) { .description = "" };
    AP_TRY(name_of(reading, object, "hive", AP_NAME_HIVE, write->name.hive));
    AP_TRY(name_of(reading, object, "box", AP_NAME_BOX, write->name.box));
    AP_TRY(name_of(reading, object, "frame", AP_NAME_FRAME, write->name.frame));
    bool there = ap_json_str(object, "id", &id);
    if (there) {
        if (!ap_id_valid(id)) return wrong(reading, "id");
        memcpy(write->id.text, id.data, id.size);
        AP_TRY(number_of(reading, yyjson_obj_get(object, "base"), "base", INT64_MAX, &write->base));
    }
    AP_TRY(text_of(reading, yyjson_obj_get(object, "location"), "location", !there, &write->location));
    AP_TRY(text_of(reading, yyjson_obj_get(object, "schema"), "schema", !there, &write->schema));
    if (write->schema != NULL) AP_TRY(read_spec(reading, object, write));
    AP_TRY(text_of(reading, yyjson_obj_get(object, "operation"), "operation", true, &write->operation));
    AP_TRY(bool_of(reading, object, "replaceAll", &write->replace_all));
    AP_TRY(bool_of(reading, object, "readsTarget", &write->reads_target));
    AP_TRY(bool_of(reading, object, "inTasks", &write->in_tasks));
    AP_TRY(bool_of(reading, object, "sort", &write->sort));
    AP_TRY(text_of(reading, yyjson_obj_get(object, "head"), "head", true, &write->head));
    AP_TRY(text_of(reading, yyjson_obj_get(object, "tail"), "tail", true, &write->tail));
    AP_TRY(number_of(
        reading, yyjson_obj_get(object, "cellBytes"), "cellBytes", INT64_MAX, &write->cell_bytes));
    AP_TRY(number_of(reading, yyjson_obj_get(object, "partitionsMax"), "partitionsMax", INT64_MAX,
        &write->partitions_max));
    if (last->kind == AP_CUT_WHOLE && write->in_tasks) return wrong(reading, "its tasks write and there are none");
    yyjson_val *compaction = yyjson_obj_get(object, "compaction");
    if (compaction != NULL) AP_TRY(read_compaction(reading, compaction, write));
    if (write->in_tasks && last->merge_frames.count + last->merge_stages.count > 0)
        return wrong(reading, "its tasks write and its merge reads");
    reading->plan->write = write;
    return APIARY_OK;
}

static enum apiary_code read_all(const struct reading *reading, yyjson_val *root)
{
    struct ap_plan *plan = reading->plan;
    yyjson_val *frames = NULL, *stages = NULL, *item = NULL;
    size_t index = 0, count = 0;
    uint64_t format = 0;
    AP_TRY(number_of(reading, yyjson_obj_get(root, "format"), "format", UINT64_MAX, &format));
    if (format != AP_PLAN_FORMAT)
        return ap_fail(reading->err, APIARY_UNSUPPORTED,
            "a plan has format %llu, this Apiary reads %d", (unsigned long long)format,
            AP_PLAN_FORMAT);
    AP_TRY(texts_of(reading, root, "setup", AP_PLAN_SETUP_MAX, &plan->setup, &plan->setup_count));
    AP_TRY(text_of(reading, yyjson_obj_get(root, "use"), "use", true, &plan->use));
    AP_TRY(
        json_of(reading, yyjson_obj_get(root, "settings"), "settings", false, &plan->settings));
    AP_TRY(json_of(reading, yyjson_obj_get(root, "values"), "values", true, &plan->values));
    AP_TRY(items_of(reading, root, "frames", AP_PLAN_FRAMES_MAX, &frames, &plan->frame_count));
    AP_TRY(items_of(reading, root, "stages", AP_PLAN_STAGES_MAX, &stages, &plan->stage_count));
    if (plan->stage_count == 0) return wrong(reading, "no stages");
    plan->frames = room(reading, plan->frame_count, sizeof *plan->frames);
    plan->stages = room(reading, plan->stage_count, sizeof *plan->stages);
    if (plan->frames == NULL || plan->stages == NULL) return ap_fail_memory(reading->err, "a plan");
    yyjson_arr_foreach(frames, index, count, item)
        AP_TRY(read_frame(reading, item, &plan->frames[index]));
    yyjson_arr_foreach(stages, index, count, item)
        AP_TRY(read_stage(reading, item, index, &plan->stages[index]));
    AP_TRY(bool_of(reading, root, "replayable", &plan->replayable));
    AP_TRY(text_of(reading, yyjson_obj_get(root, "doubt"), "doubt", false, &plan->doubt));
    yyjson_val *write = yyjson_obj_get(root, "write");
    return write != NULL ? read_write(reading, write) : APIARY_OK;
}

enum apiary_code ap_plan_read(struct ap_str text, struct ap_plan **out, struct apiary_error *err)
{
    AP_AUTO_JSON *doc = NULL;
    AP_TRY(ap_json_parse(text, "a plan", &doc, err));
    struct ap_plan *plan = ap_calloc(1, sizeof *plan);
    if (plan == NULL) return ap_fail_memory(err, "a plan");
    struct reading reading = { .plan = plan, .err = err };
    enum apiary_code code = read_all(&reading, yyjson_doc_get_root(doc));
    if (code != APIARY_OK) {
        ap_plan_free(plan);
        return code;
    }
    *out = plan;
    return APIARY_OK;
}
