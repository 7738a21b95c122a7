/* build_spec - run --spec FILE: the OCI configuration comes from the user, options only fill in
 * what the file leaves open. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/timefmt.h"
#include "cli/build.h"
#include "security/caps.h"

/* root.path is relative to the file's directory. */
static int spec_root(struct build *b, const char *file, struct err *e)
{
    char *path = b->spec->root->path;
    if (b->rec->storage.driver || b->image)
        return 0; /* --rootfs or an image */
    scoped_free char *full = realpath(file, NULL);
    if (!full)
        return err_set(e, errno, "--spec %s", file);
    char *slash = strrchr(full, '/');
    slash[slash == full] = '\0';
    scoped_free char *joined = *path == '/' ? xstrdup(path) : path_join(full, path);
    char *real = realpath(joined, NULL);
    if (!real)
        return err_set(e, errno, "--spec %s: root.path %s", file, joined);
    b->rec->storage.driver = xstrdup("dir");
    b->rec->storage.dir = real;
    b->rec->image = xstrdup(real);
    return 0;
}

/* Maps of the file must be the caller's to give: the kernel's helpers check that. Without any, the
 * caller's default map is used. */
static void spec_maps(struct build *b)
{
    struct spec_linux *l = b->spec->linux_;
    if (l->n_uid_mappings && l->n_gid_mappings)
        return;
    spec_namespace_set(b->spec, "user", NULL);
    build_maps(b);
}

static int spec_seccomp(struct build *b)
{
    struct spec_linux *l = b->spec->linux_;
    b->rec->seccomp = xstrdup(l->seccomp ? "file" : "unconfined");
    b->seccomp_compile = l->seccomp != NULL;
    return 0;
}

static void spec_record(struct build *b)
{
    struct ctr_record *r = b->rec;
    struct spec_process *p = b->spec->process;
    r->version = 1;
    r->created_ns = time_now_ns();
    r->pidfile = xstrdup(b->o->pidfile);
    r->stop_signal = xstrdup("SIGTERM");
    r->stop_timeout_s = 10;
    r->auto_remove = b->o->rm;
    r->open_stdin = b->o->interactive;
    r->network.mode = xstrdup(spec_namespace_get(b->spec, "network") ? "none" : "host");
    if (b->o->tty)
        p->terminal = true;
    r->tty = p->terminal;
    if (*b->words) {
        strv_free(p->args);
        p->args = strv_dup(b->words);
        b->spec->no_process = false;
    }
    r->command = strv_dup(p->args);
    if (p->capabilities && p->capabilities->bounding)
        b->caps = cap_known(p->capabilities->bounding);
}

int build_read_spec(const char *file, struct spec *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, file, SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return err_add(e, (int)n, "--spec");
    return spec_parse(text, (size_t)n, file, ret, e);
}

int build_from_file(struct build *b, struct err *e)
{
    const char *file = b->o->spec;
    b->dir = xasprintf("%s/containers/%s", b->conf->root, b->rec->id);
    int r = build_log(b, e);
    if (r == 0)
        r = build_life(b, e);
    if (r == 0)
        r = build_watch(b, e);
    if (r == 0)
        r = spec_root(b, file, e);
    if (r == 0)
        r = spec_seccomp(b);
    if (r < 0)
        return r;
    build_put_limits(b);
    spec_maps(b);
    spec_record(b);
    if (b->spec->no_process)
        return err_msg(e, EINVAL, "%s: process: missing", file);
    return spec_validate(b->spec, e);
}
