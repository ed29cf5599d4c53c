/* Plans as JSON: what is written is read, and what is out of form is refused by name. */
#include "apiary_test.h"

#include "core/alloc.h"
#include "core/json.h"
#include "query/planner.h"

static const char whole[] =
    "{\"format\":1,\"setup\":[\"CREATE SCHEMA IF NOT EXISTS memory.main\"],\"use\":\"USE memory.main\","
    "\"settings\":{\"TimeZone\":\"UTC\"},\"values\":[],\"frames\":[{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\","
    "\"id\":\"0123456789abcdef0123456789abcdef\",\"version\":7,\"view\":\"\\\"memory\\\".\\\"main\\\".\\\"f\\\"\",\"bytes\":30,"
    "\"cells\":[\"a.parquet\",\"b.parquet\",\"c.parquet\"]}],\"stages\":[{\"kind\":\"whole\",\"merge\":\"SELECT 1\","
    "\"mergeFrames\":[0],\"mergeStages\":[],\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"}],\"resultView\":\"CREATE TEMP VIEW x AS "
    "SELECT 1\"},{\"kind\":\"aggregate\",\"fragment\":\"SELECT 2\",\"shardFrame\":0,\"tasks\":[[0,2,20],[2,1,10]],"
    "\"fragmentFrames\":[],\"fragmentStages\":[0],\"mergedView\":\"CREATE TEMP VIEW apiary_merged AS SELECT 3\",\"merge\":\"SELECT 4\","
    "\"mergeFrames\":[],\"mergeStages\":[],\"columns\":[]}],\"replayable\":true}";

static void reads_and_writes(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    AP_AUTO(ap_bytes) text = { 0 };
    (void)state;
    assert_ok(ap_plan_read(ap_str_from(whole), &plan, &err));
    assert_int_equal(plan->stage_count, 2);
    assert_int_equal(plan->frames[0].version, 7);
    assert_string_equal(plan->frames[0].cells[2], "c.parquet");
    assert_int_equal(plan->stages[0].kind, AP_CUT_WHOLE);
    assert_null(plan->stages[0].fragment_sql);
    assert_int_equal(plan->stages[1].kind, AP_CUT_AGGREGATE);
    assert_int_equal(plan->stages[1].task_count, 2);
    assert_int_equal(plan->stages[1].tasks[1].first, 2);
    assert_int_equal(plan->stages[1].fragment_stages.items[0], 0);
    assert_true(plan->replayable && !ap_plan_has_union(plan));
    assert_ok(ap_plan_write(plan, &text, &err));
    assert_string_equal(ap_bytes_text(&text), whole);
    ap_plan_free(plan);
}

/* Where rows go, put before the closing brace of the plan above. */
static const char into[] =
    ",\"write\":{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"g\",\"id\":\"0123456789abcdef0123456789abcdef\",\"base\":3,"
    "\"schema\":\"{}\",\"description\":\"d\",\"partitionBy\":[\"a\"],\"properties\":[\"k\",\"v\"],\"operation\":\"WRITE\","
    "\"replaceAll\":true,\"readsTarget\":false,\"inTasks\":true,\"sort\":true,\"head\":\"SELECT * FROM (\",\"tail\":\") AS r\","
    "\"cellBytes\":5,\"partitionsMax\":10}}";

static void a_plan_that_writes(void **state)
{
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    AP_AUTO(ap_bytes) text = { 0 };
    AP_AUTO(ap_bytes) again = { 0 };
    (void)state;
    assert_ok(ap_bytes_add(&text, whole, sizeof whole - 2, &err));
    assert_ok(ap_bytes_add_text(&text, into, &err));
    assert_ok(ap_plan_read(ap_bytes_view(&text), &plan, &err));
    assert_string_equal(plan->write->name.frame, "g");
    assert_int_equal(plan->write->base, 3);
    assert_null(plan->write->location);
    assert_int_equal(plan->write->property_count, 1);
    assert_true(plan->write->in_tasks && plan->write->replace_all && plan->write->sort && !plan->write->reads_target);
    assert_ok(ap_plan_write(plan, &again, &err));
    assert_string_equal(ap_bytes_text(&again), ap_bytes_text(&text));
    ap_plan_free(plan);
}

struct refusal {
    const char *label, *from, *to, *said;
    enum apiary_code code;
};

