/* A reader of the Thrift compact protocol, as much as a Parquet footer needs, over bytes that are
 * not trusted: nothing is read behind the end, nothing nests deeper than DEPTH_MAX, and a list has
 * at most as many elements as bytes are left. */
#include "cells/footer.h"

#include "core/alloc.h"

enum {
    DEPTH_MAX = 32,
    GROUPS_MAX = 1000000,
    COLUMNS_MAX = 100000,
    CHUNKS_MAX = 8000000,
    PATH_PARTS_MAX = 100,
    VARINT_BYTES_MAX = 10,
    MAGIC_SIZE = 4,
};

/* Types of the compact protocol. */
enum type {
    TYPE_STOP,
    TYPE_TRUE,
    TYPE_FALSE,
    TYPE_BYTE,
    TYPE_I16,
    TYPE_I32,
    TYPE_I64,
    TYPE_DOUBLE,
    TYPE_BINARY,
    TYPE_LIST,
    TYPE_SET,
    TYPE_MAP,
    TYPE_STRUCT,
    TYPE_UUID
};

struct reader {
    const uint8_t *at, *end;
    bool failed; /* everything that is read then is 0 */
};

struct field {
    enum type type;
    int64_t id;
};

void ap_footer_done(struct ap_footer *footer)
{
    ap_arena_done(&footer->arena);
    memset(footer, 0, sizeof *footer);
}

/* ---- the protocol ---- */

static uint8_t get_byte(struct reader *reader)
{
    if (reader->at == reader->end) reader->failed = true;
    return reader->failed ? 0 : *reader->at++;
}

static uint64_t get_varint(struct reader *reader)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < VARINT_BYTES_MAX; i++) {
        uint8_t byte = get_byte(reader);
        value |= (uint64_t)(byte & 0x7F) << (7 * i);
        if (!(byte & 0x80)) return value;
    }
    reader->failed = true;
    return 0;
}

static int64_t get_integer(struct reader *reader)
{
    uint64_t value = get_varint(reader);
    return (int64_t)(value >> 1 ^ (~(value & 1) + 1)); /* zigzag */
}

static struct ap_str get_binary(struct reader *reader)
{
    uint64_t size = get_varint(reader);
    if (size > (uint64_t)(reader->end - reader->at)) reader->failed = true;
    if (reader->failed) return AP_STR("");
    struct ap_str out = { (const char *)reader->at, (size_t)size };
    reader->at += size;
    return out;
}

/* The next field of a struct; false at its end. */
static bool get_field(struct reader *reader, struct field *field)
{
    uint8_t head = get_byte(reader);
    field->type = (enum type)(head & 0x0F);
    if (reader->failed || field->type == TYPE_STOP) return false;
    if (field->type > TYPE_UUID) reader->failed = true;
    field->id = head >> 4 ? field->id + (head >> 4) : get_integer(reader);
    return !reader->failed;
}

/* Elements of a list and their type. Each takes a byte at least. */
static size_t get_list(struct reader *reader, enum type *type)
{
    uint8_t head = get_byte(reader);
    uint64_t count = head >> 4;
    if (count == 0x0F) count = get_varint(reader);
    *type = (enum type)(head & 0x0F);
    if (*type > TYPE_UUID || count > (uint64_t)(reader->end - reader->at)) reader->failed = true;
    return reader->failed ? 0 : (size_t)count;
}

static void skip(struct reader *reader, enum type type, int depth);

static void skip_struct(struct reader *reader, int depth)
{
    struct field field = { 0 };
    while (get_field(reader, &field)) skip(reader, field.type, depth + 1);
}

static void skip_map(struct reader *reader, int depth)
{
    uint64_t count = get_varint(reader);
    uint8_t types = count ? get_byte(reader) : 0;
    if (count > (uint64_t)(reader->end - reader->at)) reader->failed = true;
    for (uint64_t i = 0; i < count && !reader->failed; i++) {
        skip(reader, (enum type)(types >> 4), depth + 1);
        skip(reader, (enum type)(types & 0x0F), depth + 1);
    }
}

