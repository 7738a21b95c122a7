/* root - the first step: separate from the host, attach the root, fill it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts-priv.h"

int mounts_isolate(struct err *e)
{
    scoped_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (root < 0)
        return err_set(e, errno, "open /");
    int r = mountfd_setattr(root, true, 0, 0, MS_SLAVE, e);
    return r < 0 ? err_add(e, r, "separate the mounts from the host's") : 0;
}

static int propagation_parse(const struct spec *s, uint64_t *ret, struct err *e)
{
    const char *text = s->linux_ ? s->linux_->rootfs_propagation : NULL;
    *ret = 0;
    if (!text || !text[0])
        return 0;
    char *words[] = {(char *)text, NULL};
    scoped_mount_options struct mount_options o = {0};
    int r = mount_options_parse(words, &o, e);
    if (r == 0 && !o.propagation)
        return err_msg(e, EINVAL, "linux.rootfsPropagation: unknown value \"%s\"", text);
    *ret = o.propagation;
    return r;
}

int mounts_open_sources(const struct spec *spec, const char *bundle, int *ret_fds, struct err *e)
{
    uint64_t propagation;
    int r = propagation_parse(spec, &propagation, e);
    /* Sources stay in the host's peer groups only where the whole root is to be shared: what a
     * "shared" bind shows of the container's mounts to the host needs both, as with runc. */
    bool shared = propagation & MS_SHARED;
    if (r == 0 && !shared)
        r = mounts_isolate(e);
    for (size_t i = 0; r >= 0 && i < spec->n_mounts; i++) {
        const struct spec_mount *m = &spec->mounts[i];
        scoped_mount_options struct mount_options o = {0};
        r = mount_options_parse(m->options, &o, e);
        if (r == 0 && ret_fds[i] < 0 && mount_is_bind(m, &o) && !o.remount && !o.copy_symlink)
            r = ret_fds[i] = bind_open_source(bundle, m->source, &o, e);
        if (r < 0)
            err_add(e, r, "mount %s", m->destination);
    }
    if (r >= 0 && shared)
        r = mounts_isolate(e);
    return r < 0 ? r : 0;
}

int *mounts_new_fds(const struct spec *spec)
{
    int *fds = xcalloc(spec->n_mounts + 1, sizeof(*fds));
    for (size_t i = 0; i < spec->n_mounts; i++)
        fds[i] = -1;
    return fds;
}

void mounts_close_fds(const struct spec *spec, int *fds)
{
    for (size_t i = 0; fds && i < spec->n_mounts; i++)
        fd_close(&fds[i]);
    free(fds);
}

/* "copy-symlink": a source that is itself a link becomes the same link. 1 = done. */
static int copy_symlink(struct mounts *c, const struct spec_mount *m, struct err *e)
{
    char text[4097];
    scoped_free char *full = c->env->bundle && m->source[0] != '/'
                                 ? path_join(c->env->bundle, m->source)
                                 : xstrdup(m->source);
    ssize_t n = readlink(full, text, sizeof(text) - 1);
    if (n < 0)
        return 0; /* no link: an ordinary bind, which tells what is wrong with it */
    text[n] = '\0';
    scoped_free char *name = NULL;
    scoped_fd int parent = path_open_parent(c->root, m->destination, true, &name, e);
    if (parent < 0)
        return parent;
    if (symlinkat(text, parent, name) < 0 && errno != EEXIST)
        return err_set(e, errno, "make the symbolic link");
    return 1;
}

static int bind_mount(struct mounts *c, size_t i, const char *path, const struct mount_options *o,
                      struct err *e)
{
    const struct spec_mount *m = &c->spec->mounts[i];
    int r = o->copy_symlink ? copy_symlink(c, m, e) : 0;
    if (r != 0)
        return r < 0 ? r : 0;
    scoped_fd int own = -1;
    int tree = c->env->bind_fds ? c->env->bind_fds[i] : -1;
    if (tree < 0)
        tree = own = bind_open_source(c->env->bundle, m->source, o, e);
    if (tree < 0)
        return tree;
    /* Since Linux 6.8 mountinfo has mounts in the order in which they were made: a copy made now,
     * which 6.15 can, has its place in it. */
    if (own < 0) {
        own = mountfd_clone(tree, "", true, NULL);
        tree = own >= 0 ? own : tree;
    }
    struct stat st;
    struct statfs fs;
    if (fstat(tree, &st) < 0 || fstatfs(tree, &fs) < 0)
        return err_set(e, errno, "stat the source");
    r = target_check_proc(path, fs.f_type == PROC_SUPER_MAGIC, e);
    if (r == 0 && idmap_wanted(m, o) && !c->env->idmapped)
        r = idmap_apply(c->spec, m, o, c->env->in_userns, tree, e);
    if (r < 0)
        return r;
    scoped_fd int target =
        target_open(c->root, m->destination, S_ISDIR(st.st_mode) ? S_IFDIR : S_IFREG, e);
    if (target < 0)
        return target;
    return bind_attach(tree, o, target, e);
}

