#include "imagetool/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/signalfd.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/str.h"
#include "imagetool/fetch-priv.h"

#define FOREIGN_MS 200 /* how often one looks whether another process is done */

void fetch_fail(struct fetch *f, int r, const struct err *e)
{
    if (f->r < 0)
        return;
    f->r = r;
    if (e)
        f->err = *e;
}

static int block_signals(struct fetch *f, struct err *e)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    /* Unpackers inherit it: a ^C must not end them before us, who remove what they made. */
    sigprocmask(SIG_BLOCK, &set, &f->old_mask);
    f->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return f->signal_fd < 0 ? err_set(e, errno, "watch for signals") : 0;
}

static void take_signal(struct fetch *f)
{
    struct signalfd_siginfo s;
    struct err e = ERR_INIT;

    if (read(f->signal_fd, &s, sizeof(s)) != (ssize_t)sizeof(s))
        return;
    f->signal = (int)s.ssi_signo;
    err_msg(&e, ECANCELED, "interrupted");
    fetch_fail(f, err_hint(&e, -ECANCELED, "the same command goes on where this one ended"), &e);
}

static int by_size(const void *a, const void *b)
{
    const struct item *x = a, *y = b;
    int64_t n = x->layer->blob->size, m = y->layer->blob->size;

    return n < m ? 1 : n > m ? -1 : (int)x->number - (int)y->number;
}

/* The same layer twice is legal; the same bytes as two layers are not, and would wait for
 * themselves. */
static int check_twice(const struct fetch *f, const struct fetch_layer *l, struct err *e)
{
    for (size_t i = 0; i < f->n; i++) {
        const struct fetch_layer *other = f->v[i].layer;
        if (streq(other->diff_id, l->diff_id))
            return 1;
        if (streq(other->blob->digest, l->blob->digest))
            return err_msg(e, EINVAL, "blob %s is named as two different layers", l->blob->digest);
    }
    return 0;
}

static int add_items(struct fetch *f, const struct fetch_layer *v, size_t n, struct err *e)
{
    f->v = xcalloc(n + 1, sizeof(*f->v));
    for (size_t i = 0; i < n; i++) {
        int r = check_twice(f, &v[i], e);
        if (r < 0)
            return r;
        if (r == 0)
            f->v[f->n++] = (struct item){.f = f,
                                         .layer = &v[i],
                                         .number = (unsigned)i + 1,
                                         .part = PART_INIT,
                                         .stage_fd = -1,
                                         .grow_fd = -1};
    }
    for (size_t i = 0; i < f->n; i++)
        f->v[i].bar = progress_add(f->from.progress, "blob", f->v[i].layer->blob->digest,
                                   (uint64_t)f->v[i].layer->blob->size);
    qsort(f->v, f->n, sizeof(*f->v), by_size);
    return 0;
}

/* Better now than after minutes; how much a layer grows is not known, the unpacker minds that. */
static int check_room(const struct fetch *f, struct err *e)
{
    struct statvfs fs;
    uint64_t need = 0, room;

    for (size_t i = 0; i < f->n; i++) {
        const struct item *x = &f->v[i];
        uint64_t size = (uint64_t)x->layer->blob->size;
        if (x->state == ITEM_OURS && __builtin_add_overflow(need, size - x->part.have, &need))
            need = UINT64_MAX;
    }
    if (fstatvfs(f->root_fd, &fs) < 0)
        return 0;
    room = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (need <= room)
        return 0;
    return err_msg(e, ENOSPC, "the layers have %llu bytes, %s has room for %llu",
                   (unsigned long long)need, f->in->conf->root, (unsigned long long)room);
}

static bool has_data(const struct item *i)
{
    return i->got || i->get || i->part.have;
}

/* Starts what there is room for. */
static int start_more(struct fetch *f, struct err *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->n; i++) {
        struct item *x = &f->v[i];
        if (x->state != ITEM_OURS || x->r < 0)
            continue;
        if (!x->got && !x->get && f->n_gets < DOWNLOADS_MAX)
            r = item_download(x, e);
        if (r == 0 && !x->unpacking && f->n_jobs < f->max_jobs && has_data(x))
            r = item_unpack(x, e);
    }
    return r;
}

static int finish_ended(struct fetch *f, const struct pollfd *fds, size_t n, struct err *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->n; i++) {
        struct item *x = &f->v[i];
        bool ended = x->r < 0 && x->got; /* it has waited for the rest */
        for (size_t k = 0; x->unpacking && !ended && k < n; k++)
            ended = fds[k].fd == x->job.fd && fds[k].revents;
        if (ended && x->state == ITEM_OURS)
            r = item_finish(x, e);
    }
    return r;
}

