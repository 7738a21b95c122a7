/* guard - looks after the processes of a session: what they say, and another one for each that
 * ends.
 *
 * The supervisor serves everybody else by the same loop, so nothing is waited for here: a process
 * that was begun anew answers later, or is begun once more. */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "network/session-priv.h"

/* A process that ends again and again so soon is not started any more. */
#define SOON_NS (30 * INT64_C(1000000000))
#define RESTARTS_MAX 5
#define LAST_WORDS 64
/* What could not be started is tried again after half a second, one, two... 31 s in all. */
#define RETRY_NS (INT64_C(1000000000) / 2)
#define TRIES_MAX 6

void network_session_tell(struct network_session *n, const char *action, const char *what,
                          const char *why)
{
    scoped_strv char **attributes = NULL;
    strv_addf(&attributes, "process=%s", what);
    if (why)
        strv_addf(&attributes, "reason=%s", why);
    if (n->run.event)
        n->run.event(n->run.event_data, action, attributes);
}

static void give_up(struct network_session *n, struct network_process *p, const char *why)
{
    scoped_free char *what = xstrdup(p->what);
    network_process_end(p);
    network_session_tell(n, "network_failed", what, why);
}

/* With the same descriptors; what is missing may be there a moment later. */
static void try_to_revive(struct network_session *n, struct network_process *p, const char *why)
{
    struct err e = ERR_INIT;
    n->run.join = p->join;
    p->due_ns = 0;
    int r = p->driver->revive(&n->run, p, &e);
    if (r == 0) {
        p->since_ns = time_monotonic_ns();
        p->tries = p->starting ? p->tries : 0;
        network_session_tell(n, "network_restart", p->what, why);
        return;
    }
    network_process_stop(p);
    if (r == -EPERM || r == -ENOTSUP || p->tries >= TRIES_MAX)
        give_up(n, p, e.msg);
    else
        p->due_ns = time_monotonic_ns() + (RETRY_NS << p->tries++);
}

static void revive(struct network_session *n, struct network_process *p, const char *why)
{
    bool soon = time_monotonic_ns() - p->since_ns < SOON_NS;
    scoped_free char *often = NULL;
    p->restarts = soon ? p->restarts + 1 : 1;
    if (p->restarts > RESTARTS_MAX)
        often = xasprintf("it ended %u times within a short time, the last time with %s",
                          p->restarts, why);
    if (often || !p->driver->revive)
        give_up(n, p, often ? often : why);
    else
        try_to_revive(n, p, why);
}

/* The timer is set to what is due first. */
static void set_timer(struct network_session *n)
{
    struct itimerspec at = {.it_value = {0}};
    int64_t first = 0;
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        const struct network_process *p = &n->run.process[i];
        if (p->what && p->due_ns && (!first || p->due_ns < first))
            first = p->due_ns;
    }
    if (n->timer_fd < 0 && first)
        n->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (n->timer_fd < 0)
        return;
    at.it_value.tv_sec = first / 1000000000;
    at.it_value.tv_nsec = first % 1000000000;
    timerfd_settime(n->timer_fd, TFD_TIMER_ABSTIME, &at, NULL);
}

void network_session_revive(struct network_session *n)
{
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *p = &n->run.process[i];
        if (p->what && p->pidfd < 0 && p->ctl < 0 && !p->due_ns)
            revive(n, p, "its supervisor");
    }
    set_timer(n);
}

/* With the container its network ends: that is no reason to start anything. */
static bool init_lives(const struct network_session *n)
{
    return n->run.init_fd >= 0 && pidfd_poll(n->run.init_fd, 0) == 0;
}

static void timer_ready(struct network_session *n)
{
    uint64_t times;
    (void)!read(n->timer_fd, &times, sizeof(times));
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *p = &n->run.process[i];
        if (!p->what || !p->due_ns || p->due_ns > time_monotonic_ns())
            continue;
        p->tries += p->starting;
        network_process_stop(p);
        if (!init_lives(n))
            network_process_end(p);
        else if (p->tries > TRIES_MAX)
            give_up(n, p, "it does not answer");
        else
            try_to_revive(n, p, "no answer");
    }
}

void network_session_hear_out(struct network_session *n, struct network_process *p)
{
    struct pollfd fd = {.fd = p->ctl, .events = POLLIN};
    n->run.join = p->join;
    for (int i = 0; i < LAST_WORDS && p->driver->message && poll(&fd, 1, 0) > 0; i++)
        if (!(fd.revents & POLLIN) || p->driver->message(&n->run, p) < 0)
            return;
}

static void process_ended(struct network_session *n, struct network_process *p)
{
    int status = 0;
    scoped_free char *why = NULL;
    network_session_hear_out(n, p);
    if (p->adopted || p->pidfd < 0 || pidfd_wait(p->pidfd, &status) < 0)
        why = xstrdup("an unknown status");
    else
        why = WIFSIGNALED(status) ? xstrdup(signal_name(WTERMSIG(status)))
                                  : xasprintf("exit status %d", WEXITSTATUS(status));
    fd_close(&p->pidfd);
    network_process_stop(p);
    p->adopted = false;
    if (init_lives(n))
        revive(n, p, why);
    else
        network_process_end(p);
}

static int process_says(struct network_session *n, struct network_process *p)
{
    n->run.join = p->join;
    int r = p->driver->message ? p->driver->message(&n->run, p) : -ECONNRESET;
    if (r >= 0)
        return r;
    fd_close(&p->ctl);
    /* It serves others as well, and has ended for us. */
    if (p->pidfd < 0)
        process_ended(n, p);
    return 1;
}

size_t network_session_watch(const struct network_session *n, int ret[NETWORK_FDS])
{
    size_t count = 0;
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        const struct network_process *p = &n->run.process[i];
        if (p->what && p->pidfd >= 0)
            ret[count++] = p->pidfd;
        if (p->what && p->ctl >= 0)
            ret[count++] = p->ctl;
    }
    if (n->timer_fd >= 0) /* the last one */
        ret[count++] = n->timer_fd;
    return count;
}

/* What one of them leads to may change all others: then the loop comes again. */
static int serve_one(struct network_session *n)
{
    struct pollfd fds[NETWORK_FDS];
    int watched[NETWORK_FDS];
    size_t count = network_session_watch(n, watched);
    for (size_t i = 0; i < count; i++)
        fds[i] = (struct pollfd){.fd = watched[i], .events = POLLIN};
    if (poll(fds, count, 0) <= 0)
        return 0;
    if (n->timer_fd >= 0 && fds[count - 1].revents) {
        timer_ready(n);
        return 1;
    }
    for (size_t i = 0; i < NETWORK_PROCESSES; i++) {
        struct network_process *p = &n->run.process[i];
        for (size_t k = 0; p->what && k < count; k++) {
            if (!fds[k].revents)
                continue;
            if (fds[k].fd == p->ctl)
                return process_says(n, p);
            if (fds[k].fd == p->pidfd) {
                process_ended(n, p);
                return 1;
            }
        }
    }
    return 0;
}

int network_session_ready(struct network_session *n)
{
    int r = serve_one(n);
    set_timer(n);
    return r;
}
