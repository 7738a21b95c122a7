/* fs-tree - removes and measures trees whose content is hostile: links, depth, modes, races. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"

/* Deeper directories are moved up instead of being walked with more descriptors. */
#define REMOVE_DEPTH 24
/* Passes over a directory that make no progress (somebody else fills it) before giving up. */
#define IDLE_PASSES 3
/* Content below this depth is not measured. */
#define MEASURE_DEPTH 200
#define SMALL_FILE 4096

static bool is_dot(const char *name)
{
    return streq(name, ".") || streq(name, "..");
}

/* One part below fd, never through a link and never into a mount: a mount that was left behind
 * holds somebody else's files. */
static int open_part(int fd, const char *name, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC),
        .resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH,
    };
    for (int tries = 0; tries < 64; tries++) {
        long r = syscall(SYS_openat2, fd, name, &how, sizeof(how));
        if (r >= 0)
            return (int)r;
        if (errno != EAGAIN && errno != EINTR)
            break;
    }
    return -errno;
}

/* Opens a directory that is to be emptied, giving ourselves the modes for it. top: name may be a
 * path and a mount point. */
static int open_for_removal(int fd, const char *name, bool top)
{
    int flags = O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int r = top ? openat(fd, name, flags | O_RDONLY) : open_part(fd, name, O_RDONLY);
    if (top && r < 0)
        r = -errno;
    if (r == -EACCES) {
        /* chmod(2) of what a descriptor names: of a name it would follow a link. */
        scoped_fd int path_fd =
            top ? openat(fd, name, flags | O_PATH) : open_part(fd, name, O_PATH);
        char proc[40];
        if (path_fd < 0)
            return r;
        snprintf(proc, sizeof(proc), "/proc/self/fd/%d", path_fd);
        if (chmod(proc, 0700) < 0)
            return r;
        r = openat(path_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return r < 0 ? -errno : r;
    }
    struct stat st;
    if (r >= 0 && fstat(r, &st) == 0 && (st.st_mode & 0700) != 0700)
        (void)!fchmod(r, 0700); /* the removals below tell when it mattered */
    return r;
}

/* A removal under way. */
struct removal {
    int top_fd; /* where directories from too far down are moved to, borrowed */
    int depth;
    bool progress; /* something went away in this pass */
};

static int remove_dir(int parent_fd, const char *name, struct removal *up, struct err *e);

/* Moves a directory from too far down to the top, where a later pass finds it. */
static int move_up(int fd, const char *name, struct removal *rm)
{
    /* Its ".." changes, so it must be writable. */
    scoped_fd int dir = open_for_removal(fd, name, false);
    if (dir < 0)
        return dir;
    char hex[33];
    id_random_hex(hex, 32);
    if (renameat(fd, name, rm->top_fd, hex) < 0)
        return -errno;
    return 0;
}

static int remove_entry(int fd, const char *name, unsigned char type, struct removal *rm,
                        struct err *e)
{
    int r = 0;
    if (type != DT_DIR) {
        r = unlinkat(fd, name, 0) < 0 ? -errno : 0;
        if (r != -EISDIR)
            goto out;
    }
    r = rm->depth < REMOVE_DEPTH ? remove_dir(fd, name, rm, e) : move_up(fd, name, rm);
    if (r == -ENOTDIR) /* it was replaced meanwhile */
        r = unlinkat(fd, name, 0) < 0 ? -errno : 0;
    else if (r < 0 && rm->depth < REMOVE_DEPTH)
        return r; /* reported */
out:
    if (r == -ENOENT)
        return 0;
    if (r < 0)
        return err_set(e, -r, "remove %s", name);
    rm->progress = true;
    return 0;
}

static int remove_entries(int fd, struct removal *rm, struct err *e)
{
    /* The stream gets a descriptor of its own position: passes start at the beginning. */
    int own = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_dir DIR *d = own >= 0 ? fdopendir(own) : NULL;
    if (!d) {
        int why = errno;
        fd_close(&own);
        return why == ENOENT ? 0 : err_set(e, why, "read directory");
    }
    struct dirent *ent;
    while (errno = 0, (ent = readdir(d))) {
        if (is_dot(ent->d_name))
            continue;
        int r = remove_entry(fd, ent->d_name, ent->d_type, rm, e);
        if (r < 0)
            return r;
    }
    return errno && errno != ENOENT ? err_set(e, errno, "read directory") : 0;
}

/* Empties and removes. up is NULL for the top. -ENOTDIR is returned without a message. */
static int remove_dir(int parent_fd, const char *name, struct removal *up, struct err *e)
{
    scoped_fd int fd = open_for_removal(parent_fd, name, !up);
    if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
        return fd == -ENOENT ? 0 : -ENOTDIR;
    if (fd == -EXDEV)
        return err_msg(e, EBUSY, "remove %s: something is mounted on it", name);
    if (fd < 0)
        return err_set(e, -fd, "open directory %s", name);

    struct removal rm = {.top_fd = up ? up->top_fd : fd, .depth = up ? up->depth + 1 : 0};
    for (int idle = 0;;) {
        rm.progress = false;
        int r = remove_entries(fd, &rm, e);
        if (r < 0)
            return err_add(e, r, "%s", name);
        if (unlinkat(parent_fd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
            return 0;
        if (errno != ENOTEMPTY && errno != EEXIST)
            return err_set(e, errno, "remove directory %s", name);
        if (!rm.progress && ++idle >= IDLE_PASSES)
            return err_set(e, ENOTEMPTY, "remove directory %s", name);
    }
}

int fs_remove_tree(int dirfd, const char *name, struct err *e)
{
    if (unlinkat(dirfd, name, 0) == 0 || errno == ENOENT)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return err_set(e, errno, "remove %s", name);
    int r = remove_dir(dirfd, name, NULL, e);
    return r == -ENOTDIR ? err_set(e, EPERM, "remove %s", name) : r;
}

/* Files with several links that were counted: open addressing, doubled when half full. */
struct seen {
    struct inode {
        dev_t dev;
        ino_t ino;
    } * slots; /* ino 0: empty */
    size_t used, size;
};

static bool seen_add(struct seen *seen, struct inode id);

static void seen_grow(struct seen *seen)
{
    struct seen old = *seen;
    seen->size = old.size ? old.size * 2 : 256;
    seen->used = 0;
    seen->slots = xcalloc(seen->size, sizeof(*seen->slots));
    for (size_t i = 0; i < old.size; i++)
        if (old.slots[i].ino)
            seen_add(seen, old.slots[i]);
    free(old.slots);
}

/* Was it new? */
static bool seen_add(struct seen *seen, struct inode id)
{
    if (seen->used * 2 >= seen->size)
        seen_grow(seen);
    uint64_t hash = ((uint64_t)id.ino ^ ((uint64_t)id.dev << 40)) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = hash >> 20 & (seen->size - 1);; i = (i + 1) & (seen->size - 1)) {
        if (seen->slots[i].ino == 0) {
            seen->slots[i] = id;
            seen->used++;
            return true;
        }
        if (seen->slots[i].ino == id.ino && seen->slots[i].dev == id.dev)
            return false;
    }
}

/* What a file holds: of large ones not the holes. (Small ones may lie in the inode, with no block.)
 */
static uint64_t content_size(const struct stat *st)
{
    uint64_t size = (uint64_t)st->st_size, blocks = (uint64_t)st->st_blocks * 512;
    return size <= SMALL_FILE || size < blocks ? size : blocks;
}

static void measure(int dirfd, const char *name, int depth, struct seen *seen, struct fs_size *ret)
{
    struct stat st;
    if (fstatat(dirfd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return;
    if (!S_ISDIR(st.st_mode)) {
        if ((S_ISREG(st.st_mode) || S_ISLNK(st.st_mode)) &&
            (st.st_nlink < 2 || seen_add(seen, (struct inode){st.st_dev, st.st_ino}))) {
            ret->bytes += content_size(&st);
            ret->disk += (uint64_t)st.st_blocks * 512;
        }
        return;
    }
    ret->disk += (uint64_t)st.st_blocks * 512;
    if (depth >= MEASURE_DEPTH)
        return;
    int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
    int fd = depth ? open_part(dirfd, name, O_RDONLY) : openat(dirfd, name, flags);
    if (fd < 0 && !depth)
        fd = -errno;
    ret->hidden |= fd == -EACCES;
    scoped_dir DIR *d = fd >= 0 ? fdopendir(fd) : NULL;
    if (!d) {
        fd_close(&fd);
        return;
    }
    struct dirent *ent;
    while ((ent = readdir(d)))
        if (!is_dot(ent->d_name))
            measure(fd, ent->d_name, depth + 1, seen, ret);
}

void fs_tree_size(int dirfd, const char *name, struct fs_size *ret)
{
    struct seen seen = {0};
    *ret = (struct fs_size){0};
    measure(dirfd, name, 0, &seen, ret);
    free(seen.slots);
}
