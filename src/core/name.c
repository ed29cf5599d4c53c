#include "core/name.h"

/* Longer words are not compared: the table below would not fit, and nobody means them. */
enum { NEAREST_WORD_MAX = 128 };

static const char *const reserved_hives[] = { "temp", "system", "memory", "apiary" };
static const char *const reserved_boxes[] = { "information_schema", "pg_catalog" };

const char *ap_name_kind_text(enum ap_name_kind kind)
{
    switch (kind) {
        case AP_NAME_HIVE: return "hive";
        case AP_NAME_BOX: return "box";
        case AP_NAME_FRAME: return "frame";
    }
    return "name";
}

static bool is_name_char(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-';
}

static bool is_listed(const char *const *list, size_t count, struct ap_str name)
{
    for (size_t i = 0; i < count; i++)
        if (ap_str_equal_nocase(name, ap_str_from(list[i]))) return true;
    return false;
}

static bool is_reserved(enum ap_name_kind kind, struct ap_str name)
{
    if (kind == AP_NAME_HIVE)
        return is_listed(reserved_hives, sizeof reserved_hives / sizeof *reserved_hives, name);
    if (kind == AP_NAME_BOX)
        return is_listed(reserved_boxes, sizeof reserved_boxes / sizeof *reserved_boxes, name);
    return false;
}

static enum apiary_code fail_character(
    const char *kind, struct ap_str name, size_t at, struct apiary_error *err)
{
    unsigned char c = (unsigned char)name.data[at];
    char shown[16];
    if (c > ' ' && c < 0x7F) {
        memcpy(shown, (char[]) { '\'', (char)c, '\'', 0 }, 4);
    } else {
        static const char digits[] = "0123456789ABCDEF";
        memcpy(shown,
            (char[]) { 'b', 'y', 't', 'e', ' ', '0', 'x', digits[c >> 4], digits[c & 15], 0 }, 10);
    }
    ap_fail(err, APIARY_INVALID, "%s name '" AP_FMT "' has %s at position %zu", kind, AP_ARG(name),
        c == ' ' ? "a space" : shown, at + 1);
    return APIARY_INVALID;
}

enum apiary_code ap_name_check(enum ap_name_kind kind, struct ap_str name, struct apiary_error *err)
{
    static const char rule[] =
        "names are 1 to 128 of the characters A-Z a-z 0-9 _ and, not at the beginning, -";
    const char *what = ap_name_kind_text(kind);
    if (name.size == 0) {
        ap_fail(err, APIARY_INVALID, "the %s name is empty", what);
    } else if (name.size > AP_NAME_MAX) {
        ap_fail(err, APIARY_INVALID, "%s name '%.40s...' has %zu characters, more than %d", what,
            name.data, name.size, AP_NAME_MAX);
    } else {
        for (size_t i = 0; i < name.size; i++) {
            if (is_name_char(name.data[i]) && (i > 0 || name.data[i] != '-')) continue;
            fail_character(what, name, i, err);
            ap_hint(err, "%s", rule);
            return APIARY_INVALID;
        }
        if (!is_reserved(kind, name)) return APIARY_OK;
        return ap_fail(err, APIARY_INVALID, "%s name '" AP_FMT "' is reserved", what, AP_ARG(name));
    }
    ap_hint(err, "%s", rule);
    return APIARY_INVALID;
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

void ap_name_fold(struct ap_str name, char out[AP_NAME_MAX + 1])
{
    ap_assert(name.size <= AP_NAME_MAX);
    for (size_t i = 0; i < name.size; i++) out[i] = lower(name.data[i]);
    out[name.size] = 0;
}

static unsigned least(unsigned a, unsigned b)
{
    return a < b ? a : b;
}

/* Damerau-Levenshtein (optimal string alignment): insert, delete, replace, swap of
 * neighbours cost 1 each. Three rows of the table are enough. */
static unsigned distance(struct ap_str a, struct ap_str b)
{
    unsigned rows[3][NEAREST_WORD_MAX + 1];
    unsigned *before = rows[0], *last = rows[1], *row = rows[2];
    for (unsigned j = 0; j <= b.size; j++) last[j] = j;
    for (unsigned i = 1; i <= a.size; i++) {
        row[0] = i;
        for (unsigned j = 1; j <= b.size; j++) {
            char x = lower(a.data[i - 1]), y = lower(b.data[j - 1]);
            row[j] = least(least(last[j] + 1, row[j - 1] + 1), last[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b.data[j - 2]) && y == lower(a.data[i - 2]))
                row[j] = least(row[j], before[j - 2] + 1);
        }
        unsigned *spare = before;
        before = last;
        last = row;
        row = spare;
    }
    return last[b.size];
}

const char *ap_nearest(struct ap_str word, const char *const *candidates, size_t count)
{
    if (word.size == 0 || word.size > NEAREST_WORD_MAX) return NULL;
    unsigned limit = word.size < 6 ? 1 : (unsigned)word.size / 3;
    if (limit >= word.size) limit = (unsigned)word.size - 1; /* something must be left in common */
    const char *nearest = NULL;
    for (size_t i = 0; i < count; i++) {
        struct ap_str candidate = ap_str_from(candidates[i]);
        if (candidate.size > NEAREST_WORD_MAX) continue;
        unsigned apart = distance(word, candidate);
        if (apart > limit || (nearest && apart == limit)) continue;
        nearest = candidates[i];
        limit = apart;
    }
    return nearest;
}
