/* A scope of the network's own: who started us is in a container's, and that may end before. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fs.h"
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

/* Are we in a unit of the manager that can give us another one? cgroups(7), /proc/PID/cgroup */
static bool in_unit(void)
{
    scoped_free char *text = NULL;
    if (fs_read(AT_FDCWD, "/proc/self/cgroup", 65536, &text, NULL) < 0)
        return false;
    const char *line = str_after(text, "0::") ? text : strstr(text, "\n0::");
    const char *path = line ? strchr(line, '/') : NULL;
    scoped_free char *group = path ? xstrndup(path, strcspn(path, "\n")) : xstrdup("");
    const char *below = geteuid() == 0 ? group : strstr(group, "/user@");
    below = below && geteuid() != 0 ? strchr(below + 1, '/') : below;
    return below && (strstr(below, ".scope") || strstr(below, ".service"));
}

/* What rootlet-slirp's limit of its address space leaves, and the kernel's buffers: nothing of it
 * is to be felt on an ordinary day. */
#define MEMORY_HIGH ((uint64_t)1 << 30)
#define MEMORY_MAX ((uint64_t)2 << 30)

static int make(int sock, const struct wire_network *cfg, const char *unit, struct err *e)
{
    /* Names of networks have no character that JSON or a unit's name would mind. */
    scoped_free char *request =
        xasprintf("{\"op\": \"start\", \"unit\": \"%s\", \"pid\": %d, \"properties\": "
                  "[[\"Description\", \"s\", \"rootlet network %s\"], "
                  "[\"MemoryHigh\", \"t\", %" PRIu64 "], [\"MemoryMax\", \"t\", %" PRIu64 "], "
                  "[\"CollectMode\", \"s\", \"inactive-or-failed\"]]}",
                  unit, (int)getpid(), cfg->name, MEMORY_HIGH, MEMORY_MAX);
    return ask(sock, request, e);
}

int scope_enter(const struct wire_network *cfg, struct err *e)
{
    if (!in_unit())
        return 0;
    const char *libexec = getenv("ROOTLET_LIBEXEC");
    scoped_free char *program = xasprintf("%s/rootlet-scope", libexec ? libexec : LIBEXECDIR);
    char of_user[] = "--user", of_system[] = "--system";
    char *const argv[] = {program, geteuid() != 0 ? of_user : of_system, NULL};
    int pair[2];
    int r = access(program, X_OK) < 0 ? err_set(e, errno, "%s", program) : sock_pair(pair, e);
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
    scoped_free char *unit = xasprintf("rootlet-net-%s.scope", cfg->name);
    scoped_free char *other = xasprintf("rootlet-net-%s-%.12s.scope", cfg->name, cfg->id);
    r = make(ours, cfg, unit, e);
    if (r < 0) /* a network of the same name in another store */
        r = make(ours, cfg, other, e);
    fd_close(&ours);
    proc_finish(&child, ANSWER_MS, NULL);
    return r;
}
