/* Rows of a result on a stream, in the format that was asked for. */
#ifndef CLI_OUTPUT_H
#define CLI_OUTPUT_H

#include <apiary.h>
#include <stdbool.h>
#include <stdio.h>

enum output_format { OUTPUT_TABLE, OUTPUT_CSV, OUTPUT_JSON, OUTPUT_JSONL, OUTPUT_MARKDOWN, OUTPUT_ARROW, OUTPUT_PARQUET };

bool output_format_parse(const char *word, enum output_format *out);
const char *output_format_words(void); /* "table, csv, …" */

struct output {
    enum output_format format;
    FILE *file;
    bool terminal;      /* fit the width, escape control characters */
    int width;          /* of the terminal, columns */
    size_t rows_shown_max; /* table and markdown; 0: all */
};

/* What went out. */
struct output_figures {
    int64_t rows;
};
/* Drains the stream (which the caller releases). On failure *err is set; for errors of the stream the
 * caller asks apiary_result_error. 0 or an apiary_code. */
int output_rows(const struct output *output, struct ArrowArrayStream *stream, struct output_figures *figures, struct apiary_error *err);

#endif
