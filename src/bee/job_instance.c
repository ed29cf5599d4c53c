/* Which engine instance a job gets, with its settings, and what becomes of it after. */
#include "bee/job_private.h"

#include "bee/resident.h"

enum {
    SETTINGS_MAX = 64,
    KEPT_GROWTH_MIN = 32 << 20, /* of resident memory, or this part of the engine's limit: closing */
    KEPT_GROWTH_PART = 8,       /* the instance gives it back */
    KEPT_JOBS_MAX = 500, /* then a kept instance is replaced: nothing leaks for ever */
};

#define DISABLED "disabled_optimizers"

static bool is_setting_name(struct ap_str name)
{
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                c == '_'))
            return false;
    }
    return name.size > 0;
}

/* Values go as text literals, which the engine casts to what the setting wants. A kept instance has
 * them for all its connections. */
static enum apiary_code add_setting(
    struct job *job, struct ap_str name, struct ap_str value)
{
    AP_TRY(ap_bytes_printf(&job->settings, &job->why.err, "SET %s" AP_FMT "=",
        job->kept ? "GLOBAL " : "", AP_ARG(name)));
    AP_TRY(bee_sql_literal(&job->settings, value, &job->why.err));
    return ap_bytes_add_text(&job->settings, ";", &job->why.err);
}

bool bee_job_has_inputs(const struct job *job)
{
    return yyjson_arr_size(ap_json_member(job->document, "inputs")) > 0;
}

static enum apiary_code read_settings(struct job *job)
{
    /* A stream of rows can be read once. The engine turns a window over whole partitions into a
     * join of its input with itself, and would read it twice. */
    yyjson_val *settings = ap_json_member(job->document, "settings");
    if (bee_job_has_inputs(job)) {
        AP_AUTO(ap_bytes) disabled = { 0 };
        struct ap_str others = { 0 };
        bool more = settings != NULL && ap_json_str(settings, DISABLED, &others) && others.size > 0;
        AP_TRY(ap_bytes_printf(&disabled, &job->why.err, "window_self_join%s" AP_FMT, more ? "," : "", AP_ARG(others)));
        AP_TRY(add_setting(job, AP_STR(DISABLED), ap_bytes_view(&disabled)));
    }
    if (settings == NULL) return APIARY_OK;
    if (!yyjson_is_obj(settings) || yyjson_obj_size(settings) > SETTINGS_MAX)
        return bee_fail(
            &job->why, "invalid_input", APIARY_INVALID, "settings are no object or too many");
    yyjson_obj_iter iter = yyjson_obj_iter_with(settings);
    for (yyjson_val *key = yyjson_obj_iter_next(&iter); key; key = yyjson_obj_iter_next(&iter)) {
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        struct ap_str name = { yyjson_get_str(key), yyjson_get_len(key) };
        if (ap_str_is(name, "TimeZone")) continue; /* one of the measures */
        if (ap_str_is(name, DISABLED) && bee_job_has_inputs(job)) continue; /* above */
        if (!is_setting_name(name) || !yyjson_is_str(value))
            return bee_fail(&job->why, "invalid_input", APIARY_INVALID,
                "setting '" AP_FMT "' is out of form", AP_ARG(name));
        AP_TRY(add_setting(
            job, name, (struct ap_str) { yyjson_get_str(value), yyjson_get_len(value) }));
    }
    return APIARY_OK;
}

static enum apiary_code apply_settings(struct job *job, struct bee_instance *instance)
{
    if (job->settings.size == 0) return APIARY_OK;
    AP_AUTO(ap_bytes) text = { 0 };
    if (bee_instance_query(instance->connection, ap_bytes_text(&job->settings), &text))
        return APIARY_OK;
    return bee_fail_engine(&job->why, ap_bytes_text(&text));
}

/* What the engine says about its settings is told as its own words (a time zone
 * that does not exist is the user's mistake). */
static enum apiary_code engine_said(struct job *job, enum apiary_code code)
{
    if (code != APIARY_CHAMBER) return code;
    char text[sizeof job->why.err.message];
    memcpy(text, job->why.err.message, sizeof text);
    return bee_fail_engine(&job->why, text);
}

static enum apiary_code take_parser(struct job *job)
{
    struct bee_hive *hive = job->hive;
    if (hive->parser == NULL) {
        struct bee_instance *instance = NULL;
        AP_TRY(bee_stable_take(hive->stable, &job->measures, &instance, &job->why.err));
        enum apiary_code code = bee_instance_lock(instance, &job->why.err);
        if (code != APIARY_OK) {
            bee_stable_retire(hive->stable, instance);
            return code;
        }
        hive->parser = instance;
        bee_stable_refill(hive->stable); /* the statement itself follows soon */
    }
    job->instance = hive->parser;
    job->connection = job->instance->connection;
    bee_control_connection_set(hive->control, job->connection);
    return APIARY_OK;
}

