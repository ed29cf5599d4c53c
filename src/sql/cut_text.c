/* SQL around the parts: casts to types that travel as Arrow, and back; the view that merges. */
#include "sql/cut_private.h"

#include "sql/lexer.h"

/* ---- types ---- */

/* How a type travels. Words of a type's text, outside of quotes. */
static const struct {
    const char *word, *as; /* NULL: cannot travel */
    bool nested;           /* may be so within another type */
} words[] = {
    { "HUGEINT", "DECIMAL(38,0)", true },
    { "UHUGEINT", "DECIMAL(38,0)", true },
    { "UUID", "VARCHAR", false },
    { "BIT", "VARCHAR", false },
    { "BIGNUM", "VARCHAR", false },
    { "ENUM", "VARCHAR", false },
    { "UNION", NULL, false },
    { "VARIANT", NULL, false },
    { "GEOMETRY", NULL, false },
    { "TIME_NS", NULL, false },
    { "LAMBDA", NULL, false },
};

static bool is_word(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_';
}

static size_t word_of(struct ap_str word)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (ap_str_equal_nocase(word, ap_str_from(words[i].word))) return i;
    return SIZE_MAX;
}

/* The type as which `type` travels; false when none is known. */
static bool travelling(struct ap_str type, struct ap_bytes *out, struct apiary_error *err,
    enum apiary_code *code)
{
    *code = APIARY_OK;
    if (ap_str_starts_with(type, AP_STR("ENUM("))) {
        *code = type.data[type.size - 1] == ')' ? ap_bytes_add_text(out, "VARCHAR", err) : APIARY_OK;
        return type.data[type.size - 1] == ')';
    }
    if (ap_str_is(type, "TIME WITH TIME ZONE")) {
        *code = ap_bytes_add_text(out, "VARCHAR", err);
        return true;
    }
    if (type.size == 0 || ap_str_is(type, "\"NULL\"") || ap_str_is(type, "NULL")) return false;
    for (size_t at = 0; at < type.size && *code == APIARY_OK;) {
        size_t end = at;
        char c = type.data[at];
        if (c == '"' || c == '\'') { /* a doubled quote begins the next run: the same */
            for (end = at + 1; end < type.size && type.data[end] != c;) end++;
            end = end < type.size ? end + 1 : end;
        } else if (is_word(c))
            while (end < type.size && is_word(type.data[end])) end++;
        else
            end = at + 1;
        struct ap_str word = { type.data + at, end - at };
        size_t found = is_word(c) ? word_of(word) : SIZE_MAX;
        bool nested = word.size < type.size;
        if (found != SIZE_MAX && (words[found].as == NULL || (nested && !words[found].nested)))
            return false;
        if (ap_str_starts_with((struct ap_str) { type.data + at, type.size - at },
                AP_STR("TIME WITH TIME ZONE")))
            return false;
        *code = found != SIZE_MAX ? ap_bytes_add_text(out, words[found].as, err)
                                  : ap_bytes_add_str(out, word, err);
        at = end;
    }
    return true;
}

enum apiary_code ap_cut_pack_sql(struct ap_str sql, const char *const *types, size_t count,
    struct ap_bytes *out, bool *travels, struct apiary_error *err)
{
    *travels = true;
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    for (size_t i = 0; i < count; i++) {
        AP_AUTO(ap_bytes) as = { 0 };
        enum apiary_code code = APIARY_OK;
        if (!travelling(ap_str_from(types[i]), &as, err, &code)) *travels = false;
        if (code != APIARY_OK) return code;
        if (ap_str_equal(ap_bytes_view(&as), ap_str_from(types[i])))
            AP_TRY(ap_bytes_printf(out, err, "%sc%zu", i > 0 ? ", " : "", i));
        else
            AP_TRY(ap_bytes_printf(out, err, "%sCAST(c%zu AS %s) AS c%zu", i > 0 ? ", " : "", i,
                ap_bytes_text(&as), i));
    }
    AP_TRY(ap_bytes_printf(out, err, " FROM (" AP_FMT ") AS apiary_f(", AP_ARG(sql)));
    for (size_t i = 0; i < count; i++)
        AP_TRY(ap_bytes_printf(out, err, "%sc%zu", i > 0 ? ", " : "", i));
    return ap_bytes_add_text(out, ")", err);
}

