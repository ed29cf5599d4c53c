/* SQL text as a statement: a result or a message, ranges within the text, names by tokens. */
#include "core/arena.h"
#include "sql/statement_table.h"
#include "sql/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_range(struct ap_str text, struct ap_str range)
{
    if (!range.size) return;
    ap_assert(range.data >= text.data && range.data + range.size <= text.data + text.size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err = { 0 };
    struct ap_str text = { (const char *)data, size };
    AP_AUTO(ap_statement) statement = { 0 };
    AP_AUTO(ap_bytes) value = { 0 };
    enum apiary_code code = ap_statement_parse(text, &statement, &err);
    ap_assert(code == APIARY_OK || (code == APIARY_SQL && err.message[0]));
    check_range(text, statement.text);
    check_range(text, statement.body);
    check_range(text, statement.condition);
    check_range(text, statement.assignments);
    check_range(text, statement.using_clause);
    check_range(text, statement.action);
    check_range(text, statement.value);
    for (size_t i = 0; i < statement.column_count; i++)
        check_range(text, statement.columns[i].type);
    bool served = statement.kind != AP_STATEMENT_EMPTY && statement.kind != AP_STATEMENT_REFUSED;
    ap_assert((ap_statement_rule(&statement) != NULL) == served);
    ap_assert(statement.kind != AP_STATEMENT_REFUSED || statement.message);
    code = ap_sql_constant(text, &value, &err);
    ap_assert(code == APIARY_OK || code == APIARY_SQL);

    AP_AUTO(ap_arena) arena = { 0 };
    struct ap_tree_names names = { 0 };
    code = ap_token_names(&arena, text, &names, &err);
    ap_assert(code == APIARY_OK || code == APIARY_SQL || code == APIARY_LIMIT);
    return 0;
}
