/* A plan as JSON. */
#include "query/plan_private.h"

#include "core/alloc.h"
#include "core/json.h"

static void add_text(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char *text)
{
    if (text != NULL) yyjson_mut_obj_add_str(doc, object, key, text);
}

static void add_list(
    yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const struct ap_plan_list *list)
{
    yyjson_mut_val *items = yyjson_mut_obj_add_arr(doc, object, key);
    for (size_t i = 0; i < list->count; i++) yyjson_mut_arr_add_uint(doc, items, list->items[i]);
}

/* A JSON text of our own making goes in as a value. */
static enum apiary_code add_value(yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key,
    const char *text, struct apiary_error *err)
{
    AP_AUTO_JSON *parsed = NULL;
    AP_TRY(ap_json_parse(ap_str_from(text), "a plan's settings", &parsed, err));
    yyjson_mut_val *copy = yyjson_val_mut_copy(doc, yyjson_doc_get_root(parsed));
    if (copy == NULL) return ap_fail_memory(err, "a plan");
    yyjson_mut_obj_add_val(doc, object, key, copy);
    return APIARY_OK;
}

static void add_columns(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct ap_plan_column *items, size_t count)
{
    yyjson_mut_val *columns = yyjson_mut_obj_add_arr(doc, object, "columns");
    for (size_t i = 0; i < count; i++) {
        yyjson_mut_val *column = yyjson_mut_arr_add_obj(doc, columns);
        yyjson_mut_obj_add_str(doc, column, "name", items[i].name);
        yyjson_mut_obj_add_str(doc, column, "type", items[i].type);
    }
}

static void add_files(yyjson_mut_doc *doc, yyjson_mut_val *frame, const struct ap_plan_files *files, size_t count)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, frame, "files");
    yyjson_mut_obj_add_bool(doc, object, "byName", files->by_name);
    add_columns(doc, object, files->columns, files->column_count);
    yyjson_mut_val *folders = yyjson_mut_obj_add_arr(doc, object, "folders");
    for (size_t i = 0; i < files->folder_count; i++) yyjson_mut_arr_add_str(doc, folders, files->folders[i]);
    yyjson_mut_val *sizes = yyjson_mut_obj_add_arr(doc, object, "sizes");
    for (size_t i = 0; i < count; i++) yyjson_mut_arr_add_uint(doc, sizes, files->sizes[i]);
    yyjson_mut_val *etags = yyjson_mut_obj_add_arr(doc, object, "etags");
    for (size_t i = 0; i < count; i++) yyjson_mut_arr_add_str(doc, etags, files->etags[i]);
    if (files->reader == AP_PLAN_PARQUET) return;
    yyjson_mut_obj_add_str(doc, object, "reader", ap_plan_reader_names[files->reader]);
    yyjson_mut_obj_add_str(doc, object, "options", files->options);
    add_list(doc, object, "witnesses", &files->witnesses);
}

static void add_frame(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct ap_plan_frame *frame)
{
    yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
    if (frame->files != NULL)
        add_files(doc, object, frame->files, frame->cell_count);
    else {
        yyjson_mut_obj_add_str(doc, object, "hive", frame->name.hive);
        yyjson_mut_obj_add_str(doc, object, "box", frame->name.box);
        yyjson_mut_obj_add_str(doc, object, "frame", frame->name.frame);
        yyjson_mut_obj_add_str(doc, object, "id", frame->id.text);
        yyjson_mut_obj_add_uint(doc, object, "version", frame->version);
    }
    yyjson_mut_obj_add_str(doc, object, "view", frame->view);
    yyjson_mut_obj_add_uint(doc, object, "bytes", frame->bytes);
    yyjson_mut_val *cells = yyjson_mut_obj_add_arr(doc, object, "cells");
    for (size_t i = 0; i < frame->cell_count; i++)
        yyjson_mut_arr_add_str(doc, cells, frame->cells[i]);
}

/* One stands by its old name: nodes that know of one alone read it. */
static void add_shards(yyjson_mut_doc *doc, yyjson_mut_val *object, const struct ap_plan_stage *stage)
{
    struct ap_plan_list all = { stage->shards, stage->shard_count };
    if (stage->shard_count == 1) yyjson_mut_obj_add_uint(doc, object, "shardFrame", stage->shards[0]);
    else add_list(doc, object, "shardFrames", &all);
}

static void add_stage(yyjson_mut_doc *doc, yyjson_mut_val *list, const struct ap_plan_stage *stage)
{
    yyjson_mut_val *object = yyjson_mut_arr_add_obj(doc, list);
    yyjson_mut_obj_add_str(doc, object, "kind", ap_cut_kind_text(stage->kind));
    if (stage->kind != AP_CUT_WHOLE) {
        yyjson_mut_obj_add_str(doc, object, "fragment", stage->fragment_sql);
        add_shards(doc, object, stage);
        yyjson_mut_val *tasks = yyjson_mut_obj_add_arr(doc, object, "tasks");
        for (size_t i = 0; i < stage->task_count; i++) {
            yyjson_mut_val *task = yyjson_mut_arr_add_arr(doc, tasks);
            yyjson_mut_arr_add_uint(doc, task, stage->tasks[i].first);
            yyjson_mut_arr_add_uint(doc, task, stage->tasks[i].count);
            yyjson_mut_arr_add_uint(doc, task, stage->tasks[i].bytes);
        }
        add_list(doc, object, "fragmentFrames", &stage->fragment_frames);
        add_list(doc, object, "fragmentStages", &stage->fragment_stages);
        yyjson_mut_obj_add_str(doc, object, "mergedView", stage->merged_view);
    }
    yyjson_mut_obj_add_str(doc, object, "merge", stage->merge_sql);
    add_list(doc, object, "mergeFrames", &stage->merge_frames);
    add_list(doc, object, "mergeStages", &stage->merge_stages);
    add_columns(doc, object, stage->columns, stage->column_count);
    add_text(doc, object, "resultView", stage->result_view);
}

