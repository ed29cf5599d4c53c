/* Which cells can hold rows that satisfy a predicate (snapshot.h, ap_prune).
 *
 * The predicate is compiled once: columns resolved, constants turned into intervals of the domain
 * in which they are compared. Then each cell is judged, first by its partition values alone, then
 * by its statistics, which are parsed only for cells that are still in.
 *
 * (1) "Cannot match" is said only when no row can; everything unknown matches.
 * (2) NULL matches no comparison; NaN is greater than every number and equal to itself. */
#include "core/alloc.h"
#include "ledger/prune_private.h"
#include "ledger/prune_value.h"

enum { PREDICATE_DEPTH_MAX = 200 };

struct node {
    enum ap_predicate_kind kind;
    enum ap_compare compare;
    struct ap_column_path column;
    struct ap_interval *values; /* constants; those that cannot be told made the node TRUE */
    size_t value_count;
    enum ap_domain_kind domain;
    struct ap_str prefix;
    struct node **children;
    size_t child_count;
};

/* ---- compiling ---- */

static struct node *compile(struct ap_arena *arena, const struct ap_snapshot *snapshot,
    const struct ap_predicate *predicate, int depth);

static struct node *node_new(struct ap_arena *arena, enum ap_predicate_kind kind)
{
    struct node *node = ap_arena_alloc(arena, sizeof *node);
    if (node) node->kind = kind;
    return node;
}

static struct node *compile_children(struct ap_arena *arena, const struct ap_snapshot *snapshot,
    const struct ap_predicate *predicate, int depth)
{
    struct node *node = node_new(arena, predicate->kind);
    struct node **children = ap_arena_alloc(arena, predicate->child_count * sizeof *children);
    if (!node || !children) return NULL;
    for (size_t i = 0; i < predicate->child_count; i++) {
        children[i] = compile(arena, snapshot, predicate->children[i], depth + 1);
        if (!children[i]) return NULL;
    }
    node->children = children;
    node->child_count = predicate->child_count;
    return node;
}

/* COMPARE and IN. Comparing with NULL is never true, so such constants fall away. */
static struct node *compile_values(
    struct ap_arena *arena, const struct ap_predicate *predicate, struct node *node)
{
    node->values = ap_arena_alloc(arena, predicate->value_count * sizeof *node->values);
    if (!node->values) return NULL;
    for (size_t i = 0; i < predicate->value_count; i++) {
        struct ap_interval *value = &node->values[node->value_count];
        if (predicate->values[i].type == AP_LITERAL_NULL) continue;
        if (!ap_literal_interval(node->column.type, &predicate->values[i], value) ||
            (node->value_count && value->low.domain != node->domain)) {
            node->kind = AP_PREDICATE_TRUE;
            return node;
        }
        node->domain = value->low.domain;
        node->value_count++;
    }
    if (node->value_count == 0) node->kind = AP_PREDICATE_FALSE;
    return node;
}

static struct node *compile(struct ap_arena *arena, const struct ap_snapshot *snapshot,
    const struct ap_predicate *predicate, int depth)
{
    if (depth > PREDICATE_DEPTH_MAX) return node_new(arena, AP_PREDICATE_TRUE);
    if (predicate->kind == AP_PREDICATE_AND || predicate->kind == AP_PREDICATE_OR)
        return compile_children(arena, snapshot, predicate, depth);
    struct node *node = node_new(arena, predicate->kind);
    if (!node || predicate->kind == AP_PREDICATE_TRUE || predicate->kind == AP_PREDICATE_FALSE)
        return node;
    ap_column_resolve(snapshot, predicate->column, predicate->column_depth, &node->column);
    node->compare = predicate->kind == AP_PREDICATE_IN ? AP_EQ : predicate->compare;
    if (!node->column.type) {
        node->kind = AP_PREDICATE_TRUE;
    } else if (predicate->kind == AP_PREDICATE_PREFIX) {
        bool usable = node->column.type->kind == AP_TYPE_STRING && predicate->value_count == 1 &&
                      predicate->values[0].type == AP_LITERAL_STRING;
        if (usable)
            node->prefix = predicate->values[0].text;
        else
            node->kind = AP_PREDICATE_TRUE;
    } else if (predicate->kind == AP_PREDICATE_COMPARE || predicate->kind == AP_PREDICATE_IN) {
        return compile_values(arena, predicate, node);
    }
    return node;
}

