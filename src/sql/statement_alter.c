#include "sql/statement_private.h"

#include "core/alloc.h"

static enum apiary_code add_named_column(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_column_definition *column;
    return ap_reader_add_column(reader, &column, err);
}

static enum apiary_code read_rename(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    if (ap_reader_accept(reader, "TO")) {
        out->kind = AP_STATEMENT_RENAME;
        return ap_reader_object_name(reader, &out->new_name, err);
    }
    out->alter = AP_ALTER_RENAME_COLUMN;
    (void)ap_reader_accept(reader, "COLUMN");
    AP_TRY(add_named_column(reader, err));
    AP_TRY(ap_reader_expect(reader, "TO", err));
    return ap_reader_name(reader, &out->new_column, err);
}

/* ADD [COLUMN] [IF NOT EXISTS] a INT, ADD COLUMNS (a INT, b INT) */
static enum apiary_code read_add(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    static const char keys[] = "a frame does not enforce keys and constraints";
    out->alter = AP_ALTER_ADD_COLUMN;
    if (ap_reader_is(reader, "CONSTRAINT") || ap_reader_is(reader, "PRIMARY KEY") ||
        ap_reader_is(reader, "FOREIGN KEY") || ap_reader_is(reader, "UNIQUE") ||
        ap_reader_is(reader, "CHECK"))
        return ap_reader_refuse(
            reader, keys, "NOT NULL is kept: ALTER FRAME name ALTER COLUMN c SET NOT NULL");
    bool several = ap_reader_accept(reader, "COLUMNS");
    if (!several) several = ap_reader_is(reader, "(");
    if (!several) {
        (void)ap_reader_accept(reader, "COLUMN");
        out->flags.if_not_exists = ap_reader_accept(reader, "IF NOT EXISTS");
        return ap_read_column(reader, false, err);
    }
    AP_TRY(ap_reader_expect(reader, "(", err));
    do {
        AP_TRY(ap_read_column(reader, false, err));
        if (out->kind == AP_STATEMENT_REFUSED) return APIARY_OK;
    } while (ap_reader_accept(reader, ","));
    return ap_reader_accept(reader, ")") ? APIARY_OK : ap_reader_fail(reader, "',' or ')'", err);
}

static enum apiary_code read_drop_column(struct ap_reader *reader, struct apiary_error *err)
{
    reader->out->alter = AP_ALTER_DROP_COLUMN;
    if (ap_reader_is(reader, "CONSTRAINT"))
        return ap_reader_refuse(reader, "a frame has no named constraints",
            "ALTER FRAME name ALTER COLUMN c DROP NOT NULL");
    (void)ap_reader_accept(reader, "COLUMN");
    reader->out->flags.if_exists_column = ap_reader_accept(reader, "IF EXISTS");
    AP_TRY(add_named_column(reader, err));
    reader->out->flags.cascade = ap_reader_accept(reader, "CASCADE");
    if (!reader->out->flags.cascade) (void)ap_reader_accept(reader, "RESTRICT");
    return APIARY_OK;
}

static enum apiary_code read_column_type(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const stops[] = { "USING", "COLLATE", NULL };
    struct ap_statement *out = reader->out;
    out->alter = AP_ALTER_COLUMN_TYPE;
    AP_TRY(ap_reader_range(reader, "a type", stops, &out->columns[0].type, err));
    if (!ap_reader_accept(reader, "USING")) return APIARY_OK;
    return ap_reader_rest(reader, "an expression", &out->value, err);
}

static enum apiary_code read_alter_column(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    (void)ap_reader_accept(reader, "COLUMN");
    AP_TRY(add_named_column(reader, err));
    if (ap_reader_accept(reader, "TYPE") || ap_reader_accept(reader, "SET DATA TYPE"))
        return read_column_type(reader, err);
    if (ap_reader_is(reader, "SET DEFAULT") || ap_reader_is(reader, "DROP DEFAULT"))
        return ap_reader_refuse(reader, "DEFAULT of a column is not supported",
            "give the value in the query that writes");
    if (ap_reader_accept(reader, "SET NOT NULL")) {
        out->alter = AP_ALTER_SET_NOT_NULL;
    } else if (ap_reader_accept(reader, "DROP NOT NULL")) {
        out->alter = AP_ALTER_DROP_NOT_NULL;
    } else if (ap_reader_accept(reader, "COMMENT")) {
        out->alter = AP_ALTER_COMMENT;
        return ap_reader_string(reader, "a comment in quotes", &out->comment, err);
    } else {
        return ap_reader_fail(reader, "TYPE, SET NOT NULL, DROP NOT NULL or COMMENT", err);
    }
    return APIARY_OK;
}

