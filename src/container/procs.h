/* procs - the processes of a running container, for top: numbers as they are seen inside. */
#pragma once

#include "container/container.h"
#include "userns/userns.h"

enum { PROC_CAP_INH, PROC_CAP_PRM, PROC_CAP_EFF, PROC_CAP_BND, PROC_CAP_AMB, PROC_CAPS };

struct ctr_proc {
    pid_t host_pid, host_ppid;
    pid_t pid, ppid; /* inside; ppid 0: its parent is none of them */
    pid_t pgid;      /* inside, 0: of another namespace */
    char state;      /* 'R', 'S' ... */
    int nice;
    unsigned tty; /* device number, 0: none */
    uint64_t start_ticks, cpu_ticks;
    uint64_t vsz, rss;             /* KiB */
    uint32_t uid, ruid, gid, rgid; /* of the host: effective, real */
    char *groups;                  /* host ids, with blanks between; owned */
    uint64_t caps[PROC_CAPS];
    int seccomp;   /* 0 disabled, 1 strict, 2 filter */
    char comm[17]; /* may hold anything but '\0' */
    char *args;    /* with blanks between, cut at 16 KiB; "[comm]" when there are none; owned */
    char *label;   /* of a security module; "" */
};

struct ctr_procs {
    struct ctr_proc *v; /* in the order of their numbers inside */
    size_t n;
    struct userns_map map; /* of the container, as /proc shows it here */
};

/* Finds them by the container's control group, else by its pid namespace, or, where that is not its
 * own, by its mount namespace. -ESRCH: it does not run. */
int container_procs(const struct container *c, struct ctr_procs *ret, struct err *e);
void container_procs_release(struct ctr_procs *p);
