/* stats_screen - a table that is drawn over itself, and the key that ends it. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/log.h"
#include "base/timefmt.h"
#include "cli/stats.h"

/* Single keys without echo; ctrl-c stays a signal. In the background the terminal is not ours. */
static void take_keys(struct stats_screen *s)
{
    struct termios t;
    if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, &t) < 0)
        return;
    if (!s->keys.raw)
        s->keys = (struct term_saved){.fd = STDIN_FILENO, .raw = true, .was = t};
    t.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    t.c_cc[VMIN] = 1;
    t.c_cc[VTIME] = 0;
    tcsetattr(STDIN_FILENO, TCSADRAIN, &t);
}

int stats_screen_open(struct stats_screen *s, bool reset, struct err *e)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGCONT);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, NULL);
    s->signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    if (s->signal_fd < 0)
        return err_set(e, errno, "open a descriptor for signals");
    s->live = reset && log_terminal(STDOUT_FILENO);
    if (s->live)
        take_keys(s);
    return 0;
}

/* As much of a line as fits: a wrapped one would make two. */
static void add_cut(struct str *out, const char *line, size_t n, unsigned width)
{
    unsigned column = 0;
    for (size_t i = 0; i < n; i++) {
        column += ((unsigned char)line[i] & 0xc0) != 0x80;
        if (column > width)
            break;
        str_addc(out, line[i]);
    }
}

void stats_screen_draw(struct stats_screen *s, const char *text)
{
    scoped_str struct str out = STR_INIT;
    uint16_t height = 24, width = 80;
    if (!s->live) {
        fputs(text, stdout);
        fflush(stdout);
        return;
    }
    if (term_size(STDOUT_FILENO, &height, &width) < 0 || height < 2 || width == 0) {
        height = 24;
        width = 80;
    }
    /* What was drawn for another size may lie anywhere now. */
    if (s->rows && (height != s->height || width != s->width))
        str_add(&out, "\033[H\033[2J");
    else if (s->rows)
        str_addf(&out, "\r\033[%uA", s->rows);
    s->rows = 0;
    s->height = height;
    s->width = width;
    for (const char *p = text; *p && s->rows + 1u < height;) {
        size_t n = strcspn(p, "\n");
        add_cut(&out, p, n, width);
        str_add(&out, "\033[K\n");
        s->rows++;
        p += n + (p[n] == '\n');
    }
    str_add(&out, "\033[J");
    fputs(out.s, stdout);
    fflush(stdout);
}

enum { GO_ON, REDRAW, END };

static int read_signals(struct stats_screen *s)
{
    struct signalfd_siginfo si;
    int what = GO_ON;
    while (read(s->signal_fd, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo != SIGCONT && si.ssi_signo != SIGWINCH)
            return END;
        if (si.ssi_signo == SIGCONT && s->live)
            take_keys(s); /* the shell has had the terminal meanwhile */
        what = REDRAW;
    }
    return what;
}

static int read_keys(void)
{
    char keys[64];
    ssize_t n = read(STDIN_FILENO, keys, sizeof(keys));
    for (ssize_t i = 0; i < n; i++)
        if (keys[i] == 'q' || keys[i] == 'Q' || keys[i] == 4)
            return END;
    return n == 0 ? END : GO_ON;
}

bool stats_screen_wait(struct stats_screen *s, int ms)
{
    int64_t end = time_monotonic_ns() + ms * INT64_C(1000000);
    for (;;) {
        int64_t left = (end - time_monotonic_ns() + 999999) / 1000000;
        struct pollfd p[] = {{.fd = s->signal_fd, .events = POLLIN},
                             {.fd = s->keys.raw ? STDIN_FILENO : -1, .events = POLLIN},
                             {.fd = STDOUT_FILENO}};
        if (left <= 0)
            return true;
        if (poll(p, 3, (int)left) < 0 && errno != EINTR)
            return false;
        int what = p[0].revents ? read_signals(s) : GO_ON;
        if (p[1].revents && what != END && read_keys() == END)
            what = END;
        if (what == END || (p[2].revents & (POLLERR | POLLHUP | POLLNVAL)))
            return false;
        if (what == REDRAW && s->live)
            return true;
    }
}

void stats_screen_close(struct stats_screen *s)
{
    term_restore(&s->keys);
    fd_close(&s->signal_fd);
}
