/* Parts of plans run in an engine instance that the chamber keeps for them (decision 59): opening one takes as long as a small
 * part. What a plan says may come from anybody who can write to the store. So they share with nobody else; what
 * sets a part up makes schemas, which are undone, and views, in a transaction that is rolled back; its texts touch
 * nothing that is the instance's own; and the chamber runs nothing but a query there. A part that is not so
 * has an instance of its own. */
#include "query/plan_private.h"

#include "query/resolve.h"
#include "sql/lexer.h"

struct form {
    const char *words[6];
    int names; /* a name of so many parts is all that follows; 0: anything */
};

static bool is_word(const struct ap_token *token, const char *word)
{
    return ap_token_is(token, word) || (token->kind == AP_TOKEN_STRING && ap_str_is(token->text, word));
}

/* Is the text one statement of the form? *rest: what follows the words. */
static bool has_form(struct ap_str text, const struct form *form, struct ap_str *rest)
{
    struct ap_lexer lexer = { .sql = text };
    struct ap_token token;
    for (size_t i = 0; form->words[i] != NULL; i++) {
        ap_lexer_next(&lexer, &token);
        if (!is_word(&token, form->words[i])) return false;
    }
    *rest = (struct ap_str) { text.data + lexer.at, text.size - lexer.at };
    for (int i = 0;; i++) {
        ap_lexer_next(&lexer, &token);
        if (token.kind == AP_TOKEN_END) return form->names == 0 || i == 2 * form->names - 1;
        bool dot = ap_token_is(&token, "."), name = token.kind == AP_TOKEN_WORD || token.kind == AP_TOKEN_QUOTED;
        if (token.unfinished || ap_token_is(&token, ";")) return false;
        if (form->names > 0 && !(i % 2 == 1 ? dot : name)) return false;
    }
}

static bool makes_schemas(struct ap_str text)
{
    static const struct form forms[] = { { { "ATTACH", "':memory:'", "AS" }, 1 }, { { "CREATE", "SCHEMA", "IF", "NOT", "EXISTS" }, 2 } };
    struct ap_str rest;
    return has_form(text, &forms[0], &rest) || has_form(text, &forms[1], &rest);
}

/* USE, or CREATE [TEMP] VIEW name AS query: *query is what it reads, empty for USE. */
static bool makes_view(struct ap_str text, struct ap_str *query)
{
    static const struct form forms[] = { { { "CREATE", "VIEW" }, 0 }, { { "CREATE", "TEMP", "VIEW" }, 0 }, { { "USE" }, 2 } };
    struct ap_lexer lexer = { 0 };
    struct ap_token token;
    *query = (struct ap_str) { 0 };
    if (has_form(text, &forms[2], query)) {
        *query = (struct ap_str) { 0 };
        return true;
    }
    if (!has_form(text, &forms[0], &lexer.sql) && !has_form(text, &forms[1], &lexer.sql)) return false;
    do {
        ap_lexer_next(&lexer, &token);
        if (token.kind == AP_TOKEN_END) return false;
    } while (!ap_token_is(&token, "AS") || token.depth > 0);
    *query = (struct ap_str) { lexer.sql.data + lexer.at, lexer.sql.size - lexer.at };
    return true;
}

/* Tables are frames that the part reads, and what the cut named. */
static bool is_ours(const struct ap_source *source, const struct ap_table_ref *table)
{
    static const char *const engines[] = { "information_schema", "pg_catalog" };
    struct ap_str prefix = AP_STR(AP_CUT_PREFIX), name = table->parts[2];
    if (ap_str_equal_nocase(table->parts[0], AP_STR("system"))) return false;
    for (size_t i = 0; i < sizeof engines / sizeof *engines; i++)
        if (ap_str_equal_nocase(table->parts[1], ap_str_from(engines[i]))) return false;
    for (size_t i = 0; i < source->scan_count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(source->scans[i].entry.name.frame))) return true;
    return table->parts[1].size == 0 && name.size >= prefix.size && ap_str_equal_nocase((struct ap_str) { name.data, prefix.size }, prefix);
}

