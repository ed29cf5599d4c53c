#include "contract/contract.h"

#include "storage/local_private.h"

#include "s3_server.h"

/* ---- memory ---- */

static bool memory_make(struct contract *contract)
{
    struct apiary_error err;
    snprintf(contract->uri, sizeof contract->uri, "memory://contract");
    assert_ok(ap_store_open(ap_env_system(), contract->uri, NULL, &contract->store, &err));
    return true;
}

static struct ap_store *memory_again(struct contract *contract)
{
    return contract->store;
}

static void memory_close(struct contract *contract, struct ap_store *store)
{
    (void)contract, (void)store;
}

static void memory_destroy(struct contract *contract)
{
    ap_store_close(contract->store);
}

static const struct contract_backend memory = { "memory", memory_make, memory_again, memory_close,
    memory_destroy, .between_processes = false, .race_rounds = 300 };

/* ---- local, in the ways in which it can work ---- */

static struct ap_store *local_open(struct contract *contract, bool fsync_on)
{
    struct apiary_error err;
    struct ap_store *store = NULL;
    struct ap_store_options options = { .fsync = fsync_on };
    assert_ok(ap_store_open(ap_env_system(), contract->uri, &options, &store, &err));
    return store;
}

static void local_close(struct contract *contract, struct ap_store *store)
{
    (void)contract;
    ap_store_close(store);
}

static void local_destroy(struct contract *contract)
{
    ap_store_close(contract->store);
    ap_test_folder_remove(contract->folder);
}

static bool local_make_at(struct contract *contract)
{
    ap_test_folder(contract->folder);
    snprintf(contract->uri, sizeof contract->uri, "%.400s/new/root", contract->folder);
    contract->store = contract->backend->again(contract);
    return true;
}

static struct ap_store *local_again(struct contract *contract)
{
    return local_open(contract, true);
}

static struct ap_store *local_fast_again(struct contract *contract)
{
    return local_open(contract, false);
}

static struct ap_store *local_walking_again(struct contract *contract)
{
    struct ap_store *store = local_open(contract, false);
    ap_local_of(store)->no_openat2 = true;
    return store;
}

static struct ap_store *local_renaming_again(struct contract *contract)
{
    struct ap_store *store = local_open(contract, false);
    ap_local_of(store)->no_links = true;
    return store;
}

static const struct contract_backend local = { "local", local_make_at, local_again, local_close,
    local_destroy, .between_processes = true, .race_rounds = 20 };
static const struct contract_backend local_fast = { "local without fsync", local_make_at,
    local_fast_again, local_close, local_destroy, .between_processes = true, .race_rounds = 200 };
static const struct contract_backend local_walking = { "local without openat2", local_make_at,
    local_walking_again, local_close, local_destroy, .between_processes = true, .race_rounds = 20 };
static const struct contract_backend local_renaming = { "local without links", local_make_at,
    local_renaming_again, local_close, local_destroy, .between_processes = true,
    .race_rounds = 200 };

/* ---- S3: a server of our own (s3_server.py) ---- */

static struct ap_store *remote_again(struct contract *contract)
{
    return local_open(contract, true);
}

static bool remote_open(struct contract *contract)
{
    contract->store = remote_again(contract);
    return true;
}

static void remote_destroy(struct contract *contract)
{
    ap_store_close(contract->store);
}

static bool s3_make(struct contract *contract)
{
    static int cases;
    int port = s3_server_start();
    if (!port) return false;
    setenv("AWS_ACCESS_KEY_ID", "test", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    snprintf(contract->uri, sizeof contract->uri,
        "s3://contract/case-%d?endpoint=http://127.0.0.1:%d", cases++, port);
    return remote_open(contract);
}

static const struct contract_backend s3 = { "s3", s3_make, remote_again, local_close,
    remote_destroy, .paths_may_clash = true, .between_processes = true, .race_rounds = 5 };

/* ---- servers that others wrote, where the environment names them (tools/check-stores) ---- */

static const char *given(const char *server, const char *what)
{
    char name[80];
    snprintf(name, sizeof name, "APIARY_TEST_%s_%s", server, what);
    const char *value = getenv(name);
    return value && *value ? value : NULL;
}

static int next_case(void)
{
    static int cases;
    return cases++;
}

static bool s3_kin_make(struct contract *contract, const char *server)
{
    if (!given(server, "ENDPOINT")) return false;
    setenv("AWS_ACCESS_KEY_ID", given(server, "ACCESS_KEY_ID"), 1);
    setenv("AWS_SECRET_ACCESS_KEY", given(server, "SECRET_ACCESS_KEY"), 1);
    snprintf(contract->uri, sizeof contract->uri, "s3://%.63s/%d-%d?endpoint=%.100s&region=%.40s",
        given(server, "BUCKET"), (int)getpid(), next_case(), given(server, "ENDPOINT"),
        given(server, "REGION"));
    return remote_open(contract);
}

static bool versitygw_make(struct contract *contract)
{
    return s3_kin_make(contract, "S3");
}

static bool moto_make(struct contract *contract)
{
    return s3_kin_make(contract, "MOTO");
}

static bool minio_make(struct contract *contract)
{
    return s3_kin_make(contract, "MINIO");
}

static bool gcs_make(struct contract *contract)
{
    if (!given("GCS", "ENDPOINT")) return false;
    snprintf(contract->uri, sizeof contract->uri, "gs://%.63s/%d-%d?endpoint=%.100s",
        given("GCS", "BUCKET"), (int)getpid(), next_case(), given("GCS", "ENDPOINT"));
    return remote_open(contract);
}

static bool azure_make(struct contract *contract)
{
    if (!given("AZURE", "ENDPOINT")) return false;
    setenv("AZURE_STORAGE_KEY", given("AZURE", "KEY"), 1);
    snprintf(contract->uri, sizeof contract->uri, "az://%.63s/%d-%d?account=%.40s&endpoint=%.100s",
        given("AZURE", "CONTAINER"), (int)getpid(), next_case(), given("AZURE", "ACCOUNT"),
        given("AZURE", "ENDPOINT"));
    return remote_open(contract);
}

static const struct contract_backend versitygw = { "versitygw", versitygw_make, remote_again,
    local_close, remote_destroy, .between_processes = true, .race_rounds = 5,
    .folders_race = true };
/* moto asks whether there is such a key, and then puts (S3Response.put_object): two of 16 won once. `doctor --race` is for such. */
static const struct contract_backend moto = { "moto", moto_make, remote_again, local_close,
    remote_destroy, .paths_may_clash = true, .looks_then_writes = true, .between_processes = true, .race_rounds = 5 };
static const struct contract_backend minio = { "minio", minio_make, remote_again, local_close,
    remote_destroy, .paths_may_clash = true, .clashes_are_lost = true, .deep_starts_lose = true,
    .between_processes = true, .race_rounds = 5, .folders_race = true };
static const struct contract_backend gcs = { "fake-gcs-server", gcs_make, remote_again, local_close,
    remote_destroy, .paths_may_clash = true, .between_processes = true, .race_rounds = 5 };
static const struct contract_backend azure = { "azurite", azure_make, remote_again, local_close,
    remote_destroy, .paths_may_clash = true, .between_processes = true, .race_rounds = 5 };

const struct contract_backend *const contract_backends[] = { &memory, &local, &local_fast,
    &local_walking, &local_renaming, &s3, &versitygw, &moto, &minio, &gcs, &azure, NULL };