/* ---- one column of one cell ---- */

/* What is known of a column's values in a cell. */
struct figures {
    bool no_values; /* every row is null, or there is no row */
    bool no_nulls;
    bool exact; /* interval is the value itself: a partition column */
    struct ap_interval interval;
    bool may_be_nan;
};

static bool less(const struct ap_value *a, const struct ap_value *b)
{
    bool known;
    return ap_value_compare(a, b, &known) < 0 && known;
}

static bool less_or_equal(const struct ap_value *a, const struct ap_value *b)
{
    bool known;
    return ap_value_compare(a, b, &known) <= 0 && known;
}

static bool same_point(const struct ap_interval *a, const struct ap_interval *b)
{
    bool known_a, known_b, known;
    return ap_value_compare(&a->low, &a->high, &known_a) == 0 &&
           ap_value_compare(&b->low, &b->high, &known_b) == 0 &&
           ap_value_compare(&a->low, &b->low, &known) == 0 && known_a && known_b && known;
}

/* Can a value within the figures stand in the relation to the constant? */
static bool relation_possible(
    const struct figures *figures, enum ap_compare compare, const struct ap_interval *value)
{
    const struct ap_interval *cell = &figures->interval;
    bool high = cell->has_high && !figures->may_be_nan;
    switch (compare) {
        case AP_EQ:
            return !(cell->has_high && less(&cell->high, &value->low)) &&
                   !(cell->has_low && less(&value->high, &cell->low));
        case AP_LT: return !(cell->has_low && less_or_equal(&value->high, &cell->low));
        case AP_LE: return !(cell->has_low && less(&value->high, &cell->low));
        case AP_GT: return !(high && less_or_equal(&cell->high, &value->low));
        case AP_GE: return !(high && less(&cell->high, &value->low));
        case AP_NE: return !(high && cell->has_low && same_point(cell, value));
    }
    return true;
}

static bool prefix_possible(const struct figures *figures, struct ap_str prefix)
{
    const struct ap_interval *cell = &figures->interval;
    if (cell->has_high && ap_str_compare(cell->high.text, prefix) < 0) return false;
    if (!cell->has_low) return true;
    struct ap_str low = cell->low.text;
    if (low.size > prefix.size) low.size = prefix.size;
    return ap_str_compare(low, prefix) <= 0;
}

static bool node_possible(const struct node *node, const struct figures *figures)
{
    switch (node->kind) {
        case AP_PREDICATE_IS_NULL: return !figures->no_nulls;
        case AP_PREDICATE_IS_NOT_NULL: return !figures->no_values;
        case AP_PREDICATE_PREFIX:
            return !figures->no_values && prefix_possible(figures, node->prefix);
        case AP_PREDICATE_COMPARE:
        case AP_PREDICATE_IN:
            if (figures->no_values) return false;
            for (size_t i = 0; i < node->value_count; i++)
                if (relation_possible(figures, node->compare, &node->values[i])) return true;
            return false;
        default: return true;
    }
}

static enum ap_domain_kind domain_of(const struct node *node)
{
    return node->kind == AP_PREDICATE_PREFIX ? AP_DOMAIN_TEXT : node->domain;
}

static bool has_values(const struct node *node)
{
    return node->kind == AP_PREDICATE_COMPARE || node->kind == AP_PREDICATE_IN ||
           node->kind == AP_PREDICATE_PREFIX;
}

static bool partition_possible(const struct node *node, const struct ap_cell *cell)
{
    struct ap_str value = cell->partition_values[node->column.partition];
    struct figures figures = {
        .no_values = !value.data, .no_nulls = value.data != NULL, .exact = true
    };
    if (value.data && has_values(node) &&
        !ap_partition_interval(node->column.type, domain_of(node), value, &figures.interval))
        return true;
    return node_possible(node, &figures);
}

