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

static enum apiary_code add_folder(int ear, int folder, const char *name, struct apiary_error *err)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", folder); /* the folder itself: no name leads elsewhere */
    if (inotify_add_watch(ear, path, IN_CREATE | IN_MOVED_TO | IN_ONLYDIR) >= 0) return APIARY_OK;
    return ap_fail(err, APIARY_UNSUPPORTED, "cannot listen to %s: %s", name, strerror(errno));
}

enum apiary_code ap_local_listen(struct ap_store *store, const char *folder, int *fd, struct apiary_error *err)
{
    struct ap_local *local = ap_local_of(store);
    AP_AUTO_FD root = -1;
    AP_AUTO_FD opened = -1;
    AP_TRY(ap_local_root(local, false, &root, err));
    int error = ap_local_open_beneath(local, root, folder, O_RDONLY | O_DIRECTORY, &opened);
    if (error == ENOENT || error == ENOTDIR) return ap_fail(err, APIARY_NOT_FOUND, "there is no folder %s/%s", local->root, folder);
    if (error) return ap_fail_errno(err, error, "cannot listen to %s/%s", local->root, folder);
    if (ap_local_is_foreign(opened)) return ap_fail(err, APIARY_UNSUPPORTED, "%s may be written by other machines", local->root);
    if (*fd >= 0) return add_folder(*fd, opened, folder, err);
    int ear = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (ear < 0) return ap_fail(err, APIARY_UNSUPPORTED, "cannot listen to %s: %s", folder, strerror(errno));
    enum apiary_code code = add_folder(ear, opened, folder, err);
    if (code == APIARY_OK) *fd = ear;
    else close(ear);
    return code;
}

bool ap_store_heard(int fd, const char *name)
{
    _Alignas(struct inotify_event) char events[EVENTS_BYTES];
    bool heard = false;
    for (ssize_t got; (got = read(fd, events, sizeof events)) > 0;)
        for (char *at = events; at < events + got;) {
            const struct inotify_event *event = (const struct inotify_event *)(const void *)at;
            if (event->mask & (IN_Q_OVERFLOW | IN_IGNORED) || name == NULL || (event->len > 0 && strcmp(event->name, name) == 0)) heard = true;
            at += sizeof *event + event->len;
        }
    return heard;
}