/* A change of `base` by text, and what must be said of it. */
static void refuse(const char *base, const struct refusal *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct apiary_error err = { 0 };
        struct ap_plan *plan = NULL;
        AP_AUTO(ap_bytes) text = { 0 };
        const char *at = strstr(base, cases[i].from);
        assert_true_in(cases[i].label, at != NULL);
        assert_ok(ap_bytes_add(&text, base, (size_t)(at - base), &err));
        assert_ok(ap_bytes_add_text(&text, cases[i].to, &err));
        assert_ok(ap_bytes_add_text(&text, at + strlen(cases[i].from), &err));
        assert_code_in(
            cases[i].label, ap_plan_read(ap_bytes_view(&text), &plan, &err), cases[i].code);
        assert_true_in(cases[i].label, plan == NULL);
        if (strstr(err.message, cases[i].said) == NULL)
            fail_msg("%s: \"%s\" does not say %s", cases[i].label, err.message, cases[i].said);
    }
}

static void refuses_to_write_what_is_out_of_form(void **state)
{
    static const struct refusal cases[] = {
        { "neither there nor to be made", "\"id\":\"0123456789abcdef0123456789abcdef\",\"base\":3,", "", "location", APIARY_CORRUPT },
        { "a frame's name", "\"frame\":\"g\"", "\"frame\":\"../g\"", "../g", APIARY_INVALID },
        { "half a property", "[\"k\",\"v\"]", "[\"k\"]", "properties", APIARY_CORRUPT },
        { "no word of who writes", "\"inTasks\":true,", "", "inTasks", APIARY_CORRUPT },
        { "tasks write and the merge reads", "\"mergeFrames\":[],\"mergeStages\":[],\"columns\":[]}", "\"mergeFrames\":[0],\"mergeStages\":[],\"columns\":[]}",
            "its merge reads", APIARY_CORRUPT },
        { "version below zero", "\"base\":3", "\"base\":-3", "base", APIARY_CORRUPT },
        { "NUL in SQL", "SELECT * FROM (", "SELECT \\u0000", "head", APIARY_CORRUPT },
    };
    AP_AUTO(ap_bytes) text = { 0 };
    (void)state;
    struct apiary_error err = { 0 };
    assert_ok(ap_bytes_add(&text, whole, sizeof whole - 2, &err));
    assert_ok(ap_bytes_add_text(&text, into, &err));
    refuse(ap_bytes_text(&text), cases, AP_COUNT(cases));
}

static const char compaction[] =
    "{\"format\":1,\"setup\":[],\"use\":\"\",\"settings\":{},\"values\":[],\"frames\":[{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\","
    "\"id\":\"0123456789abcdef0123456789abcdef\",\"version\":7,\"view\":\"\",\"bytes\":50,\"cells\":[\"a\",\"b\",\"c\",\"d\",\"e\"]}],"
    "\"stages\":[{\"kind\":\"gather\",\"fragment\":\"\",\"shardFrame\":0,\"tasks\":[[0,4,40],[4,1,10]],\"fragmentFrames\":[],"
    "\"fragmentStages\":[],\"mergedView\":\"\",\"merge\":\"\",\"mergeFrames\":[],\"mergeStages\":[],\"columns\":[]}],\"replayable\":false,"
    "\"write\":{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\",\"id\":\"0123456789abcdef0123456789abcdef\",\"base\":7,"
    "\"operation\":\"OPTIMIZE\",\"replaceAll\":false,\"readsTarget\":false,\"inTasks\":true,\"sort\":true,\"head\":\"\",\"tail\":\"\","
    "\"cellBytes\":5,\"partitionsMax\":10,\"compaction\":{\"bins\":[2,2,1],\"clusterBy\":[\"x\"],\"condition\":\"p = 1\"}}}";

static void a_plan_that_puts_cells_together(void **state)
{
    static const struct refusal cases[] = {
        { "a bin without cells", "[2,2,1]", "[2,0,2,1]", "without cells", APIARY_CORRUPT },
        { "a cell in no bin", "[2,2,1]", "[2,2]", "leave cells out", APIARY_CORRUPT },
        { "more than there are", "[2,2,1]", "[2,2,1,1]", "more cells than there are", APIARY_CORRUPT },
        { "a bin of two tasks", "[2,2,1]", "[2,3]", "within a bin", APIARY_CORRUPT },
        { "no bins", "[2,2,1]", "[]", "leave cells out", APIARY_CORRUPT },
        { "a bin without end", "[2,2,1]", "[18446744073709551615]", "a bin's cells", APIARY_CORRUPT },
        { "another version", "\"base\":7", "\"base\":6", "another frame", APIARY_CORRUPT },
        { "another frame", "\"write\":{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\",\"id\":\"0",
            "\"write\":{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\",\"id\":\"1", "another frame", APIARY_CORRUPT },
        { "all cells of it", "\"replaceAll\":false", "\"replaceAll\":true", "another frame", APIARY_CORRUPT },
        { "by the merge", "\"inTasks\":true", "\"inTasks\":false", "another frame", APIARY_CORRUPT },
        { "no condition", ",\"condition\":\"p = 1\"", "", "condition", APIARY_CORRUPT },
    };
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    AP_AUTO(ap_bytes) again = { 0 };
    (void)state;
    assert_ok(ap_plan_read(ap_str_from(compaction), &plan, &err));
    const struct ap_plan_compaction *read = plan->write->compaction;
    assert_int_equal(read->bin_count, 3);
    assert_int_equal(read->bins[1], 2);
    assert_string_equal(read->cluster_by[0], "x");
    assert_string_equal(read->condition, "p = 1");
    assert_ok(ap_plan_write(plan, &again, &err));
    assert_string_equal(ap_bytes_text(&again), compaction);
    ap_plan_free(plan);
    refuse(compaction, cases, AP_COUNT(cases));
}

