/* runroot - the same run root for all commands, while containers run in it.
 *
 * Where the environment says nothing it depends on the session: a job of cron has none, a login
 * makes one. What was chosen is noted in ROOT/run-root, "BOOT-ID PATH", and counts for this boot as
 * long as containers run there. The note lies in our own 0700 directory; that what it
 * names is still ours is looked at here, and again where it is opened. */
#include "conf/runroot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/proc.h"

#define NOTE "run-root"

/* Does a container run there? One that has ended leaves its lock alone. */
static bool is_used(const char *path)
{
    struct stat st;
    if (path[0] != '/' || lstat(path, &st) < 0 || !S_ISDIR(st.st_mode) || st.st_uid != geteuid() ||
        (st.st_mode & 077) != 0)
        return false;
    scoped_dir DIR *d = opendir(path);
    for (struct dirent *ent; d && (ent = readdir(d));) {
        char name[ID_LEN + 16];
        if (strlen(ent->d_name) != ID_LEN || !id_is_hex(ent->d_name))
            continue;
        snprintf(name, sizeof(name), "%s/attach.sock", ent->d_name);
        if (faccessat(dirfd(d), name, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
            return true;
    }
    return false;
}

/* The path in a note of this boot, or NULL; owned. */
static char *read_note(int root_fd, const char *boot_id)
{
    scoped_free char *text = NULL;
    struct stat st;
    scoped_fd int fd =
        openat(root_fd, NOTE, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        fs_read_fd(fd, PATH_MAX + 64, &text, NULL) < 0)
        return NULL;
    text[strcspn(text, "\n")] = '\0';
    const char *path = str_after(text, boot_id);
    return path && *path == ' ' ? xstrdup(path + 1) : NULL;
}

void conf_settle_run_root(struct conf *c)
{
    char boot_id[40] = "";
    struct stat st;
    scoped_fd int root_fd = open(c->root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root_fd < 0 || fstat(root_fd, &st) < 0 || st.st_uid != geteuid() ||
        (st.st_mode & 022) != 0 || proc_boot_id(boot_id) < 0)
        return;
    scoped_free char *noted = read_note(root_fd, boot_id);
    if (streq(noted, c->run_root))
        return;
    if (noted && is_used(noted)) {
        free(c->run_root);
        c->run_root = take_ptr(noted);
        return;
    }
    /* Only an idea for others: no error when it cannot be kept. */
    scoped_free char *text = xasprintf("%s %s\n", boot_id, c->run_root);
    (void)!fs_write_atomic(root_fd, NOTE, text, strlen(text), 0600, FS_NO_SYNC, NULL);
}
