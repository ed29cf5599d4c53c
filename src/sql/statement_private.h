/* The statement parser between its files: a reader over the tokens of one statement. Functions
 * named after a statement begin behind its first word and fill in reader->out. */
#ifndef AP_SQL_STATEMENT_PRIVATE_H
#define AP_SQL_STATEMENT_PRIVATE_H

#include "sql/statement.h"

struct ap_reader {
    struct ap_str text;
    struct ap_tokens tokens;
    size_t at; /* of the token that comes next */
    struct ap_statement *out;
};

/* statement_read.c: looking and moving. Words are separated by one space in `words`. */
const struct ap_token *ap_reader_peek(const struct ap_reader *reader, size_t ahead);
bool ap_reader_is(const struct ap_reader *reader, const char *words);
bool ap_reader_accept(struct ap_reader *reader, const char *words);
bool ap_reader_at_end(const struct ap_reader *reader);
/* Is the token `ahead` a name: quoted, or a word that the engine does not reserve? */
bool ap_reader_is_name(const struct ap_reader *reader, size_t ahead);
/* "expected WHAT after …, found …" */
AP_CHECKED enum apiary_code ap_reader_fail(
    const struct ap_reader *reader, const char *what, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_expect(
    struct ap_reader *reader, const char *words, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_expect_end(
    const struct ap_reader *reader, struct apiary_error *err);

/* statement_read.c: values; outputs are owned by the statement. */
AP_CHECKED enum apiary_code ap_reader_name(
    struct ap_reader *reader, char **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_object_name(
    struct ap_reader *reader, struct ap_object_name *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_string(
    struct ap_reader *reader, const char *what, char **out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_names(
    struct ap_reader *reader, struct ap_texts *out, struct apiary_error *err); /* (a, b) */
AP_CHECKED enum apiary_code ap_reader_column_names(
    struct ap_reader *reader, struct apiary_error *err); /* (a, b) to out->columns */
AP_CHECKED enum apiary_code ap_reader_add_column(
    struct ap_reader *reader, struct ap_column_definition **out, struct apiary_error *err);
/* The text up to the first of the words (NULL ends the list; "" = none) at the depth of the next
 * token, or to the closing bracket around it, or to the end; must not be empty. */
AP_CHECKED enum apiary_code ap_reader_range(struct ap_reader *reader, const char *what,
    const char *const *stops, struct ap_str *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_rest(
    struct ap_reader *reader, const char *what, struct ap_str *out, struct apiary_error *err);
/* What stands in the brackets that come next. */
AP_CHECKED enum apiary_code ap_reader_brackets(
    struct ap_reader *reader, struct ap_str *inside, struct apiary_error *err);
/* (name value, name = value, name (list), name) to out->options */
AP_CHECKED enum apiary_code ap_reader_options(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_reader_add_option(
    struct ap_reader *reader, struct ap_option **out, struct apiary_error *err);
/* Hive, box, frame, view or macro by any of their words; NONE and not moved when it is none. */
enum ap_object_kind ap_reader_object(struct ap_reader *reader);
/* Does a query begin at the token `ahead`? */
bool ap_reader_is_query(const struct ap_reader *reader, size_t ahead);
/* Alias with or without AS, when one is there. */
AP_CHECKED enum apiary_code ap_reader_alias(struct ap_reader *reader, struct apiary_error *err);

enum apiary_code ap_reader_refuse(struct ap_reader *reader, const char *message, const char *hint);

/* statement_table.c: refuses when the statement begins with words that are refused. */
bool ap_reader_refused_words(struct ap_reader *reader);

AP_CHECKED enum apiary_code ap_read_create(
    struct ap_reader *reader, struct apiary_error *err); /* statement_create.c */
AP_CHECKED enum apiary_code ap_read_column(
    struct ap_reader *reader, bool types_may_miss, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_alter(
    struct ap_reader *reader, struct apiary_error *err); /* statement_alter.c */
AP_CHECKED enum apiary_code ap_read_comment(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_drop(
    struct ap_reader *reader, struct apiary_error *err); /* statement_drop.c */
AP_CHECKED enum apiary_code ap_read_undrop(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_use(
    struct ap_reader *reader, struct apiary_error *err); /* statement_show.c */
AP_CHECKED enum apiary_code ap_read_show(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_describe(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_set(
    struct ap_reader *reader, struct apiary_error *err); /* statement_set.c */
AP_CHECKED enum apiary_code ap_read_reset(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_insert(
    struct ap_reader *reader, struct apiary_error *err); /* statement_write.c */
AP_CHECKED enum apiary_code ap_read_delete(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_update(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_merge(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_truncate(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_copy(
    struct ap_reader *reader, struct apiary_error *err); /* statement_copy.c */
AP_CHECKED enum apiary_code ap_read_optimize(
    struct ap_reader *reader, struct apiary_error *err); /* statement_keep.c */
AP_CHECKED enum apiary_code ap_read_vacuum(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_restore(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_pin(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_unpin(struct ap_reader *reader, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_read_fsck(struct ap_reader *reader, struct apiary_error *err);

#endif
