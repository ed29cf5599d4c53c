#include "output_private.h"

#include <errno.h>
#include <nanoarrow/nanoarrow_ipc.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const struct { const char *word; enum output_format format; } formats[] = {
    { "table", OUTPUT_TABLE }, { "csv", OUTPUT_CSV }, { "json", OUTPUT_JSON }, { "jsonl", OUTPUT_JSONL },
    { "markdown", OUTPUT_MARKDOWN }, { "md", OUTPUT_MARKDOWN }, { "arrow", OUTPUT_ARROW }, { "parquet", OUTPUT_PARQUET },
    { "ndjson", OUTPUT_JSONL } };

bool output_format_parse(const char *word, enum output_format *out)
{
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i].word, word) == 0) {
            *out = formats[i].format;
            return true;
        }
    return false;
}

const char *output_format_words(void)
{
    return "table, csv, json, jsonl, markdown, arrow, parquet";
}

int fail(struct apiary_error *err, int code, const char *format, ...)
{
    va_list args;
    err->code = code;
    err->hint[0] = '\0';
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return code;
}

int flush_text(const struct output *output, struct text *text, struct apiary_error *err)
{
    if (text->failed) return fail(err, APIARY_MEMORY, "out of memory for the output");
    if (text->size > 0 && fwrite(text->data, 1, text->size, output->file) != text->size)
        return fail(err, APIARY_IO, "cannot write the output: %s", strerror(errno));
    text_clear(text);
    return 0;
}

static int stream_failed(struct ArrowArrayStream *stream, int errno_value, struct apiary_error *err)
{
    const char *why = stream->get_last_error(stream);
    return fail(err, APIARY_IO, "%s", why != NULL ? why : strerror(errno_value));
}

int reader_open(struct reader *reader, struct ArrowArrayStream *stream, struct apiary_error *err)
{
    memset(reader, 0, sizeof *reader);
    reader->stream = stream;
    int failed = stream->get_schema(stream, &reader->schema);
    if (failed != 0) return stream_failed(stream, failed, err);
    struct ArrowError error = { "" };
    if (!column_init(&reader->root, &reader->schema) || ArrowArrayViewInitFromSchema(&reader->view, &reader->schema, &error) != NANOARROW_OK)
        return fail(err, APIARY_UNSUPPORTED, "this result has a type that cannot be shown: %s", error.message);
    return 0;
}

int reader_next(struct reader *reader, int64_t *rows, struct apiary_error *err)
{
    struct ArrowError error = { "" };
    do {
        if (reader->batch.release != NULL) reader->batch.release(&reader->batch);
        reader->batch.release = NULL;
        int failed = reader->stream->get_next(reader->stream, &reader->batch);
        if (failed != 0) {
            reader->batch.release = NULL;
            return stream_failed(reader->stream, failed, err);
        }
        *rows = 0;
        if (reader->batch.release == NULL) return 0;
    } while (reader->batch.length == 0);
    if (ArrowArrayViewSetArray(&reader->view, &reader->batch, &error) != NANOARROW_OK)
        return fail(err, APIARY_CORRUPT, "a batch of the result is not in order: %s", error.message);
    *rows = reader->batch.length;
    return 0;
}

void reader_close(struct reader *reader)
{
    if (reader->batch.release != NULL) reader->batch.release(&reader->batch);
    ArrowArrayViewReset(&reader->view);
    column_done(&reader->root);
    if (reader->schema.release != NULL) reader->schema.release(&reader->schema);
}

/* ---- Arrow IPC ---- */

int output_arrow(const struct output *output, struct ArrowArrayStream *stream, struct output_figures *figures, struct apiary_error *err)
{
    struct reader reader;
    struct ArrowIpcOutputStream sink;
    struct ArrowIpcWriter writer;
    struct ArrowError error = { "" };
    int code = reader_open(&reader, stream, err);
    if (code == 0 && ArrowIpcOutputStreamInitFile(&sink, output->file, 0) != NANOARROW_OK)
        code = fail(err, APIARY_MEMORY, "out of memory for the output");
    if (code != 0) {
        reader_close(&reader);
        return code;
    }
    int failed = ArrowIpcWriterInit(&writer, &sink);
    if (failed == NANOARROW_OK) {
        failed = ArrowIpcWriterWriteSchema(&writer, &reader.schema, &error);
        int64_t rows = 1;
        while (failed == NANOARROW_OK && code == 0 && rows > 0) {
            code = reader_next(&reader, &rows, err);
            if (code == 0) failed = ArrowIpcWriterWriteArrayView(&writer, rows > 0 ? &reader.view : NULL, &error);
            figures->rows += code == 0 ? rows : 0;
        }
        ArrowIpcWriterReset(&writer);
    }
    reader_close(&reader);
    if (code == 0 && failed != NANOARROW_OK) code = fail(err, APIARY_IO, "cannot write the output: %s", error.message[0] ? error.message : strerror(failed));
    return code;
}

int output_rows(const struct output *output, struct ArrowArrayStream *stream, struct output_figures *figures, struct apiary_error *err)
{
    figures->rows = 0;
    if (output->format == OUTPUT_ARROW) return output_arrow(output, stream, figures, err);
    struct reader reader;
    int code = reader_open(&reader, stream, err);
    if (code == 0) {
        switch (output->format) {
        case OUTPUT_CSV: code = output_csv(output, &reader, figures, err); break;
        case OUTPUT_JSON:
        case OUTPUT_JSONL: code = output_json(output, &reader, figures, err); break;
        case OUTPUT_MARKDOWN: code = output_markdown(output, &reader, figures, err); break;
        default: code = output_table(output, &reader, figures, err); break;
        }
    }
    reader_close(&reader);
    if (code == 0 && fflush(output->file) != 0) code = fail(err, APIARY_IO, "cannot write the output: %s", strerror(errno));
    return code;
}
