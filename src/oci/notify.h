/* notify - sd_notify(3) from inside of a container that runs in the foreground of a systemd unit.
 */
#pragma once

#include "base/err.h"
#include "oci/config.h"

struct oci_notify {
    int socket;   /* the container's messages come here; -1: nobody waits for any */
    char *target; /* $NOTIFY_SOCKET */
};
#define OCI_NOTIFY_INIT                                                                            \
    {                                                                                              \
        .socket = -1                                                                               \
    }

/* With NOTIFY_SOCKET in our environment: binds a socket in the container's directory, and adds the
 * mount and the variable for it to the configuration, unless that has a NOTIFY_SOCKET of its own.
 */
int oci_notify_open(struct oci_notify *n, struct oci_config *c, const char *id, int dir_fd,
                    struct err *e);
/* Hands on what has come: lines of state, no descriptors, no claims about processes. */
void oci_notify_relay(struct oci_notify *n);
void oci_notify_release(struct oci_notify *n);
