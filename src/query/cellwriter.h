/* Rows of a query into new cells: a COPY in the chamber, staged files, figures for the ledger
 * (design, section 5; chamber.md, section 5). */
#ifndef AP_QUERY_CELLWRITER_H
#define AP_QUERY_CELLWRITER_H

#include "query/target.h"

/* Cells that were written and are not committed to a ledger yet. */
struct ap_written {
    struct ap_arena arena;
    struct ap_new_cell *cells;
    size_t count, capacity;
    int64_t rows;
    int64_t bytes;
    int64_t begun_mono_us;  /* when the first of them was stored; 0: none was */
    struct ap_store *store; /* where they lie, for ap_written_discard */
    struct ap_texts keys;   /* whole keys in the store */
    int64_t store_us;       /* that storing them took */
    struct ap_job_stats job; /* of the COPY that made most of them */
};
void ap_written_done(struct ap_written *written);

/* As a line of text, for whoever commits them elsewhere / back from it, behind what `out` has. What is
 * read may come from anywhere: keys must be such as the frame's cells have, values and statistics of
 * the form that the log wants. extra_tag: as of ap_write_partition. codes: CORRUPT, LIMIT */
AP_CHECKED enum apiary_code ap_written_write(const struct ap_written *written,
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_written_read(struct ap_str line, const struct ap_target *target,
    struct ap_str extra_tag, struct ap_written *out, struct apiary_error *err);
/* The tags of new cells as JSON, in the arena. */
AP_CHECKED enum apiary_code ap_cell_tags(const struct ap_metadata *metadata, struct ap_str extra_tag,
    struct ap_arena *arena, struct ap_str *out, struct apiary_error *err);
/* No partition may be the one too many of its frame. codes: LIMIT */
AP_CHECKED enum apiary_code ap_written_check_partitions(struct ap_session *session,
    const struct ap_target *target, const struct ap_written *written, struct apiary_error *err);
/* When they may not be committed any more (struct ap_commit): 12 h after the first was stored, half
 * of what vacuum waits before it takes a file that no log names. */
int64_t ap_written_expires_us(const struct ap_written *written);
/* Deletes the objects: after a commit that did not take place. Best effort. */
void ap_written_discard(struct ap_written *written);

/* Runs `select` (whose columns are exactly the target's schema, in order) in the source's chamber
 * and stores what it wrote as cells below the target's folder. The chamber is given back.
 * sort: rows come in no useful order and partitions may be many: sorted by partition first. */
AP_CHECKED enum apiary_code ap_write_cells(struct ap_source *source, const struct ap_target *target,
    struct ap_str select, const struct apiary_query *query, bool sort, struct ap_written *out,
    struct apiary_error *err);

/* Rows of one partition into cells: `select` gives the columns that are no partition columns (see
 * ap_cell_columns), in the order in which they are to lie. values: of the partition columns.
 * extra_tag: a member for the cells' tags, or empty. Called any number of times for one `out`; the
 * chamber stays the source's. */
AP_CHECKED enum apiary_code ap_write_partition(struct ap_source *source,
    const struct ap_target *target, struct ap_str select, const struct apiary_query *query,
    const struct ap_str *values, struct ap_str extra_tag, struct ap_written *out, struct apiary_error *err);
/* Is it a column whose values lie in cells: no partition column, not void? */
bool ap_lies_in_cells(const struct ap_metadata *metadata, const struct ap_field *field);
/* Appends the names of the columns that lie in a cell: "a", "b". */
AP_CHECKED enum apiary_code ap_cell_columns(
    const struct ap_metadata *metadata, struct ap_bytes *out, struct apiary_error *err);
/* The sizes that cells of this target are cut to: delta.targetFileSize of the frame, else the
 * setting target_cell_size, else the memory of the bees that do the work. */
AP_CHECKED enum apiary_code ap_target_cut(struct ap_session *session,
    const struct ap_metadata *metadata, struct ap_leafcutter *out, struct apiary_error *err);

/* The select list that fits the columns of a source to the target's schema; it stands over
 * "(source) AS apiary_rows(aliases)", see ap_fit_aliases. */
struct ap_fit {
    const struct ap_described_list *columns; /* of the source */
    const struct ap_texts *names;            /* INSERT INTO t (names); NULL: all, in order */
    bool by_name;                            /* match by the columns' names */
    bool strict;     /* safe widening only (Arrow data, import): else the engine's casts */
    bool drop_extra; /* extra columns: a notice instead of an error */
    bool refuse_null_partition;
};
AP_CHECKED enum apiary_code ap_fit_columns(struct ap_session *session,
    const struct ap_target *target, const struct ap_fit *fit, struct ap_bytes *select_list,
    struct apiary_error *err);
/* The value of a column, as an expression of its type, checked for NULLs within it where the schema wants none (fit_null.c);
 * left as it is where there is no such rule. frame: its name, for the error. */
AP_CHECKED enum apiary_code ap_fit_within(
    struct ap_bytes *value, const struct ap_field *field, const char *frame, struct apiary_error *err);
/* "(a, b, …)": a name for each source column. */
AP_CHECKED enum apiary_code ap_fit_aliases(const struct ap_target *target, const struct ap_fit *fit,
    struct ap_bytes *out, struct apiary_error *err);

/* "column=value/" of the key of a cell in this partition, by the column's name in files. value: data NULL is null. */
AP_CHECKED enum apiary_code ap_cell_add_folder(const struct ap_metadata *metadata, size_t index,
    struct ap_str value, struct ap_bytes *folders, struct apiary_error *err);
/* Partitions that one statement may write (setting max_partitions). */
int64_t ap_partitions_max(const struct ap_session *session);

#endif
