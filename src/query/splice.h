/* Edits of a statement's text by position: the text a user typed runs unchanged but for the
 * few names that the engine must see differently. */
#ifndef AP_QUERY_SPLICE_H
#define AP_QUERY_SPLICE_H

#include "core/str.h"
#include "sql/lexer.h"

struct ap_splice_edit {
    size_t offset, length;
    char *text;
};
struct ap_splice {
    struct ap_splice_edit *edits;
    size_t count, capacity;
};
void ap_splice_done(struct ap_splice *splice);
AP_CHECKED enum apiary_code ap_splice_add(struct ap_splice *splice, size_t offset, size_t length,
    struct ap_str text, struct apiary_error *err);
/* The text with all edits applied; edits must not overlap (INTERNAL). */
AP_CHECKED enum apiary_code ap_splice_apply(
    struct ap_splice *splice, struct ap_str text, struct ap_bytes *out, struct apiary_error *err);

/* Index of the token that begins at `offset`, or SIZE_MAX. */
size_t ap_token_at(const struct ap_tokens *tokens, size_t offset);

/* Replaces the dotted name that begins at `offset` by `text`; *behind (may be NULL) = the token
 * after it. */
AP_CHECKED enum apiary_code ap_splice_name(struct ap_splice *splice, const struct ap_tokens *tokens,
    size_t offset, struct ap_str text, size_t *behind, struct apiary_error *err);

/* The same for a reference of a query: by `engine_name`. `alias` (may be empty) is
 * added where the reference has none of its own and must go on being known by its last part.
 * An AT (…) clause behind it is taken out. */
AP_CHECKED enum apiary_code ap_splice_reference(struct ap_splice *splice,
    const struct ap_tokens *tokens, size_t offset, struct ap_str engine_name, struct ap_str alias,
    struct apiary_error *err);

#endif
