#include "sql/statement_private.h"

/* USE x, USE x.y, USE HIVE x, USE BOX x[.y] (and the usual words for them) */
enum apiary_code ap_read_use(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_USE;
    /* "USE hive" means the one of that name: a word is one of ours only before a name. */
    if (ap_reader_is_name(reader, 1)) out->object = ap_reader_object(reader);
    if (out->object != AP_OBJECT_NONE && out->object != AP_OBJECT_HIVE &&
        out->object != AP_OBJECT_BOX)
        return ap_fail(err, APIARY_SQL, "USE takes a hive or a box");
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    size_t most = out->object == AP_OBJECT_HIVE ? 1 : 2;
    if (out->name.count > most)
        return ap_fail(err, APIARY_SQL,
            most == 1 ? "the name of a hive has one part, this has %zu"
                      : "USE takes hive.box at most, this has %zu parts",
            out->name.count);
    return ap_reader_expect_end(reader, err);
}

static const struct {
    const char *words;
    enum ap_object_kind object;
    bool all; /* of every hive */
} lists[] = {
    { "HIVES", AP_OBJECT_HIVE, false },
    { "DATABASES", AP_OBJECT_HIVE, false },
    { "CATALOGS", AP_OBJECT_HIVE, false },
    { "BOXES", AP_OBJECT_BOX, false },
    { "SCHEMAS", AP_OBJECT_BOX, false },
    { "FRAMES", AP_OBJECT_FRAME, false },
    { "TABLES", AP_OBJECT_FRAME, false },
    { "ALL FRAMES", AP_OBJECT_FRAME, true },
    { "ALL TABLES", AP_OBJECT_FRAME, true },
    { "VIEWS", AP_OBJECT_VIEW, false },
    { "ALL VIEWS", AP_OBJECT_VIEW, true },
    { "COLUMNS", AP_OBJECT_COLUMN, false },
    { "SETTINGS", AP_OBJECT_SETTING, false },
    { "HISTORY", AP_OBJECT_HISTORY, false },
    { "PINS", AP_OBJECT_PIN, false },
};

static enum apiary_code read_list_tail(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    bool history = out->object == AP_OBJECT_HISTORY || out->object == AP_OBJECT_PIN, column = out->object == AP_OBJECT_COLUMN;
    bool in = ap_reader_accept(reader, "IN") || ap_reader_accept(reader, "FROM");
    if (!in && history) in = ap_reader_accept(reader, "OF") || ap_reader_accept(reader, "FOR");
    if (in && (out->object == AP_OBJECT_HIVE || out->object == AP_OBJECT_SETTING)) {
        reader->at--;
        return ap_reader_fail(reader, "LIKE or the end of the statement", err);
    }
    if (in || (history && ap_reader_is_name(reader, 0))) {
        (void)(ap_reader_is_name(reader, 1) && ap_reader_object(reader));
        AP_TRY(ap_reader_object_name(reader, &out->name, err));
    } else if (history || column) {
        return ap_reader_fail(reader, "IN and the name of a frame", err);
    }
    size_t most = history || column ? 3 : out->object == AP_OBJECT_BOX ? 1 : 2;
    if (out->name.count > most)
        return ap_fail(err, APIARY_SQL,
            "the name after IN has at most %zu part%s here, this has %zu", most,
            most > 1 ? "s" : "", out->name.count);
    if (ap_reader_accept(reader, "LIKE"))
        AP_TRY(ap_reader_string(reader, "a pattern in quotes", &out->pattern, err));
    return ap_reader_expect_end(reader, err);
}

static enum apiary_code describe_name(struct ap_reader *reader, struct apiary_error *err);

