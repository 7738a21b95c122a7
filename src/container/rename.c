/* rename - another name for a container.
 *
 * While it is done the file "renaming" holds both names. Of an interrupted one that name counts
 * which the state has, as ps shows it; the next command that meets it makes it true and frees the
 * other. */
#include "container/container-priv.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>

#include "base/fs.h"
#include "base/lock.h"
#include "base/str.h"
#include "base/strv.h"

#define RENAMING "renaming"
#define RENAMING_MAX 4096u

bool rename_unfinished(int dir_fd)
{
    return faccessat(dir_fd, RENAMING, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static int begin(const struct container *ctr, const char *name, struct err *e)
{
    scoped_free char *text = xasprintf("%s %s", ctr->rec.name, name);
    scoped_fd int fd =
        openat(ctr->dir_fd, RENAMING, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, text, strlen(text));
    return r < 0 ? err_set(e, -r, "note the new name") : 0;
}

static char **read_names(const struct container *ctr)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(ctr->dir_fd, RENAMING, RENAMING_MAX, &text, NULL);
    return n > 0 ? strv_split(text, " ", false) : NULL;
}

/* Leaves the one name that the record has. The caller holds the lock on the directory. */
static void leave_one(const struct conf *c, struct container *ctr)
{
    struct err ignored = ERR_INIT;
    scoped_strv char **names = read_names(ctr);
    if (names && container_rename_state(c, ctr, ctr->rec.name, &ignored) < 0)
        return; /* another time */
    for (char **name = names; name && *name; name++)
        if (!streq(*name, ctr->rec.name) && name_free(c, *name, ctr->id) < 0)
            return;
    unlinkat(ctr->dir_fd, RENAMING, 0);
}

static void finish(const struct conf *c, struct container *ctr)
{
    struct ctr_state s = {0};
    struct err ignored = ERR_INIT;
    scoped_strv char **names = read_names(ctr);
    if (container_read_state(ctr->dir_fd, &s, &ignored) == 0 && strv_has(names, s.name) &&
        !streq(s.name, ctr->rec.name)) {
        free(ctr->rec.name);
        ctr->rec.name = xstrdup(s.name);
        (void)!container_write_record(ctr->dir_fd, &ctr->rec, NULL);
    }
    ctr_state_release(&s);
    leave_one(c, ctr);
}

static int read_again(struct container *ctr, struct err *e)
{
    struct ctr_record now = {0};
    int r = container_read_record(ctr->dir_fd, &now, e);
    if (r < 0)
        return r;
    ctr_record_release(&ctr->rec);
    ctr->rec = now;
    return 0;
}

void rename_recover(const struct conf *c, const char *id)
{
    struct container ctr = {.dir_fd = -1};
    struct err ignored = ERR_INIT;
    if (container_open_id(c, id, &ctr, &ignored) < 0)
        return;
    /* Whoever has the lock is at it. */
    if (rename_unfinished(ctr.dir_fd) && flock(ctr.dir_fd, LOCK_EX | LOCK_NB) == 0 &&
        read_again(&ctr, &ignored) == 0)
        finish(c, &ctr);
    container_release(&ctr);
}

static int rename_locked(const struct conf *c, struct container *ctr, const char *name,
                         struct err *e)
{
    int r = read_again(ctr, e);
    if (r < 0)
        return r;
    if (rename_unfinished(ctr->dir_fd)) {
        finish(c, ctr);
        if (streq(name, ctr->rec.name)) /* as an interrupted command wanted it */
            return 0;
    }
    if (streq(name, ctr->rec.name))
        return err_msg(e, EEXIST, "it has that name already");
    r = begin(ctr, name, e);
    if (r == 0)
        r = name_reserve(c, name, ctr->id, e);
    if (r < 0) {
        unlinkat(ctr->dir_fd, RENAMING, 0);
        return r;
    }
    scoped_free char *old = take_ptr(ctr->rec.name);
    ctr->rec.name = xstrdup(name);
    r = container_write_record(ctr->dir_fd, &ctr->rec, e);
    if (r == 0)
        r = container_rename_state(c, ctr, name, e);
    if (r < 0) {
        free(ctr->rec.name);
        ctr->rec.name = take_ptr(old);
        (void)!container_write_record(ctr->dir_fd, &ctr->rec, NULL);
        leave_one(c, ctr);
        return r;
    }
    if (name_free(c, old, ctr->id) == 0) /* else another command does it, who meets the file */
        unlinkat(ctr->dir_fd, RENAMING, 0);
    scoped_free char *attribute = xasprintf("oldName=%s", old);
    container_event(c, &ctr->rec, "rename", attribute);
    return 0;
}

int container_rename(const struct conf *c, struct container *ctr, const char *name, struct err *e)
{
    if (!id_name_valid(name))
        return err_hint(e, err_msg(e, EINVAL, "the name \"%s\" is not valid", name),
                        "letters, digits, \"_\", \".\" and \"-\", a letter or digit first");
    /* One at a time, and not while the record is changed otherwise. */
    int r = container_lock_dir(c, ctr, e);
    if (r < 0)
        return r;
    r = rename_locked(c, ctr, name, e);
    if (container_is_removed(c, ctr->id)) { /* which does not wait for us */
        names_free_all(c, ctr->id);
        err_clear(e);
        r = err_msg(e, ENOENT, "it was removed meanwhile");
    }
    (void)flock(ctr->dir_fd, LOCK_UN);
    return r;
}