/* Cells of two frames, of one of them twice: three shards, eight cells. */
static const char united[] =
    "{\"format\":1,\"setup\":[],\"use\":\"\",\"settings\":{},\"values\":[],\"frames\":[{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\","
    "\"id\":\"0123456789abcdef0123456789abcdef\",\"version\":7,\"view\":\"\",\"bytes\":30,\"cells\":[\"a\",\"b\",\"c\"]},{\"hive\":\"main\","
    "\"box\":\"main\",\"frame\":\"g\",\"id\":\"1123456789abcdef0123456789abcdef\",\"version\":8,\"view\":\"\",\"bytes\":20,\"cells\":[\"d\",\"e\"]}],"
    "\"stages\":[{\"kind\":\"gather\",\"fragment\":\"\",\"shardFrames\":[0,1,0],\"tasks\":[[0,2,20],[2,4,40],[6,2,20]],\"fragmentFrames\":[],"
    "\"fragmentStages\":[],\"mergedView\":\"\",\"merge\":\"\",\"mergeFrames\":[],\"mergeStages\":[],\"columns\":[]}],\"replayable\":true}";

static void check_share(const struct ap_plan *plan, size_t task, size_t shard, const char *frame, size_t first, size_t count)
{
    const struct ap_plan_stage *stage = &plan->stages[0];
    struct ap_plan_share share = ap_plan_share_of(plan, stage, &stage->tasks[task], shard);
    assert_string_equal(share.frame->name.frame, frame);
    assert_int_equal(share.count, count);
    if (count > 0) assert_int_equal(share.first, first);
}

static void a_plan_over_several_frames(void **state)
{
    static const struct refusal cases[] = {
        { "one alone", "[0,1,0]", "[0]", "shardFrames", APIARY_CORRUPT },
        { "none", "[0,1,0]", "[]", "shardFrames", APIARY_CORRUPT },
        { "no list", "[0,1,0]", "0", "shardFrames", APIARY_CORRUPT },
        { "neither", "\"shardFrames\"", "\"shards\"", "shardFrames", APIARY_CORRUPT },
        { "both", "\"shardFrames\"", "\"shardFrame\":0,\"shardFrames\"", "shardFrame and", APIARY_CORRUPT },
        { "a frame out of range", "[0,1,0]", "[0,1,2]", "shardFrames", APIARY_CORRUPT },
        { "a frame below zero", "[0,1,0]", "[0,1,-1]", "shardFrames", APIARY_CORRUPT },
        { "more than there may be", "[0,1,0]",
            "[0,1,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]",
            "shardFrames", APIARY_LIMIT },
        { "the cells of one left out", "[0,1,0]", "[0,1,0,1]", "leave cells out", APIARY_CORRUPT },
        { "more cells than there are", "[0,1,0]", "[0,1,1]", "tasks", APIARY_CORRUPT },
        { "a cell twice", "[2,4,40],[6,2,20]", "[2,4,40],[5,3,20]", "share them", APIARY_CORRUPT },
        { "bins of several", "\"replayable\":true", "\"replayable\":true,\"write\":{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\","
            "\"id\":\"0123456789abcdef0123456789abcdef\",\"base\":7,\"operation\":\"OPTIMIZE\",\"replaceAll\":false,\"readsTarget\":false,"
            "\"inTasks\":true,\"sort\":true,\"head\":\"\",\"tail\":\"\",\"cellBytes\":5,\"partitionsMax\":10,"
            "\"compaction\":{\"bins\":[2,1],\"clusterBy\":[],\"condition\":\"\"}}", "of several frames", APIARY_CORRUPT },
    };
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    AP_AUTO(ap_bytes) again = { 0 };
    (void)state;
    assert_ok(ap_plan_read(ap_str_from(united), &plan, &err));
    assert_true(ap_plan_has_union(plan));
    assert_int_equal(ap_plan_shard_cells(plan, &plan->stages[0]), 8);
    check_share(plan, 0, 0, "f", 0, 2); /* within one */
    check_share(plan, 0, 1, "g", 0, 0);
    check_share(plan, 0, 2, "f", 0, 0);
    check_share(plan, 1, 0, "f", 2, 1); /* the last of one, all of the next, the first of the third */
    check_share(plan, 1, 1, "g", 0, 2);
    check_share(plan, 1, 2, "f", 0, 1);
    check_share(plan, 2, 0, "f", 0, 0);
    check_share(plan, 2, 2, "f", 1, 2);
    assert_string_equal(ap_plan_first_cell(plan, &plan->stages[0], &plan->stages[0].tasks[1]), "c");
    assert_string_equal(ap_plan_first_cell(plan, &plan->stages[0], &plan->stages[0].tasks[2]), "b");
    struct ap_plan_task nothing = { .first = 8 };
    assert_null(ap_plan_first_cell(plan, &plan->stages[0], &nothing));
    assert_ok(ap_plan_write(plan, &again, &err));
    assert_string_equal(ap_bytes_text(&again), united);
    ap_plan_free(plan);
    refuse(united, cases, AP_COUNT(cases));
}

