/* The table for people: widths from the first rows, the terminal's width respected. */
#include "output_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { SAMPLE_ROWS = 1000, TERMINAL_ROWS = 60, WIDTH_MIN = 4, COLUMN_WIDTH_MAX = 4096, CELLS_MAX = 1 << 22 };

/* ---- display width ---- */

static size_t next_character(const char *data, size_t size, unsigned *point)
{
    unsigned char c = (unsigned char)data[0];
    size_t length = c < 0x80 ? 1 : c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
    if (length > size) length = 1;
    *point = length == 1 ? c : c & (0xffu >> (length + 1));
    for (size_t i = 1; i < length; i++) *point = *point << 6 | ((unsigned char)data[i] & 0x3f);
    return length;
}

static int width_of(unsigned point)
{
    if ((point >= 0x300 && point <= 0x36f) || (point >= 0x200b && point <= 0x200f) || (point >= 0xfe00 && point <= 0xfe0f)) return 0;
    bool wide = (point >= 0x1100 && point <= 0x115f) || (point >= 0x2e80 && point <= 0xa4cf) || (point >= 0xac00 && point <= 0xd7a3)
        || (point >= 0xf900 && point <= 0xfaff) || (point >= 0xfe30 && point <= 0xfe6f) || (point >= 0xff00 && point <= 0xff60)
        || (point >= 0x1f300 && point <= 0x1faff) || (point >= 0x20000 && point <= 0x3fffd);
    return wide ? 2 : 1;
}

static int text_width(const char *data, size_t size)
{
    int width = 0;
    for (size_t i = 0; i < size;) {
        unsigned point;
        i += next_character(data + i, size - i, &point);
        width += width_of(point);
    }
    return width;
}

/* ---- one table ---- */

struct table {
    const struct output *output;
    struct reader *reader;
    int64_t columns;
    int *widths;
    char **cells; /* of the sample, row by row; NULL = null */
    int64_t sampled;
    struct text out, field;
};

static char *printable(struct table *table, const char *data, size_t size)
{
    struct text text = { 0 };
    text_add_printable(&text, data, size);
    if (text.data == NULL) text_puts(&text, "");
    if (text.failed) table->out.failed = true;
    return text.data;
}

static char *cell_text(struct table *table, int64_t c, int64_t i)
{
    const struct ArrowArrayView *array = table->reader->view.children[c];
    if (value_is_null(array, i)) return printable(table, "NULL", 4);
    text_clear(&table->field);
    value_print(&table->reader->root.children[c], array, i, VALUE_PLAIN, &table->field);
    return printable(table, table->field.data != NULL ? table->field.data : "", table->field.size);
}

static void widen(struct table *table, int64_t c, const char *text)
{
    int width = text_width(text, strlen(text));
    if (width > COLUMN_WIDTH_MAX) width = COLUMN_WIDTH_MAX;
    if (width > table->widths[c]) table->widths[c] = width;
}

/* Cuts the widest columns until the line fits. */
static void fit(struct table *table)
{
    if (!table->output->terminal || table->output->width <= 0) return;
    for (;;) {
        int64_t total = 1, widest = 0;
        for (int64_t c = 0; c < table->columns; c++) {
            total += table->widths[c] + 3;
            if (table->widths[c] > table->widths[widest]) widest = c;
        }
        if (total <= table->output->width || table->widths[widest] <= WIDTH_MIN) return;
        int64_t over = total - table->output->width;
        int cut = table->widths[widest] - (int)(over < 8 ? 1 : over / 4);
        table->widths[widest] = cut < WIDTH_MIN ? WIDTH_MIN : cut;
    }
}

static void add_padded(struct table *table, const char *text, int width, bool right)
{
    size_t size = strlen(text), shown = 0;
    int used = 0;
    bool cut = text_width(text, size) > width;
    int room = cut ? width - 1 : width;
    while (shown < size) {
        unsigned point;
        size_t length = next_character(text + shown, size - shown, &point);
        if (used + width_of(point) > room) break;
        used += width_of(point);
        shown += length;
    }
    int pad = width - used - (cut ? 1 : 0);
    for (int i = 0; right && i < pad; i++) text_add(&table->out, " ", 1);
    text_add(&table->out, text, shown);
    if (cut) text_puts(&table->out, "…");
    for (int i = 0; !right && i < pad; i++) text_add(&table->out, " ", 1);
}

