/* The SELECT that gives a frame's rows: one read_parquet for each shape of its cells.
 *
 *   own       tagged by our writer with the schema in force: columns are taken as they are
 *   foreign   anything else (other engines, older schemas): the columns are asked for
 *             (DESCRIBE with union_by_name), missing ones become NULL, others are cast
 *   deleted   with a deletion vector: like foreign, without the rows that it names
 *
 * Partition columns never come from the files: every cell is granted under a virtual name with
 * folders "apiary_p{i}={value}", which the engine turns into columns. */
#include "query/shape.h"
#include "query/mapping.h"
#include "query/types.h"

#include "core/alloc.h"
#include "core/codec.h"
#include "core/map.h"
#include "core/time.h"
#include "ledger/column_mapping.h"

enum shape { SHAPE_OWN, SHAPE_FOREIGN, SHAPE_DELETED, SHAPES };

#define PARTITION_KEY "apiary_p"

enum apiary_code ap_shape_tags(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        AP_TRY(ap_sql_name(&text, ap_field_physical(field), err));
        AP_TRY(ap_bytes_add_text(&text, " ", err));
        AP_TRY(ap_type_text(&field->type, &text, err));
        AP_TRY(ap_bytes_add_text(&text, ",", err));
    }
    AP_TRY(ap_bytes_add_text(&text, "|", err));
    for (size_t i = 0; i < metadata->partition_count; i++)
        AP_TRY(ap_sql_name(&text, metadata->partition_by[i], err));
    return ap_bytes_printf(out, err, "{\"apiary.shape\":\"1-%016llx\"}",
        (unsigned long long)ap_hash_bytes(ap_bytes_text(&text), text.size, 0));
}

static enum shape shape_of(const struct ap_cell *cell, struct ap_str own_tag)
{
    if (cell->deletion_vector.storage.size > 0) return SHAPE_DELETED;
    struct ap_str value = { own_tag.data + 1,
        own_tag.size - 2 }; /* without the braces: tags may hold more */
    return ap_str_find(cell->tags, value) != SIZE_MAX ? SHAPE_OWN : SHAPE_FOREIGN;
}

/* The index of a column among the partition columns, or SIZE_MAX. */
static size_t partition_index(const struct ap_metadata *metadata, struct ap_str name)
{
    for (size_t i = 0; i < metadata->partition_count; i++)
        if (ap_str_equal_nocase(metadata->partition_by[i], name)) return i;
    return SIZE_MAX;
}

/* The value as the engine's hive partitioning reads it: percent-encoded, the first byte always, so
 * that the text NULL stays a text; instants in UTC with their zone. */
static enum apiary_code add_partition_value(
    struct ap_bytes *out, const struct ap_type *type, struct ap_str value, struct apiary_error *err)
{
    char normal[AP_TIME_TEXT_MAX], with_zone[AP_TIME_TEXT_MAX + 4];
    int64_t us = 0;
    bool zone = false, inexact = false;
    if (type->kind == AP_TYPE_TIMESTAMP && ap_timestamp_parse(value, &us, &zone, &inexact)) {
        ap_timestamp_format(us, ' ', 6, false, normal);
        snprintf(with_zone, sizeof with_zone, "%s+00", normal);
        value = ap_str_from(with_zone);
    }
    AP_TRY(ap_bytes_printf(out, err, "%%%02X", (unsigned char)value.data[0]));
    return ap_percent_encode(out, (struct ap_str) { value.data + 1, value.size - 1 }, "-._", err);
}

static enum apiary_code cell_tail(const struct ap_snapshot *snapshot, const struct ap_cell *cell,
    struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &snapshot->metadata;
    for (size_t i = 0; i < metadata->partition_count; i++) {
        struct ap_str value = cell->partition_values[i];
        AP_TRY(ap_bytes_printf(out, err, PARTITION_KEY "%zu=", i));
        size_t column = ap_schema_find(&metadata->schema, metadata->partition_by[i]);
        ap_assert(column != SIZE_MAX);
        if (value.data == NULL || value.size == 0)
            AP_TRY(ap_bytes_add_text(out, "__HIVE_DEFAULT_PARTITION__", err));
        else
            AP_TRY(add_partition_value(out, &metadata->schema.fields[column].type, value, err));
        AP_TRY(ap_bytes_add_text(out, "/", err));
    }
    return ap_bytes_add_text(out, "c.parquet", err);
}

