/* delete - what is left of a container: processes, cgroup, state; then the poststop hooks. */
#include <errno.h>
#include <signal.h>

#include "base/log.h"
#include "base/proc.h"
#include "engine/engine.h"
#include "oci/oci.h"

/* A process in an uninterruptible sleep must not hold us for ever. */
#define END_MS 10000

struct delete_opts {
    bool force;
};

static const struct opt table[] = {
    {"force", 'f', OPT_FLAG, offsetof(struct delete_opts, force), NULL,
     "Kill it first if it runs; one that does not exist is fine"},
    {NULL},
};

static int end_init(struct oci_container *c, struct err *e)
{
    if (c->pidfd < 0)
        return 0;
    int r = pidfd_signal(c->pidfd, SIGKILL);
    if (r < 0 && r != -ESRCH)
        return err_set(e, -r, "kill process %d", (int)c->rec.pid);
    r = pidfd_poll(c->pidfd, END_MS);
    if (r == 0)
        return err_msg(e, ETIMEDOUT, "process %d does not end", (int)c->rec.pid);
    return r < 0 ? err_set(e, -r, "wait for process %d", (int)c->rec.pid) : 0;
}

static int remove_cgroup(const struct oci_container *c, struct err *e)
{
    scoped_cgroup struct cgroup *cgroup = NULL;
    struct err why = ERR_INIT;
    int r = oci_open_cgroup(c, &cgroup, &why);
    if (r == -ENOENT)
        return 0;
    if (r == 0)
        r = cgroup_destroy(cgroup, &why);
    if (r < 0 && e)
        *e = why;
    return r;
}

/* Only for a container that was created once; its configuration may be half written otherwise. */
static void run_poststop(const struct oci_container *c)
{
    scoped_spec struct spec spec = {0};
    struct err e = ERR_INIT;
    if (!c->rec.boot_id)
        return;
    if (oci_read_spec(c, &spec, &e) < 0) {
        log_warn("delete %s: no poststop hooks: %s", c->id, e.msg);
        return;
    }
    const struct engine_params p = {
        .spec = &spec, .id = c->id, .bundle = c->rec.bundle, .userns_fd = -1};
    engine_run_poststop(&p);
}

static int delete_container(const char *id, bool force, struct err *e)
{
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    int r = oci_open_locked(id, &c, e);
    if (r == -ENOENT && force) {
        err_clear(e);
        return 0;
    }
    if (r < 0)
        return r;
    if (!force && c.status != OCI_STOPPED && c.status != OCI_CREATED)
        return err_hint(
            e,
            err_msg(e, EBUSY, "cannot delete a container that is %s", oci_status_names[c.status]),
            "end it with \"kill\" first, or delete --force");
    r = end_init(&c, e);
    if (r == 0)
        r = remove_cgroup(&c, e);
    if (r < 0)
        return r;
    run_poststop(&c);
    return oci_remove(&c, e);
}

static int delete_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct delete_opts *o = opts;
    (void)cmd;
    int r = delete_container(args[0], o->force, e);
    return r < 0 ? err_add(e, r, "delete %s", args[0]) : 0;
}

const struct cmd oci_cmd_delete = {
    .name = "delete",
    .args = "ID",
    .summary = "Remove a container that has ended or was never started",
    .opts = table,
    .opts_size = sizeof(struct delete_opts),
    .min_args = 1,
    .max_args = 1,
    .run = delete_command,
    .examples = "rootlet-oci delete --force web",
};
