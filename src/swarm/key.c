/* The name of a heartbeat's object. */
#include "swarm/beat.h"

#include <inttypes.h>
#include <stdio.h>

static bool label_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '=';
}

void ap_node_label(const char *name, char out[AP_NODE_LABEL_MAX + 1])
{
    size_t size = 0;
    for (; name[size] != '\0' && size < AP_NODE_LABEL_MAX; size++) out[size] = label_byte(name[size]) ? name[size] : '-';
    if (size == 0) out[size++] = '-';
    out[size] = '\0';
}

void ap_node_key_format(const struct ap_node_key *key, char out[AP_NODE_KEY_MAX])
{
    snprintf(out, AP_NODE_KEY_MAX, AP_SWARM_NODES "%s.%s.b%" PRIu32 "m%" PRIu64 "h%" PRId64 "v%" PRIu32 ".json", key->label,
        key->boot.text, key->caps.bees, key->caps.memory_per_bee_mb, key->caps.interval_ms, key->caps.protocol);
}

/* The part of *text before the next dot; false at the end. */
static bool next_part(struct ap_str *text, struct ap_str *part)
{
    const char *dot = memchr(text->data, '.', text->size);
    if (dot == NULL) return false;
    *part = (struct ap_str) { text->data, (size_t)(dot - text->data) };
    text->size -= part->size + 1;
    text->data = dot + 1;
    return true;
}

/* `letter` and digits at the start of *text. */
static bool next_number(struct ap_str *text, char letter, uint64_t most, uint64_t *out)
{
    if (text->size < 2 || text->data[0] != letter) return false;
    size_t end = 1;
    while (end < text->size && text->data[end] >= '0' && text->data[end] <= '9') end++;
    if (!ap_str_to_u64((struct ap_str) { text->data + 1, end - 1 }, out) || *out > most) return false;
    text->data += end;
    text->size -= end;
    return true;
}

static bool parse_caps(struct ap_str text, struct ap_caps *out)
{
    enum { BEES_MAX = 1 << 20, INTERVAL_MAX_MS = 24 * 3600 * 1000 };
    uint64_t bees = 0, memory = 0, interval = 0, protocol = 0;
    if (!next_number(&text, 'b', BEES_MAX, &bees) || !next_number(&text, 'm', UINT32_MAX, &memory)
        || !next_number(&text, 'h', INTERVAL_MAX_MS, &interval) || !next_number(&text, 'v', UINT32_MAX, &protocol))
        return false;
    /* A later protocol may have more letters behind these. */
    if (interval == 0 || (text.size > 0 && protocol <= AP_SWARM_PROTOCOL)) return false;
    *out = (struct ap_caps) { (uint32_t)bees, memory, (int64_t)interval, (uint32_t)protocol };
    return true;
}

bool ap_node_key_parse(struct ap_str text, struct ap_node_key *out)
{
    struct ap_str label, boot, caps;
    struct ap_node_key key = { 0 };
    if (!ap_str_starts_with(text, AP_STR(AP_SWARM_NODES))) return false;
    text.data += sizeof AP_SWARM_NODES - 1;
    text.size -= sizeof AP_SWARM_NODES - 1;
    if (!next_part(&text, &label) || !next_part(&text, &boot) || !next_part(&text, &caps) || !ap_str_is(text, "json")) return false;
    if (label.size == 0 || label.size > AP_NODE_LABEL_MAX || !ap_id_valid(boot) || !parse_caps(caps, &key.caps)) return false;
    for (size_t i = 0; i < label.size; i++)
        if (!label_byte(label.data[i])) return false;
    memcpy(key.label, label.data, label.size);
    memcpy(key.boot.text, boot.data, boot.size);
    *out = key;
    return true;
}
