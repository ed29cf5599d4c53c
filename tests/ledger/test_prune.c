#include "ledger_help.h"

/* Columns of the frame: p partitions, the others have statistics. */
#define COLUMNS                                                                                    \
    "p string; pi integer; i integer; l long; d double; f float; s string; day date; at "          \
    "timestamp; loc timestamp_ntz; "                                                               \
    "dec decimal(10,2); big decimal(38,10); b boolean; bin binary"

struct leaf {
    const char *column;
    int op; /* enum ap_compare, or one of those below */
    enum ap_literal_type type;
    const char *text;
};
enum { IS_NULL = 100, IS_NOT_NULL, PREFIX, IN2 /* the value and "zzz"/99999999 */ };

static struct ap_predicate predicate_of(
    const struct leaf *leaf, struct ap_str *column, struct ap_literal values[2])
{
    *column = ap_str_from(leaf->column);
    values[0] = (struct ap_literal) { leaf->type, ap_str_from(leaf->text) };
    values[1] = (struct ap_literal) { leaf->type,
        leaf->type == AP_LITERAL_NUMBER ? AP_STR("99999999") : AP_STR("zzz") };
    struct ap_predicate predicate = { .kind = AP_PREDICATE_COMPARE,
        .column = column,
        .column_depth = 1,
        .values = values,
        .value_count = 1 };
    if (leaf->op == IS_NULL)
        predicate.kind = AP_PREDICATE_IS_NULL;
    else if (leaf->op == IS_NOT_NULL)
        predicate.kind = AP_PREDICATE_IS_NOT_NULL;
    else if (leaf->op == PREFIX)
        predicate.kind = AP_PREDICATE_PREFIX;
    else if (leaf->op == IN2)
        predicate = (struct ap_predicate) { .kind = AP_PREDICATE_IN,
            .column = column,
            .column_depth = 1,
            .values = values,
            .value_count = 2 };
    else
        predicate.compare = (enum ap_compare)leaf->op;
    return predicate;
}

/* A frame of one cell with these partition values and statistics. */
static struct ap_snapshot *frame_of(
    struct ap_store **store, const char *p, const char *pi, const char *stats)
{
    struct apiary_error err = { 0 };
    *store = help_store();
    struct ap_ledger *ledger = help_ledger(*store);
    help_create(ledger, COLUMNS, "p", "pi");
    struct ap_snapshot *base = help_snapshot(ledger), *after = NULL;
    struct ap_str values[2] = { ap_str_from(p), ap_str_from(pi) };
    if (!p) values[0].data = NULL;
    if (!pi) values[1].data = NULL;
    struct ap_new_cell cell = { .key = AP_STR("c"),
        .partition_values = values,
        .size_bytes = 1,
        .stats = ap_str_from(stats),
        .tags = AP_STR("") };
    struct ap_commit commit = { .base = base, .adds = &cell, .add_count = 1, .data_change = true };
    assert_ok(ap_ledger_commit(ledger, &commit, NULL, &after, &err));
    ap_snapshot_unref(base);
    ap_ledger_close(ledger);
    return after;
}

static enum ap_prune_reason prune_one(const struct ap_snapshot *snapshot, const struct leaf *leaf)
{
    struct ap_str column;
    struct ap_literal values[2];
    struct ap_predicate predicate = predicate_of(leaf, &column, values);
    enum ap_prune_reason reason = AP_KEPT;
    size_t kept = ap_prune(snapshot, &predicate, &reason);
    assert_int_equal(kept, reason == AP_KEPT);
    return reason;
}

#define STATS(min, max, nulls)                                                                     \
    "{\"numRecords\":10,\"minValues\":{" min "},\"maxValues\":{" max "},\"nullCount\":{" nulls "}" \
    "}"

