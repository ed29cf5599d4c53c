/* Arrow streams of the caller, read by a real chamber: cut, gathered, empty, failing. */
#include "pool_fixture.h"

#include <nanoarrow/nanoarrow.h>

#include <errno.h>
#include <inttypes.h>

#define MUST(call)                                                                                 \
    do {                                                                                           \
        if ((call) != NANOARROW_OK) fail_msg("%s failed", #call);                                  \
    } while (0)

/* A producer: `batches` batches of `rows` rows each: i counts on, s is one of three words
 * (dictionary-encoded unless `plain`), t is `text_size` bytes. */
struct producer {
    int batches, rows, sent;
    int text_size;
    int fail_at; /* -1: never */
    const char *said;
    bool no_schema, plain;
    struct ap_cancel *cancel_at_batch;
};

static int get_schema(struct ArrowArrayStream *stream, struct ArrowSchema *out)
{
    struct producer *p = stream->private_data;
    if (p->no_schema) {
        p->said = "no schema today";
        return EINVAL;
    }
    ArrowSchemaInit(out);
    MUST(ArrowSchemaSetTypeStruct(out, 3));
    MUST(ArrowSchemaSetType(out->children[0], NANOARROW_TYPE_INT64));
    MUST(ArrowSchemaSetName(out->children[0], "i"));
    MUST(ArrowSchemaSetType(
        out->children[1], p->plain ? NANOARROW_TYPE_STRING : NANOARROW_TYPE_INT8));
    MUST(ArrowSchemaSetName(out->children[1], "s"));
    if (!p->plain) {
        MUST(ArrowSchemaAllocateDictionary(out->children[1]));
        MUST(ArrowSchemaInitFromType(out->children[1]->dictionary, NANOARROW_TYPE_STRING));
    }
    MUST(ArrowSchemaSetType(
        out->children[2], p->plain ? NANOARROW_TYPE_LARGE_STRING : NANOARROW_TYPE_STRING_VIEW));
    MUST(ArrowSchemaSetName(out->children[2], "t"));
    return 0;
}

static int get_next(struct ArrowArrayStream *stream, struct ArrowArray *out)
{
    struct producer *p = stream->private_data;
    static const char *const words[] = { "one", "two", "three" };
    if (p->sent == p->fail_at) {
        p->said = "the disk\ncaught fire";
        return EIO;
    }
    if (p->cancel_at_batch && p->sent == 1) ap_cancel_request(p->cancel_at_batch);
    if (p->sent == p->batches) {
        out->release = NULL;
        return 0;
    }
    struct ArrowSchema schema;
    MUST(get_schema(stream, &schema));
    MUST(ArrowArrayInitFromSchema(out, &schema, NULL));
    MUST(ArrowArrayStartAppending(out));
    char *text = ap_calloc(1, (size_t)p->text_size + 1);
    memset(text, 'x', (size_t)p->text_size);
    for (int i = 0; i < 3 && !p->plain; i++)
        MUST(ArrowArrayAppendString(out->children[1]->dictionary, ArrowCharView(words[i])));
    for (int r = 0; r < p->rows; r++) {
        int64_t i = (int64_t)p->sent * p->rows + r;
        MUST(ArrowArrayAppendInt(out->children[0], i));
        if (i % 5 == 4)
            MUST(ArrowArrayAppendNull(out->children[1], 1));
        else if (p->plain)
            MUST(ArrowArrayAppendString(out->children[1], ArrowCharView(words[i % 3])));
        else
            MUST(ArrowArrayAppendInt(out->children[1], i % 3));
        MUST(ArrowArrayAppendString(
            out->children[2], (struct ArrowStringView) { text, p->text_size }));
        MUST(ArrowArrayFinishElement(out));
    }
    ap_free(text);
    MUST(ArrowArrayFinishBuildingDefault(out, NULL));
    ArrowSchemaRelease(&schema);
    p->sent++;
    return 0;
}

static const char *last_error(struct ArrowArrayStream *stream)
{
    return ((struct producer *)stream->private_data)->said;
}

static void release(struct ArrowArrayStream *stream)
{
    stream->release = NULL;
}

static const struct row {
    const char *label;
    struct producer producer;
    enum apiary_code code;
    const char *says; /* the row of the answer, or the error */
} rows[] = {
    { "one row", { 1, 1, .fail_at = -1, .text_size = 3 }, APIARY_OK, "[\"1\",\"0\",\"1\",\"3\"]" },
    { "one large batch is cut", { 1, 200000, .fail_at = -1, .text_size = 20 }, APIARY_OK,
        "[\"200000\",\"19999900000\",\"3\",\"4000000\"]" },
    { "small batches are gathered", { 5000, 10, .fail_at = -1, .text_size = 1 }, APIARY_OK,
        "[\"50000\",\"1249975000\",\"3\",\"50000\"]" },
    { "wide rows", { 2, 30, .fail_at = -1, .text_size = 1 << 20 }, APIARY_OK,
        "[\"60\",\"1770\",\"3\",\"62914560\"]" },
    { "plain columns are lent", { 1, 200000, .fail_at = -1, .text_size = 20, .plain = true },
        APIARY_OK, "[\"200000\",\"19999900000\",\"3\",\"4000000\"]" },
    { "many plain batches", { 7, 9001, .fail_at = -1, .text_size = 3, .plain = true }, APIARY_OK,
        "[\"63007\",\"1984909521\",\"3\",\"189021\"]" },
    { "wide plain rows", { 1, 9000, .fail_at = -1, .text_size = 5000, .plain = true }, APIARY_OK,
        "[\"9000\",\"40495500\",\"3\",\"45000000\"]" },
    { "no batch at all", { 0, 0, .fail_at = -1 }, APIARY_OK, "[\"0\",null,\"0\",null]" },
    { "batches without rows", { 3, 0, .fail_at = -1 }, APIARY_OK, "[\"0\",null,\"0\",null]" },
    { "fails at once", { 3, 10, .fail_at = 0 }, APIARY_IO,
        "input 1 could not be read: the disk caught fire" },
    { "fails late", { 9, 50000, .fail_at = 7, .text_size = 8 }, APIARY_IO, "the disk caught fire" },
    { "fails at its schema", { 3, 10, .fail_at = -1, .no_schema = true }, APIARY_IO,
        "no schema today" },
};

static enum apiary_code run(struct ap_chamber *chamber, struct producer *producer,
    const struct ap_cancel *cancel, struct ap_bytes *done, struct apiary_error *err)
{
    struct ArrowArrayStream stream = { .get_schema = get_schema,
        .get_next = get_next,
        .get_last_error = last_error,
        .release = release,
        .private_data = producer };
    struct ArrowArrayStream *inputs[] = { &stream };
    struct ap_job job = job_of(
        (char *)(uintptr_t) "{\"sql\":\"SELECT count(*), sum(i), count(DISTINCT s), sum(length(t)) "
                            "FROM data\",\"result\":\"json\",\"inputs\":[\"data\"]}");
    job.inputs = inputs;
    job.input_count = 1;
    job.cancel = cancel;
    return ap_job_run(chamber, &job, done, NULL, err);
}

static void inputs(void **state)
{
    (void)state;
    struct fixture f;
    fixture_open(&f, NULL, 1, 1024 * MIB);
    for (size_t i = 0; i < AP_COUNT(rows); i++) {
        struct apiary_error err = { 0 };
        struct ap_chamber *chamber = NULL;
        struct ap_bytes done = { 0 };
        struct producer producer = rows[i].producer;
        assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
        assert_code_in(rows[i].label, run(chamber, &producer, NULL, &done, &err), rows[i].code);
        const char *got = rows[i].code == APIARY_OK ? ap_bytes_text(&done) : err.message;
        if (!strstr(got, rows[i].says)) fail_msg("%s: got %s", rows[i].label, got);
        ap_bytes_done(&done);
        ap_chamber_give(chamber);
    }
    fixture_close(&f);
}

/* A cancel while the producer runs never looks like the end of its rows. */
static void cancelled(void **state)
{
    (void)state;
    struct fixture f;
    struct apiary_error err = { 0 };
    struct ap_cancel cancel;
    struct ap_chamber *chamber = NULL;
    struct ap_bytes done = { 0 };
    struct producer producer = { 1000, 1000, .fail_at = -1, .cancel_at_batch = &cancel };
    fixture_open(&f, NULL, 1, 1024 * MIB);
    assert_ok(ap_cancel_init(&cancel, &err));
    assert_ok(ap_chamber_take(f.pool, 1, NULL, &chamber, &err));
    assert_code(run(chamber, &producer, &cancel, &done, &err), APIARY_CANCELLED);
    assert_true(producer.sent < 1000);
    ap_chamber_give(chamber);
    ap_cancel_done(&cancel);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(inputs), cmocka_unit_test(cancelled) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
