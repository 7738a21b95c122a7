/* resolv - what stands in a container's /etc/resolv.conf and /etc/hosts.
 *
 * Both are files of the container's directory that are mounted into it. They are written at each
 * start, in place (a new file would not be the mounted one), when the addresses are known. A
 * resolver that nobody has named is never written: neither the user nor the host, that is. */
#pragma once

#include "net/addr.h"
#include "network/run.h"

/* resolv.conf(5), as far as it matters here. */
struct resolv_conf {
    char **servers, **search, **options;
};
void resolv_parse(const char *text, struct resolv_conf *ret);
void resolv_release(struct resolv_conf *r);
/* The host's, for a container that does not share its loopback: where only servers on the loopback
 * are named, those that the program behind them asks (systemd-resolved, NetworkManager). */
void resolv_of_host(bool loopback, struct resolv_conf *ret);

struct network_files {
    const struct network_plan *plan;
    const char *name, *hostname; /* hostname NULL: the host's */
    const struct network_interface *interfaces;
    size_t n_interfaces;
    char *const *dns;         /* of the drivers; NULL: the host's */
    bool names;               /* dns knows the names of peers: it stays first */
    bool asks_itself;         /* and the plan's servers are behind it, else it asks them */
    const char *host_address; /* by which the host is reached; NULL: by none */
    const char *base;         /* text that the hosts file begins with, or NULL */
    char *const *pod_names;   /* of those who share the network, and so the loopback */
};
/* The contents; owned. host: what resolv_of_host has given. */
char *network_resolv_text(const struct network_files *f, const struct resolv_conf *host);
char *network_hosts_text(const struct network_files *f);

/* Before they are mounted: in the container they are its root's, who may have given them to another
 * of its users, or have forbidden to write them. Such a one becomes a new file. */
int network_files_prepare(const struct network_run *run, struct err *e);
/* Writes both into run->dir_fd, by run's plan, interfaces and servers. Files that are not there are
 * none of the container's. */
int network_files_write(const struct network_run *run, struct err *e);

/* One more name that is our loopback's, in the hosts file of a pod's own container, dir_fd. */
void network_files_pod_name(int dir_fd, const char *name);

/* Are there servers in the plan that only the container reaches: on its loopback, or in one of its
 * networks? Then none of them is for the networks' name servers to ask. */
bool network_asks_itself(const struct network_run *run);

/* The address of the host that others reach it by: of its default route, else of any interface;
 * "" when it has none. No packet is sent. */
void network_host_address(int family, char ret[static NET_ADDR_TEXT]);

/* Will a container with this plan have an address of the host? What may still change (the host is
 * offline) does not count. *ret_why: what is said then, owned. */
bool network_knows_host(const struct conf *c, const struct network_plan *p, char **ret_why);

/* --add-host "name[;name...]:address" or "name=address", "host-gateway" for the address; refuses
 * what would be read as something else. */
int network_check_add_host(const char *text, struct err *e);
