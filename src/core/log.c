#include "core/log.h"

#include <stdio.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/json.h"
#include "core/time.h"

enum { LINE_BYTES_MAX = 4096, NUMBER_DIGITS_MAX = 15 };

static const char *const level_names[] = { "error", "warning", "info", "debug" };

const char *ap_log_level_text(enum ap_log_level level)
{
    return level >= AP_LOG_ERROR && level <= AP_LOG_DEBUG ? level_names[level] : "off";
}

bool ap_log_level_parse(const char *word, enum ap_log_level *out)
{
    for (int level = AP_LOG_OFF; level <= AP_LOG_DEBUG; level++) {
        if (strcmp(word, ap_log_level_text((enum ap_log_level)level)) != 0) continue;
        *out = (enum ap_log_level)level;
        return true;
    }
    return false;
}

/* ---- a line of bounded size ---- */

struct line {
    char text[LINE_BYTES_MAX];
    size_t size;
    size_t limit; /* what may be filled; the rest is kept for an ending */
};

static bool put(struct line *line, const char *data, size_t size)
{
    if (size > line->limit - line->size) return false;
    memcpy(line->text + line->size, data, size);
    line->size += size;
    return true;
}

static bool put_text(struct line *line, const char *text)
{
    return put(line, text, strlen(text));
}

static bool put_quoted(struct line *line, struct ap_str text)
{
    if (!put(line, "\"", 1)) return false;
    while (text.size) {
        char piece[8];
        size_t taken, size = ap_json_escape(text, piece, &taken);
        if (!put(line, piece, size)) return false;
        text.data += taken;
        text.size -= taken;
    }
    return put(line, "\"", 1);
}

const char *ap_log_text(char *out, size_t size, struct ap_str text)
{
    ap_assert(size >= 8);
    bool plain = text.size > 0 && text.size < size && ap_utf8_valid(text);
    for (size_t i = 0; plain && i < text.size; i++) {
        unsigned char c = (unsigned char)text.data[i];
        plain = c > ' ' && c != 0x7F && c != '"' && c != '\\' && c != '=';
    }
    if (plain) {
        memcpy(out, text.data, text.size);
        out[text.size] = 0;
        return out;
    }
    size_t at = 0;
    out[at++] = '"';
    while (text.size) {
        char piece[8];
        size_t taken, piece_size = ap_json_escape(text, piece, &taken);
        if (at + piece_size + 2 > size) break;
        memcpy(out + at, piece, piece_size);
        at += piece_size;
        text.data += taken;
        text.size -= taken;
    }
    out[at++] = '"';
    out[at] = 0;
    return out;
}

/* ---- key=value pairs ---- */

/* Takes one pair from the front of the text. The value keeps its quotes. */
static bool take_pair(struct ap_str *text, struct ap_str *key, struct ap_str *value)
{
    *text = ap_str_trim(*text);
    if (text->size == 0) return false;
    size_t at = 0;
    while (at < text->size && text->data[at] != '=' && text->data[at] != ' ') at++;
    *key = (struct ap_str) { text->data, at };
    size_t start = at < text->size && text->data[at] == '=' ? at + 1 : at;
    at = start;
    if (at < text->size && text->data[at] == '"') {
        for (at++; at < text->size && text->data[at] != '"'; at++)
            if (text->data[at] == '\\') at++;
        at = at < text->size ? at + 1 : text->size;
    } else {
        while (at < text->size && text->data[at] != ' ') at++;
    }
    *value = (struct ap_str) { text->data + start, at - start };
    text->data += at;
    text->size -= at;
    return true;
}

/* A decimal number as JSON writes it, short enough to be exact in every reader. */
static bool is_number(struct ap_str text)
{
    size_t at = text.size && text.data[0] == '-';
    size_t digits = 0, points = 0;
    if (text.size - at > 1 && text.data[at] == '0' && text.data[at + 1] != '.') return false;
    for (; at < text.size; at++) {
        char c = text.data[at];
        if (c >= '0' && c <= '9')
            digits++;
        else if (c == '.' && points == 0 && digits > 0 && at + 1 < text.size)
            points++;
        else
            return false;
    }
    return digits > 0 && digits <= NUMBER_DIGITS_MAX;
}

