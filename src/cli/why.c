/* why - explains how a container ended: by a system call filter, a signal, a failed start. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/timefmt.h"
#include "cli/cli.h"
#include "security/filter.h"
#include "security/why.h"

struct why_opts {
    bool latest;
};
static const struct opt why_table[] = {
    {"latest", 'l', OPT_FLAG, offsetof(struct why_opts, latest), NULL,
     "The container created last"},
    {NULL},
};

/* The name or file that was typed; the built-in one's name otherwise. */
static const char *profile_name(const struct ctr_record *r)
{
    const char *name = r->seccomp ? str_after(r->seccomp, "builtin:") : NULL;
    for (char **o = r->secopts; o && *o; o++) {
        const char *v = str_after(*o, "seccomp=");
        name = v ? v : name;
    }
    return name ? name : "default";
}

static int explain_seccomp(const struct container *c, const char *typed, struct err *e)
{
    scoped_spec struct spec spec = {0};
    struct seccomp_prog prog SCOPED(seccomp_prog_release) = {0};
    scoped_str struct str out = STR_INIT;
    int r = container_read_spec(c->dir_fd, &spec, e);
    if (r < 0)
        return r;
    bool known =
        seccomp_filter_open(c->rec.seccomp, spec.process->capabilities, c->dir_fd, &prog, NULL) > 0;
    struct why_query q = {
        .name = typed,
        .profile = profile_name(&c->rec),
        .prog = known ? &prog : NULL,
        .init_pid = c->state.pid,
        .started_ns = c->state.started_ns,
        .finished_ns = c->state.finished_ns,
        .uid_map = spec.linux_->uid_mappings,
        .n_uid_map = spec.linux_->n_uid_mappings,
        .dirfd = c->dir_fd,
    };
    why_explain(&q, &out);
    fputs(out.s, stdout);
    return 0;
}

/* "64MiB" as it would be typed: exact where it was typed so. */
static const char *size_typed(uint64_t bytes, char *buf, size_t size)
{
    static const char units[] = "bkmgt";
    size_t i = 0;
    while (bytes >= 1024 && bytes % 1024 == 0 && units[i + 1]) {
        bytes /= 1024;
        i++;
    }
    snprintf(buf, size, "%llu%c", (unsigned long long)bytes, units[i]);
    return buf;
}

/* docker's meaning: at least one process in it was killed for want of memory during this run. */
static void explain_oom(const struct ctr_state *s, const char *typed)
{
    char limit[40], more[40], peak[40];
    bool ended = s->exit_code == 128 + SIGKILL && !s->pid;
    printf("%s: the kernel killed %s for want of memory", typed, ended ? "it" : "a process in it");
    if (s->memory_limit)
        printf(" at its limit, --memory %s", size_typed(s->memory_limit, limit, sizeof(limit)));
    else
        printf(": the host, or a group above it, had no more");
    if (s->memory_peak)
        printf("; it used %s at most", size_human(s->memory_peak, peak, sizeof(peak)));
    if (!s->pid)
        printf(" (exit code %d)", s->exit_code);
    putchar('\n');
    if (s->memory_limit)
        printf("hint: rootlet update --memory %s %s\n",
               size_typed(2 * s->memory_limit, more, sizeof(more)), s->name);
}

static void explain_exit(const struct ctr_state *s, const char *typed)
{
    char reason[2000];
    if (s->reason && *s->reason)
        printf("%s: %s\n", typed, err_escape(reason, sizeof(reason), s->reason));
    else if (s->stop_requested)
        printf("%s: it was stopped on request (exit code %d)\n", typed, s->exit_code);
    else if (s->signal)
        printf("%s: signal %s ended it (exit code %d)\n", typed, signal_name(s->signal),
               s->exit_code);
    else if (s->exit_code > 128 && s->exit_code < 128 + 65)
        printf("%s: exit code %d: it, or a program it waited for, ended by %s\n", typed,
               s->exit_code, signal_name(s->exit_code - 128));
    else
        printf("%s: it ended by itself with exit code %d\n", typed, s->exit_code);
}

static int why_one(struct container *c, const char *typed, void *data, struct err *e)
{
    (void)data;
    if (c->state.exit_code == WHY_SIGSYS_CODE || c->state.signal == SIGSYS)
        return explain_seccomp(c, typed, e);
    if (c->state.oom_killed)
        explain_oom(&c->state, typed);
    else if (c->state.status == CTR_EXITED || c->state.status == CTR_STOPPED ||
             c->state.status == CTR_DEAD || (c->state.reason && *c->state.reason))
        explain_exit(&c->state, typed);
    else
        printf("%s: it has not ended (%s)\n", typed, ctr_status_names[c->state.status]);
    /* A container that learned lives on: what it was seen to call is told in any case. */
    return faccessat(c->dir_fd, WHY_LEARNED, F_OK, 0) == 0 ? explain_seccomp(c, typed, e) : 0;
}

static int why(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct why_opts *o = opts;
    (void)cmd;
    return cli_each(args, o->latest, why_one, NULL, e);
}

const struct cmd cli_why_cmds[] = {
    {
        .name = "why",
        .args = "CONTAINER [CONTAINER...]",
        .summary = "Explain how containers ended",
        .opts = why_table,
        .opts_size = sizeof(struct why_opts),
        .max_args = -1,
        .run = why,
        .details =
            "After a death by SIGSYS (exit code 159) it names the system call that the filter "
            "refused, where\nthe kernel's log can be read or the container ran with "
            "--security-opt seccomp-default=learn.",
        .examples = "rootlet why web",
    },
    {NULL},
};
