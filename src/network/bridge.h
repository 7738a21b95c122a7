/* bridge - what others need of the driver of bridges on the host. */
#pragma once

#include "network/publish.h"
#include "network/run.h"

/* Can this user have such a network on a bridge of the host? -ENOTSUP: there are none here, or none
 * keeps to it; -EPERM: none is granted. All else is a failure, perhaps of a moment. */
struct network_config;
int network_bridge_check(const struct network_config *n, struct err *e);
/* Lets the kernel lead clients from outside straight to the container, for the ports that are
 * granted. Nothing for containers that are on no bridge. The sockets are the proof. */
void network_bridge_publish(struct network_run *run, const struct publish *v, size_t n);
/* Removes what a container that was killed together with its supervisor has left on the host; state
 * is the "network" of its state.json. Nothing for containers that were on no bridge. */
void network_bridge_collect(const char *libexec, const json_t *state);
/* Tells, by events, what of other firewalls is in the way of the bridge. bridge-notice.c */
struct bridge_answer;
void network_bridge_notices(struct network_run *run, const struct bridge_answer *a);
