#include "swarm/query_key.h"

#include "core/codec.h"

#include <stdio.h>

enum { TIME_DIGITS = 12, RANDOM_BYTES = 10, TASK_DIGITS = 5 };

void ap_query_id_new(struct ap_env *env, int64_t store_now_us, struct ap_query_id *out)
{
    unsigned char random[RANDOM_BYTES];
    ap_random(env, random, sizeof random);
    uint64_t ms = store_now_us > 0 ? (uint64_t)store_now_us / 1000 : 0;
    snprintf(out->text, sizeof out->text, "%012llx-", (unsigned long long)(ms & UINT64_C(0xFFFFFFFFFFFF)));
    ap_hex(random, sizeof random, out->text + TIME_DIGITS + 1);
}

static bool hex_digit(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

bool ap_query_id_valid(struct ap_str text)
{
    if (text.size != AP_QUERY_ID_SIZE) return false;
    for (size_t i = 0; i < text.size; i++)
        if (i == TIME_DIGITS ? text.data[i] != '-' : !hex_digit(text.data[i])) return false;
    return true;
}

int64_t ap_query_id_time(const char *id)
{
    int64_t ms = 0;
    for (size_t i = 0; i < TIME_DIGITS; i++) ms = ms * 16 + (id[i] <= '9' ? id[i] - '0' : id[i] - 'a' + 10);
    return ms * 1000;
}

struct ap_query_key ap_query_key(const char *id, const char *name)
{
    struct ap_query_key key;
    snprintf(key.text, sizeof key.text, AP_QUERIES "%s/%s", id, name != NULL ? name : "");
    return key;
}

struct ap_query_key ap_query_key_of(const char *id, char kind, size_t task, int number)
{
    struct ap_query_key key;
    snprintf(key.text, sizeof key.text, AP_QUERIES "%s/%c/%05zu.%d", id, kind, task, number);
    return key;
}

struct ap_query_key ap_query_key_results(const char *id, const size_t *tasks, size_t count)
{
    struct ap_query_key key;
    size_t used = (size_t)snprintf(key.text, sizeof key.text, AP_QUERIES "%s/r", id);
    for (size_t i = 0; i < count && i < AP_QUERY_BATCH_MAX; i++)
        used += (size_t)snprintf(key.text + used, sizeof key.text - used, "%c%05zu", i == 0 ? '/' : '_', tasks[i]);
    return key;
}

struct ap_query_key ap_query_key_announcement(const char *id)
{
    struct ap_query_key key;
    snprintf(key.text, sizeof key.text, "_swarm/queries/%s", id);
    return key;
}

static bool take_task(struct ap_str *text, size_t *task)
{
    uint64_t value = 0;
    if (text->size < TASK_DIGITS || !ap_str_to_u64((struct ap_str) { text->data, TASK_DIGITS }, &value) || value >= AP_QUERY_TASKS_MAX)
        return false;
    *task = (size_t)value;
    text->data += TASK_DIGITS;
    text->size -= TASK_DIGITS;
    return true;
}

static bool parse_numbered(struct ap_str text, int least, struct ap_query_name *out)
{
    uint64_t number = 0;
    if (!take_task(&text, &out->tasks[0]) || text.size < 2 || text.data[0] != '.') return false;
    if (!ap_str_to_u64((struct ap_str) { text.data + 1, text.size - 1 }, &number) || text.data[1] == '+') return false;
    if (number < (uint64_t)least || number > AP_QUERY_CLAIMS_MAX) return false;
    out->count = 1;
    out->number = (int)number;
    return true;
}

static bool parse_results(struct ap_str text, struct ap_query_name *out)
{
    while (out->count < AP_QUERY_BATCH_MAX) {
        if (!take_task(&text, &out->tasks[out->count])) return false;
        out->count++;
        if (text.size == 0) return true;
        if (text.data[0] != '_') return false;
        text.data++;
        text.size--;
    }
    return false;
}

void ap_query_name_parse(struct ap_str name, struct ap_query_name *out)
{
    *out = (struct ap_query_name) { .part = AP_PART_OTHER };
    if (ap_str_is(name, "0end")) out->part = AP_PART_END;
    if (ap_str_is(name, "0out")) out->part = AP_PART_OUT;
    if (ap_str_is(name, "1manifest")) out->part = AP_PART_MANIFEST;
    if (out->part != AP_PART_OTHER || name.size < 3 || name.data[1] != '/') return;
    struct ap_str rest = { name.data + 2, name.size - 2 };
    if (name.data[0] == 'c' && parse_numbered(rest, 1, out)) out->part = AP_PART_CLAIM;
    if (name.data[0] == 'f' && parse_numbered(rest, 0, out)) out->part = AP_PART_FAILURE;
    if (name.data[0] == 'r' && parse_results(rest, out)) out->part = AP_PART_RESULT;
    if (name.data[0] == 'p') out->part = AP_PART_PAYLOAD;
}
