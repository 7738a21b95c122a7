/* mount - RUN --mount. What is mounted is found below a root descriptor, never followed on the
 * host (CVE-2024-1753, 9407, 9675, 11218; buildkit's CVE-2024-23651 to 23653). */
#include "build/build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/id.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "build/copy.h"
#include "build/mask.h"
#include "build/mount-priv.h"
#include "container/root.h"
#include "image/ref.h"
#include "mounts/mounts.h"
#include "userns/userns.h"

void run_mounts_release(struct run_mounts *m)
{
    strv_free(m->args);
    strv_free(m->key);
    for (size_t i = 0; i < m->n_locks; i++)
        close(m->locks[i]);
    free(m->locks);
    for (char **s = m->secrets; s && *s; s++)
        unlink(*s);
    strv_free(m->secrets);
    free(m->secret_env);
}

static void want_release(struct want *w)
{
    free(w->type);
    free(w->source);
    free(w->target);
    free(w->from);
    free(w->id);
    free(w->sharing);
    free(w->size);
    free(w->env);
}

static int flag(const char *value, bool *ret)
{
    *ret = true;
    return value ? parse_bool(value, ret) : 0;
}

static int number(const char *value, bool octal, int64_t *ret)
{
    uint32_t n;
    if (!value || (octal ? parse_octal(value, &n) : parse_u32(value, &n)) < 0 ||
        (octal && n > 07777))
        return -EINVAL;
    *ret = n;
    return 0;
}

static int set(char **member, const char *value)
{
    if (!value)
        return -EINVAL;
    free(*member);
    *member = xstrdup(value);
    return 0;
}

/* 1: the key is not known. */
static int take_key(struct want *w, const char *key, const char *value)
{
    bool b;
    int r = 0;
    if (streq(key, "type"))
        return set(&w->type, value);
    if (streq(key, "target") || streq(key, "dst") || streq(key, "destination"))
        return set(&w->target, value);
    if (streq(key, "source") || streq(key, "src"))
        return set(&w->source, value);
    if (streq(key, "from"))
        return set(&w->from, value);
    if (streq(key, "id"))
        return set(&w->id, value);
    if (streq(key, "sharing"))
        return set(&w->sharing, value);
    if (streq(key, "env"))
        return set(&w->env, value);
    if (streq(key, "size") || streq(key, "tmpfs-size"))
        return set(&w->size, value);
    if (streq(key, "uid"))
        return number(value, false, &w->uid);
    if (streq(key, "gid"))
        return number(value, false, &w->gid);
    if (streq(key, "mode") || streq(key, "tmpfs-mode"))
        return number(value, true, &w->mode);
    if (streq(key, "required"))
        return flag(value, &w->required);
    if (streq(key, "rw") || streq(key, "readwrite"))
        return flag(value, &w->rw);
    if (streq(key, "ro") || streq(key, "readonly")) {
        r = flag(value, &b);
        w->rw = !b;
        return r;
    }
    return streq(key, "z") || streq(key, "Z") || streq(key, "bind-propagation") ? 0 : 1;
}

static int parse(const char *text, struct want *w, struct err *e)
{
    scoped_strv char **words = strv_split(text, ",", false);
    *w = (struct want){.uid = -1, .gid = -1, .mode = -1};
    bool cache = strstr(text, "type=cache") || strstr(text, "type=tmpfs");
    w->rw = cache;
    for (char **p = words; p && *p; p++) {
        char *eq = strchr(*p, '=');
        if (eq)
            *eq++ = '\0';
        int r = take_key(w, *p, eq);
        if (r > 0)
            return err_hint(e, err_msg(e, EINVAL, "unknown key \"%s\"", *p),
                            "known: type, target, source, from, rw, ro, id, sharing, size, uid, "
                            "gid, mode, required, env");
        if (r < 0)
            return err_msg(e, EINVAL, "%s=%s: not a value for it", *p, eq ? eq : "");
    }
    if (!w->type)
        w->type = xstrdup("bind");
    if (w->env && !streq(w->type, "secret"))
        return err_msg(e, EINVAL, "env=%s: for type=secret only", w->env);
    if (w->env && (!*w->env || strchr(w->env, '=')))
        return err_msg(e, EINVAL, "env=%s: not the name of a variable", w->env);
    return 0;
}

