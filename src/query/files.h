/* Files of the machine or of a store that a statement names: read_csv('x.csv'), FROM 'x.parquet',
 * read_parquet('s3://bucket/x.parquet'). */
#ifndef AP_QUERY_FILES_H
#define AP_QUERY_FILES_H

#include "query/read.h"
#include "query/splice.h"

/* Grants every file that the statement's text names (globs expanded here) and puts the virtual
 * names into the text. codes: DENIED (local_files off, or text from the bucket), NOT_FOUND (names
 * the path), UNSUPPORTED (the path is not a constant) */
AP_CHECKED enum apiary_code ap_files_grant(struct ap_source *source,
    const struct ap_tree_names *names, const struct ap_tokens *tokens, bool from_catalogue,
    struct ap_splice *splice, struct apiary_error *err);

/* The files that a path or glob of the machine means, sorted; "~/" is the user's home. NOT_FOUND
 * names the pattern. */
AP_CHECKED enum apiary_code ap_files_expand(
    struct ap_str pattern, struct ap_texts *out, struct apiary_error *err);
/* Grants the files that a path, a glob or a URI of a store means. Their virtual names are added to `names`. parquet: from a store they are read page by page; else
 * ap_cell_set_fetch has to bring them before a job reads them. NOT_FOUND names the pattern. */
AP_CHECKED enum apiary_code ap_files_allow(struct ap_source *source, struct ap_str pattern,
    bool parquet, struct ap_texts *names, struct apiary_error *err);
/* ['…', '…'] */
AP_CHECKED enum apiary_code ap_files_list(
    const struct ap_texts *names, struct ap_bytes *out, struct apiary_error *err);

#endif
