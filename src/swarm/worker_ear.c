/* The watcher's ear: where the store tells of what is written on this machine, the bell is heard when it is rung, and
 * not at the next look. Looks go on as they do without it. */
#include "swarm/worker_private.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

static void hear(void *context)
{
    struct ap_worker *worker = context;
    struct pollfd waits[] = { { .fd = worker->ear.heard.fd, .events = POLLIN }, { .fd = worker->ear.stop_fd, .events = POLLIN } };
    for (;;) {
        if (poll(waits, sizeof waits / sizeof *waits, -1) < 0 && errno != EINTR) return;
        if (waits[1].revents != 0 || (waits[0].revents & (POLLERR | POLLNVAL)) != 0) return;
        if (!ap_ear_heard(&worker->ear.heard, AP_SWARM_BELL)) continue;
        ap_lock(worker->swarm.env, worker->shared.lock);
        worker->shared.rung = true;
        ap_wake_all(worker->swarm.env, worker->shared.lock);
        ap_unlock(worker->swarm.env, worker->shared.lock);
    }
}

void ap_worker_ear_open(struct ap_worker *worker)
{
    struct ap_env *env = worker->swarm.env;
    if (ap_store_listen(worker->swarm.store, "_swarm", &worker->ear.heard, NULL) != APIARY_OK) return;
    worker->ear.stop_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (worker->ear.stop_fd >= 0) worker->ear.thread = env->ops->thread_start(env->world, hear, worker);
    if (worker->ear.thread == NULL) ap_worker_ear_close(worker);
}

void ap_worker_ear_close(struct ap_worker *worker)
{
    struct ap_env *env = worker->swarm.env;
    uint64_t one = 1;
    if (worker->ear.thread != NULL) {
        ssize_t told = write(worker->ear.stop_fd, &one, sizeof one);
        (void)told; /* a counter of an eventfd that nobody else writes has room */
        env->ops->thread_join(env->world, AP_TAKE(worker->ear.thread));
    }
    ap_store_unlisten(worker->swarm.store, &worker->ear.heard);
    if (worker->ear.stop_fd >= 0) close(worker->ear.stop_fd);
    worker->ear.stop_fd = -1;
}
