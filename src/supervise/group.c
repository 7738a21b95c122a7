/* group - the control groups of a supervisor and its container. */
#include "supervise/supervise.h"
#include "supervise/watch.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/cgroup.h"
#include "cgroup/pressure.h"
#include "container/hunt.h"

#define STATUS_MAX (64u << 10)

int group_begin(struct sup *s, struct err *e)
{
    const struct cgroup_session_request r = {
        .driver = s->groups.driver,
        .id = s->id,
        .parent = s->groups.parent,
        .properties = s->groups.properties,
        .replace = s->lock_fd >= 0,
    };
    return cgroup_session_begin(&r, &s->session, e);
}

/* Where it is started decides, not where it was made: in a unit of its own it stays there, and
 * outside it has a scope. Static, or the record's. */
static const char *driver_now(const struct sup *s, const struct ctr_record *rec)
{
    if (streq(rec->cgroups, "disabled") || streq(rec->cgroups, "inplace") == s->unit.on)
        return rec->cgroups;
    struct cgroup_choice choice = {0};
    const struct cgroup_wish wish = {.unit = s->unit.on};
    int r = cgroup_choose(&wish, &choice, NULL);
    const char *driver = choice.driver;
    cgroup_choice_release(&choice);
    /* A limit is not lost for want of a group: then what the record says is tried, and fails. */
    return r < 0 || streq(driver, "disabled") ? rec->cgroups : driver;
}

int group_begin_recorded(struct sup *s, const struct ctr_record *rec, struct err *e)
{
    s->pids_default = rec->pids_default;
    if (s->session || s->groups.driver)
        return 0;
    s->groups.driver = driver_now(s, rec);
    s->groups.parent = streq(s->groups.driver, "inplace") ? NULL : rec->cgroup_parent;
    int r = oomd_properties(rec->oomd, &s->groups.properties, e);
    cgroup_session_stop_time(&s->groups.properties, rec->stop_timeout_s);
    if (r == 0)
        r = group_begin(s, e);
    s->groups.driver = s->groups.parent = NULL; /* the record's, which goes */
    return r;
}

/* Its root may make groups below its own where it could see and write them; on the host it has this
 * id. 0: nobody. */
static uid_t owner(const struct spec *s)
{
    bool writable = false;
    for (size_t i = 0; i < s->n_mounts; i++) {
        const char *type = s->mounts[i].type;
        writable |= (streq(type, "cgroup") || streq(type, "cgroup2")) &&
                    !strv_has(s->mounts[i].options, "ro");
    }
    const struct spec_linux *l = s->linux_;
    if (!l || !writable || !spec_namespace_get(s, "cgroup"))
        return 0;
    for (size_t i = 0; i < l->n_uid_mappings; i++)
        if (l->uid_mappings[i].container_id == 0)
            return l->uid_mappings[i].host_id;
    return 0;
}

/* The default limit of processes goes along where it can: the controller may have been there when
 * the container was made, and be taken from us since. */
static int make_group(struct sup *s, struct err *e)
{
    const json_t *limits = s->spec.linux_ ? s->spec.linux_->resources : NULL;
    struct err why = ERR_INIT;
    int r = cgroup_session_container(s->session, limits, owner(&s->spec), &s->cgroup, &why);
    if (r == -ENOTSUP && s->pids_default && json_object_get(limits, "pids")) {
        scoped_json json_t *asked = json_copy((json_t *)(uintptr_t)limits);
        json_object_del(asked, "pids");
        log_debug("without the default limit of processes: %s", why.msg);
        err_clear(&why);
        r = cgroup_session_container(s->session, asked, owner(&s->spec), &s->cgroup, &why);
    }
    if (r < 0 && e)
        *e = why;
    return r;
}

int group_container(void *sup, struct cgroup **ret, struct err *e)
{
    struct sup *s = sup;
    int r = make_group(s, e);
    *ret = s->cgroup;
    if (r < 0 || !s->cgroup)
        return r;
    json_decref(s->state.cgroup);
    s->state.cgroup = cgroup_emit(s->cgroup);
    free(s->state.cgroup_path);
    s->state.cgroup_path = xstrdup(cgroup_path(s->cgroup));
    net_enter_group(s);
    server_enter_group(s);
    return 0;
}

