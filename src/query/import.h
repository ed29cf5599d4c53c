/* Files as a source of rows. */
#ifndef AP_QUERY_IMPORT_H
#define AP_QUERY_IMPORT_H

#include "query/body.h"
#include "query/read.h"

struct ap_import_source {
    const char *const *paths; /* files or globs */
    size_t path_count;
    const char *format;  /* NULL: by the first file's name */
    const char *options; /* ", name = value …" for the engine's reader, or NULL */
};
/* Grants the files and gives "read_csv(['/files/0/a.csv', …], …" without the closing bracket. */
AP_CHECKED enum apiary_code ap_import_reader(struct ap_source *source,
    const struct ap_import_source *what, struct ap_bytes *out, struct apiary_error *err);

/* The rows of the files, fitted, into the target by all nodes that are there, if they are files that
 * all can read and many enough. reader: of ap_import_reader. *tasks 0: that is for this node alone, and
 * the source is ready for it. codes: those of ap_write_spread_run */
struct ap_plan_wrote;
struct ap_import_share {
    struct ap_source *source; /* open */
    struct ap_target *target;
    const struct ap_fit *fit;
    const struct ap_write_commit *how;
    struct ap_str reader;
    const struct ap_described_list *columns; /* of the files, as the engine found them; NULL: not known any more */
};
AP_CHECKED enum apiary_code ap_import_spread(const struct ap_import_share *share,
    struct ap_plan_wrote *wrote, size_t *tasks, struct apiary_error *err);

/* The delimiter of a CSV file by its first line; 0 when it has none. */
char ap_csv_delimiter(const char *path);
/* The first row that is not as wide as the first line: true, with its line and its columns. */
bool ap_csv_odd_row(const char *path, uint64_t *line, size_t *columns, size_t *expected);

#endif
