/* What columns a checkpoint file has, and the SQL that asks for them (checkpoint_private.h). */
#include "ledger/checkpoint_private.h"

/* ---- shapes ---- */

/* Does the path of a leaf begin with these names? */
static bool below(const char *path, const char *prefix)
{
    size_t size = strlen(prefix);
    return strncmp(path, prefix, size) == 0 &&
           (path[size] == 0 || strncmp(path + size, ", ", 2) == 0);
}

static uint32_t flags_of(const char *path)
{
    static const struct {
        const char *prefix;
        uint32_t flag;
    } columns[] = {
        { "txn", AP_HAS_TXN },
        { "protocol", AP_HAS_PROTOCOL },
        { "metaData", AP_HAS_METADATA },
        { "domainMetadata", AP_HAS_DOMAIN },
        { "sidecar", AP_HAS_SIDECAR },
        { "add, path", AP_HAS_ADD },
        { "add, partitionValues", AP_HAS_ADD_VALUES },
        { "add, partitionValues_parsed", AP_HAS_ADD_VALUES_PARSED },
        { "add, stats", AP_HAS_ADD_STATS },
        { "add, stats_parsed", AP_HAS_ADD_STATS_PARSED },
        { "add, tags", AP_HAS_ADD_TAGS },
        { "add, modificationTime", AP_HAS_ADD_TIME },
        { "add, deletionVector, storageType", AP_HAS_ADD_VECTOR },
        { "add, deletionVector, offset", AP_HAS_ADD_VECTOR_OFFSET },
        { "add, baseRowId", AP_HAS_ADD_ROW_ID },
        { "add, defaultRowCommitVersion", AP_HAS_ADD_ROW_VERSION },
        { "remove, path", AP_HAS_REMOVE },
        { "remove, deletionTimestamp", AP_HAS_REMOVE_TIME },
        { "remove, size", AP_HAS_REMOVE_SIZE },
        { "remove, deletionVector, storageType", AP_HAS_REMOVE_VECTOR },
        { "remove, deletionVector, offset", AP_HAS_REMOVE_VECTOR_OFFSET },
    };
    uint32_t flags = 0;
    for (size_t i = 0; i < sizeof columns / sizeof *columns; i++)
        if (below(path, columns[i].prefix)) flags |= columns[i].flag;
    return flags;
}

/* The i of '/cells/{i}/o.parquet'. */
static bool file_number(const char *file, uint64_t *number)
{
    struct ap_str text = ap_str_from(file), prefix = AP_STR("/cells/");
    if (!ap_str_starts_with(text, prefix)) return false;
    const char *digits = file + prefix.size;
    return ap_str_to_u64((struct ap_str) { digits, strcspn(digits, "/") }, number);
}

enum apiary_code ap_checkpoint_shapes(const struct ap_parquet_leaf *leaves, size_t leaf_count,
    uint32_t *shapes, size_t count, struct apiary_error *err)
{
    for (size_t i = 0; i < count; i++) shapes[i] = 0;
    for (size_t i = 0; i < leaf_count; i++) {
        uint64_t number;
        if (!file_number(leaves[i].file, &number) || number >= count)
            return ap_fail(err, APIARY_INTERNAL, "the engine answered for an unknown file \"%s\"",
                leaves[i].file);
        if (!leaves[i].all_null) shapes[number] |= flags_of(leaves[i].path);
    }
    return APIARY_OK;
}

/* ---- SQL ---- */

static enum apiary_code add_files(
    struct ap_bytes *out, const size_t *numbers, size_t count, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "[", err));
    for (size_t i = 0; i < count; i++)
        AP_TRY(ap_bytes_printf(
            out, err, "%s'/cells/%zu/o.parquet'", i ? ", " : "", numbers ? numbers[i] : i));
    return ap_bytes_add_text(out, "]", err);
}

enum apiary_code ap_checkpoint_schema_sql(
    struct ap_bytes *out, size_t count, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out,
        "SELECT file_name, path_in_schema, bool_and(coalesce(stats_null_count = num_values, "
        "false)) FROM parquet_metadata(",
        err));
    AP_TRY(add_files(out, NULL, count, err));
    return ap_bytes_add_text(out, ") GROUP BY file_name, path_in_schema", err);
}

