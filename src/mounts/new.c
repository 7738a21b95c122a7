/* new - file systems that belong to the container: proc, sysfs, tmpfs, devpts, mqueue, cgroup2. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts-priv.h"
#include "mounts/tree.h"

/* What is known of a file system. */
struct kind {
    const char *type;
    const char *const *options; /* words (up to '=') it takes; NULL: the kernel judges */
    bool labelled;              /* takes an SELinux context */
    int (*fallback)(struct mounts *c, const struct mount_options *o, struct err *e);
};

/* tmpfs(5). "huge" and quota limits need rights that a user namespace does not give; the kernel
 * says so. */
static const char *const tmpfs_options[] = {
    "size",    "nr_blocks", "nr_inodes", "mode", "uid",     "gid",      "huge",       "mpol",
    "inode32", "inode64",   "noswap",    "sync", "dirsync", "lazytime", "nolazytime", NULL,
};

static bool is_known(const char *const *known, const char *option)
{
    size_t n = strcspn(option, "=");
    for (; *known; known++) {
        if (strlen(*known) == n && strncmp(*known, option, n) == 0)
            return true;
    }
    return false;
}

static int check_options(const struct kind *k, const char *data, struct err *e)
{
    if (!k->options || !data)
        return 0;
    scoped_strv char **words = strv_split(data, ",", false);
    for (size_t i = 0; words && words[i]; i++) {
        if (!is_known(k->options, words[i]))
            return err_msg(e, EINVAL, "unknown %s option \"%s\"", k->type, words[i]);
    }
    return 0;
}

/* A tree of the host in place of a file system that the kernel gives only to the owner of a
 * namespace. */
static int host_tree(const char *path, uint64_t set, struct err *e)
{
    scoped_fd int tree = mountfd_clone(AT_FDCWD, path, true, e);
    if (tree < 0)
        return tree;
    int r = mountfd_setattr(tree, true, set, 0, MS_PRIVATE, e);
    return r < 0 ? r : take_fd(&tree);
}

static int fallback_sysfs(struct mounts *c, const struct mount_options *o, struct err *e)
{
    (void)o;
    if (c->env->own_netns)
        return -EPERM;
    return host_tree(
        "/sys", MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, e);
}

static int fallback_proc(struct mounts *c, const struct mount_options *o, struct err *e)
{
    (void)o;
    if (c->env->own_pidns)
        return -EPERM;
    return host_tree("/proc", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, e);
}

static int empty_tmpfs(const char *source, struct err *e)
{
    return mountfd_new("tmpfs", source, "mode=755,size=4k",
                       MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
                       e);
}

/* The queues of the host's namespace work without the mount, which only lists them; many hosts have
 * none. */
static int fallback_mqueue(struct mounts *c, const struct mount_options *o, struct err *e)
{
    (void)o;
    if (c->env->own_ipcns)
        return -EPERM;
    int r = host_tree("/dev/mqueue", MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, e);
    return r == -ENOENT ? empty_tmpfs("mqueue", e) : r;
}

/* Never the host's cgroup tree: an empty directory tells programs that there is nothing. */
static int fallback_cgroup(struct mounts *c, const struct mount_options *o, struct err *e)
{
    (void)c;
    (void)o;
    log_debug("no cgroup2 mount here; /sys/fs/cgroup stays empty");
    return empty_tmpfs("cgroup", e);
}

/* devpts with gid=5 fails when that group is not mapped (one single id): without it the slave ends
 * are the opener's group, which is all there is. */
static int fallback_devpts(struct mounts *c, const struct mount_options *o, struct err *e)
{
    (void)c;
    scoped_strv char **words = strv_split(o->data ? o->data : "", ",", false);
    scoped_strv char **kept = NULL;
    for (size_t i = 0; words && words[i]; i++) {
        if (!str_after(words[i], "gid="))
            strv_add(&kept, words[i]);
    }
    scoped_free char *data = strv_join(kept, ",");
    return mountfd_new("devpts", "devpts", data, o->attr_set, e);
}