/* Grants one cell; its virtual name goes to out. */
static enum apiary_code grant(struct ap_source *source, struct ap_scan *scan,
    const struct ap_cell *cell, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) tail = { 0 };
    AP_AUTO(ap_bytes) relative = { 0 };
    AP_AUTO(ap_bytes) key = { 0 };
    bool absolute = false;
    AP_TRY(cell_tail(scan->snapshot, cell, &tail, err));
    AP_TRY(ap_cell_key(cell, &relative, &absolute, err));
    if (absolute)
        return ap_fail(err, APIARY_UNSUPPORTED,
            "frame %s.%s.%s names a cell outside its folder: %s", scan->entry.name.hive,
            scan->entry.name.box, scan->entry.name.frame, ap_bytes_text(&relative));
    if (scan->prefix[0] != '\0') AP_TRY(ap_bytes_printf(&key, err, "%s/", scan->prefix));
    AP_TRY(ap_bytes_add_str(&key, ap_bytes_view(&relative), err));
    size_t number = 0;
    AP_TRY(ap_cell_set_add(source->cells, scan->store, ap_bytes_text(&key),
        (uint64_t)cell->size_bytes, cell->modified_ms, ap_bytes_text(&tail), &number, err));
    return ap_bytes_printf(out, err, "/cells/%zu/%s", number, ap_bytes_text(&tail));
}

/* Shares of the cells, a list of virtual names for each shape. */
struct lists {
    struct ap_bytes files[SHAPES]; /* 'a','b',… */
    size_t counts[SHAPES];
    struct ap_bytes deleted_rows; /* CSV: virtual name, row */
};

static void lists_done(struct lists *lists)
{
    for (int i = 0; i < SHAPES; i++) ap_bytes_done(&lists->files[i]);
    ap_bytes_done(&lists->deleted_rows);
}

static enum apiary_code add_deleted_rows(struct ap_scan *scan, const struct ap_cell *cell,
    struct ap_str name, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO_FREE uint64_t *rows = NULL;
    size_t count = 0;
    AP_TRY(ap_deletion_vector_read(scan->ledger, cell, &rows, &count, err));
    for (size_t i = 0; i < count; i++)
        AP_TRY(
            ap_bytes_printf(out, err, AP_FMT ",%llu\n", AP_ARG(name), (unsigned long long)rows[i]));
    return APIARY_OK;
}

/* Fields of structs are renamed by what the files say that they hold, so they are asked. */
static bool fields_renamed(const struct ap_schema *schema)
{
    for (size_t i = 0; i < schema->field_count; i++)
        if (ap_mapping_needed(&schema->fields[i].type)) return true;
    return false;
}

static enum apiary_code share_out(
    struct ap_source *source, struct ap_scan *scan, struct lists *lists, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) tag = { 0 };
    AP_AUTO(ap_bytes) name = { 0 };
    AP_TRY(ap_shape_tags(&scan->snapshot->metadata, &tag, err));
    AP_TRY(ap_cell_set_scan(source->cells, err));
    bool renames = fields_renamed(&scan->snapshot->metadata.schema);
    for (size_t i = 0; i < scan->snapshot->cell_count; i++) {
        if (scan->reasons[i] != AP_KEPT) continue;
        const struct ap_cell *cell = &scan->snapshot->cells[i];
        enum shape shape = shape_of(cell, ap_bytes_view(&tag));
        if (shape == SHAPE_OWN && renames) shape = SHAPE_FOREIGN;
        ap_bytes_clear(&name);
        AP_TRY(grant(source, scan, cell, &name, err));
        if (lists->counts[shape]++ > 0) AP_TRY(ap_bytes_add_text(&lists->files[shape], ",", err));
        AP_TRY(ap_sql_string(&lists->files[shape], ap_bytes_view(&name), err));
        if (shape == SHAPE_DELETED)
            AP_TRY(add_deleted_rows(scan, cell, ap_bytes_view(&name), &lists->deleted_rows, err));
    }
    return APIARY_OK;
}