/* Below the working directory when it is not absolute. */
static int set_target(const struct step *t, struct want *w, struct err *e)
{
    const char *dir = state_member(&t->s->st, "WorkingDir");
    bool secret = streq(w->type, "secret");
    if (secret && w->source) { /* another word for it, as docker has it */
        free(w->id);
        w->id = take_ptr(w->source);
    }
    if (secret && !w->id && !w->target)
        return err_msg(e, EINVAL, "no id= and no target=");
    if (secret && !w->target && w->env)
        return 0;
    if (secret && !w->target)
        w->target = xasprintf("/run/secrets/%s", path_name(w->id));
    if (streq(w->type, "ssh"))
        return err_hint(e, err_msg(e, ENOTSUP, "no agent of the caller is given to a build"),
                        "type=secret gives a key for one step");
    if (!w->target || !*w->target)
        return err_msg(e, EINVAL, "no target=");
    scoped_free char *joined =
        *w->target == '/' ? xstrdup(w->target) : path_join(dir ? dir : "/", w->target);
    free(w->target);
    w->target = path_clean(joined);
    if (streq(w->target, "/") || strpbrk(w->target, "\n,"))
        return err_msg(e, EINVAL, "target=%s: not a place to mount at", w->target);
    return 0;
}

void mount_add(struct run_mounts *m, const char *type, const char *source, const struct want *w,
               const char *options)
{
    strv_addf(&m->args, "--raw-mount=%s\n%s\n%s\n%s", type, source, w->target, options);
}

/* --- TMPFS --- */

static int make_tmpfs(struct run_mounts *m, const struct want *w, struct err *e)
{
    uint64_t bytes;
    scoped_str struct str o = STR_INIT;
    str_addf(&o, "nosuid,nodev,mode=%04o", w->mode >= 0 ? (unsigned)w->mode : 01777);
    if (w->size && parse_size(w->size, &bytes) < 0)
        return err_msg(e, EINVAL, "size=%s: not a size", w->size);
    if (w->size)
        str_addf(&o, ",size=%s", w->size);
    mount_add(m, "tmpfs", "tmpfs", w, o.s);
    return 0;
}

/* --- OWNERS --- */

struct owner {
    int fd;
    uid_t uid;
    gid_t gid;
    mode_t mode;
};

static int give(void *data, struct err *e)
{
    const struct owner *o = data;
    if (fchown(o->fd, o->uid, o->gid) < 0 || fchmod(o->fd, o->mode) < 0)
        return err_set(e, errno, "give it to %u:%u", o->uid, o->gid);
    return 0;
}

/* The ids are those inside. */
int mount_give(int fd, const struct want *w, mode_t mode, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    struct owner o = {fd, w->uid >= 0 ? (uid_t)w->uid : 0, w->gid >= 0 ? (gid_t)w->gid : 0,
                      w->mode >= 0 ? (mode_t)w->mode : mode};
    int r = userns_map_default(&map, e);
    if (r < 0)
        return r;
    int64_t uid = idmap_to_host(&map.uid, o.uid), gid = idmap_to_host(&map.gid, o.gid);
    if (uid < 0 || gid < 0)
        return err_msg(e, EINVAL, "uid=%u, gid=%u: not in the id map", o.uid, o.gid);
    if (uid != geteuid() && geteuid() != 0)
        return userns_run(&map, 0, give, &o, e);
    o.uid = (uid_t)uid;
    o.gid = (gid_t)gid;
    return give(&o, e);
}

/* --- BIND --- */

/* Where a descriptor is, by the kernel: the way there is of no matter any more. */
static int path_of(int fd, char ret[static PATH_MAX], struct err *e)
{
    char link[64];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, ret, PATH_MAX - 1);
    if (n < 0)
        return err_set(e, errno, "its place");
    ret[n] = '\0';
    return strpbrk(ret, "\n,:\\") ? err_msg(e, ENOTSUP, "%s: a name with such signs", ret) : 0;
}

/* A directory of this build, by a path without links. Owned, or NULL. */
static char *real_scratch_dir(struct step *t, struct err *e)
{
    char path[PATH_MAX];
    scoped_free char *dir = scratch_dir(t->b, e);
    scoped_fd int fd = dir ? fs_open_dir(dir, false, 0, e) : -1;
    return fd >= 0 && path_of(fd, path, e) == 0 ? xstrdup(path) : NULL;
}

/* Writes go to a directory of this build, and away with it. host: somebody may put a link in place
 * of a lower directory until it is mounted. */
static int make_overlay(struct step *t, struct run_mounts *m, const struct want *w,
                        char *const *lowers, bool host, struct err *e)
{
    scoped_str struct str o = STR_INIT;
    scoped_free char *top = scratch_dir(t->b, e), *empty = real_scratch_dir(t, e);
    if (!top || !empty)
        return -EIO;
    str_add(&o, host ? "userxattr," MOUNT_SOURCE_IS_REAL : "userxattr");
    for (char *const *l = lowers; *l; l++)
        str_addf(&o, ",lowerdir+=%s", *l);
    if (!w->rw || !lowers[1])
        str_addf(&o, ",lowerdir+=%s", empty);
    if (w->rw) {
        scoped_free char *upper = path_join(top, "u"), *work = path_join(top, "w");
        struct stat st;
        if (!lowers[0] || mkdir(upper, 0755) < 0 || mkdir(work, 0700) < 0)
            return err_set(e, errno, "make %s", upper);
        if (stat(lowers[0], &st) == 0)
            chmod(upper, st.st_mode & 07777);
        str_addf(&o, ",upperdir=%s,workdir=%s", upper, work);
    } else {
        str_add(&o, ",ro");
    }
    mount_add(m, "overlay", "overlay", w, o.s);
    return 0;
}

