/* why - explains a death by seccomp (SIGSYS, exit code 159): which system call it was, if that can
 * be known, and what to do.
 *
 * The kernel tells nobody but its log (an audit record, type 1326) which call a filter killed for:
 * the wait status has only the signal. So the log is read where the user may: /dev/kmsg, then the
 * journal. Where not, the honest way is to run again with seccomp-default=learn: the same filter,
 * but calls that it would refuse by default are run, and told to the supervisor by a seccomp
 * listener, which needs no privilege and no log. What was learned stands in the container's
 * directory, in the file WHY_LEARNED. */
#pragma once

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"
#include "security/seccomp.h"
#include "spec/spec.h"

#define WHY_LEARNED "seccomp.learned"
#define WHY_SIGSYS_CODE (128 + 31)

struct why_query {
    const char *name;                  /* the container's, for commands that we suggest */
    const char *profile;               /* "minimal", "kill.json" */
    const struct seccomp_prog *prog;   /* what was loaded; NULL: not known */
    pid_t init_pid;                    /* on the host; 0: not known */
    int64_t started_ns, finished_ns;   /* when it ran, UTC; finished 0: until now */
    const struct spec_id_map *uid_map; /* whose processes are the container's */
    size_t n_uid_map;
    int dirfd; /* the container's directory; -1: none */
};

/* Adds the explanation to out: lines of text, each ended. Returns how many different system calls
 * are named in it; 0: the general text. Takes up to some seconds (journalctl). */
int why_explain(const struct why_query *q, struct str *out);

/* One line of a kernel or audit log. 1 when it is a seccomp record of native calls, 0 when not. */
struct why_record {
    int nr, sig;
    pid_t pid;
    uint32_t uid;
    int64_t time_ns; /* 0: the line does not say */
    char comm[17];   /* as the log gives it: hostile text */
};
int why_parse_record(const char *line, struct why_record *ret);

/* What the supervisor keeps while a container learns. */
struct why_learn {
    uint64_t seen[16]; /* by number, up to 1023 */
};
/* Loads p (which asks a listener) for the calling process and sends the listener with a message
 * over the socket sock, from a helper process that no filter binds: the profile may not allow
 * sendmsg. Who gets it must serve it at once. Before execve, as seccomp_prog_load. */
int why_load_and_send(const struct seccomp_prog *p, int sock, const void *message, size_t size,
                      struct err *e);
/* Takes one notification of the listener (readable), lets the call run, and notes a new one in
 * WHY_LEARNED of dirfd. 0; -ENODEV when the last process of the filter has gone: close it; other
 * errors are the note's: the call runs all the same. */
int why_learn_step(struct why_learn *l, int listener, int dirfd, struct err *e);
