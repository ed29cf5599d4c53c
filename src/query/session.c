/* A session: one user's current hive and box, settings, and what is replayed into every
 * engine instance that serves it. */
#include "query/temporary.h"

#include "core/alloc.h"

#include <unistd.h>

enum apiary_code ap_session_open(
    struct ap_world *world, struct ap_session **out, struct apiary_error *err)
{
    struct ap_session *session = ap_calloc(1, sizeof *session);
    if (session == NULL) return ap_fail_memory(err, "a session");
    session->world = world;
    enum apiary_code code = ap_config_copy(&session->config, world->config, err);
    if (code == APIARY_OK) code = ap_cancel_init(&session->cancel, err);
    if (code != APIARY_OK) {
        ap_config_done(&session->config);
        ap_free(session);
        return code;
    }
    session->begun_us = ap_mono_us(world->env);
    snprintf(session->hive, sizeof session->hive, "main");
    snprintf(session->box, sizeof session->box, "main");
    *out = session;
    return APIARY_OK;
}

void ap_session_close(struct ap_session *session)
{
    if (session == NULL) return;
    if (session->open_result != NULL) ap_result_detach(session->open_result);
    ap_temporary_done(session);
    for (size_t i = 0; i < session->replay_count; i++) {
        ap_free(session->replays[i].name);
        ap_free(session->replays[i].sql);
    }
    ap_free(session->replays);
    ap_texts_done(&session->settings);
    ap_bytes_done(&session->notices);
    ap_cancel_done(&session->cancel);
    ap_config_done(&session->config);
    ap_free(session);
}

void ap_session_begin(struct ap_session *session)
{
    if (session->open_result != NULL) ap_result_detach(session->open_result);
    ap_cancel_reset(&session->cancel);
    ap_session_begin_statement(session);
}

void ap_session_begin_statement(struct ap_session *session)
{
    ap_bytes_clear(&session->notices);
    session->begun_us = ap_mono_us(session->world->env);
}

void ap_session_notice(struct ap_session *session, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    /* A notice that does not fit into memory is lost; the statement is not. */
    if (session->notices.size > 0 && ap_bytes_add(&session->notices, "\n", 1, NULL) != APIARY_OK)
        return;
    if (ap_bytes_add_text(&session->notices, line, NULL) != APIARY_OK) return;
}

enum apiary_code ap_session_replay(struct ap_session *session, int kind, struct ap_str name,
    struct ap_str sql, struct apiary_error *err)
{
    AP_AUTO_FREE char *copy = ap_str_dup(sql);
    AP_AUTO_FREE char *key = ap_str_dup(name);
    if (copy == NULL || key == NULL) return ap_fail_memory(err, "the session's state");
    for (char *at = key; *at != '\0'; at++)
        if (*at >= 'A' && *at <= 'Z') *at = (char)(*at - 'A' + 'a');

    ap_session_forget(session, kind, name);
    if (session->replay_count >= AP_SESSION_REPLAYS_MAX)
        return ap_fail(err, APIARY_LIMIT,
            "a session keeps at most %d temporary objects and variables", AP_SESSION_REPLAYS_MAX);
    AP_TRY(AP_GROW(session->replays, session->replay_capacity, session->replay_count + 1, err));
    session->replays[session->replay_count++] =
        (struct ap_replay) { AP_TAKE(key), AP_TAKE(copy), kind };
    return APIARY_OK;
}

bool ap_session_forget(struct ap_session *session, int kind, struct ap_str name)
{
    for (size_t i = 0; i < session->replay_count; i++) {
        struct ap_replay *replay = &session->replays[i];
        if (replay->kind != kind || !ap_str_equal_nocase(ap_str_from(replay->name), name)) continue;
        ap_free(replay->name);
        ap_free(replay->sql);
        memmove(replay, replay + 1, (session->replay_count - i - 1) * sizeof *replay);
        session->replay_count--;
        return true;
    }
    return false;
}

const char *ap_session_replayed(const struct ap_session *session, int kind, struct ap_str name)
{
    for (size_t i = 0; i < session->replay_count; i++) {
        const struct ap_replay *replay = &session->replays[i];
        if (replay->kind == kind && ap_str_equal_nocase(ap_str_from(replay->name), name))
            return replay->sql;
    }
    return NULL;
}

enum apiary_code ap_world_check(const struct ap_world *world, struct apiary_error *err)
{
    if (world->owner_pid != getpid())
        return ap_fail(err, APIARY_INVALID,
            "this handle was opened before fork() and cannot be used in the child process");
    return APIARY_OK;
}
