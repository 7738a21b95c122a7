/* build_process - the first process of a container: words, environment, user, limits. */
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/proc.h"
#include "cli/build.h"
#include "cli/unit.h"
#include "security/limits.h"

#define DEFAULT_PATH "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

/* ENTRYPOINT and CMD as docker combines them: words replace CMD; --entrypoint replaces ENTRYPOINT
 * and drops the image's CMD. */
static int build_args(struct build *b, struct err *e)
{
    const struct image_config *img = b->image;
    int r = 0;
    if (b->o->entrypoint_set)
        r = build_entrypoint(b->o->entrypoint, &b->rec->entrypoint, e);
    else if (img)
        b->rec->entrypoint = strv_dup(img->entrypoint);
    if (r < 0)
        return r;
    if (*b->words)
        b->rec->cmd = strv_dup(b->words);
    else if (img && !b->o->entrypoint_set)
        b->rec->cmd = strv_dup(img->cmd);
    strv_extend(&b->rec->command, b->rec->entrypoint);
    strv_extend(&b->rec->command, b->rec->cmd);
    if (strv_len(b->rec->command) == 0 && !b->rec->pod_infra) /* that one is the init itself */
        return err_hint(e,
                        err_msg(e, EINVAL,
                                "no command given, and the image has neither CMD nor "
                                "ENTRYPOINT"),
                        "rootlet run IMAGE COMMAND");
    strv_free(b->spec->process->args);
    b->spec->process->args = NULL;
    if (b->o->init) {
        strv_add(&b->spec->process->args, "/dev/rootlet-init");
        strv_add(&b->spec->process->args, "--");
    }
    strv_extend(&b->spec->process->args, b->rec->command);
    return 0;
}

/* An image's entry must be NAME=VALUE: anything else would be read as "copy it from the host"
 * (CVE-2026-57231 and its kin). */
static int image_env(struct build *b, struct err *e)
{
    for (char **v = b->image ? b->image->env : NULL; v && *v; v++) {
        const char *eq = strchr(*v, '=');
        if (!eq || eq == *v)
            return err_msg(e, EINVAL, "image %s: environment entry \"%s\" is not NAME=VALUE",
                           b->rec->image, *v);
        strv_env_set(&b->env, *v);
    }
    return 0;
}

static int build_env(struct build *b, struct err *e)
{
    const struct run_opts *o = b->o;
    if (o->env_host)
        for (char **v = environ; v && *v; v++)
            if (!unit_env_private(*v))
                strv_env_set(&b->env, *v);
    strv_env_set(&b->env, DEFAULT_PATH);
    if (o->tty)
        strv_env_set(&b->env, "TERM=xterm");
    strv_env_set(&b->env, "container=rootlet");
    int r = o->unsetenv_all ? 0 : image_env(b, e);
    for (char **v = o->unsetenv; v && *v; v++)
        strv_env_unset(b->env, *v);
    if (o->http_proxy)
        build_env_proxies(&b->env);
    for (char **v = o->env_merge; r == 0 && v && *v; v++)
        r = build_env_merge(&b->env, *v, e);
    for (char **v = o->env_file; r == 0 && v && *v; v++)
        r = build_env_file(&b->env, *v, e);
    for (char **v = o->env; r == 0 && v && *v; v++)
        r = build_env_add(&b->env, *v, e);
    if (r < 0)
        return r;
    if (!strv_env_get(b->env, "HOSTNAME") && b->spec->hostname) {
        scoped_free char *pair = xasprintf("HOSTNAME=%s", b->spec->hostname);
        strv_env_set(&b->env, pair);
    }
    strv_free(b->spec->process->env);
    b->spec->process->env = strv_dup(b->env);
    return 0;
}

/* keep-id is for working as oneself: without --user the process is the caller (as podman's). */
static char *kept_user(const struct build *b)
{
    const char *mode = b->o->userns ? b->o->userns : b->conf->userns;
    int64_t uid = idmap_to_inside(&b->map->uid, geteuid());
    int64_t gid = idmap_to_inside(&b->map->gid, getegid());
    if (b->o->user || !str_after(mode, "keep-id") || uid < 0 || gid < 0)
        return NULL;
    return xasprintf("%lld:%lld", (long long)uid, (long long)gid);
}

/* Numbers go into the configuration too, for other runtimes that are given the file. Names wait for
 * the container's own passwd and group at the start. */
static void note_ids(const char *user, struct spec_user *u)
{
    const char *colon = strchr(user, ':');
    scoped_free char *name = colon ? xasprintf("%.*s", (int)(colon - user), user) : xstrdup(user);
    uint32_t uid, gid = 0;
    if (parse_u32(name, &uid) < 0 || (colon && parse_u32(colon + 1, &gid) < 0))
        return;
    u->uid = uid;
    u->gid = gid;
}