/* The copy is made of what fd is: another file may have come to path meanwhile. */
static int make_file(struct step *t, struct run_mounts *m, const struct want *w, const char *path,
                     int fd, struct err *e)
{
    char same[32];
    scoped_free char *data = NULL;
    if (!w->rw) {
        mount_add(m, "bind", path, w, "bind,ro,rprivate,nosuid,nodev," MOUNT_SOURCE_IS_REAL);
        return 0;
    }
    snprintf(same, sizeof(same), "/proc/self/fd/%d", fd);
    ssize_t n = fs_read(AT_FDCWD, same, 256u << 20, &data, e);
    scoped_free char *copy = xasprintf("%s/f%u", t->b->scratch, t->b->n_made++);
    int r = n < 0 ? (int)n : fs_write_atomic(AT_FDCWD, copy, data, (size_t)n, 0644, FS_NO_SYNC, e);
    mount_add(m, "bind", copy, w, "bind,rw,rprivate,nosuid,nodev");
    return r;
}

/* mask: what lies over the directory, or NULL. */
static int bind_host(struct step *t, struct run_mounts *m, const struct want *w, int root,
                     char *mask, struct err *e)
{
    char path[PATH_MAX];
    struct stat st;
    if (root < 0)
        return err_msg(e, ENOENT, "this build has no files");
    scoped_fd int fd = path_open_in_root(root, w->source ? w->source : "/", O_PATH, 0, e);
    int r = fd < 0 ? fd : path_of(fd, path, e);
    if (r < 0)
        return err_add(e, r, "source=%s", w->source ? w->source : "/");
    if (fstat(fd, &st) < 0 || !(S_ISDIR(st.st_mode) || S_ISREG(st.st_mode)))
        return err_msg(e, EINVAL, "source=%s: no directory and no file", w->source);
    char *lowers[] = {mask ? mask : path, mask ? path : NULL, NULL};
    if (S_ISREG(st.st_mode))
        return make_file(t, m, w, path, fd, e);
    if (w->rw || mask)
        return make_overlay(t, m, w, lowers, true, e);
    mount_add(m, "bind", path, w, "rbind,ro,rro,rprivate,nosuid,nodev," MOUNT_SOURCE_IS_REAL);
    return 0;
}

/* What the ignore file leaves out is not there. */
static int bind_context(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    const struct build_context *c = t->b->context;
    const struct mask_spec s = {c->dir_fd, w->source ? w->source : "/", c->ignore,
                                child_interrupted};
    scoped_free char *mask = c->ignore ? real_scratch_dir(t, e) : NULL;
    int r = mask ? mask_make(&s, mask, e) : c->ignore ? -EIO : 0;
    return r < 0 ? err_add(e, r, "source=%s", s.source)
                 : bind_host(t, m, w, c->dir_fd, r ? mask : NULL, e);
}

struct lookup {
    const char *source;
    int out;
};

static int look(int root_fd, void *data, struct err *e)
{
    const struct lookup *l = data;
    char path[PATH_MAX];
    scoped_fd int fd = path_open_in_root(root_fd, l->source, O_PATH, 0, e);
    int r = fd < 0 ? fd : path_of(fd, path, e);
    if (r < 0)
        return r;
    return write(l->out, path, strlen(path)) < 0 ? err_set(e, errno, "tell its place") : 0;
}

/* The path of source in an image without links, as the image's own root sees it. */
static int resolve(struct step *t, const char *image, const char *source, char **ret, struct err *e)
{
    char *words[] = {(char *)"true", NULL};
    scoped_free char *name = NULL;
    scoped_container struct container ctr = {.dir_fd = -1};
    int ends[2];
    if (!strcmp(source, "/")) {
        *ret = xstrdup("/");
        return 0;
    }
    if (pipe2(ends, O_CLOEXEC) < 0)
        return err_set(e, errno, "pipe");
    scoped_fd int in = ends[0], out = ends[1];
    struct lookup l = {source, out};
    int r = step_container(t->b, image, NULL, words, &name, e);
    r = r < 0 ? r : container_open(t->b->conf, name, &ctr, e);
    r = r < 0 ? r : container_root_run(t->b->conf, &ctr, 0, look, &l, e);
    if (name)
        step_container_end(t->b, name);
    fd_close(&out);
    ssize_t n = r < 0 ? r : fs_read_fd(in, PATH_MAX, ret, e);
    return n < 0 ? (int)n : 0;
}

