/* What sessions share: the pool is made when the first statement needs a chamber. */
#include "query/query.h"

enum apiary_code ap_world_pool(
    struct ap_world *world, struct ap_pool **out, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    ap_lock(world->env, world->lock);
    if (world->pool == NULL)
        code = ap_pool_open(world->env, world->pool_options, &world->pool, err);
    *out = world->pool;
    ap_unlock(world->env, world->lock);
    return code;
}

static enum apiary_code admit(struct ap_session *session, enum ap_admit kind, struct apiary_error *err)
{
    struct ap_world *world = session->world;
    ap_lock(world->env, world->lock);
    struct ap_pool *pool = world->pool;
    ap_unlock(world->env, world->lock);
    return pool == NULL ? APIARY_OK : ap_pool_admit(pool, kind, &session->cancel, err);
}

enum apiary_code ap_session_admit_query(struct ap_session *session, struct apiary_error *err)
{
    return admit(session, AP_ADMIT_QUERY, err);
}

enum apiary_code ap_session_admit_write(
    struct ap_session *session, const char *backpressure, struct apiary_error *err)
{
    static const struct {
        const char *word;
        enum ap_admit kind;
    } modes[] = { { "block", AP_ADMIT_WRITE_BLOCK }, { "error", AP_ADMIT_WRITE_ERROR },
        { "ignore", AP_ADMIT_WRITE_IGNORE } };
    if (backpressure == NULL) backpressure = ap_config_text(&session->config, AP_CONFIG_backpressure);
    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        if (strcmp(backpressure, modes[i].word) == 0) return admit(session, modes[i].kind, err);
    return ap_fail(err, APIARY_INVALID, "backpressure is '%s', it must be block, error or ignore", backpressure);
}
