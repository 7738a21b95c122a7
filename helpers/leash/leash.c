/* rootlet-leash - ends a foreign program with a container.
 *
 *   rootlet-leash        descriptor 3: the container's first process, 4: the program (pidfds).
 *                        When 3 ends, 4 is killed; when 4 has ended we end.
 *   rootlet-leash hold   stands in namespaces that it was put into, as a process that others may
 *                        look at, until descriptor 3 is closed.
 *   rootlet-leash run PROGRAM ARG...
 *                        runs a program that goes to the background, and ends as it ends in the
 *                        foreground. What it has left there is killed unless a byte comes by
 *                        descriptor 1, a socket, before that is closed: then it is in other hands.
 *
 * Programs of others do not know our containers. The supervisor would end them, but it may be
 * killed itself, and the container's network lives on then. */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define HELD 3
#define TARGET 4
#define START_S 30
#define FAILED 126

static int wait_for(struct pollfd *p, nfds_t n)
{
    int r;
    do
        r = poll(p, n, -1);
    while (r == 0);
    return r;
}

static int status_code(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void run_program(char **argv)
{
    signal(SIGPIPE, SIG_DFL); /* an old pasta takes another one for an error */
    alarm(START_S); /* goes with us into the program; its child in the background has none */
    if (dup2(STDIN_FILENO, STDOUT_FILENO) >= 0)
        execvp(argv[0], argv);
    _exit(127);
}

/* What it has left in the background, a child of ours then: its number is nobody else's. Its own
 * file of it may be gone with the container. proc_pid_task(5), /proc/PID/task/TID/children */
static pid_t left_behind(void)
{
    char text[32] = "";
    int fd = open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;
    if (fd >= 0)
        close(fd);
    return n > 0 ? (pid_t)strtol(text, NULL, 10) : 0;
}

/* Says by tell how the program has ended, and waits for what becomes of the rest. */
static int guard(int tell, char **argv)
{
    int status = -1;
    if (prctl(PR_SET_CHILD_SUBREAPER, 1) < 0)
        return FAILED;
    pid_t program = fork();
    if (program == 0)
        run_program(argv);
    if (program < 0 || waitpid(program, &status, 0) != program)
        return FAILED;
    unsigned char code = (unsigned char)status_code(status);
    pid_t left = left_behind();
    if (dup2(STDIN_FILENO, STDERR_FILENO) < 0 || (write(tell, &code, 1) != 1 && !left))
        return FAILED;
    close(tell);
    char byte;
    if (left && read(STDOUT_FILENO, &byte, 1) != 1)
        kill(left, SIGKILL);
    return 0;
}

static int run(char **argv)
{
    int told[2];
    unsigned char code;
    if (pipe2(told, O_CLOEXEC) < 0)
        return FAILED;
    pid_t pid = fork();
    if (pid == 0) {
        close(told[0]);
        signal(SIGPIPE, SIG_IGN);
        _exit(guard(told[1], argv));
    }
    close(told[1]);
    return pid > 0 && read(told[0], &code, 1) == 1 ? code : FAILED;
}

int main(int argc, char **argv)
{
    struct pollfd p[] = {{.fd = HELD, .events = POLLIN}, {.fd = TARGET, .events = POLLIN}};
    if (argc > 2 && strcmp(argv[1], "run") == 0)
        return run(argv + 2);
    nfds_t n = argc > 1 && strcmp(argv[1], "hold") == 0 ? 1 : 2;
    while (wait_for(p, n) < 0) /* only a signal does that */
        ;
    if (n == 2 && p[0].revents)
        syscall(SYS_pidfd_send_signal, TARGET, SIGKILL, NULL, 0);
    return 0;
}
