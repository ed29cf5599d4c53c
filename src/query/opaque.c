/* A workaround for the engine (decision 4): "x = 1 OR x IS DISTINCT FROM 2" is pushed into the reader
 * as a check of statistics, and that check takes a row group in which x is always NULL for one
 * without matches. Statements that could come to such a condition read frames whose columns the
 * engine cannot trace to the file, so nothing of theirs is checked by statistics of row groups.
 *
 * IS [NOT] TRUE and FALSE are the same comparison to the engine. What is told apart here is words:
 * a condition may be gathered from the text, its views and its macros.
 *
 * Another: min and max of a partition column, over one file alone, are looked for in the statistics of
 * that file, which has no such column ("Attempted to access index 4 within vector of size 4"). Such
 * statements read partition columns that cannot be traced. Conditions on them still choose files. */
#include "query/resolve.h"

static bool is_one(const struct ap_token *token, const char *const *words, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (ap_token_is(token, words[i])) return true;
    return false;
}

/* min or max, called: the last token is END. */
static bool calls_extreme(const struct ap_token *token)
{
    static const char *const words[] = { "min", "max" };
    bool quoted = token->kind == AP_TOKEN_QUOTED &&
                  (ap_str_equal_nocase(token->text, AP_STR("\"min\"")) ||
                      ap_str_equal_nocase(token->text, AP_STR("\"max\"")));
    return (quoted || is_one(token, words, sizeof words / sizeof *words)) &&
           ap_token_is(token + 1, "(");
}

void ap_opaque_note(struct ap_opaque *opaque, const struct ap_tokens *tokens)
{
    static const char *const compared[] = { "DISTINCT", "TRUE", "FALSE" };
    static const char *const joined[] = { "OR", "NOT", "CASE", "IF" };
    for (size_t i = 0; i < tokens->count; i++) {
        if (is_one(&tokens->items[i], joined, sizeof joined / sizeof *joined))
            opaque->joined = true;
        if (calls_extreme(&tokens->items[i])) opaque->extremes = true;
        if (!ap_token_is(&tokens->items[i], "IS")) continue;
        i++; /* the last token is END */
        if (ap_token_is(&tokens->items[i], "NOT")) i++;
        if (is_one(&tokens->items[i], compared, sizeof compared / sizeof *compared))
            opaque->compared = true;
    }
}

bool ap_opaque(const struct ap_opaque *opaque)
{
    return opaque->joined && opaque->compared;
}