static void statistics(void **state)
{
    static const struct {
        const char *label, *stats;
        struct leaf leaf;
        bool kept;
    } rows[] = {
        /* integers */
        { "i = inside", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_EQ, AP_LITERAL_NUMBER, "7" },
            true },
        { "i = below", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_EQ, AP_LITERAL_NUMBER, "4" },
            false },
        { "i = above", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_EQ, AP_LITERAL_NUMBER, "10" },
            false },
        { "i < min", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_LT, AP_LITERAL_NUMBER, "5" },
            false },
        { "i <= min", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_LE, AP_LITERAL_NUMBER, "5" },
            true },
        { "i > max", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_GT, AP_LITERAL_NUMBER, "9" },
            false },
        { "i >= max", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_GE, AP_LITERAL_NUMBER, "9" },
            true },
        { "i > 9.5", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_GT, AP_LITERAL_NUMBER, "9.5" },
            false },
        { "i > 8.5", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_GT, AP_LITERAL_NUMBER, "8.5" },
            true },
        { "i <> the only value", STATS("\"i\":5", "\"i\":5", ""),
            { "i", AP_NE, AP_LITERAL_NUMBER, "5" }, false },
        { "i <> one of several", STATS("\"i\":5", "\"i\":6", ""),
            { "i", AP_NE, AP_LITERAL_NUMBER, "5" }, true },
        { "i = string of an integer", STATS("\"i\":5", "\"i\":9", ""),
            { "i", AP_EQ, AP_LITERAL_STRING, "10" }, false },
        { "i = string that a cast would round", STATS("\"i\":5", "\"i\":9", ""),
            { "i", AP_EQ, AP_LITERAL_STRING, "9.5" }, true },
        { "i = garbage", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_EQ, AP_LITERAL_STRING, "x" },
            true },
        { "i = NULL", STATS("\"i\":5", "\"i\":9", ""), { "i", AP_EQ, AP_LITERAL_NULL, "" }, false },
        { "i IN outside", STATS("\"i\":5", "\"i\":9", ""), { "i", IN2, AP_LITERAL_NUMBER, "3" },
            false },
        { "i IN inside", STATS("\"i\":5", "\"i\":9", ""), { "i", IN2, AP_LITERAL_NUMBER, "6" },
            true },
        { "only a minimum, below", STATS("\"i\":5", "", ""), { "i", AP_LT, AP_LITERAL_NUMBER, "5" },
            false },
        { "only a minimum, above", STATS("\"i\":5", "", ""),
            { "i", AP_GT, AP_LITERAL_NUMBER, "500" }, true },
        { "no statistics", "", { "i", AP_EQ, AP_LITERAL_NUMBER, "4" }, true },
        { "malformed statistics", "{\"numRecords\":", { "i", AP_EQ, AP_LITERAL_NUMBER, "4" },
            true },
        { "null bounds", STATS("\"i\":null", "\"i\":null", ""),
            { "i", AP_EQ, AP_LITERAL_NUMBER, "4" }, true },
        { "bounds of another kind", STATS("\"i\":\"x\"", "\"i\":[1]", ""),
            { "i", AP_EQ, AP_LITERAL_NUMBER, "4" }, true },
        { "unknown column", STATS("\"i\":5", "\"i\":9", ""),
            { "nope", AP_EQ, AP_LITERAL_NUMBER, "4" }, true },
        { "column in other case", STATS("\"i\":5", "\"i\":9", ""),
            { "I", AP_EQ, AP_LITERAL_NUMBER, "4" }, false },
        /* beyond 2^53: exact against numbers, as doubles against doubles */
        { "l exact", STATS("\"l\":9007199254740992", "\"l\":9007199254740992", ""),
            { "l", AP_EQ, AP_LITERAL_NUMBER, "9007199254740993" }, false },
        { "l as double", STATS("\"l\":9007199254740993", "\"l\":9007199254740993", ""),
            { "l", AP_EQ, AP_LITERAL_DOUBLE, "9007199254740992" }, true },
        { "l far from double", STATS("\"l\":5", "\"l\":6", ""),
            { "l", AP_GT, AP_LITERAL_DOUBLE, "1e30" }, false },
        /* nulls */
        { "IS NULL without nulls", STATS("\"i\":5", "\"i\":9", "\"i\":0"), { "i", IS_NULL, 0, "" },
            false },
        { "IS NULL with nulls", STATS("\"i\":5", "\"i\":9", "\"i\":1"), { "i", IS_NULL, 0, "" },
            true },
        { "IS NULL unknown", STATS("\"i\":5", "\"i\":9", ""), { "i", IS_NULL, 0, "" }, true },
        { "IS NOT NULL, all null", STATS("", "", "\"i\":10"), { "i", IS_NOT_NULL, 0, "" }, false },
        { "IS NOT NULL, some null", STATS("", "", "\"i\":9"), { "i", IS_NOT_NULL, 0, "" }, true },
        { "compare, all null", STATS("", "", "\"i\":10"), { "i", AP_NE, AP_LITERAL_NUMBER, "1" },
            false },
        { "empty cell", "{\"numRecords\":0}", { "i", IS_NULL, 0, "" }, false },
        /* floats: NaN is the largest and does not show in bounds */
        { "d > max", STATS("\"d\":1.5", "\"d\":2.5", ""), { "d", AP_GT, AP_LITERAL_NUMBER, "3" },
            true },
        { "d < min", STATS("\"d\":1.5", "\"d\":2.5", ""), { "d", AP_LT, AP_LITERAL_NUMBER, "1" },
            false },
        { "d = above", STATS("\"d\":1.5", "\"d\":2.5", ""), { "d", AP_EQ, AP_LITERAL_NUMBER, "3" },
            false },
        { "d <> the only value", STATS("\"d\":1.5", "\"d\":1.5", ""),
            { "d", AP_NE, AP_LITERAL_NUMBER, "1.5" }, true },
        { "d = NaN", STATS("\"d\":1.5", "\"d\":2.5", ""), { "d", AP_EQ, AP_LITERAL_DOUBLE, "nan" },
            true },
        { "d, bounds NaN", STATS("\"d\":\"NaN\"", "\"d\":\"NaN\"", ""),
            { "d", AP_EQ, AP_LITERAL_NUMBER, "1" }, true },
        { "d, bounds bare NaN", STATS("\"d\":NaN", "\"d\":NaN", ""),
            { "d", AP_EQ, AP_LITERAL_NUMBER, "1" }, true },
        { "d, infinite bound", STATS("\"d\":\"-Infinity\"", "\"d\":2", ""),
            { "d", AP_EQ, AP_LITERAL_NUMBER, "3" }, false },
        { "f near its bound's text", STATS("\"f\":0.1", "\"f\":0.3", ""),
            { "f", AP_EQ, AP_LITERAL_NUMBER, "0.3" }, true },
        { "f, the float of 0.3 as double", STATS("\"f\":0.1", "\"f\":0.3", ""),
            { "f", AP_EQ, AP_LITERAL_DOUBLE, "0.30000001192092896" }, true },
        { "f above", STATS("\"f\":0.1", "\"f\":0.3", ""), { "f", AP_EQ, AP_LITERAL_NUMBER, "0.4" },
            false },
        /* strings: bytes, cut bounds */
        { "s above max", STATS("\"s\":\"b\"", "\"s\":\"d\"", ""),
            { "s", AP_EQ, AP_LITERAL_STRING, "e" }, false },
        { "s within a cut maximum", STATS("\"s\":\"b\"", "\"s\":\"d\\u007f\"", ""),
            { "s", AP_EQ, AP_LITERAL_STRING, "dzzz" }, true },
        { "s bytes, not letters", STATS("\"s\":\"a\"", "\"s\":\"z\"", ""),
            { "s", AP_EQ, AP_LITERAL_STRING, "B" }, false },
        { "s beyond ASCII", STATS("\"s\":\"a\"", "\"s\":\"z\"", ""),
            { "s", AP_EQ, AP_LITERAL_STRING, "\xC3\xA9" }, false },
        { "s compared with a number", STATS("\"s\":\"b\"", "\"s\":\"d\"", ""),
            { "s", AP_EQ, AP_LITERAL_NUMBER, "7" }, true },
        { "prefix inside", STATS("\"s\":\"bar\"", "\"s\":\"bat\"", ""),
            { "s", PREFIX, AP_LITERAL_STRING, "ba" }, true },
        { "prefix longer than min", STATS("\"s\":\"ba\"", "\"s\":\"bat\"", ""),
            { "s", PREFIX, AP_LITERAL_STRING, "bas" }, true },
        { "prefix above", STATS("\"s\":\"bar\"", "\"s\":\"bat\"", ""),
            { "s", PREFIX, AP_LITERAL_STRING, "bb" }, false },
        { "prefix below", STATS("\"s\":\"bar\"", "\"s\":\"bat\"", ""),
            { "s", PREFIX, AP_LITERAL_STRING, "baq" }, false },
        { "prefix empty", STATS("\"s\":\"bar\"", "\"s\":\"bat\"", ""),
            { "s", PREFIX, AP_LITERAL_STRING, "" }, true },
        /* dates and times */
        { "date above", STATS("\"day\":\"2024-01-01\"", "\"day\":\"2024-01-31\"", ""),
            { "day", AP_EQ, AP_LITERAL_DATE, "2024-02-01" }, false },
        { "date as string", STATS("\"day\":\"2024-01-01\"", "\"day\":\"2024-01-31\"", ""),
            { "day", AP_GT, AP_LITERAL_STRING, "2024-01-31" }, false },
        { "date against a time of its last day",
            STATS("\"day\":\"2024-01-01\"", "\"day\":\"2024-01-31\"", ""),
            { "day", AP_GT, AP_LITERAL_TIMESTAMP, "2024-01-31 10:00:00" }, false },
        { "date against an instant near",
            STATS("\"day\":\"2024-01-01\"", "\"day\":\"2024-01-31\"", ""),
            { "day", AP_GT, AP_LITERAL_TIMESTAMP_TZ, "2024-01-31 10:00:00" }, true },
        { "instant within the cut millisecond",
            STATS("\"at\":\"2024-01-01T00:00:00.000Z\"", "\"at\":\"2024-01-01T00:00:00.123Z\"", ""),
            { "at", AP_EQ, AP_LITERAL_TIMESTAMP_TZ, "2024-01-01 00:00:00.123999" }, true },
        { "instant behind it",
            STATS("\"at\":\"2024-01-01T00:00:00.000Z\"", "\"at\":\"2024-01-01T00:00:00.123Z\"", ""),
            { "at", AP_EQ, AP_LITERAL_TIMESTAMP_TZ, "2024-01-01 00:00:00.125" }, false },
        { "instant against a zoneless near",
            STATS("\"at\":\"2024-01-01T00:00:00.000Z\"", "\"at\":\"2024-01-01T01:00:00.000Z\"", ""),
            { "at", AP_EQ, AP_LITERAL_TIMESTAMP, "2024-01-01 12:00:00" }, true },
        { "instant against a zoneless far",
            STATS("\"at\":\"2024-01-01T00:00:00.000Z\"", "\"at\":\"2024-01-01T01:00:00.000Z\"", ""),
            { "at", AP_EQ, AP_LITERAL_TIMESTAMP, "2024-01-05 12:00:00" }, false },
        { "instant with offset in its bound",
            STATS("\"at\":\"2024-01-01T00:00:00.000-08:00\"",
                "\"at\":\"2024-01-01T01:00:00.000-08:00\"", ""),
            { "at", AP_EQ, AP_LITERAL_TIMESTAMP_TZ, "2024-01-01 07:00:00" }, false },
        { "local, both forms",
            STATS("\"loc\":\"2024-01-01T00:00:00.000\"", "\"loc\":\"2024-01-01 01:00:00\"", ""),
            { "loc", AP_GT, AP_LITERAL_TIMESTAMP, "2024-01-01 01:00:00.001" }, false },
        { "local, rounded",
            STATS("\"loc\":\"2024-01-01T00:00:00.000\"", "\"loc\":\"2024-01-01T01:00:00.000\"", ""),
            { "loc", AP_GT, AP_LITERAL_TIMESTAMP, "2024-01-01 01:00:00.0005" }, true },
        { "local, cut before 1970",
            STATS("\"loc\":\"1969-12-31T23:59:59.999\"", "\"loc\":\"1969-12-31T23:59:59.999\"", ""),
            { "loc", AP_LT, AP_LITERAL_TIMESTAMP, "1969-12-31 23:59:59.9985" }, true },
        { "local against a date",
            STATS("\"loc\":\"2024-01-01T00:00:00.000\"", "\"loc\":\"2024-01-01T01:00:00.000\"", ""),
            { "loc", AP_GE, AP_LITERAL_DATE, "2024-01-02" }, false },
        /* decimals */
        { "dec exact below", STATS("\"dec\":1.10", "\"dec\":2.5", ""),
            { "dec", AP_LT, AP_LITERAL_NUMBER, "1.1" }, false },
        { "dec exact at", STATS("\"dec\":1.10", "\"dec\":2.5", ""),
            { "dec", AP_LE, AP_LITERAL_NUMBER, "1.1" }, true },
        { "dec with an exponent", STATS("\"dec\":1E+3", "\"dec\":2e3", ""),
            { "dec", AP_LT, AP_LITERAL_NUMBER, "1000" }, false },
        { "dec near, as double", STATS("\"dec\":0.1", "\"dec\":0.3", ""),
            { "dec", AP_GT, AP_LITERAL_DOUBLE, "0.3" }, true },
        { "big through a double",
            STATS("\"big\":1234567890123456789.1", "\"big\":1234567890123456789.1", ""),
            { "big", AP_EQ, AP_LITERAL_NUMBER, "1234567890123456789.2" }, true },
        { "big far away",
            STATS("\"big\":1234567890123456789.1", "\"big\":1234567890123456789.1", ""),
            { "big", AP_EQ, AP_LITERAL_NUMBER, "1234567890123999999" }, false },
        { "dec with too many digits", STATS("\"dec\":1.10", "\"dec\":2.5", ""),
            { "dec", AP_GT, AP_LITERAL_NUMBER, "99999999999999999999999999999999999999999" },
            true },
        /* others */
        { "bool", STATS("\"b\":false", "\"b\":false", ""), { "b", AP_EQ, AP_LITERAL_BOOL, "true" },
            false },
        { "bool inside", STATS("\"b\":false", "\"b\":true", ""),
            { "b", AP_EQ, AP_LITERAL_BOOL, "true" }, true },
        { "binary is not judged", STATS("\"bin\":\"a\"", "\"bin\":\"b\"", ""),
            { "bin", AP_EQ, AP_LITERAL_STRING, "c" }, true },
        { "binary nulls are", STATS("", "", "\"bin\":0"), { "bin", IS_NULL, 0, "" }, false },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_store *store = NULL;
        struct ap_snapshot *snapshot = frame_of(&store, "x", "1", rows[i].stats);
        assert_int_in(rows[i].label, prune_one(snapshot, &rows[i].leaf) == AP_KEPT, rows[i].kept);
        ap_snapshot_unref(snapshot);
        ap_store_close(store);
    }
}