static enum apiary_code check_query(struct ap_source *source, struct ap_str query, bool *harmless, struct apiary_error *err)
{
    AP_AUTO_JSON *tree = NULL;
    struct ap_tree_names names = { 0 };
    *harmless = false;
    enum apiary_code code = ap_source_tree(source, query, &tree, err);
    if (code == APIARY_OK && tree != NULL) code = ap_tree_names(&source->arena, tree, &names, err);
    if (code == APIARY_OK && tree != NULL) *harmless = !ap_names_alone(&names);
    for (size_t i = 0; i < names.table_count; i++) *harmless &= is_ours(source, &names.tables[i]);
    ap_texts_done(&names.functions);
    if (code != APIARY_SQL && code != APIARY_CORRUPT && code != APIARY_LIMIT) return code;
    ap_error_clear(err); /* running it tells what is wrong */
    *harmless = false;
    return APIARY_OK;
}

/* Views of frames are in the database of their hive, of which there is one (in_one_database of resolve.c). */
static bool in_one_database(const struct ap_source *source, const struct ap_plan *plan, size_t views)
{
    size_t attached = 0;
    for (size_t i = 0; i < plan->setup_count; i++) attached += ap_str_starts_with(ap_str_from(plan->setup[i]), AP_STR("ATTACH"));
    for (size_t i = 1; i < views; i++) {
        const char *one = source->scans[0].view, *other = source->scans[i].view;
        size_t size = strcspn(one, ".");
        if (strncmp(one, other, size + 1) != 0) return false;
    }
    return attached <= 1;
}

/* The plan says what they are called. */
static bool views_are_names(const struct ap_source *source, size_t views)
{
    static const struct form name = { { NULL }, 3 };
    struct ap_str rest;
    for (size_t i = 0; i < views; i++)
        if (!has_form(ap_str_from(source->scans[i].view), &name, &rest)) return false;
    return true;
}

/* Behind the schemas and the `made` views of frames, which are of our own making, come texts of the plan. */
static enum apiary_code check(struct ap_source *source, const struct ap_plan *plan, struct ap_str text, struct ap_str merged, size_t made,
    bool *harmless, struct apiary_error *err)
{
    AP_TRY(check_query(source, text, harmless, err));
    if (*harmless && merged.size > 0) AP_TRY(check_query(source, merged, harmless, err));
    for (size_t i = 0; *harmless && i < source->setup.count; i++) {
        struct ap_str make = ap_str_from(source->setup.items[i]), query = { 0 };
        *harmless = i < plan->setup_count ? makes_schemas(make) : makes_view(make, &query);
        bool own = i < plan->setup_count + made;
        if (*harmless && !own && query.size > 0) AP_TRY(check_query(source, query, harmless, err));
    }
    return APIARY_OK;
}

static enum apiary_code add_undos(struct ap_source *source, const struct ap_plan *plan, size_t views, struct apiary_error *err)
{
    for (size_t i = 0; i < plan->setup_count; i++)
        AP_TRY(ap_schema_undo(ap_str_from(plan->setup[i]), &source->undo, err));
    for (size_t i = 0; i < views; i++) AP_TRY(ap_texts_printf(&source->undo, err, "DROP VIEW %s", source->scans[i].view));
    return APIARY_OK;
}

enum apiary_code ap_plan_part_share(struct ap_source *source, const struct ap_plan *plan, struct ap_str text, struct ap_str merged, size_t views,
    size_t made, struct apiary_error *err)
{
    bool harmless = false;
    if (ap_chamber_kept(source->chamber) < 2 || ap_plan_reads_files(plan) || !views_are_names(source, views)) return APIARY_OK;
    if (!in_one_database(source, plan, views)) return APIARY_OK;
    AP_TRY(check(source, plan, text, merged, made, &harmless, err));
    if (!harmless) return APIARY_OK;
    AP_TRY(add_undos(source, plan, views, err));
    source->kept = source->part = true;
    return APIARY_OK;
}
