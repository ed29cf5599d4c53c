#include "runtime/ipc_check.h"

#include <inttypes.h>

/* Offsets into one flatbuffer; 0 is never a table, a vector or a field: it means "not there". */
struct flat {
    const uint8_t *data;
    size_t size;
    bool broken; /* something pointed outside: what was read since is 0 */
};

/* format/Message.fbs and Schema.fbs: the numbers of the fields that are looked at. */
enum { MESSAGE_TYPE = 1, MESSAGE_HEADER = 2, HEADER_SCHEMA = 1, HEADER_BATCH = 3 };
enum { SCHEMA_FIELDS = 1, SCHEMA_METADATA = 2 };
enum {
    FIELD_TYPE_KIND = 2,
    FIELD_TYPE = 3,
    FIELD_DICTIONARY = 4,
    FIELD_CHILDREN = 5,
    FIELD_METADATA = 6
};
enum { PAIR_KEY = 0, PAIR_VALUE = 1 };
enum {
    BATCH_LENGTH = 0,
    BATCH_NODES = 1,
    BATCH_BUFFERS = 2,
    BATCH_COMPRESSION = 3,
    ENTRY_SIZE = 16
};
enum { PREFIX = 8, METADATA_PAIRS_MAX = 100000 };

static bool inside(struct flat *flat, size_t at, size_t size)
{
    if (at <= flat->size && size <= flat->size - at) return true;
    flat->broken = true;
    return false;
}

static uint32_t read_u32(struct flat *flat, size_t at)
{
    uint32_t value = 0;
    if (inside(flat, at, sizeof value)) memcpy(&value, flat->data + at, sizeof value);
    return value;
}

static int64_t read_i64(struct flat *flat, size_t at)
{
    int64_t value = 0;
    if (inside(flat, at, sizeof value)) memcpy(&value, flat->data + at, sizeof value);
    return value;
}

static uint16_t read_u16(struct flat *flat, size_t at)
{
    uint16_t value = 0;
    if (inside(flat, at, sizeof value)) memcpy(&value, flat->data + at, sizeof value);
    return value;
}

/* Where field `index` of a table lies, or 0. */
static size_t field_at(struct flat *flat, size_t table, int index)
{
    if (!table) return 0;
    int64_t vtable = (int64_t)table - (int32_t)read_u32(flat, table);
    if (vtable < 0 || !inside(flat, (size_t)vtable, 4)) {
        flat->broken = true;
        return 0;
    }
    size_t entry = 4 + 2 * (size_t)index;
    if (entry + 2 > read_u16(flat, (size_t)vtable)) return 0;
    uint16_t offset = read_u16(flat, (size_t)vtable + entry);
    return offset ? table + offset : 0;
}

/* What the reference at `at` refers to, or 0. */
static size_t follow(struct flat *flat, size_t at)
{
    if (!at) return 0;
    uint32_t offset = read_u32(flat, at);
    size_t to = at + offset;
    return offset && inside(flat, to, 4) ? to : 0;
}

static size_t part(struct flat *flat, size_t table, int index)
{
    return follow(flat, field_at(flat, table, index));
}

static enum apiary_code broken(const char *what, const char *why, struct apiary_error *err)
{
    return ap_fail(err, APIARY_CORRUPT, "%s of a chamber is not in order: %s", what, why);
}

/* The flatbuffer of an encapsulated message, and its header table of the kind wanted. */
static enum apiary_code open_message(struct ap_str message, const char *what, int kind,
    struct flat *flat, size_t *header, struct apiary_error *err)
{
    uint32_t mark = 0, size = 0;
    if (message.size < PREFIX) return broken(what, "it has no prefix", err);
    memcpy(&mark, message.data, sizeof mark);
    memcpy(&size, message.data + 4, sizeof size);
    if (mark != UINT32_MAX || size < 8 || size % 8 != 0 || size > message.size - PREFIX)
        return broken(what, "its prefix is wrong", err);
    *flat = (struct flat) { (const uint8_t *)message.data + PREFIX, size, false };
    size_t root = read_u32(flat, 0); /* the reference at 0; as a place, 0 means "not there" */
    size_t kind_at = field_at(flat, root, MESSAGE_TYPE);
    if (!kind_at || !inside(flat, kind_at, 1) || flat->data[kind_at] != kind)
        return broken(what, "it is another kind of message", err);
    *header = part(flat, root, MESSAGE_HEADER);
    if (!*header || flat->broken) return broken(what, "it has no header", err);
    return APIARY_OK;
}

/* ---- schema ---- */

static enum apiary_code check_metadata(struct flat *flat, size_t pairs, struct apiary_error *err)
{
    if (!pairs) return APIARY_OK;
    uint32_t count = read_u32(flat, pairs);
    if (count > METADATA_PAIRS_MAX) return broken("the schema", "it has too much metadata", err);
    for (uint32_t i = 0; i < count && !flat->broken; i++) {
        size_t pair = follow(flat, pairs + 4 + 4 * (size_t)i);
        if (!part(flat, pair, PAIR_KEY) || !part(flat, pair, PAIR_VALUE))
            return broken("the schema", "its metadata has a gap", err);
    }
    return APIARY_OK;
}