/* ", hive_partitioning = true, hive_types = {…}" */
static enum apiary_code add_reader_options(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err)
{
    if (metadata->partition_count == 0)
        return ap_bytes_add_text(out, ", hive_partitioning = false", err);
    AP_TRY(ap_bytes_add_text(
        out, ", hive_partitioning = true, hive_types_autocast = false, hive_types = {", err));
    for (size_t i = 0; i < metadata->partition_count; i++) {
        size_t column = ap_schema_find(&metadata->schema, metadata->partition_by[i]);
        AP_TRY(ap_bytes_printf(out, err, "%s'" PARTITION_KEY "%zu': '", i > 0 ? ", " : "", i));
        AP_TRY(ap_type_to_engine(&metadata->schema.fields[column].type, out, err));
        AP_TRY(ap_bytes_add_text(out, "'", err));
    }
    return ap_bytes_add_text(out, "}", err);
}

/* How a column of a foreign file becomes the frame's type. Timestamps change between with and
 * without zone by UTC, whatever the session's zone is. */
static enum apiary_code add_cast(struct ap_bytes *out, struct ap_str column,
    struct ap_str file_type, const struct ap_type *type, struct apiary_error *err)
{
    bool file_zone = ap_str_is(file_type, "TIMESTAMP WITH TIME ZONE");
    bool file_plain = !file_zone && ap_str_starts_with(file_type, AP_STR("TIMESTAMP"));
    bool between = (type->kind == AP_TYPE_TIMESTAMP && file_plain) ||
                   (type->kind == AP_TYPE_TIMESTAMP_NTZ && file_zone);
    AP_AUTO(ap_bytes) name = { 0 };
    AP_TRY(ap_sql_name(&name, column, err));
    AP_TRY(ap_bytes_add_text(out, "CAST(", err));
    if (ap_mapping_needed(type))
        AP_TRY(ap_mapping_sql(out, ap_bytes_view(&name), type, file_type, err));
    else
        AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&name), err));
    if (between) AP_TRY(ap_bytes_add_text(out, " AT TIME ZONE 'UTC'", err));
    AP_TRY(ap_bytes_add_text(out, " AS ", err));
    AP_TRY(ap_type_to_engine(type, out, err));
    return ap_bytes_add_text(out, ")", err);
}

/* The select list in the schema's order. described NULL: the files hold exactly our columns. */
static enum apiary_code add_columns(const struct ap_metadata *metadata,
    const struct ap_described_list *described, const struct ap_opaque *opaque, struct ap_bytes *out,
    struct apiary_error *err)
{
    AP_AUTO(ap_bytes) value = { 0 };
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        const struct ap_field *field = &metadata->schema.fields[i];
        struct ap_str physical = ap_field_physical(field);
        size_t partition = partition_index(metadata, field->name);
        const struct ap_described *found = NULL;
        for (size_t j = 0; described != NULL && found == NULL && j < described->count; j++)
            if (ap_str_equal_nocase(ap_str_from(described->items[j].name), physical))
                found = &described->items[j];

        ap_bytes_clear(&value);
        bool read = true; /* not a constant */
        if (partition != SIZE_MAX)
            AP_TRY(ap_bytes_printf(&value, err, PARTITION_KEY "%zu", partition));
        else if (field->type.kind == AP_TYPE_VOID || (described != NULL && found == NULL)) {
            read = false;
            AP_TRY(ap_bytes_add_text(&value, "CAST(NULL AS ", err));
            AP_TRY(ap_type_to_engine(&field->type, &value, err));
            AP_TRY(ap_bytes_add_text(&value, ")", err));
        } else if (found != NULL)
            AP_TRY(add_cast(
                &value, ap_str_from(found->name), ap_str_from(found->type), &field->type, err));
        else
            AP_TRY(ap_sql_name(&value, physical, err));
        if (i > 0) AP_TRY(ap_bytes_add_text(out, ", ", err));
        bool hidden = ap_opaque(opaque) || (opaque->extremes && partition != SIZE_MAX);
        if (hidden && read) /* the value, but no column of the file: opaque.c */
            AP_TRY(ap_bytes_printf(
                out, err, "coalesce(%s, %s)", ap_bytes_text(&value), ap_bytes_text(&value)));
        else
            AP_TRY(ap_bytes_add_str(out, ap_bytes_view(&value), err));
        AP_TRY(ap_bytes_add_text(out, " AS ", err));
        AP_TRY(ap_sql_name(out, field->name, err));
    }
    return APIARY_OK;
}

