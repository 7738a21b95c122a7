/* What the files of this folder share: the stage table, the messages, the two contexts. */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "engine/engine.h"
#include "engine/user.h"
#include "mounts/mounts.h"
#include "security/why.h"
#include "sys/sock.h"
#include "userns/userns.h"

#define EXIT_FAILED 125
#define EXIT_NOT_EXECUTABLE 126
#define EXIT_NOT_FOUND 127

/* --- messages between the engine and the process it starts --- */

enum msg_type {
    MSG_PID = 1,    /* joiner: value = pid of the init it cloned; fds: its pidfd */
    MSG_MAPPED,     /* parent: the id maps are written, go on */
    MSG_NAMESPACES, /* child: its namespaces exist; fds: network, user */
    MSG_GO,         /* parent: network and hooks of the host's side are done */
    MSG_CONSOLE,    /* child; fds: pty master */
    MSG_CREATED,    /* child: all but execve is done */
    MSG_START,      /* parent: execve now */
    MSG_ERROR,      /* child: err; it ends */
    MSG_LISTENER,   /* child, on its way to execve; fds: a seccomp listener that must be served */
    MSG_DETACH,     /* parent: MSG_START will come over the listening socket */
    MSG_STARTING,   /* detached child: MSG_START has arrived, execve follows */
    MSG_PID_OUT,    /* as MSG_PID, but the init is not in its cgroup yet */
    MSG_MOUNTED,    /* child: its file system is complete, the hooks before the pivot may run */
};
/* Only additions: `start` may be of a later version than the init that waits for it. */

struct msg {
    uint32_t type;
    int32_t value;
    struct err err; /* sent with MSG_ERROR only */
};

int msg_send(int sock, enum msg_type type, int32_t value, const int *fds, size_t n_fds);
void msg_send_err(int sock, const struct err *e);
/* 1: a message, 0: the peer is gone, -errno. fds: SOCK_MAX_FDS, owned, or NULL: closed. */
int msg_recv(int sock, struct msg *ret, int *fds);
/* As above, but wants this type. A MSG_ERROR becomes e and its errno; the end of the peer is
 * -ECONNRESET. */
int msg_expect(int sock, enum msg_type type, struct msg *ret, int *fds, struct err *e);

/* --- stages --- */

enum side {
    SIDE_PARENT, /* the caller, before START */
    SIDE_JOIN,   /* a helper that enters namespaces given by path and clones the init from there */
    SIDE_EARLY,  /* the init while its maps are being written: only what needs no mapped id */
    SIDE_CHILD,  /* the init as the container's root, up to CREATED */
    SIDE_FINAL,  /* the init after START */
    SIDE_EXEC,   /* a process that engine_exec has put into the namespaces */
};

struct start;

struct stage {
    const char *name; /* "mount root": context of its errors and label of --trace-stages */
    enum side side;
    int (*run)(struct start *s, struct err *e);
    void (*undo)(struct start *s); /* SIDE_PARENT only: when a later stage fails; may be NULL */
    bool plain; /* its messages are for the user as they are: no context in front */
};

/* Times of the stages, in memory that parent and child share. */
struct trace {
    _Atomic unsigned n;
    struct {
        const char *name;
        enum side side;
        int64_t ns;
    } v[64];
    int64_t begin_ns;
};

/* Runs the stages of one side in their order. When one fails those before it are undone. */
int stages_run(struct start *s, enum side side, struct err *e);
void stages_undo(struct start *s);
struct trace *trace_new(void);
void trace_add(struct trace *t, const char *name, enum side side, int64_t ns);
void trace_print_and_free(struct trace *t);
int64_t clock_ns(void);

/* --- the context of one start; the child works on its copy --- */

enum { NS_MAX = 8 };
struct ns_join {
    int fd;        /* owned */
    uint64_t flag; /* CLONE_NEW* */
    const char *path;
    bool ours; /* of our own user namespace: entered before another one is */
};

struct engine {
    pid_t pid;
    int pidfd, sock, console, listener;
    struct why_learn learn;
    bool reaped, created, hooks_begun, detached, adopted;
    uint64_t start;         /* of an adopted one's init, as proc_start_time */
    struct engine_params p; /* what its pointers name is the caller's and outlives the engine */
    struct trace *trace;
};

struct start {
    struct engine *en;
    const struct engine_params *p;
    const struct spec *spec;
    const struct spec_process *process;
    const struct network_driver *network;
    int sock; /* this side's end */
    int child_sock;

    uint64_t new_flags; /* namespaces to make: CLONE_NEW* */
    struct ns_join join[NS_MAX];
    size_t n_join;
    bool own[NS_MAX + 1]; /* by enum own below */
    bool make_userns, join_userns;
    bool announces;      /* the parent attaches a network or devices */
    bool runtime_hooks;  /* the parent runs hooks before the pivot */
    bool host_mounts;    /* no mount namespace of its own: nothing may be mounted */
    bool sources_denied; /* to be opened once more when the ids are mapped */
    bool in_userns;      /* it runs in a user namespace that is not the initial one */
    int cgroup_fd;       /* to clone into, or -1; borrowed */
    bool in_cgroup;      /* the init was born in its cgroup */
    bool hidden;         /* while it waits nobody but root may look at the init */

    struct userns_mapping mapping; /* under way */

