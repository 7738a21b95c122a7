#include "imagetool/progress.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/str.h"
#include "base/timefmt.h"

#define FRAME_MS 100
#define RATE_MS 1000 /* the speed shown is that of the last second or so */
#define BARS_MAX 12
#define COLUMNS_MAX 200
#define BAR_MAX 40

struct part {
    char what[8], *digest;
    enum progress_state state;
    uint64_t total, done;
    bool told; /* plain: its line is printed */
    uint64_t rate, rate_from;
    int64_t rate_since;
};

struct progress {
    bool quiet, bars;
    struct part *v;
    unsigned n;
    int64_t drawn; /* when, 0: never */
    bool changed;
    unsigned widths[BARS_MAX + 1]; /* of the rows that stand on the screen, topmost first */
    unsigned n_rows;
};

/* Log messages come in between, so that they do not land amid the bars. */
static struct progress *current;

/* What a signal handler has to know: rows on the screen, and that it has cleared them. */
static volatile sig_atomic_t screen_rows, painting, abandoned;

static void log_line(enum log_level level, const char *text)
{
    progress_line(current, "rootlet: %s: %s", log_level_name(level), text);
}

struct progress *progress_new(bool quiet)
{
    struct progress *p = xcalloc(1, sizeof(*p));

    p->quiet = quiet;
    p->bars = !quiet && log_terminal(STDERR_FILENO);
    if (p->bars && !log_sink) {
        current = p;
        log_sink = log_line;
    }
    return p;
}

static unsigned columns(void)
{
    struct winsize w = {0};

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &w) < 0 || w.ws_col == 0)
        return 80;
    return w.ws_col < COLUMNS_MAX ? w.ws_col : COLUMNS_MAX;
}

/* To the start of the topmost row of ours. A window that became narrower has broken long rows. */
static void go_up(const struct progress *p, unsigned width, struct str *out)
{
    unsigned rows = 0;

    for (unsigned i = 0; i < p->n_rows; i++)
        rows += p->widths[i] > width ? (p->widths[i] + width - 1) / width : 1;
    str_addc(out, '\r');
    if (rows)
        str_addf(out, "\x1b[%uA", rows);
}

static void write_out(const struct str *out)
{
    if (!abandoned)
        (void)!fs_write_all(STDERR_FILENO, out->s, out->len);
}

void progress_abandon(void)
{
    /* At most BARS_MAX and the line below. */
    char text[] = "\r\x1b[00A\x1b[J";
    sig_atomic_t rows;

    abandoned = 1;
    for (int i = 0; painting && i < 200; i++) /* by another thread: see paint_out */
        (void)poll(NULL, 0, 1);
    rows = screen_rows;
    if (!rows)
        return;
    text[3] = (char)('0' + rows / 10);
    text[4] = (char)('0' + rows % 10);
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
}

/* No handler runs in this thread between the rows and their number; one of another thread waits. */
static void paint_out(const struct str *out, unsigned rows)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    painting = 1;
    write_out(out);
    screen_rows = (sig_atomic_t)rows;
    painting = 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

/* One row, cut to the width; the last column stays free, for some terminals wrap there. */
static void add_row(struct progress *p, const char *text, unsigned width, struct str *out)
{
    unsigned n = (unsigned)strlen(text);

    if (n > width - 1)
        n = width - 1;
    str_addn(out, text, n);
    str_add(out, "\x1b[K\n");
    p->widths[p->n_rows++] = n;
}

/* "sha256:0123456789ab..." as podman shows it on a terminal: the first digits. */
static const char *digits(const char *digest)
{
    const char *colon = strchr(digest, ':');

    return colon ? colon + 1 : digest;
}

static void put_bar(const struct part *t, unsigned room, struct str *out)
{
    unsigned width = room > BAR_MAX ? BAR_MAX : room;
    double share = t->total ? (double)t->done / (double)t->total : 0;
    unsigned full = (unsigned)((share > 1 ? 1 : share) * (double)(width - 2));

    str_addc(out, '[');
    for (unsigned i = 0; i < width - 2; i++)
        str_addc(out, i < full ? '=' : i == full ? '>' : '-');
    str_add(out, "] ");
}

static void describe(const struct part *t, unsigned width, struct str *out)
{
    char done[32], total[32], rate[32], left[128];
    unsigned used;

    str_addf(out, "Copying %s %.12s ", t->what, digits(t->digest));
    if (t->state == PROGRESS_UNPACKING) {
        str_add(out, "unpacking");
        return;
    }
    if (t->state == PROGRESS_FOREIGN)
        str_add(out, "(another process pulls it) ");
    size_human(t->done, done, sizeof(done));
    size_human(t->total, total, sizeof(total));
    const char *of = t->total ? " / " : "";
    if (!t->total) /* not known: of a layer that is being packed */
        total[0] = '\0';
    size_human(t->rate, rate, sizeof(rate));
    if (t->rate && t->state == PROGRESS_MOVING)
        snprintf(left, sizeof(left), "%9s%s%s | %s/s", done, of, total, rate);
    else
        snprintf(left, sizeof(left), "%9s%s%s", done, of, total);
    used = (unsigned)out->len + 38; /* room for the figures: the bars do not jump about */
    if (t->total && width > used + 10)
        put_bar(t, width - used, out);
    str_add(out, left);
}

