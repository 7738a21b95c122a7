/* The drivers of this folder, one file each. */
#pragma once

#include "network/network.h"
#include "network/run.h"

extern const struct network_driver network_none, network_host, network_container, network_ns;
extern const struct network_driver network_pasta;
extern const struct network_driver network_named, network_user,
    network_bridge; /* of networks by name */
extern const struct network_driver network_slirp;

/* That of a named network, by its configuration; NULL with e. */
const struct network_driver *network_driver_of(const struct conf *c, const char *network,
                                               struct err *e);
/* Published ports are a driver too, not one to be chosen: its prepare binds the sockets of
 * plan->ports before the container is made, its attach starts rootlet-ports when all interfaces are
 * there. */
const struct network_driver *network_ports_driver(void);
/* On a container that runs; text as -p (add) and as net_port_parse_container or shown (remove) take
 * it. They change run->ports. */
int network_publish_add(struct network_run *run, const char *text, struct err *e);
int network_publish_remove(struct network_run *run, const char *text, struct err *e);
/* The interfaces have changed: the ports lead to what is the first address now. */
void network_publish_follow(struct network_run *run);
/* The networks have changed: whether the container's own servers are for their name servers to ask
 * (network_asks_itself). Or its name has. */
void network_user_follow(struct network_run *run);
