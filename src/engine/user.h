/* user - "name:group" to numbers, by the container's own passwd and group files.
 *
 * passwd(5), group(5). The files come from an image and are hostile: they are opened below the root
 * descriptor, must be regular and small, and nothing of libc's name service is used. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"
#include "spec/spec.h"

struct user_request {
    const char *text;             /* "name", "uid", "name:group"...; NULL: as spec says */
    char *const *groups;          /* further groups, by name or number, or NULL */
    const struct spec_user *spec; /* ids when text is NULL */
    int want_home;                /* look up the home directory even when no name asks for it */
};

struct user {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* supplementary ones; owned */
    size_t n_groups;
    char *home; /* owned; NULL when not known */
};

/* Fills *ret. All digits is a number from 0 to 2^31-2 and never a name; anything else is a name and
 * never a number. Unknown names, an empty part, numbers out of range: -EINVAL or -ENOENT with exit
 * status 126. root_fd: the container's "/". */
int user_resolve(int root_fd, const struct user_request *q, struct user *ret, struct err *e);
void user_release(struct user *u);

/* Gives ids that the container's passwd and group files lack a line with this name: who works as
 * himself (keep-id) has a name there, as podman's do. Nothing happens where there is no such file,
 * or where it cannot be written. */
void user_announce(int root_fd, const char *name, const struct user *u);
