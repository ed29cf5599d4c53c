/* Names by tokens alone, for queries that the serialiser refuses (PIVOT …). Nothing is pruned by
 * them, so that a name too many costs an error at worst ("no frame x") and a name too few a
 * "table not found" of the engine. */
#include "sql/lexer.h"
#include "sql/tree_private.h"

enum { NAMES_MAX = 10000, DEPTH_MAX = 100, PATHS_MAX = 100 };

struct finder {
    struct ap_arena *arena;
    struct ap_tree_names *out;
    const struct ap_tokens *tokens;
    size_t at;
    struct ap_texts ctes;
    size_t table_capacity, file_capacity;
};

static const struct ap_token *token_at(const struct finder *finder, size_t ahead)
{
    size_t last = finder->tokens->count - 1;
    return &finder->tokens->items[finder->at + ahead < last ? finder->at + ahead : last];
}

static bool is_word(const struct ap_token *token, const char *const *words)
{
    for (; *words; words++)
        if (ap_token_is(token, *words)) return true;
    return false;
}

static bool is_name(const struct ap_token *token)
{
    static const char *const never[] = { "SELECT", "VALUES", "LATERAL", "WITH", "FROM", "WHERE",
        "ON", "GROUP", "ORDER", "LIMIT", "JOIN", "TABLE", "UNION", NULL };
    if (token->kind == AP_TOKEN_QUOTED || token->kind == AP_TOKEN_STRING) return !token->unfinished;
    return token->kind == AP_TOKEN_WORD && !is_word(token, never);
}

/* WITH a AS (…), b(c) AS (…): every name before AS ( or (…) AS ( */
static enum apiary_code note_ctes(struct finder *finder, struct apiary_error *err)
{
    const struct ap_tokens *tokens = finder->tokens;
    for (size_t i = 1; i + 1 < tokens->count; i++) {
        const struct ap_token *token = &tokens->items[i], *name = token - 1;
        if (!ap_token_is(token, "AS")) continue;
        bool body = ap_token_is(token + 1, "(") || ap_token_is(token + 1, "MATERIALIZED") ||
                    ap_token_is(token + 1, "NOT");
        if (!body) continue;
        if (ap_token_is(name, ")")) { /* the list of columns */
            while (name > tokens->items && !(ap_token_is(name, "(") && name->depth == token->depth))
                name--;
            if (name > tokens->items) name--;
        }
        if (name->kind != AP_TOKEN_WORD && name->kind != AP_TOKEN_QUOTED) continue;
        AP_AUTO(ap_bytes) value = { 0 };
        AP_TRY(ap_token_value(name, &value, err));
        if (ap_texts_find(&finder->ctes, ap_bytes_view(&value)) == SIZE_MAX &&
            finder->ctes.count < NAMES_MAX)
            AP_TRY(ap_texts_add(&finder->ctes, ap_bytes_view(&value), err));
    }
    return APIARY_OK;
}

static bool is_cte(const struct finder *finder, struct ap_str name)
{
    for (size_t i = 0; i < finder->ctes.count; i++)
        if (ap_str_equal_nocase(ap_str_from(finder->ctes.items[i]), name)) return true;
    return false;
}

/* Room for one more; the old array stays behind in the arena. */
static void *grow(struct finder *finder, void *items, size_t count, size_t *capacity, size_t size)
{
    if (count < *capacity) return items;
    *capacity = *capacity ? *capacity * 2 : 8;
    void *grown = ap_arena_alloc(finder->arena, *capacity * size);
    if (grown && count) memcpy(grown, items, count * size);
    return grown;
}

static enum apiary_code add_file(
    struct finder *finder, const struct ap_file_ref *ref, struct apiary_error *err)
{
    struct ap_tree_names *out = finder->out;
    if (out->file_count == NAMES_MAX)
        return ap_fail(err, APIARY_LIMIT, "the statement names more than %d files", NAMES_MAX);
    out->files =
        grow(finder, out->files, out->file_count, &finder->file_capacity, sizeof *out->files);
    if (!out->files) return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
    out->files[out->file_count++] = *ref;
    return APIARY_OK;
}

static enum apiary_code add_table(
    struct finder *finder, const struct ap_table_ref *ref, struct apiary_error *err)
{
    struct ap_tree_names *out = finder->out;
    if (!ref->parts[0].size && !ref->parts[1].size && ap_is_file_name(ref->parts[2])) {
        struct ap_file_ref file = { .function = AP_STR(""),
            .path_count = 1,
            .constant = true,
            .query_location = ref->query_location };
        file.paths = ap_arena_alloc(finder->arena, sizeof *file.paths);
        if (!file.paths)
            return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
        file.paths[0] = ref->parts[2];
        return add_file(finder, &file, err);
    }
    if (out->table_count == NAMES_MAX)
        return ap_fail(err, APIARY_LIMIT, "the statement names more than %d tables", NAMES_MAX);
    out->tables =
        grow(finder, out->tables, out->table_count, &finder->table_capacity, sizeof *out->tables);
    if (!out->tables) return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
    out->tables[out->table_count++] = *ref;
    return APIARY_OK;
}

