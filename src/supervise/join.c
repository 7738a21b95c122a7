/* join - namespaces of other containers, by their processes of now: they may have been started anew
 * since we were made. And the pod that we are a member of. */
#include "supervise/join.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "sys/clone.h"

/* A namespace file of a running container. Its process may have ended meanwhile and another have
 * its number: what was opened counts only if it is still the same after. */
static int open_ns(const struct container *c, const char *file, struct err *e)
{
    uint64_t start = 0;
    scoped_free char *path = xasprintf("/proc/%d/ns/%s", (int)c->state.pid, file);
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || proc_start_time(c->state.pid, &start) < 0 || start != c->state.pid_start)
        return err_msg(e, ESRCH, "join container %s: it has just ended", c->state.name);
    return take_fd(&fd);
}

static int open_running(struct sup *s, const char *ref, struct container *ret, struct err *e)
{
    int r = container_open(&s->conf, ref, ret, e);
    if (r < 0)
        return err_add(e, r, "join the namespaces of a container");
    if (ret->state.status == CTR_RUNNING || ret->state.status == CTR_PAUSED)
        return 0;
    r = err_msg(e, ESRCH, "join the namespaces of container %s: it is not running",
                ret->state.name);
    return err_hint(e, r, "rootlet start %s", ret->state.name);
}

static bool wants_shm(const struct spec *spec)
{
    for (size_t i = 0; i < spec->n_mounts; i++)
        if (streq(spec->mounts[i].source, ENGINE_SHARED_SHM))
            return true;
    return false;
}

static int share_shm(struct join *j, const struct container *other, struct err *e)
{
    scoped_fd int mntns = open_ns(other, "mnt", e);
    scoped_fd int userns = mntns < 0 ? mntns : open_ns(other, "user", e);
    if (userns < 0)
        return userns;
    fd_close(&j->shm_fd);
    j->shm_fd = shm_open_shared(userns, mntns, e);
    return j->shm_fd < 0
               ? err_add(e, j->shm_fd, "share /dev/shm of container %s", other->state.name)
               : 0;
}

static int join_one(struct sup *s, struct join *j, const char *type, const char *ref, struct err *e)
{
    scoped_container struct container other = {.dir_fd = -1};
    int r = open_running(s, ref, &other, e);
    if (r < 0)
        return r;
    int fd = j->n < JOIN_MAX ? open_ns(&other, sys_ns_file(type), e) : -E2BIG;
    if (fd < 0)
        return fd;
    j->fd[j->n++] = fd;
    scoped_free char *path = xasprintf("/proc/self/fd/%d", fd);
    spec_namespace_set(&s->spec, type, path);
    /* Theirs is the user namespace that may enter them. */
    if (j->userns_fd < 0)
        j->userns_fd = open_ns(&other, "user", e);
    if (j->userns_fd < 0)
        return j->userns_fd;
    return streq(type, "ipc") && wants_shm(&s->spec) ? share_shm(j, &other, e) : 0;
}

/* The infra container's supervisor counts its members by their connections: the kernel ends ours
 * whatever becomes of us. It lasts over restarts. */
int join_pod(struct sup *s, const struct ctr_record *rec, struct err *e)
{
    if (!rec->pod_id)
        return 0;
    scoped_fd int fd = container_connect(&s->conf, rec->pod_id, e);
    int r = fd < 0 ? fd : proto_send(fd, PROTO_MEMBER, 0, 0, NULL, 0);
    if (r < 0)
        return err_hint(e, err_msg(e, ESRCH, "pod %s is not running", rec->pod),
                        "rootlet pod start %s", rec->pod);
    join_leave(s);
    s->pod_fd = take_fd(&fd);
    return 0;
}

int join_all(struct sup *s, const struct ctr_record *rec, struct join *j, struct err *e)
{
    int r = join_pod(s, rec, e);
    if (r == 0 && streq(rec->network.mode, "container"))
        r = join_one(s, j, "network", rec->network.target, e);
    for (char *const *v = rec->joins; r == 0 && v && *v; v++) {
        const char *id = strchr(*v, '=') + 1;
        scoped_free char *type = xstrndup(*v, (size_t)(id - *v - 1));
        if (!sys_ns_file(type))
            return err_msg(e, EINVAL, "container.json: joins: unknown namespace \"%s\"", type);
        r = join_one(s, j, type, id, e);
    }
    return r;
}

void join_release(struct join *j)
{
    for (size_t i = 0; i < j->n; i++)
        close(j->fd[i]);
    j->n = 0;
    fd_close(&j->userns_fd);
    fd_close(&j->shm_fd);
}

void join_leave(struct sup *s)
{
    fd_close(&s->pod_fd);
}

void join_member(struct sup *s, struct peer *p)
{
    if (p->member || !s->pod_infra)
        return;
    p->member = true;
    s->members++;
}

void join_member_gone(struct sup *s, const struct peer *p)
{
    struct proto_head stop = {.a = s->stop_signal, .b = (int32_t)(s->stop_timeout_s * 1000)};
    if (p->member && --s->members == 0 && s->pod_stops)
        sup_event(s, EV_STOP, NULL, &stop, NULL);
}
