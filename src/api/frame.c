/* Frames as callers use them without SQL. */
#include "api/handle.h"

#include "query/write.h"

static bool is_backpressure(const char *word)
{
    static const char *const words[] = { "block", "error", "ignore" };
    if (word == NULL) return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcmp(word, words[i]) == 0) return true;
    return false;
}

int apiary_write(struct apiary_session *session, const char *frame, struct ArrowArrayStream *data,
    const struct apiary_write_options *options, char **json, struct apiary_error *err)
{
    static const struct apiary_write_options defaults = { 0 };
    ap_error_clear(err);
    if (session == NULL || frame == NULL || data == NULL || json == NULL) {
        if (data != NULL && data->release != NULL) data->release(data);
        return ap_fail(err, APIARY_INVALID, "apiary_write: an argument is NULL");
    }
    if (options != NULL && !is_backpressure(options->backpressure)) {
        if (data->release != NULL) data->release(data);
        return ap_fail(err, APIARY_INVALID, "backpressure cannot be '%s': it is block, error or ignore", options->backpressure);
    }
    AP_AUTO(ap_bytes) text = { 0 };
    enum apiary_code code = ap_write_stream(session->session, frame, data, options != NULL ? options : &defaults, &text, err);
    if (data->release != NULL) data->release(data);
    if (code != APIARY_OK) return code;
    return ap_bytes_take_text(&text, json, err);
}

int apiary_create_frame(struct apiary_session *session, const char *frame, struct ArrowSchema *schema,
    const char *const *partition_by, size_t partition_count, int or_same, struct apiary_error *err)
{
    ap_error_clear(err);
    if (schema == NULL) return ap_fail(err, APIARY_INVALID, "apiary_create_frame: schema is NULL");
    enum apiary_code code = APIARY_OK;
    if (session == NULL || frame == NULL || (partition_by == NULL && partition_count > 0))
        code = ap_fail(err, APIARY_INVALID, "apiary_create_frame: an argument is NULL");
    else
        code = ap_create_frame_arrow(session->session, frame, schema, partition_by, partition_count, or_same != 0, err);
    if (schema->release != NULL) schema->release(schema);
    return code;
}

static enum apiary_code frame_info(struct apiary_session *session, const char *frame, bool known, char **json, struct apiary_error *err)
{
    ap_error_clear(err);
    if (session == NULL || frame == NULL || json == NULL)
        return ap_fail(err, APIARY_INVALID, "apiary_frame_%s: an argument is NULL", known ? "known" : "info");
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_frame_info(session->session, frame, known, &text, err));
    return ap_bytes_take_text(&text, json, err);
}

int apiary_frame_info(struct apiary_session *session, const char *frame, char **json, struct apiary_error *err)
{
    return frame_info(session, frame, false, json, err);
}

int apiary_frame_known(struct apiary_session *session, const char *frame, char **json, struct apiary_error *err)
{
    return frame_info(session, frame, true, json, err);
}

int apiary_import(struct apiary_session *session, const char *frame, const char *const *paths, size_t path_count,
    const struct apiary_import_options *options, char **json, struct apiary_error *err)
{
    static const struct apiary_import_options defaults = { 0 };
    ap_error_clear(err);
    if (session == NULL || frame == NULL || paths == NULL || json == NULL || path_count == 0)
        return ap_fail(err, APIARY_INVALID, "apiary_import: an argument is missing");
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(ap_import_files(session->session, frame, paths, path_count, options != NULL ? options : &defaults, &text, err));
    return ap_bytes_take_text(&text, json, err);
}
