/* CSV, JSON, JSON lines, Markdown: row by row. */
#include "output_private.h"

#include <string.h>

enum { FLUSH_BYTES = 1 << 16 };

/* ---- CSV (RFC 4180): NULL is empty, an empty text is "" ---- */

static void csv_field(struct text *out, const char *data, size_t size)
{
    bool quote = size == 0;
    for (size_t i = 0; i < size && !quote; i++) quote = strchr(",\"\r\n", data[i]) != NULL && data[i] != '\0';
    if (!quote) {
        text_add(out, data, size);
        return;
    }
    text_add(out, "\"", 1);
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '"') text_add(out, "\"", 1);
        text_add(out, data + i, 1);
    }
    text_add(out, "\"", 1);
}

int output_csv(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err)
{
    struct text out = { 0 }, field = { 0 };
    int64_t columns = reader->root.child_count, rows = 0;
    for (int64_t c = 0; c < columns; c++) {
        if (c > 0) text_add(&out, ",", 1);
        csv_field(&out, reader->schema.children[c]->name, strlen(reader->schema.children[c]->name));
    }
    text_add(&out, "\n", 1);
    int code = 0;
    while ((code = reader_next(reader, &rows, err)) == 0 && rows > 0) {
        for (int64_t i = 0; i < rows && code == 0; i++) {
            for (int64_t c = 0; c < columns; c++) {
                if (c > 0) text_add(&out, ",", 1);
                if (value_is_null(reader->view.children[c], i)) continue;
                text_clear(&field);
                value_print(&reader->root.children[c], reader->view.children[c], i, VALUE_PLAIN, &field);
                csv_field(&out, field.data != NULL ? field.data : "", field.size);
            }
            text_add(&out, "\n", 1);
            if (out.size > FLUSH_BYTES) code = flush_text(output, &out, err);
        }
        if (code != 0) break;
        figures->rows += rows;
    }
    if (code == 0) code = flush_text(output, &out, err);
    text_done(&out);
    text_done(&field);
    return code;
}

/* ---- JSON: an array of objects, or one object a line ---- */

static void json_row(struct reader *reader, int64_t i, struct text *out)
{
    text_add(out, "{", 1);
    for (int64_t c = 0; c < reader->root.child_count; c++) {
        const char *name = reader->schema.children[c]->name;
        if (c > 0) text_add(out, ",", 1);
        json_quote(out, name, strlen(name));
        text_add(out, ":", 1);
        if (value_is_null(reader->view.children[c], i)) text_puts(out, "null");
        else value_print(&reader->root.children[c], reader->view.children[c], i, VALUE_JSON, out);
    }
    text_add(out, "}", 1);
}

int output_json(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err)
{
    struct text out = { 0 };
    bool lines = output->format == OUTPUT_JSONL;
    int64_t rows = 0;
    int code = 0;
    if (!lines) text_puts(&out, "[");
    while ((code = reader_next(reader, &rows, err)) == 0 && rows > 0) {
        for (int64_t i = 0; i < rows && code == 0; i++) {
            if (!lines) text_puts(&out, figures->rows + i > 0 ? ",\n " : "");
            json_row(reader, i, &out);
            if (lines) text_add(&out, "\n", 1);
            if (out.size > FLUSH_BYTES) code = flush_text(output, &out, err);
        }
        if (code != 0) break;
        figures->rows += rows;
    }
    if (!lines) text_puts(&out, "]\n");
    if (code == 0) code = flush_text(output, &out, err);
    text_done(&out);
    return code;
}

/* ---- Markdown ---- */

static void markdown_field(struct text *out, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '|') text_add(out, "\\|", 2);
        else if (data[i] == '\n') text_puts(out, "<br>");
        else if ((unsigned char)data[i] >= 0x20) text_add(out, data + i, 1);
    }
}

int output_markdown(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err)
{
    struct text out = { 0 }, field = { 0 };
    int64_t columns = reader->root.child_count, rows = 0;
    for (int64_t c = 0; c < columns; c++) {
        text_puts(&out, "| ");
        markdown_field(&out, reader->schema.children[c]->name, strlen(reader->schema.children[c]->name));
        text_puts(&out, " ");
    }
    text_puts(&out, "|\n");
    for (int64_t c = 0; c < columns; c++) text_puts(&out, column_is_number(&reader->root.children[c]) ? "| ---: " : "| --- ");
    text_puts(&out, "|\n");
    int code = 0;
    while ((code = reader_next(reader, &rows, err)) == 0 && rows > 0) {
        for (int64_t i = 0; i < rows && code == 0; i++) {
            for (int64_t c = 0; c < columns; c++) {
                text_clear(&field);
                if (!value_is_null(reader->view.children[c], i))
                    value_print(&reader->root.children[c], reader->view.children[c], i, VALUE_PLAIN, &field);
                text_puts(&out, "| ");
                markdown_field(&out, field.data != NULL ? field.data : "", field.size);
                text_puts(&out, " ");
            }
            text_puts(&out, "|\n");
            if (out.size > FLUSH_BYTES) code = flush_text(output, &out, err);
        }
        if (code != 0) break;
        figures->rows += rows;
    }
    if (code == 0) code = flush_text(output, &out, err);
    text_done(&out);
    text_done(&field);
    return code;
}