static bool same_measures(const struct bee_measures *a, const struct bee_measures *b)
{
    return a->memory_bytes == b->memory_bytes && a->threads == b->threads &&
           strcmp(a->timezone, b->timezone) == 0;
}

static void drop_kept(struct bee_hive *hive, struct bee_kept *kept)
{
    if (kept->ready) duckdb_disconnect(&kept->ready);
    bee_stable_retire(hive->stable, kept->instance);
    ap_bytes_done(&kept->settings);
    bee_standing_done(&kept->standing);
    *kept = (struct bee_kept) { 0 };
}

static bool has_kept(const struct bee_hive *hive)
{
    for (size_t i = 0; i < AP_WIRE_KEPT_MAX; i++)
        if (hive->kept[i].instance != NULL) return true;
    return false;
}

static bool kept_fits(const struct bee_kept *kept, const struct job *job)
{
    return kept->instance != NULL && kept->jobs < KEPT_JOBS_MAX && kept->parts == job->of_plan &&
           same_measures(&kept->instance->work, &job->measures) &&
           ap_str_equal(ap_bytes_view(&kept->settings), ap_bytes_view(&job->settings));
}

/* The place whose instance fits, or one for a new instance: empty, or that of the one that was not used for longest. */
static struct bee_kept *find_place(struct job *job)
{
    struct bee_hive *hive = job->hive;
    struct bee_kept *oldest = &hive->kept[0];
    for (size_t i = 0; i < hive->kept_places; i++) {
        if (kept_fits(&hive->kept[i], job)) return &hive->kept[i];
        if (hive->kept[i].used < oldest->used) oldest = &hive->kept[i];
    }
    if (oldest->instance != NULL) drop_kept(hive, oldest);
    return oldest;
}

static enum apiary_code fill_place(struct job *job)
{
    struct bee_hive *hive = job->hive;
    struct bee_instance *instance = NULL;
    AP_TRY(engine_said(
        job, bee_stable_take(hive->stable, &job->measures, &instance, &job->why.err)));
    job->place->instance = instance;
    job->place->parts = job->of_plan;
    uint64_t resident = bee_resident_bytes(); /* with what closes still, perhaps */
    if (hive->resident_bytes == 0 || resident < hive->resident_bytes) hive->resident_bytes = resident;
    AP_TRY(ap_bytes_add_str(&job->place->settings, ap_bytes_view(&job->settings), &job->why.err));
    AP_TRY(apply_settings(job, instance));
    return bee_instance_keep(instance, &job->why.err);
}

static void empty_place(struct job *job)
{
    if (job->connection) {
        bee_control_connection_set(job->hive->control, NULL);
        duckdb_disconnect(&job->connection);
    }
    drop_kept(job->hive, job->place);
    job->place = NULL;
    job->instance = NULL;
}

static enum apiary_code try_kept(struct job *job)
{
    struct bee_hive *hive = job->hive;
    job->place = find_place(job);
    if (job->place->instance == NULL) {
        enum apiary_code code = fill_place(job);
        if (code != APIARY_OK) {
            empty_place(job);
            return code;
        }
    }
    job->place->jobs++;
    job->place->used = ++hive->kept_uses;
    job->instance = job->place->instance;
    if (job->place->ready) job->connection = AP_TAKE(job->place->ready);
    else AP_TRY(bee_instance_connect(job->instance, &job->connection, &job->why.err));
    bee_control_connection_set(hive->control, job->connection);
    job->resident_bytes = bee_resident_bytes();
    return APIARY_OK;
}

/* Others that idle may be what leaves no memory for one more. */
static enum apiary_code take_kept(struct job *job)
{
    struct bee_hive *hive = job->hive;
    enum apiary_code code = try_kept(job);
    if (code == APIARY_OK || job->place != NULL || !has_kept(hive)) return code;
    for (size_t i = 0; i < hive->kept_places; i++)
        if (hive->kept[i].instance != NULL) drop_kept(hive, &hive->kept[i]);
    bee_failure_init(&job->why);
    return try_kept(job);
}

