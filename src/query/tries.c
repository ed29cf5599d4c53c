#include "query/tries.h"

#include "core/time.h"

enum { BACKOFF_FIRST_US = 100 * 1000, BACKOFF_MOST_US = 5 * 1000 * 1000, HISTORY_WORDS_MAX = 400 };

void ap_tries_begin(struct ap_tries *tries, struct ap_source *source, int width)
{
    const struct ap_config *config = &source->session->config;
    *tries = (struct ap_tries) {
        .source = source,
        .max = (int)ap_config_count(config, AP_CONFIG_task_tries, 3),
        .width = width,
        .timeout_us = ap_config_us(config, AP_CONFIG_query_timeout),
        .begin_us = ap_mono_us(source->session->world->env),
    };
}

void ap_tries_done(struct ap_tries *tries)
{
    ap_bytes_done(&tries->history);
}

/* Without memory the history is shorter than it was. */
static void note(struct ap_tries *tries, const struct apiary_error *err, int64_t now_us)
{
    const struct ap_chamber *chamber = tries->source->chamber;
    const char *words = err->message;
    char with[96] = "";
    if (chamber != NULL) {
        char budget[32];
        ap_size_format(ap_chamber_budget(chamber), budget);
        int width = ap_chamber_width(chamber);
        snprintf(with, sizeof with, " with %d bee%s and %s", width, width == 1 ? "" : "s", budget);
    }
    if (ap_bytes_printf(&tries->history, NULL, "%stry %d%s, %.1f s: %.*s", tries->history.size > 0 ? "; " : "",
            tries->made, with, (double)(now_us - tries->begin_us) / AP_US_PER_SECOND, HISTORY_WORDS_MAX,
            words) != APIARY_OK)
        return;
}

static bool worth_it(struct ap_tries *tries, enum apiary_code code)
{
    const struct ap_chamber *chamber = tries->source->chamber;
    struct ap_pool *pool = tries->source->session->world->pool;
    switch (code) {
        case APIARY_MEMORY: {
            if (tries->widened || chamber == NULL || pool == NULL) return false;
            int most = ap_pool_bees(pool);
            bool whole = ap_chamber_width(chamber) >= most &&
                         ap_chamber_budget(chamber) >= ap_pool_budget_of(pool, most);
            tries->width = most;
            return tries->widened = !whole;
        }
        case APIARY_TIMEOUT: tries->timeout_us *= 2; return true;
        case APIARY_IO:
        case APIARY_CHAMBER: return true;
        default: return false;
    }
}

static const char *suggestion(enum apiary_code code)
{
    switch (code) {
        case APIARY_MEMORY: return "raise memory_limit, or have the statement read less at a time";
        case APIARY_TIMEOUT: return "raise query_timeout, or have the statement read less at a time";
        case APIARY_IO: return "look whether the storage can be reached, then run the statement again";
        default: return "run the statement alone; if its chamber dies again, report it with its text";
    }
}

void ap_tries_frugally(struct ap_tries *tries, const char *reason)
{
    struct ap_source *source = tries->source;
    ap_assert(tries->frame != NULL);
    ap_log_event(source->session->world->log, AP_LOG_INFO, "query", "writing_frugally", "frame=%s in_pieces=%s reason=%s",
        tries->frame, tries->in_pieces ? "true" : "false", reason);
    source->frugal = true;
}

/* Not a try of its own: whoever has one only may be frugal too. */
static bool turn_frugal(struct ap_tries *tries, enum apiary_code code, struct apiary_error *err)
{
    struct ap_source *source = tries->source;
    if (code != APIARY_MEMORY || tries->frame == NULL || source->frugal || source->input_count > 0) return false;
    ap_source_rest(source);
    ap_tries_frugally(tries, err->message);
    ap_error_clear(err);
    return true;
}

bool ap_tries_again(struct ap_tries *tries, enum apiary_code *code, struct apiary_error *err)
{
    struct ap_session *session = tries->source->session;
    struct ap_world *world = session->world;
    int64_t now = ap_mono_us(world->env);
    if (turn_frugal(tries, *code, err)) return true;
    tries->made++;
    bool again = tries->source->input_count == 0 && worth_it(tries, *code) && tries->made < tries->max &&
                 !ap_cancel_requested(&session->cancel);
    if (!again && tries->made == 1) return false;
    note(tries, err, now);
    if (again) {
        ap_log_event(world->log, AP_LOG_INFO, "query", "try_failed", "try=%d code=%s error=%s", tries->made,
            ap_code_name((int)*code), err->message);
        ap_source_rest(tries->source);
        if (*code == APIARY_IO)
            ap_backoff(world->env, tries->made, BACKOFF_FIRST_US, BACKOFF_MOST_US);
        tries->begin_us = ap_mono_us(world->env);
        ap_error_clear(err);
        return true;
    }
    if (*code == APIARY_CANCELLED) return false;
    __atomic_fetch_add(&world->abandoned, 1, __ATOMIC_RELAXED);
    enum apiary_code last = *code;
    *code = ap_fail(err, APIARY_ABANDONED, "given up after %d tries: " AP_FMT, tries->made,
        AP_ARG(ap_bytes_view(&tries->history)));
    ap_hint(err, "%s", suggestion(last));
    return false;
}
