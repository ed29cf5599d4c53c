#include "core/alloc.h"
#include "ledger/column_mapping.h"
#include "ledger/fold.h"
#include "ledger/prune_private.h"

/* Text that stands for a count; -1 when it does not. */
static int64_t count_of(struct ap_str text)
{
    int64_t number;
    return ap_str_to_i64(text, &number) && number >= 0 ? number : -1;
}

static struct ap_str scalar_text(yyjson_val *value)
{
    if (yyjson_is_raw(value))
        return (struct ap_str) { yyjson_get_raw(value), yyjson_get_len(value) };
    if (yyjson_is_str(value))
        return (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) };
    if (yyjson_is_bool(value)) return yyjson_get_bool(value) ? AP_STR("true") : AP_STR("false");
    return (struct ap_str) { NULL, 0 };
}

void ap_stats_reader_done(struct ap_stats_reader *reader)
{
    yyjson_doc_free(reader->doc);
    *reader = (struct ap_stats_reader) { .row_count = -1 };
}

void ap_stats_reader_open(struct ap_stats_reader *reader, struct ap_str stats)
{
    ap_stats_reader_done(reader);
    if (stats.size == 0) return;
    /* Numbers as text keep every digit of a decimal. The text is only read without INSITU. */
    reader->doc = yyjson_read_opts((char *)(uintptr_t)stats.data, stats.size,
        YYJSON_READ_NUMBER_AS_RAW | YYJSON_READ_ALLOW_INF_AND_NAN, ap_json_alc(), NULL);
    yyjson_val *root = yyjson_doc_get_root(reader->doc);
    if (!yyjson_is_obj(root)) return;
    struct ap_str rows = scalar_text(yyjson_obj_get(root, "numRecords"));
    if (rows.data) reader->row_count = count_of(rows);
    bool tight;
    reader->wide = ap_json_bool(root, "tightBounds", &tight) && !tight;
    reader->min = ap_json_member(root, "minValues");
    reader->max = ap_json_member(root, "maxValues");
    reader->nulls = ap_json_member(root, "nullCount");
}

static yyjson_val *member_at(yyjson_val *object, const struct ap_column_path *column)
{
    for (size_t i = 0; i < column->depth && object; i++)
        object = yyjson_obj_getn(object, column->names[i].data, column->names[i].size);
    return object;
}

bool ap_stats_text(yyjson_val *object, const struct ap_column_path *column, struct ap_str *out)
{
    struct ap_str text = scalar_text(member_at(object, column));
    if (!text.data) return false;
    *out = text;
    return true;
}

int64_t ap_stats_nulls(const struct ap_stats_reader *reader, const struct ap_column_path *column)
{
    struct ap_str text;
    return ap_stats_text(reader->nulls, column, &text) ? count_of(text) : -1;
}

/* Nearly all writers begin with numRecords; only other texts are parsed. */
int64_t ap_stats_row_count(struct ap_str stats)
{
    static const char first[] = "{\"numRecords\":";
    if (stats.size == 0) return -1;
    struct ap_str prefix = { first, sizeof first - 1 };
    if (ap_str_starts_with(stats, prefix)) {
        size_t begin = prefix.size;
        if (begin < stats.size && stats.data[begin] == ' ') begin++;
        size_t end = begin;
        while (end < stats.size && stats.data[end] >= '0' && stats.data[end] <= '9') end++;
        if (end > begin && end < stats.size && (stats.data[end] == ',' || stats.data[end] == '}'))
            return count_of((struct ap_str) { stats.data + begin, end - begin });
    }
    struct ap_stats_reader reader = { .row_count = -1 };
    ap_stats_reader_open(&reader, stats);
    int64_t count = reader.row_count;
    ap_stats_reader_done(&reader);
    return count;
}

void ap_column_resolve(const struct ap_snapshot *snapshot, const struct ap_str *path, size_t depth,
    struct ap_column_path *out)
{
    *out = (struct ap_column_path) { .partition = SIZE_MAX };
    struct ap_schema level = snapshot->metadata.schema;
    if (depth == 0 || depth > AP_PATH_DEPTH_MAX) return;
    const struct ap_type *type = NULL;
    for (size_t i = 0; i < depth; i++) {
        if (type && type->kind != AP_TYPE_STRUCT) return;
        size_t at = ap_schema_find(&level, path[i]);
        if (at == SIZE_MAX) return;
        const struct ap_field *field = &level.fields[at];
        out->names[i] = ap_field_physical(field);
        for (size_t p = 0; i == 0 && p < snapshot->metadata.partition_count; p++)
            if (snapshot->metadata.partition_columns[p] == at) out->partition = p;
        type = &field->type;
        level = (struct ap_schema) { type->children, type->child_count };
    }
    out->depth = depth;
    out->type = type;
}
