/* Parts of plans run in an engine instance that the chamber keeps for them (decision 58): opening one takes as long as a small
 * part. What a plan says may come from anybody who can write to the store. So they share with nobody else; what
 * sets a part up makes schemas, which are undone, and views, in a transaction that is rolled back; and the
 * chamber runs nothing but a query there. */
#include "query/plan_private.h"

#include "core/wire.h"
#include "query/resolve.h"
#include "sql/lexer.h"

/* One statement, which begins with these words. */
static bool begins(struct ap_str text, const char *const *words, size_t count)
{
    struct ap_lexer lexer = { .sql = text };
    struct ap_token token;
    for (size_t i = 0; i < count; i++) {
        ap_lexer_next(&lexer, &token);
        if (!ap_token_is(&token, words[i])) return false;
    }
    for (;;) {
        ap_lexer_next(&lexer, &token);
        if (token.kind == AP_TOKEN_END) return true;
        if (token.unfinished || ap_token_is(&token, ";")) return false;
    }
}

static bool makes_little(struct ap_str text)
{
    static const char *const forms[][3] = { { "CREATE", "VIEW" }, { "CREATE", "TEMP", "VIEW" }, { "USE" }, { "ATTACH" },
        { "CREATE", "SCHEMA" } };
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++) {
        size_t count = 0;
        while (count < 3 && forms[i][count] != NULL) count++;
        if (begins(text, forms[i], count)) return true;
    }
    return false;
}

static enum apiary_code add_undos(struct ap_source *source, const struct ap_plan *plan, size_t views, struct apiary_error *err)
{
    for (size_t i = 0; i < plan->setup_count; i++)
        AP_TRY(ap_schema_undo(ap_str_from(plan->setup[i]), &source->undo, err));
    for (size_t i = 0; i < views; i++) AP_TRY(ap_texts_printf(&source->undo, err, "DROP VIEW %s", source->scans[i].view));
    return APIARY_OK;
}

enum apiary_code ap_plan_part_share(struct ap_source *source, const struct ap_plan *plan, size_t views, struct apiary_error *err)
{
    int width = ap_chamber_width(source->chamber);
    if (!plan->kept || ap_pool_budget_of(source->session->world->pool, width) < AP_WIRE_KEPT_MEMORY) return APIARY_OK;
    for (size_t i = 0; i < source->setup.count; i++)
        if (!makes_little(ap_str_from(source->setup.items[i]))) return APIARY_OK;
    AP_TRY(add_undos(source, plan, views, err));
    source->kept = source->part = true;
    return APIARY_OK;
}
