/* Names of a query and of its objects.
 *
 *   {qid}                            12 hex digits: creation in ms by the store's clock; '-'; 20 random ones
 *   _swarm/queries/{qid}             announcement
 *   _queries/{qid}/0end              the decision
 *   _queries/{qid}/0out              the outcome of a commit
 *   _queries/{qid}/1manifest
 *   _queries/{qid}/c/{task}.{k}      claim number k = 1, 2, 3 …
 *   _queries/{qid}/f/{task}.{k}      failure report of the holder of claim k (0: the assignment)
 *   _queries/{qid}/p/{random}        payload too large to lie inline
 *   _queries/{qid}/r/{task}[_{task}…] results of one or several tasks
 *
 * Tasks are five digits. */
#ifndef AP_SWARM_QUERY_KEY_H
#define AP_SWARM_QUERY_KEY_H

#include "core/env.h"
#include "core/str.h"

#define AP_QUERIES "_queries/"
enum { AP_QUERY_ID_SIZE = 33, AP_QUERY_TASKS_MAX = 100000, AP_QUERY_CLAIMS_MAX = 16, AP_QUERY_BATCH_MAX = 64 };

struct ap_query_id {
    char text[AP_QUERY_ID_SIZE + 1];
};
void ap_query_id_new(struct ap_env *env, int64_t store_now_us, struct ap_query_id *out);
bool ap_query_id_valid(struct ap_str text);
/* Creation, microseconds by the store's clock. The id is valid. */
int64_t ap_query_id_time(const char *id);

struct ap_query_key {
    char text[1024];
};
/* "0end", "0out", "1manifest"; NULL: the prefix with its slash. */
struct ap_query_key ap_query_key(const char *id, const char *name);
struct ap_query_key ap_query_key_of(const char *id, char kind, size_t task, int number);
struct ap_query_key ap_query_key_results(const char *id, const size_t *tasks, size_t count);
struct ap_query_key ap_query_key_announcement(const char *id);

enum ap_query_part { AP_PART_OTHER, AP_PART_END, AP_PART_OUT, AP_PART_MANIFEST, AP_PART_CLAIM, AP_PART_FAILURE, AP_PART_PAYLOAD, AP_PART_RESULT };
/* What an object below a query's prefix is. CLAIM and FAILURE: one task and the number; RESULT: at
 * least one task. OTHER: a name that is not ours. */
struct ap_query_name {
    enum ap_query_part part;
    size_t tasks[AP_QUERY_BATCH_MAX];
    size_t count;
    int number;
};
void ap_query_name_parse(struct ap_str below_prefix, struct ap_query_name *out);

#endif
