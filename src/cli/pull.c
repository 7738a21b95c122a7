#include "cli/pull.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "cli/cli.h"

int cli_pull_policy(const char *word, struct err *e)
{
    static const char *const words[] = {
        [CLI_PULL_MISSING] = "missing",
        [CLI_PULL_NEVER] = "never",
        [CLI_PULL_ALWAYS] = "always",
        [CLI_PULL_NEWER] = "newer",
    };

    if (!word || !word[0])
        return CLI_PULL_MISSING;
    for (size_t i = 0; i < N_ELEMENTS(words); i++)
        if (streq(word, words[i]))
            return (int)i;
    /* podman's words of older days */
    if (streq(word, "true"))
        return CLI_PULL_ALWAYS;
    if (streq(word, "ifnewer"))
        return CLI_PULL_NEWER;
    if (streq(word, "ifmissing") || streq(word, "false"))
        return CLI_PULL_MISSING;
    return err_hint(e, err_msg(e, EINVAL, "--pull %s: unknown", word),
                    "known: missing, always, newer, never");
}

static void add_option(char ***argv, const char *name, const char *value)
{
    if (value)
        strv_addf(argv, "--%s=%s", name, value);
}

static char **arguments(const char *name, const char *policy, const struct run_opts *o)
{
    char **argv = NULL;

    strv_add(&argv, "rootlet-registry");
    strv_add(&argv, "pull");
    add_option(&argv, "policy", policy);
    if (!policy)
        strv_add(&argv, "--implicit");
    if (o) {
        add_option(&argv, "platform", o->platform);
        add_option(&argv, "os", o->os);
        add_option(&argv, "arch", o->arch);
        add_option(&argv, "variant", o->variant);
        add_option(&argv, "authfile", o->authfile);
        add_option(&argv, "cert-dir", o->cert_dir);
        add_option(&argv, "retry", o->pull_retry);
        add_option(&argv, "retry-delay", o->pull_retry_delay);
        if (o->tls_verify_set)
            add_option(&argv, "tls-verify", o->tls_verify ? "true" : "false");
        if (o->quiet)
            strv_add(&argv, "-q");
    }
    strv_add(&argv, "--");
    strv_add(&argv, name);
    return argv;
}

/* The child: what is printed on stdout, the id, is not for the user of run. */
static void run_child(char *const *argv, const char *creds) __attribute__((noreturn));
static void run_child(char *const *argv, const char *creds)
{
    scoped_free char *path = path_join(cli_conf()->libexec, argv[0]);
    scoped_strv char **env = strv_dup(environ);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    conf_env(cli_conf(), &env);
    conf_env_creds(creds, &env);
    dup2(null, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    signal(SIGINT, SIG_DFL);
    signal(SIGQUIT, SIG_DFL);
    execve(path, argv, env);
    _exit(127);
}

static int finish(int status, const char *name, struct err *e)
{
    if (WIFSIGNALED(status)) { /* a ^C was for both of us */
        signal(WTERMSIG(status), SIG_DFL);
        raise(WTERMSIG(status));
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    if (WIFEXITED(status) && WEXITSTATUS(status) == 127)
        return err_hint(e, err_msg(e, ENOENT, "pull %s: rootlet-registry cannot be started", name),
                        "is rootlet installed completely?");
    err_clear(e); /* it has told all itself */
    return err_exit(e, -EIO, 125);
}

int cli_pull(const char *name, const char *policy, const struct run_opts *o, struct err *e)
{
    scoped_strv char **argv = arguments(name, policy, o);
    struct sigaction ignore = {.sa_handler = SIG_IGN}, old_int, old_quit;
    int status = 0, r = 0;
    pid_t pid;

    fflush(NULL);
    /* It ends by itself, in order, and then so do we. */
    sigaction(SIGINT, &ignore, &old_int);
    sigaction(SIGQUIT, &ignore, &old_quit);
    pid = fork();
    if (pid == 0)
        run_child(argv, o ? o->creds : NULL);
    if (pid < 0)
        r = err_set(e, errno, "pull %s: fork", name);
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    sigaction(SIGINT, &old_int, NULL);
    sigaction(SIGQUIT, &old_quit, NULL);
    return r < 0 ? r : finish(status, name, e);
}