enum apiary_code ap_checkpoint_state_sql(struct ap_bytes *out, uint32_t shape,
    const size_t *numbers, size_t count, struct apiary_error *err)
{
    static const struct {
        const char *name;
        uint32_t flag;
    } kinds[] = { { "protocol", AP_HAS_PROTOCOL }, { "metaData", AP_HAS_METADATA },
        { "txn", AP_HAS_TXN }, { "domainMetadata", AP_HAS_DOMAIN }, { "sidecar", AP_HAS_SIDECAR } };
    AP_AUTO(ap_bytes) where = { 0 };
    bool any = false;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!(shape & kinds[i].flag)) continue;
        AP_TRY(ap_bytes_printf(out, err, "%s%s := \"%s\"",
            any ? ", " : "SELECT to_json(struct_pack(", kinds[i].name, kinds[i].name));
        AP_TRY(
            ap_bytes_printf(&where, err, "%s\"%s\" IS NOT NULL", any ? " OR " : "", kinds[i].name));
        any = true;
    }
    if (!any) return APIARY_OK;
    AP_TRY(ap_bytes_add_text(out, "))::VARCHAR FROM read_parquet(", err));
    AP_TRY(add_files(out, numbers, count, err));
    return ap_bytes_printf(out, err, ") WHERE %s", ap_bytes_text(&where));
}

static enum apiary_code add_quoted(
    struct ap_bytes *out, char quote, struct ap_str text, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add(out, &quote, 1, err));
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] == quote) AP_TRY(ap_bytes_add(out, &quote, 1, err));
        AP_TRY(ap_bytes_add(out, &text.data[i], 1, err));
    }
    return ap_bytes_add(out, &quote, 1, err);
}

/* What a column of the files' query is made of. A column is there when any of its flags is. */
static const struct {
    char kind;
    uint32_t flags;    /* 0: always there */
    uint32_t add_flag; /* without it adds have null; 0: always */
    const char *add;
    uint32_t remove_flag; /* the same for removes; UINT32_MAX: never */
    const char *remove;
} file_columns[AP_FILE_COLUMNS] = {
    [AP_FILE_IS_ADD] = { 'b', 0, 0, "true", 0, "false" },
    [AP_FILE_PATH] = { 't', 0, 0, "\"add\".path", 0, "\"remove\".path" },
    [AP_FILE_SIZE] = { 'n', 0, 0, "\"add\".size::BIGINT", AP_HAS_REMOVE_SIZE,
        "\"remove\".size::BIGINT" },
    [AP_FILE_TIME] = { 'n', AP_HAS_ADD_TIME | AP_HAS_REMOVE_TIME, AP_HAS_ADD_TIME,
        "\"add\".modificationTime::BIGINT", AP_HAS_REMOVE_TIME,
        "\"remove\".deletionTimestamp::BIGINT" },
    [AP_FILE_STATS] = { 't', AP_HAS_ADD_STATS | AP_HAS_ADD_STATS_PARSED, 0, NULL, UINT32_MAX,
        NULL },
    [AP_FILE_TAGS] = { 't', AP_HAS_ADD_TAGS, AP_HAS_ADD_TAGS,
        "CASE WHEN \"add\".tags IS NULL THEN NULL ELSE to_json(\"add\".tags)::VARCHAR END",
        UINT32_MAX, NULL },
    [AP_FILE_VECTOR_STORAGE] = { 't', AP_HAS_ADD_VECTOR | AP_HAS_REMOVE_VECTOR, AP_HAS_ADD_VECTOR,
        "\"add\".deletionVector.storageType", AP_HAS_REMOVE_VECTOR,
        "\"remove\".deletionVector.storageType" },
    [AP_FILE_VECTOR_PATH] = { 't', AP_HAS_ADD_VECTOR | AP_HAS_REMOVE_VECTOR, AP_HAS_ADD_VECTOR,
        "\"add\".deletionVector.pathOrInlineDv", AP_HAS_REMOVE_VECTOR,
        "\"remove\".deletionVector.pathOrInlineDv" },
    [AP_FILE_VECTOR_OFFSET] = { 'n', AP_HAS_ADD_VECTOR_OFFSET | AP_HAS_REMOVE_VECTOR_OFFSET,
        AP_HAS_ADD_VECTOR_OFFSET, "\"add\".deletionVector.\"offset\"::BIGINT",
        AP_HAS_REMOVE_VECTOR_OFFSET, "\"remove\".deletionVector.\"offset\"::BIGINT" },
    [AP_FILE_VECTOR_SIZE] = { 'n', AP_HAS_ADD_VECTOR | AP_HAS_REMOVE_VECTOR, AP_HAS_ADD_VECTOR,
        "\"add\".deletionVector.sizeInBytes::BIGINT", AP_HAS_REMOVE_VECTOR,
        "\"remove\".deletionVector.sizeInBytes::BIGINT" },
    [AP_FILE_VECTOR_CARDINALITY] = { 'n', AP_HAS_ADD_VECTOR | AP_HAS_REMOVE_VECTOR,
        AP_HAS_ADD_VECTOR, "\"add\".deletionVector.cardinality::BIGINT", AP_HAS_REMOVE_VECTOR,
        "\"remove\".deletionVector.cardinality::BIGINT" },
    [AP_FILE_ROW_ID] = { 'n', AP_HAS_ADD_ROW_ID, AP_HAS_ADD_ROW_ID, "\"add\".baseRowId::BIGINT",
        UINT32_MAX, NULL },
    [AP_FILE_ROW_VERSION] = { 'n', AP_HAS_ADD_ROW_VERSION, AP_HAS_ADD_ROW_VERSION,
        "\"add\".defaultRowCommitVersion::BIGINT", UINT32_MAX, NULL },
};

