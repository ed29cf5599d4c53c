/* Files that a statement names, as lists that every node of the store can read: pinned where the
 * statement was typed, opened again by key where a part of it runs. */
#ifndef AP_QUERY_FILE_LIST_H
#define AP_QUERY_FILE_LIST_H

#include "query/plan.h"
#include "query/read.h"

/* A file that was granted by name, in the source's arena. */
struct ap_named_file {
    const char *name; /* virtual */
    const char *path; /* of the machine; NULL: an object */
    struct ap_store *store;
    const char *key;
    struct ap_object object; /* as it was granted */
};
/* Notes one that has just been granted. */
AP_CHECKED enum apiary_code ap_file_note(
    struct ap_source *source, const struct ap_named_file *file, struct apiary_error *err);
/* The one that was granted under this name; NULL: none. */
const struct ap_named_file *ap_file_noted(const struct ap_source *source, struct ap_str name);
uint64_t ap_files_bytes(const struct ap_source *source); /* of all of them */

/* By what other nodes know it: its key in the root. *inside false: it lies elsewhere, or where nodes do
 * not open what a plan names (ap_plan_file_key_check). */
AP_CHECKED enum apiary_code ap_file_pin(struct ap_session *session, const struct ap_named_file *file,
    enum ap_plan_reader reader, struct ap_bytes *key, bool *inside, struct apiary_error *err);

/* A column of ours in some reads of them: files that have one are not read as a list. */
#define AP_FILE_COLUMN AP_CUT_PREFIX "file"

/* The SELECT of their columns without rows. */
AP_CHECKED enum apiary_code ap_file_list_nothing(
    const struct ap_plan_files *files, struct ap_bytes *out, struct apiary_error *err);
/* Grants the files [first, first + count) of a plan's list and gives the SELECT of their rows: columns
 * and types are those of the whole list, whichever files these are. The list is a stranger's word: its
 * keys are looked for in the root and nowhere else. codes: NOT_FOUND, CORRUPT (a file changed), … */
AP_CHECKED enum apiary_code ap_file_list_sql(struct ap_source *source,
    const struct ap_plan_frame *list, size_t first, size_t count, struct ap_bytes *out,
    struct apiary_error *err);

#endif
