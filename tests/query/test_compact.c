/* Which cells compaction puts together: a plan from sizes, partitions, tags and deletion vectors. */
#include "apiary_test.h"

#include "query/compact.h"

enum { MIB = 1 << 20, CELLS_MAX = 16 };

struct cell {
    const char *partition; /* NULL: null */
    int64_t mib;
    bool deleted, sorted;
};

static const struct plan_case {
    const char *label;
    struct cell cells[CELLS_MAX];
    size_t count;
    uint64_t memory_mib;
    bool sort, all;
    size_t cells_min;
    const char *bins; /* indexes of cells, bins parted by '|' */
} cases[] = {
    { "nothing", { { 0 } }, 0, 256, .bins = "" },
    { "one small cell is left alone", { { "a", 1 } }, 1, 256, .bins = "" },
    { "two are put together", { { "a", 1 }, { "a", 2 } }, 2, 256, .bins = "0,1" },
    { "partitions stay apart", { { "a", 1 }, { "b", 1 }, { "a", 1 }, { "b", 1 } }, 4, 256,
        .bins = "0,2|1,3" },
    { "null and empty are one partition", { { NULL, 1 }, { "", 1 }, { "x", 1 } }, 3, 256,
        .bins = "0,1" },
    { "a bin is full at the target", { { "a", 30 }, { "a", 30 }, { "a", 30 }, { "a", 30 } }, 4, 256,
        .bins = "0,1|2,3" },
    { "half of the target is large enough", { { "a", 32 }, { "a", 32 }, { "a", 32 } }, 3, 256,
        .bins = "" },
    { "a large worker makes larger cells", { { "a", 30 }, { "a", 30 }, { "a", 30 }, { "a", 30 } }, 4,
        1024, .bins = "0,1,2,3" },
    { "a small worker smaller ones", { { "a", 7 }, { "a", 7 }, { "a", 7 } }, 3, 1, .bins = "0,1" },
    { "a deletion vector is worth it alone", { { "a", 60, .deleted = true } }, 1, 256, .bins = "0" },
    { "unsorted cells are sorted together", { { "a", 60 }, { "a", 60 }, { "a", 60, .sorted = true } },
        3, 256, .sort = true, .bins = "0,1" },
    { "sorted ones are left alone", { { "a", 60, .sorted = true }, { "a", 1, .sorted = true } }, 2,
        256, .sort = true, .bins = "" },
    { "all of them", { { "a", 60, .sorted = true }, { "a", 60, .sorted = true } }, 2, 256,
        .sort = true, .all = true, .bins = "0,1" },
    { "few are not worth a commit in the background", { { "a", 1 }, { "a", 1 }, { "a", 1 } }, 3, 256,
        .cells_min = 4, .bins = "" },
};

static void show(const struct ap_compact_plan *plan, struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    for (size_t i = 0; i < plan->bin_count; i++) {
        if (i > 0) assert_ok(ap_bytes_add_text(out, "|", &err));
        for (size_t j = 0; j < plan->bins[i].count; j++)
            assert_ok(ap_bytes_printf(
                out, &err, "%s%zu", j > 0 ? "," : "", plan->order[plan->bins[i].first + j]));
    }
}

static void plans(void **state)
{
    static const struct ap_str partition_by[] = { { "p", 1 } };
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        const struct plan_case *test = &cases[i];
        struct apiary_error err = { 0 };
        struct ap_cell cells[CELLS_MAX] = { 0 };
        struct ap_str values[CELLS_MAX] = { 0 };
        for (size_t j = 0; j < test->count; j++) {
            const struct cell *cell = &test->cells[j];
            if (cell->partition) values[j] = ap_str_from(cell->partition);
            cells[j] = (struct ap_cell) { .path = AP_STR("x"),
                .partition_values = &values[j],
                .size_bytes = cell->mib * MIB,
                .row_count = 10,
                .stats = AP_STR(""),
                .tags = cell->sorted ? AP_STR("{\"t\":\"1\"}") : AP_STR("") };
            if (cell->deleted)
                cells[j].deletion_vector =
                    (struct ap_deletion_vector) { .storage = AP_STR("u"), .cardinality = 3 };
        }
        struct ap_snapshot snapshot = { .cells = cells, .cell_count = test->count };
        snapshot.metadata.partition_by = partition_by;
        snapshot.metadata.partition_count = 1;
        struct ap_compact_rules rules = {
            .cut = ap_leafcut((uint64_t)test->memory_mib * MIB, 0),
            .sorted_tag = test->sort ? AP_STR("\"t\":\"1\"") : (struct ap_str) { 0 },
            .cells_min = test->cells_min ? test->cells_min : 2,
            .all = test->all,
        };
        AP_AUTO(ap_compact_plan) plan = { 0 };
        AP_AUTO(ap_bytes) shown = { 0 };
        assert_ok(ap_compact_plan(&snapshot, NULL, &rules, &plan, &err));
        show(&plan, &shown);
        if (strcmp(ap_bytes_text(&shown), test->bins) != 0)
            fail_msg("%s: %s, expected %s", test->label, ap_bytes_text(&shown), test->bins);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(plans) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