static void partitions(void **state)
{
    static const struct {
        const char *label, *p, *pi;
        struct leaf leaf;
        bool kept;
    } rows[] = {
        { "equal", "a", "5", { "p", AP_EQ, AP_LITERAL_STRING, "a" }, true },
        { "not equal", "a", "5", { "p", AP_EQ, AP_LITERAL_STRING, "b" }, false },
        { "<> itself", "a", "5", { "p", AP_NE, AP_LITERAL_STRING, "a" }, false },
        { "null compared", NULL, "5", { "p", AP_EQ, AP_LITERAL_STRING, "a" }, false },
        { "null is null", NULL, "5", { "p", IS_NULL, 0, "" }, true },
        { "value is null", "a", "5", { "p", IS_NULL, 0, "" }, false },
        { "null is not null", NULL, "5", { "p", IS_NOT_NULL, 0, "" }, false },
        { "prefix", "abc", "5", { "p", PREFIX, AP_LITERAL_STRING, "ab" }, true },
        { "no prefix", "abc", "5", { "p", PREFIX, AP_LITERAL_STRING, "b" }, false },
        { "prefix longer", "ab", "5", { "p", PREFIX, AP_LITERAL_STRING, "abc" }, false },
        { "number <", "a", "10", { "pi", AP_LT, AP_LITERAL_NUMBER, "9" }, false },
        { "number >", "a", "10", { "pi", AP_GT, AP_LITERAL_NUMBER, "9" }, true },
        { "number IN", "a", "10", { "pi", IN2, AP_LITERAL_NUMBER, "10" }, true },
        { "number not IN", "a", "10", { "pi", IN2, AP_LITERAL_NUMBER, "11" }, false },
        { "unreadable value", "a", "ten", { "pi", AP_EQ, AP_LITERAL_NUMBER, "11" }, true },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_store *store = NULL;
        struct ap_snapshot *snapshot =
            frame_of(&store, rows[i].p, rows[i].pi, "{\"numRecords\":10}");
        assert_int_in(rows[i].label, prune_one(snapshot, &rows[i].leaf),
            rows[i].kept ? AP_KEPT : AP_DROPPED_PARTITION);
        ap_snapshot_unref(snapshot);
        ap_store_close(store);
    }
}