/* names NULL: prefix0, prefix1, … */
static enum apiary_code unpack(const char *table, const char *const *types,
    const char *const *names, const char *prefix, size_t count, struct ap_bytes *out,
    struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "SELECT ", err));
    for (size_t i = 0; i < count; i++) {
        AP_TRY(ap_bytes_printf(out, err, "%sCAST(c%zu AS %s) AS ", i > 0 ? ", " : "", i, types[i]));
        if (names == NULL)
            AP_TRY(ap_bytes_printf(out, err, "%s%zu", prefix, i));
        else
            AP_TRY(ap_sql_name(out, ap_str_from(names[i]), err));
    }
    return ap_bytes_printf(out, err, " FROM %s", table);
}

enum apiary_code ap_cut_unpack_sql(const char *table, const char *const *types,
    const char *const *names, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    return unpack(table, types, names, "c", count, out, err);
}

enum apiary_code ap_cut_fragment_sql(struct ap_cut *cut, struct ap_str sql,
    const char *const *types, size_t count, struct ap_bytes *out, struct apiary_error *err)
{
    if (count < cut->state->partial_count)
        return ap_fail(err, APIARY_INTERNAL, "a fragment has fewer columns than it was given");
    bool travels = true;
    AP_TRY(ap_cut_pack_sql(sql, types, cut->state->partial_count, out, &travels, err));
    if (!travels) return ap_cut_whole(cut, "one of its columns has a type that cannot be sent");
    return APIARY_OK;
}

/* ---- merging ---- */

struct merging {
    const struct ap_cut_state *state;
    const char *const *types;
    struct ap_bytes *out;
    struct apiary_error *err;
    const char *why;
};

/* count, mean and M2 of all partials, two by two (Chan, Golub and LeVeque): no difference of large
 * squares. A struct of n, m, s, or NULL without rows. */
static enum apiary_code add_spread(struct merging *merging, size_t first, struct apiary_error *err)
{
    return ap_bytes_printf(merging->out, err,
        "list_reduce(list({'n': CAST(c%zu AS DOUBLE), 'm': c%zu, 's': c%zu}) FILTER (WHERE c%zu > 0), "
        "lambda x, y: {'n': x.n + y.n, 'm': x.m + (y.m - x.m) * y.n / (x.n + y.n), "
        "'s': x.s + y.s + (y.m - x.m) * (y.m - x.m) * x.n * y.n / (x.n + y.n)})",
        first, first + 1, first + 2, first);
}

static enum apiary_code merge_spread(
    struct merging *merging, struct ap_str name, size_t first, struct apiary_error *err)
{
    bool root = ap_str_starts_with(name, AP_STR("stddev")), population =
        ap_str_ends_with(name, AP_STR("_pop"));
    AP_TRY(ap_bytes_printf(
        merging->out, err, "%slist_extract(list_transform([", root ? "sqrt(" : ""));
    AP_TRY(add_spread(merging, first, err));
    return ap_bytes_printf(merging->out, err,
        "], lambda z: CASE WHEN z.n > %d THEN z.s / (z.n - %d) END), 1)%s", population ? 0 : 1,
        population ? 0 : 1, root ? ")" : "");
}

