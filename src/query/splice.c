#include "query/splice.h"

#include "core/alloc.h"

#include <stdlib.h>

void ap_splice_done(struct ap_splice *splice)
{
    for (size_t i = 0; i < splice->count; i++) ap_free(splice->edits[i].text);
    ap_free(splice->edits);
    memset(splice, 0, sizeof *splice);
}

enum apiary_code ap_splice_add(struct ap_splice *splice, size_t offset, size_t length,
    struct ap_str text, struct apiary_error *err)
{
    AP_TRY(AP_GROW(splice->edits, splice->capacity, splice->count + 1, err));
    char *copy = ap_str_dup(text);
    if (copy == NULL) return ap_fail_memory(err, "a statement");
    splice->edits[splice->count++] = (struct ap_splice_edit) { offset, length, copy };
    return APIARY_OK;
}

static int by_offset(const void *a, const void *b)
{
    const struct ap_splice_edit *left = a, *right = b;
    return left->offset < right->offset ? -1 : left->offset > right->offset;
}

enum apiary_code ap_splice_apply(
    struct ap_splice *splice, struct ap_str text, struct ap_bytes *out, struct apiary_error *err)
{
    if (splice->count > 1) qsort(splice->edits, splice->count, sizeof *splice->edits, by_offset);
    size_t done = 0;
    for (size_t i = 0; i < splice->count; i++) {
        const struct ap_splice_edit *edit = &splice->edits[i];
        if (edit->offset < done || edit->length > text.size ||
            edit->offset > text.size - edit->length)
            return ap_fail(
                err, APIARY_INTERNAL, "edits of a statement overlap at byte %zu", edit->offset);
        AP_TRY(ap_bytes_add(out, text.data + done, edit->offset - done, err));
        AP_TRY(ap_bytes_add_text(out, edit->text, err));
        done = edit->offset + edit->length;
    }
    return ap_bytes_add(out, text.data + done, text.size - done, err);
}

size_t ap_token_at(const struct ap_tokens *tokens, size_t offset)
{
    size_t low = 0, high = tokens->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (tokens->items[middle].offset < offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < tokens->count && tokens->items[low].offset == offset &&
                   tokens->items[low].kind != AP_TOKEN_END
               ? low
               : SIZE_MAX;
}

static bool is_name(const struct ap_token *token)
{
    return token->kind == AP_TOKEN_WORD || token->kind == AP_TOKEN_QUOTED;
}

static size_t end_of(const struct ap_token *token)
{
    return token->offset + token->text.size;
}

/* The token behind the bracket that opens at `open`. */
static size_t behind_brackets(const struct ap_tokens *tokens, size_t open)
{
    int depth = tokens->items[open].depth;
    size_t at = open + 1;
    while (tokens->items[at].kind != AP_TOKEN_END &&
           !(ap_token_is(&tokens->items[at], ")") && tokens->items[at].depth == depth))
        at++;
    return tokens->items[at].kind == AP_TOKEN_END ? at : at + 1;
}

/* AT ( … ) stands behind the name and its alias, with or without AS and column names. */
static enum apiary_code take_out_at(
    struct ap_splice *splice, const struct ap_tokens *tokens, size_t at, struct apiary_error *err)
{
    enum { LOOK_AHEAD = 3 };
    for (int i = 0; i <= LOOK_AHEAD && tokens->items[at].kind != AP_TOKEN_END; i++) {
        if (ap_token_is(&tokens->items[at], "AT") && ap_token_is(&tokens->items[at + 1], "(")) {
            size_t behind = behind_brackets(tokens, at + 1);
            size_t start = tokens->items[at].offset;
            return ap_splice_add(
                splice, start, end_of(&tokens->items[behind - 1]) - start, AP_STR(" "), err);
        }
        if (ap_token_is(&tokens->items[at], "("))
            at = behind_brackets(tokens, at);
        else if (is_name(&tokens->items[at]))
            at++;
        else
            break;
    }
    return APIARY_OK;
}

enum apiary_code ap_splice_name(struct ap_splice *splice, const struct ap_tokens *tokens,
    size_t offset, struct ap_str text, size_t *behind, struct apiary_error *err)
{
    size_t first = ap_token_at(tokens, offset);
    if (first == SIZE_MAX || !is_name(&tokens->items[first]))
        return ap_fail(err, APIARY_INTERNAL, "no name stands at byte %zu of the statement", offset);
    size_t last = first;
    while (ap_token_is(&tokens->items[last + 1], ".") && is_name(&tokens->items[last + 2]))
        last += 2;
    if (behind != NULL) *behind = last + 1;
    return ap_splice_add(splice, offset, end_of(&tokens->items[last]) - offset, text, err);
}

enum apiary_code ap_splice_reference(struct ap_splice *splice, const struct ap_tokens *tokens,
    size_t offset, struct ap_str engine_name, struct ap_str alias, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_bytes_add_str(&text, engine_name, err));
    if (alias.size > 0) {
        AP_TRY(ap_bytes_add_text(&text, " AS ", err));
        AP_TRY(ap_sql_name(&text, alias, err));
    }
    size_t behind = 0;
    AP_TRY(ap_splice_name(splice, tokens, offset, ap_bytes_view(&text), &behind, err));
    return take_out_at(splice, tokens, behind, err);
}