static void and_or(void **state)
{
    struct ap_store *store = NULL;
    struct ap_snapshot *snapshot = frame_of(&store, "a", "5", STATS("\"i\":5", "\"i\":9", ""));
    const struct leaf in_p = { "p", AP_EQ, AP_LITERAL_STRING, "a" },
                      out_p = { "p", AP_EQ, AP_LITERAL_STRING, "b" };
    const struct leaf in_i = { "i", AP_EQ, AP_LITERAL_NUMBER, "6" },
                      out_i = { "i", AP_EQ, AP_LITERAL_NUMBER, "1" };
    const struct leaf unknown = { "nope", AP_EQ, AP_LITERAL_NUMBER, "1" };
    static const enum ap_predicate_kind A = AP_PREDICATE_AND, O = AP_PREDICATE_OR;
    const struct {
        const char *label;
        enum ap_predicate_kind kind;
        const struct leaf *left, *right;
        enum ap_prune_reason reason;
    } rows[] = {
        { "in and in", A, &in_p, &in_i, AP_KEPT },
        { "in and out", A, &in_p, &out_i, AP_DROPPED_STATISTICS },
        { "out and out", A, &out_p, &out_i, AP_DROPPED_PARTITION },
        { "out or in", O, &out_p, &in_i, AP_KEPT },
        { "out or out", O, &out_p, &out_i, AP_DROPPED_STATISTICS },
        { "out or unknown", O, &out_p, &unknown, AP_KEPT },
        { "out and unknown", A, &out_p, &unknown, AP_DROPPED_PARTITION },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_str columns[2];
        struct ap_literal values[2][2];
        struct ap_predicate left = predicate_of(rows[i].left, &columns[0], values[0]),
                            right = predicate_of(rows[i].right, &columns[1], values[1]);
        struct ap_predicate *children[2] = { &left, &right };
        struct ap_predicate both = { .kind = rows[i].kind, .children = children, .child_count = 2 };
        enum ap_prune_reason reason;
        ap_prune(snapshot, &both, &reason);
        assert_int_in(rows[i].label, reason, rows[i].reason);
    }
    enum ap_prune_reason reason;
    struct ap_predicate nothing = { .kind = AP_PREDICATE_FALSE },
                        all = { .kind = AP_PREDICATE_TRUE };
    assert_int_equal(ap_prune(snapshot, &nothing, &reason), 0);
    assert_int_equal(ap_prune(snapshot, &all, &reason), 1);
    assert_int_equal(ap_prune(snapshot, NULL, &reason), 1);
    ap_snapshot_unref(snapshot);
    ap_store_close(store);
}

