/* The names the engine sees: /cells/… and /files/… (read), /out/… (written).
 * None of them exists on the machine; descriptors for them come from the node.
 *
 * The chamber keeps the book of what the current job wrote below /out/: folders
 * exist in that book alone. All functions are thread-safe. */
#ifndef AP_BEE_VIRTUAL_H
#define AP_BEE_VIRTUAL_H

#include "bee/paging.h"
#include "core/str.h"

#include <sys/stat.h>

enum bee_place { BEE_PLACE_REAL, BEE_PLACE_CELLS, BEE_PLACE_FILES, BEE_PLACE_OUT };

/* Where a path lies. BEE_PLACE_REAL for everything that is not ours. */
enum bee_place bee_place_of(const char *path);

/* Each returns 0 or an errno. Paths must lie in a virtual place. */
/* sparse: filled in when it is one (bits not NULL). */
int bee_virtual_open(const char *path, int flags, int *fd, struct bee_sparse *sparse);
int bee_virtual_stat(const char *path, struct stat *out);
int bee_virtual_rename(const char *from, const char *to);
int bee_virtual_unlink(const char *path);
int bee_virtual_mkdir(const char *path);
int bee_virtual_rmdir(const char *path);
/* Names below a folder; a folder's name ends in '/'. */
int bee_virtual_list(const char *path, struct ap_texts *names);
/* The canonical form (no doubled or trailing slashes, no "."), NUL-ended, from
 * malloc's family because the caller of realpath frees it. NULL: errno says why. */
char *bee_virtual_canonical(const char *path);

/* Forgets what was written below /out/: the next job begins with nothing there. */
void bee_virtual_forget(void);

#endif
