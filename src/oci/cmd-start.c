/* start - lets the init of a created container execute the configured program. */
#include <errno.h>

#include "base/proc.h"
#include "engine/engine.h"
#include "oci/oci.h"
#include "sys/sock.h"

static const struct opt table[] = {{NULL}};

static int check(const struct oci_container *c, struct err *e)
{
    if (c->status == OCI_CREATED)
        return 0;
    if (c->status == OCI_STOPPED)
        return err_msg(e, EINVAL, "cannot start a container that has stopped");
    return err_msg(e, EINVAL, "cannot start a container that is %s", oci_status_names[c->status]);
}

static int start(const char *id, struct err *e)
{
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    scoped_spec struct spec spec = {0};
    int r = oci_open_locked(id, &c, e);
    if (r == 0)
        r = check(&c, e);
    if (r == 0)
        r = oci_read_spec(&c, &spec, e);
    if (r < 0)
        return r;
    scoped_fd int conn = sock_connect_at(c.dir_fd, "start", e);
    if (conn < 0)
        return conn;
    const struct engine_params p = {
        .spec = &spec, .id = c.id, .bundle = c.rec.bundle, .userns_fd = -1};
    return engine_start_at(conn, &p, c.rec.pid, e);
}

static int start_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd, (void)opts;
    int r = start(args[0], e);
    return r < 0 ? err_add(e, r, "start %s", args[0]) : 0;
}

const struct cmd oci_cmd_start = {
    .name = "start",
    .args = "ID",
    .summary = "Start the program of a created container",
    .opts = table,
    .min_args = 1,
    .max_args = 1,
    .run = start_command,
    .examples = "rootlet-oci start web",
};
