/* A scope of the network's own: who started us is in a container's, and that may end before. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/scoped.h"
#include "base/str.h"
#include "helpers/network/network.h"
#include "sys/sock.h"

#define ANSWER_MS 10000

static int ask(int sock, const char *request, struct err *e)
{
    struct err answer = ERR_INIT;
    struct pollfd p = {.fd = sock, .events = POLLIN};
    int r = sock_send(sock, request, strlen(request), NULL, 0);
    if (r < 0)
        return err_set(e, -r, "ask rootlet-scope");
    ssize_t n = poll(&p, 1, ANSWER_MS) == 1 ? sock_recv(sock, &answer, sizeof(answer), NULL) : 0;
    if (n != (ssize_t)sizeof(answer))
        return err_msg(e, EIO, "rootlet-scope gave no answer");
    answer.msg[sizeof(answer.msg) - 1] = answer.hint[sizeof(answer.hint) - 1] = '\0';
    if (answer.errnum)
        *e = answer;
    return -answer.errnum;
}

int scope_enter(const struct wire_network *cfg, struct err *e)
{
    if (cfg->scope == WIRE_SCOPE_NONE)
        return 0;
    const char *libexec = getenv("ROOTLET_LIBEXEC");
    scoped_free char *program = xasprintf("%s/rootlet-scope", libexec ? libexec : LIBEXECDIR);
    char of_user[] = "--user", of_system[] = "--system";
    char *const argv[] = {program, cfg->scope == WIRE_SCOPE_USER ? of_user : of_system, NULL};
    int pair[2];
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int ours = pair[0], theirs = pair[1];
    struct proc_child child;
    r = proc_start(
        &(struct proc_cmd){.argv = argv, .envp = environ, .stdin_fd = theirs, .stdout_fd = -1},
        &child, e);
    if (r < 0)
        return r;
    fd_close(&theirs);
    /* Names of networks have no character that JSON or a unit's name would mind. */
    scoped_free char *request =
        xasprintf("{\"op\": \"start\", \"unit\": \"rootlet-net-%s.scope\", \"properties\": "
                  "[[\"Description\", \"s\", \"rootlet network %s\"]], \"pid\": %d}",
                  cfg->name, cfg->name, (int)getpid());
    r = ask(ours, request, e);
    fd_close(&ours);
    proc_finish(&child, ANSWER_MS, NULL);
    return r;
}
