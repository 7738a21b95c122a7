/* events - what has happened to containers, images, volumes and pods of this user: a journal that
 * all programs of rootlet append to and `rootlet events` reads.
 *
 *   RUN_ROOT/events     one JSON object a line, appended by one write(2) each; no lock, no fsync
 *   RUN_ROOT/events.1   the one before, when the first had grown too large
 *
 * It is lost at reboot, like everything below RUN_ROOT. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jfield.h"
#include "conf/conf.h"

struct event {
    int64_t time_ns;       /* since 1970; 0: now */
    const char *type;      /* "container", "image", "volume", "pod", "system" */
    const char *action;    /* "create", "start", "died", "oom"; podman's words (podman-events(1)) */
    const char *id, *name; /* may be NULL */
    const char *image;     /* of a container; may be NULL */
    char *const *attributes; /* "key=value" ("exitCode=137"); may be NULL */
};

/* Appends. Never fails as far as the caller is concerned: an event that cannot be written is lost,
 * and said so at log level debug. */
void event_write(const struct conf *c, const struct event *ev);
/* The usual one of a container. attribute: "key=value" or NULL. */
void event_container(const struct conf *c, const char *action, const char *id, const char *name,
                     const char *image, const char *attribute);
