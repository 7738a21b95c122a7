/* err - an error as plain data: a number, an exit status, a message chain and one hint.
 *
 * It lives on the caller's stack, needs no release, and crosses a fork or a socket by one write.
 * Libraries fill it and return a negative errno; only the programs' main functions print it. */
#pragma once

#include <stdarg.h>

struct err {
    int errnum;      /* positive errno of the cause, 0 = no error */
    int exit_status; /* what the program should exit with; 0 = not decided (125 for rootlet) */
    char
        msg[1000]; /* "outer: inner: cause"; when too long the outer part is cut, the cause stays */
    char hint[500]; /* what to do about it, or "" */
};

#define ERR_INIT                                                                                   \
    {                                                                                              \
        0                                                                                          \
    }

/* Sets e to "FMT: strerror(errnum)"; any earlier content is lost. e may be NULL.
 * Returns -errnum (errnum must be positive). */
int err_set(struct err *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* As err_set, but the text of errnum is not appended: for causes that FMT explains itself. */
int err_msg(struct err *e, int errnum, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "FMT: " in front of the message; an object that FMT ends and the message begins with is
 * named once ("pull X" and "X: gone" are "pull X: gone"). Returns r unchanged, for return
 * err_add(...). */
int err_add(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sets the hint if there is none yet. Returns r unchanged. */
int err_hint(struct err *e, int r, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Sets the exit status if none is set yet. Returns r unchanged. */
int err_exit(struct err *e, int r, int status);

/* Empties e, keeping nothing. */
void err_clear(struct err *e);

/* Copies text to dst (always terminated), with control characters and invalid UTF-8 as \xNN:
 * names from images and registries are hostile to a terminal. Returns dst. */
char *err_escape(char *dst, unsigned long size, const char *text);
