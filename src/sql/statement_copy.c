#include "sql/statement_private.h"

static enum apiary_code read_path(struct ap_reader *reader, struct apiary_error *err)
{
    return ap_reader_string(reader, "a path in quotes", &reader->out->path, err);
}

enum apiary_code ap_read_copy(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    if (ap_reader_is(reader, "(")) {
        out->kind = AP_STATEMENT_COPY_TO;
        if (!ap_reader_is_query(reader, 1)) {
            reader->at++;
            return ap_reader_fail(reader, "a query", err);
        }
        AP_TRY(ap_reader_brackets(reader, &out->body, err));
        AP_TRY(ap_reader_expect(reader, "TO", err));
    } else {
        (void)(ap_reader_is(reader, "TABLE") && ap_reader_accept(reader, "TABLE"));
        (void)(ap_reader_is_name(reader, 1) && ap_reader_accept(reader, "FRAME"));
        out->object = AP_OBJECT_FRAME;
        AP_TRY(ap_reader_object_name(reader, &out->name, err));
        if (ap_reader_is(reader, "(")) AP_TRY(ap_reader_column_names(reader, err));
        if (ap_reader_accept(reader, "TO"))
            out->kind = AP_STATEMENT_COPY_TO;
        else if (ap_reader_accept(reader, "FROM"))
            out->kind = AP_STATEMENT_COPY_FROM;
        else
            return ap_reader_fail(reader, "TO or FROM", err);
    }
    AP_TRY(read_path(reader, err));
    (void)ap_reader_accept(reader, "WITH");
    if (ap_reader_is(reader, "(")) AP_TRY(ap_reader_options(reader, err));
    if (ap_reader_at_end(reader)) return APIARY_OK;
    return ap_reader_fail(reader, "options in brackets or the end of the statement", err);
}
