/* events - what has happened to containers, images, volumes and pods of this user: a journal that
 * all programs of rootlet append to and `rootlet events` reads.
 *
 *   RUN_ROOT/events     one JSON object a line, appended by one write(2) each; no lock, no fsync
 *   RUN_ROOT/events.1   the one before, when the first had grown too large
 *
 * A line that a full disk has cut is found again by how each line begins. The journal is lost at
 * reboot, like everything below RUN_ROOT. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jfield.h"
#include "conf/conf.h"

#define EVENTS_FILE "events"
#define EVENTS_OLD "events.1"
#define EVENTS_MAX (1 << 20) /* bytes of one file, and the last line that goes beyond */

struct event_entry {
    int64_t time_ns;       /* since 1970; 0: now */
    const char *type;      /* "container", "image", "volume", "pod", "system" */
    const char *action;    /* "create", "start", "died", "oom"; podman's words (podman-events(1)) */
    const char *id, *name; /* may be NULL */
    const char *image;     /* of a container; may be NULL */
    char *const *attributes; /* "key=value" ("exitCode=137"); may be NULL */
    char *const *labels;     /* of a container, shown among the attributes; may be NULL */
};

/* Appends. Never fails as far as the caller is concerned: an event that cannot be written is lost,
 * and said so at log level debug. */
void event_write(const struct conf *c, const struct event_entry *ev);
/* The same for who has RUN_ROOT open already (O_PATH is enough). */
void event_write_at(int run_root_fd, const struct event_entry *ev);
/* The usual one of a container. attribute: "key=value" or NULL. */
void event_container(const struct conf *c, const char *action, const char *id, const char *name,
                     const char *image, const char *attribute);
/* Of "image", "volume", "pod": by name. */
void event_named(const struct conf *c, const char *type, const char *action, const char *id,
                 const char *name);

/* --- reading --- */

/* What follows holds for objects as they stand in the journal: timeNano, Type, Status, ID, Name,
 * Image, Attributes; the last four may be missing. */
const char *event_text(const json_t *ev, const char *key); /* "" when it is not there */
int64_t event_time(const json_t *ev);

/* Checks "key=value" terms: container, event, image, label, pod, type, volume; -EINVAL names an
 * unknown key and the known ones. */
int event_filter_check(char *const *terms, struct err *e);
/* Terms of one key are alternatives, different keys must all hold. */
bool event_filter_match(char *const *terms, const json_t *ev);

struct event_query {
    char *const *filter;        /* checked; may be NULL */
    int64_t since_ns, until_ns; /* since 1970; 0: none */
    bool past;                  /* what the journal holds already */
    bool follow;                /* then what comes, until until_ns */
    int out_fd;                 /* following ends when its reader has gone; -1: none */
};
/* Called for each event in the order of the journal; < 0 ends the reading and is returned. */
typedef int event_fn(const json_t *ev, void *data, struct err *e);
int event_read(const struct conf *c, const struct event_query *q, event_fn *fn, void *data,
               struct err *e);
