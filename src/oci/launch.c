/* launch - see launch.h. */
#include "oci/launch.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "oci/console.h"
#include "sys/sock.h"

/* --- before anything is made --- */

/* Socket activation (sd_listen_fds(3)): the sockets are handed on, for the container's pid 1. */
static int add_listen_fds(struct oci_config *c, unsigned *ret, struct err *e)
{
    const char *text = getenv("LISTEN_FDS"), *pid = getenv("LISTEN_PID");
    uint32_t n = 0, owner = 0;
    if (!text || (pid && parse_u32(pid, &owner) == 0 && owner != (uint32_t)getpid()))
        return 0;
    if (parse_u32(text, &n) < 0 || n > 100000)
        return err_msg(e, EINVAL, "environment: LISTEN_FDS=%s is no number of descriptors", text);
    if (n == 0)
        return 0;
    scoped_free char *pair = xasprintf("LISTEN_FDS=%u", n);
    strv_env_set(&c->spec.process->env, pair);
    strv_env_set(&c->spec.process->env, "LISTEN_PID=1");
    *ret = n;
    return 0;
}

static int check_terminal(const struct launch *l, struct err *e)
{
    bool terminal = l->config.spec.process->terminal;
    if (terminal && !l->stays && !l->o->console_socket)
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "process.terminal: needs a console socket to send the "
                                "terminal to"),
                        "give --console-socket, or use \"run\" without --detach");
    if (l->o->console_socket && (l->stays || !terminal))
        return err_msg(e, EINVAL, "--console-socket: %s",
                       terminal ? "a container in the foreground uses our own terminal"
                                : "process.terminal is not set");
    return 0;
}

int launch_load(struct launch *l, struct err *e)
{
    unsigned listen = 0;
    if (l->o->preserve_fds < 0 || l->o->preserve_fds > 100000)
        return err_msg(e, EINVAL, "--preserve-fds %lld: not from 0 to 100000",
                       (long long)l->o->preserve_fds);
    int r = oci_config_load(l->o->bundle, l->o->config, &l->config, e);
    if (r == 0)
        r = check_terminal(l, e);
    if (r == 0)
        r = add_listen_fds(&l->config, &listen, e);
    if (r < 0)
        return r;
    l->params.preserve_fds = listen + (unsigned)l->o->preserve_fds;
    return oci_check_preserved(l->params.preserve_fds, e);
}

/* --- the state directory --- */

static int write_config(struct launch *l, struct err *e)
{
    const char *text = l->config.text;
    if (!text)
        return oci_write_spec(&l->c, &l->config.spec, e);
    return fs_write_atomic(l->c.dir_fd, "config.json", text, strlen(text), 0600, FS_NO_SYNC, e);
}

static void fill_record(struct launch *l)
{
    struct oci_record *rec = &l->c.rec;
    const struct spec *s = &l->config.spec;
    rec->version = xstrdup(s->oci_version ? s->oci_version : SPEC_OCI_VERSION);
    rec->bundle = xstrdup(l->config.bundle);
    rec->rootfs = xstrdup(l->config.rootfs);
    rec->annotations = strv_dup(s->annotations);
    rec->created_ns = time_now_ns();
    rec->owner = geteuid();
    rec->systemd_cgroup = streq(oci_settings()->cgroup, "systemd");
    rec->no_pivot = l->o->no_pivot;
    rec->keep_keyring = l->o->no_new_keyring;
}

/* A cgroup that is on disk nowhere would stay when we are killed. */
static int note_cgroup(struct launch *l, struct err *e)
{
    json_decref(l->c.rec.cgroup);
    l->c.rec.cgroup = cgroup_emit(l->cgroup);
    return oci_write_record(&l->c, e);
}

/* Its root may make groups below its own where it could see and write them. */
static uid_t cgroup_owner(const struct oci_config *c)
{
    const struct spec *s = &c->spec;
    if (!spec_namespace_get(s, "cgroup"))
        return 0;
    for (size_t i = 0; i < s->n_mounts; i++) {
        const char *type = s->mounts[i].type;
        if ((streq(type, "cgroup") || streq(type, "cgroup2")) &&
            !strv_has(s->mounts[i].options, "ro"))
            return oci_config_root_uid(c);
    }
    return 0;
}

/* Root of the host can make device nodes: that nothing keeps it from opening them is worth a word.
 */
