#include "sql/statement_private.h"

static enum apiary_code check_parts(const struct ap_statement *statement, struct apiary_error *err)
{
    size_t most = statement->object == AP_OBJECT_HIVE  ? 1
                  : statement->object == AP_OBJECT_BOX ? 2
                                                       : 3;
    if (statement->name.count <= most) return APIARY_OK;
    return ap_fail(err, APIARY_SQL, "the name of a %s has at most %zu part%s, this has %zu",
        statement->object == AP_OBJECT_HIVE ? "hive" : "box", most, most > 1 ? "s" : "",
        statement->name.count);
}

enum apiary_code ap_read_drop(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_DROP;
    out->object = ap_reader_object(reader);
    if (out->object == AP_OBJECT_NONE)
        return ap_reader_fail(reader, "HIVE, BOX, FRAME, VIEW or MACRO", err);
    if (out->object == AP_OBJECT_MACRO) (void)ap_reader_accept(reader, "TABLE");
    out->flags.if_exists = ap_reader_accept(reader, "IF EXISTS");
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    AP_TRY(check_parts(out, err));
    out->flags.cascade = ap_reader_accept(reader, "CASCADE");
    if (!out->flags.cascade) (void)ap_reader_accept(reader, "RESTRICT");
    return ap_reader_expect_end(reader, err);
}

enum apiary_code ap_read_undrop(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_UNDROP;
    out->object = ap_reader_object(reader);
    if (out->object == AP_OBJECT_NONE || out->object == AP_OBJECT_MACRO)
        return ap_reader_fail(reader, "HIVE, BOX, FRAME or VIEW", err);
    AP_TRY(ap_reader_object_name(reader, &out->name, err));
    AP_TRY(check_parts(out, err));
    return ap_reader_expect_end(reader, err);
}
