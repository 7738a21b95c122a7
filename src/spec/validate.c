/* validate - the rules of the specification that types alone do not give: the general part. */
#include <ctype.h>
#include <errno.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "spec/names.h"
#include "spec/tables.h"

#define MAX_HOSTNAME 64 /* __NEW_UTS_LEN, uname(2) */

bool spec_known(const char *const *list, const char *s)
{
    for (; *list; list++)
        if (streq(*list, s))
            return true;
    return false;
}

bool spec_is_cpu_list(const char *s)
{
    while (isdigit((unsigned char)*s)) {
        uint64_t first = 0, last;
        for (; isdigit((unsigned char)*s) && first < 1000000; s++)
            first = first * 10 + (uint64_t)(*s - '0');
        last = first;
        if (*s == '-') {
            if (!isdigit((unsigned char)*++s))
                return false;
            for (last = 0; isdigit((unsigned char)*s) && last < 1000000; s++)
                last = last * 10 + (uint64_t)(*s - '0');
        }
        if (last < first)
            return false;
        if (*s == '\0')
            return true;
        if (*s++ != ',')
            return false;
    }
    return false;
}

int spec_check_absolute(char *const *paths, const char *where, struct err *e)
{
    for (size_t i = 0; paths && paths[i]; i++)
        if (paths[i][0] != '/')
            return err_msg(e, EINVAL, "%s[%zu]: want an absolute path", where, i);
    return 0;
}