static int bind_image(struct step *t, struct run_mounts *m, const struct want *w, const char *image,
                      struct err *e)
{
    scoped_free char *path = NULL;
    scoped_strv char **lowers = NULL;
    bool file = false;
    int r = resolve(t, image, w->source ? w->source : "/", &path, e);
    r = r < 0 ? r : lower_dirs(t->b, image, path, &lowers, &file, e);
    if (r < 0)
        return err_add(e, r, "source=%s", w->source ? w->source : "/");
    if (!file)
        return make_overlay(t, m, w, lowers, false, e);
    char real[PATH_MAX]; /* the way to the store may be a link */
    scoped_fd int fd = open(lowers[0], O_PATH | O_NOFOLLOW | O_CLOEXEC);
    r = fd < 0 ? err_set(e, errno, "open %s", lowers[0]) : path_of(fd, real, e);
    return r < 0 ? r : make_file(t, m, w, real, fd, e);
}

static int make_bind(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    scoped_free char *dir = NULL, *image = NULL;
    if (!w->from)
        return bind_context(t, m, w, e);
    int r = stage_source(t->b, t->s, w->from, &dir, &image, e);
    if (r < 0)
        return err_add(e, r, "from=%s", w->from);
    if (image)
        return bind_image(t, m, w, image, e);
    scoped_fd int root = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? err_set(e, errno, "from=%s: %s", w->from, dir)
                    : bind_host(t, m, w, root, NULL, e);
}

/* --- KEYS --- */

/* What a directory holds counts as if it were copied. */
int mount_source_key(struct step *t, const struct want *w, char **ret, struct err *e)
{
    scoped_free char *dir = NULL, *image = NULL;
    char digest[DIGEST_TEXT_MAX];
    SCOPED(copy_scoped) struct copy *c = NULL;
    struct state of = {0};
    int r = w->from ? stage_source(t->b, t->s, w->from, &dir, &image, e) : 0;
    if (r < 0)
        return err_add(e, r, "from=%s", w->from);
    if (image) {
        r = state_load(t->b, image, &of, e);
        *ret = r < 0 ? NULL : json_dumps(state_layers(&of), JSON_COMPACT);
        state_release(&of);
        return r;
    }
    scoped_fd int root = dir ? open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    char *args[] = {w->source ? w->source : (char *)".", (char *)"/", NULL};
    struct ins in = {.kind = INS_COPY, .line = t->in->line, .text = (char *)"COPY", .args = args};
    const struct copy_spec spec = {.in = &in,
                                   .from_fd = dir ? root : t->b->context->dir_fd,
                                   .ignore = dir ? NULL : t->b->context->ignore,
                                   .max_mtime = -1,
                                   .mtime = -1,
                                   .interrupted = child_interrupted};
    r = copy_open(&spec, &c, e);
    r = r < 0 ? r : copy_hash(c, digest, e);
    if (r == 0)
        *ret = xstrdup(digest);
    return r;
}

static int each(struct step *t, struct run_mounts *m,
                int (*fn)(struct step *t, struct run_mounts *m, const struct want *w,
                          struct err *e),
                struct err *e)
{
    int r = 0;
    for (size_t i = 0; r == 0 && i < t->in->n_flags; i++) {
        SCOPED(want_release) struct want w = {0};
        const char *text = t->in->flags[i].value;
        if (!streq(t->in->flags[i].name, "mount"))
            continue;
        r = parse(text ? text : "", &w, e);
        r = r < 0 ? r : set_target(t, &w, e);
        r = r < 0 ? r : fn(t, m, &w, e);
        if (r < 0)
            err_add(e, r, "--mount=%s", text ? text : "");
    }
    return r;
}

static int key_one(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    scoped_free char *key = NULL;
    if (!streq(w->type, "bind") && !(streq(w->type, "cache") && w->from))
        return 0;
    int r = mount_source_key(t, w, &key, e);
    if (r == 0)
        strv_add(&m->key, key);
    return r;
}

static int make_one(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    if (streq(w->type, "bind"))
        return make_bind(t, m, w, e);
    if (streq(w->type, "cache"))
        return mount_cache(t, m, w, e);
    if (streq(w->type, "secret"))
        return mount_secret(t, m, w, e);
    if (streq(w->type, "tmpfs"))
        return make_tmpfs(m, w, e);
    return err_hint(e, err_msg(e, EINVAL, "unknown type %s", w->type),
                    "known: bind, cache, secret, tmpfs");
}

int run_mounts_key(struct step *t, struct run_mounts *m, struct err *e)
{
    return each(t, m, key_one, e);
}

int run_mounts_make(struct step *t, struct run_mounts *m, struct err *e)
{
    return each(t, m, make_one, e);
}
