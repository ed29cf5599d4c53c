/* Plans from the store, and what their tasks say of cells that they wrote: any bytes are read or refused; what is read can be
 * written and read again. */
#include "query/cellwriter.h"
#include "query/plan.h"

#include <stdint.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_cells(struct ap_str text)
{
    static const struct ap_field fields[] = { { .name = { "p", 1 }, .nullable = true, .type = { .kind = AP_TYPE_STRING } } };
    static const struct ap_str columns[] = { { "p", 1 } };
    struct ap_target target = { .name = "f", .metadata = { .schema = { fields, 1 }, .partition_by = columns, .partition_count = 1 } };
    static const struct ap_str none;
    struct apiary_error err = { 0 };
    AP_AUTO(ap_written) written = { 0 };
    AP_AUTO(ap_written) back = { 0 };
    AP_AUTO(ap_bytes) again = { 0 };
    if (ap_written_read(text, &target, none, &written, &err) != APIARY_OK) return;
    ap_assert(ap_written_write(&written, &target.metadata, &again, &err) == APIARY_OK);
    ap_assert(ap_written_read(ap_bytes_view(&again), &target, none, &back, &err) == APIARY_OK);
    ap_assert(back.count == written.count && back.rows == written.rows);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL, *again = NULL;
    AP_AUTO(ap_bytes) first = { 0 };
    AP_AUTO(ap_bytes) second = { 0 };
    read_cells((struct ap_str) { (const char *)data, size });
    if (ap_plan_read((struct ap_str) { (const char *)data, size }, &plan, &err) != APIARY_OK)
        return 0;
    ap_assert(plan->stage_count > 0);
    ap_assert(ap_plan_write(plan, &first, &err) == APIARY_OK);
    ap_assert(ap_plan_read(ap_bytes_view(&first), &again, &err) == APIARY_OK);
    ap_assert(ap_plan_write(again, &second, &err) == APIARY_OK);
    ap_assert(ap_str_equal(ap_bytes_view(&first), ap_bytes_view(&second)));
    ap_plan_free(plan);
    ap_plan_free(again);
    return 0;
}
