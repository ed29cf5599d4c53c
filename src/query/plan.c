/* What can be asked of a plan, and which files one may name. */
#include "query/plan_private.h"

#include "catalog/registry.h"
#include "core/alloc.h"

const char *const ap_plan_reader_names[AP_PLAN_READERS] = { "parquet", "csv", "json" };

void ap_plan_free(struct ap_plan *plan)
{
    if (plan == NULL) return;
    ap_arena_done(&plan->arena);
    ap_free(plan);
}

bool ap_plan_in_parts(const struct ap_plan *plan)
{
    return plan != NULL && plan->stage_count == 1 && plan->stages[0].kind != AP_CUT_WHOLE;
}

bool ap_plan_reads_files(const struct ap_plan *plan)
{
    for (size_t i = 0; i < plan->frame_count; i++)
        if (plan->frames[i].files != NULL) return true;
    return false;
}

bool ap_plan_reads_text(const struct ap_plan *plan)
{
    for (size_t i = 0; i < plan->frame_count; i++)
        if (plan->frames[i].files != NULL && plan->frames[i].files->reader != AP_PLAN_PARQUET) return true;
    return false;
}

const char *ap_plan_files_type(const struct ap_plan_files *files, const char *column)
{
    for (size_t i = 0; i < files->column_count; i++)
        if (strcasecmp(files->columns[i].name, column) == 0) return files->columns[i].type;
    return NULL;
}

/* ---- files ---- */

const char *ap_plan_reader_endings(enum ap_plan_reader reader)
{
    static const char *const words[] = { ".parquet", ".csv or .tsv", ".json, .jsonl or .ndjson" };
    return words[reader];
}

/* ".csv", ".csv.gz", … */
static bool ends_well(enum ap_plan_reader reader, struct ap_str key)
{
    static const char *const endings[][4] = { { ".parquet" }, { ".csv", ".tsv" }, { ".json", ".jsonl", ".ndjson" } };
    if (reader != AP_PLAN_PARQUET && ap_str_ends_with(key, AP_STR(".gz"))) key.size -= 3;
    else if (reader != AP_PLAN_PARQUET && ap_str_ends_with(key, AP_STR(".zst"))) key.size -= 4;
    for (const char *const *ending = endings[reader]; *ending != NULL; ending++)
        if (ap_str_ends_with(key, ap_str_from(*ending))) return true;
    return false;
}

enum apiary_code ap_plan_file_key_check(enum ap_plan_reader reader, const char *key, struct apiary_error *err)
{
    struct ap_str text = ap_str_from(key), first = { key, strcspn(key, "/") };
    AP_TRY(ap_store_key_check(key, err));
    bool log = ap_str_starts_with(text, AP_STR("_delta_log/")) || strstr(key, "/_delta_log/") != NULL;
    bool notes = ap_str_starts_with(text, AP_STR("_apiary_")) || strstr(key, "/_apiary_") != NULL;
    if (ends_well(reader, text) && !ap_location_is_own(first) && !log && !notes) return APIARY_OK;
    return ap_fail(err, APIARY_DENIED, "%s is not read as a file of a plan: it must end in %s and be no record of the store",
        key, ap_plan_reader_endings(reader));
}

static uint64_t nested_bytes(const char *text)
{
    uint64_t bytes = 0;
    for (; *text != '\0'; text++) /* \u0001, \" and \\, each escaped twice more */
        bytes += (unsigned char)*text < 0x20 ? 9 : *text == '"' || *text == '\\' ? 8 : 1;
    return bytes;
}

uint64_t ap_plan_file_bytes(const char *key, const char *etag)
{
    enum { QUOTE = 4, COMMAS = 3, SIZE = 20 };
    return nested_bytes(key) + nested_bytes(etag) + 4 * QUOTE + COMMAS + SIZE;
}