static const struct kind kinds[] = {
    {"proc", NULL, false, fallback_proc},     {"sysfs", NULL, false, fallback_sysfs},
    {"tmpfs", tmpfs_options, true, NULL},     {"devpts", NULL, true, fallback_devpts},
    {"mqueue", NULL, false, fallback_mqueue}, {"cgroup2", NULL, false, fallback_cgroup},
    {"cgroup", NULL, false, fallback_cgroup},
};

static const struct kind *kind_find(const char *type)
{
    for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
        if (streq(kinds[i].type, type))
            return &kinds[i];
    }
    return NULL;
}

static const char *label_of(const struct mounts *c)
{
    const char *label = c->spec->linux_ ? c->spec->linux_->mount_label : NULL;
    if (!label || !label[0])
        return NULL;
    if (access("/sys/fs/selinux/enforce", F_OK) == 0)
        return label;
    log_debug("linux.mountLabel has no effect: this kernel runs without SELinux");
    return NULL;
}

/* "lowerdir+=DIR,...", each DIR as it is found without links. Overlay looks it up at once. */
static int set_real_options(int fs_fd, const char *data, struct err *e)
{
    scoped_strv char **words = strv_split(data, ",", false);
    int r = 0;
    for (char **w = words; r == 0 && w && *w; w++) {
        const char *dir = str_after(*w, "lowerdir+=");
        scoped_fd int fd = dir ? bind_open_real(dir, e) : -1;
        char same[40];
        snprintf(same, sizeof(same), "/proc/self/fd/%d", fd);
        r = !dir      ? mountfd_options(fs_fd, *w, e)
            : fd >= 0 ? mountfd_string(fs_fd, "lowerdir+", same, e)
                      : fd;
    }
    return r;
}

/* A file system of the kernel's, or on a device. */
static int make_new(struct mounts *c, const struct spec_mount *m, const char *data, uint64_t attr,
                    bool real, struct err *e)
{
    const struct kind *k = kind_find(m->type);
    const char *label = !k || k->labelled ? label_of(c) : NULL;
    scoped_fd int fs_fd = mountfd_open(m->type, e);
    if (fs_fd < 0)
        return fs_fd;
    int r = mountfd_string(fs_fd, "source", m->source && m->source[0] ? m->source : m->type, e);
    if (r == 0 && data)
        r = real ? set_real_options(fs_fd, data, e) : mountfd_options(fs_fd, data, e);
    if (r == 0 && label)
        r = mountfd_string(fs_fd, "context", label, e);
    /* A device that cannot be written, or shall not be. */
    if (r == 0 && !k && (attr & MOUNT_ATTR_RDONLY))
        r = mountfd_flag(fs_fd, "ro", e);
    if (r == 0)
        r = mountfd_mount(fs_fd, attr, e);
    return r < 0 ? err_add(e, r, "filesystem %s", m->type) : r;
}

/* What it is put on, and whether that was there before. */
struct place {
    int target;
    bool existed;
    mode_t mode;
};

/* A tmpfs without a mode takes that of the directory below it, as mount(8)'s callers expect of
 * runtimes; NULL: nothing to add. Owned. */
static char *with_mode(const struct mount_options *o, const struct place *p)
{
    const char *data = o->data ? o->data : "";
    scoped_strv char **words = strv_split(data, ",", false);
    for (size_t i = 0; words && words[i]; i++) {
        if (str_after(words[i], "mode="))
            return NULL;
    }
    return p->existed ? xasprintf("mode=%04o%s%s", p->mode & 07777, *data ? "," : "", data) : NULL;
}