/* SemVer 2.0.0 with major version 1: "1.0.2", "1.2.0-rc.1+dev". */
static bool is_version_1(const char *s)
{
    const char *p = str_after(s, "1.");
    for (int part = 0; p && part < 2; part++) {
        size_t n = strspn(p, "0123456789");
        if (n == 0 || n > 9 || (n > 1 && *p == '0'))
            return false;
        p += n;
        if (part == 0 && *p++ != '.')
            return false;
    }
    if (!p)
        return false;
    static const char id[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-.";
    for (const char *mark = "-+"; *mark; mark++) {
        if (*p != *mark)
            continue;
        size_t n = strspn(p + 1, id);
        if (n == 0)
            return false;
        p += n + 1;
    }
    return *p == '\0';
}

static int check_user(const struct spec_process *p, const char *at, struct err *e)
{
    if (p->user.has_umask && p->user.umask > 0777)
        return err_msg(e, EINVAL, "%suser.umask: want a number from 0 to 511 (octal 777)", at);
    if (p->user.uid == UINT32_MAX)
        return err_msg(e, EINVAL, "%suser.uid: 4294967295 is no user id", at);
    if (p->user.gid == UINT32_MAX)
        return err_msg(e, EINVAL, "%suser.gid: 4294967295 is no group id", at);
    for (size_t i = 0; i < p->user.additional_gids.n; i++)
        if (p->user.additional_gids.v[i] == UINT32_MAX)
            return err_msg(e, EINVAL, "%suser.additionalGids[%zu]: 4294967295 is no group id", at,
                           i);
    return 0;
}

static int check_env(char *const *env, const char *at, struct err *e)
{
    for (size_t i = 0; env && env[i]; i++) {
        const char *equal = strchr(env[i], '=');
        if (!equal || equal == env[i])
            return err_msg(e, EINVAL, "%senv[%zu]: want NAME=VALUE", at, i);
    }
    return 0;
}

static int check_rlimits(const struct spec_process *p, const char *at, struct err *e)
{
    static const char *const names[] = {
        "RLIMIT_AS",
        "RLIMIT_CORE",
        "RLIMIT_CPU",
        "RLIMIT_DATA",
        "RLIMIT_FSIZE",
        "RLIMIT_LOCKS",
        "RLIMIT_MEMLOCK",
        "RLIMIT_MSGQUEUE",
        "RLIMIT_NICE",
        "RLIMIT_NOFILE",
        "RLIMIT_NPROC",
        "RLIMIT_RSS",
        "RLIMIT_RTPRIO",
        "RLIMIT_RTTIME",
        "RLIMIT_SIGPENDING",
        "RLIMIT_STACK",
        NULL,
    };
    for (size_t i = 0; i < p->n_rlimits; i++) {
        const struct spec_rlimit *l = &p->rlimits[i];
        if (!spec_known(names, l->type))
            return err_msg(e, EINVAL, "%srlimits[%zu].type: \"%s\" is no resource limit", at, i,
                           l->type);
        if (l->soft > l->hard)
            return err_msg(e, EINVAL, "%srlimits[%zu].soft: is greater than hard", at, i);
        for (size_t j = 0; j < i; j++)
            if (streq(p->rlimits[j].type, l->type))
                return err_msg(e, EINVAL, "%srlimits[%zu].type: %s was given before", at, i,
                               l->type);
    }
    return 0;
}

static bool is_capability(const char *name)
{
    static const char *const names[] = {
        "CHOWN",
        "DAC_OVERRIDE",
        "DAC_READ_SEARCH",
        "FOWNER",
        "FSETID",
        "KILL",
        "SETGID",
        "SETUID",
        "SETPCAP",
        "LINUX_IMMUTABLE",
        "NET_BIND_SERVICE",
        "NET_BROADCAST",
        "NET_ADMIN",
        "NET_RAW",
        "IPC_LOCK",
        "IPC_OWNER",
        "SYS_MODULE",
        "SYS_RAWIO",
        "SYS_CHROOT",
        "SYS_PTRACE",
        "SYS_PACCT",
        "SYS_ADMIN",
        "SYS_BOOT",
        "SYS_NICE",
        "SYS_RESOURCE",
        "SYS_TIME",
        "SYS_TTY_CONFIG",
        "MKNOD",
        "LEASE",
        "AUDIT_WRITE",
        "AUDIT_CONTROL",
        "SETFCAP",
        "MAC_OVERRIDE",
        "MAC_ADMIN",
        "SYSLOG",
        "WAKE_ALARM",
        "BLOCK_SUSPEND",
        "AUDIT_READ",
        "PERFMON",
        "BPF",
        "CHECKPOINT_RESTORE",
        NULL,
    };
    const char *bare = str_after(name, "CAP_");
    return bare && spec_known(names, bare);
}

/* A name may be younger than we are: the process then lacks it, which is no danger. config.md wants
 * a warning. */
static void check_capabilities(const struct spec_process *p, const char *at)
{
    const struct spec_caps *c = p->capabilities;
    if (!c)
        return;
    const struct {
        const char *name;
        char *const *list;
    } sets[] = {
        {"bounding", c->bounding},   {"effective", c->effective}, {"inheritable", c->inheritable},
        {"permitted", c->permitted}, {"ambient", c->ambient},
    };
    for (size_t i = 0; i < N_ELEMENTS(sets); i++)
        for (size_t j = 0; sets[i].list && sets[i].list[j]; j++)
            if (!is_capability(sets[i].list[j]))
                log_warn("%scapabilities.%s[%zu]: \"%s\" is no capability known here and left out",
                         at, sets[i].name, j, sets[i].list[j]);
}

static int check_scheduler(const struct spec_process *p, const char *at, struct err *e)
{
    static const char *const policies[] = {
        "SCHED_OTHER", "SCHED_FIFO", "SCHED_RR",       "SCHED_BATCH",
        "SCHED_ISO",   "SCHED_IDLE", "SCHED_DEADLINE", NULL,
    };
    static const char *const flags[] = {
        "SCHED_FLAG_RESET_ON_FORK",  "SCHED_FLAG_RECLAIM",
        "SCHED_FLAG_DL_OVERRUN",     "SCHED_FLAG_KEEP_POLICY",
        "SCHED_FLAG_KEEP_PARAMS",    "SCHED_FLAG_UTIL_CLAMP_MIN",
        "SCHED_FLAG_UTIL_CLAMP_MAX", NULL,
    };
    const struct spec_scheduler *s = p->scheduler;
    if (!s)
        return 0;
    if (!spec_known(policies, s->policy))
        return err_msg(e, EINVAL, "%sscheduler.policy: \"%s\" is no policy", at, s->policy);
    if (s->nice < -20 || s->nice > 19)
        return err_msg(e, EINVAL, "%sscheduler.nice: want an integer from -20 to 19", at);
    if (s->priority < 0 || s->priority > 99)
        return err_msg(e, EINVAL, "%sscheduler.priority: want an integer from 0 to 99", at);
    for (size_t i = 0; s->flags && s->flags[i]; i++)
        if (!spec_known(flags, s->flags[i]))
            return err_msg(e, EINVAL, "%sscheduler.flags[%zu]: \"%s\" is no flag", at, i,
                           s->flags[i]);
    return 0;
}

static int check_priorities(const struct spec_process *p, const char *at, struct err *e)
{
    static const char *const classes[] = {"IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE",
                                          NULL};
    const struct spec_io_priority *io = p->io_priority;
    if (io && !spec_known(classes, io->class_name))
        return err_msg(e, EINVAL, "%sioPriority.class: \"%s\" is no class", at, io->class_name);
    if (io && (io->priority < 0 || io->priority > 7))
        return err_msg(e, EINVAL, "%sioPriority.priority: want an integer from 0 to 7", at);
    const struct spec_cpu_affinity *cpu = p->exec_cpu_affinity;
    if (cpu && cpu->initial && *cpu->initial && !spec_is_cpu_list(cpu->initial))
        return err_msg(e, EINVAL, "%sexecCPUAffinity.initial: want CPUs like 0-3,7", at);
    if (cpu && cpu->final && *cpu->final && !spec_is_cpu_list(cpu->final))
        return err_msg(e, EINVAL, "%sexecCPUAffinity.final: want CPUs like 0-3,7", at);
    return 0;
}

int spec_process_validate(const struct spec_process *p, const char *path, struct err *e)
{
    char at[80];
    snprintf(at, sizeof(at), "%s%s", path, *path ? "." : "");
    if (!p->args || !p->args[0])
        return err_msg(e, EINVAL, "%sargs: want at least one string, the program", at);
    if (!p->args[0][0])
        return err_msg(e, EINVAL, "%sargs[0]: want the program's name", at);
    if (!p->cwd || p->cwd[0] != '/')
        return err_msg(e, EINVAL, "%scwd: want an absolute path", at);
    /* Without a terminal the size is ignored, as the specification wants. */
    if (p->terminal && p->console_size &&
        (p->console_size->height > UINT16_MAX || p->console_size->width > UINT16_MAX))
        return err_msg(e, EINVAL, "%sconsoleSize: want a height and width up to 65535", at);
    if (p->has_oom_score_adj && (p->oom_score_adj < -1000 || p->oom_score_adj > 1000))
        return err_msg(e, EINVAL, "%soomScoreAdj: want an integer from -1000 to 1000", at);
    int r = check_env(p->env, at, e);
    if (r == 0)
        r = check_user(p, at, e);
    if (r == 0)
        r = check_rlimits(p, at, e);
    if (r == 0)
        r = check_scheduler(p, at, e);
    if (r == 0)
        r = check_priorities(p, at, e);
    if (r == 0)
        check_capabilities(p, at);
    return r;
}

const char *const spec_hook_names[] = {
    "prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop",
    NULL};

static int check_hooks(const struct spec_hooks *hooks, struct err *e)
{
    if (!hooks)
        return 0;
    /* As spec_hook_names. */
    const struct spec_hook_list *const lists[] = {
        &hooks->prestart,        &hooks->create_runtime, &hooks->create_container,
        &hooks->start_container, &hooks->poststart,      &hooks->poststop,
    };
    for (size_t k = 0; k < N_ELEMENTS(lists); k++) {
        for (size_t i = 0; i < lists[k]->n; i++) {
            const struct spec_hook *h = &lists[k]->v[i];
            char at[64];
            snprintf(at, sizeof(at), "hooks.%s[%zu].", spec_hook_names[k], i);
            if (!h->path || h->path[0] != '/')
                return err_msg(e, EINVAL, "%spath: want an absolute path", at);
            if (h->has_timeout && h->timeout <= 0)
                return err_msg(e, EINVAL, "%stimeout: want more than 0 seconds", at);
            int r = check_env(h->env, at, e);
            if (r < 0)
                return r;
        }
    }
    return 0;
}

static int check_names(const struct spec *s, struct err *e)
{
    const char *names[] = {"hostname", s->hostname, "domainname", s->domainname};
    for (size_t i = 0; i < N_ELEMENTS(names); i += 2) {
        const char *value = names[i + 1];
        if (!value || !*value)
            continue;
        if (strlen(value) > MAX_HOSTNAME)
            return err_msg(e, EINVAL, "%s: is longer than %d bytes", names[i], MAX_HOSTNAME);
        if (!spec_namespace_get(s, "uts"))
            return err_msg(e, EINVAL, "%s: needs a \"uts\" entry in linux.namespaces", names[i]);
    }
    for (size_t i = 0; s->annotations && s->annotations[i]; i++)
        if (s->annotations[i][0] == '=')
            return err_msg(e, EINVAL, "annotations: an empty name is not allowed");
    return 0;
}

int spec_validate(const struct spec *s, struct err *e)
{
    if (!s->oci_version || !is_version_1(s->oci_version))
        return err_msg(e, EINVAL, "ociVersion: want a version 1.x of the specification");
    if (!s->root)
        return err_msg(e, EINVAL, "root: missing");
    if (!s->root->path || !*s->root->path)
        return err_msg(e, EINVAL, "root.path: want a directory");
    int r = s->process && !s->no_process ? spec_process_validate(s->process, "process", e) : 0;
    if (r == 0)
        r = check_names(s, e);
    if (r == 0)
        r = spec_check_mounts(s, e);
    if (r == 0)
        r = check_hooks(s->hooks, e);
    return r < 0 ? r : spec_check_linux(s, e);
}
