/* A hash that is the same for the same rows in any order: of every row the text of its values, with floats
 * at 12 digits; of all rows these hashes, sorted. The engine does it, in a chamber. */
#include "query/plan.h"
#include "query/read.h"
#include "query/resolve.h"

#include "core/alloc.h"
#include "runtime/ipc_file.h"

static bool is_float(const char *format)
{
    return format != NULL && (format[0] == 'e' || format[0] == 'f' || format[0] == 'g') && format[1] == '\0';
}

/* NULL differs from every text; the size before a text keeps neighbours apart. */
static enum apiary_code add_value(const struct ArrowSchema *column, int64_t index, struct ap_bytes *out, struct apiary_error *err)
{
    AP_AUTO(ap_bytes) text = { 0 };
    AP_TRY(is_float(column->format) ? ap_bytes_printf(&text, err, "printf('%%.12g', CAST(c%lld AS DOUBLE) + 0.0)", (long long)index)
                                    : ap_bytes_printf(&text, err, "CAST(c%lld AS VARCHAR)", (long long)index));
    return ap_bytes_printf(out, err, "%scoalesce(length(%s) || ':' || %s, 'n')", index > 0 ? ", " : "", ap_bytes_text(&text), ap_bytes_text(&text));
}

static enum apiary_code digest_sql(const struct ArrowSchema *schema, struct ap_bytes *out, struct apiary_error *err)
{
    AP_TRY(ap_bytes_add_text(out, "SELECT count(*), coalesce(sha256(string_agg(h, '' ORDER BY h)), '') FROM (SELECT md5(concat(", err));
    for (int64_t i = 0; i < schema->n_children; i++) AP_TRY(add_value(schema->children[i], i, out, err));
    AP_TRY(ap_bytes_add_text(out, ")) AS h FROM apiary_rows AS r(", err));
    for (int64_t i = 0; i < schema->n_children; i++) AP_TRY(ap_bytes_printf(out, err, "%sc%lld", i > 0 ? ", " : "", (long long)i));
    return ap_bytes_add_text(out, "))", err);
}

static enum apiary_code read_answer(const struct ap_bytes *done, struct ap_bytes *digest, int64_t *rows, struct apiary_error *err)
{
    AP_AUTO_JSON *answer = NULL;
    AP_TRY(ap_json_parse(ap_bytes_view(done), "a chamber's answer", &answer, err));
    yyjson_val *row = yyjson_arr_get_first(ap_json_member(yyjson_doc_get_root(answer), "rows"));
    const char *count = yyjson_get_str(yyjson_arr_get(row, 0)), *hash = yyjson_get_str(yyjson_arr_get(row, 1));
    if (count == NULL || hash == NULL || !ap_str_to_i64(ap_str_from(count), rows)) return ap_fail(err, APIARY_CORRUPT, "a chamber's answer holds no digest");
    return ap_bytes_add_text(digest, hash, err);
}

static enum apiary_code digest_of(struct ap_source *source, struct ArrowArrayStream *stream, struct ap_bytes *digest, int64_t *rows,
    struct apiary_error *err)
{
    struct ArrowSchema schema = { 0 };
    AP_AUTO(ap_bytes) sql = { 0 };
    AP_AUTO(ap_bytes) done = { 0 };
    if (stream->get_schema(stream, &schema) != 0) return ap_fail_memory(err, "a digest");
    enum apiary_code code = digest_sql(&schema, &sql, err);
    schema.release(&schema);
    AP_TRY(code);
    AP_TRY(ap_source_add_input(source, "apiary_rows", stream, err));
    AP_TRY(ap_source_take(source, 1, err));
    AP_TRY(ap_source_run(source, ap_bytes_view(&sql), "json", NULL, &done, NULL, err));
    return read_answer(&done, digest, rows, err);
}

enum apiary_code ap_rows_digest(struct ap_session *session, int fd, struct ap_bytes *digest, int64_t *rows, struct apiary_error *err)
{
    struct ap_source *source = NULL;
    struct ArrowArrayStream stream = { 0 };
    AP_TRY(ap_source_new(session, &source, err));
    enum apiary_code code = ap_ipc_files_open(&fd, 1, &stream, err);
    if (code == APIARY_OK) code = digest_of(source, &stream, digest, rows, err);
    if (stream.release != NULL) stream.release(&stream);
    ap_source_close(source);
    return code;
}
