/* run - RUN: a container of the image so far, whose changes become a layer. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/build.h"

#define ENV_FILE_MAX (512u << 10)
#define SCRIPT "/run/.rootlet-build-script"

/* The text for the shell, its here-documents included. */
static const char *shell_text(const struct ins *in)
{
    return in->args && in->args[0] ? in->args[0] : "";
}

static char **shell_of(const struct state *st)
{
    char **v = NULL;
    const json_t *one;
    size_t i;
    json_array_foreach(json_object_get(state_config(st), "Shell"), i, one)
    {
        if (json_is_string(one))
            strv_add(&v, json_string_value(one));
    }
    if (!v) {
        strv_add(&v, "/bin/sh");
        strv_add(&v, "-c");
    }
    return v;
}

static char **command_of(const struct step *t)
{
    char **v = NULL;
    if (t->in->exec_form)
        return strv_dup(t->in->args);
    const char *text = shell_text(t->in);
    if (t->in->script && str_after(text, "#!")) {
        strv_add(&v, SCRIPT);
        return v;
    }
    v = shell_of(&t->s->st);
    strv_add(&v, text);
    return v;
}

/* "|2 A=1 B=2 /bin/sh -c make": as docker and buildah note it. Proxies are this machine's. */
static char *created_by(const struct step *t)
{
    struct str out = STR_INIT;
    scoped_strv char **args = NULL;
    const char *text = shell_text(t->in);
    for (char **a = t->s->st.args; a && *a; a++) {
        scoped_free char *name = xstrndup(*a, strcspn(*a, "="));
        if (!build_is_proxy_arg(name))
            strv_add(&args, *a);
    }
    if (args) {
        scoped_free char *list = strv_join(args, " ");
        str_addf(&out, "|%zu %s ", strv_len(args), list);
    }
    const char *words = str_after(t->in->text, "RUN ");
    str_addf(&out, "/bin/sh -c %s", t->in->n_heredocs ? text : words ? words : t->in->text);
    return str_detach(&out);
}

static char **environment(const struct step *t)
{
    char **env = NULL;
    scoped_strv char **image = state_env(&t->s->st);
    for (char **g = t->b->given; g && *g; g++) {
        scoped_free char *name = xstrndup(*g, strcspn(*g, "="));
        if (build_is_proxy_arg(name))
            strv_env_set(&env, *g);
    }
    for (char **a = t->s->st.args; a && *a; a++)
        strv_env_set(&env, *a);
    for (char **i = image; i && *i; i++)
        strv_env_set(&env, *i);
    return env;
}

static int network_of(const struct step *t, char ***args, struct err *e)
{
    const char *asked = ins_flag_value(t->in, "network", NULL);
    const char *security = ins_flag_value(t->in, "security", "sandbox");
    const char *own = t->b->o->network;
    if (!streq(security, "sandbox"))
        return err_hint(e, err_msg(e, EPERM, "--security=%s is not allowed here", security),
                        "--cap-add and --security-opt of rootlet build give a step more");
    if (asked && !streq(asked, "default") && !streq(asked, "none") && !streq(asked, "host"))
        return err_msg(e, EINVAL, "--network=%s: not default, none or host", asked);
    if (streq(asked, "host") && !streq(own, "host"))
        return err_hint(e, err_msg(e, EPERM, "--network=host: the file alone cannot have it"),
                        "rootlet build --network host allows it");
    if (asked && !streq(asked, "default"))
        strv_addf(args, "--network=%s", asked);
    else if (own && !streq(own, "default"))
        strv_addf(args, "--network=%s", own);
    return 0;
}

/* By a file where that can say it: everyone on this machine may read the words of a command. */
static int add_environment(const struct step *t, char ***args, struct err *e)
{
    scoped_strv char **env = environment(t);
    scoped_str struct str lines = STR_INIT;
    for (char **v = env; v && *v; v++) {
        if (strpbrk(*v, "\n\r") || strchr(" \t#", **v) || lines.len + strlen(*v) > ENV_FILE_MAX)
            strv_addf(args, "--env=%s", *v);
        else
            str_addf(&lines, "%s\n", *v);
    }
    if (!lines.len)
        return 0;
    scoped_free char *file = xasprintf("%s/env%u", t->b->scratch, t->b->n_made++);
    strv_addf(args, "--env-file=%s", file);
    return fs_write_atomic(AT_FDCWD, file, lines.s, lines.len, 0600, FS_NO_SYNC, e);
}