static const char files[] =
    "{\"format\":1,\"setup\":[],\"use\":\"\",\"settings\":{},\"values\":[],\"frames\":[{\"files\":{\"byName\":true,\"columns\":[{\"name\":\"a\","
    "\"type\":\"INTEGER\"}],\"folders\":[],\"sizes\":[7,8],\"etags\":[\"x-1\",\"\"]},\"view\":\"\\\"apiary files 0\\\"\",\"bytes\":15,\"cells\":[\"in/a.parquet\","
    "\"in/b.parquet\"]}],\"stages\":[{\"kind\":\"gather\",\"fragment\":\"\",\"shardFrame\":0,\"tasks\":[[0,1,7],[1,1,8]],\"fragmentFrames\":[],"
    "\"fragmentStages\":[],\"mergedView\":\"\",\"merge\":\"\",\"mergeFrames\":[],\"mergeStages\":[],\"columns\":[]}],\"replayable\":true,"
    "\"write\":{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\",\"location\":\"main/main/f\",\"schema\":\"{}\",\"description\":\"\","
    "\"partitionBy\":[],\"properties\":[],\"operation\":\"WRITE\",\"replaceAll\":false,\"readsTarget\":false,\"inTasks\":true,\"sort\":true,"
    "\"head\":\"\",\"tail\":\"\",\"cellBytes\":0,\"partitionsMax\":10}}";

static void a_plan_over_files(void **state)
{
    static const struct refusal cases[] = {
        { "above the store", "in/a.parquet", "../a.parquet", "..", APIARY_INVALID },
        { "from the root of the machine", "in/a.parquet", "/etc/a.parquet", "/etc/a.parquet", APIARY_INVALID },
        { "a URI", "in/a.parquet", "s3://b/a.parquet", "s3://b/a.parquet", APIARY_INVALID },
        { "a file of queries", "in/a.parquet", "_queries/a.parquet", "_queries/a.parquet", APIARY_DENIED },
        { "a file of the swarm", "in/a.parquet", "_swarm/nodes/a.parquet", "_swarm", APIARY_DENIED },
        { "a file of the registry", "in/a.parquet", "_registry/a.parquet", "_registry", APIARY_DENIED },
        { "a checkpoint", "in/a.parquet", "main/main/f/_delta_log/00000000000000000010.checkpoint.parquet", "_delta_log", APIARY_DENIED },
        { "a log of the root", "in/a.parquet", "_delta_log/a.parquet", "_delta_log", APIARY_DENIED },
        { "no Parquet", "in/a.parquet", "in/a.json", "in/a.json", APIARY_DENIED },
        { "a hidden one", "in/b.parquet", "", "", APIARY_INVALID },
        { "no size", "[7,8]", "[7]", "without a size", APIARY_CORRUPT },
        { "a size below zero", "[7,8]", "[7,-8]", "size", APIARY_CORRUPT },
        { "no etag", "[\"x-1\",\"\"]", "[\"x-1\"]", "without a size", APIARY_CORRUPT },
        { "an etag without end", "\"x-1\"",
            "\"01234567890123456789012345678901234567890123456789012345678901234567890123456789\"", "etag", APIARY_CORRUPT },
        { "no columns", "[{\"name\":\"a\",\"type\":\"INTEGER\"}]", "[]", "without files or columns", APIARY_CORRUPT },
        { "folders by name", "\"folders\":[]", "\"folders\":[\"a\"]", "by name", APIARY_CORRUPT },
        { "a folder of no column", "\"byName\":true,\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"}],\"folders\":[]",
            "\"byName\":false,\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"}],\"folders\":[\"b\"]", "no column", APIARY_CORRUPT },
        { "folders of one column", "\"byName\":true,\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"}],\"folders\":[]",
            "\"byName\":false,\"columns\":[{\"name\":\"a\",\"type\":\"INTEGER\"}],\"folders\":[\"a\",\"A\"]", "one column", APIARY_CORRUPT },
        { "no word of how columns are found", "\"byName\":true,", "", "byName", APIARY_CORRUPT },
        { "bins of files", "\"partitionsMax\":10", "\"partitionsMax\":10,\"compaction\":{\"bins\":[1,1],\"clusterBy\":[],\"condition\":\"\"}",
            "another frame", APIARY_CORRUPT },
        { "neither a frame nor files", "\"files\":", "\"fills\":", "hive", APIARY_CORRUPT },
    };
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    AP_AUTO(ap_bytes) again = { 0 };
    (void)state;
    assert_ok(ap_plan_read(ap_str_from(files), &plan, &err));
    assert_true(ap_plan_reads_files(plan));
    assert_true(plan->frames[0].files->by_name);
    assert_int_equal(plan->frames[0].cell_count, 2);
    assert_int_equal(plan->frames[0].files->sizes[1], 8);
    assert_string_equal(plan->frames[0].files->etags[0], "x-1");
    assert_string_equal(plan->frames[0].files->columns[0].type, "INTEGER");
    assert_ok(ap_plan_write(plan, &again, &err));
    assert_string_equal(ap_bytes_text(&again), files);
    ap_plan_free(plan);
    refuse(files, cases, AP_COUNT(cases));
}