int group_container_now(struct sup *s, struct err *e)
{
    struct cgroup *ignored;
    cgroup_close(s->cgroup);
    s->cgroup = NULL;
    return cgroup_session_late(s->session) ? 0 : group_container(s, &ignored, e);
}

void group_kill(struct sup *s)
{
    if (s->cgroup)
        (void)!cgroup_kill(s->cgroup, SIGKILL, NULL);
    if (s->state.status != CTR_PAUSED)
        return;
    /* A frozen process dies of it as well, but its parent would not see so. */
    if (s->cgroup)
        (void)!cgroup_freeze(s->cgroup, false, NULL);
}

static bool shares_pids(const struct sup *s)
{
    const struct spec_namespace *pid = spec_namespace_get(&s->spec, "pid");
    return !pid || pid->path;
}

void group_started(struct sup *s)
{
    fd_close(&s->groups.userns_fd);
    if (!s->cgroup && !s->session)
        s->groups.userns_fd =
            container_own_userns(&s->spec, engine_pid(s->engine), engine_pidfd(s->engine));
}

void group_init_ended(struct sup *s)
{
    if (!shares_pids(s))
        return;
    if (s->cgroup)
        (void)!cgroup_kill(s->cgroup, SIGKILL, NULL);
    container_end_userns(s->groups.userns_fd);
    fd_close(&s->groups.userns_fd);
}

/* --- pause --- */

/* The first process of its pid namespace, that is, of one which it shares with no other's init. */
static bool leads_namespace(pid_t pid)
{
    char path[40];
    scoped_free char *text = NULL;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    if (fs_read(AT_FDCWD, path, STATUS_MAX, &text, NULL) < 0)
        return false;
    const char *ids = strstr(text, "\nNSpid:");
    size_t n = ids ? strcspn(ids + 1, "\n") : 0;
    /* The last number is the one inside. */
    return n > 2 && ids[n] == '1' && ids[n - 1] == '\t';
}

/* Every process of the container's own pid namespace; in a shared one, the init alone. */
static int signal_each(struct sup *s, int sig, struct err *e)
{
    struct stat ns;
    char path[64];
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)engine_pid(s->engine));
    if (stat(path, &ns) < 0)
        return err_set(e, errno, "look at the container's processes");
    int r = pidfd_signal(engine_pidfd(s->engine), sig);
    if (leads_namespace(engine_pid(s->engine)))
        container_signal_members("pid", &ns, sig);
    return r < 0 ? err_set(e, -r, "send signal %d", sig) : 0;
}

static int set_status(struct sup *s, enum ctr_status status, const char *event)
{
    state_set(s, status);
    sup_journal(s, event, NULL);
    return 0;
}

int group_pause(struct sup *s, int how, struct err *e)
{
    if (s->state.status == CTR_PAUSED)
        return err_msg(e, EINVAL, "it is paused already");
    int r;
    if (how == PROTO_BY_SIGNAL)
        r = signal_each(s, SIGSTOP, e);
    else if (s->cgroup)
        r = cgroup_freeze(s->cgroup, true, e);
    else
        return err_hint(e,
                        err_msg(e, EOPNOTSUPP, "pause needs a cgroup, and container %s has none",
                                s->state.name),
                        "\"rootlet doctor\" tells what keeps cgroups from being used; \"rootlet "
                        "pause --signal\" stops each process by SIGSTOP, which they can notice");
    s->paused_by_signal = how == PROTO_BY_SIGNAL;
    return r < 0 ? r : set_status(s, CTR_PAUSED, "pause");
}

int group_unpause(struct sup *s, struct err *e)
{
    if (s->state.status != CTR_PAUSED)
        return err_msg(e, EINVAL, "container %s is not paused", s->state.name);
    int r = s->paused_by_signal ? signal_each(s, SIGCONT, e) : cgroup_freeze(s->cgroup, false, e);
    return r < 0 ? r : set_status(s, CTR_RUNNING, "unpause");
}

void group_end(struct sup *s)
{
    cgroup_close(s->cgroup);
    s->cgroup = NULL;
    cgroup_session_end(s->session);
    s->session = NULL;
}
