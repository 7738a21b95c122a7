/* probe - whether a driver works on a file system, found out by doing. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <dirent.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/str.h"
#include "storage/storage-priv.h"

#define WHY_SIZE 256

static int no(char why[static WHY_SIZE], const char *what)
{
    snprintf(why, WHY_SIZE, "%s: %s", what, strerror(errno));
    return 0;
}

static int make_file(const char *path)
{
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    return fd < 0 || write(fd, "x", 1) != 1 ? -1 : 0;
}

static int set_opaque(const char *path)
{
    return setxattr(path, "user.overlay.opaque", "y", 1, 0);
}

/* low: a deleted d/hidden under-file kept; top: whiteout of "deleted", opaque d. */
static int make_layers(char why[static WHY_SIZE])
{
    static const char *const dirs[] = {"top", "top/d", "low", "low/d", "upper", "work"};
    static const char *const files[] = {"low/deleted", "low/d/hidden", "low/kept", "top/d/seen"};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        if (mkdir(dirs[i], 0755) < 0)
            return no(why, "make a directory"), -1;
    }
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        if (make_file(files[i]) < 0)
            return no(why, "make a file"), -1;
    }
    if (mknod("top/deleted", S_IFCHR, makedev(0, 0)) < 0)
        return no(why, "whiteouts (device 0:0) cannot be made here"), -1;
    if (set_opaque("top/d") < 0)
        return no(why, "user extended attributes cannot be set here"), -1;
    return 0;
}

/* In the mounted overlay: does what the layers say hold, and do changes arrive? */
static int try_overlay(int root, bool single, char why[static WHY_SIZE])
{
    struct stat st;
    if (fstatat(root, "kept", &st, 0) < 0)
        return no(why, "overlay shows no lower file");
    if (fstatat(root, "deleted", &st, 0) == 0)
        return snprintf(why, WHY_SIZE, "overlay ignores whiteouts"), 0;
    if (fstatat(root, "d/hidden", &st, 0) == 0)
        return snprintf(why, WHY_SIZE, "overlay ignores opaque directories"), 0;
    if (fstatat(root, "d/seen", &st, 0) < 0)
        return no(why, "overlay shows no upper file");
    scoped_fd int fd = openat(root, "kept", O_WRONLY | O_APPEND | O_CLOEXEC);
    if (fd < 0 || write(fd, "y", 1) != 1)
        return no(why, "write to a file of a lower layer");
    if (!single && fchown(fd, 1, 1) < 0)
        return no(why, "chown to a subordinate id");
    if (fsetxattr(fd, "user.rootlet", "x", 1, 0) < 0)
        return no(why, "set an extended attribute");
    if (unlinkat(root, "kept", 0) < 0)
        return no(why, "delete a file of a lower layer");
    if (stat("upper/kept", &st) < 0 || !S_ISCHR(st.st_mode))
        return snprintf(why, WHY_SIZE, "overlay makes no whiteout"), 0;
    return 10;
}

static bool has_d_type(void)
{
    scoped_dir DIR *d = opendir("low");
    for (struct dirent *ent; d && (ent = readdir(d));) {
        if (streq(ent->d_name, "kept"))
            return ent->d_type == DT_REG;
    }
    return false;
}

static int try_mount(struct storage_root *r, bool single, char why[static WHY_SIZE])
{
    char layers[2][8] = {"top", "low"}, upper[] = "upper", work[] = "work";
    char *dirs[] = {layers[0], layers[1], NULL};
    r->layers = dirs;
    r->upper = upper;
    r->work = work;
    struct err e = ERR_INIT;
    scoped_fd int root = storage_mount(r, &e);
    r->layers = NULL;
    r->upper = r->work = NULL;
    if (root < 0)
        return snprintf(why, WHY_SIZE, "%.200s", e.msg), 0;
    return try_overlay(root, single, why);
}

int probe_overlay(bool single, char why[static WHY_SIZE])
{
    if (make_layers(why) < 0)
        return 0;
    if (!has_d_type())
        return snprintf(why, WHY_SIZE, "directories here give no file types (XFS with ftype=0?)"),
               0;
    struct storage_root r = {.driver = (char *)"overlay"};
    int score = try_mount(&r, single, why);
    if (score > 0)
        snprintf(why, WHY_SIZE, "kernel overlay with user.overlay.* attributes");
    return score;
}

int probe_fuse(bool single, char why[static WHY_SIZE])
{
    struct err e = ERR_INIT;
    scoped_storage_server struct storage_server server = STORAGE_SERVER_INIT;
    char layers[2][8] = {"top", "low"}, upper[] = "upper", work[] = "work";
    char *dirs[] = {layers[0], layers[1], NULL};
    struct storage_root r = {.driver = (char *)"fuse-overlayfs",
                             .layers = dirs,
                             .upper = upper,
                             .work = work,
                             .server = &server};
    if (make_layers(why) < 0)
        return 0;
    if (storage_serve(&r, true, &server, &e) < 0)
        return snprintf(why, WHY_SIZE, "%.200s", e.msg), 0;
    int score = try_mount(&r, single, why);
    if (score > 0)
        snprintf(why, WHY_SIZE, "the program fuse-overlayfs");
    return score > 0 ? 5 : 0;
}

