#include "bee/standing.h"
#include "bee/instance.h"

enum { STANDING_MAX = 1000 };

void bee_standing_done(struct bee_standing *standing)
{
    ap_texts_done(&standing->make);
    ap_texts_done(&standing->undo);
    *standing = (struct bee_standing) { 0 };
}

static enum apiary_code read_list(
    yyjson_val *list, struct bee_standing *out, struct bee_failure *why)
{
    if (list == NULL) return APIARY_OK;
    if (!yyjson_is_arr(list) || yyjson_arr_size(list) > STANDING_MAX)
        return bee_fail(
            why, "invalid_input", APIARY_INVALID, "what is to stand is no list or too long");
    yyjson_arr_iter iter = yyjson_arr_iter_with(list);
    for (yyjson_val *pair = yyjson_arr_iter_next(&iter); pair; pair = yyjson_arr_iter_next(&iter)) {
        yyjson_val *make = yyjson_arr_get(pair, 0), *undo = yyjson_arr_get(pair, 1);
        if (!yyjson_is_str(make) || !yyjson_is_str(undo))
            return bee_fail(
                why, "invalid_input", APIARY_INVALID, "what is to stand is no pair of texts");
        AP_TRY(ap_texts_add(&out->make,
            (struct ap_str) { yyjson_get_str(make), yyjson_get_len(make) }, &why->err));
        AP_TRY(ap_texts_add(&out->undo,
            (struct ap_str) { yyjson_get_str(undo), yyjson_get_len(undo) }, &why->err));
    }
    return APIARY_OK;
}

static enum apiary_code run_one(
    duckdb_connection connection, const char *sql, int64_t index, struct bee_failure *why)
{
    AP_AUTO(ap_bytes) text = { 0 };
    if (*sql == '\0' || bee_instance_query(connection, sql, &text)) return APIARY_OK;
    enum apiary_code code = bee_fail_engine(why, ap_bytes_text(&text));
    why->setup = index;
    return code;
}

static bool same(const struct ap_texts *a, const struct ap_texts *b)
{
    if (a->count != b->count) return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i], b->items[i]) != 0) return false;
    return true;
}

static enum apiary_code change(const struct bee_standing *from, const struct bee_standing *to,
    duckdb_connection connection, bool *stuck, struct bee_failure *why)
{
    *stuck = true;
    for (size_t i = from->make.count; i-- > 0;)
        if (ap_texts_find(&to->make, ap_str_from(from->make.items[i])) == SIZE_MAX)
            AP_TRY(run_one(connection, from->undo.items[i], -1, why));
    *stuck = false;
    for (size_t i = 0; i < to->make.count; i++)
        if (ap_texts_find(&from->make, ap_str_from(to->make.items[i])) == SIZE_MAX)
            AP_TRY(run_one(connection, to->make.items[i], (int64_t)i, why));
    return APIARY_OK;
}

enum apiary_code bee_standing_set(struct bee_standing *standing, duckdb_connection connection,
    yyjson_val *list, bool *stuck, struct bee_failure *why)
{
    struct bee_standing wanted = { 0 };
    *stuck = false;
    enum apiary_code code = read_list(list, &wanted, why);
    if (code == APIARY_OK && same(&standing->make, &wanted.make)) {
        bee_standing_done(&wanted);
        return APIARY_OK;
    }
    if (code == APIARY_OK) code = change(standing, &wanted, connection, stuck, why);
    if (code != APIARY_OK) {
        bee_standing_done(&wanted);
        return code;
    }
    bee_standing_done(standing);
    *standing = wanted;
    return APIARY_OK;
}
