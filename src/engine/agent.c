/* The seccomp agent: a program of the host that answers what a filter asks (SCMP_ACT_NOTIFY). It
 * is handed the listener of each process with the state of its container. config-linux.md "The
 * Container Process State" */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/path.h"
#include "base/str.h"
#include "engine/engine-priv.h"

const char *agent_path(const struct spec *spec)
{
    return spec->linux_ && spec->linux_->seccomp ? spec->linux_->seccomp->listener_path : NULL;
}

static int connect_to(const char *path, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    scoped_fd int dir = -1;
    int n = snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
    if (n >= (int)sizeof(a.sun_path)) {
        /* Longer than an address can be: by way of its directory. */
        scoped_free char *parent = xstrndup(path, (size_t)(path_name(path) - path));
        dir = open(parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
        n = snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir, path_name(path));
        if (dir < 0 || n >= (int)sizeof(a.sun_path))
            return err_set(e, dir < 0 ? errno : ENAMETOOLONG, "connect to %s", path);
    }
    scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, errno, "make a socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return err_set(e, errno, "connect to %s", path);
    return take_fd(&fd);
}

int agent_send(const struct engine_params *p, const struct agent_process *process, int listener,
               struct err *e)
{
    const char *metadata = p->spec->linux_->seccomp->listener_metadata;
    json_t *inner = hooks_state(p, process->status, process->container);
    scoped_json json_t *state =
        inner ? json_pack("{s:s, s:[s], s:i, s:o}", "ociVersion", SPEC_OCI_VERSION, "fds",
                          "seccompFd", "pid", (int)process->pid, "state", inner)
              : NULL;
    if (state && metadata)
        json_object_set_new(state, "metadata", json_string(metadata));
    scoped_free char *text = state ? json_text(state, false) : NULL;
    if (!text)
        return err_msg(e, EINVAL, "linux.seccomp.listenerPath: the state is not valid UTF-8");
    scoped_fd int fd = connect_to(agent_path(p->spec), e);
    int r = fd < 0 ? fd : sock_send(fd, text, strlen(text), &listener, 1);
    if (fd >= 0 && r < 0)
        err_set(e, -r, "send to %s", agent_path(p->spec));
    return r < 0 ? err_add(e, r, "linux.seccomp.listenerPath") : 0;
}