int probe_copy(bool single, char why[static WHY_SIZE])
{
    scoped_fd int fd = open("file", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0)
        return no(why, "make a file");
    if (!single && fchown(fd, 1, 1) < 0)
        return no(why, "chown to a subordinate id");
    snprintf(why, WHY_SIZE, "every container gets a whole copy of its image");
    return 1;
}

/* Linux 6.16: data-only layers together with userxattr. */
int probe_data_only(bool single, char why[static WHY_SIZE])
{
    (void)single;
    static const char *const dirs[] = {"meta", "objs", "objs/d", "upper", "work"};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        if (mkdir(dirs[i], 0755) < 0)
            return no(why, "make a directory");
    }
    if (make_file("objs/d/1") < 0)
        return no(why, "make a file");
    scoped_fd int meta = open("meta/f", O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (meta < 0 || ftruncate(meta, 1) < 0 ||
        fsetxattr(meta, "user.overlay.metacopy", "", 0, 0) < 0 ||
        fsetxattr(meta, "user.overlay.redirect", "/d/1", 4, 0) < 0)
        return no(why, "make a metadata file");
    char layer[] = "meta", data[] = "objs", upper[] = "upper", work[] = "work";
    char *layers[] = {layer, NULL}, *data_layers[] = {data, NULL};
    struct storage_root r = {.driver = (char *)"overlay",
                             .layers = layers,
                             .data_layers = data_layers,
                             .upper = upper,
                             .work = work};
    struct err e = ERR_INIT;
    scoped_fd int root = storage_mount(&r, &e);
    if (root < 0)
        return snprintf(why, WHY_SIZE, "%.200s", e.msg), 0;
    scoped_fd int f = openat(root, "f", O_RDONLY | O_CLOEXEC);
    char c = 0;
    if (f < 0 || read(f, &c, 1) != 1)
        return no(why, "read through a data-only layer");
    return c == 'x';
}

struct job {
    bool single;
    int (*fn)(bool single, char why[static WHY_SIZE]);
    int pipe;
};

struct answer {
    int score;
    char why[WHY_SIZE];
};

static int probe_child(void *data, struct err *e)
{
    struct job *job = data;
    struct answer a = {0};
    (void)e;
    umask(0);
    a.score = job->fn(job->single, a.why);
    return fs_write_all(job->pipe, &a, sizeof(a));
}

static int run_there(const struct userns_map *map, struct job *job, char why[static WHY_SIZE],
                     struct err *e)
{
    int fds[2];
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    scoped_fd int rd = fds[0], wr = fds[1];
    job->pipe = wr;
    int r = userns_run(map, CLONE_NEWNS, probe_child, job, e);
    fd_close(&wr);
    if (r < 0)
        return r;
    struct answer a;
    if (read(rd, &a, sizeof(a)) != (ssize_t)sizeof(a))
        return err_msg(e, EIO, "the probe gave no answer");
    memcpy(why, a.why, WHY_SIZE);
    why[WHY_SIZE - 1] = '\0';
    return a.score;
}

/* The child's current directory is how it gets there: its root may not be able to walk to a
 * directory of the user, and only a working directory is carried into a new mount namespace. */
static int run_in(int dir, const struct userns_map *map, struct job *job, char why[static WHY_SIZE],
                  struct err *e)
{
    scoped_fd int cwd = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fchdir(dir) < 0)
        return err_set(e, errno, "chdir to the probe's directory");
    int r = run_there(map, job, why, e);
    if ((cwd < 0 || fchdir(cwd) < 0) && chdir("/") < 0)
        return err_set(e, errno, "chdir back");
    return r;
}

static int remove_probe(void *data, struct err *e)
{
    static const char *const names[] = {"top", "low", "upper", "work", "meta", "objs", "file"};
    int dir = *(int *)data;
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        int r = fs_remove_tree(dir, names[i], e);
        if (r < 0)
            return r;
    }
    return 0;
}

int probe_run(const char *root, const struct userns_map *map,
              int (*fn)(bool single, char why[static WHY_SIZE]), char why[static WHY_SIZE],
              struct err *e)
{
    scoped_fd int top = fs_open_dir(root, true, 0700, e);
    if (top < 0)
        return top;
    char name[32] = ".probe-";
    id_random_hex(name + 7, 16);
    if (mkdirat(top, name, 0700) < 0)
        return err_set(e, errno, "make %s/%s", root, name);
    scoped_fd int dir = openat(top, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, errno, "open %s/%s", root, name);
    int64_t uid = idmap_to_host(&map->uid, 0), gid = idmap_to_host(&map->gid, 0);
    int r = 0;
    if (geteuid() == 0 && uid > 0 && fchown(dir, (uid_t)uid, (gid_t)gid) < 0)
        r = err_set(e, errno, "chown %s/%s", root, name);
    struct job job = {.single = map->single, .fn = fn};
    if (r == 0)
        r = run_in(dir, map, &job, why, e);
    if (remove_probe(&dir, NULL) < 0)
        run_as_owner(map, remove_probe, &dir, NULL);
    unlinkat(top, name, AT_REMOVEDIR);
    return r;
}
