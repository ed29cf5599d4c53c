#include "query/callers.h"

void ap_callers_done(struct ap_callers *callers)
{
    for (size_t i = 0; i < callers->count; i++) ap_reread_done(&callers->rows[i]);
    ap_texts_done(&callers->names);
    memset(callers, 0, sizeof *callers);
}

enum apiary_code ap_callers_keep(struct ap_callers *callers, struct ap_source *source, bool *again,
    struct apiary_error *err)
{
    ap_assert(callers->count == 0);
    *again = true;
    for (size_t i = 0; i < source->input_count; i++) {
        struct ap_reread *rows = &callers->rows[i];
        AP_TRY(ap_texts_add(&callers->names, ap_str_from(source->input_names[i]), err));
        callers->count++;
        AP_TRY(ap_reread_take(rows, &source->input_streams[i], source->cancel, err));
        ap_reread_open(rows, &source->input_streams[i]);
        *again &= rows->whole && rows->row_count > 0;
    }
    return APIARY_OK;
}

const struct apiary_query *ap_callers_query(struct ap_callers *callers, const struct apiary_query *query)
{
    if (callers->count == 0) return query;
    for (size_t i = 0; i < callers->count; i++) {
        ap_reread_open(&callers->rows[i], &callers->streams[i]);
        callers->tables[i] = (struct apiary_table) { callers->names.items[i], &callers->streams[i] };
    }
    callers->query = *query;
    callers->query.tables = callers->tables;
    callers->query.table_count = callers->count;
    return &callers->query;
}