static void warn_of_devices(const struct launch *l)
{
    const json_t *rules = json_object_get(l->config.spec.linux_->resources, "devices");
    if (l->config.host_root && streq(oci_settings()->cgroup, "disabled") && json_array_size(rules))
        log_warn("linux.resources.devices: not enforced, as cgroups are disabled");
}

static int make_cgroup(struct launch *l, struct err *e)
{
    const struct spec *s = &l->config.spec;
    warn_of_devices(l);
    const struct cgroup_request request = {
        .driver = oci_settings()->cgroup,
        .id = l->c.id,
        .path = s->linux_->cgroups_path,
        .resources = s->linux_->resources,
        .annotations = s->annotations,
        .in_userns = !l->config.privileged,
        .owner = cgroup_owner(&l->config),
    };
    int r = cgroup_create(&request, &l->cgroup, e);
    return r < 0 ? r : note_cgroup(l, e);
}

static int note_init(struct launch *l, struct err *e)
{
    struct oci_record *rec = &l->c.rec;
    char boot_id[40];
    rec->pid = engine_pid(l->engine);
    int r = proc_start_time(rec->pid, &rec->pid_start);
    if (r == 0)
        r = proc_boot_id(boot_id);
    if (r < 0)
        return err_set(e, -r, "read about process %d", (int)rec->pid);
    rec->boot_id = xstrdup(boot_id);
    return note_cgroup(l, e); /* a systemd scope has its path only now */
}

/* --- the container --- */

static int make_engine(struct launch *l, struct err *e)
{
    int r = oci_seccomp_compile(&l->c, &l->config.spec, &l->seccomp, e);
    if (r < 0)
        return r;
    bool confined = r > 0;
    if (!l->stays || l->o->keep) {
        l->listen_fd = sock_listen_at(l->c.dir_fd, "start", e);
        if (l->listen_fd < 0)
            return l->listen_fd;
    }
    struct engine_params *p = &l->params;
    p->spec = &l->config.spec;
    p->id = l->c.id;
    p->bundle = l->config.bundle;
    p->seccomp = confined ? &l->seccomp : NULL;
    for (int i = 0; i < 3; i++)
        p->stdio[i] = l->stdio[i];
    p->userns_fd = -1;
    p->host_root = l->config.host_root;
    p->no_pivot = l->o->no_pivot;
    p->keep_keyring = l->o->no_new_keyring;
    p->cgroup = l->cgroup;
    p->start_listen = l->listen_fd >= 0 ? &l->listen_fd : NULL;
    r = engine_create(p, &l->engine, e);
    if (r < 0)
        return r;
    l->console = engine_take_console(l->engine);
    return 0;
}

static int tell_client(struct launch *l, struct err *e)
{
    int r = 0;
    if (l->o->console_socket)
        r = oci_console_send(l->o->console_socket, l->console, e);
    if (r == 0 && l->o->pid_file) {
        r = oci_pid_file_write(l->o->pid_file, engine_pid(l->engine), e);
        l->wrote_pid_file = r == 0;
    }
    return r;
}

int launch_create(struct launch *l, const char *id, struct err *e)
{
    int r = oci_make(id, &l->c, e);
    if (r < 0)
        return r;
    l->made = true;
    fill_record(l);
    if (l->stays)
        r = oci_notify_open(&l->notify, &l->config, l->c.id, l->c.dir_fd, e);
    if (r == 0)
        r = write_config(l, e);
    if (r == 0)
        r = make_cgroup(l, e);
    if (r == 0)
        r = make_engine(l, e);
    if (r == 0)
        r = note_init(l, e);
    if (r == 0)
        r = tell_client(l, e);
    if (r < 0)
        launch_undo(l);
    return r;
}

void launch_undo(struct launch *l)
{
    struct err e = ERR_INIT;
    engine_free(take_ptr(l->engine));
    if (l->cgroup && cgroup_destroy(l->cgroup, &e) < 0)
        log_warn("%s", e.msg);
    if (l->made && oci_remove(&l->c, &e) < 0)
        log_warn("%s", e.msg);
    if (l->wrote_pid_file)
        unlink(l->o->pid_file);
    l->made = l->wrote_pid_file = false;
}

void launch_release(struct launch *l)
{
    engine_free(take_ptr(l->engine));
    cgroup_close(take_ptr(l->cgroup));
    seccomp_prog_release(&l->seccomp);
    fd_close(&l->listen_fd);
    fd_close(&l->console);
    oci_notify_release(&l->notify);
    oci_container_release(&l->c);
    oci_config_release(&l->config);
}
