/* list - which volumes there are. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/id.h"
#include "base/opt.h"
#include "base/str.h"
#include "base/strv.h"
#include "volume/volume-priv.h"

/* The entries of ROOT/volumes: volumes, or those of what was interrupted, which begin so. */
static char **entries(const struct conf *c, const char *begin)
{
    char **names = NULL;
    int fd = conf_open_root(c, "volumes", false, NULL);
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return NULL;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (begin ? str_after(ent->d_name, begin) != NULL : id_name_valid(ent->d_name))
            strv_add(&names, ent->d_name);
    strv_sort(names);
    return names;
}

char **volume_debris(const struct conf *c)
{
    return entries(c, DIR_RM);
}

char **volume_orphans(const struct conf *c)
{
    char **files = entries(c, FILE_NEW);
    for (char **f = files; f && *f; f++) {
        char *name = xstrdup(str_after(*f, FILE_NEW));
        free(*f);
        *f = name;
    }
    return files;
}

int volume_claim(const struct conf *c, const char *name)
{
    struct stat st;
    scoped_free char *file = xasprintf(FILE_NEW "%s", name);
    scoped_fd int volumes = conf_open_root(c, "volumes", false, NULL);
    scoped_fd int fd =
        volumes < 0 ? -1 : openat(volumes, file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) < 0 || fstat(fd, &st) < 0 || st.st_nlink == 0)
        return -EWOULDBLOCK;
    return take_fd(&fd);
}

int volume_begin(const struct conf *c, const char *name, int *ret_lock, struct err *e)
{
    scoped_free char *file = xasprintf(FILE_NEW "%s", name);
    scoped_fd int volumes = conf_open_root(c, "volumes", true, e);
    if (volumes < 0)
        return volumes;
    for (int tries = 0; tries < 16; tries++) {
        struct stat st;
        scoped_fd int fd = openat(volumes, file, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
            return err_set(e, errno, "create volume %s", name);
        /* Somebody who cleans up may have seen it before it was locked. */
        if (flock(fd, LOCK_SH) == 0 && fstat(fd, &st) == 0 && st.st_nlink > 0) {
            *ret_lock = take_fd(&fd);
            return 0;
        }
    }
    return err_msg(e, EBUSY, "create volume %s: it is removed again and again", name);
}

void volume_keep(const struct conf *c, const char *name)
{
    scoped_free char *file = xasprintf(FILE_NEW "%s", name);
    scoped_fd int volumes = conf_open_root(c, "volumes", false, NULL);
    if (volumes >= 0)
        unlinkat(volumes, file, 0);
}

int volume_unknown(const struct conf *c, const char *name, struct err *e)
{
    scoped_strv char **names = entries(c, NULL);
    int r = err_msg(e, ENOENT, "no such volume: %s", name);
    const char *close = names ? opt_suggest(name, (const char *const *)names) : NULL;
    return close ? err_hint(e, r, "did you mean \"%s\"?", close) : r;
}

int volume_list(const struct conf *c, struct volume **ret, size_t *ret_n, struct err *e)
{
    scoped_strv char **names = entries(c, NULL);
    size_t n = 0;
    (void)e;
    struct volume *v = xcalloc(strv_len(names) + 1, sizeof(*v));
    for (char **name = names; name && *name; name++) {
        struct err ignored = ERR_INIT;
        scoped_fd int dir = volume_dir(c, *name, false, &ignored);
        if (dir >= 0 && volume_read(c, dir, *name, &v[n], &ignored) == 0)
            n++;
    }
    *ret = v;
    *ret_n = n;
    return 0;
}

void volume_list_free(struct volume *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        volume_release(&v[i]);
    free(v);
}
