/* Statements that keep a frame in shape: OPTIMIZE, VACUUM, RESTORE, PIN, FSCK. */
#include "sql/statement_private.h"

#include <math.h>

static enum apiary_code read_frame_name(struct ap_reader *reader, struct apiary_error *err)
{
    (void)ap_reader_accept(reader, "TABLE");
    if (ap_reader_is_name(reader, 1)) (void)ap_reader_accept(reader, "FRAME");
    reader->out->object = AP_OBJECT_FRAME;
    return ap_reader_object_name(reader, &reader->out->name, err);
}

enum apiary_code ap_read_optimize(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const stops[] = { "ZORDER", "CLUSTER", "DRY", NULL };
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_OPTIMIZE;
    AP_TRY(read_frame_name(reader, err));
    if (ap_reader_accept(reader, "WHERE"))
        AP_TRY(ap_reader_range(reader, "a condition", stops, &out->condition, err));
    if (ap_reader_accept(reader, "ZORDER BY") || ap_reader_accept(reader, "CLUSTER BY"))
        AP_TRY(ap_reader_names(reader, &out->cluster_by, err));
    out->flags.dry_run = ap_reader_accept(reader, "DRY RUN");
    return ap_reader_expect_end(reader, err);
}

/* RETAIN 168 HOURS | 7 DAYS */
static enum apiary_code read_retain(struct ap_reader *reader, struct apiary_error *err)
{
    const struct ap_token *token = ap_reader_peek(reader, 0);
    double number;
    if (token->kind != AP_TOKEN_NUMBER || !ap_str_to_double(token->text, &number) ||
        !isfinite(number))
        return ap_reader_fail(reader, "a number", err);
    reader->at++;
    if (ap_reader_accept(reader, "DAYS") || ap_reader_accept(reader, "DAY"))
        number *= 24;
    else if (!ap_reader_accept(reader, "HOURS") && !ap_reader_accept(reader, "HOUR"))
        return ap_reader_fail(reader, "HOURS or DAYS", err);
    reader->out->retain_hours = number;
    return APIARY_OK;
}

enum apiary_code ap_read_vacuum(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_VACUUM;
    bool named =
        !ap_reader_at_end(reader) && !ap_reader_is(reader, "DRY RUN") &&
        !(ap_reader_is(reader, "RETAIN") && ap_reader_peek(reader, 1)->kind == AP_TOKEN_NUMBER);
    if (named) AP_TRY(read_frame_name(reader, err));
    if (ap_reader_accept(reader, "RETAIN")) AP_TRY(read_retain(reader, err));
    out->flags.dry_run = ap_reader_accept(reader, "DRY RUN");
    return ap_reader_expect_end(reader, err);
}

/* VERSION n | TIMESTAMP t; what follows stands in *to. */
static enum apiary_code read_version(
    struct ap_reader *reader, struct ap_str **to, struct apiary_error *err)
{
    if (ap_reader_accept(reader, "VERSION"))
        *to = &reader->out->at_version;
    else if (ap_reader_accept(reader, "TIMESTAMP"))
        *to = &reader->out->at_time;
    else
        return ap_reader_fail(reader, "VERSION or TIMESTAMP", err);
    (void)ap_reader_accept(reader, "AS OF");
    return APIARY_OK;
}

/* PIN name VERSION n AS pin */
enum apiary_code ap_read_pin(struct ap_reader *reader, struct apiary_error *err)
{
    static const char *const stops[] = { "AS", NULL };
    struct ap_statement *out = reader->out;
    struct ap_str *to = NULL;
    reader->at++;
    out->kind = AP_STATEMENT_PIN;
    AP_TRY(read_frame_name(reader, err));
    AP_TRY(read_version(reader, &to, err));
    AP_TRY(ap_reader_range(reader, "an expression", stops, to, err));
    AP_TRY(ap_reader_expect(reader, "AS", err));
    AP_TRY(ap_reader_name(reader, &out->new_column, err));
    return ap_reader_expect_end(reader, err);
}

enum apiary_code ap_read_unpin(struct ap_reader *reader, struct apiary_error *err)
{
    reader->at++;
    reader->out->kind = AP_STATEMENT_UNPIN;
    AP_TRY(read_frame_name(reader, err));
    AP_TRY(ap_reader_expect(reader, "AS", err));
    AP_TRY(ap_reader_name(reader, &reader->out->new_column, err));
    return ap_reader_expect_end(reader, err);
}

enum apiary_code ap_read_fsck(struct ap_reader *reader, struct apiary_error *err)
{
    reader->at++;
    reader->out->kind = AP_STATEMENT_FSCK;
    if (!ap_reader_at_end(reader)) AP_TRY(read_frame_name(reader, err));
    return ap_reader_expect_end(reader, err);
}

enum apiary_code ap_read_restore(struct ap_reader *reader, struct apiary_error *err)
{
    struct ap_statement *out = reader->out;
    reader->at++;
    out->kind = AP_STATEMENT_RESTORE;
    AP_TRY(read_frame_name(reader, err));
    AP_TRY(ap_reader_expect(reader, "TO", err));
    struct ap_str *to = NULL;
    AP_TRY(read_version(reader, &to, err));
    return ap_reader_rest(reader, "an expression", to, err);
}
