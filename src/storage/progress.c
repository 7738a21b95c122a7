/* progress - of a copy that takes long, in one line. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/timefmt.h"
#include "mounts/tree.h"
#include "storage/storage-priv.h"

#define FIRST_NS 1500000000
#define TERMINAL_NS 200000000
#define LINES_NS 10000000000

void progress_begin(struct storage_progress *p, const char *what, bool quiet)
{
    *p = (struct storage_progress){.what = what,
                                   .quiet = quiet,
                                   .terminal = isatty(STDERR_FILENO) == 1,
                                   .next_ns = time_monotonic_ns() + FIRST_NS};
}

static void show(struct storage_progress *p)
{
    fprintf(stderr, "%srootlet: %s: %" PRIu64 " files, %" PRIu64 " MB%s", p->terminal ? "\r" : "",
            p->what, p->files + p->now_files, (p->bytes + p->now_bytes) / 1000000,
            p->terminal ? "" : "\n");
    fflush(stderr);
    p->shown = true;
}

static void tick(void *data, const struct tree_copy *t)
{
    struct storage_progress *p = data;
    p->now_files = t->files;
    p->now_bytes = t->bytes;
    if (p->quiet || t->files % 64)
        return;
    int64_t at = time_monotonic_ns();
    if (at < p->next_ns)
        return;
    p->next_ns = at + (p->terminal ? TERMINAL_NS : LINES_NS);
    show(p);
}

void progress_tree(struct storage_progress *p, struct tree_copy *t)
{
    p->files += p->now_files;
    p->bytes += p->now_bytes;
    p->now_files = p->now_bytes = 0;
    t->tick = tick;
    t->tick_data = p;
}

void progress_end(struct storage_progress *p)
{
    if (!p->shown)
        return;
    show(p);
    if (p->terminal)
        fputc('\n', stderr);
}
