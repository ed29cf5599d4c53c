#include "sql/lexer.h"

int ap_next_statement(
    struct ap_str sql, size_t *position, size_t *start, size_t *end, bool *complete)
{
    struct ap_lexer lexer = { .sql = sql, .at = *position < sql.size ? *position : sql.size };
    size_t first = SIZE_MAX, last = 0;
    struct ap_token token;
    for (;;) {
        ap_lexer_next(&lexer, &token);
        bool ends = token.kind == AP_TOKEN_END || ap_token_is(&token, ";");
        if (ends && first != SIZE_MAX) break;
        if (token.kind == AP_TOKEN_END) {
            *position = sql.size;
            return 0;
        }
        if (ends) continue; /* nothing between two semicolons */
        if (first == SIZE_MAX) first = token.offset;
        last = token.offset + token.text.size;
    }
    *start = first;
    *end = last;
    *complete = token.kind != AP_TOKEN_END;
    *position = lexer.at;
    return 1;
}
