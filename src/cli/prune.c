/* prune - container prune and pod prune; container exists. */
#include "cli/prune.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/strv.h"
#include "cli/cli.h"
#include "events/events.h"
#include "image/pin.h"
#include "sys/sock.h"

struct prune_opts {
    bool force, external;
    char **filter;
};

#define O(m) offsetof(struct prune_opts, m)
static const struct opt prune_table[] = {
    {"filter", 0, OPT_STRV, O(filter), "KEY=VALUE", "until, label or label!"},
    {"force", 'f', OPT_FLAG, O(force), NULL, "Do not ask"},
    {NULL},
};
static const struct opt pod_prune_table[] = {
    {"force", 'f', OPT_FLAG, O(force), NULL, "Do not ask"},
    {NULL},
};
static const struct opt exists_table[] = {
    {"external", 0, OPT_FLAG, O(external), NULL, "For podman's sake, does nothing", OPT_IGNORED},
    {NULL},
};

/* Of a step of a build under way, which has the lock of its directory. */
static bool is_being_built(int build_fd, const char *name)
{
    const char *id = name ? str_after(name, "build-") : NULL;
    scoped_fd int dead = -1;
    if (build_fd < 0 || !id || strcspn(id, "-") != 8 || strspn(id, "0123456789abcdef") != 8)
        return false;
    scoped_free char *dir = xasprintf("w.%.8s", id);
    return store_stage_is_live(build_fd, dir, &dead);
}

int cli_prunable(const struct prune_filter *f, char ***ret_ids, struct err *e)
{
    struct ctr_state *list = NULL;
    size_t n = 0;
    scoped_fd int build_fd = conf_open_root(cli_conf(), "build", false, NULL);
    int r = container_list(cli_conf(), &list, &n, e);
    for (size_t i = 0; r == 0 && i < n; i++)
        if (!ctr_state_alive(&list[i]) && !pod_is_infra(&list[i]) &&
            !is_being_built(build_fd, list[i].name) &&
            prune_filter_match(f, list[i].created_ns, list[i].labels))
            strv_add(ret_ids, list[i].id);
    container_list_free(list, n);
    return r;
}

/* podman's word for a pod that has ended; one that was never started waits for its start. */
static bool has_ended(const struct pod *p)
{
    const char *status = pod_status(p);
    return streq(status, "Exited") || streq(status, "Stopped") || streq(status, "Dead");
}

int cli_prunable_pods(const struct prune_filter *f, char ***ret_ids, struct err *e)
{
    scoped_pod_set struct pod_set set = {.n = 0};
    int r = pod_set_load(cli_conf(), &set, e);
    for (size_t i = 0; r == 0 && i < set.n; i++)
        if (has_ended(&set.v[i]) &&
            prune_filter_match(f, set.v[i].infra.rec.created_ns, set.v[i].infra.rec.labels))
            strv_add(ret_ids, set.v[i].infra.id);
    return r;
}

typedef int prune_one(const char *id, struct err *e);

static int prune_container(const char *id, struct err *e)
{
    return container_prune(cli_conf(), id, e);
}

struct report {
    const char *title;
    int worst;
    bool any;
};

static void tell(struct report *t, const char *id, int r, const struct err *one, struct err *e)
{
    if (r > 0 && t->title && !t->any)
        puts(t->title);
    if (r > 0)
        puts(id);
    t->any |= r > 0;
    if (r >= 0)
        return;
    if (t->worst < 0)
        cli_print_err(e);
    *e = *one;
    t->worst = r;
}

static void prune_each(char *const *ids, prune_one *fn, struct report *t, struct err *e)
{
    for (char *const *id = ids; id && *id; id++) {
        struct err one = ERR_INIT;
        int r = fn(*id, &one);
        tell(t, *id, r, &one, e);
    }
}

/* --- MANY AT A TIME --- */

/* A file system that tells its disk at once what is free (discard) makes each removal of a file
 * wait for the disk, but not many of them for each other. */
#define WORKERS 8
#define EACH_MIN 4 /* fewer are not worth a process */

struct outcome {
    size_t at;
    int r;
    struct err err;
};

/* Each takes every WORKERS-th. */
static void worker(char *const *ids, size_t n, size_t first, int sock) __attribute__((noreturn));
static void worker(char *const *ids, size_t n, size_t first, int sock)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    storage_remover_begin();
    for (size_t i = first; i < n; i += WORKERS) {
        struct outcome o = {.at = i, .err = ERR_INIT};
        o.r = prune_container(ids[i], &o.err);
        if (sock_send(sock, &o, sizeof(o), NULL, 0) < 0)
            break;
    }
    storage_remover_end();
    _exit(0);
}