/* read_csv('x', …), read_csv(['x', 'y']): behind the function's name. */
static enum apiary_code read_file_call(
    struct finder *finder, struct ap_str function, size_t location, struct apiary_error *err)
{
    struct ap_str paths[PATHS_MAX];
    size_t count = 0;
    struct finder inner = *finder;
    inner.at++;
    bool list = ap_token_is(token_at(&inner, 0), "[");
    if (list) inner.at++;
    while (token_at(&inner, 0)->kind == AP_TOKEN_STRING && count < PATHS_MAX) {
        AP_AUTO(ap_bytes) value = { 0 };
        bool ok = true;
        AP_TRY(ap_token_value(token_at(&inner, 0), &value, err));
        paths[count++] = ap_arena_str(finder->arena, ap_bytes_view(&value), &ok);
        if (!ok) return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
        inner.at++;
        if (!list || !ap_token_is(token_at(&inner, 0), ",")) break;
        inner.at++;
    }
    bool whole = ap_token_is(token_at(&inner, 0), list ? "]" : ",") ||
                 (!list && ap_token_is(token_at(&inner, 0), ")"));
    struct ap_file_ref ref = { .function = function,
        .path_count = count,
        .constant = count > 0 && whole,
        .query_location = location };
    ref.paths = ap_arena_alloc(finder->arena, sizeof paths[0] * (count + 1));
    if (!ref.paths) return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
    memcpy(ref.paths, paths, count * sizeof paths[0]);
    return add_file(finder, &ref, err);
}

/* a.b.c at the next token. */
static enum apiary_code read_name(struct finder *finder, struct apiary_error *err)
{
    struct ap_table_ref ref = { .alias = AP_STR(""),
        .query_location = token_at(finder, 0)->offset };
    struct ap_str parts[3];
    size_t count = 0;
    for (;;) {
        AP_AUTO(ap_bytes) value = { 0 };
        bool ok = true;
        if (count == 3 || !is_name(token_at(finder, 0))) return APIARY_OK;
        AP_TRY(ap_token_value(token_at(finder, 0), &value, err));
        parts[count++] = ap_arena_str(finder->arena, ap_bytes_view(&value), &ok);
        if (!ok) return ap_fail(err, APIARY_MEMORY, "out of memory for the statement's names");
        finder->at++;
        if (!ap_token_is(token_at(finder, 0), ".")) break;
        finder->at++;
    }
    if (ap_token_is(token_at(finder, 0), "(")) /* a table function */
        return count == 1 && ap_is_file_function(parts[0])
                   ? read_file_call(finder, parts[0], ref.query_location, err)
                   : APIARY_OK;
    for (size_t i = 0; i < 3; i++)
        ref.parts[i] = i < 3 - count ? AP_STR("") : parts[i - (3 - count)];
    if (count == 1 && is_cte(finder, ref.parts[2])) return APIARY_OK;
    return add_table(finder, &ref, err);
}

/* The list behind FROM at `depth`: a name stands at its beginning and behind each comma. */
static enum apiary_code read_list(struct finder *finder, int depth, struct apiary_error *err)
{
    static const char *const ends[] = { "WHERE", "GROUP", "ORDER", "HAVING", "LIMIT", "OFFSET",
        "UNION", "EXCEPT", "INTERSECT", "SELECT", "QUALIFY", "WINDOW", "FROM", "PIVOT", "UNPIVOT",
        ";", NULL };
    size_t back = finder->at;
    enum apiary_code code = APIARY_OK;
    bool wanted = true;
    for (; code == APIARY_OK; finder->at++) {
        const struct ap_token *token = token_at(finder, 0);
        if (token->kind == AP_TOKEN_END || token->depth < depth) break;
        if (token->depth > depth) continue;
        if (wanted && ap_token_is(token, "(") && depth < DEPTH_MAX) { /* FROM (a JOIN b …) */
            finder->at++;
            code = read_list(finder, depth + 1, err);
            finder->at--;
        }
        if (wanted && is_name(token)) {
            code = read_name(finder, err);
            finder->at--;
            wanted = false;
            continue;
        }
        wanted = ap_token_is(token, ",");
        if (is_word(token, ends)) break;
    }
    finder->at = back;
    return code;
}

static enum apiary_code find_names(struct finder *finder, struct apiary_error *err)
{
    static const char *const before[] = { "JOIN", "PIVOT", "UNPIVOT", "INTO", "TABLE", "DESCRIBE",
        "SUMMARIZE", "PIVOT_WIDER", "PIVOT_LONGER", NULL };
    AP_TRY(note_ctes(finder, err));
    for (finder->at = 0; finder->at + 1 < finder->tokens->count; finder->at++) {
        const struct ap_token *token = token_at(finder, 0);
        size_t at = finder->at;
        bool distinct = at > 0 && ap_token_is(token - 1, "DISTINCT"); /* IS DISTINCT FROM */
        finder->at++;
        if (ap_token_is(token, "FROM") && !distinct)
            AP_TRY(read_list(finder, token->depth, err));
        else if (is_word(token, before) && is_name(token_at(finder, 0)))
            AP_TRY(read_name(finder, err));
        finder->at = at;
    }
    return APIARY_OK;
}

enum apiary_code ap_token_names(
    struct ap_arena *arena, struct ap_str sql, struct ap_tree_names *out, struct apiary_error *err)
{
    AP_AUTO(ap_tokens) tokens = { 0 };
    struct ap_tree_names names = { 0 };
    AP_TRY(ap_lex(sql, &tokens, err));
    struct finder finder = { .arena = arena, .out = &names, .tokens = &tokens };
    enum apiary_code code = find_names(&finder, err);
    ap_texts_done(&finder.ctes);
    if (code == APIARY_OK) *out = names;
    return code;
}
