/* rootlet-init - process 1 for programs that were not written to be one (run --init). Libc only.
 *
 * It is mounted into containers of any distribution, hence static. It starts one command, hands on
 * the signals that it gets, reaps every orphan, and ends with the command's exit status; process 1
 * cannot die of a signal, so a death by signal n becomes 128+n. The kernel kills what is left.
 * Without a command it only reaps, until SIGTERM, SIGINT or SIGHUP: it holds namespaces. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { EXIT_FAILED = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

/* Blocked means delivered by sigwaitinfo. Faults of this program itself must stay deadly. */
static void block_signals(sigset_t *ret_blocked, sigset_t *ret_old)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};

    sigfillset(ret_blocked);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(ret_blocked, faults[i]);
    sigprocmask(SIG_SETMASK, ret_blocked, ret_old);
}

/* sd_listen_fds(3): sockets that were given to process 1 are for the command. */
static void hand_on_sockets(void)
{
    const char *pid = getenv("LISTEN_PID");
    char text[16];
    if (!pid || strcmp(pid, "1") != 0)
        return;
    snprintf(text, sizeof(text), "%d", (int)getpid());
    setenv("LISTEN_PID", text, 1);
}

static _Noreturn void run_command(char **argv, const sigset_t *old)
{
    /* A process group of its own, in front of the terminal if there is one: else Ctrl-C would
     * reach the command twice, from the terminal and from us. SIGTTOU is still blocked here. */
    setpgid(0, 0);
    if (isatty(STDIN_FILENO))
        tcsetpgrp(STDIN_FILENO, getpid());
    sigprocmask(SIG_SETMASK, old, NULL);
    hand_on_sockets();

    execvp(argv[0], argv);
    int error = errno;
    fprintf(stderr, "rootlet-init: exec %s: %s\n", argv[0], strerror(error));
    _exit(error == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE);
}

/* Collects every dead child. True when the command was among them, with its code. */
static bool reap(pid_t command, int *ret_code)
{
    bool ended = false;
    for (;;) {
        int status = 0;
        pid_t pid = waitpid(-1, &status, WNOHANG);
        if (pid < 0 && errno == EINTR)
            continue;
        if (pid <= 0)
            return ended;
        if (pid == command) {
            ended = true;
            *ret_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
        }
    }
}

/* With a command: until it ends. Without (command 0): until we are told to go. */
static int serve(pid_t command, const sigset_t *blocked)
{
    for (;;) {
        int code = 0, sig = sigwaitinfo(blocked, NULL);
        if (sig < 0) {
            if (errno == EINTR)
                continue;
            fprintf(stderr, "rootlet-init: wait for signals: %s\n", strerror(errno));
            return EXIT_FAILED;
        }
        if (sig == SIGCHLD) {
            if (reap(command, &code))
                return code;
        } else if (command > 0) {
            kill(command, sig); /* ESRCH: it is a zombie, SIGCHLD is on its way */
        } else if (sig == SIGTERM || sig == SIGINT || sig == SIGHUP) {
            return EXIT_SUCCESS;
        }
    }
}

int main(int argc, char **argv)
{
    sigset_t blocked, old;

    argv++;
    argc--;
    if (argc > 0 && strcmp(argv[0], "--version") == 0) {
        puts("rootlet-init " PACKAGE_VERSION);
        return EXIT_SUCCESS;
    }
    if (argc > 0 && strcmp(argv[0], "--") == 0) {
        argv++;
        argc--;
    } else if (argc > 0 && argv[0][0] == '-') {
        fprintf(stderr, "usage: rootlet-init [-- COMMAND [ARG...]]\n");
        return 2;
    }

    block_signals(&blocked, &old);
    if (argc == 0) {
        prctl(PR_SET_NAME, "rootlet-pause");
        return serve(0, &blocked);
    }

    pid_t command = fork();
    if (command < 0) {
        fprintf(stderr, "rootlet-init: fork: %s\n", strerror(errno));
        return EXIT_FAILED;
    }
    if (command == 0)
        run_command(argv, &old);
    /* The command's: as long as we held them too, nobody would see that it has closed them. */
    syscall(SYS_close_range, 3u, ~0u, 0u);
    return serve(command, &blocked);
}