static enum apiary_code check_fields(
    struct flat *flat, size_t fields, int depth, int *seen, struct apiary_error *err)
{
    if (!fields) return APIARY_OK;
    if (depth > AP_IPC_DEPTH_MAX)
        return ap_fail(err, APIARY_LIMIT, "the result has columns nested deeper than %d levels",
            AP_IPC_DEPTH_MAX);
    uint32_t count = read_u32(flat, fields);
    for (uint32_t i = 0; i < count && !flat->broken; i++) {
        if (++*seen > AP_IPC_FIELDS_MAX)
            return ap_fail(
                err, APIARY_LIMIT, "the result has more than %d columns", AP_IPC_FIELDS_MAX);
        size_t field = follow(flat, fields + 4 + 4 * (size_t)i);
        if (!field || !field_at(flat, field, FIELD_TYPE_KIND) || !part(flat, field, FIELD_TYPE))
            return broken("the schema", "a column has no type", err);
        if (field_at(flat, field, FIELD_DICTIONARY))
            return ap_fail(err, APIARY_UNSUPPORTED, "a column of the result is dictionary-encoded");
        AP_TRY(check_metadata(flat, part(flat, field, FIELD_METADATA), err));
        AP_TRY(check_fields(flat, part(flat, field, FIELD_CHILDREN), depth + 1, seen, err));
    }
    return APIARY_OK;
}

enum apiary_code ap_ipc_check_schema(struct ap_str message, struct apiary_error *err)
{
    struct flat flat;
    size_t schema = 0;
    int seen = 0;
    AP_TRY(open_message(message, "the schema", HEADER_SCHEMA, &flat, &schema, err));
    AP_TRY(check_fields(&flat, part(&flat, schema, SCHEMA_FIELDS), 0, &seen, err));
    AP_TRY(check_metadata(&flat, part(&flat, schema, SCHEMA_METADATA), err));
    return flat.broken ? broken("the schema", "it points outside itself", err) : APIARY_OK;
}

/* ---- batch ---- */

static enum apiary_code check_nodes(struct flat *flat, size_t nodes, struct apiary_error *err)
{
    uint32_t count = nodes ? read_u32(flat, nodes) : 0;
    for (uint32_t i = 0; i < count && !flat->broken; i++) {
        size_t node = nodes + 4 + (size_t)i * ENTRY_SIZE;
        int64_t items = read_i64(flat, node), nulls = read_i64(flat, node + 8);
        if (items < 0 || items > AP_IPC_ROWS_MAX || nulls < 0 || nulls > items)
            return ap_fail(err, APIARY_CORRUPT,
                "a batch of a chamber is not in order: field %u has %" PRId64 " items and %" PRId64
                " nulls",
                i, items, nulls);
    }
    return APIARY_OK;
}

static enum apiary_code check_buffers(
    struct flat *flat, size_t buffers, int64_t body_size, struct apiary_error *err)
{
    uint32_t count = buffers ? read_u32(flat, buffers) : 0;
    for (uint32_t i = 0; i < count && !flat->broken; i++) {
        size_t buffer = buffers + 4 + (size_t)i * ENTRY_SIZE;
        int64_t offset = read_i64(flat, buffer), size = read_i64(flat, buffer + 8);
        if (offset < 0 || size < 0 || size > body_size || offset > body_size - size ||
            offset % 8 != 0)
            return ap_fail(err, APIARY_CORRUPT,
                "a batch of a chamber is not in order: buffer %u is %" PRId64 " bytes at %" PRId64
                " of %" PRId64,
                i, size, offset, body_size);
    }
    return APIARY_OK;
}

enum apiary_code ap_ipc_check_batch(struct ap_str message, size_t *body, struct apiary_error *err)
{
    struct flat flat;
    size_t batch = 0;
    AP_TRY(open_message(message, "a batch", HEADER_BATCH, &flat, &batch, err));
    size_t begin = PREFIX + flat.size, length = field_at(&flat, batch, BATCH_LENGTH);
    int64_t rows = length ? read_i64(&flat, length) : 0;
    if (rows < 0 || rows > AP_IPC_ROWS_MAX)
        return ap_fail(err, APIARY_CORRUPT,
            "a batch of a chamber is not in order: it has %" PRId64 " rows", rows);
    if (field_at(&flat, batch, BATCH_COMPRESSION))
        return broken("a batch", "it is compressed", err);
    AP_TRY(check_nodes(&flat, part(&flat, batch, BATCH_NODES), err));
    AP_TRY(check_buffers(
        &flat, part(&flat, batch, BATCH_BUFFERS), (int64_t)(message.size - begin), err));
    if (flat.broken) return broken("a batch", "it points outside itself", err);
    *body = begin;
    return APIARY_OK;
}
