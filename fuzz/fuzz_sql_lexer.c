/* SQL text as bytes: tokens cover it in order, values can be had, statements lie within. */
#include "core/error.h"
#include "sql/lexer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_tokens(struct ap_str sql)
{
    struct ap_lexer lexer = { .sql = sql };
    struct ap_token token;
    size_t end = 0;
    do {
        struct apiary_error err;
        AP_AUTO(ap_bytes) value = { 0 };
        ap_lexer_next(&lexer, &token);
        ap_assert(token.offset >= end && token.offset + token.text.size <= sql.size);
        ap_assert(token.kind == AP_TOKEN_END || token.text.size > 0);
        ap_assert(token.depth >= 0);
        end = token.offset + token.text.size;
        enum apiary_code code = ap_token_value(&token, &value, &err);
        ap_assert(code == APIARY_OK || code == APIARY_SQL);
    } while (token.kind != AP_TOKEN_END);
}

static void check_statements(struct ap_str sql)
{
    size_t position = 0, start = 0, end = 0, before = 0;
    bool complete = false;
    while (ap_next_statement(sql, &position, &start, &end, &complete)) {
        ap_assert(start >= before && start < end && end <= position && position <= sql.size);
        before = end;
    }
    ap_assert(position == sql.size);
}

/* What is quoted reads back as it was. */
static void check_quoting(struct ap_str text)
{
    struct apiary_error err;
    AP_AUTO(ap_bytes) quoted = { 0 };
    AP_AUTO(ap_bytes) value = { 0 };
    struct ap_token token;
    if (ap_sql_name(&quoted, text, &err) != APIARY_OK) return;
    struct ap_lexer lexer = { .sql = ap_bytes_view(&quoted) };
    ap_lexer_next(&lexer, &token);
    ap_assert(token.kind == AP_TOKEN_QUOTED && token.text.size == quoted.size);
    ap_assert(ap_token_value(&token, &value, &err) == APIARY_OK);
    ap_assert(ap_str_equal(ap_bytes_view(&value), text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ap_str sql = { (const char *)data, size };
    check_tokens(sql);
    check_statements(sql);
    check_quoting(sql);
    return 0;
}
