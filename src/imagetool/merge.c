#include "imagetool/merge.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"

/* Directories that were there before, one in the other; below a new one nothing is walked. */
#define DEPTH_MAX 200

static int merge_entries(int from_fd, int to_fd, int depth, struct err *e);

static int take_attributes(int to_fd, const struct stat *st, struct err *e)
{
    const struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, st->st_mtim};
    if (fchown(to_fd, st->st_uid, st->st_gid) < 0 || fchmod(to_fd, st->st_mode & 07777) < 0 ||
        futimens(to_fd, times) < 0)
        return err_set(e, errno, "set the attributes of a directory");
    return 0;
}

static int merge_dir(int from_fd, int to_fd, const char *name, int depth, struct err *e)
{
    struct stat st;
    const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW;
    if (depth >= DEPTH_MAX)
        return err_set(e, ELOOP, "more than %d directories in each other", DEPTH_MAX);
    scoped_fd int from = path_open_beneath(from_fd, name, flags, 0, e);
    scoped_fd int to = from < 0 ? from : path_open_beneath(to_fd, name, flags, 0, e);
    if (to < 0)
        return to;
    if (fstat(from, &st) < 0)
        return err_set(e, errno, "stat");
    int r = merge_entries(from, to, depth + 1, e);
    return r < 0 ? r : take_attributes(to, &st, e);
}

static int merge_entry(int from_fd, int to_fd, const char *name, int depth, struct err *e)
{
    struct stat from, to;
    if (renameat2(from_fd, name, to_fd, name, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EEXIST)
        return err_set(e, errno, "move");
    if (fstatat(from_fd, name, &from, AT_SYMLINK_NOFOLLOW) < 0 ||
        fstatat(to_fd, name, &to, AT_SYMLINK_NOFOLLOW) < 0)
        return err_set(e, errno, "stat");
    if (S_ISDIR(from.st_mode) && S_ISDIR(to.st_mode))
        return merge_dir(from_fd, to_fd, name, depth, e);
    if (S_ISDIR(from.st_mode) && unlinkat(to_fd, name, 0) < 0)
        return err_set(e, errno, "replace by a directory");
    /* A directory that has to give way to a file is more than the archive speaks of: EISDIR. */
    return renameat(from_fd, name, to_fd, name) < 0 ? err_set(e, errno, "replace") : 0;
}

static int merge_entries(int from_fd, int to_fd, int depth, struct err *e)
{
    int own = openat(from_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (!d)
        return err_set(e, errno, "read directory");
    for (struct dirent *de; (de = readdir(d));) {
        if (streq(de->d_name, ".") || streq(de->d_name, ".."))
            continue;
        int r = merge_entry(from_fd, to_fd, de->d_name, depth, e);
        if (r < 0)
            return err_add(e, r, "%s", de->d_name);
    }
    return 0;
}

int merge_trees(int from_fd, int to_fd, struct err *e)
{
    struct stat st;
    int r = merge_entries(from_fd, to_fd, 0, e);
    if (r < 0 || fstat(from_fd, &st) < 0)
        return r < 0 ? r : err_set(e, errno, "stat");
    /* What an archive without an entry for its root has would undo what somebody chose. */
    bool plain = (st.st_mode & 07777) == 0755 && st.st_uid == 0 && st.st_gid == 0;
    return plain ? 0 : take_attributes(to_fd, &st, e);
}
