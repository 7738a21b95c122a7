/* pipe - the pipes that data is spliced through: few, since a direction needs one only while
 * something is in it. pipe(7), splice(2)
 *
 * The kernel counts the pages of a user's pipes (fs.pipe-user-pages-soft, 64 MiB): above it every
 * new pipe of his, in any program, has one page. A part of that is ours; who gets no pipe copies.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "helpers/ports/ports.h"

enum {
    SMALL = 64 << 10,
    BIG = 1 << 20,
    PAGES_DEFAULT = 16384, /* what the kernel has */
    KEPT_SMALL = 16,
    KEPT_BIG = 4,
};

static struct list free_small = {&free_small, &free_small}, free_big = {&free_big, &free_big};
static unsigned n_small, n_big, n_free_small, n_free_big, max_small, max_big;

static unsigned long soft_limit(void)
{
    char text[32] = "";
    int fd = open("/proc/sys/fs/pipe-user-pages-soft", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    if (fd >= 0)
        close(fd);
    unsigned long pages = n > 0 ? strtoul(text, NULL, 10) : PAGES_DEFAULT;
    return pages ? pages : 4UL * PAGES_DEFAULT; /* 0: no limit */
}

/* A quarter for small ones and a quarter for big ones, whatever the size of pages. */
void pipe_limits(unsigned files)
{
    unsigned long bytes = soft_limit() / 4 * (unsigned long)getpagesize();
    max_small = (unsigned)(bytes / SMALL);
    if (max_small > files / 8)
        max_small = files / 8;
    if (max_small > 1024)
        max_small = 1024;
    max_big = (unsigned)(bytes / BIG);
    if (max_big > max_small / 4)
        max_big = max_small / 4;
    if (max_big > 64)
        max_big = 64;
}

static struct pipe *make(void)
{
    struct pipe *p = calloc(1, sizeof(*p));
    if (!p || pipe2(p->fd, O_CLOEXEC | O_NONBLOCK) < 0) {
        free(p);
        return NULL;
    }
    int size = fcntl(p->fd[0], F_GETPIPE_SZ);
    p->size = size > 0 ? (unsigned)size : 4096;
    list_init(&p->list);
    return p;
}

static void discard(struct pipe *p)
{
    close(p->fd[0]);
    close(p->fd[1]);
    if (p->size > SMALL)
        n_big--;
    n_small--;
    free(p);
}

struct pipe *pipe_get(void)
{
    struct list *from = !list_empty(&free_big) ? &free_big : &free_small;
    if (!list_empty(from)) {
        struct pipe *p = container_of(from->prev, struct pipe, list);
        list_drop(&p->list);
        if (from == &free_big)
            n_free_big--;
        else
            n_free_small--;
        return p;
    }
    if (n_small >= max_small)
        return NULL;
    struct pipe *p = make();
    if (p)
        n_small++;
    /* Over the limit already by other programs: one page is worse than copying. */
    if (p && p->size < SMALL) {
        discard(p);
        return NULL;
    }
    return p;
}

void pipe_grow(struct pipe *p)
{
    if (p->size > SMALL || n_big >= max_big)
        return;
    int size = fcntl(p->fd[0], F_SETPIPE_SZ, BIG);
    if (size <= SMALL) {
        max_big = n_big; /* EPERM: the user's limit is reached, by others too */
        return;
    }
    p->size = (unsigned)size;
    n_big++;
}

/* One that still has something in it would hand that to another connection. */
void pipe_put(struct pipe *p, bool empty)
{
    bool big = p->size > SMALL;
    unsigned *kept = big ? &n_free_big : &n_free_small;
    if (!empty || *kept >= (big ? KEPT_BIG : KEPT_SMALL)) {
        discard(p);
        return;
    }
    (*kept)++;
    list_push(big ? &free_big : &free_small, &p->list);
}

bool pipe_pooled(void)
{
    return n_free_small || n_free_big;
}

/* Nothing is forwarded: the memory goes back, and growing may be tried again. */
void pipe_trim(void)
{
    while (!list_empty(&free_small) || !list_empty(&free_big)) {
        struct list *from = !list_empty(&free_big) ? &free_big : &free_small;
        struct pipe *p = container_of(from->next, struct pipe, list);
        list_drop(&p->list);
        discard(p);
    }
    n_free_small = n_free_big = 0;
    if (max_big == 0 && max_small >= 4)
        max_big = 1;
}