/* The same list of CSV. */
static void as_csv(struct ap_bytes *out)
{
    struct apiary_error err = { 0 };
    struct ap_str rest = ap_str_from(files);
    static const struct {
        const char *from, *to;
    } changes[] = { { "\"etags\":[\"x-1\",\"\"]", "\"etags\":[\"x-1\",\"\"],\"reader\":\"csv\",\"options\":\", skip = 1\",\"witnesses\":[1]" },
        { "in/a.parquet", "in/a.csv" }, { "in/b.parquet", "in/b.tsv.gz" } };
    for (size_t i = 0; i < AP_COUNT(changes); i++) {
        size_t at = ap_str_find(rest, ap_str_from(changes[i].from));
        assert_int_not_equal(at, SIZE_MAX);
        assert_ok(ap_bytes_add(out, rest.data, at, &err));
        assert_ok(ap_bytes_add_text(out, changes[i].to, &err));
        at += strlen(changes[i].from);
        rest = (struct ap_str) { rest.data + at, rest.size - at };
    }
    assert_ok(ap_bytes_add_str(out, rest, &err));
}

static void a_plan_over_text(void **state)
{
    static const struct refusal cases[] = {
        { "an unknown reader", "\"csv\"", "\"xml\"", "reader", APIARY_CORRUPT },
        { "Parquet, said", "\"csv\"", "\"parquet\"", "reader", APIARY_CORRUPT },
        { "no word", "\"csv\"", "1", "reader", APIARY_CORRUPT },
        { "not by name", "\"byName\":true", "\"byName\":false", "by name", APIARY_CORRUPT },
        { "no options", "\"options\":\", skip = 1\",", "", "options", APIARY_CORRUPT },
        { "none of them", "\"witnesses\":[1]", "\"witnesses\":[]", "witnesses", APIARY_CORRUPT },
        { "one that is not there", "\"witnesses\":[1]", "\"witnesses\":[2]", "witnesses", APIARY_CORRUPT },
        { "one twice", "\"witnesses\":[1]", "\"witnesses\":[1,1]", "witnesses", APIARY_CORRUPT },
        { "of JSON", "\"csv\"", "\"json\"", "witnesses", APIARY_CORRUPT },
        { "Parquet among it", "in/a.csv", "in/a.parquet", "in/a.parquet", APIARY_DENIED },
        { "JSON among it", "in/a.csv", "in/a.json", "in/a.json", APIARY_DENIED },
        { "packed in another way", "in/b.tsv.gz", "in/b.tsv.bz2", "in/b.tsv.bz2", APIARY_DENIED },
        { "above the store", "in/a.csv", "../a.csv", "..", APIARY_INVALID },
        { "a record of the registry", "in/a.csv", "_registry/a.csv", "_registry", APIARY_DENIED },
        { "what vacuum noted", "in/a.csv", "main/main/f/_apiary_vacuum/a.csv", "_apiary_vacuum", APIARY_DENIED },
        { "pins of the root", "in/a.csv", "_apiary_pins/a.csv", "_apiary_pins", APIARY_DENIED },
    };
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    AP_AUTO(ap_bytes) csv = { 0 };
    AP_AUTO(ap_bytes) again = { 0 };
    (void)state;
    as_csv(&csv);
    assert_ok(ap_plan_read(ap_bytes_view(&csv), &plan, &err));
    assert_true(ap_plan_reads_files(plan) && ap_plan_reads_text(plan));
    assert_int_equal(plan->frames[0].files->reader, AP_PLAN_CSV);
    assert_string_equal(plan->frames[0].files->options, ", skip = 1");
    assert_int_equal(plan->frames[0].files->witnesses.items[0], 1);
    assert_ok(ap_plan_write(plan, &again, &err));
    assert_string_equal(ap_bytes_text(&again), ap_bytes_text(&csv));
    ap_plan_free(plan);
    refuse(ap_bytes_text(&csv), cases, AP_COUNT(cases));
}

