#include "query/answers.h"

#include "core/alloc.h"

enum {
    COUNT_MAX = 64,
    BYTES_MAX = 64 << 10, /* of a text and its answer */
};

struct answer {
    char *question, *about, *text; /* NULL: a free place */
    size_t about_size, text_size;
    uint64_t used; /* when it was last */
};

struct ap_answers {
    struct ap_env *env;
    struct ap_lock *lock; /* guards all below */
    struct answer items[COUNT_MAX];
    uint64_t clock;
};

enum apiary_code ap_answers_new(
    struct ap_env *env, struct ap_answers **out, struct apiary_error *err)
{
    struct ap_answers *answers = ap_calloc(1, sizeof *answers);
    if (answers == NULL) return ap_fail_memory(err, "answers of the engine");
    answers->env = env;
    answers->lock = ap_lock_new(env);
    if (answers->lock == NULL) {
        ap_free(answers);
        return ap_fail_memory(err, "answers of the engine");
    }
    *out = answers;
    return APIARY_OK;
}

static void answer_done(struct answer *answer)
{
    ap_free(answer->question);
    ap_free(answer->about);
    ap_free(answer->text);
    *answer = (struct answer) { 0 };
}

void ap_answers_free(struct ap_answers *answers)
{
    if (answers == NULL) return;
    for (size_t i = 0; i < COUNT_MAX; i++) answer_done(&answers->items[i]);
    ap_lock_free(answers->env, answers->lock);
    ap_free(answers);
}

static struct answer *find_locked(
    struct ap_answers *answers, const char *question, struct ap_str about)
{
    for (size_t i = 0; i < COUNT_MAX; i++) {
        struct answer *item = &answers->items[i];
        if (item->text == NULL || strcmp(item->question, question) != 0) continue;
        if (ap_str_equal((struct ap_str) { item->about, item->about_size }, about)) return item;
    }
    return NULL;
}

enum apiary_code ap_answers_find(struct ap_answers *answers, const char *question,
    struct ap_str about, bool *found, struct ap_bytes *out, struct apiary_error *err)
{
    enum apiary_code code = APIARY_OK;
    *found = false;
    if (answers == NULL) return APIARY_OK;
    ap_lock(answers->env, answers->lock);
    struct answer *item = find_locked(answers, question, about);
    if (item != NULL) {
        item->used = ++answers->clock;
        code = ap_bytes_add(out, item->text, item->text_size, err);
        *found = code == APIARY_OK;
    }
    ap_unlock(answers->env, answers->lock);
    return code;
}

static struct answer *oldest_locked(struct ap_answers *answers)
{
    struct answer *oldest = &answers->items[0];
    for (size_t i = 1; i < COUNT_MAX; i++)
        if (answers->items[i].used < oldest->used) oldest = &answers->items[i];
    return oldest;
}

void ap_answers_keep(struct ap_answers *answers, const char *question, struct ap_str about,
    struct ap_str answer)
{
    if (answers == NULL || about.size + answer.size > BYTES_MAX) return;
    struct answer made = { ap_strdup(question), ap_strndup(about.data, about.size),
        ap_strndup(answer.data, answer.size), about.size, answer.size, 0 };
    bool whole = made.question != NULL && made.about != NULL && made.text != NULL;
    ap_lock(answers->env, answers->lock);
    if (whole && find_locked(answers, question, about) == NULL) {
        struct answer *place = oldest_locked(answers), before = *place;
        made.used = ++answers->clock;
        *place = made;
        made = before;
    }
    ap_unlock(answers->env, answers->lock);
    answer_done(&made);
}
