/* loop - epoll(7). Allocation is checked: the supervisor must survive a lack of memory. */
#include "base/loop.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/scoped.h"
#include "base/timefmt.h"

#define BATCH 32

struct watch {
    loop_fn *fn; /* NULL: the slot is free */
    void *data;
    uint32_t events;
    uint32_t generation; /* of the slot: an event of an earlier owner of the number is dropped */
    bool polled;         /* epoll has it */
    bool always_ready;   /* a regular file, which epoll(7) does not take */
};

struct timer {
    int id; /* < 0: free */
    int64_t due_ns;
    loop_fn *fn;
    void *data;
};

struct loop {
    int epoll_fd;
    struct watch *watches; /* by descriptor */
    size_t n_watches;
    struct timer *timers;
    size_t n_timers;
    int next_id;
    uint32_t generation;
    bool quit;
};

struct loop *loop_new(struct err *e)
{
    struct loop *l = calloc(1, sizeof(*l));
    if (!l) {
        err_set(e, ENOMEM, "make an event loop");
        return NULL;
    }
    l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (l->epoll_fd < 0) {
        err_set(e, errno, "make an event loop");
        free(l);
        return NULL;
    }
    return l;
}

void loop_free(struct loop *l)
{
    if (!l)
        return;
    fd_close(&l->epoll_fd);
    free(l->watches);
    free(l->timers);
    free(l);
}

static int grow_watches(struct loop *l, int fd)
{
    if ((size_t)fd < l->n_watches)
        return 0;
    size_t n = (size_t)fd + 16;
    struct watch *more = realloc(l->watches, n * sizeof(*more));
    if (!more)
        return -ENOMEM;
    for (size_t i = l->n_watches; i < n; i++)
        more[i] = (struct watch){.fn = NULL};
    l->watches = more;
    l->n_watches = n;
    return 0;
}

/* A parked descriptor leaves epoll altogether: with no events asked for, a hang-up would still be
 * reported, again and again. */
static int apply(struct loop *l, int fd, struct watch *w)
{
    if (w->events == 0) {
        if (w->polled)
            epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        w->polled = false;
        return 0;
    }
    struct epoll_event ev = {
        .events = w->events,
        .data.u64 = (uint64_t)w->generation << 32 | (uint32_t)fd,
    };
    w->always_ready = false;
    if (w->polled && epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0)
        return 0;
    w->polled = epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, fd, &ev) == 0;
    if (!w->polled && errno == EEXIST) /* it was closed and opened again without loop_forget */
        w->polled = epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, fd, &ev) == 0;
    if (w->polled)
        return 0;
    if (errno != EPERM)
        return -errno;
    w->always_ready = true;
    return 0;
}

int loop_fd(struct loop *l, int fd, uint32_t events, loop_fn *fn, void *data, struct err *e)
{
    int r = fd < 0 ? -EBADF : grow_watches(l, fd);
    if (r < 0)
        return err_set(e, -r, "watch descriptor %d", fd);
    struct watch *w = &l->watches[fd];
    struct watch old = *w;
    w->fn = fn;
    w->data = data;
    w->events = events;
    w->generation = ++l->generation;
    r = apply(l, fd, w);
    if (r == 0)
        return 0;
    *w = old;
    return err_set(e, -r, "watch descriptor %d", fd);
}

void loop_forget(struct loop *l, int fd)
{
    if (fd < 0 || (size_t)fd >= l->n_watches || !l->watches[fd].fn)
        return;
    l->watches[fd].events = 0;
    apply(l, fd, &l->watches[fd]);
    l->watches[fd] = (struct watch){.fn = NULL};
}

int loop_timer(struct loop *l, uint64_t ms, loop_fn *fn, void *data, struct err *e)
{
    struct timer *t = NULL;
    for (size_t i = 0; i < l->n_timers && !t; i++)
        if (l->timers[i].id < 0)
            t = &l->timers[i];
    if (!t) {
        struct timer *more = realloc(l->timers, (l->n_timers + 1) * sizeof(*more));
        if (!more)
            return err_set(e, ENOMEM, "set a timer");
        l->timers = more;
        t = &l->timers[l->n_timers++];
    }
    if (ms > (uint64_t)(INT64_MAX / 1000000 / 2))
        ms = (uint64_t)(INT64_MAX / 1000000 / 2);
    *t = (struct timer){l->next_id, time_monotonic_ns() + (int64_t)ms * 1000000, fn, data};
    l->next_id = l->next_id == INT32_MAX ? 0 : l->next_id + 1;
    return t->id;
}

void loop_timer_cancel(struct loop *l, int id)
{
    for (size_t i = 0; id >= 0 && i < l->n_timers; i++)
        if (l->timers[i].id == id)
            l->timers[i].id = -1;
}

static struct timer *earliest(struct loop *l)
{
    struct timer *first = NULL;
    for (size_t i = 0; i < l->n_timers; i++)
        if (l->timers[i].id >= 0 && (!first || l->timers[i].due_ns < first->due_ns))
            first = &l->timers[i];
    return first;
}

/* Those due now; one that a callback sets for "at once" waits for the next round. */
static void run_timers(struct loop *l)
{
    struct timer *t = earliest(l);
    if (!t)
        return;
    int64_t now = time_monotonic_ns();
    for (; t && t->due_ns <= now && !l->quit; t = earliest(l)) {
        struct timer due = *t;
        t->id = -1; /* before the call, which may move the array */
        due.fn(due.data, 0);
    }
}

/* For epoll_wait(2): 0 with work at hand, -1 without a timer. -EDEADLK: nothing can ever happen. */
static int wait_ms(struct loop *l, bool *ret_files)
{
    bool any = false;
    *ret_files = false;
    for (size_t i = 0; i < l->n_watches; i++) {
        any |= l->watches[i].fn && l->watches[i].polled;
        *ret_files |= l->watches[i].fn && l->watches[i].events && l->watches[i].always_ready;
    }
    struct timer *t = earliest(l);
    if (*ret_files)
        return 0;
    if (!t)
        return any ? -1 : -EDEADLK;
    int64_t ms = (t->due_ns - time_monotonic_ns() + 999999) / 1000000;
    return ms < 0 ? 0 : ms > 3600000 ? 3600000 : (int)ms;
}

static void run_files(struct loop *l)
{
    for (size_t i = 0; i < l->n_watches && !l->quit; i++) {
        struct watch w = l->watches[i];
        if (w.fn && w.events && w.always_ready)
            w.fn(w.data, w.events & (EPOLLIN | EPOLLOUT));
    }
}

int loop_run(struct loop *l, struct err *e)
{
    while (!l->quit) {
        struct epoll_event events[BATCH];
        bool files = false;
        int ms = wait_ms(l, &files);
        if (ms == -EDEADLK)
            return err_msg(e, EDEADLK, "event loop: nothing is left to wait for");
        int n = epoll_wait(l->epoll_fd, events, BATCH, ms);
        if (n < 0 && errno != EINTR)
            return err_set(e, errno, "wait for events");
        for (int i = 0; i < n && !l->quit; i++) {
            uint32_t fd = (uint32_t)events[i].data.u64;
            struct watch w = fd < l->n_watches ? l->watches[fd] : (struct watch){.fn = NULL};
            /* An earlier callback of this round may have forgotten, parked or replaced it. */
            if (w.fn && w.polled && w.generation == events[i].data.u64 >> 32)
                w.fn(w.data, events[i].events);
        }
        if (files)
            run_files(l);
        run_timers(l);
    }
    l->quit = false;
    return 0;
}

void loop_quit(struct loop *l)
{
    l->quit = true;
}