/* What a plan may name as JSON: never a record of the store. */
static void keys_of_files(void **state)
{
    static const struct {
        enum ap_plan_reader reader;
        const char *key;
        enum apiary_code code;
    } cases[] = { { AP_PLAN_JSON, "in/a.json", APIARY_OK }, { AP_PLAN_JSON, "in/a.ndjson.zst", APIARY_OK }, { AP_PLAN_JSON, "a.jsonl", APIARY_OK },
        { AP_PLAN_JSON, "main/main/f/_delta_log/00000000000000000000.json", APIARY_DENIED }, { AP_PLAN_JSON, "_registry/main/00000000000000000000.json", APIARY_DENIED },
        { AP_PLAN_JSON, "_swarm/nodes/a.json", APIARY_DENIED }, { AP_PLAN_JSON, "f/_apiary_vacuum/a.plan.json", APIARY_DENIED },
        { AP_PLAN_JSON, "in/a.csv", APIARY_DENIED }, { AP_PLAN_JSON, "in/a.gz", APIARY_DENIED }, { AP_PLAN_CSV, "in/a.csv.zst", APIARY_OK },
        { AP_PLAN_CSV, "in/csv", APIARY_DENIED }, { AP_PLAN_PARQUET, "in/a.parquet", APIARY_OK }, { AP_PLAN_PARQUET, "in/a.parquet.gz", APIARY_DENIED } };
    struct apiary_error err = { 0 };
    (void)state;
    for (size_t i = 0; i < AP_COUNT(cases); i++) assert_code_in(cases[i].key, ap_plan_file_key_check(cases[i].reader, cases[i].key, &err), cases[i].code);
}

/* The list grows by no more than it is counted for, whatever stands in its names. */
static void files_are_counted(void **state)
{
    static const char *const keys[] = { "in/a.parquet", "in/\"\\\x01\x1f\t\"\xc3\xa9.parquet" };
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    (void)state;
    for (size_t i = 0; i < AP_COUNT(keys); i++) {
        size_t sizes[2] = { 0 };
        assert_ok(ap_plan_read(ap_str_from(files), &plan, &err));
        struct ap_plan_files *list = (struct ap_plan_files *)(uintptr_t)plan->frames[0].files;
        const char *cells[] = { keys[i], keys[i], keys[i] }, *etags[] = { "\"e\"", "\"e\"", "\"e\"" };
        uint64_t bytes[] = { INT64_MAX, INT64_MAX, INT64_MAX };
        plan->frames[0].cells = cells;
        list->etags = etags;
        list->sizes = bytes;
        for (size_t n = 0; n < 2; n++) {
            AP_AUTO(ap_bytes) text = { 0 };
            plan->frames[0].cell_count = n + 2;
            assert_ok(ap_plan_write(plan, &text, &err));
            for (int nested = 0; nested < 2; nested++) {
                yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
                yyjson_mut_doc_set_root(doc, yyjson_mut_str(doc, ap_bytes_text(&text)));
                char *outer = yyjson_mut_write(doc, 0, NULL);
                ap_bytes_clear(&text);
                assert_ok(ap_bytes_add_text(&text, outer, &err));
                free(outer);
                yyjson_mut_doc_free(doc);
            }
            sizes[n] = text.size;
        }
        assert_true(sizes[1] - sizes[0] <= ap_plan_file_bytes(keys[i], etags[0]));
        ap_plan_free(plan);
    }
}

