/* Steps of the linear part: joins that rows pass one by one, and UNION ALL, whose branches must each have a
 * reference of their own that is sharded.
 *
 * cut_find.c goes up from r; at UNION ALL the other branch is gone down here, through the same steps the other
 * way round: FROM, joins, subqueries, names of WITH that are used once, UNION ALL. Of the sides of a join one
 * alone may be sharded: rows of a task's share of both would not meet those of another's. */
#include "sql/cut_private.h"

static bool is_any_of(yyjson_val *node, const char *key, const char *const *texts)
{
    for (; *texts != NULL; texts++)
        if (ap_node_is(node, key, *texts)) return true;
    return false;
}

static bool passes_left(yyjson_val *join)
{
    static const char *const refs[] = { "REGULAR", "NATURAL", "CROSS", NULL },
                            *const types[] = { "INNER", "LEFT", "SEMI", "ANTI", NULL },
                            *const asof_types[] = { "INNER", "LEFT", NULL };
    if (ap_node_is(join, "ref_type", "ASOF")) return is_any_of(join, "join_type", asof_types);
    return is_any_of(join, "ref_type", refs) && is_any_of(join, "join_type", types);
}

static bool passes_right(yyjson_val *join)
{
    static const char *const refs[] = { "REGULAR", "NATURAL", "CROSS", NULL },
                            *const types[] = { "INNER", "RIGHT", NULL };
    return is_any_of(join, "ref_type", refs) && is_any_of(join, "join_type", types);
}

enum ap_cut_position ap_cut_position_of(yyjson_val *from, const yyjson_val *target)
{
    if (from == NULL) return AP_CUT_ABSENT;
    bool sampled = ap_json_member(from, "sample") != NULL;
    if (from == target) return sampled ? AP_CUT_BROKEN : AP_CUT_LINEAR;
    if (!ap_node_is(from, "type", "JOIN")) return AP_CUT_ABSENT;
    enum ap_cut_position at = ap_cut_position_of(yyjson_obj_get(from, "left"), target);
    bool passes = at != AP_CUT_ABSENT && passes_left(from);
    if (at == AP_CUT_ABSENT) {
        at = ap_cut_position_of(yyjson_obj_get(from, "right"), target);
        passes = passes_right(from);
    }
    if (at == AP_CUT_ABSENT) return AP_CUT_ABSENT;
    return at == AP_CUT_LINEAR && passes && !sampled ? AP_CUT_LINEAR : AP_CUT_BROKEN;
}

bool ap_cut_is_union_all(yyjson_val *node)
{
    static const char *const types[] = { "UNION", "UNION_BY_NAME", NULL };
    return ap_node_is(node, "type", "SET_OPERATION_NODE") && is_any_of(node, "setop_type", types) &&
           yyjson_get_bool(yyjson_obj_get(node, "setop_all"));
}

bool ap_cut_may_shard(const struct ap_cut_state *state, const struct ap_cut_use *use)
{
    const struct ap_cut_options *options = state->options;
    return use->table != SIZE_MAX && options->tables[use->table].is_frame &&
           (options->excluded == NULL || !options->excluded[use->table]);
}

/* ---- down into a branch ---- */

struct down {
    const struct ap_cut_state *state;
    bool failed; /* no memory */
};

static struct ap_cut_way into_query(struct down *down, struct ap_cut_query *query);

static struct ap_cut_way with(struct down *down, struct ap_cut_way way, struct ap_cut_use *use, struct ap_cut_query *query)
{
    struct ap_cut_held *held = ap_arena_alloc(down->state->arena, sizeof *held);
    if (held == NULL) {
        down->failed = true;
        return (struct ap_cut_way) { 0 };
    }
    *held = (struct ap_cut_held) { .use = use, .query = query, .next = way.held };
    way.held = held;
    return way;
}

static struct ap_cut_way into_table(struct down *down, yyjson_val *node)
{
    const struct ap_cut_options *options = down->state->options;
    struct ap_cut_use *use = ap_cut_use_of(&down->state->index, node);
    struct ap_cut_way none = { 0 };
    if (use == NULL) return none;
    if (use->with != NULL) {
        bool once = use->with->body != NULL && use->with->use_count == 1;
        return once ? into_query(down, use->with->body) : none;
    }
    if (!ap_cut_may_shard(down->state, use) || (options->alone != NULL && options->alone[use->table])) return none;
    struct ap_cut_way way = { .count = 1, .bytes = options->tables[use->table].bytes };
    return with(down, way, use, NULL);
}

static struct ap_cut_way into_from(struct down *down, yyjson_val *from)
{
    struct ap_cut_way left = { 0 }, right = { 0 };
    if (from == NULL || ap_json_member(from, "sample") != NULL) return left;
    if (ap_node_is(from, "type", "BASE_TABLE")) return into_table(down, from);
    if (ap_node_is(from, "type", "SUBQUERY")) {
        yyjson_val *node = yyjson_obj_get(yyjson_obj_get(from, "subquery"), "node");
        struct ap_cut_query *query = ap_cut_query_of(&down->state->index, node);
        return query != NULL ? into_query(down, query) : left;
    }
    if (!ap_node_is(from, "type", "JOIN")) return left;
    if (passes_left(from)) left = into_from(down, yyjson_obj_get(from, "left"));
    if (passes_right(from)) right = into_from(down, yyjson_obj_get(from, "right"));
    return left.count == 0 || (right.count > 0 && right.bytes > left.bytes) ? right : left;
}

static struct ap_cut_way into_union(struct down *down, yyjson_val *node)
{
    struct ap_cut_query *left = ap_cut_query_of(&down->state->index, yyjson_obj_get(node, "left")),
                        *right = ap_cut_query_of(&down->state->index, yyjson_obj_get(node, "right"));
    struct ap_cut_way none = { 0 }, way = none, other = none;
    if (left != NULL) way = into_query(down, left);
    if (way.count > 0 && right != NULL) other = into_query(down, right);
    if (other.count == 0) return none;
    struct ap_cut_held **last = &way.held;
    while (*last != NULL) last = &(*last)->next;
    *last = other.held;
    way.count += other.count;
    way.bytes += other.bytes;
    return way;
}

static struct ap_cut_way into_query(struct down *down, struct ap_cut_query *query)
{
    struct ap_cut_way way = { 0 };
    if (!ap_cut_is_passed(query->node)) return way;
    way = ap_cut_is_union_all(query->node) ? into_union(down, query->node)
                                           : into_from(down, yyjson_obj_get(query->node, "from_table"));
    return way.count > 0 ? with(down, way, NULL, query) : way;
}

enum apiary_code ap_cut_way_into(const struct ap_cut_state *state, struct ap_cut_query *query,
    struct ap_cut_way *out, struct apiary_error *err)
{
    struct down down = { .state = state };
    *out = into_query(&down, query);
    return down.failed ? ap_fail_memory(err, "the parts of a statement") : APIARY_OK;
}