static void add_texts(
    yyjson_mut_doc *doc, yyjson_mut_val *object, const char *key, const char **items, size_t count)
{
    yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, object, key);
    for (size_t i = 0; i < count; i++) yyjson_mut_arr_add_str(doc, list, items[i]);
}

static void add_compaction(yyjson_mut_doc *doc, yyjson_mut_val *write, const struct ap_plan_compaction *compaction)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, write, "compaction");
    yyjson_mut_val *bins = yyjson_mut_obj_add_arr(doc, object, "bins");
    for (size_t i = 0; i < compaction->bin_count; i++) yyjson_mut_arr_add_uint(doc, bins, compaction->bins[i]);
    add_texts(doc, object, "clusterBy", compaction->cluster_by, compaction->cluster_count);
    yyjson_mut_obj_add_str(doc, object, "condition", compaction->condition);
}

static void add_write(yyjson_mut_doc *doc, yyjson_mut_val *root, const struct ap_plan_write *write)
{
    yyjson_mut_val *object = yyjson_mut_obj_add_obj(doc, root, "write");
    yyjson_mut_obj_add_str(doc, object, "hive", write->name.hive);
    yyjson_mut_obj_add_str(doc, object, "box", write->name.box);
    yyjson_mut_obj_add_str(doc, object, "frame", write->name.frame);
    if (write->id.text[0] != '\0') {
        yyjson_mut_obj_add_str(doc, object, "id", write->id.text);
        yyjson_mut_obj_add_uint(doc, object, "base", write->base);
    }
    add_text(doc, object, "location", write->location);
    if (write->schema != NULL) {
        yyjson_mut_obj_add_str(doc, object, "schema", write->schema);
        yyjson_mut_obj_add_str(doc, object, "description", write->description);
        add_texts(doc, object, "partitionBy", write->partition_by, write->partition_count);
        add_texts(doc, object, "properties", write->properties, 2 * write->property_count);
    }
    yyjson_mut_obj_add_str(doc, object, "operation", write->operation);
    yyjson_mut_obj_add_bool(doc, object, "replaceAll", write->replace_all);
    yyjson_mut_obj_add_bool(doc, object, "readsTarget", write->reads_target);
    yyjson_mut_obj_add_bool(doc, object, "inTasks", write->in_tasks);
    yyjson_mut_obj_add_bool(doc, object, "sort", write->sort);
    yyjson_mut_obj_add_str(doc, object, "head", write->head);
    yyjson_mut_obj_add_str(doc, object, "tail", write->tail);
    yyjson_mut_obj_add_uint(doc, object, "cellBytes", write->cell_bytes);
    yyjson_mut_obj_add_uint(doc, object, "partitionsMax", write->partitions_max);
    if (write->compaction != NULL) add_compaction(doc, object, write->compaction);
}

enum apiary_code ap_plan_write(
    const struct ap_plan *plan, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_JSON_MUT *doc = yyjson_mut_doc_new(ap_json_alc());
    if (doc == NULL) return ap_fail_memory(err, "a plan");
    yyjson_mut_val *root = yyjson_mut_obj(doc);
    yyjson_mut_doc_set_root(doc, root);
    yyjson_mut_obj_add_uint(doc, root, "format", AP_PLAN_FORMAT);
    yyjson_mut_val *setup = yyjson_mut_obj_add_arr(doc, root, "setup");
    for (size_t i = 0; i < plan->setup_count; i++)
        yyjson_mut_arr_add_str(doc, setup, plan->setup[i]);
    yyjson_mut_obj_add_str(doc, root, "use", plan->use);
    AP_TRY(add_value(doc, root, "settings", plan->settings, err));
    AP_TRY(add_value(doc, root, "values", plan->values, err));
    yyjson_mut_val *frames = yyjson_mut_obj_add_arr(doc, root, "frames");
    for (size_t i = 0; i < plan->frame_count; i++) add_frame(doc, frames, &plan->frames[i]);
    yyjson_mut_val *stages = yyjson_mut_obj_add_arr(doc, root, "stages");
    for (size_t i = 0; i < plan->stage_count; i++) add_stage(doc, stages, &plan->stages[i]);
    yyjson_mut_obj_add_bool(doc, root, "replayable", plan->replayable);
    add_text(doc, root, "doubt", plan->doubt);
    if (plan->write != NULL) add_write(doc, root, plan->write);
    return ap_json_write(doc, out, err);
}