/* What a statement left that was run as text: where its rows go, and then its cells. */
static void a_plan_that_was_held(void **state)
{
    static const char plan_text[] =
        "{\"format\":1,\"setup\":[],\"use\":\"\",\"settings\":{},\"values\":[],\"frames\":[],\"stages\":[{\"kind\":\"whole\",\"merge\":\"\","
        "\"mergeFrames\":[],\"mergeStages\":[],\"columns\":[]}],\"replayable\":false,\"write\":{\"hive\":\"main\",\"box\":\"main\","
        "\"frame\":\"f\",\"id\":\"0123456789abcdef0123456789abcdef\",\"base\":7,\"operation\":\"WRITE\",\"replaceAll\":false,"
        "\"readsTarget\":false,\"inTasks\":false,\"sort\":true,\"head\":\"\",\"tail\":\"\",\"cellBytes\":0,\"partitionsMax\":10}}\n";
    static const struct {
        const char *label, *from, *to;
    } cases[] = {
        { "no line", "\n", "" },
        { "it reads", ",\"write\":", ",\"wrote\":" },
        { "tasks write, and there are none", "\"inTasks\":false", "\"inTasks\":true" },
        { "it reads a frame", "\"frames\":[]", "\"frames\":[{\"hive\":\"main\",\"box\":\"main\",\"frame\":\"f\","
          "\"id\":\"0123456789abcdef0123456789abcdef\",\"version\":7,\"view\":\"\",\"bytes\":0,\"cells\":[]}]" },
        { "it puts cells together", "\"partitionsMax\":10",
            "\"partitionsMax\":10,\"compaction\":{\"bins\":[],\"clusterBy\":[],\"condition\":\"\"}" },
    };
    struct apiary_error err = { 0 };
    struct ap_plan *plan = NULL;
    struct ap_str cells = { 0 };
    AP_AUTO(ap_bytes) content = { 0 };
    (void)state;
    assert_ok(ap_plan_held(AP_STR(""), &plan, &cells, &err));
    assert_null(plan);
    assert_int_equal(cells.size, 0);
    assert_ok(ap_bytes_printf(&content, &err, "%s{\"rows\":3}\n", plan_text));
    assert_ok(ap_plan_held(ap_bytes_view(&content), &plan, &cells, &err));
    assert_string_equal(plan->write->name.frame, "f");
    assert_true(ap_str_is(cells, "{\"rows\":3}\n"));
    ap_plan_free(plan);
    for (size_t i = 0; i < AP_COUNT(cases); i++) {
        AP_AUTO(ap_bytes) text = { 0 };
        const char *at = strstr(plan_text, cases[i].from);
        assert_true_in(cases[i].label, at != NULL);
        assert_ok(ap_bytes_printf(&text, &err, "%.*s%s%s", (int)(at - plan_text), plan_text, cases[i].to, at + strlen(cases[i].from)));
        assert_code_in(cases[i].label, ap_plan_held(ap_bytes_view(&text), &plan, &cells, &err), APIARY_CORRUPT);
        assert_true_in(cases[i].label, plan == NULL);
    }
}

static void refuses_what_is_out_of_form(void **state)
{
    static const struct refusal cases[] = {
        { "newer format", "\"format\":1", "\"format\":2", "format 2", APIARY_UNSUPPORTED },
        { "no stages", "\"stages\":[{", "\"stages\":[],\"x\":[{", "no stages", APIARY_CORRUPT },
        { "name with a slash", "\"frame\":\"f\"", "\"frame\":\"a/b\"", "a/b", APIARY_INVALID },
        { "id", "0123456789abcdef0", "0123456789ABCDEF0", "id", APIARY_CORRUPT },
        { "negative version", "\"version\":7", "\"version\":-7", "version", APIARY_CORRUPT },
        { "unknown kind", "\"aggregate\"", "\"agregate\"", "kind", APIARY_CORRUPT },
        { "tasks leave a cell out", "[[0,2,20],[2,1,10]]", "[[0,2,20]]", "tasks", APIARY_CORRUPT },
        { "tasks share a cell", "[2,1,10]", "[1,2,10]", "tasks", APIARY_CORRUPT },
        { "a task beyond the cells", "[2,1,10]", "[2,2,10]", "tasks", APIARY_CORRUPT },
        { "a task without cells", "[2,1,10]", "[2,0,10],[2,1,10]", "tasks", APIARY_CORRUPT },
        { "no task", "[[0,2,20],[2,1,10]]", "[]", "no tasks", APIARY_CORRUPT },
        { "frame out of range", "\"shardFrame\":0", "\"shardFrame\":1", "shardFrame",
            APIARY_CORRUPT },
        { "a stage reads itself", "\"fragmentStages\":[0]", "\"fragmentStages\":[1]",
            "fragmentStages", APIARY_CORRUPT },
        { "indices that fall", "\"mergeFrames\":[0]", "\"mergeFrames\":[0,0]", "mergeFrames",
            APIARY_LIMIT },
        { "no result view", ",\"resultView\":\"CREATE TEMP VIEW x AS SELECT 1\"", "", "resultView",
            APIARY_CORRUPT },
        { "NUL in SQL", "SELECT 2", "SELECT \\u0000", "fragment", APIARY_CORRUPT },
        { "settings no object", "{\"TimeZone\":\"UTC\"}", "[]", "settings", APIARY_CORRUPT },
        { "replayable", "\"replayable\":true", "\"replayable\":1", "replayable", APIARY_CORRUPT },
    };
    (void)state;
    refuse(whole, cases, AP_COUNT(cases));
}