static bool is_hex4(struct ap_str text, size_t at)
{
    for (size_t i = 0; i < 4; i++) {
        if (at + i >= text.size || !text.data[at + i]) return false;
        if (!strchr("0123456789abcdefABCDEF", text.data[at + i])) return false;
    }
    return true;
}

/* A JSON string, quotes included, as ap_log_text makes it. */
static bool is_whole_quoted(struct ap_str value)
{
    if (value.size < 2 || value.data[0] != '"' || !ap_utf8_valid(value)) return false;
    size_t at = 1;
    while (at < value.size && value.data[at] != '"') {
        if ((unsigned char)value.data[at] < ' ') return false;
        if (value.data[at++] != '\\') continue;
        if (at >= value.size || !value.data[at] || !strchr("\"\\/bfnrtu", value.data[at]))
            return false;
        if (value.data[at] == 'u' && !is_hex4(value, at + 1)) return false;
        at++;
    }
    return at == value.size - 1;
}

static bool put_json_pair(struct line *line, struct ap_str key, struct ap_str value)
{
    if (!put(line, ",", 1) || !put_quoted(line, key) || !put(line, ":", 1)) return false;
    if (is_number(value) || ap_str_is(value, "true") || ap_str_is(value, "false") ||
        ap_str_is(value, "null"))
        return put(line, value.data, value.size);
    /* What ap_log_text quoted is a JSON string already. */
    if (is_whole_quoted(value)) return put(line, value.data, value.size);
    return put_quoted(line, value);
}

/* cut: the last pair lost its end before it came here. */
static void finish_json(struct line *line, struct ap_str pairs, bool cut)
{
    struct ap_str key, value;
    while (take_pair(&pairs, &key, &value)) {
        size_t before = line->size;
        if (!(cut && pairs.size == 0) && put_json_pair(line, key, value)) continue;
        line->size = before;
        cut = true;
        break;
    }
    line->limit = LINE_BYTES_MAX - 1;
    if (cut) put_text(line, ",\"cut\":true");
    put(line, "}", 1);
}

static void finish_text(struct line *line, struct ap_str pairs)
{
    if (pairs.size) put(line, " ", 1);
    while (pairs.size) {
        size_t length = ap_utf8_length(pairs);
        unsigned char c = (unsigned char)pairs.data[0];
        bool shown = length > 0 && c >= ' ' && c != 0x7F;
        if (length == 0) length = 1;
        if (!put(line, shown ? pairs.data : "?", shown ? length : 1)) return;
        pairs.data += length;
        pairs.size -= length;
    }
}

void ap_log_event(struct ap_log *log, enum ap_log_level level, const char *room, const char *event,
    const char *format, ...)
{
    if (!log || !log->sink || level < AP_LOG_ERROR || level > log->level) return;
    char pairs[LINE_BYTES_MAX];
    va_list args;
    va_start(args, format);
    int length = vsnprintf(pairs, sizeof pairs, format, args);
    va_end(args);
    if (length < 0) return;
    bool cut = length >= (int)sizeof pairs;
    struct ap_str view = { pairs, cut ? sizeof pairs - 1 : (size_t)length };

    char time[AP_TIME_TEXT_MAX];
    ap_timestamp_format(ap_now_us(log->env), 'T', 3, true, time);
    struct line line = { .limit = LINE_BYTES_MAX - 32 };
    const char *const before[] = { log->json ? "{\"time\":\"" : "",
        log->json ? "\",\"level\":\"" : " ", log->json ? "\",\"room\":\"" : " ",
        log->json ? "\",\"event\":\"" : " event=" };
    const char *const words[] = { time, ap_log_level_text(level), room, event };
    for (size_t i = 0; i < 4; i++) {
        put_text(&line, before[i]);
        put_text(&line, words[i]);
    }
    if (log->json) {
        put(&line, "\"", 1);
        finish_json(&line, view, cut);
    } else {
        finish_text(&line, view);
    }
    line.text[line.size] = 0;
    log->sink(log->context, level, line.text);
}

void ap_log_stderr(void *context, enum ap_log_level level, const char *line)
{
    (void)context;
    (void)level;
    struct iovec parts[2] = { { (void *)(uintptr_t)line, strlen(line) },
        { (void *)(uintptr_t) "\n", 1 } };
    ssize_t written = writev(STDERR_FILENO, parts, 2);
    (void)written; /* there is nowhere to say that stderr is gone */
}