static void skip_bytes(struct reader *reader, size_t size)
{
    if ((size_t)(reader->end - reader->at) < size) reader->failed = true;
    if (!reader->failed) reader->at += size;
}

/* in_list: a boolean is a byte there, and no byte at all in a struct. */
static void skip_value(struct reader *reader, enum type type, bool in_list, int depth)
{
    enum { DOUBLE_SIZE = 8, UUID_SIZE = 16 };
    if (depth > DEPTH_MAX) reader->failed = true;
    if (reader->failed) return;
    switch (type) {
        case TYPE_TRUE:
        case TYPE_FALSE:
            if (in_list) (void)get_byte(reader);
            return;
        case TYPE_BYTE: (void)get_byte(reader); return;
        case TYPE_I16:
        case TYPE_I32:
        case TYPE_I64: (void)get_varint(reader); return;
        case TYPE_DOUBLE: skip_bytes(reader, DOUBLE_SIZE); return;
        case TYPE_BINARY: (void)get_binary(reader); return;
        case TYPE_LIST:
        case TYPE_SET: {
            enum type element = TYPE_STOP;
            size_t count = get_list(reader, &element);
            for (size_t i = 0; i < count && !reader->failed; i++)
                skip_value(reader, element, true, depth + 1);
            return;
        }
        case TYPE_MAP: skip_map(reader, depth); return;
        case TYPE_STRUCT: skip_struct(reader, depth); return;
        case TYPE_UUID: skip_bytes(reader, UUID_SIZE); return;
        case TYPE_STOP: break;
    }
    reader->failed = true;
}

static void skip(struct reader *reader, enum type type, int depth)
{
    skip_value(reader, type, false, depth);
}

/* ---- Parquet ---- */

struct parse {
    struct reader reader;
    struct ap_footer *footer;
    uint64_t file_size;
    struct apiary_error *err;
};

static enum apiary_code broken(struct parse *parse)
{
    return ap_fail(parse->err, APIARY_CORRUPT, "the footer of a Parquet file is broken");
}

static uint64_t integer_of(struct parse *parse, const struct field *field)
{
    if (field->type != TYPE_I32 && field->type != TYPE_I64) {
        parse->reader.failed = true;
        return 0;
    }
    int64_t value = get_integer(&parse->reader);
    return value < 0 ? UINT64_MAX : (uint64_t)value;
}

/* Reads a list's head; 0 and failed when it holds something else. */
static size_t list_of(struct parse *parse, const struct field *field, enum type wanted)
{
    enum type element = TYPE_STOP;
    if (field->type != TYPE_LIST) parse->reader.failed = true;
    size_t count = get_list(&parse->reader, &element);
    if (count && element != wanted) parse->reader.failed = true;
    return parse->reader.failed ? 0 : count;
}

static bool span_fine(const struct parse *parse, struct ap_footer_span span)
{
    return span.length == 0 ||
           (span.offset <= parse->file_size && span.length <= parse->file_size - span.offset);
}

/* "a.b.c" of a path's parts into the arena; text NULL: only read over. */
static enum apiary_code read_path(
    struct parse *parse, const struct field *field, struct ap_str *text)
{
    AP_AUTO(ap_bytes) path = { 0 };
    bool kept = true;
    size_t count = list_of(parse, field, TYPE_BINARY);
    if (count > PATH_PARTS_MAX) parse->reader.failed = true;
    for (size_t i = 0; i < count && !parse->reader.failed; i++) {
        struct ap_str part = get_binary(&parse->reader);
        if (!text) continue;
        if (i) AP_TRY(ap_bytes_add(&path, ".", 1, parse->err));
        AP_TRY(ap_bytes_add_str(&path, part, parse->err));
    }
    if (text) *text = ap_arena_str(&parse->footer->arena, ap_bytes_view(&path), &kept);
    return kept ? APIARY_OK : ap_fail_memory(parse->err, "a footer");
}