static void no_memory(void **state)
{
    (void)state;
    for (long n = 1; n < 10000; n++) {
        struct apiary_error err = { 0 };
        struct ap_plan *plan = NULL;
        ap_alloc_fail_after(n);
        enum apiary_code code = ap_plan_read(ap_str_from(whole), &plan, &err);
        bool failed = ap_alloc_fail_left() == 0;
        ap_alloc_fail_after(0);
        if (code == APIARY_OK) {
            ap_plan_free(plan);
            if (!failed) return;
        } else {
            assert_null(plan);
            assert_int_equal(code, APIARY_MEMORY);
        }
    }
    fail_msg("no end of allocations");
}

/* ---- tasks of equal size ---- */

static uint64_t largest(const struct ap_plan_task *tasks, size_t count)
{
    uint64_t most = 0;
    for (size_t i = 0; i < count; i++) most = tasks[i].bytes > most ? tasks[i].bytes : most;
    return most;
}

static void tasks_are_evened_out(void **state)
{
    uint64_t sizes[] = { 13, 13, 13, 13, 13, 22, 13, 22, 22, 13, 13, 13, 13, 16 }; /* lineitem at scale 1 */
    size_t order[] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13 };
    struct ap_plan_task tasks[] = { { 0, 7, 100 }, { 7, 7, 112 } };
    (void)state;
    ap_plan_even_out(sizes, order, tasks, 2);
    assert_int_equal(largest(tasks, 2), 109); /* one of 16 for one of 13; nothing else is better */
    assert_int_equal(tasks[0].bytes + tasks[1].bytes, 212);
}

/* Whatever the sizes: each cell once, sums that are right, and no larger task. */
static void evening_out_loses_nothing(void **state)
{
    enum { CELLS = 60, TASKS = 7, SEEDS = 500 };
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        char label[32];
        uint64_t sizes[CELLS], random = seed, sum = 0;
        size_t order[CELLS], seen[CELLS] = { 0 };
        struct ap_plan_task tasks[TASKS] = { 0 };
        snprintf(label, sizeof label, "seed %llu", (unsigned long long)seed);
        for (size_t i = 0; i < CELLS; i++) {
            random = random * UINT64_C(6364136223846793005) + 1442695040888963407;
            sizes[i] = (random >> 33) % 1000;
            order[i] = i;
        }
        for (size_t i = 0; i < TASKS; i++) {
            tasks[i].first = i == 0 ? 0 : tasks[i - 1].first + tasks[i - 1].count;
            tasks[i].count = i + 1 == TASKS ? CELLS - tasks[i].first : 3 + seed % 6;
            for (size_t j = 0; j < tasks[i].count; j++) tasks[i].bytes += sizes[tasks[i].first + j];
        }
        uint64_t before = largest(tasks, TASKS);
        ap_plan_even_out(sizes, order, tasks, TASKS);
        assert_true_in(label, largest(tasks, TASKS) <= before);
        for (size_t i = 0; i < TASKS; i++) {
            for (size_t j = sum = 0; j < tasks[i].count; j++) {
                sum += sizes[order[tasks[i].first + j]];
                seen[order[tasks[i].first + j]]++;
            }
            assert_int_in(label, tasks[i].bytes, sum);
        }
        for (size_t i = 0; i < CELLS; i++) assert_int_in(label, seen[i], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_and_writes),
        cmocka_unit_test(refuses_what_is_out_of_form),
        cmocka_unit_test(a_plan_that_writes),
        cmocka_unit_test(a_plan_that_was_held),
        cmocka_unit_test(a_plan_that_puts_cells_together),
        cmocka_unit_test(a_plan_over_several_frames),
        cmocka_unit_test(a_plan_over_files),
        cmocka_unit_test(a_plan_over_text),
        cmocka_unit_test(keys_of_files),
        cmocka_unit_test(files_are_counted),
        cmocka_unit_test(refuses_to_write_what_is_out_of_form),
        cmocka_unit_test(tasks_are_evened_out),
        cmocka_unit_test(evening_out_loses_nothing),
        cmocka_unit_test(no_memory),
    };
    return cmocka_run_group_tests_name("plan", tests, NULL, NULL);
}
