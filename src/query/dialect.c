/* The delimiter of a CSV file, from its first line: an import must not let the engine's sniffer
 * skip lines or choose another shape of the file to make bad rows fit. */
#include "query/import.h"

#include <fcntl.h>
#include <unistd.h>

enum { HEAD_BYTES = 64 * 1024 };

/* Zero when the file has no line with a delimiter (one column, compressed, unreadable). */
char ap_csv_delimiter(const char *path)
{
    static const char candidates[] = { ',', ';', '\t', '|' };
    char head[HEAD_BYTES];
    size_t counts[sizeof candidates] = { 0 };
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return '\0';
    ssize_t size = read(fd, head, sizeof head);
    close(fd);
    bool quoted = false;
    for (ssize_t i = 0; i < size; i++) {
        if (head[i] == '"') quoted = !quoted;
        if (!quoted && (head[i] == '\n' || head[i] == '\r')) break;
        if (head[i] == '\0' || (unsigned char)head[i] == 0x1f)
            return '\0'; /* compressed or UTF-16 */
        for (size_t c = 0; !quoted && c < sizeof candidates; c++)
            counts[c] += head[i] == candidates[c];
    }
    size_t best = 0;
    for (size_t c = 1; c < sizeof candidates; c++)
        if (counts[c] > counts[best]) best = c;
    return counts[best] > 0 ? candidates[best] : '\0';
}

/* Reads the file in pieces; the counters live on between them. */
struct rows {
    char delimiter;
    bool quoted, empty;
    uint64_t line, row_line; /* counted from 1 */
    size_t columns, expected;
};

/* Is the row that ends here as wide as the first one? An empty line is no row. */
static bool row_fits(struct rows *rows)
{
    bool fits = rows->empty || rows->expected == 0 || rows->columns == rows->expected;
    if (!rows->empty && rows->expected == 0) rows->expected = rows->columns;
    return fits;
}

static bool feed(struct rows *rows, const char *data, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        char c = data[i];
        if (c == '"') rows->quoted = !rows->quoted;
        if (c == '\n') rows->line++;
        if (c == '\n' && !rows->quoted) {
            if (!row_fits(rows)) return false;
            rows->columns = 1;
            rows->empty = true;
            rows->row_line = rows->line;
            continue;
        }
        if (c == rows->delimiter && !rows->quoted) rows->columns++;
        if (c != '\r') rows->empty = false;
    }
    return true;
}

bool ap_csv_odd_row(const char *path, uint64_t *line, size_t *columns, size_t *expected)
{
    struct rows rows = {
        .delimiter = ap_csv_delimiter(path), .empty = true, .line = 1, .row_line = 1, .columns = 1
    };
    if (rows.delimiter == '\0') return false;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return false;
    char piece[HEAD_BYTES];
    ssize_t size = 0;
    bool fits = true;
    while (fits && (size = read(fd, piece, sizeof piece)) > 0)
        fits = feed(&rows, piece, (size_t)size);
    close(fd);
    if (fits && size == 0) fits = row_fits(&rows);
    *line = rows.row_line;
    *columns = rows.columns;
    *expected = rows.expected;
    return !fits;
}
