/* holder - in the container's namespaces, and of a program that was executed there: only then do
 * they let others who have entered them look at it. ptrace(2) */
#include "network/holder.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "sys/clone.h"
#include "sys/sock.h"

static void child(const struct network_run *run, const char *program, int sock)
    __attribute__((noreturn));
static void child(const struct network_run *run, const char *program, int sock)
{
    char name[] = "rootlet-leash", hold[] = "hold";
    char *argv[] = {name, hold, NULL}, *envp[] = {NULL};
    if (prctl(PR_SET_DUMPABLE, 0) == 0 && /* until it has executed: it has all that we have */
        (setns(run->userns_fd, CLONE_NEWUSER) == 0 || errno == EINVAL) &&
        setns(run->netns_fd, CLONE_NEWNET) == 0 && dup2(sock, 3) == 3 &&
        fcntl(3, F_SETFD, 0) == 0 && sys_close_from(4, 1) == 0) {
        close(0), close(1), close(2);
        execve(program, argv, envp);
    }
    int why = errno;
    (void)!sock_send(sock, &why, sizeof(why), NULL, 0);
    _exit(127);
}

int holder_start(const struct network_run *run, struct holder *ret, struct err *e)
{
    int pair[2], done[2];
    scoped_free char *program = path_join(run->conf->libexec, "rootlet-leash");
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1];
    r = sock_pair(done, e);
    if (r < 0)
        return r;
    scoped_fd int seen = done[0], executed = done[1], pidfd = -1;
    pid_t pid = fork_pidfd(&pidfd);
    if (pid < 0)
        return sys_clone_failed(errno, "fork", e);
    if (pid == 0)
        child(run, program, theirs);
    fd_close(&theirs);
    fd_close(&executed);
    /* Its copy closes when it executes, or ends. */
    char byte;
    (void)!sock_recv(seen, &byte, 1, NULL);
    *ret = (struct holder){pid, take_fd(&pidfd), take_fd(&mine)};
    if (pidfd_poll(ret->pidfd, 0) == 0)
        return 0;
    int why = EIO;
    (void)!sock_recv(ret->sock, &why, sizeof(why), NULL);
    holder_end(ret);
    return err_set(e, why, "enter the container's network namespace");
}

void holder_end(struct holder *h)
{
    fd_close(&h->sock);
    if (h->pidfd >= 0) {
        pidfd_signal(h->pidfd, SIGKILL);
        pidfd_wait(h->pidfd, NULL);
        fd_close(&h->pidfd);
    }
}
