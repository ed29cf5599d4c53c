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

/* ---- shared out ---- */

static size_t node_count = 3;

static void nodes(void *context, struct ap_spread_nodes *out)
{
    *out = (struct ap_spread_nodes) { .nodes = node_count, .bees = (int)node_count, .memory_per_bee_min = 64 * MIB };
}

/* Twelve cells of three partitions; bins of two or four of them. What was planned is what is read from its text. */
static void bins_are_dealt_out(void **state)
{
    static const struct ap_str partition_by[] = { { "p", 1 } };
    static const struct {
        const char *mode;
        size_t nodes;
        const char *said; /* why it is not shared out; NULL: it is */
        int64_t mib;
        const char *tasks; /* cells of each */
    } deals[] = {
        { "force", 3, NULL, 4, "4,4,4" },
        { "force", 3, NULL, 8, "2,2,2,2,2,2" }, /* a bee of 64 MiB holds 16 of cells */
        { "auto", 3, NULL, 40, "2,2,2,2,2,2" },
        { "auto", 3, "it reads less than 64 MiB", 4, "" },
        { "auto", 1, "no other node is there", 40, "" },
        { "off", 3, "distributed = off", 40, "" },
    };
    struct apiary_error err = { 0 };
    struct ap_pool_options pool = { .bees = 1, .memory_bytes = 64 * MIB };
    struct ap_spread_port port = { .nodes = nodes };
    struct ap_world world = { .pool_options = &pool, .spread = &port };
    struct ap_session session = { .world = &world };
    struct ap_texts cluster_by = { 0 };
    struct ap_config_sources sources = { .system_file = "", .user_file = "", .directory_file = "" };
    (void)state;
    assert_ok(ap_config_load(&session.config, &sources, &err));
    for (size_t i = 0; i < AP_COUNT(deals); i++) {
        char paths[12][8];
        struct ap_cell cells[12] = { 0 };
        struct ap_str values[3] = { { "a", 1 }, { "b", 1 }, { "c", 1 } };
        for (size_t j = 0; j < AP_COUNT(cells); j++) {
            snprintf(paths[j], sizeof paths[j], "c%zu", j);
            cells[j] = (struct ap_cell) { .path = ap_str_from(paths[j]), .partition_values = &values[j % 3],
                .size_bytes = deals[i].mib * MIB, .row_count = 1 };
        }
        struct ap_snapshot snapshot = { .version = 5, .cells = cells, .cell_count = AP_COUNT(cells),
            .metadata = { .partition_by = partition_by, .partition_count = 1 } };
        struct ap_target target = { .base = &snapshot,
            .entry = { .name = { "main", "main", "f" }, .id = { "0123456789abcdef0123456789abcdef" } } };
        struct ap_compact_rules rules = { .cut = ap_leafcut(64 * MIB, deals[i].mib == 40 ? 81 * MIB : 0), .cells_min = 2, .all = true };
        struct ap_compact_work work = { .session = &session, .target = &target, .cluster_by = &cluster_by };
        struct ap_compact_order order = { .work = &work };
        struct ap_plan *plan = NULL, *again = NULL;
        struct ap_plan_compaction *compaction = NULL;
        const char *why = NULL;
        AP_AUTO(ap_compact_plan) bins = { 0 };
        AP_AUTO(ap_bytes) shown = { 0 };
        AP_AUTO(ap_bytes) text = { 0 };
        node_count = deals[i].nodes;
        assert_ok(ap_config_set(&session.config, AP_STR("distributed"), ap_str_from(deals[i].mode), "a test", &err));
        assert_ok(ap_compact_plan(&snapshot, NULL, &rules, &bins, &err));
        order.plan = &bins;
        assert_ok(ap_compact_shared_plan(&order, &plan, &compaction, &why, &err));
        if (deals[i].said != NULL) {
            assert_null(plan);
            assert_string_equal(why, deals[i].said);
            continue;
        }
        assert_non_null(plan);
        for (size_t j = 0; j < plan->stages[0].task_count; j++)
            assert_ok(ap_bytes_printf(&shown, &err, "%s%zu", j > 0 ? "," : "", plan->stages[0].tasks[j].count));
        assert_string_equal(ap_bytes_text(&shown), deals[i].tasks);
        struct ap_plan_write write = { .name = target.entry.name, .id = target.entry.id, .base = 5, .description = "", .operation = "OPTIMIZE",
            .in_tasks = true, .head = "", .tail = "", .compaction = compaction };
        plan->write = &write;
        assert_ok(ap_plan_write(plan, &text, &err));
        assert_ok(ap_plan_read(ap_bytes_view(&text), &again, &err));
        assert_string_equal(again->frames[0].cells[1], "c3"); /* a partition's cells stand together */
        ap_plan_free(plan);
        ap_plan_free(again);
    }
    ap_config_done(&session.config);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(plans), cmocka_unit_test(bins_are_dealt_out) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