enum apiary_code bee_job_let_stand(struct job *job)
{
    yyjson_val *list = ap_json_member(job->document, "standing");
    bool stuck = false;
    if (!job->kept) return APIARY_OK;
    enum apiary_code code = bee_standing_set(&job->place->standing, job->connection, list, &stuck, &job->why);
    if (!stuck || bee_control_cancelled(job->hive->control)) return code;
    empty_place(job);
    bee_failure_init(&job->why);
    AP_TRY(take_kept(job));
    return bee_standing_set(&job->place->standing, job->connection, list, &stuck, &job->why);
}

enum apiary_code bee_job_take_instance(struct job *job)
{
    if (job->shared) return take_parser(job);
    AP_TRY(read_settings(job));
    if (job->kept) return take_kept(job);
    AP_TRY(engine_said(
        job, bee_stable_take(job->hive->stable, &job->measures, &job->instance, &job->why.err)));
    job->connection = job->instance->connection;
    bee_control_connection_set(job->hive->control, job->connection);
    AP_TRY(apply_settings(job, job->instance));
    return engine_said(job, bee_instance_lock(job->instance, &job->why.err));
}

/* ---- after the job ---- */

static struct bee_kept *most_grown(struct bee_hive *hive)
{
    struct bee_kept *most = NULL;
    for (size_t i = 0; i < hive->kept_places; i++)
        if (hive->kept[i].instance != NULL && (most == NULL || hive->kept[i].grown_bytes > most->grown_bytes)) most = &hive->kept[i];
    return most;
}

/* Is the job's instance to be closed for the memory that only this gives back? Where all together hold too much, the one that grew most
 * goes. What closes or opens meanwhile blurs the figures. */
static bool has_grown(struct job *job)
{
    struct bee_hive *hive = job->hive;
    uint64_t before = job->resident_bytes, now = bee_resident_bytes(), *grown = &job->place->grown_bytes;
    uint64_t most = job->instance->work.memory_bytes / KEPT_GROWTH_PART, allowed = hive->resident_bytes;
    if (most < KEPT_GROWTH_MIN) most = KEPT_GROWTH_MIN;
    if (before == 0 || now == 0) return true;
    *grown = *grown + now > before ? *grown + now - before : 0;
    if (*grown > most) return true;
    for (size_t i = 0; i < hive->kept_places; i++) allowed += hive->kept[i].instance != NULL ? most : 0;
    if (now <= allowed) return false;
    struct bee_kept *one = most_grown(hive);
    if (one != job->place) drop_kept(hive, one);
    return one == job->place;
}

/* What the job made in the kept instance is taken back, its connection closed. false: it is not to be
 * used again, since something may be left, or memory that only closing it gives back. */
static bool clear_kept(struct job *job)
{
    if (job->connection == NULL) return false;
    bool clear = !job->in_transaction || bee_instance_query(job->connection, "ROLLBACK", NULL);
    duckdb_disconnect(&job->connection); /* waits for threads that still scan an input */
    return !has_grown(job) && clear;
}

/* A text that the engine did not understand has left nothing behind in it. */
static bool not_understood(const struct job *job)
{
    static const char *const types[] = { "parser", "binder", "catalog" };
    if (job->part != PART_QUESTION) return false;
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(job->why.type, types[i]) == 0) return true;
    return false;
}

/* The answer has been sent: nobody waits. */
static void make_ready(struct bee_kept *kept)
{
    enum apiary_code code = bee_instance_connect(kept->instance, &kept->ready, NULL);
    if (code != APIARY_OK && kept->ready) duckdb_disconnect(&kept->ready); /* the next job hears why */
}

/* Closing an instance is left to a thread of its own, so what the job brought is taken from the engine before. */
void bee_job_give_instance(struct job *job, bool failed)
{
    struct bee_hive *hive = job->hive;
    bool clear = job->kept && clear_kept(job) && (!failed || not_understood(job));
    if (!job->kept && job->connection && job->inputs) {
        job->instance->connection = NULL;
        duckdb_disconnect(&job->connection); /* as in clear_kept */
    }
    /* What the engine still knows of them leads nowhere now. This comes before the instance is closed:
     * that is done by another thread, and frees what the engine knows. */
    bee_inputs_close(job->inputs);
    if (job->place && !clear) drop_kept(hive, job->place);
    if (job->place && clear) make_ready(job->place);
    /* One instance in hand is enough: memory is scarce where budgets are small. */
    if (!clear && ((!job->shared && !job->kept) || !has_kept(hive))) bee_stable_refill(hive->stable);
    if (!job->kept && !job->shared) bee_stable_retire(hive->stable, job->instance);
}