static int build_user(struct build *b, struct err *e)
{
    scoped_free char *kept = kept_user(b);
    const char *user = b->o->user ? b->o->user : kept ? kept : b->image ? b->image->user : NULL;
    b->rec->user = user && *user ? xstrdup(user) : NULL;
    if (b->rec->user)
        note_ids(b->rec->user, &b->spec->process->user);
    b->rec->groups = strv_dup(b->o->group_add);
    if (kept && (!b->o->passwd_set || b->o->passwd))
        b->rec->login = userns_user_name(geteuid());
    b->user_is_root = !b->rec->user || streq(user, "0") || streq(user, "root") ||
                      str_after(user, "0:") || str_after(user, "root:");
    if (b->o->umask) {
        uint32_t mask;
        if (parse_octal(b->o->umask, &mask) < 0 || mask > 0777)
            return err_msg(e, EINVAL, "--umask %s: not an octal mask up to 0777", b->o->umask);
        b->spec->process->user.umask = mask;
        b->spec->process->user.has_umask = true;
    }
    return 0;
}

static int build_cwd(struct build *b, struct err *e)
{
    const char *cwd = b->o->workdir ? b->o->workdir : b->image ? b->image->working_dir : NULL;
    if (!cwd || !*cwd)
        cwd = "/";
    if (*cwd != '/')
        return err_msg(e, EINVAL, "working directory \"%s\" is not an absolute path", cwd);
    free(b->spec->process->cwd);
    b->spec->process->cwd = xstrdup(cwd);
    return 0;
}

static int build_limits(struct build *b, struct err *e)
{
    struct spec_process *p = b->spec->process;
    for (char **v = b->o->ulimit; v && *v; v++) {
        struct spec_rlimit l = {0};
        int r = limit_parse(*v, &l, e);
        if (r < 0)
            return r;
        size_t i = 0;
        while (i < p->n_rlimits && !streq(p->rlimits[i].type, l.type))
            i++;
        if (i == p->n_rlimits) {
            p->rlimits = xrealloc(p->rlimits, (i + 1) * sizeof(*p->rlimits));
            p->n_rlimits++;
        } else {
            free(p->rlimits[i].type);
        }
        p->rlimits[i] = l;
    }
    if (b->o->oom_score_adj_set) {
        if (b->o->oom_score_adj < -1000 || b->o->oom_score_adj > 1000)
            return err_msg(e, EINVAL, "--oom-score-adj %lld: not from -1000 to 1000",
                           (long long)b->o->oom_score_adj);
        p->oom_score_adj = (int32_t)b->o->oom_score_adj;
        p->has_oom_score_adj = true;
    }
    return 0;
}

static void build_terminal(struct build *b)
{
    struct winsize ws;
    struct spec_process *p = b->spec->process;
    p->terminal = b->rec->tty = b->o->tty;
    b->rec->open_stdin = b->o->interactive;
    free(p->console_size);
    p->console_size = NULL;
    if (b->o->tty && ioctl(STDIN_FILENO, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 0) {
        p->console_size = xcalloc(1, sizeof(*p->console_size));
        p->console_size->height = ws.ws_row;
        p->console_size->width = ws.ws_col;
    }
}

static int build_stop(struct build *b, struct err *e)
{
    const char *name = b->o->stop_signal                   ? b->o->stop_signal
                       : b->image && b->image->stop_signal ? b->image->stop_signal
                                                           : "SIGTERM";
    int sig = signal_parse(name);
    if (sig <= 0)
        return err_msg(e, EINVAL, "stop signal \"%s\": no such signal", name);
    b->rec->stop_signal = xstrdup(signal_name(sig));
    const char *timeout = strv_env_get(b->conf->extra, "stop_timeout");
    uint64_t ms = 10000;
    if (b->o->stop_timeout_set)
        ms = b->o->stop_timeout_ms;
    else if (timeout && parse_duration_ms(timeout, &ms) < 0)
        return err_msg(e, EINVAL, "setting stop_timeout = %s: not a time", timeout);
    b->rec->stop_timeout_s = (int64_t)(ms / 1000);
    b->rec->timeout_s = (int64_t)((b->o->timeout_ms + 999) / 1000);
    return 0;
}

int build_process(struct build *b, struct err *e)
{
    int r = build_user(b, e);
    if (r == 0)
        r = build_args(b, e);
    if (r == 0)
        r = build_env(b, e);
    if (r == 0)
        r = build_cwd(b, e);
    if (r == 0)
        r = build_limits(b, e);
    if (r == 0)
        r = build_stop(b, e);
    if (r < 0)
        return r;
    build_terminal(b);
    b->rec->init = b->o->init;
    b->rec->auto_remove = b->o->rm;
    return 0;
}
