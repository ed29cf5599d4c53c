#include "bee/ask.h"

#include <errno.h>
#include <pthread.h>
#include <unistd.h>

static pthread_mutex_t one_question = PTHREAD_MUTEX_INITIALIZER;

void bee_answer_done(struct bee_answer *answer)
{
    if (answer->fd >= 0) close(answer->fd);
    answer->fd = -1;
    ap_bytes_done(&answer->body);
}

static int exchange(const struct ap_wire_message *question, struct ap_wire_message *answer)
{
    if (ap_wire_send(AP_WIRE_ASK_FD, question, NULL) != APIARY_OK) return EIO;
    if (ap_wire_receive(AP_WIRE_ASK_FD, answer, -1, NULL, NULL) != APIARY_OK) return EIO;
    return answer->kind == AP_WIRE_ANSWER ? 0 : EIO;
}

int bee_ask(enum ap_wire_kind kind, struct ap_str body, const uint64_t values[AP_WIRE_VALUES],
    struct bee_answer *out)
{
    struct ap_wire_message question;
    ap_wire_message_init(&question);
    question.kind = kind;
    memcpy(question.values, values, sizeof question.values);
    if (ap_bytes_add_str(&question.body, body, NULL) != APIARY_OK) return ENOMEM;

    AP_AUTO(ap_wire_message) answer;
    ap_wire_message_init(&answer);
    pthread_mutex_lock(&one_question);
    int error = exchange(&question, &answer);
    pthread_mutex_unlock(&one_question);
    ap_wire_message_done(&question);
    if (error) return error;
    if (answer.values[0]) return answer.values[0] < 4096 ? (int)answer.values[0] : EIO;

    out->fd = answer.fd;
    answer.fd = -1;
    memcpy(out->values, answer.values, sizeof out->values);
    out->body = AP_TAKE(answer.body);
    return 0;
}
