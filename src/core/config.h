/* Settings: default < apiary.toml (system, user, current directory) <
 * environment APIARY_KEY < arguments. An unknown key is an error that names the
 * nearest known one. `./apiary.toml` may set display and query settings only. */
#ifndef AP_CORE_CONFIG_H
#define AP_CORE_CONFIG_H

#include "core/str.h"

#include "apiary.h"

/* key, kind, default text ("" = computed at open), may stand in ./apiary.toml, meaning */
#define AP_CONFIG_KEYS(X)                                                                          \
    X(storage, TEXT, "", 0, "storage root: a directory or a URI")                                  \
    X(bees, COUNT, "", 0, "bees of this machine; default one per usable core")                     \
    X(memory_limit, MEMORY, "75%", 0, "for all bees together: a size, or % of usable memory")      \
    X(target_cell_size, SIZE, "", 1, "bytes of a cell; default memory per bee / 4")                \
    X(scratch_dir, TEXT, "", 0, "where chambers spill; default the user's runtime or temp folder") \
    X(scratch_limit, SIZE, "", 0, "cap of one chamber's scratch; default half of the free disk")   \
    X(cache_dir, TEXT, "", 0, "where remote cells are cached")                                     \
    X(cache_limit, SIZE, "", 0, "cap of the cell cache; default 10% of free disk, at most 50GiB")  \
    X(read_gap, SIZE, "16KiB", 1, "what lies so far apart in a remote cell is one request: fewer of them, more bytes") \
    X(heartbeat, DURATION, "5s", 0, "interval of the node's heartbeat")                            \
    X(swarm_secret_file, TEXT, "", 0, "file with the secret by which the nodes of a swarm sign what they write")  \
    X(task_tries, COUNT, "3", 1, "tries before a task is abandoned")                               \
    X(query_timeout, DURATION, "60s", 1, "a query without progress for so long is ended")          \
    X(result_timeout, DURATION, "5m", 1, "a result that nobody reads for so long is ended")        \
    X(distributed, WORD, "auto", 1, "auto, off or force")                                          \
    X(checkpoint_interval, COUNT, "100", 1, "versions between checkpoints")                        \
    X(maintenance, WORD, "cold", 0, "a node that has joined tends frames: off, while it is cold, or always") \
    X(maintenance_interval, DURATION, "60s", 0, "between two rounds of maintenance") \
    X(vacuum_wait, DURATION, "60s", 1, "between vacuum's plan and deletion: the longest read of a version that is not kept") \
    X(vacuum_retention_check, BOOL, "on", 1, "vacuum refuses to keep removed cells for less than the frame says") \
    X(max_partitions, COUNT, "10000", 1, "partitions of one frame")                                \
    X(backpressure, WORD, "block", 1, "block, error or ignore")                                    \
    X(storage_prices, TEXT, "", 0, "dollars: put=5 get=0.4 list=5 delete=0 (a million), gb_out=0")  \
    X(fsync, BOOL, "on", 0, "local stores wait for the disk")                                      \
    X(local_files, BOOL, "on", 0, "statements may read and write files of this machine")           \
    X(require_seal, BOOL, "off", 0, "refuse chambers that are not fully sealed")                   \
    X(timezone, TEXT, "UTC", 1, "time zone of statements; 'local' takes the host's")               \
    X(log, WORD, "warning", 0, "error, warning, info, debug or off")                               \
    X(log_format, WORD, "text", 0, "text or json")                                                 \
    X(history, WORD, "shape", 0, "query history: off, shape (no literals) or full")

enum ap_config_key {
#define AP_CONFIG_MEMBER(key, kind, fallback, local_file, text) AP_CONFIG_##key,
    AP_CONFIG_KEYS(AP_CONFIG_MEMBER)
#undef AP_CONFIG_MEMBER
    AP_CONFIG_COUNT
};

struct ap_config {
    char *value[AP_CONFIG_COUNT];  /* owned; never NULL after load */
    char *origin[AP_CONFIG_COUNT]; /* "default", "file /path:3", "environment", "argument" */
};

/* A file that is not there sets nothing; "" instead of a path reads none. Variables that
 * are empty set nothing; APIARY_BEE, APIARY_TEST_… and the like are no settings. */
struct ap_config_sources {
    const char *const *environment; /* "KEY=value" list ended by NULL, or NULL: none is read */
    const char *system_file;        /* NULL: /etc/apiary/apiary.toml */
    const char *user_file;          /* NULL: $XDG_CONFIG_HOME/apiary/apiary.toml */
    const char *directory_file;     /* NULL: ./apiary.toml */
    const struct apiary_setting *arguments;
    size_t argument_count;
};

void ap_config_done(struct ap_config *config);
AP_CHECKED enum apiary_code ap_config_load(struct ap_config *config, const struct ap_config_sources *sources,
    struct apiary_error *err);
/* Sets one key after loading (SET statement). CONFIG for unknown key or bad value. */
AP_CHECKED enum apiary_code ap_config_set(struct ap_config *config, struct ap_str key, struct ap_str value,
    const char *origin, struct apiary_error *err);
AP_CHECKED enum apiary_code ap_config_copy(struct ap_config *to, const struct ap_config *from, struct apiary_error *err);
bool ap_config_find(struct ap_str key, enum ap_config_key *out); /* any case */
const char *ap_config_name(enum ap_config_key key);
const char *ap_config_text(const struct ap_config *config, enum ap_config_key key);
/* Values were checked at load; these cannot fail. "" gives the fallback; a percentage is
 * that share of the fallback (for memory_limit: give the machine's usable memory). */
uint64_t ap_config_size(const struct ap_config *config, enum ap_config_key key, uint64_t fallback);
int64_t ap_config_count(const struct ap_config *config, enum ap_config_key key, int64_t fallback);
int64_t ap_config_us(const struct ap_config *config, enum ap_config_key key);
bool ap_config_bool(const struct ap_config *config, enum ap_config_key key);
/* [{"key","value","origin","meaning"}] */
AP_CHECKED enum apiary_code ap_config_json(const struct ap_config *config, struct ap_bytes *out, struct apiary_error *err);

#endif