static bool is_live(const struct part *t)
{
    return t->state > PROGRESS_QUEUED && t->state < PROGRESS_DONE;
}

static void add_bars(struct progress *p, unsigned width, struct str *out)
{
    unsigned hidden = 0;

    p->n_rows = 0;
    for (unsigned i = 0; i < p->n; i++) {
        scoped_str struct str row = STR_INIT;
        if (p->v[i].state == PROGRESS_QUEUED || (is_live(&p->v[i]) && p->n_rows == BARS_MAX))
            hidden++;
        if (!is_live(&p->v[i]) || p->n_rows == BARS_MAX)
            continue;
        describe(&p->v[i], width, &row);
        add_row(p, row.s, width, out);
    }
    if (hidden && p->n_rows) {
        char more[64];
        snprintf(more, sizeof(more), "%u more wait", hidden);
        add_row(p, more, width, out);
    }
}

/* All bars anew, with a line above them that stays (or NULL). */
static void paint(struct progress *p, const char *line)
{
    scoped_str struct str out = STR_INIT;
    unsigned width = columns();

    go_up(p, width, &out);
    if (line)
        str_addf(&out, "%s\x1b[K\n", line);
    add_bars(p, width < 10 ? 10 : width, &out);
    str_add(&out, "\x1b[J"); /* what is below was ours */
    paint_out(&out, p->n_rows);
    p->drawn = time_monotonic_ns();
    p->changed = false;
}

static void put_line(struct progress *p, const char *text)
{
    scoped_str struct str out = STR_INIT;
    size_t size = 4 * strlen(text) + 1;
    scoped_free char *clean = xmalloc(size);

    err_escape(clean, size, text);
    if (p->bars) {
        paint(p, clean);
        return;
    }
    str_addf(&out, "%s\n", clean);
    write_out(&out);
}

void progress_line(struct progress *p, const char *fmt, ...)
{
    scoped_str struct str text = STR_INIT;
    va_list ap;

    if (p->quiet)
        return;
    va_start(ap, fmt);
    str_addv(&text, fmt, ap);
    va_end(ap);
    put_line(p, text.s);
}

void progress_free(struct progress *p)
{
    scoped_str struct str out = STR_INIT;

    if (!p)
        return;
    if (p->bars && p->n_rows) {
        go_up(p, columns(), &out);
        str_add(&out, "\x1b[J");
        paint_out(&out, 0);
    }
    if (current == p) {
        current = NULL;
        log_sink = NULL;
    }
    for (unsigned i = 0; i < p->n; i++)
        free(p->v[i].digest);
    free(p->v);
    free(p);
}

unsigned progress_add(struct progress *p, const char *what, const char *digest, uint64_t total)
{
    struct part *t;

    p->v = xrealloc(p->v, (p->n + 1) * sizeof(*p->v));
    t = &p->v[p->n];
    *t = (struct part){.total = total, .digest = xstrdup(digest)};
    snprintf(t->what, sizeof(t->what), "%s", what);
    return p->n++;
}

static void measure(struct part *t, uint64_t done)
{
    int64_t now = time_monotonic_ns(), took = now - t->rate_since;

    if (!t->rate_since) {
        t->rate_since = now;
        t->rate_from = done;
    } else if (took > RATE_MS * INT64_C(1000000)) {
        uint64_t moved = done > t->rate_from ? done - t->rate_from : 0;
        t->rate = (uint64_t)((double)moved * 1e9 / (double)took);
        t->rate_since = now;
        t->rate_from = done;
    }
}

void progress_set(struct progress *p, unsigned number, enum progress_state state, uint64_t done)
{
    struct part *t = &p->v[number];
    bool final = state >= PROGRESS_DONE && t->state < PROGRESS_DONE;

    p->changed = p->changed || t->state != state || t->done != done;
    if (state == PROGRESS_MOVING && p->bars)
        measure(t, done);
    t->state = state;
    t->done = done;
    if (final && p->bars)
        progress_line(p, "Copying %s %.12s %s", t->what, digits(t->digest),
                      state == PROGRESS_DONE ? "done" : "skipped: already exists");
    if (!p->bars && !t->told && state != PROGRESS_QUEUED) {
        progress_line(p, "Copying %s %s%s", t->what, t->digest,
                      state == PROGRESS_SKIPPED   ? " skipped: already exists"
                      : state == PROGRESS_FOREIGN ? " waits: another process pulls it"
                                                  : "");
        t->told = true;
    }
}

void progress_draw(struct progress *p)
{
    if (p->bars && p->changed &&
        (!p->drawn || time_monotonic_ns() - p->drawn >= FRAME_MS * INT64_C(1000000)))
        paint(p, NULL);
}

int progress_wait_ms(const struct progress *p)
{
    int64_t age = (time_monotonic_ns() - p->drawn) / 1000000;

    if (!p->bars || !p->changed)
        return -1;
    return age >= FRAME_MS ? 0 : (int)(FRAME_MS - age);
}