/* Prints what they tell until the last has ended, and notes in `done` what was told. */
static void collect(char *const *ids, int sock, bool *done, struct report *t, struct err *e)
{
    struct outcome o;
    for (;;) {
        ssize_t n = sock_recv(sock, &o, sizeof(o), NULL);
        if (n == -EINTR)
            continue;
        if (n != (ssize_t)sizeof(o))
            return;
        done[o.at] = true;
        tell(t, ids[o.at], o.r, &o.err, e);
    }
}

static void prune_many(char *const *ids, size_t n, struct report *t, struct err *e)
{
    scoped_free bool *done = xcalloc(n, sizeof(*done));
    pid_t pids[WORKERS];
    size_t started = 0;
    int sv[2];
    storage_remover_end(); /* each has its own */
    if (sock_pair(sv, NULL) == 0) {
        fflush(NULL);
        for (; started < WORKERS && (pids[started] = fork()) >= 0; started++) {
            if (pids[started] == 0)
                worker(ids, n, started, sv[1]);
        }
        close(sv[1]);
        collect(ids, sv[0], done, t, e);
        close(sv[0]);
    }
    for (size_t i = 0; i < started; i++)
        while (waitpid(pids[i], NULL, 0) < 0 && errno == EINTR)
            ;
    storage_remover_begin();
    for (size_t i = 0; i < n; i++) { /* of one that could not be started, or was killed */
        char *const left[] = {ids[i], NULL};
        if (!done[i])
            prune_each(left, prune_container, t, e);
    }
}

int cli_prune_containers(char *const *ids, const char *title, struct err *e)
{
    struct report t = {.title = title};
    size_t n = strv_len(ids);
    storage_remover_begin();
    container_sweep(cli_conf());
    store_pin_sweep(cli_conf());
    if (ids && n >= (size_t)WORKERS * EACH_MIN)
        prune_many(ids, n, &t, e);
    else
        prune_each(ids, prune_container, &t, e);
    storage_remover_end();
    if (t.any && title)
        putchar('\n');
    event_named(cli_conf(), "container", "prune", NULL, NULL);
    return t.worst;
}

int cli_prune_pods(char *const *ids, const char *title, struct err *e)
{
    struct report t = {.title = title};
    prune_each(ids, cli_pod_prune, &t, e);
    if (t.any && title)
        putchar('\n');
    return t.worst;
}

static int container_prune_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct prune_opts *o = opts;
    scoped_prune_filter struct prune_filter f = {.until_ns = 0};
    scoped_strv char **ids = NULL;
    (void)cmd, (void)args;
    int r = prune_filter_parse(o->filter, &f, e);
    if (r == 0 && !o->force) {
        r = prune_ask(" all stopped containers.", e);
        if (r <= 0)
            return r;
        r = 0;
    }
    if (r == 0)
        r = cli_prunable(&f, &ids, e);
    return r < 0 ? r : cli_prune_containers(ids, NULL, e);
}

static int pod_prune_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct prune_opts *o = opts;
    const struct prune_filter all = {.until_ns = 0};
    scoped_strv char **ids = NULL;
    (void)cmd, (void)args;
    int r = o->force ? 1 : prune_ask(" all pods that have ended, with their containers.", e);
    if (r <= 0)
        return r;
    r = cli_prunable_pods(&all, &ids, e);
    return r < 0 ? r : cli_prune_pods(ids, NULL, e);
}

static int exists(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_container struct container c = {.dir_fd = -1};
    (void)cmd, (void)opts;
    int r = container_open(cli_conf(), args[0], &c, e);
    if (r != -ENOENT)
        return r;
    err_clear(e);
    return 1;
}

const struct cmd cli_prune_cmds[] = {
    {
        .name = "container prune",
        .args = "",
        .summary = "Remove all containers that do not run",
        .opts = prune_table,
        .opts_size = sizeof(struct prune_opts),
        .run = container_prune_command,
        .details = "Containers that another command is making or starting stay.",
        .examples = "rootlet container prune\n"
                    "rootlet container prune -f --filter until=24h --filter label!=keep",
    },
    {
        .name = "container exists",
        .args = "CONTAINER",
        .summary = "Exit status 0 if there is such a container, 1 if not",
        .opts = exists_table,
        .opts_size = sizeof(struct prune_opts),
        .min_args = 1,
        .max_args = 1,
        .run = exists,
        .examples = "rootlet container exists web || rootlet create --name web IMAGE",
    },
    {
        .name = "pod prune",
        .args = "",
        .summary = "Remove all pods that have ended, with their containers",
        .opts = pod_prune_table,
        .opts_size = sizeof(struct prune_opts),
        .run = pod_prune_command,
        .examples = "rootlet pod prune -f",
    },
    {NULL},
};
