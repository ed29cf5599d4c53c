/* Values of Arrow arrays as text, the way the shell shows them. */
#ifndef CLI_VALUE_H
#define CLI_VALUE_H

#include <apiary.h>
#include <nanoarrow/nanoarrow.h>
#include <stdbool.h>

/* A growing text. `failed` stays set once memory ran out. */
struct text {
    char *data; /* data[size] == 0 when not NULL */
    size_t size, capacity;
    bool failed;
};
void text_done(struct text *text);
void text_clear(struct text *text);
void text_add(struct text *text, const char *data, size_t size);
void text_puts(struct text *text, const char *string);
/* Control characters would move a terminal's cursor or worse: they are shown as escapes. */
void text_add_printable(struct text *text, const char *data, size_t size);
void text_printf(struct text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* How a column is read: its type, unit and zone, parsed once. */
struct column {
    struct ArrowSchemaView view;
    const struct ArrowSchema *schema;
    struct column *children;
    int64_t child_count;
};
/* false: the schema is not understood. `schema` must outlive the column. */
bool column_init(struct column *column, const struct ArrowSchema *schema);
void column_done(struct column *column);
bool column_is_number(const struct column *column);

enum value_style {
    VALUE_PLAIN, /* table, csv: strings as they are, NULL as nothing (the caller decides) */
    VALUE_JSON   /* a JSON value */
};
/* Appends the value at row i. NULLs: "NULL" inside of lists and structs, "null" in JSON. */
void value_print(const struct column *column, const struct ArrowArrayView *array, int64_t i, enum value_style style, struct text *out);
bool value_is_null(const struct ArrowArrayView *array, int64_t i);

/* A JSON string with quotes; invalid UTF-8 becomes U+FFFD. */
void json_quote(struct text *out, const char *data, size_t size);

#endif
