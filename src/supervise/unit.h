/* unit - what is different when the supervisor is the main process of a systemd unit. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "engine/engine.h"

struct sup;

struct unit {
    bool on;             /* we are one: nobody started us who could be told anything */
    bool again;          /* a run may be followed by another: health, pressure */
    int status;          /* of a start that failed */
    unsigned listen_fds; /* of preserve_fds: the first are sockets of systemd */
    char *listen_names;
    struct engine_file *files; /* credentials; owned, with what they point to */
    size_t n_files;
};

void unit_clean_environment(struct sup *s);
/* Ends the time of our own standard streams here, after the container may have got them. */
int unit_streams_done(struct sup *s, struct err *e);
void unit_give_sockets(struct sup *s); /* environment of socket activation for the payload */
/* What only the payload shall have now: sockets, other descriptors, credentials; unless its next
 * run is to have them too. */
void unit_started(struct sup *s);
/* credentials.c: takes them out of the environment; gives them to the payload (returns where they
 * shall be inside, or NULL); forgets them. */
int credentials_take(struct sup *s, struct err *e);
const char *credentials_give(struct sup *s);
void credentials_forget(struct sup *s);
/* The variables of s->secret_env into the configuration in memory, and the file away. */
int secret_env_give(struct sup *s, struct err *e);
/* Prints an error that has no other reader; the exit status follows. */
void unit_failed(struct sup *s, const struct err *why);
int unit_status(const struct sup *s); /* exit status, or the negative signal that ended it */
int unit_leave(int status);           /* the same for our own end; may not return */