static bool stats_possible(const struct node *node, const struct ap_stats_reader *stats)
{
    int64_t nulls = ap_stats_nulls(stats, &node->column);
    struct figures figures = { .no_nulls = nulls == 0,
        .no_values = nulls >= 0 && stats->row_count >= 0 && nulls == stats->row_count,
        .may_be_nan =
            node->column.type->kind == AP_TYPE_FLOAT || node->column.type->kind == AP_TYPE_DOUBLE };
    struct ap_str text;
    if (has_values(node)) {
        struct ap_interval *interval = &figures.interval;
        if (ap_stats_text(stats->min, &node->column, &text))
            interval->has_low =
                ap_stats_bound(node->column.type, domain_of(node), text, false, &interval->low);
        if (ap_stats_text(stats->max, &node->column, &text))
            interval->has_high =
                ap_stats_bound(node->column.type, domain_of(node), text, true, &interval->high);
    }
    return node_possible(node, &figures);
}

/* stats NULL: judge by partition values alone. */
static bool possible(
    const struct node *node, const struct ap_cell *cell, const struct ap_stats_reader *stats)
{
    switch (node->kind) {
        case AP_PREDICATE_TRUE: return true;
        case AP_PREDICATE_FALSE: return false;
        case AP_PREDICATE_AND:
            for (size_t i = 0; i < node->child_count; i++)
                if (!possible(node->children[i], cell, stats)) return false;
            return true;
        case AP_PREDICATE_OR:
            for (size_t i = 0; i < node->child_count; i++)
                if (possible(node->children[i], cell, stats)) return true;
            return false;
        default:
            if (node->column.partition != SIZE_MAX) return partition_possible(node, cell);
            return !stats || stats_possible(node, stats);
    }
}

static bool needs_stats(const struct node *node)
{
    for (size_t i = 0; i < node->child_count; i++)
        if (needs_stats(node->children[i])) return true;
    return node->column.type && node->column.partition == SIZE_MAX &&
           node->kind != AP_PREDICATE_TRUE;
}

static enum ap_prune_reason judge(const struct node *root, bool with_stats,
    const struct ap_cell *cell, struct ap_stats_reader *stats)
{
    if (!possible(root, cell, NULL)) return AP_DROPPED_PARTITION;
    if (cell->row_count == 0) return AP_DROPPED_STATISTICS;
    if (!with_stats || cell->stats.size == 0) return AP_KEPT;
    ap_stats_reader_open(stats, cell->stats);
    return possible(root, cell, stats) ? AP_KEPT : AP_DROPPED_STATISTICS;
}

size_t ap_prune(const struct ap_snapshot *snapshot, const struct ap_predicate *predicate,
    enum ap_prune_reason *reasons)
{
    AP_AUTO(ap_arena) arena = { 0 };
    const struct node *root = predicate ? compile(&arena, snapshot, predicate, 0) : NULL;
    if (!root || root->kind == AP_PREDICATE_TRUE) {
        /* Without memory to compile it, nothing is known of the predicate. */
        for (size_t i = 0; i < snapshot->cell_count; i++) reasons[i] = AP_KEPT;
        return snapshot->cell_count;
    }
    struct ap_stats_reader stats = { .row_count = -1 };
    bool with_stats = needs_stats(root);
    size_t kept = 0;
    for (size_t i = 0; i < snapshot->cell_count; i++) {
        reasons[i] = judge(root, with_stats, &snapshot->cells[i], &stats);
        if (reasons[i] == AP_KEPT) kept++;
    }
    ap_stats_reader_done(&stats);
    return kept;
}

bool ap_prune_may_match(const struct ap_snapshot *snapshot, const struct ap_predicate *predicate,
    const struct ap_cell *cell)
{
    AP_AUTO(ap_arena) arena = { 0 };
    const struct node *root = compile(&arena, snapshot, predicate, 0);
    if (!root) return true;
    struct ap_stats_reader stats = { .row_count = -1 };
    enum ap_prune_reason reason = judge(root, needs_stats(root), cell, &stats);
    ap_stats_reader_done(&stats);
    return reason == AP_KEPT;
}
