/* The start of a container as a table: what is done, on which side, and what takes it back. */
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>

#include "engine/engine-priv.h"

/* The order within one side is the order of execution. The parent has the ids mapped and the scope
 * made, side by side, while the init does its early stages; "await" stages are where one side waits
 * for the other.
 *
 * Capabilities, then seccomp, are the last things before execve (A23, A21). */
static const struct stage stages[] = {
    {"open namespaces", SIDE_PARENT, parent_open_namespaces, parent_close_namespaces},
    {"open mapped sources", SIDE_PARENT, parent_open_idmapped, parent_close_idmapped,
     .plain = true},
    {"clone init", SIDE_PARENT, parent_clone, parent_kill},
    {"begin to map ids", SIDE_PARENT, parent_map_ids, parent_stop_mapping, .plain = true},
    {"enter cgroup", SIDE_PARENT, parent_enter_cgroup},
    {"set oom score", SIDE_PARENT, parent_oom_score},
    {"map ids", SIDE_PARENT, parent_mapped, .plain = true},
    {"attach network", SIDE_PARENT, parent_attach},
    {"run hooks", SIDE_PARENT, parent_hooks, .plain = true},
    {"await init", SIDE_PARENT, parent_await_created, .plain = true},

    {"join namespaces", SIDE_JOIN, join_enter},
    {"clone init", SIDE_JOIN, join_clone},

    {"begin session", SIDE_EARLY, process_session},
    {"unshare namespaces", SIDE_EARLY, child_unshare},
    {"bring up loopback", SIDE_EARLY, child_loopback},
    {"set hostname", SIDE_EARLY, child_hostname},
    {"announce namespaces", SIDE_EARLY, child_announce},
    {"open sources", SIDE_EARLY, child_open_sources, .plain = true},

    {"await id maps", SIDE_CHILD, child_await_maps},
    {"open denied sources", SIDE_CHILD, child_open_denied_sources, .plain = true},
    {"become root", SIDE_CHILD, child_become_root},
    {"unshare cgroup namespace", SIDE_CHILD, child_unshare_cgroup},
    {"join keyring", SIDE_CHILD, process_keyring},
    {"mount root", SIDE_CHILD, child_mount_root},
    {"set up mounts", SIDE_CHILD, child_mounts},
    {"await network and hooks", SIDE_CHILD, child_await_go},
    {"set sysctls", SIDE_CHILD, child_sysctls},
    {"run createContainer hooks", SIDE_CHILD, child_create_hooks, .plain = true},
    {"change root", SIDE_CHILD, child_pivot},
    {"open console", SIDE_CHILD, child_console},
    {"resolve user", SIDE_CHILD, process_user, .plain = true},
    {"give credentials", SIDE_CHILD, child_credentials},
    {"make working directory", SIDE_CHILD, process_make_cwd, .plain = true},
    {"set limits", SIDE_CHILD, process_limits},
    {"set scheduling", SIDE_CHILD, process_scheduling},
    {"connect stdio", SIDE_CHILD, process_stdio},
    {"set security label", SIDE_CHILD, process_security_label},
    {"drop privileges", SIDE_CHILD, process_identity},
    {"enter working directory", SIDE_CHILD, process_enter_cwd, .plain = true},
    {"look for command", SIDE_CHILD, process_look_for_command, .plain = true},
    {"report created", SIDE_CHILD, child_created},

    {"run startContainer hooks", SIDE_FINAL, child_start_hooks, .plain = true},
    {"find command", SIDE_FINAL, process_find_command, .plain = true},
    {"limit open files", SIDE_FINAL, process_limit_files},
    {"load seccomp filter", SIDE_FINAL, process_seccomp},
    {"execute", SIDE_FINAL, process_exec, .plain = true},

    {"begin session", SIDE_EXEC, process_session},
    {"become root", SIDE_EXEC, exec_become_root},
    {"join keyring", SIDE_EXEC, process_keyring},
    {"open console", SIDE_EXEC, exec_console},
    {"resolve user", SIDE_EXEC, process_user, .plain = true},
    {"set limits", SIDE_EXEC, process_limits},
    {"set scheduling", SIDE_EXEC, exec_scheduling},
    {"connect stdio", SIDE_EXEC, process_stdio},
    {"set security label", SIDE_EXEC, process_security_label},
    {"drop privileges", SIDE_EXEC, process_identity},
    {"enter working directory", SIDE_EXEC, process_enter_cwd, .plain = true},
    {"find command", SIDE_EXEC, process_find_command, .plain = true},
    {"limit open files", SIDE_EXEC, process_limit_files},
    {"load seccomp filter", SIDE_EXEC, process_seccomp},
    {"execute", SIDE_EXEC, process_exec, .plain = true},
};

#define N_STAGES (sizeof(stages) / sizeof(stages[0]))

int64_t clock_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void undo_before(struct start *s, size_t i)
{
    while (i-- > 0) {
        if (stages[i].side == SIDE_PARENT && stages[i].undo)
            stages[i].undo(s);
    }
}

void stages_undo(struct start *s)
{
    undo_before(s, N_STAGES);
}

int stages_run(struct start *s, enum side side, struct err *e)
{
    for (size_t i = 0; i < N_STAGES; i++) {
        const struct stage *st = &stages[i];
        if (st->side != side)
            continue;
        int64_t begin = s->en->trace ? clock_ns() : 0;
        int r = st->run(s, e);
        if (s->en->trace)
            trace_add(s->en->trace, st->name, side, clock_ns() - begin);
        if (r >= 0)
            continue;
        if (!st->plain)
            err_add(e, r, "%s", st->name);
        if (side == SIDE_PARENT)
            undo_before(s, i + 1); /* this one as well: it may have come half way */
        return r;
    }
    return 0;
}

struct trace *trace_new(void)
{
    void *p =
        mmap(NULL, sizeof(struct trace), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return NULL;
    struct trace *t = p;
    t->begin_ns = clock_ns();
    return t;
}

void trace_add(struct trace *t, const char *name, enum side side, int64_t ns)
{
    unsigned i = atomic_fetch_add(&t->n, 1);
    if (i >= N_ELEMENTS(t->v))
        return;
    t->v[i].name = name;
    t->v[i].side = side;
    t->v[i].ns = ns;
}

void trace_print_and_free(struct trace *t)
{
    static const char *const sides[] = {"parent", "joiner", "early", "child", "final", "exec"};
    unsigned n = atomic_load(&t->n);
    int64_t sum = 0, wall = clock_ns() - t->begin_ns;
    for (unsigned i = 0; i < n && i < N_ELEMENTS(t->v); i++) {
        fprintf(stderr, "%-6s  %-26s %8lld\n", sides[t->v[i].side], t->v[i].name,
                (long long)t->v[i].ns / 1000);
        sum += t->v[i].ns;
    }
    fprintf(stderr, "        %-26s %8lld\n", "sum of all sides", (long long)sum / 1000);
    fprintf(stderr, "        %-26s %8lld\n", "elapsed", (long long)wall / 1000);
    munmap(t, sizeof(*t));
}
