/* bridge - what others need of the driver of bridges on the host. */
#pragma once

#include "network/publish.h"
#include "network/run.h"

/* Lets the kernel lead clients from outside straight to the container, for the ports that are
 * granted. Nothing for containers that are on no bridge. The sockets are the proof. */
void network_bridge_publish(struct network_run *run, const struct publish *v, size_t n);
void network_bridge_withdraw(struct network_run *run, const struct net_port *p);
/* Removes what a container that was killed together with its supervisor has left on the host; state
 * is the "network" of its state.json. Nothing for containers that were on no bridge. */
void network_bridge_collect(const char *libexec, const json_t *state);
