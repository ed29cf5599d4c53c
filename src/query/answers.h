/* What the engine answered to pure questions about a text (its syntax tree, a tree's text, the types of its columns), remembered: asking takes
 * longer than most small statements. The least recently used go. */
#ifndef AP_QUERY_ANSWERS_H
#define AP_QUERY_ANSWERS_H

#include "core/env.h"
#include "core/str.h"

struct ap_answers;
AP_CHECKED enum apiary_code ap_answers_new(
    struct ap_env *env, struct ap_answers **out, struct apiary_error *err);
void ap_answers_free(struct ap_answers *answers); /* NULL fine */

/* Appends the answer to *out, if it is remembered. `question` is a constant of the program, `about` the text
 * ("" and the whole document of a job: questions whose answers depend on nothing else).
 * answers may be NULL: nothing is. Thread-safe. codes: MEMORY */
AP_CHECKED enum apiary_code ap_answers_find(struct ap_answers *answers, const char *question,
    struct ap_str about, bool *found, struct ap_bytes *out, struct apiary_error *err);
/* Remembers it, unless it is large, or memory is short. Thread-safe. */
void ap_answers_keep(struct ap_answers *answers, const char *question, struct ap_str about,
    struct ap_str answer);

#endif