static int remount(struct mounts *c, const struct spec_mount *m, const struct mount_options *o,
                   struct err *e)
{
    scoped_fd int fd = path_open_in_root(c->root, m->destination, O_PATH, 0, e);
    int r = fd < 0 ? fd : 0;
    if (r == 0 && o->data && !mount_is_bind(m, o))
        r = mountfd_reconfigure(fd, o->data, e);
    if (r == 0)
        r = bind_setattr(fd, false, o->attr_set, o->attr_clear, e);
    return r < 0 ? r : bind_setattr(fd, true, o->rec_attr_set, o->rec_attr_clear, e);
}

int mount_one(struct mounts *c, size_t i, struct err *e)
{
    const struct spec_mount *m = &c->spec->mounts[i];
    scoped_mount_options struct mount_options o = {0};
    int r = mount_options_parse(m->options, &o, e);
    if (r < 0)
        return r;
    scoped_free char *path = path_clean(m->destination);
    if (streq(path, "/"))
        return err_msg(e, EINVAL, "the root itself cannot be a mount's destination");
    r = target_refuse_symlink(c->root, path, e);
    if (r < 0)
        return r;
    if (o.remount)
        return remount(c, m, &o, e);
    if (mount_is_bind(m, &o))
        return bind_mount(c, i, path, &o, e);
    if (!m->type || !m->type[0] || streq(m->type, "none"))
        return err_msg(e, EINVAL, "a mount needs a type, or the option \"bind\"");
    r = target_check_proc(path, streq(m->type, "proc"), e);
    return r < 0 ? r : new_mount(c, m, &o, e);
}

/* Everything inside, while the host is still there to take sources from. */
static int fill(struct mounts *c, struct err *e)
{
    for (size_t i = 0; i < c->spec->n_mounts; i++) {
        int r = mount_one(c, i, e);
        if (r < 0)
            return err_add(e, r, "mount %s", c->spec->mounts[i].destination);
    }
    return dev_populate(c, e);
}

/* Where no directory is given the new root lies on top of the old "/", so that none of the host is
 * needed for it. */
static int attach_root(struct mounts *c, struct err *e)
{
    scoped_fd int host = -1;
    int at = c->env->root_at;
    if (at < 0) {
        at = host = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (host < 0)
            return err_set(e, errno, "open /");
    }
    int r = mountfd_attach(c->root, at, e);
    return r < 0 ? err_add(e, r, "attach the root file system") : 0;
}

void mounts_free(struct mounts *c)
{
    if (!c)
        return;
    fd_close(&c->null_fd);
    fd_close(&c->empty);
    for (size_t i = 0; i < c->n_later_ro; i++)
        fd_close(&c->later_ro[i]);
    free(c->later_ro);
    strv_free(c->kernel_mounts);
    free(c);
}

int mounts_prepare(const struct spec *spec, const struct mounts_env *env, struct mounts **ret,
                   struct err *e)
{
    uint64_t propagation;
    int r = propagation_parse(spec, &propagation, e);
    if (r == 0)
        r = mounts_isolate(e);
    if (r < 0)
        return r;
    struct mounts *c = xcalloc(1, sizeof(*c));
    *c = (struct mounts){.spec = spec,
                         .env = env,
                         .propagation = propagation,
                         .root = env->root_mount,
                         .null_fd = dev_open_null(e),
                         .empty = -1};
    c->later_ro = xcalloc(spec->n_mounts + 1, sizeof(*c->later_ro));
    r = c->null_fd < 0 ? c->null_fd : 0;
    if (r == 0 && env->no_pivot)
        r = pivot_find_kernel_mounts(&c->kernel_mounts, e);
    if (r == 0)
        r = attach_root(c, e);
    if (r == 0)
        r = fill(c, e);
    if (r < 0)
        mounts_free(c);
    else
        *ret = c;
    return r;
}

int mounts_enter(const struct spec *spec, const struct mounts_env *env, struct err *e)
{
    struct mounts *c = NULL;
    int r = mounts_prepare(spec, env, &c, e);
    if (r == 0)
        r = mounts_pivot(c, e);
    mounts_free(c);
    return r;
}
