/* build - see build.h: the order of the parts, and the files every container gets. */
#include "cli/build.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/timefmt.h"
#include "cli/unit.h"
#include "logs/logs.h"
#include "volume/volume.h"

#define HOSTS_MAX (64u << 10)

static void clear_limits(struct spec_process *p)
{
    for (size_t i = 0; i < p->n_rlimits; i++) {
        free(p->rlimits[i].type);
        json_decref(p->rlimits[i].extra);
    }
    p->n_rlimits = 0;
}

/* Without a limit of its own a log ends where the disk does. */
int build_log(struct build *b, struct err *e)
{
    const char *fallback = b->o->unit ? "passthrough" : b->conf->log_driver;
    const char *max = strv_env_get(b->conf->extra, "log_size_max");
    b->rec->log_driver = xstrdup(b->o->log_driver ? b->o->log_driver : fallback);
    b->rec->log_opts = strv_dup(b->o->log_opt);
    bool is_file = streq(b->rec->log_driver, "k8s-file") || streq(b->rec->log_driver, "json-file");
    if (max && is_file && !strv_env_get(b->o->log_opt, "max-size"))
        strv_addf(&b->rec->log_opts, "max-size=%s", max);
    if (streq(b->rec->log_driver, "passthrough") && b->o->tty)
        return err_msg(e, EINVAL,
                       "--log-driver passthrough: a container with a terminal (-t) has "
                       "no other output");
    b->rec->sdnotify = xstrdup(b->o->sdnotify ? b->o->sdnotify : b->o->unit ? "monitor" : NULL);
    int r = unit_sdnotify_check(&b->rec->sdnotify, e);
    return r == 0 ? log_opts_check(b->rec->log_driver, b->rec->log_opts, e) : r;
}

void build_put_limits(struct build *b)
{
    struct spec_linux *l = b->spec->linux_;
    json_decref(l->resources);
    l->resources = json_object_size(b->limits) > 0 ? json_deep_copy(b->limits) : NULL;
}

int build_all(struct build *b, struct err *e)
{
    const struct secopt none = SECOPT_INIT;
    b->sec = none;
    b->dir = xasprintf("%s/containers/%s", b->conf->root, b->rec->id);
    spec_default(b->spec);
    build_put_limits(b);
    clear_limits(b->spec->process); /* the caller's own, as with any program he starts */
    b->rec->version = 1;
    b->rec->created_ns = time_now_ns();
    int r = build_log(b, e);
    b->rec->host_config = build_host_config(b->o);
    b->rec->pidfile = xstrdup(b->o->pidfile);
    b->rec->cidfile = xstrdup(b->o->cidfile);
    if (r == 0)
        r = build_life(b, e);
    if (r == 0)
        r = unit_healthy_check(b->rec, e);
    if (r == 0)
        r = build_watch(b, e);
    if (r == 0)
        r = build_names(b, e);
    if (r == 0)
        r = build_process(b, e);
    if (r == 0)
        r = build_mounts(b, e);
    if (r == 0)
        r = build_volumes(b, e);
    if (r == 0)
        r = build_security(b, e);
    if (r < 0)
        return r;
    spec_claim_version(b->spec);
    return spec_validate(b->spec, e);
}

static void release_locks(struct build *b)
{
    for (size_t i = 0; i < b->n_locks; i++)
        close(b->locks[i]);
    free(take_ptr(b->locks));
    b->n_locks = 0;
}

void build_release(struct build *b)
{
    secopt_release(&b->sec);
    strv_free(b->env);
    free(b->dir);
    free(b->seccomp_profile);
    release_locks(b);
    strv_free(b->made_volumes);
}

void build_forget_volumes(struct build *b)
{
    const struct conf *conf = b->conf;
    scoped_strv char **names = take_ptr(b->made_volumes);
    build_release(b); /* our own locks */
    *b = (struct build){0};
    for (char **n = names; n && *n; n++) {
        (void)!container_volume_remove(conf, *n, NULL);
        volume_keep(conf, *n);
    }
}

void build_keep_volumes(struct build *b, const char *id)
{
    const struct conf *conf = b->conf;
    scoped_strv char **names = take_ptr(b->made_volumes);
    scoped_container struct container ctr = {.dir_fd = -1};
    struct err ignored = ERR_INIT;
    if (!names)
        return;
    release_locks(b);
    for (char **n = names; *n; n++)
        volume_keep(conf, *n);
    /* Whoever has removed the container already could not remove what we had a lock on. */
    bool gone = container_open(conf, id, &ctr, &ignored) == -ENOENT;
    for (char **n = names; gone && *n; n++)
        (void)!container_volume_remove(conf, *n, NULL);
    container_volume_sweep(conf); /* those of others who came to no end */
}

static int write_file(const char *dir, const char *name, const struct str *text, struct err *e)
{
    scoped_free char *path = path_join(dir, name);
    scoped_fd int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return err_set(e, errno, "create %s", path);
    int r = fs_write_all(fd, text->s, text->len);
    return r < 0 ? err_set(e, -r, "write %s", path) : 0;
}

/* The first that a container would see: what the image has there as a plain file. */
static int write_image_hosts(const struct build *b, const char *dir, struct err *e)
{
    scoped_str struct str s = STR_INIT;
    scoped_free char *text = NULL;
    ssize_t n = -ENOENT;
    char *plain[] = {b->rec->storage.dir, NULL};
    char *const *dirs = b->root_dirs ? b->root_dirs : plain;
    for (char *const *l = dirs; n == -ENOENT && *l; l++) {
        scoped_fd int root = open(*l, O_PATH | O_DIRECTORY | O_CLOEXEC);
        if (root >= 0)
            n = path_read_in_root(root, "etc/hosts", HOSTS_MAX, &text, NULL);
    }
    if (n > 0)
        str_addn(&s, text, strnlen(text, (size_t)n));
    return write_file(dir, "hosts.image", &s, e);
}

/* What stands in hosts and resolv.conf is known when the network is there: network/resolv.h. */
int build_files(const struct build *b, const char *dir, struct err *e)
{
    scoped_str struct str name = STR_INIT;
    if (b->spec->hostname)
        str_addf(&name, "%s\n", b->spec->hostname);
    int r = write_file(dir, "hostname", &name, e);
    str_reset(&name);
    if (r == 0)
        r = write_file(dir, "hosts", &name, e);
    if (r == 0 && streq(b->rec->network.hosts_file, "image"))
        r = write_image_hosts(b, dir, e);
    return r == 0 ? write_file(dir, "resolv.conf", &name, e) : r;
}
