/* Hearing of what is written on this machine, by inotify. Where file times are this kernel's, so are the writers;
 * elsewhere (NFS, FUSE, a folder that a virtual machine shares) some would not be heard, so nobody is listened to. */
#include "storage/local_private.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/inotify.h>
#include <unistd.h>

enum { EVENTS_BYTES = 4096 };

static enum apiary_code add_folder(struct ap_ear *ear, int folder, const char *name, struct apiary_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", folder); /* the folder itself: no name leads elsewhere */
    int watch = inotify_add_watch(ear->fd, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
    if (watch < 0) return ap_fail(err, APIARY_UNSUPPORTED, "cannot listen to %s: %s", name, strerror(errno));
    ear->folders[ear->count++] = watch;
    return APIARY_OK;
}

enum apiary_code ap_local_listen(struct ap_store *store, const char *folder, struct ap_ear *ear, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    AP_AUTO_FD root = -1;
    AP_AUTO_FD opened = -1;
    AP_TRY(ap_local_root(local, false, &root, err));
    int error = ap_local_open_beneath(local, root, folder, O_RDONLY | O_DIRECTORY, &opened);
    if (error == ENOENT || error == ENOTDIR) return ap_fail(err, APIARY_NOT_FOUND, "there is no folder %s/%s", local->root, folder);
    if (error) return ap_fail_errno(err, error, "cannot listen to %s/%s", local->root, folder);
    if (ap_local_is_foreign(opened)) return ap_fail(err, APIARY_UNSUPPORTED, "%s may be written by other machines", local->root);
    for (int i = 0; ear->fd < 0 && i < AP_LOCAL_EARS_IDLE; i++) ear->fd = __atomic_exchange_n(&local->idle_ears[i], -1, __ATOMIC_ACQ_REL);
    if (ear->fd < 0) ear->fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (ear->fd < 0) return ap_fail(err, APIARY_UNSUPPORTED, "cannot listen to %s: %s", folder, strerror(errno));
    enum apiary_code code = add_folder(ear, opened, folder, err);
    if (code != APIARY_OK && ear->count == 0) ap_store_unlisten(store, ear);
    return code;
}

/* Descriptors are kept for the next who listen: to close one that had folders, the kernel takes 16 to 20 ms (Linux 6.18). */
void ap_local_unlisten(struct ap_store *store, struct ap_ear *ear)
{
    struct ap_local *local = ap_local_of(store);
    for (int i = 0; i < ear->count; i++) inotify_rm_watch(ear->fd, ear->folders[i]);
    ap_ear_heard(ear, NULL);
    for (int i = 0; i < AP_LOCAL_EARS_IDLE; i++) {
        int none = -1;
        if (__atomic_compare_exchange_n(&local->idle_ears[i], &none, ear->fd, false, __ATOMIC_ACQ_REL, __ATOMIC_RELAXED)) return;
    }
    close(ear->fd);
}

void ap_local_listen_end(struct ap_local *local)
{
    for (int i = 0; i < AP_LOCAL_EARS_IDLE; i++)
        if (local->idle_ears[i] >= 0) close(local->idle_ears[i]);
}

bool ap_ear_heard(const struct ap_ear *ear, const char *name)
{
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    bool heard = false;
    for (ssize_t got; (got = read(ear->fd, events, sizeof events)) > 0;)
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED) || name == NULL || (event->len > 0 && strcmp(event->name, name) == 0)) heard = true;
            at += sizeof *event + event->len;
        }
    return heard;
}