/* A here-document with "#!" is a program of its own. */
static int add_script(const struct step *t, char *const *command, char ***args, struct err *e)
{
    if (!command || !streq(command[0], SCRIPT))
        return 0;
    const char *text = shell_text(t->in);
    scoped_free char *file = xasprintf("%s/script%u", t->b->scratch, t->b->n_made++);
    int r = fs_write_atomic(AT_FDCWD, file, text, strlen(text), 0755, FS_NO_SYNC, e);
    strv_addf(args, "--raw-mount=bind\n%s\n" SCRIPT "\nbind,ro,rprivate", file);
    return r;
}

static int arguments(const struct step *t, const struct run_mounts *m, char *const *command,
                     char ***ret, struct err *e)
{
    const struct state *st = &t->s->st;
    const char *user = state_member(st, "User"), *dir = state_member(st, "WorkingDir");
    strv_add(ret, "--entrypoint=");
    strv_addf(ret, "--user=%s", user && *user ? user : "0");
    strv_addf(ret, "--workdir=%s", dir ? dir : "/");
    int r = add_environment(t, ret, e);
    strv_extend(ret, t->b->o->pass);
    r = r < 0 ? r : network_of(t, ret, e);
    strv_extend(ret, m->args);
    return r < 0 ? r : add_script(t, command, ret, e);
}

/* What it prints goes on at once; of a quiet build it is shown only when it fails. */
static int start(const struct step *t, const struct run_mounts *m, const char *name, struct err *e)
{
    scoped_free char *secrets = m->secret_env ? xasprintf("--secret-env=%s", m->secret_env) : NULL;
    char *argv[] = {(char *)"rootlet",
                    (char *)"start",
                    (char *)"-a",
                    secrets ? secrets : (char *)name,
                    secrets ? (char *)name : NULL,
                    NULL};
    struct build *b = t->b;
    scoped_free struct child_tail *tail = b->out ? NULL : xcalloc(1, sizeof(*tail));
    int ends[2] = {-1, -1};
    if (tail && pipe2(ends, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    scoped_fd int in = ends[0], kept = ends[1];
    const struct child c = {
        .argv = argv,
        .out = tail ? kept : STDOUT_FILENO,
        .err = tail ? kept : STDERR_FILENO,
        .container = name,
        .tail = tail,
    };
    if (tail) {
        fcntl(in, F_SETFL, O_NONBLOCK);
        tail->fd = in;
    }
    int r = child_run(b, &c, e);
    if (r <= 0)
        return r;
    if (tail)
        fwrite(tail->text, 1, tail->n, stderr);
    err_msg(e, EIO, "exit status %d", r);
    return err_exit(e, -EIO, r);
}

/* Files of the context that have changed while they were mounted: no key stands for what was made
 * of them. */
static int check_key(struct step *t, const struct run_mounts *m, struct err *e)
{
    SCOPED(run_mounts_release) struct run_mounts now = {0};
    scoped_free char *before = strv_join(m->key, " "), *after = NULL;
    int r = m->key ? run_mounts_key(t, &now, e) : 0;
    if (!m->key || r == -EINTR)
        return r;
    err_clear(e);
    if (r == 0)
        after = strv_join(now.key, " ");
    if (!streq(before, after))
        t->key[0] = '\0';
    return 0;
}

static int make(struct step *t, struct run_mounts *m, char *const *command, struct err *e)
{
    struct build *b = t->b;
    struct state *st = &t->s->st;
    scoped_strv char **args = NULL;
    scoped_free char *name = NULL, *id = NULL;
    scoped_json json_t *request = step_request(t, false);
    int r = run_mounts_make(t, m, e);
    r = r < 0 ? r : arguments(t, m, command, &args, e);
    r = r < 0 ? r : step_container(b, st->image, args, command, &name, e);
    if (r < 0)
        return r;
    r = step_make_dirs(b, st, name, e);
    r = r < 0 ? r : start(t, m, name, e);
    r = r < 0 ? r : check_key(t, m, e);
    r = r < 0 ? r : step_commit(b, name, request, false, &id, e);
    step_container_end(b, name);
    return r < 0 ? r : step_done(t, id, e);
}

int step_run(struct step *t, struct err *e)
{
    SCOPED(run_mounts_release) struct run_mounts m = {0};
    scoped_strv char **command = command_of(t);
    if (!t->s->st.image)
        return err_hint(e,
                        err_msg(e, ENOENT, "there is no program to run: FROM scratch has no file"),
                        "COPY or ADD a root file system first");
    t->created_by = created_by(t);
    int r = run_mounts_key(t, &m, e);
    if (r == 0) {
        scoped_strv char **key = strv_dup(m.key);
        strv_extend(&key, command);
        r = step_cached(t, key, e);
    }
    if (r == 0)
        r = make(t, &m, command, e);
    return r < 0 ? r : 0;
}