    /* child only */
    int root_mount, root_at, root_fd, null_fd, console_slave;
    struct storage_fds root_fds;
    struct mounts_env mounts_env;
    struct mounts *mounts; /* between its two steps; owned */
    int *bind_fds; /* per spec mount; owned; the caller's ones are opened before the clone */
    bool idmapped;
    struct user user;
    bool no_setgroups, keep_groups, dies_with_us;
    char **env;
    char *command;
    /* What the payload is given; from the engine's or from exec's parameters. */
    const struct seccomp_prog *seccomp;
    const char *user_text;
    const char *login; /* NULL: nothing to tell */
    char *const *groups;
    int stdio[3];
    unsigned preserve_fds;
};
/* The init goes to a cgroup after its birth, so it makes its cgroup namespace late. */
static inline bool enters_cgroup(const struct start *s)
{
    return (s->p->cgroup || s->p->await_cgroup) && !s->in_cgroup;
}
enum own { OWN_NET, OWN_PID, OWN_IPC, OWN_UTS, OWN_CGROUP, OWN_TIME, OWN_USER };

/* parent.c */
int parent_open_namespaces(struct start *s, struct err *e);
void parent_close_namespaces(struct start *s);
int parent_open_idmapped(struct start *s, struct err *e);
void parent_close_idmapped(struct start *s);
int parent_clone(struct start *s, struct err *e);
/* clone into the cgroup if that can be; s->in_cgroup tells. -errno. */
pid_t parent_clone_into(struct start *s, uint64_t flags, int *ret_pidfd);
void parent_kill(struct start *s);
int parent_enter_cgroup(struct start *s, struct err *e);
int parent_oom_score(struct start *s, struct err *e);
int parent_map_ids(struct start *s, struct err *e);
void parent_stop_mapping(struct start *s);
int parent_mapped(struct start *s, struct err *e);
int parent_attach(struct start *s, struct err *e);
int parent_await_created(struct start *s, struct err *e);
void engine_reap(struct engine *en);

/* engine.c: descriptors 3 .. 3+n-1 must be open, or one of ours would take the place. */
int engine_check_preserved(unsigned n, struct err *e);
/* engine.c: until the socket was closed by a successful execve, or an error came over it. */
int engine_await_exec(struct engine *en, struct err *e);

/* detach.c: the init waits for MSG_START, from its creator or, after MSG_DETACH, from whoever
 * connects; it ends when the creator ends before. */
void detach_await_start(struct start *s);
/* Before CREATED is reported: nothing of the creator's may live on in an init that waits. */
int detach_prepare(struct start *s, struct err *e);

/* chroot.c: a container in our own mount namespace. */
int chroot_check(const struct start *s, struct err *e);
int chroot_enter(struct start *s, struct err *e);

/* joiner.c */
int join_check(struct start *s, const struct spec_namespace *ns, struct err *e);
int join_owner(struct start *s, struct err *e);
int join_enter(struct start *s, struct err *e);
int join_clone(struct start *s, struct err *e);
_Noreturn void joiner_main(struct start *s);

/* child.c: the init. */
_Noreturn void child_main(struct start *s);
_Noreturn void child_fail(struct start *s, int r, struct err *e); /* tells the parent, ends */
int child_unshare(struct start *s, struct err *e);
int child_loopback(struct start *s, struct err *e);
int child_hostname(struct start *s, struct err *e);
int child_announce(struct start *s, struct err *e);
int child_await_maps(struct start *s, struct err *e);
int child_unshare_cgroup(struct start *s, struct err *e);
int child_become_root(struct start *s, struct err *e);
int child_await_go(struct start *s, struct err *e);
int child_sysctls(struct start *s, struct err *e);
int child_open_sources(struct start *s, struct err *e);
int child_open_denied_sources(struct start *s, struct err *e);
int child_mount_root(struct start *s, struct err *e);
int child_mounts(struct start *s, struct err *e);
int child_pivot(struct start *s, struct err *e);
int child_console(struct start *s, struct err *e);
/* credentials.c */
int child_credentials(struct start *s, struct err *e);
int child_created(struct start *s, struct err *e);

/* process.c: from a prepared root to execve; exec.c uses it too. */
int process_session(struct start *s, struct err *e);
int process_keyring(struct start *s, struct err *e);
int process_user(struct start *s, struct err *e);
int process_make_cwd(struct start *s, struct err *e);
int process_stdio(struct start *s, struct err *e);
int process_limits(struct start *s, struct err *e);
int process_limit_files(struct start *s, struct err *e);
int process_scheduling(struct start *s, struct err *e);
int process_security_label(struct start *s, struct err *e);
int process_identity(struct start *s, struct err *e);
int process_enter_cwd(struct start *s, struct err *e);
int process_look_for_command(struct start *s, struct err *e);
int process_find_command(struct start *s, struct err *e);
int process_seccomp(struct start *s, struct err *e);
int process_exec(struct start *s, struct err *e);
/* Kills us when the parent's thread ends. Changes of ids clear it, so it is set again after them.
 */
void process_die_with_parent(void);

/* exec.c */
int exec_become_root(struct start *s, struct err *e);
int exec_scheduling(struct start *s, struct err *e);
int exec_console(struct start *s, struct err *e);

#include "engine/parts-priv.h"
