#ifndef CLI_OUTPUT_PRIVATE_H
#define CLI_OUTPUT_PRIVATE_H

#include "output.h"
#include "value.h"

/* A stream read batch by batch. */
struct reader {
    struct ArrowArrayStream *stream;
    struct ArrowSchema schema;
    struct column root;
    struct ArrowArrayView view;
    struct ArrowArray batch;
};
int reader_open(struct reader *reader, struct ArrowArrayStream *stream, struct apiary_error *err);
/* 0 and *rows (0 at the end), or a code. */
int reader_next(struct reader *reader, int64_t *rows, struct apiary_error *err);
void reader_close(struct reader *reader);

int fail(struct apiary_error *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Writes and empties the text; IO when the file refuses. */
int flush_text(const struct output *output, struct text *text, struct apiary_error *err);

int output_table(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err);
int output_csv(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err);
int output_json(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err);
int output_markdown(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err);
int output_arrow(const struct output *output, struct ArrowArrayStream *stream, struct output_figures *figures, struct apiary_error *err);

#endif
