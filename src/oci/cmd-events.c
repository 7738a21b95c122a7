/* events - what a container uses and when it runs out of memory: lines of JSON as runc prints them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/loop.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "oci/oci.h"

#define INTERVAL_MS 5000
#define CGROUP_ROOT "/sys/fs/cgroup"

struct events_opts {
    bool stats, has_interval;
    uint64_t interval_ms;
};

#define O(m) offsetof(struct events_opts, m)
static const struct opt table[] = {
    {"interval", 0, OPT_DURATION, O(interval_ms), "TIME", "Time between two lines of stats (5s)", 0,
     NULL, NULL, O(has_interval)},
    {"stats", 0, OPT_FLAG, O(stats), NULL, "Print the stats once and end"},
    {NULL},
};

struct watch {
    const char *id;
    struct cgroup *cgroup;
    struct loop *loop;
    int inotify;  /* of memory.events */
    char *events; /* its path, owned */
    uint64_t interval_ms, oom_kills;
    struct err *e;
    int result;
};

static void stop(struct watch *w, int result)
{
    w->result = result;
    loop_quit(w->loop);
}

/* One line, at once: clients read from a pipe. data becomes the line's; may be NULL. */
static int print_event(const char *type, const char *id, json_t *data, struct err *e)
{
    scoped_json json_t *line = json_pack("{s:s, s:s}", "type", type, "id", id);
    if (data)
        json_object_set_new(line, "data", data);
    scoped_free char *text = json_text(line, false);
    puts(text);
    return fflush(stdout) == 0 ? 0 : err_set(e, errno, "write to standard output");
}

static int print_stats(const struct watch *w, struct err *e)
{
    json_t *stats = NULL;
    int r = cgroup_stats(w->cgroup, &stats, e);
    return r < 0 ? r : print_event("stats", w->id, stats, e);
}

static void on_timer(void *data, uint32_t events)
{
    struct watch *w = data;
    (void)events;
    int r = print_stats(w, w->e);
    if (r == 0)
        r = loop_timer(w->loop, w->interval_ms, on_timer, w, w->e);
    if (r < 0)
        stop(w, r);
}

/* The count behind "oom_kill" in memory.events, cgroup-v2. */
static uint64_t oom_kills(const struct watch *w)
{
    scoped_free char *text = NULL;
    uint64_t n = 0;
    if (fs_read(AT_FDCWD, w->events, 4096, &text, NULL) < 0)
        return w->oom_kills;
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++) {
        const char *value = str_after(*l, "oom_kill ");
        if (value)
            (void)!parse_u64(value, &n);
    }
    return n;
}

static void on_memory_event(void *data, uint32_t events)
{
    struct watch *w = data;
    char buf[4096] __attribute__((aligned(8)));
    (void)events;
    if (read(w->inotify, buf, sizeof(buf)) < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    uint64_t n = oom_kills(w);
    for (; w->oom_kills < n; w->oom_kills++) {
        int r = print_event("oom", w->id, NULL, w->e);
        if (r < 0) {
            stop(w, r);
            return;
        }
    }
}

/* An end by the lack of memory is told before the end. */
static void on_end(void *data, uint32_t events)
{
    struct watch *w = data;
    if (w->inotify >= 0)
        on_memory_event(w, events);
    stop(w, 0);
}

/* Without the memory controller there is nothing to be told. */
static void watch_memory(struct watch *w)
{
    struct err none = ERR_INIT;
    scoped_free char *dir = path_join(CGROUP_ROOT, cgroup_path(w->cgroup));
    w->events = path_join(dir, "memory.events");
    w->inotify = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
    if (w->inotify < 0 || inotify_add_watch(w->inotify, w->events, IN_MODIFY) < 0 ||
        loop_fd(w->loop, w->inotify, EPOLLIN, on_memory_event, w, &none) < 0) {
        fd_close(&w->inotify);
        return;
    }
    w->oom_kills = oom_kills(w);
}

static int follow(struct watch *w, int pidfd, struct err *e)
{
    w->loop = loop_new(e);
    if (!w->loop)
        return -ENOMEM;
    watch_memory(w);
    int r = loop_fd(w->loop, pidfd, EPOLLIN, on_end, w, e);
    if (r == 0)
        r = loop_timer(w->loop, w->interval_ms, on_timer, w, e);
    if (r >= 0)
        r = loop_run(w->loop, e);
    loop_free(w->loop);
    fd_close(&w->inotify);
    free(take_ptr(w->events));
    return r < 0 ? r : w->result;
}

static int events_of(const struct oci_container *c, const struct events_opts *o, struct err *e)
{
    struct watch w = {
        .id = c->id,
        .inotify = -1,
        .interval_ms = o->has_interval ? o->interval_ms : INTERVAL_MS,
        .e = e,
    };
    int r = oci_open_cgroup(c, &w.cgroup, e);
    if (r < 0)
        return r;
    /* Without a cgroup the first look at it says so. */
    if (o->stats || !*cgroup_path(w.cgroup))
        r = print_stats(&w, e);
    else
        r = follow(&w, c->pidfd, e);
    cgroup_close(w.cgroup);
    return r;
}

static int events_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct events_opts *o = opts;
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    (void)cmd;
    if (o->has_interval && o->interval_ms == 0)
        return err_msg(e, EINVAL, "events: --interval: want more than 0");
    int r = oci_open(args[0], &c, e);
    if (r == 0)
        r = oci_want_running(&c, true, e);
    if (r == 0)
        r = events_of(&c, o, e);
    return r < 0 ? err_add(e, r, "events %s", args[0]) : 0;
}

const struct cmd oci_cmd_events = {
    .name = "events",
    .args = "ID",
    .summary = "Print what a container uses, and when its memory runs out",
    .opts = table,
    .opts_size = sizeof(struct events_opts),
    .min_args = 1,
    .max_args = 1,
    .run = events_command,
    .details = "Lines of JSON: type \"stats\" at each interval, \"oom\" for each process that was "
               "killed for want of memory. It ends with the container.",
    .examples = "rootlet-oci events --stats web\nrootlet-oci events --interval 1s web",
};