static enum apiary_code read_metadata(
    struct parse *parse, struct ap_footer_chunk *chunk, struct ap_str *path)
{
    enum { PATH = 3, COMPRESSED = 7, DATA_PAGE = 9, DICTIONARY_PAGE = 11, BLOOM_AT = 14, BLOOM = 15 };
    uint64_t data_at = UINT64_MAX, dictionary_at = 0;
    for (struct field field = { 0 }; get_field(&parse->reader, &field);) {
        switch (field.id) {
            case PATH: AP_TRY(read_path(parse, &field, path)); break;
            case COMPRESSED: chunk->data.length = integer_of(parse, &field); break;
            case DATA_PAGE: data_at = integer_of(parse, &field); break;
            case DICTIONARY_PAGE: dictionary_at = integer_of(parse, &field); break;
            case BLOOM_AT: chunk->bloom.offset = integer_of(parse, &field); break;
            case BLOOM: chunk->bloom.length = integer_of(parse, &field); break;
            default: skip(&parse->reader, field.type, 0);
        }
    }
    /* Some writers say 0 for no dictionary. */
    chunk->data.offset = dictionary_at >= MAGIC_SIZE && dictionary_at < data_at ? dictionary_at : data_at;
    return APIARY_OK;
}

static enum apiary_code read_chunk(
    struct parse *parse, struct ap_footer_chunk *chunk, struct ap_str *path)
{
    enum { FILE_PATH = 1, METADATA = 3, OFFSETS_AT = 4, OFFSETS = 5, COLUMNS_AT = 6, COLUMNS = 7 };
    bool elsewhere = false;
    for (struct field field = { 0 }; get_field(&parse->reader, &field);) {
        switch (field.id) {
            case FILE_PATH:
                elsewhere = true;
                skip(&parse->reader, field.type, 0);
                break;
            case METADATA:
                if (field.type != TYPE_STRUCT) return broken(parse);
                AP_TRY(read_metadata(parse, chunk, path));
                break;
            case OFFSETS_AT: chunk->offset_index.offset = integer_of(parse, &field); break;
            case OFFSETS: chunk->offset_index.length = integer_of(parse, &field); break;
            case COLUMNS_AT: chunk->column_index.offset = integer_of(parse, &field); break;
            case COLUMNS: chunk->column_index.length = integer_of(parse, &field); break;
            default: skip(&parse->reader, field.type, 0);
        }
    }
    if (elsewhere) memset(chunk, 0, sizeof *chunk); /* bytes of another file: nothing is known */
    if (span_fine(parse, chunk->data) && span_fine(parse, chunk->bloom) &&
        span_fine(parse, chunk->column_index) && span_fine(parse, chunk->offset_index))
        return APIARY_OK;
    return ap_fail(parse->err, APIARY_CORRUPT,
        "the footer of a Parquet file names bytes that lie behind its end");
}

static enum apiary_code read_chunks(struct parse *parse, const struct field *field, size_t group)
{
    struct ap_footer *footer = parse->footer;
    size_t count = list_of(parse, field, TYPE_STRUCT);
    if (group == 0) {
        if (count > COLUMNS_MAX || count * footer->group_count > CHUNKS_MAX)
            return ap_fail(parse->err, APIARY_LIMIT,
                "a Parquet file has %zu columns in %zu row groups; that is more than is read",
                count, footer->group_count);
        footer->column_count = count;
        footer->columns = ap_arena_alloc(&footer->arena, count * sizeof *footer->columns + 1);
        footer->chunks = ap_arena_alloc(
            &footer->arena, count * footer->group_count * sizeof *footer->chunks + 1);
        if (!footer->columns || !footer->chunks) return ap_fail_memory(parse->err, "a footer");
    }
    if (count != footer->column_count) return broken(parse);
    for (size_t i = 0; i < count && !parse->reader.failed; i++)
        AP_TRY(read_chunk(parse, &footer->chunks[group * count + i],
            group == 0 ? &footer->columns[i] : NULL));
    return APIARY_OK;
}

