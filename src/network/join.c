/* "container" and "ns": a network namespace that exists already, by path. The engine joins the user
 * namespace that owns it as well, because setns(2) asks for capabilities there. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>

#include "base/scoped.h"
#include "network/drivers-priv.h"
#include "sys/clone.h"

int network_open_namespace(const char *path, struct err *e)
{
    /* O_NONBLOCK: the path is the user's and may name anything, a FIFO for instance. */
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return err_set(e, errno, "open network namespace %s", path);
    int type = 0;
    if (sys_ns_type(fd, &type) < 0 || type != CLONE_NEWNET)
        return err_msg(e, EINVAL, "%s is not a network namespace", path);
    return take_fd(&fd);
}

static int probe(char why[static 256])
{
    static const char text[] = "always there; needs a namespace of this user's";
    memcpy(why, text, sizeof(text));
    return 1;
}

static int plan(const struct network_plan *p, struct spec *s, struct err *e)
{
    if (!p->target || p->target[0] != '/')
        return err_msg(e, EINVAL, "network mode %s: want an absolute path, not \"%s\"", p->mode,
                       p->target ? p->target : "");
    scoped_fd int fd = network_open_namespace(p->target, e);
    if (fd < 0)
        return fd;
    spec_namespace_set(s, "network", p->target);
    return 0;
}

const struct network_driver network_container = {
    .name = "container",
    .summary = "the network of another running container",
    .target = "ID",
    .probe = probe,
    .plan = plan,
};

const struct network_driver network_ns = {
    .name = "ns",
    .summary = "a network namespace by path",
    .target = "PATH",
    .probe = probe,
    .plan = plan,
};
