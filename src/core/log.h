/* Structured log: one event a line, text or JSON, to a sink of the host. */
#ifndef AP_CORE_LOG_H
#define AP_CORE_LOG_H

#include "core/env.h"
#include "core/str.h"

enum ap_log_level { AP_LOG_ERROR, AP_LOG_WARNING, AP_LOG_INFO, AP_LOG_DEBUG, AP_LOG_OFF = -1 };

struct ap_log {
    struct ap_env *env;
    enum ap_log_level level; /* events above it are dropped before formatting */
    bool json;
    /* Called with one whole line without newline; must be thread-safe. NULL: drop. */
    void (*sink)(void *context, enum ap_log_level level, const char *line);
    void *context;
};

/* `format` yields key=value pairs after the event: "frame=%s version=%" PRIu64.
 * Values that may hold spaces, quotes or anything from outside go through ap_log_text.
 * room and event are words. A NULL log drops. Lines over 4 KiB are cut; a JSON line
 * stays whole, loses its last pairs and says "cut":true. */
void ap_log_event(struct ap_log *log, enum ap_log_level level, const char *room, const char *event,
    const char *format, ...) AP_PRINTF(5, 6);
/* `text` as a value: as it is where it is one plain word, else quoted and escaped as in
 * JSON, cut to the buffer (at least 8 bytes). Returns out. */
const char *ap_log_text(char *out, size_t size, struct ap_str text);
/* Writes to stderr, one write(2) a line. */
void ap_log_stderr(void *context, enum ap_log_level level, const char *line);
const char *ap_log_level_text(enum ap_log_level level); /* "warning" */
bool ap_log_level_parse(const char *word, enum ap_log_level *out); /* error warning info debug off */

#endif