char ap_checkpoint_file_kind(int column)
{
    return file_columns[column].kind;
}

int ap_checkpoint_file_columns(uint32_t shape, int places[AP_FILE_COLUMNS])
{
    int count = 0;
    for (int i = 0; i < AP_FILE_COLUMNS; i++)
        places[i] = file_columns[i].flags == 0 || (shape & file_columns[i].flags) ? count++ : -1;
    return count;
}

static const char *stats_expression(uint32_t shape)
{
    bool text = shape & AP_HAS_ADD_STATS, parsed = shape & AP_HAS_ADD_STATS_PARSED;
    if (text && parsed) return "coalesce(\"add\".stats, to_json(\"add\".stats_parsed)::VARCHAR)";
    return text ? "\"add\".stats" : "to_json(\"add\".stats_parsed)::VARCHAR";
}

static enum apiary_code add_column(
    struct ap_bytes *out, uint32_t shape, int column, bool add, struct apiary_error *err)
{
    const char *text = add ? file_columns[column].add : file_columns[column].remove;
    uint32_t flag = add ? file_columns[column].add_flag : file_columns[column].remove_flag;
    if (column == AP_FILE_STATS && add) text = stats_expression(shape);
    bool there = flag == 0 || (flag != UINT32_MAX && (shape & flag));
    if (!there) text = file_columns[column].kind == 't' ? "NULL::VARCHAR" : "NULL::BIGINT";
    return ap_bytes_printf(out, err, "%s%s", column ? ", " : "SELECT ", text);
}

static enum apiary_code add_columns(
    struct ap_bytes *out, uint32_t shape, bool add, struct apiary_error *err)
{
    int places[AP_FILE_COLUMNS];
    ap_checkpoint_file_columns(shape, places);
    for (int i = 0; i < AP_FILE_COLUMNS; i++)
        if (places[i] >= 0) AP_TRY(add_column(out, shape, i, add, err));
    return APIARY_OK;
}

static enum apiary_code add_partition(
    struct ap_bytes *out, uint32_t shape, struct ap_str name, struct apiary_error *err)
{
    if (shape & AP_HAS_ADD_VALUES) {
        AP_TRY(ap_bytes_add_text(out, ", \"add\".partitionValues[", err));
        AP_TRY(add_quoted(out, '\'', name, err));
        return ap_bytes_add_text(out, "]", err);
    }
    if (!(shape & AP_HAS_ADD_VALUES_PARSED)) return ap_bytes_add_text(out, ", NULL::VARCHAR", err);
    AP_TRY(ap_bytes_add_text(out, ", \"add\".partitionValues_parsed.", err));
    AP_TRY(add_quoted(out, '"', name, err));
    return ap_bytes_add_text(out, "::VARCHAR", err);
}

enum apiary_code ap_checkpoint_files_sql(struct ap_bytes *out, uint32_t shape,
    const size_t *numbers, size_t count, const struct ap_str *partition_names,
    size_t partition_count, struct apiary_error *err)
{
    if (shape & AP_HAS_ADD) {
        AP_TRY(add_columns(out, shape, true, err));
        for (size_t i = 0; i < partition_count; i++)
            AP_TRY(add_partition(out, shape, partition_names[i], err));
        AP_TRY(ap_bytes_add_text(out, " FROM read_parquet(", err));
        AP_TRY(add_files(out, numbers, count, err));
        AP_TRY(ap_bytes_add_text(out, ") WHERE \"add\".path IS NOT NULL", err));
    }
    if (!(shape & AP_HAS_REMOVE)) return APIARY_OK;
    if (shape & AP_HAS_ADD) AP_TRY(ap_bytes_add_text(out, " UNION ALL ", err));
    AP_TRY(add_columns(out, shape, false, err));
    for (size_t i = 0; i < partition_count; i++)
        AP_TRY(ap_bytes_add_text(out, ", NULL::VARCHAR", err));
    AP_TRY(ap_bytes_add_text(out, " FROM read_parquet(", err));
    AP_TRY(add_files(out, numbers, count, err));
    return ap_bytes_add_text(out, ") WHERE \"remove\".path IS NOT NULL", err);
}