static void add_rule(struct table *table, const char *left, const char *middle, const char *right)
{
    text_puts(&table->out, left);
    for (int64_t c = 0; c < table->columns; c++) {
        if (c > 0) text_puts(&table->out, middle);
        for (int i = 0; i < table->widths[c] + 2; i++) text_puts(&table->out, "─");
    }
    text_puts(&table->out, right);
    text_add(&table->out, "\n", 1);
}

static void add_line(struct table *table, char *const *cells)
{
    text_puts(&table->out, "│");
    for (int64_t c = 0; c < table->columns; c++) {
        text_add(&table->out, " ", 1);
        add_padded(table, cells[c] != NULL ? cells[c] : "", table->widths[c], column_is_number(&table->reader->root.children[c]));
        text_puts(&table->out, " │");
    }
    text_add(&table->out, "\n", 1);
}

static void add_head(struct table *table)
{
    fit(table);
    add_rule(table, "┌", "┬", "┐");
    text_puts(&table->out, "│");
    for (int64_t c = 0; c < table->columns; c++) {
        char *name = printable(table, table->reader->schema.children[c]->name, strlen(table->reader->schema.children[c]->name));
        text_add(&table->out, " ", 1);
        add_padded(table, name != NULL ? name : "", table->widths[c], false);
        text_puts(&table->out, " │");
        free(name);
    }
    text_add(&table->out, "\n", 1);
    add_rule(table, "├", "┼", "┤");
}

static void show_sample(struct table *table)
{
    add_head(table);
    for (int64_t r = 0; r < table->sampled; r++) {
        add_line(table, table->cells + r * table->columns);
        for (int64_t c = 0; c < table->columns; c++) free(table->cells[r * table->columns + c]);
    }
    table->sampled = -1; /* the head is out */
}

static void take_row(struct table *table, int64_t i)
{
    char **cells = table->cells + table->sampled * table->columns;
    for (int64_t c = 0; c < table->columns; c++) {
        cells[c] = cell_text(table, c, i);
        if (cells[c] != NULL) widen(table, c, cells[c]);
    }
    table->sampled++;
}

/* Rows behind the sample: shown at once, with the widths that the sample gave. */
static void show_row(struct table *table, int64_t i)
{
    char **cells = table->cells;
    for (int64_t c = 0; c < table->columns; c++) cells[c] = cell_text(table, c, i);
    add_line(table, cells);
    for (int64_t c = 0; c < table->columns; c++) free(cells[c]);
}

static int run(struct table *table, struct output_figures *figures, struct apiary_error *err)
{
    const struct output *output = table->output;
    int64_t rows = 0, most = output->rows_shown_max > 0 ? (int64_t)output->rows_shown_max : output->terminal ? TERMINAL_ROWS : INT64_MAX;
    int64_t sample = most < SAMPLE_ROWS ? most : SAMPLE_ROWS;
    if (table->columns > 0 && sample > CELLS_MAX / table->columns) sample = CELLS_MAX / table->columns + 1;
    table->widths = calloc((size_t)table->columns + 1, sizeof *table->widths);
    table->cells = calloc((size_t)(sample * table->columns) + 1, sizeof *table->cells);
    if (table->widths == NULL || table->cells == NULL) return fail(err, APIARY_MEMORY, "out of memory for the table");
    for (int64_t c = 0; c < table->columns; c++) widen(table, c, table->reader->schema.children[c]->name);
    int code = 0;
    while ((code = reader_next(table->reader, &rows, err)) == 0 && rows > 0) {
        for (int64_t i = 0; i < rows; i++) {
            if (figures->rows + i >= most) break;
            if (table->sampled >= 0 && table->sampled < sample) take_row(table, i);
            else {
                if (table->sampled >= 0) show_sample(table);
                show_row(table, i);
            }
        }
        figures->rows += rows;
        if (table->out.size > (1 << 16) && (code = flush_text(output, &table->out, err)) != 0) break;
    }
    if (table->sampled >= 0) show_sample(table);
    add_rule(table, "└", "┴", "┘");
    if (figures->rows > most) text_printf(&table->out, "… %" PRId64 " more rows are not shown\n", figures->rows - most);
    return code != 0 ? code : flush_text(output, &table->out, err);
}

int output_table(const struct output *output, struct reader *reader, struct output_figures *figures, struct apiary_error *err)
{
    struct table table = { .output = output, .reader = reader, .columns = reader->root.child_count };
    int code = run(&table, figures, err);
    for (int64_t i = 0; table.cells != NULL && i < table.sampled * table.columns; i++) free(table.cells[i]);
    free(table.cells);
    free(table.widths);
    text_done(&table.out);
    text_done(&table.field);
    return code;
}
