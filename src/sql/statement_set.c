#include "sql/statement_private.h"

#include "core/alloc.h"

static enum apiary_code read_setting(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    if (ap_reader_accept(reader, "TIME ZONE")) {
        out->setting = ap_strdup("TimeZone");
        return out->setting ? APIARY_OK : ap_fail_memory(err, "a setting");
    }
    (void)(ap_reader_is_name(reader, 1) &&
           (ap_reader_accept(reader, "SESSION") || ap_reader_accept(reader, "GLOBAL") ||
               ap_reader_accept(reader, "LOCAL")));
    AP_TRY(ap_reader_name(reader, &out->setting, err));
    return APIARY_OK;
}

enum apiary_code ap_read_set(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_SET;
    out->object = AP_OBJECT_SETTING;
    bool variable = ap_reader_is_name(reader, 1) && ap_reader_accept(reader, "VARIABLE");
    if (variable) {
        out->object = AP_OBJECT_VARIABLE;
        AP_TRY(ap_reader_name(reader, &out->setting, err));
    } else {
        bool zone = ap_reader_is(reader, "TIME ZONE");
        AP_TRY(read_setting(reader, err));
        if (zone) return ap_reader_rest(reader, "a time zone in quotes", &out->value, err);
    }
    if (!ap_reader_accept(reader, "=") && !ap_reader_accept(reader, "TO"))
        return ap_reader_fail(reader, "'=' or TO", err);
    if (!variable && ap_reader_is(reader, "DEFAULT")) {
        reader->at++;
        out->flags.reset = true;
        return ap_reader_expect_end(reader, err);
    }
    return ap_reader_rest(reader, "a value", variable ? &out->body : &out->value, err);
}

enum apiary_code ap_read_reset(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_SET;
    out->object = AP_OBJECT_SETTING;
    out->flags.reset = true;
    if (ap_reader_is_name(reader, 1) && ap_reader_accept(reader, "VARIABLE")) {
        out->object = AP_OBJECT_VARIABLE;
        AP_TRY(ap_reader_name(reader, &out->setting, err));
    } else {
        AP_TRY(read_setting(reader, err));
    }
    return ap_reader_expect_end(reader, err);
}