/* The detached mount. */
static int make(struct mounts *c, const struct spec_mount *m, const struct mount_options *o,
                const struct place *p, uint64_t attr, struct err *e)
{
    struct kind other = {.type = m->type};
    const struct kind *k = kind_find(m->type);
    if (!k)
        k = &other;
    int r = check_options(k, o->data, e);
    if (r < 0)
        return r;
    scoped_free char *data = streq(k->type, "tmpfs") ? with_mode(o, p) : NULL;
    if (streq(k->type, "cgroup") || streq(k->type, "cgroup2"))
        r = cgroup_mount(c, m, o, p->target, e);
    else
        r = make_new(c, m, data ? data : o->data, attr, o->source_is_real, e);
    if (r >= 0 || !k->fallback)
        return r;
    struct err second = ERR_INIT;
    int fd = k->fallback(c, o, &second);
    if (fd < 0)
        return r; /* the first reason is the one that counts */
    err_clear(e);
    return fd;
}

/* What the options say of the tmpfs itself stands against what the directory was like. */
static int restore_attributes(int mnt, const char *data, const struct stat *st, struct err *e)
{
    scoped_strv char **words = strv_split(data ? data : "", ",", false);
    bool owner = false, mode = false;
    for (size_t i = 0; words && words[i]; i++) {
        owner |= str_after(words[i], "uid=") || str_after(words[i], "gid=");
        mode |= str_after(words[i], "mode=") != NULL;
    }
    scoped_fd int dir = openat(mnt, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, errno, "open the tmpfs");
    if (owner && fchown(dir, st->st_uid, st->st_gid) < 0)
        return err_set(e, errno, "owner of the tmpfs");
    if (mode && fchmod(dir, st->st_mode & 07777) < 0)
        return err_set(e, errno, "mode of the tmpfs");
    return 0;
}

static int copy_up(struct mounts *c, const char *path, int mnt, const char *data, struct err *e)
{
    scoped_fd int dir = path_open_in_root(c->root, path, O_RDONLY | O_DIRECTORY, 0, NULL);
    if (dir < 0)
        return 0;
    struct stat st;
    if (fstat(mnt, &st) < 0)
        return err_set(e, errno, "look at the tmpfs");
    struct tree_copy t = {.src = dir, .dst = mnt, .objects = -1};
    int r = tree_copy(&t, e);
    if (r == 0)
        r = restore_attributes(mnt, data, &st, e);
    return r < 0 ? err_add(e, r, "copy up") : 0;
}

int new_mount(struct mounts *c, const struct spec_mount *m, const struct mount_options *o,
              struct err *e)
{
    bool tmpfs = streq(m->type, "tmpfs");
    uint64_t attr = o->attr_set | o->rec_attr_set;
    scoped_free char *path = path_clean(m->destination);
    /* A read-only tmpfs becomes so at the end: it still receives mount points and devices. */
    bool later_ro = (tmpfs || streq(path, "/dev")) && (attr & MOUNT_ATTR_RDONLY);
    if (later_ro)
        attr &= ~(uint64_t)MOUNT_ATTR_RDONLY;

    struct stat st = {0};
    scoped_fd int before = tmpfs ? path_open_in_root(c->root, m->destination, O_PATH, 0, NULL) : -1;
    bool existed = before >= 0 && fstat(before, &st) == 0;
    scoped_fd int target = target_open(c->root, m->destination, S_IFDIR, e);
    if (target < 0)
        return target;
    const struct place place = {target, existed, st.st_mode};
    scoped_fd int mnt = make(c, m, o, &place, attr, e);
    if (mnt < 0)
        return mnt;
    int r = tmpfs && o->tmpcopyup ? copy_up(c, m->destination, mnt, o->data, e) : 0;
    if (r == 0 && idmap_wanted(m, o))
        r = idmap_apply(c->spec, m, o, c->env->in_userns, mnt, e);
    if (r == 0 && o->propagation)
        r = bind_propagation(mnt, o->propagation, e);
    if (r == 0 && o->propagation_then)
        r = bind_propagation(mnt, o->propagation_then, e);
    if (r == 0)
        r = mountfd_attach(mnt, target, e);
    if (r == 0 && later_ro)
        c->later_ro[c->n_later_ro++] = take_fd(&mnt);
    return r;
}
