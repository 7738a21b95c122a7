#include "cgroup/scope-helper.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "conf/conf.h"
#include "sys/sock.h"

/* The helper's own limit for a job is shorter, and its message better. */
#define ANSWER_MS 100000
#define END_MS 5000

static char **helper_environment(void)
{
    static const char *const names[] = {
        "PATH",         "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS", "DBUS_SYSTEM_BUS_ADDRESS",
        "ASAN_OPTIONS", "UBSAN_OPTIONS"};
    char **env = NULL;
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        if (getenv(names[i]))
            strv_addf(&env, "%s=%s", names[i], getenv(names[i]));
    strv_add(&env, "LANG=C");
    return env;
}

int scope_helper_start(struct scope_helper *h, bool user, struct err *e)
{
    scoped_free char *libexec = conf_libexec();
    scoped_free char *program = path_join(libexec, "rootlet-scope");
    if (access(program, X_OK) < 0)
        return err_hint(e, err_set(e, errno, "cgroup driver systemd: %s", program),
                        "it comes with a build that has libsystemd; the driver cgroupfs does "
                        "without");
    int pair[2];
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int ours = pair[0], theirs = pair[1];
    scoped_strv char **env = helper_environment();
    char of_user[] = "--user", of_system[] = "--system";
    char *const argv[] = {program, user ? of_user : of_system, NULL};
    r = proc_start(
        &(struct proc_cmd){.argv = argv, .envp = env, .stdin_fd = theirs, .stdout_fd = -1},
        &h->child, e);
    if (r == 0)
        h->sock = take_fd(&ours);
    return r;
}

/* It ends when the socket does, whoever else has inherited that. */
int scope_helper_end(struct scope_helper *h, struct err *e)
{
    if (h->sock < 0)
        return 0;
    shutdown(h->sock, SHUT_RDWR);
    fd_close(&h->sock);
    return proc_finish(&h->child, END_MS, e);
}

/* It has died: what it said last tells why. */
static int no_answer(struct scope_helper *h, struct err *e)
{
    struct err why = ERR_INIT;
    if (scope_helper_end(h, &why) != 0)
        err_msg(e, EIO, "cgroup driver systemd: %s", why.msg);
    else
        err_msg(e, EIO, "cgroup driver systemd: rootlet-scope gave no answer");
    return -EIO;
}

int scope_helper_send(struct scope_helper *h, const json_t *request, int pidfd, struct err *e)
{
    scoped_free char *text = json_text(request, false);
    return sock_send(h->sock, text, strlen(text), &pidfd, pidfd >= 0) < 0 ? no_answer(h, e) : 0;
}

int scope_helper_receive(struct scope_helper *h, struct err *e)
{
    struct err answer = ERR_INIT;
    struct pollfd p = {.fd = h->sock, .events = POLLIN};
    ssize_t n = poll(&p, 1, ANSWER_MS) == 1 ? sock_recv(h->sock, &answer, sizeof(answer), NULL) : 0;
    if (n != (ssize_t)sizeof(answer))
        return no_answer(h, e);
    answer.msg[sizeof(answer.msg) - 1] = answer.hint[sizeof(answer.hint) - 1] = '\0';
    if (answer.errnum && e)
        *e = answer;
    return -answer.errnum;
}

/* The first unit below the manager: "/user.slice/.../user@1000.service/app.slice/a.service/b.scope"
 * is of a.service. Returns its end. */
static const char *unit_of(const char *group, const char **ret_begin)
{
    scoped_free char *manager = xasprintf("/user@%u.service/", (unsigned)geteuid());
    const char *at = strstr(group, manager);
    at = at ? at + strlen(manager) - 1 : group;
    while (*at == '/') {
        size_t n = strcspn(at + 1, "/");
        scoped_free char *name = xstrndup(at + 1, n);
        *ret_begin = at + 1;
        at += 1 + n;
        if (str_ends(name, ".service") || str_ends(name, ".scope"))
            return at;
    }
    return NULL;
}

int scope_helper_attach(const char *group, bool user, pid_t pid, struct err *e)
{
    const char *unit, *end = unit_of(group, &unit);
    if (!end)
        return err_msg(e, EINVAL, "cgroup %s is of no unit of ours", group);
    struct scope_helper h = {.sock = -1};
    scoped_free char *name = xstrndup(unit, (size_t)(end - unit));
    scoped_json json_t *request = json_object();
    json_object_set_new(request, "op", json_string("attach"));
    json_object_set_new(request, "unit", json_string(name));
    json_object_set_new(request, "below", json_string(end));
    json_object_set_new(request, "pid", json_integer(pid));
    int r = scope_helper_start(&h, user, e);
    if (r == 0)
        r = scope_helper_send(&h, request, -1, e);
    if (r == 0)
        r = scope_helper_receive(&h, e);
    scope_helper_end(&h, NULL);
    return r < 0 ? err_add(e, r, "scope %s", name) : 0;
}
