/* logs - what containers say, kept by a driver: written by the supervisor, read by `logs`.
 *
 * journald: an entry per line, by systemd's native protocol; read back by journalctl(1).
 * passthrough: nothing is kept, the container writes to the supervisor's own streams.
 * json-file: docker's, {"log":"TEXT","stream":"stdout|stderr","time":"RFC3339Nano"} a line; a piece
 * has no line feed at the end of its text.
 * k8s-file: one record a line, "RFC3339Nano stdout|stderr F|P text". P is a piece of a line whose
 * rest comes in the next record of that stream; a record's text has at most 16 KiB. Nothing is
 * held back: when the supervisor is killed, what it had read is in the file. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

#define LOGS_MAX_TEXT (16u << 10)

enum log_stream { LOG_STDOUT, LOG_STDERR };

/* An open log. Options: max-size=SIZE (rotate above it), max-file=N (how many files, default 1:
 * the old content is dropped), path=FILE instead of "log" in the container's directory. */
struct log_writer;

/* Whose log it is. */
struct log_ident {
    int dir_fd;        /* the container's directory, borrowed */
    char *const *opts; /* its log_opts */
    const char *id, *name, *image;
    char *const *labels, *const *env; /* "k=v", for what options of json-file name; may be NULL */
};

struct log_read {
    struct log_ident ident;
    bool follow, timestamps; /* timestamps: in front of each line */
    bool details;            /* in front of that what the driver has noted beside it */
    const char *prefix;      /* in front of all; NULL. Then only whole lines go out at once, with */
    int lock_fd;             /* this file locked meanwhile (fcntl(2)), unless it is 0 */
    int64_t tail;            /* only so many last lines; < 0: all */
    int64_t since_ns;        /* 0: from the start */
    int64_t until_ns;        /* 0: no end */
    int out_fd, err_fd;      /* where the two streams go; < 0: nowhere */
    int stop_fd;             /* following ends when this is readable or hung up; < 0: never */
};

struct log_driver {
    const char *name;
    const char *summary;
    /* Are these options right, and does the driver work here? NULL: it has none. */
    int (*check)(char *const *opts, struct err *e);
    /* Fills what the writer needs. NULL: nothing is written. */
    int (*open)(struct log_writer *w, const struct log_ident *ident, struct err *e);
    /* Never fails as far as the caller is concerned: a full disk must not stop a container. */
    void (*write)(struct log_writer *w, enum log_stream s, const void *data, size_t n);
    /* A descriptor (borrowed) that the container shall write this stream to itself, or -1. NULL:
     * as -1. */
    int (*stream)(const struct log_writer *w, enum log_stream s);
    void (*reopen)(struct log_writer *w); /* after an outside rotation; may be NULL */
    void (*close)(struct log_writer *w);
    /* NULL: it cannot be read back. */
    int (*read)(const struct log_read *o, struct err *e);
};

/* By name; -EINVAL names the known ones. */
int log_driver_get(const char *name, const struct log_driver **ret, struct err *e);
const struct log_driver *const *log_drivers(void); /* NULL-terminated, for info */
/* Checks --log-opt values when a container is created. */
int log_opts_check(const char *driver, char *const *opts, struct err *e);

/* Opens for appending: earlier runs stay. *ret is owned. */
int log_writer_open(const char *driver, const struct log_ident *ident, struct log_writer **ret,
                    struct err *e);
int log_writer_stream(const struct log_writer *w, enum log_stream s);
void log_writer_write(struct log_writer *w, enum log_stream s, const void *data, size_t n);
void log_writer_reopen(struct log_writer *w);
void log_writer_close(struct log_writer *w); /* NULL is nothing */

/* Prints a container's log. The lines of one stream keep their order. -EPIPE when the reader of
 * out_fd has gone. */
int log_read(const char *driver, const struct log_read *o, struct err *e);