static enum apiary_code read_group(struct parse *parse, size_t group)
{
    enum { COLUMNS = 1, ROWS = 3 };
    bool has_columns = false;
    for (struct field field = { 0 }; get_field(&parse->reader, &field);) {
        switch (field.id) {
            case COLUMNS:
                if (has_columns) return broken(parse);
                has_columns = true;
                AP_TRY(read_chunks(parse, &field, group));
                break;
            case ROWS: parse->footer->group_rows[group] = integer_of(parse, &field); break;
            default: skip(&parse->reader, field.type, 0);
        }
    }
    return has_columns ? APIARY_OK : broken(parse);
}

static enum apiary_code read_groups(struct parse *parse, const struct field *field)
{
    struct ap_footer *footer = parse->footer;
    size_t count = list_of(parse, field, TYPE_STRUCT);
    if (footer->group_rows) return broken(parse);
    if (count > GROUPS_MAX)
        return ap_fail(parse->err, APIARY_LIMIT,
            "a Parquet file has %zu row groups; at most %d are read", count, GROUPS_MAX);
    footer->group_count = count;
    footer->group_rows = ap_arena_alloc(&footer->arena, count * sizeof *footer->group_rows + 1);
    if (!footer->group_rows) return ap_fail_memory(parse->err, "a footer");
    for (size_t i = 0; i < count && !parse->reader.failed; i++) AP_TRY(read_group(parse, i));
    return APIARY_OK;
}

static enum apiary_code read_file(struct parse *parse)
{
    enum { ROWS = 3, GROUPS = 4 };
    for (struct field field = { 0 }; get_field(&parse->reader, &field);) {
        switch (field.id) {
            case ROWS: parse->footer->row_count = integer_of(parse, &field); break;
            case GROUPS: AP_TRY(read_groups(parse, &field)); break;
            default: skip(&parse->reader, field.type, 0);
        }
    }
    if (parse->reader.failed) return broken(parse);
    return APIARY_OK;
}

enum apiary_code ap_footer_length(
    struct ap_str tail, uint64_t file_size, uint64_t *length, struct apiary_error *err)
{
    if (tail.size < AP_FOOTER_TAIL || file_size < AP_FOOTER_TAIL + MAGIC_SIZE)
        return ap_fail(err, APIARY_CORRUPT, "%llu bytes are no Parquet file",
            (unsigned long long)file_size);
    const uint8_t *at = (const uint8_t *)tail.data + tail.size - AP_FOOTER_TAIL;
    if (memcmp(at + MAGIC_SIZE, "PARE", MAGIC_SIZE) == 0)
        return ap_fail(err, APIARY_UNSUPPORTED, "an encrypted Parquet file cannot be read");
    if (memcmp(at + MAGIC_SIZE, "PAR1", MAGIC_SIZE) != 0)
        return ap_fail(err, APIARY_CORRUPT, "it does not end as a Parquet file does");
    uint64_t size = at[0] | (uint64_t)at[1] << 8 | (uint64_t)at[2] << 16 | (uint64_t)at[3] << 24;
    if (size > file_size - AP_FOOTER_TAIL - MAGIC_SIZE)
        return ap_fail(err, APIARY_CORRUPT,
            "the footer of a Parquet file of %llu bytes cannot have %llu",
            (unsigned long long)file_size, (unsigned long long)size);
    if (size > AP_FOOTER_BYTES_MAX)
        return ap_fail(err, APIARY_LIMIT, "the footer of a Parquet file has %llu bytes",
            (unsigned long long)size);
    *length = size;
    return APIARY_OK;
}

enum apiary_code ap_footer_parse(struct ap_str metadata, uint64_t file_size, struct ap_footer *out,
    struct apiary_error *err)
{
    struct ap_footer footer = { 0 };
    struct parse parse = { .footer = &footer, .file_size = file_size, .err = err };
    parse.reader.at = (const uint8_t *)metadata.data;
    parse.reader.end = parse.reader.at + metadata.size;
    enum apiary_code code = read_file(&parse);
    if (code != APIARY_OK) {
        ap_footer_done(&footer);
        return code;
    }
    *out = footer;
    return APIARY_OK;
}
