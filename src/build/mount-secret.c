/* mount-secret - RUN --mount=type=secret: a file in the runtime directory, a variable, or both, of
 * one RUN. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/mount-priv.h"

static const char *secret_of(const struct build *b, const char *id)
{
    for (char **s = b->o->secrets; s && *s; s++) {
        scoped_free char *own = build_opt_key(*s, "id");
        if (streq(own, id))
            return *s;
    }
    return NULL;
}

/* id=x,src=FILE; id=x,env=NAME; id=x: the variable of that name, else the file. */
static ssize_t read_secret(const char *option, const char *id, char **ret, struct err *e)
{
    scoped_free char *src = build_opt_key(option, "src"), *env = build_opt_key(option, "env");
    scoped_free char *type = build_opt_key(option, "type");
    if (!src)
        src = build_opt_key(option, "source");
    const char *value = env                          ? getenv(env)
                        : !src || streq(type, "env") ? getenv(src ? src : id)
                                                     : NULL;
    if (env && !value)
        return err_msg(e, ENOENT, "--secret %s: %s is not in the environment", id, env);
    if (value) {
        *ret = xstrdup(value);
        return (ssize_t)strlen(value);
    }
    ssize_t n = fs_read(AT_FDCWD, src ? src : id, 512u << 10, ret, e);
    return n < 0 ? err_add(e, (int)n, "--secret %s", id) : n;
}

struct secret {
    const char *data;
    size_t n;
};

/* What one variable can hold: MAX_ARG_STRLEN of execve(2). */
#define VARIABLE_MAX (128u << 10)

/* The container's record has the environment, and lives longer than the step: these variables go by
 * a file in the runtime directory, which whoever starts the container removes. */
static int add_variable(struct run_mounts *m, const char *dir, const struct want *w,
                        const struct secret *s, struct err *e)
{
    if (memchr(s->data, 0, s->n))
        return err_hint(e, err_msg(e, EINVAL, "env=%s: the secret has a byte of 0", w->env),
                        "target= gives it as a file");
    if (strlen(w->env) + s->n + 2 > VARIABLE_MAX)
        return err_hint(
            e, err_msg(e, E2BIG, "env=%s: %zu bytes are too many for a variable", w->env, s->n),
            "target= gives it as a file");
    if (!m->secret_env) {
        m->secret_env = xasprintf("%s/env", dir);
        strv_add(&m->secrets, m->secret_env);
    }
    scoped_fd int fd =
        open(m->secret_env, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, w->env, strlen(w->env));
    r = r < 0 ? r : fs_write_all(fd, "=", 1);
    r = r < 0 ? r : fs_write_all(fd, s->data, s->n);
    r = r < 0 ? r : fs_write_all(fd, "", 1);
    return r < 0 ? err_set(e, -r, "write %s", m->secret_env) : 0;
}

static int add_file(struct step *t, struct run_mounts *m, const char *dir, const struct want *w,
                    const struct secret *s, struct err *e)
{
    scoped_free char *path = xasprintf("%s/s%u", dir, t->b->n_made++);
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, s->data, s->n);
    strv_add(&m->secrets, path);
    if (r < 0)
        return err_set(e, -r, "write %s", path);
    mount_add(m, "bind", path, w, "bind,ro,rprivate,nosuid,nodev");
    return mount_give(fd, w, 0400, e);
}

int mount_secret(struct step *t, struct run_mounts *m, const struct want *w, struct err *e)
{
    struct build *b = t->b;
    scoped_free char *id = xstrdup(w->id ? w->id : path_name(w->target)), *data = NULL;
    const char *option = secret_of(b, id), *dir;
    if (!option && !w->required)
        return 0;
    if (!option)
        return err_hint(e, err_msg(e, ENOENT, "the secret %s was not given", id),
                        "rootlet build --secret id=%s,src=FILE", id);
    ssize_t n = read_secret(option, id, &data, e);
    if (n < 0 || !(dir = scratch_secrets(b, e)))
        return n < 0 ? (int)n : -EIO;
    struct secret s = {data, (size_t)n};
    int r = w->env ? add_variable(m, dir, w, &s, e) : 0;
    if (r == 0 && w->target)
        r = add_file(t, m, dir, w, &s, e);
    explicit_bzero(data, (size_t)n);
    return r;
}