enum apiary_code ap_read_show(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_SHOW;
    for (size_t i = 0; i < sizeof lists / sizeof *lists; i++) {
        /* A quoted word or one with a dot behind it is a name: SHOW "tables", SHOW history.x */
        if (!ap_reader_accept(reader, lists[i].words)) continue;
        if (ap_reader_is(reader, ".")) {
            reader->at--;
            break;
        }
        out->object = lists[i].object;
        out->flags.all = lists[i].all;
        return read_list_tail(reader, err);
    }
    if (ap_reader_accept(reader, "ALL")) {
        out->object = AP_OBJECT_SETTING;
        return read_list_tail(reader, err);
    }
    if (ap_reader_is(reader, "CREATE"))
        return ap_reader_refuse(reader, "SHOW CREATE is not supported",
            "DESCRIBE name tells columns, partitioning and place");
    if (ap_reader_is(reader, "FUNCTIONS"))
        return ap_reader_refuse(reader, "SHOW FUNCTIONS is not supported",
            "SELECT DISTINCT function_name FROM duckdb_functions()");
    if (!ap_reader_is_name(reader, 0))
        return ap_reader_fail(
            reader, "HIVES, BOXES, FRAMES, VIEWS, COLUMNS, SETTINGS, HISTORY or a name", err);
    return describe_name(reader, err); /* the engine's SHOW name */
}

/* AT (VERSION => n) | AT (TIMESTAMP => t) */
static enum apiary_code read_at(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const none[] = { NULL };
    struct ap_str *to;
    AP_TRY(ap_reader_expect(reader, "(", err));
    if (ap_reader_accept(reader, "VERSION"))
        to = &reader->out->at_version;
    else if (ap_reader_accept(reader, "TIMESTAMP"))
        to = &reader->out->at_time;
    else
        return ap_reader_fail(reader, "VERSION or TIMESTAMP", err);
    AP_TRY(ap_reader_expect(reader, "=>", err));
    AP_TRY(ap_reader_range(reader, "an expression", none, to, err));
    return ap_reader_expect(reader, ")", err);
}

static enum apiary_code describe_name(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    out->kind = AP_STATEMENT_DESCRIBE;
    out->object = AP_OBJECT_FRAME;
    if (ap_reader_is_name(reader, 1) && !ap_reader_is(reader, "AT")) {
        enum ap_object_kind object = ap_reader_object(reader);
        if (object == AP_OBJECT_HIVE || object == AP_OBJECT_BOX) out->object = object;
    }
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    if (ap_reader_accept(reader, "AT")) AP_TRY(read_at(reader, err));
    size_t most = out->object == AP_OBJECT_HIVE ? 1 : out->object == AP_OBJECT_BOX ? 2 : 3;
    if (out->name.count > most)
        return ap_fail(err, APIARY_SQL, "the name of a %s has at most %zu part%s, this has %zu",
            most == 1 ? "hive" : "box", most, most > 1 ? "s" : "", out->name.count);
    return ap_reader_expect_end(reader, err);
}

/* DESCRIBE of a name is ours; of a query, a file or a table function it is the engine's. */
enum apiary_code ap_read_describe(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    if (ap_reader_at_end(reader)) {
        out->kind = AP_STATEMENT_SHOW;
        out->object = AP_OBJECT_FRAME;
        out->flags.all = true;
        return APIARY_OK;
    }
    if (ap_reader_is(reader, "TABLE") && ap_reader_is_name(reader, 1))
        reader->at++;
    else if (ap_reader_is_query(reader, 0) || ap_reader_peek(reader, 0)->kind == AP_TOKEN_STRING ||
             (ap_reader_is_name(reader, 0) && ap_token_is(ap_reader_peek(reader, 1), "("))) {
        out->kind = AP_STATEMENT_QUERY;
        out->body = out->text;
        return APIARY_OK;
    }
    if (ap_reader_is(reader, "HISTORY") &&
        (ap_reader_is_name(reader, 1) || ap_token_is(ap_reader_peek(reader, 1), "TABLE"))) {
        reader->at++;
        out->kind = AP_STATEMENT_SHOW;
        out->object = AP_OBJECT_HISTORY;
        return read_list_tail(reader, err);
    }
    return describe_name(reader, err);
}