static enum apiary_code add_own(const struct ap_metadata *metadata, const struct ap_opaque *opaque,
    struct ap_str files, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    AP_TRY(add_columns(metadata, NULL, opaque, out, err));
    AP_TRY(ap_bytes_printf(out, err, " FROM read_parquet([" AP_FMT "]", AP_ARG(files)));
    AP_TRY(add_reader_options(metadata, out, err));
    return ap_bytes_add_text(out, ")", err);
}

static enum apiary_code add_foreign(struct ap_source *source, const struct ap_metadata *metadata,
    struct ap_str files, struct ap_str deleted_rows, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) reader = { 0 };
    AP_AUTO(ap_bytes) ask = { 0 };
    AP_TRY(ap_bytes_printf(
        &reader, err, "read_parquet([" AP_FMT "], union_by_name = true", AP_ARG(files)));
    AP_TRY(add_reader_options(metadata, &reader, err));
    AP_TRY(ap_bytes_printf(&ask, err, "SELECT * FROM %s)", ap_bytes_text(&reader)));
    AP_AUTO(ap_described_list) described = { 0 };
    AP_TRY(ap_source_describe(source, ap_bytes_view(&ask), NULL, &described, err));

    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    AP_TRY(add_columns(metadata, &described, &source->opaque, out, err));
    AP_TRY(ap_bytes_printf(out, err, " FROM %s", ap_bytes_text(&reader)));
    if (deleted_rows.size == 0) return ap_bytes_add_text(out, ")", err);

    size_t number = 0;
    AP_TRY(ap_cell_set_add_bytes(source->cells, deleted_rows, "deleted.csv", &number, err));
    return ap_bytes_printf(out, err,
        ", filename = 'apiary_file', file_row_number = true) AS kept WHERE NOT EXISTS (SELECT 1 "
        "FROM "
        "read_csv('/files/%zu/deleted.csv', header = false, auto_detect = false, delim = ',', "
        "quote = '', escape = '', "
        "columns = {'f': 'VARCHAR', 'r': 'BIGINT'}) AS gone WHERE gone.f = kept.apiary_file AND "
        "gone.r = kept.file_row_number)",
        number);
}

/* No cell: no rows, but every column in its type. */
enum apiary_code ap_nothing_column(
    struct ap_bytes *out, struct ap_str type, struct ap_str name, struct apiary_error *err)
{
    AP_TRY(ap_bytes_printf(out, err, "%sCAST(NULL AS " AP_FMT ") AS ", out->size > 0 ? ", " : "SELECT ", AP_ARG(type)));
    return ap_sql_name(out, name, err);
}

enum apiary_code ap_nothing_end(struct ap_bytes *out, struct apiary_error *err)
{
    return ap_bytes_add_text(out, " WHERE false", err);
}

enum apiary_code ap_shape_nothing(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) select = { 0 };
    AP_AUTO(ap_bytes) type = { 0 };
    for (size_t i = 0; i < metadata->schema.field_count; i++) {
        ap_bytes_clear(&type);
        AP_TRY(ap_type_to_engine(&metadata->schema.fields[i].type, &type, err));
        AP_TRY(ap_nothing_column(&select, ap_bytes_view(&type), metadata->schema.fields[i].name, err));
    }
    AP_TRY(ap_nothing_end(&select, err));
    return ap_bytes_add_str(out, ap_bytes_view(&select), err);
}

enum apiary_code ap_shape_sql(
    struct ap_source *source, struct ap_scan *scan, struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_metadata *metadata = &scan->snapshot->metadata;
    __attribute__((cleanup(lists_done))) struct lists lists = { 0 };
    AP_TRY(share_out(source, scan, &lists, err));
    bool any = false;
    for (int shape = 0; shape < SHAPES; shape++) {
        if (lists.counts[shape] == 0) continue;
        if (any) AP_TRY(ap_bytes_add_text(out, " UNION ALL ", err));
        any = true;
        struct ap_str files = ap_bytes_view(&lists.files[shape]);
        if (shape == SHAPE_OWN)
            AP_TRY(add_own(metadata, &source->opaque, files, out, err));
        else
            AP_TRY(add_foreign(source, metadata, files,
                shape == SHAPE_DELETED ? ap_bytes_view(&lists.deleted_rows) : (struct ap_str) { 0 },
                out, err));
    }
    return any ? APIARY_OK : ap_shape_nothing(metadata, out, err);
}
