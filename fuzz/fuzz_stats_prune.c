/* add.stats and constants. The input is lines: statistics, a column, an operator's number, a type's
 * number, a constant. Whatever the statistics say, a cell with an honest row is kept: the second
 * half of the run takes the constant as the row and statistics that are true of it. */
#include "ledger/prune_private.h"
#include "ledger/prune_value.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct ap_field fields[] = {
    { .name = { "i", 1 }, .type = { .kind = AP_TYPE_LONG }, .nullable = true },
    { .name = { "d", 1 }, .type = { .kind = AP_TYPE_DOUBLE }, .nullable = true },
    { .name = { "f", 1 }, .type = { .kind = AP_TYPE_FLOAT }, .nullable = true },
    { .name = { "s", 1 }, .type = { .kind = AP_TYPE_STRING }, .nullable = true },
    { .name = { "y", 1 }, .type = { .kind = AP_TYPE_DATE }, .nullable = true },
    { .name = { "t", 1 }, .type = { .kind = AP_TYPE_TIMESTAMP }, .nullable = true },
    { .name = { "n", 1 }, .type = { .kind = AP_TYPE_TIMESTAMP_NTZ }, .nullable = true },
    { .name = { "c", 1 },
        .type = { .kind = AP_TYPE_DECIMAL, .precision = 20, .scale = 4 },
        .nullable = true },
    { .name = { "b", 1 }, .type = { .kind = AP_TYPE_BOOLEAN }, .nullable = true },
};
enum { FIELDS = sizeof fields / sizeof *fields };

static struct ap_str take_line(struct ap_str *rest)
{
    const char *end = rest->size ? memchr(rest->data, '\n', rest->size) : NULL;
    struct ap_str line = { rest->data, end ? (size_t)(end - rest->data) : rest->size };
    size_t step = end ? line.size + 1 : line.size;
    *rest = (struct ap_str) { rest->data + step, rest->size - step };
    return line;
}

static bool kept(
    struct ap_str stats, size_t column, enum ap_compare compare, const struct ap_literal *literal)
{
    struct ap_cell cell = { .path = AP_STR("x"), .row_count = -1, .stats = stats };
    struct ap_snapshot snapshot = {
        .metadata.schema = { fields, FIELDS }, .cells = &cell, .cell_count = 1
    };
    struct ap_predicate predicate = { .kind = AP_PREDICATE_COMPARE,
        .column = &fields[column].name,
        .column_depth = 1,
        .compare = compare,
        .values = literal,
        .value_count = 1 };
    enum ap_prune_reason reason;
    return ap_prune(&snapshot, &predicate, &reason) == 1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err;
    struct ap_str rest = { (const char *)data, size };
    struct ap_str stats = take_line(&rest), column = take_line(&rest), compare = take_line(&rest),
                  type = take_line(&rest);
    size_t at = column.size ? (unsigned char)column.data[0] % FIELDS : 0;
    enum ap_compare op = (enum ap_compare)(compare.size ? (unsigned char)compare.data[0] % 6 : 0);
    struct ap_literal literal = {
        (enum ap_literal_type)(type.size ? (unsigned char)type.data[0] % 8 : 0), rest
    };
    kept(stats, at, op, &literal);

    /* A row whose value is the constant, in a cell whose bounds are that value. */
    bool text = fields[at].type.kind == AP_TYPE_STRING || fields[at].type.kind >= AP_TYPE_DATE;
    AP_AUTO(ap_bytes) honest = { 0 };
    AP_AUTO(ap_bytes) value = { 0 };
    if (literal.type == AP_LITERAL_NULL || !ap_utf8_valid(rest) || rest.size > 200) return 0;
    if (text)
        ap_assert(ap_json_quote(&value, rest, &err) == APIARY_OK);
    else
        ap_assert(ap_bytes_add_str(&value, rest, &err) == APIARY_OK);
    ap_assert(
        ap_bytes_printf(&honest, &err, "{\"minValues\":{\"%.*s\":%s},\"maxValues\":{\"%.*s\":%s}}",
            AP_ARG(fields[at].name), ap_bytes_text(&value), AP_ARG(fields[at].name),
            ap_bytes_text(&value)) == APIARY_OK);
    ap_assert(kept(ap_bytes_view(&honest), at, AP_EQ, &literal));
    ap_assert(kept(ap_bytes_view(&honest), at, AP_LE, &literal));
    ap_assert(kept(ap_bytes_view(&honest), at, AP_GE, &literal));
    return 0;
}