static void extremes(void **state)
{
    static const struct {
        const char *label;
        size_t column;
        const char *stats;
        const char *min, *max; /* NULL: read the cells; "": null */
    } rows[] = {
        { "partition", 1, "{\"numRecords\":1}", "5", "5" },
        { "integer", 2, STATS("\"i\":-5", "\"i\":9", ""), "-5", "9" },
        { "integer missing", 2, STATS("", "", ""), NULL, NULL },
        { "integer, all null", 2, STATS("", "", "\"i\":10"), "", "" },
        { "double", 4, STATS("\"d\":1", "\"d\":2", ""), NULL, NULL },
        { "string", 6, STATS("\"s\":\"a\"", "\"s\":\"b\"", ""), NULL, NULL },
        { "date", 7, STATS("\"day\":\"2024-02-29\"", "\"day\":\"2024-03-01\"", ""), "2024-02-29",
            "2024-03-01" },
        { "decimal", 10, STATS("\"dec\":-1.5", "\"dec\":2", ""), "-1.50", "2.00" },
        { "decimal below one", 10, STATS("\"dec\":-0.05", "\"dec\":0.5", ""), "-0.05", "0.50" },
        { "wide decimal", 11, STATS("\"big\":1", "\"big\":2", ""), NULL, NULL },
        { "wide bounds", 2,
            "{\"numRecords\":10,\"tightBounds\":false,\"minValues\":{\"i\":1},\"maxValues\":{\"i\":"
            "2}}",
            NULL, NULL },
        { "no row count", 2, "{\"minValues\":{\"i\":1},\"maxValues\":{\"i\":2}}", NULL, NULL },
    };
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct ap_store *store = NULL;
        struct ap_snapshot *snapshot = frame_of(&store, "x", "5", rows[i].stats);
        for (int maximum = 0; maximum < 2; maximum++) {
            AP_AUTO(ap_bytes) text = { 0 };
            bool is_null = false;
            const char *wanted = maximum ? rows[i].max : rows[i].min;
            assert_int_in(rows[i].label,
                ap_snapshot_extreme(snapshot, rows[i].column, maximum, &text, &is_null),
                wanted != NULL);
            if (wanted) assert_string_in(rows[i].label, ap_bytes_text(&text), wanted);
            if (wanted) assert_int_in(rows[i].label, is_null, *wanted == 0);
        }
        ap_snapshot_unref(snapshot);
        ap_store_close(store);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(statistics),
        cmocka_unit_test(partitions),
        cmocka_unit_test(and_or),
        cmocka_unit_test(extremes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
