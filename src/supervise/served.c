/* served - the process behind a root file system that is a program (fuse-overlayfs).
 *
 * It ends by itself when the container's mounts have gone, after us too: a supervisor that has
 * taken a container over knows nothing of it and need not. */
#include <sys/epoll.h>

#include "base/proc.h"
#include "base/str.h"
#include "cgroup/cgroup.h"
#include "cgroup/session.h"
#include "supervise/supervise.h"
#include "supervise/watch.h"

void server_enter_group(struct sup *s)
{
    if (!s->server.pid || !s->cgroup)
        return;
    if (!s->session)
        cgroup_session_join(cgroup_path(s->cgroup), s->server.pid);
    else
        cgroup_session_take(s->session, s->server.pid);
}

/* Every look at a file fails from now on (ENOTCONN). */
static void on_end(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    loop_forget(s->loop, s->server.pidfd);
    if (s->init_ended)
        return;
    state_reason(s, "its root file system has ended: fuse-overlayfs was killed");
    sup_event(s, EV_KILL, NULL, NULL, NULL);
    peers_settle(s);
}

int server_watch(struct sup *s, struct err *e)
{
    return s->server.pid ? loop_fd(s->loop, s->server.pidfd, EPOLLIN, on_end, s, e) : 0;
}

void server_end(struct sup *s)
{
    if (s->server.pid && s->loop)
        loop_forget(s->loop, s->server.pidfd);
    storage_server_end(&s->server);
}
