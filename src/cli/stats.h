/* stats - what `rootlet stats` shows: the containers it watches, and the screen it draws on. */
#pragma once

#include <termios.h>

#include "cgroup/meter.h"
#include "cli/cli.h"
#include "term/term.h"

/* One container that is watched. */
struct stats_entry {
    char id[ID_LEN + 1];
    char *name;
    int status;
    uint64_t run; /* start time of its first process: another one, another run */
    int64_t started_ns;
    struct cgroup_meter *meter; /* NULL: it does not run, or has no cgroup */
    int net_fd;                 /* its /proc/PID/net/dev; -1: it shares another's network */
    bool told, seen;
    bool has_now, has_before, has_net;
    struct cgroup_sample now, before;
    uint64_t net_in, net_out;
};

struct stats_set {
    char **ids; /* only these; NULL: what runs */
    bool all;   /* what does not run, too */
    bool quiet; /* a notice would disturb what is drawn */
    bool told_memory;
    struct stats_entry *v;
    size_t n;
};

/* Looks which containers there are now; new ones without a cgroup are told on stderr, all in one
 * notice. */
int stats_refresh(struct stats_set *s, struct err *e);
void stats_sample(struct stats_set *s);
/* A row for each, with podman's and docker's fields; json: podman's JSON keys and plain numbers.
 * cut: short ids. Owned. */
json_t *stats_rows(const struct stats_set *s, bool json, bool cut);
void stats_release(struct stats_set *s);

/* The terminal, drawn upon in place. */
struct stats_screen {
    bool live;     /* standard output is a terminal that is drawn upon */
    unsigned rows; /* drawn last time */
    uint16_t width, height;
    int signal_fd; /* -1: not waiting */
    struct term_saved keys;
};

/* reset: draw in place, where standard output is a terminal. */
int stats_screen_open(struct stats_screen *s, bool reset, struct err *e);
void stats_screen_draw(struct stats_screen *s, const char *text);
/* Until ms have passed, or earlier when the window has another size. false: the user wants the end,
 * or nobody reads any more. */
bool stats_screen_wait(struct stats_screen *s, int ms);
void stats_screen_close(struct stats_screen *s);
