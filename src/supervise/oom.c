/* oom - processes of the container that the kernel has killed for want of memory.
 *
 * memory.events counts them; a new number wakes whoever polls the file. The group is made anew for
 * each run, so its counters begin at zero. Kernel: cgroup-v2.rst */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "supervise/supervise.h"
#include "supervise/watch.h"

static bool read_events(int fd, uint64_t *ret_kills)
{
    char text[512];
    ssize_t n = pread(fd, text, sizeof(text) - 1, 0);
    if (n <= 0)
        return false;
    text[n] = '\0';
    const char *p = strstr(text, "\noom_kill ");
    *ret_kills = p ? strtoull(p + sizeof("\noom_kill ") - 1, NULL, 10) : 0;
    return true;
}

/* 0 where there is no such file, or no limit. */
static uint64_t read_bytes(const struct sup *s, const char *file)
{
    char text[32] = "";
    scoped_fd int fd = openat(cgroup_clone_fd(s->cgroup), file, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    return n > 0 ? strtoull(text, NULL, 10) : 0;
}

/* false: the file cannot be read (any more). */
static bool look(struct sup *s, bool alive)
{
    uint64_t kills = 0;
    if (!read_events(s->oom_fd, &kills))
        return false;
    if (kills <= s->oom_kills)
        return true;
    s->oom_kills = kills;
    s->state.oom_killed = true;
    s->state.memory_limit = read_bytes(s, "memory.max");
    s->state.memory_peak = read_bytes(s, "memory.peak");
    sup_journal(s, "oom", NULL);
    if (alive)
        state_set(s, (enum ctr_status)s->state.status);
    return true;
}

static void on_memory(void *data, uint32_t events)
{
    struct sup *s = data;
    (void)events;
    if (!look(s, true))
        loop_forget(s->loop, s->oom_fd);
}

void oom_watch(struct sup *s)
{
    s->oom_kills = s->state.memory_limit = s->state.memory_peak = 0;
    oom_resume(s);
}

void oom_resume(struct sup *s)
{
    if (!s->cgroup)
        return;
    s->oom_fd =
        openat(cgroup_clone_fd(s->cgroup), "memory.events", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (s->oom_fd < 0)
        return;
    if (s->state.oom_killed) /* that has been told */
        (void)!read_events(s->oom_fd, &s->oom_kills);
    look(s, true); /* reading is what arms the poll, too */
    /* Without it the end is still told. */
    (void)!loop_fd(s->loop, s->oom_fd, EPOLLPRI, on_memory, s, NULL);
}

void oom_end(struct sup *s)
{
    if (s->oom_fd < 0)
        return;
    look(s, false);
    loop_forget(s->loop, s->oom_fd);
    fd_close(&s->oom_fd);
}