/* Sum ÷ count as the engine does it: sums of integers and decimals are exact, and divided once. */
static enum apiary_code merge_average(
    struct merging *merging, size_t first, struct apiary_error *err)
{
    struct ap_str sum = ap_str_from(merging->types[first]);
    if (merging->state->options->mistakes & AP_CUT_MISTAKE_AVERAGE)
        return ap_bytes_printf(merging->out, err, "avg(c%zu)", first);
    if (ap_str_is(sum, "DOUBLE"))
        return ap_bytes_printf(merging->out, err, "sum(c%zu) / sum(c%zu)", first, first + 1);
    if (ap_str_is(sum, "HUGEINT"))
        return ap_bytes_printf(merging->out, err,
            "CAST(sum(c%zu) AS DOUBLE) / CAST(sum(c%zu) AS DOUBLE)", first, first + 1);
    int64_t scale = 0;
    size_t comma = ap_str_find(sum, AP_STR(","));
    if (!ap_str_starts_with(sum, AP_STR("DECIMAL(")) || comma == SIZE_MAX ||
        !ap_str_to_i64(
            (struct ap_str) { sum.data + comma + 1, sum.size - comma - 2 }, &scale)) {
        merging->why = "it takes an average of what is no number";
        return APIARY_OK;
    }
    return ap_bytes_printf(merging->out, err,
        "CAST(CAST(replace(CAST(sum(c%zu) AS VARCHAR), '.', '') AS HUGEINT) AS DOUBLE) / "
        "(CAST(sum(c%zu) AS DOUBLE) * 1e%lld)",
        first, first + 1, (long long)scale);
}

static enum apiary_code merge_call(
    struct merging *merging, size_t index, struct apiary_error *err)
{
    const struct ap_cut_aggregate_call *call = &merging->state->calls[index];
    struct ap_str name = ap_node_str(call->node, "function_name");
    const char *type = merging->types[merging->state->partial_count + index];
    bool untyped = call->kind->merge == AP_MERGE_COUNT &&
                   (merging->state->options->mistakes & AP_CUT_MISTAKE_COUNT_TYPE);
    struct ap_bytes *out = merging->out;
    if (!untyped) AP_TRY(ap_bytes_add_text(out, "CAST(", err));
    if (call->distinct) {
        AP_TRY(ap_bytes_printf(out, err, AP_FMT "(DISTINCT c%zu)", AP_ARG(name), call->first));
        if (ap_json_member(call->node, "filter") != NULL)
            AP_TRY(ap_bytes_printf(out, err, " FILTER (WHERE c%zu)", call->first + 1));
    } else
        switch (call->kind->merge) {
            case AP_MERGE_COUNT:
                AP_TRY(ap_bytes_printf(out, err, "coalesce(sum(c%zu), 0)", call->first));
                break;
            case AP_MERGE_SUM: AP_TRY(ap_bytes_printf(out, err, "sum(c%zu)", call->first)); break;
            case AP_MERGE_AVERAGE: AP_TRY(merge_average(merging, call->first, err)); break;
            case AP_MERGE_SPREAD: AP_TRY(merge_spread(merging, name, call->first, err)); break;
            case AP_MERGE_BEST:
                AP_TRY(ap_bytes_printf(
                    out, err, AP_FMT "(c%zu, c%zu)", AP_ARG(name), call->first, call->first + 1));
                break;
            case AP_MERGE_SAME:
                AP_TRY(ap_bytes_printf(out, err, AP_FMT "(c%zu)", AP_ARG(name), call->first));
                break;
            case AP_MERGE_NONE: ap_assert(false); break;
        }
    if (!untyped) AP_TRY(ap_bytes_printf(out, err, " AS %s)", type));
    return ap_bytes_printf(out, err, " AS " AP_CUT_PREFIX "a%zu", index);
}

static enum apiary_code add_set(
    struct merging *merging, yyjson_val *set, struct apiary_error *err)
{
    size_t index, count;
    yyjson_val *item;
    AP_TRY(ap_bytes_add_text(merging->out, "(", err));
    yyjson_arr_foreach(set, index, count, item)
    {
        uint64_t key = yyjson_get_uint(item);
        if (key >= merging->state->key_count)
            return ap_fail(err, APIARY_CORRUPT, "a syntax tree groups by a key that is not there");
        AP_TRY(ap_bytes_printf(
            merging->out, err, "%sc%llu", index > 0 ? ", " : "", (unsigned long long)key));
    }
    return ap_bytes_add_text(merging->out, ")", err);
}

