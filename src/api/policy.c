/* Who needs what of a root (storage-layout.md), for `apiary policy`. tests/nodes/policy.py runs each role under what
 * is printed here: every request has to be allowed, and no grant may be idle. */
#include "api/handle.h"

#include "storage/policy.h"

enum { GRANTS_MAX = 48, PARTS = 4 };

#define LOG "*/_delta_log/"

/* The catalogue, logs, cells (of any engine), deletion vectors. */
static const struct ap_grant reads[] = {
    { "_registry/*", AP_MAY_LIST | AP_MAY_READ },
    { LOG "*", AP_MAY_LIST | AP_MAY_READ },
    { "*.parquet", AP_MAY_LIST | AP_MAY_READ },
    { "*/deletion_vector_*.bin", AP_MAY_LIST | AP_MAY_READ },
};
/* Versions and cells are made once; only hints and the verdict over the bucket are written anew. A cell goes when its statement failed. */
static const struct ap_grant writes[] = {
    { "_registry/*/0000000000*.json", AP_MAY_CREATE },
    { "_registry/*/latest", AP_MAY_REPLACE },
    { "_registry/proof.json", AP_MAY_REPLACE },
    { "_registry/proof/*", AP_MAY_REPLACE | AP_MAY_DELETE },
    { LOG "0*", AP_MAY_CREATE },
    { LOG "_last_checkpoint", AP_MAY_REPLACE },
    { "*/cell_*.parquet", AP_MAY_CREATE | AP_MAY_DELETE | AP_MAY_ABORT },
};
static const struct ap_grant submits[] = {
    { "_swarm/*", AP_MAY_LIST },
    { "_swarm/bell", AP_MAY_REPLACE },
    { "_swarm/queries/*", AP_MAY_REPLACE | AP_MAY_DELETE },
    { "_queries/*", AP_MAY_LIST | AP_MAY_READ },
    { "_queries/*/0end", AP_MAY_CREATE },
    { "_queries/*/1manifest", AP_MAY_CREATE },
    { "_queries/*/p/*", AP_MAY_REPLACE },
};
/* Heartbeats. Nodes read them as *.json. */
static const struct ap_grant looks[] = {
    { "_swarm/nodes/*", AP_MAY_READ },
};
static const struct ap_grant works[] = {
    { "_swarm/nodes/*", AP_MAY_REPLACE | AP_MAY_DELETE },
    { "_swarm/bell", AP_MAY_READ },
    { "_queries/*/0out", AP_MAY_CREATE },
    { "_queries/*/c/*", AP_MAY_CREATE },
    { "_queries/*/f/*", AP_MAY_CREATE },
    { "_queries/*/r/*", AP_MAY_CREATE },
    { "_queries/*", AP_MAY_DELETE },
    /* Files of the store that a query names: ap_plan_file_key_check. Parquet is read by all. */
    { "*.csv", AP_MAY_READ },
    { "*.csv.gz", AP_MAY_READ },
    { "*.csv.zst", AP_MAY_READ },
    { "*.tsv", AP_MAY_READ },
    { "*.tsv.gz", AP_MAY_READ },
    { "*.tsv.zst", AP_MAY_READ },
    { "*.json", AP_MAY_READ },
    { "*.json.gz", AP_MAY_READ },
    { "*.json.zst", AP_MAY_READ },
    { "*.jsonl", AP_MAY_READ },
    { "*.jsonl.gz", AP_MAY_READ },
    { "*.jsonl.zst", AP_MAY_READ },
    { "*.ndjson", AP_MAY_READ },
    { "*.ndjson.gz", AP_MAY_READ },
    { "*.ndjson.zst", AP_MAY_READ },
};
/* Lists and deletes anything: a folder of a frame holds what any engine left there. */
static const struct ap_grant keeps[] = {
    { "*", AP_MAY_LIST | AP_MAY_DELETE },
    { "*/_apiary_vacuum/*.plan.json", AP_MAY_READ | AP_MAY_CREATE },
    { "*/_apiary_vacuum/*.done.json", AP_MAY_REPLACE },
    { "*/_apiary_pins/*", AP_MAY_READ | AP_MAY_CREATE },
    { "_registry/purge/*", AP_MAY_REPLACE },
};

struct part {
    const struct ap_grant *grants;
    size_t count;
};
#define PART(grants) { grants, sizeof grants / sizeof *grants }

static const struct role {
    const char *name, *purpose;
    struct part parts[PARTS];
} roles[] = {
    { "reader", "SELECT, SHOW, DESCRIBE", { PART(reads) } },
    { "writer", "reads; CREATE, INSERT, UPDATE, DELETE, ALTER, DROP, OPTIMIZE, import", { PART(reads), PART(writes) } },
    { "submitter", "reads; hands queries to the swarm, asks for results, cancels", { PART(reads), PART(submits), PART(looks) } },
    { "node", "writes and submits; works for the swarm (apiary start)", { PART(reads), PART(writes), PART(submits), PART(works) } },
    { "maintainer", "writes; VACUUM, FSCK, PIN, RESTORE", { PART(reads), PART(writes), PART(keeps) } },
};
enum { ROLES = sizeof roles / sizeof *roles };

/* Rights that a role has to all keys: they need not be named for some. */
static unsigned rights_to_all(const struct role *role)
{
    unsigned rights = 0;
    for (size_t p = 0; p < PARTS; p++)
        for (size_t i = 0; i < role->parts[p].count; i++)
            if (strcmp(role->parts[p].grants[i].keys, "*") == 0) rights |= role->parts[p].grants[i].rights;
    return rights;
}

static enum apiary_code write_role(const struct apiary *handle, const struct role *role, struct ap_bytes *out, struct apiary_error *err)
{
    struct ap_grant grants[GRANTS_MAX];
    size_t count = 0;
    unsigned to_all = rights_to_all(role);
    for (size_t p = 0; p < PARTS; p++)
        for (size_t i = 0; i < role->parts[p].count; i++) {
            struct ap_grant grant = role->parts[p].grants[i];
            ap_assert(count < GRANTS_MAX);
            if (strcmp(grant.keys, "*") != 0) grant.rights &= ~to_all;
            if (grant.rights != 0) grants[count++] = grant;
        }
    return ap_policy_write(handle->world.store->uri, role->name, grants, count, out, err);
}

static enum apiary_code find_role(const char *name, const struct role **out, struct apiary_error *err)
{
    for (size_t i = 0; i < ROLES; i++) {
        if (strcmp(roles[i].name, name) != 0) continue;
        *out = &roles[i];
        return APIARY_OK;
    }
    ap_fail(err, APIARY_INVALID, "there is no role '%.40s'", name);
    return ap_hint(err, "roles are reader, writer, submitter, node and maintainer");
}

int apiary_policy(struct apiary *handle, const char *role, char **text, struct apiary_error *err)
{
    ap_error_clear(err);
    if (handle == NULL || text == NULL) return ap_fail(err, APIARY_INVALID, "apiary_policy: an argument is NULL");
    AP_TRY(ap_world_check(&handle->world, err));
    AP_AUTO(ap_bytes) out = { 0 };
    if (role != NULL) {
        const struct role *found = NULL;
        AP_TRY(find_role(role, &found, err));
        AP_TRY(write_role(handle, found, &out, err));
    } else {
        for (size_t i = 0; i < ROLES; i++) AP_TRY(ap_bytes_printf(&out, err, "%s\t%s\n", roles[i].name, roles[i].purpose));
    }
    return ap_bytes_take_text(&out, text, err);
}
