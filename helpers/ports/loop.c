/* loop - one epoll, edge-triggered for connections; what ends in a round is freed after it. */
#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "helpers/ports/ports.h"

enum { EVENTS = 128, DEAD_MAX = 2 * EVENTS + 64 };

struct wire_ports_stats stats;
static int epoll_fd = -1;
static uint64_t now;
static void **dead;
static size_t n_dead, dead_room;
static struct epoll_event events[EVENTS];

void list_init(struct list *l)
{
    l->prev = l->next = l;
}

void list_drop(struct list *l)
{
    if (!l->next)
        return;
    l->prev->next = l->next;
    l->next->prev = l->prev;
    l->prev = l->next = l;
}

void list_push(struct list *head, struct list *l)
{
    list_drop(l);
    l->prev = head->prev;
    l->next = head;
    head->prev->next = l;
    head->prev = l;
}

int loop_start(struct err *e)
{
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    return epoll_fd < 0 ? err_set(e, errno, "epoll_create1") : 0;
}

int loop_watch(struct watch *w, uint32_t wanted)
{
    struct epoll_event ev = {.events = wanted, .data = {.ptr = w}};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, w->fd, &ev) < 0 ? -errno : 0;
}

void loop_change(struct watch *w, uint32_t wanted)
{
    struct epoll_event ev = {.events = wanted, .data = {.ptr = w}};
    epoll_ctl(epoll_fd, EPOLL_CTL_MOD, w->fd, &ev);
}

/* Out of epoll before it is closed: a copy in another process would keep it there. */
void loop_forget(struct watch *w)
{
    if (w->fd < 0)
        return;
    epoll_ctl(epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
    close(w->fd);
    w->fd = -1;
}

void loop_release(void *memory)
{
    if (n_dead == dead_room) {
        size_t room = dead_room ? 2 * dead_room : DEAD_MAX;
        void **more = realloc(dead, room * sizeof(*dead));
        if (!more)
            return; /* lost, which is better than used after it is gone */
        dead = more;
        dead_room = room;
    }
    dead[n_dead++] = memory;
}

static void read_clock(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    now = (uint64_t)t.tv_sec;
}

uint64_t loop_now(void)
{
    return now;
}

/* How long until something has to be looked at again without an event. */
static int patience_ms(bool more)
{
    if (more)
        return 0;
    return stats.flows || stats.paused ? 1000 : pipe_pooled() ? 5000 : -1;
}

static void tick(int n_events)
{
    static uint64_t ticked;
    if (n_events == 0 && !stats.flows && !stats.paused)
        pipe_trim();
    if (now == ticked)
        return;
    ticked = now;
    udp_tick();
    if (stats.paused)
        accept_resume();
}

void loop_run(void)
{
    bool more = false;
    read_clock();
    for (;;) {
        int n = epoll_wait(epoll_fd, events, EVENTS, patience_ms(more));
        if (n < 0 && errno != EINTR)
            _exit(1);
        read_clock();
        for (int i = 0; i < n; i++) {
            struct watch *w = events[i].data.ptr;
            if (w->fd >= 0)
                w->ready(w, events[i].events);
        }
        more = tcp_work();
        tick(n);
        while (n_dead)
            free(dead[--n_dead]);
    }
}
