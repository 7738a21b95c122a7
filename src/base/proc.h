/* proc - start, watch and signal processes by pidfd, never by a number that can be reused. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/scoped.h"

/* fork() that also gives a pidfd (close-on-exec). Returns as fork; *ret_pidfd is set in the parent.
 * clone3(2) with CLONE_PIDFD. The child must end in _exit. */
pid_t fork_pidfd(int *ret_pidfd);
/* Starts child(data) as vfork does, on a stack of its own (64 KiB): our memory is not copied, and
 * we go on once it has executed a program or has ended. It sees and may change our variables; it
 * must do little but arrange its descriptors, and end in execve or _exit. Returns its pid and in
 * *ret_pidfd its pidfd (close-on-exec), or -1 with errno. clone(2) with CLONE_VM | CLONE_VFORK. */
pid_t spawn_pidfd(int (*child)(void *data), void *data, int *ret_pidfd);

/* A program to run to its end. argv[0] is what is executed (execve when it holds a slash, else the
 * standard PATH is searched). */
struct proc_cmd {
    char *const *argv;
    char *const *envp; /* NULL: only PATH and LANG=C */
    const char *path;  /* what to execute when it is not argv[0]; may be NULL */
    const char *name;  /* in errors; NULL: as path, or argv[0] */
    int stdin_fd;      /* < 0: /dev/null. (0 is a valid descriptor: set -1 when unused) */
    int stdout_fd;     /* < 0: /dev/null */
    int timeout_ms;    /* <= 0: none */
    bool own_group;    /* a process group of its own, which ends with it when the time is over */
};
/* Runs it. Returns its exit status (128+n for a signal, 127 when not found); negative errno when it
 * could not be run or gave no end in time. When not 0, e says "NAME: exit status N: last line of
 * its stderr". */
int proc_run(const struct proc_cmd *cmd, struct err *e);

/* A started helper that is waited for later: for starting two side by side. */
struct proc_child {
    pid_t pid;
    int pidfd, err_fd; /* owned; err_fd: the read end of its stderr */
    bool own_group;
    char name[32];
};
int proc_start(const struct proc_cmd *cmd, struct proc_child *ret, struct err *e);
int proc_finish(struct proc_child *c, int timeout_ms, struct err *e); /* as proc_run */

int pidfd_open_pid(pid_t pid);        /* fd or -errno */
int pidfd_signal(int pidfd, int sig); /* 0 or -errno */
/* Waits for a child; returns the raw wait status (as waitpid) in *ret_status (may be NULL).
 * 0 or -errno. */
int pidfd_wait(int pidfd, int *ret_status);
/* Waits until the process behind pidfd has ended (child or not). 1 ended, 0 timeout, -errno. */
int pidfd_poll(int pidfd, int timeout_ms);
/* The wait status of a process that has ended and is no child of ours; start is its start time.
 * -ENODATA when nobody knows it any more: before Linux 6.15 that is so once its parent has taken
 * it. */
int pidfd_exit_status(int pidfd, pid_t pid, uint64_t start, int *ret_status);
/* Shell-style code of a wait status: exit status, or 128 + signal. */
int wait_status_code(int status);

/* Field 22 of /proc/PID/stat: start time in clock ticks since boot. 0 or -errno. proc_pid_stat(5)
 */
int proc_start_time(pid_t pid, uint64_t *ret);
/* Is it stopped by a signal (SIGSTOP, or a debugger)? */
bool proc_is_stopped(pid_t pid);
/* The boot id (37 bytes with terminator). random(4), /proc/sys/kernel/random/boot_id */
int proc_boot_id(char ret[static 40]);

/* Signal by name ("TERM", "SIGTERM", "15", "RTMIN+3"): its number or -EINVAL; name of a number. */
int signal_parse(const char *s);
const char *signal_name(int sig); /* "SIGTERM", or "signal N" in a static buffer */