static void show(struct fetch *f)
{
    for (size_t i = 0; i < f->n; i++) {
        struct item *x = &f->v[i];
        if (x->state == ITEM_WAITS)
            progress_set(f->from.progress, x->bar, PROGRESS_FOREIGN,
                         part_size(f->root_fd, x->layer->blob->digest));
        else if (x->state == ITEM_OURS && !x->got && x->get)
            progress_set(f->from.progress, x->bar, PROGRESS_MOVING, x->part.have);
        else if (x->state == ITEM_OURS && x->got)
            progress_set(f->from.progress, x->bar,
                         x->unpacking ? PROGRESS_UNPACKING : PROGRESS_QUEUED, x->part.have);
    }
    progress_draw(f->from.progress);
}

static size_t count(const struct fetch *f, enum item_state state)
{
    size_t n = 0;

    for (size_t i = 0; i < f->n; i++)
        n += f->v[i].state == state;
    return n;
}

void fetch_drop_parts(struct fetch *f)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].state == ITEM_DONE)
            part_drop(f->root_fd, &f->v[i].part);
}

/* Nothing is left but what others fetch, who may wait for us in the same way: so what is done here
 * goes into the store first, and its locks are given up. */
static int give_way(struct fetch *f, struct err *e)
{
    int r;

    fetch_drop_parts(f);
    r = ingest_commit_layers(f->in, e);
    for (size_t i = 0; r == 0 && i < f->n; i++)
        if (f->v[i].state == ITEM_DONE)
            part_release(f->root_fd, &f->v[i].part);
    return r;
}

static int take_foreign(struct fetch *f, struct err *e)
{
    int r = 0;

    if (!count(f, ITEM_WAITS))
        return 0;
    if (!count(f, ITEM_OURS))
        r = give_way(f, e);
    for (size_t i = 0; r == 0 && i < f->n; i++)
        if (f->v[i].state == ITEM_WAITS)
            r = item_take(&f->v[i], e);
    return r;
}

static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static int step(struct fetch *f, struct err *e)
{
    struct pollfd fds[UNPACKERS_MAX + 1] = {{.fd = f->signal_fd, .events = POLLIN}};
    int wait = sooner(progress_wait_ms(f->from.progress), count(f, ITEM_WAITS) ? FOREIGN_MS : -1);
    unsigned n = 1;
    int r;

    for (size_t i = 0; i < f->n; i++)
        if (f->v[i].unpacking)
            fds[n++] = (struct pollfd){.fd = f->v[i].job.fd, .events = POLLIN};
    r = registry_step(f->from.registry, fds, n, wait, e);
    if (r < 0)
        return r;
    if (fds[0].revents)
        take_signal(f);
    r = f->r < 0 ? 0 : finish_ended(f, fds + 1, n - 1, e);
    if (r == 0)
        show(f);
    return r;
}

static int run(struct fetch *f, struct err *e)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < f->n; i++)
        r = item_take(&f->v[i], e);
    if (r == 0)
        r = check_room(f, e);
    while (r == 0 && f->r == 0 && count(f, ITEM_DONE) < f->n) {
        r = take_foreign(f, e);
        r = r < 0 ? r : start_more(f, e);
        if (r == 0 && count(f, ITEM_DONE) < f->n)
            r = step(f, e);
    }
    if (r == 0 && f->r < 0) {
        *e = f->err;
        r = f->r;
    }
    return r;
}

/* The first failure decides; unpackers are ended with their session. */
static void stop(struct fetch *f, int why)
{
    bool had_session = f->in->session != NULL;

    layer_session_close(take_ptr(f->in->session));
    /* A full disk is given its room back. */
    for (size_t i = 0; i < f->n; i++)
        item_stop(&f->v[i], why == -ENOSPC || why == -EDQUOT);
    if (had_session)
        ingest_session(f->in, NULL); /* for the removal of what they left */
}

int fetch_layers(struct ingest *in, const struct fetch_source *from, const struct fetch_layer *v,
                 size_t n, struct fetch **ret, struct err *e)
{
    struct fetch *f = xcalloc(1, sizeof(*f));
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    int r;

    *ret = f;
    f->in = in;
    f->root_fd = fcntl(in->root_fd, F_DUPFD_CLOEXEC, 3);
    f->from = *from;
    f->max_jobs = cpus < 1 ? 1 : cpus > UNPACKERS_MAX ? UNPACKERS_MAX : (size_t)cpus;
    r = block_signals(f, e);
    r = r < 0 ? r : add_items(f, v, n, e);
    r = r < 0 ? r : run(f, e);
    if (r < 0)
        stop(f, r);
    return r;
}

int fetch_release(struct fetch *f)
{
    int sig;

    if (!f)
        return 0;
    for (size_t i = 0; i < f->n; i++)
        part_release(f->root_fd, &f->v[i].part);
    fd_close(&f->root_fd);
    fd_close(&f->signal_fd);
    sigprocmask(SIG_SETMASK, &f->old_mask, NULL);
    sig = f->signal;
    free(f->v);
    free(f);
    return sig;
}
