/* names - names/NAME is a symbolic link to the container's id; making it reserves the name. */
#include "container/container-priv.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "base/strv.h"

bool entry_exists(int dirfd, const char *name)
{
    struct stat st;
    return fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* 1 with the id, 0 when there is no such name, -errno. */
static int read_link(int names_fd, const char *name, char ret_id[static ID_LEN + 1])
{
    char id[ID_LEN + 2];
    ssize_t n = readlinkat(names_fd, name, id, sizeof(id));
    if (n < 0)
        return errno == ENOENT ? 0 : -errno;
    if (n != ID_LEN)
        return -EBADMSG;
    id[n] = '\0';
    if (!id_is_hex(id))
        return -EBADMSG;
    memcpy(ret_id, id, ID_LEN + 1);
    return 1;
}

int name_lookup(const struct conf *c, const char *name, char ret_id[static ID_LEN + 1],
                struct err *e)
{
    if (!id_name_valid(name))
        return 0;
    scoped_fd int names_fd = conf_open_root(c, "names", false, NULL);
    if (names_fd < 0)
        return 0;
    int r = read_link(names_fd, name, ret_id);
    return r < 0 ? err_set(e, -r, "read name %s", name) : r;
}

/* Does the link of a name lead to nothing? While a container is made it is .tmp-ID, then ID: asked
 * in this order, a rename in between cannot hide it. */
static bool is_stale(const struct conf *c, int names_fd, const char *name)
{
    char id[ID_LEN + 1], tmp[sizeof(DIR_TMP) + ID_LEN];
    int r = read_link(names_fd, name, id);
    if (r != 1)
        return r == -EBADMSG || r == -EINVAL;
    scoped_fd int containers_fd = conf_open_root(c, "containers", false, NULL);
    if (containers_fd < 0)
        return containers_fd == -ENOENT;
    snprintf(tmp, sizeof(tmp), DIR_TMP "%s", id);
    if (entry_exists(containers_fd, tmp))
        sweep_entry(c, containers_fd, tmp); /* leaves it alone while its maker lives */
    return !entry_exists(containers_fd, tmp) && !entry_exists(containers_fd, id);
}

static int lock_names(int names_fd)
{
    return lock_fd(names_fd, LOCK_EXCLUSIVE, -1, "the names of containers", NULL);
}

/* Unlinks a stale name. The lock on names/ lets only one at a time decide and act. */
static bool free_stale(const struct conf *c, int names_fd, const char *name)
{
    scoped_fd int lock = openat(names_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (lock < 0 || lock_names(lock) < 0)
        return false;
    return is_stale(c, names_fd, name) && (unlinkat(names_fd, name, 0) == 0 || errno == ENOENT);
}

int name_reserve(const struct conf *c, const char *name, const char *id, struct err *e)
{
    scoped_fd int names_fd = conf_open_root(c, "names", true, e);
    if (names_fd < 0)
        return names_fd;
    /* Whoever takes a freed name first has it: try again, but not for ever. */
    char owner[ID_LEN + 1] = "";
    for (int tries = 0; tries < 8; tries++) {
        if (symlinkat(id, names_fd, name) == 0)
            return 0;
        if (errno != EEXIST)
            return err_set(e, errno, "reserve name %s", name);
        if (read_link(names_fd, name, owner) == 1)
            rename_recover(c, owner);
        else
            owner[0] = '\0';
        if (entry_exists(names_fd, name) && !free_stale(c, names_fd, name))
            break;
    }
    (void)!read_link(names_fd, name, owner);
    int r = err_msg(e, EEXIST, "the name \"%s\" is already in use by container %.12s", name, owner);
    return err_hint(e, r, "remove that container (rootlet rm %s) or take another name", name);
}

int name_free(const struct conf *c, const char *name, const char *id)
{
    if (!id_name_valid(name))
        return 0;
    scoped_fd int names_fd = conf_open_root(c, "names", false, NULL);
    if (names_fd < 0)
        return names_fd == -ENOENT ? 0 : names_fd;
    /* Under the lock: else the link could become another's between the look and the unlink. */
    int r = lock_names(names_fd);
    if (r < 0)
        return r;
    char owner[ID_LEN + 1];
    r = read_link(names_fd, name, owner);
    if (r == 1 && streq(owner, id))
        r = unlinkat(names_fd, name, 0) < 0 ? -errno : 0;
    return r == -EBADMSG || r == -ENOENT || r > 0 ? 0 : r; /* no name of ours */
}

char **name_list(const struct conf *c)
{
    char **names = NULL;
    int fd = conf_open_root(c, "names", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return NULL;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (id_name_valid(ent->d_name))
            strv_add(&names, ent->d_name);
    return names;
}

char *name_of_id(const struct conf *c, const char *id)
{
    scoped_fd int names_fd = conf_open_root(c, "names", false, NULL);
    if (names_fd < 0)
        return NULL;
    scoped_strv char **names = name_list(c);
    char owner[ID_LEN + 1];
    for (char **n = names; n && *n; n++)
        if (read_link(names_fd, *n, owner) == 1 && streq(owner, id))
            return xstrdup(*n);
    return NULL;
}

void names_free_all(const struct conf *c, const char *id)
{
    for (int tries = 0; tries < 16; tries++) {
        scoped_free char *name = name_of_id(c, id);
        if (!name)
            return;
        name_free(c, name, id);
    }
}
