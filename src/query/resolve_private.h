/* Between resolve.c (what a statement needs of the engine) and references.c (what a name of a text means). */
#ifndef AP_QUERY_RESOLVE_PRIVATE_H
#define AP_QUERY_RESOLVE_PRIVATE_H

#include "query/resolve.h"
#include "query/splice.h"

enum ap_reference_kind { AP_REFERENCE_ENGINE, AP_REFERENCE_INPUT, AP_REFERENCE_FRAME, AP_REFERENCE_VIEW, AP_REFERENCE_TEMP_VIEW };
struct ap_reference {
    enum ap_reference_kind kind;
    size_t scan;           /* AP_REFERENCE_FRAME */
    struct ap_entry entry; /* AP_REFERENCE_VIEW; owned */
};

/* One text under analysis. */
struct ap_analysis {
    struct ap_source *source;
    struct ap_str text;
    struct ap_bytes plain; /* holds text where it had wide spaces */
    const struct apiary_query *query; /* values of AT expressions, tables; NULL in views */
    const struct ap_name3 *home;      /* where short names are looked up */
    bool from_catalogue;
    int depth;
    yyjson_doc *tree;
    struct ap_tree_names names;
    struct ap_tokens tokens;
    struct ap_reference *targets;
    struct ap_splice splice;
    struct ap_splice qualified; /* names completed to hive.box.frame, nothing else changed */
};

/* What a reference of the text means; a frame becomes a scan of the source, its snapshot pinned. */
AP_CHECKED enum apiary_code ap_resolve_reference(struct ap_analysis *analysis, const struct ap_table_ref *ref,
    struct ap_reference *target, struct apiary_error *err);
/* Hives and frames of all references, asked for at once. */
void ap_resolve_look(struct ap_analysis *analysis);
/* The scan of a frame at a version: the one that is there, or a new one. */
AP_CHECKED enum apiary_code ap_resolve_scan(struct ap_source *source, struct ap_entry *entry,
    const struct ap_at *at, size_t *index, struct apiary_error *err);
/* Cells that this reference needs are kept. */
AP_CHECKED enum apiary_code ap_resolve_prune(
    struct ap_scan *scan, const struct ap_predicate *predicate, struct apiary_error *err);
bool ap_resolve_has_column(void *context, size_t table, struct ap_str column);
/* The reference in the qualified text, and in the text that runs. */
AP_CHECKED enum apiary_code ap_resolve_qualify(struct ap_analysis *analysis, const struct ap_table_ref *ref,
    const struct ap_name3 *name, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_resolve_splice(
    struct ap_analysis *analysis, size_t index, struct ap_str engine_name, struct apiary_error *err);

#endif