static enum apiary_code add_grouping_clause(struct merging *merging, struct apiary_error *err)
{
    const struct ap_cut_state *state = merging->state;
    yyjson_val *sets = yyjson_obj_get(state->b->node, "group_sets"), *set;
    size_t index, count;
    if (yyjson_arr_size(sets) > 1) {
        AP_TRY(ap_bytes_add_text(merging->out, " GROUP BY GROUPING SETS (", err));
        yyjson_arr_foreach(sets, index, count, set)
        {
            if (index > 0) AP_TRY(ap_bytes_add_text(merging->out, ", ", err));
            AP_TRY(add_set(merging, set, err));
        }
        return ap_bytes_add_text(merging->out, ")", err);
    }
    for (size_t i = 0; i < state->key_count; i++)
        AP_TRY(ap_bytes_printf(merging->out, err, "%sc%zu", i > 0 ? ", " : " GROUP BY ", i));
    return APIARY_OK;
}

static enum apiary_code merged_aggregate(struct merging *merging, struct apiary_error *err)
{
    const struct ap_cut_state *state = merging->state;
    struct ap_bytes *out = merging->out;
    const char *between = "SELECT ";
    for (size_t i = 0; i < state->key_count; i++, between = ", ")
        AP_TRY(ap_bytes_printf(out, err, "%sc%zu AS " AP_CUT_PREFIX "k%zu", between, i, i));
    for (size_t i = 0; i < state->call_count; i++, between = ", ") {
        AP_TRY(ap_bytes_add_text(out, between, err));
        AP_TRY(merge_call(merging, i, err));
    }
    size_t at = 0;
    for (size_t i = 0; i < state->grouping_count; i++, between = ", ") {
        AP_TRY(ap_bytes_printf(out, err, "%sGROUPING(", between));
        for (size_t first = at; state->grouping_keys[at] != SIZE_MAX; at++)
            AP_TRY(ap_bytes_printf(
                out, err, "%sc%zu", at > first ? ", " : "", state->grouping_keys[at]));
        at++;
        AP_TRY(ap_bytes_printf(out, err, ") AS " AP_CUT_PREFIX "g%zu", i));
    }
    if (state->key_count + state->call_count + state->grouping_count == 0)
        AP_TRY(ap_bytes_add_text(out, "SELECT count(*) AS " AP_CUT_PREFIX "n", err));
    AP_TRY(ap_bytes_add_text(out, " FROM (", err));
    AP_TRY(ap_cut_unpack_sql(
        AP_CUT_PARTIALS, merging->types, NULL, state->partial_count, out, err));
    AP_TRY(ap_bytes_add_text(out, ") AS apiary_p", err));
    return add_grouping_clause(merging, err);
}

enum apiary_code ap_cut_merged_sql(struct ap_cut *cut, const char *const *types, size_t count,
    struct ap_bytes *out, struct apiary_error *err)
{
    const struct ap_cut_state *state = cut->state;
    size_t originals = cut->kind == AP_CUT_AGGREGATE ? state->call_count : 0;
    if (count != state->partial_count + originals)
        return ap_fail(err, APIARY_INTERNAL, "a fragment has not the columns that it was given");
    if (cut->kind != AP_CUT_AGGREGATE)
        return unpack(AP_CUT_PARTIALS, types, state->rename, AP_CUT_PREFIX "c", count, out, err);
    struct merging merging = { .state = state, .types = types, .out = out, .err = err };
    AP_TRY(merged_aggregate(&merging, err));
    return merging.why != NULL ? ap_cut_whole(cut, merging.why) : APIARY_OK;
}