static enum apiary_code read_set(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    if (ap_reader_is(reader, "SCHEMA"))
        return ap_reader_refuse(
            reader, "SET SCHEMA is not supported", "ALTER FRAME box.name RENAME TO other_box.name");
    if (ap_reader_is(reader, "LOCATION"))
        return ap_reader_refuse(
            reader, "a frame does not move", "CREATE FRAME other LOCATION '…' AS FROM name");
    if (ap_reader_is(reader, "SORTED BY") || ap_reader_is(reader, "PARTITIONED BY"))
        return ap_reader_refuse(reader, "the partitioning of a frame cannot be changed",
            "CREATE OR REPLACE FRAME name PARTITIONED BY (…) AS FROM name");
    out->alter = AP_ALTER_SET_PROPERTIES;
    if (!ap_reader_accept(reader, "PROPERTIES")) (void)ap_reader_accept(reader, "TBLPROPERTIES");
    return ap_reader_options(reader, err);
}

static enum apiary_code read_unset(struct ap_reader *reader, struct apiary_error *err)
{
    reader->out->alter = AP_ALTER_UNSET_PROPERTIES;
    if (!ap_reader_accept(reader, "PROPERTIES")) (void)ap_reader_accept(reader, "TBLPROPERTIES");
    reader->out->flags.if_exists_column = ap_reader_accept(reader, "IF EXISTS");
    return ap_reader_options(reader, err);
}

static enum apiary_code read_cluster(struct ap_reader *reader, struct apiary_error *err)
{
    reader->out->alter = AP_ALTER_CLUSTER_BY;
    if (ap_reader_accept(reader, "NONE")) return APIARY_OK;
    return ap_reader_names(reader, &reader->out->cluster_by, err);
}

static enum apiary_code read_change(struct ap_reader *reader, struct apiary_error *err)
{
    if (ap_reader_accept(reader, "RENAME")) return read_rename(reader, err);
    if (reader->out->object != AP_OBJECT_FRAME) return ap_reader_fail(reader, "RENAME TO", err);
    if (ap_reader_accept(reader, "ADD")) return read_add(reader, err);
    if (ap_reader_accept(reader, "DROP")) return read_drop_column(reader, err);
    if (ap_reader_accept(reader, "ALTER")) return read_alter_column(reader, err);
    if (ap_reader_accept(reader, "SET")) return read_set(reader, err);
    if (ap_reader_accept(reader, "UNSET") || ap_reader_accept(reader, "RESET"))
        return read_unset(reader, err);
    if (ap_reader_accept(reader, "CLUSTER BY")) return read_cluster(reader, err);
    return ap_reader_fail(reader, "RENAME, ADD, DROP, ALTER, SET, UNSET or CLUSTER BY", err);
}

enum apiary_code ap_read_alter(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_ALTER_FRAME;
    out->object = ap_reader_object(reader);
    if (out->object == AP_OBJECT_NONE || out->object == AP_OBJECT_MACRO)
        return ap_reader_fail(reader, "HIVE, BOX, FRAME or VIEW", err);
    out->flags.if_exists = ap_reader_accept(reader, "IF EXISTS");
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    struct ap_reader rest = *reader;
    if (!ap_reader_at_end(reader)) AP_TRY(ap_reader_rest(&rest, "a change", &out->action, err));
    AP_TRY(read_change(reader, err));
    if (out->kind == AP_STATEMENT_REFUSED) return APIARY_OK;
    return ap_reader_expect_end(reader, err);
}

/* COMMENT ON FRAME name IS 'text' | NULL, COMMENT ON COLUMN name.column IS … */
enum apiary_code ap_read_comment(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    AP_TRY(ap_reader_expect(reader, "ON", err));
    out->kind = AP_STATEMENT_ALTER_FRAME;
    out->alter = AP_ALTER_COMMENT;
    out->object = AP_OBJECT_FRAME;
    bool column = ap_reader_accept(reader, "COLUMN");
    if (!column && ap_reader_object(reader) != AP_OBJECT_FRAME)
        return ap_reader_fail(reader, "FRAME or COLUMN", err);
    out->name.offset = ap_reader_peek(reader, 0)->offset;
    for (;;) {
        bool last = !ap_token_is(ap_reader_peek(reader, 1), ".");
        if (last && column) break;
        if (out->name.count == AP_NAME_PARTS_MAX)
            return ap_reader_fail(reader, "at most three parts in a name (hive.box.frame)", err);
        AP_TRY(ap_reader_name(reader, &out->name.parts[out->name.count], err));
        out->name.count++;
        if (last) break;
        AP_TRY(ap_reader_expect(reader, ".", err));
    }
    if (column && out->name.count == 0) return ap_reader_fail(reader, "frame.column", err);
    if (column) AP_TRY(add_named_column(reader, err));
    AP_TRY(ap_reader_expect(reader, "IS", err));
    if (!ap_reader_accept(reader, "NULL"))
        AP_TRY(ap_reader_string(reader, "a comment in quotes", &out->comment, err));
    return ap_reader_expect_end(reader, err);
}
