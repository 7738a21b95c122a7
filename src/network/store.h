/* store - user-defined networks: ROOT/networks/NAME.json says how each is to be.
 *
 * Only what was asked for is in the file. Whether a network is up, who is a member and which
 * addresses are taken is known to its process alone (helpers/network), or to the kernel.
 *
 * But for its name servers a network is never changed, but made and removed; all take the lock on
 * ROOT/networks. Readers take none. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/id.h"
#include "base/jfield.h"
#include "conf/conf.h"
#include "net/addr.h"

/* One range of addresses, as text: checked when it is read from disk, too. */
struct network_subnet {
    char *subnet;  /* "10.89.0.0/24" */
    char *gateway; /* an address of it; NULL: there is none (an internal network may lack it) */
    char *range;   /* "10.89.0.128/25" or "FIRST-LAST": where leases come from; NULL: everywhere */
    json_t *extra;
};

struct network_config {
    char *name;
    char *id;     /* 64 hex digits */
    char *driver; /* "user": a namespace of the user's; "bridge": on the host, by the helper */
    struct network_subnet *subnets; /* of "bridge" without --subnet none: the administrator's */
    size_t n_subnets;
    bool internal; /* no way out */
    bool ipv6;
    bool dns_enabled; /* the members find each other by name */
    char **dns;       /* where other names are asked for; NULL: as the host does */
    char **options;   /* "mtu=1500", "bridge=NAME", "isolate=true" */
    char **labels;    /* "key=value" */
    char **egress;    /* net/egress.h; NULL: everything is allowed */
    int64_t created_ns;
    int64_t changes; /* of dns, how many */
    json_t *extra;
};
void network_config_release(struct network_config *n);
#define scoped_network_config SCOPED(network_config_release)

/* A subnet in numbers. first and last bound the leases, without the network's own and (IPv4) the
 * broadcast address; the gateway may lie between them. */
struct network_range {
    struct net_cidr subnet;
    struct net_addr gateway; /* family 0: none */
    struct net_addr first, last;
};
int network_subnet_range(const struct network_subnet *s, struct network_range *ret, struct err *e);
/* Value of an option ("mtu"), or NULL. Borrowed. */
const char *network_option(const struct network_config *n, const char *key);
/* The MTU that was asked for; 0: none was. */
uint32_t network_mtu(const struct network_config *n);

/* A name that no driver has and that may be a file's: -EINVAL. */
int network_check_name(const char *name, struct err *e);
/* Opens by name, or by a unique prefix of the id. -ENOENT, with the names there are. */
int network_open(const struct conf *c, const char *ref, struct network_config *ret, struct err *e);
/* All, by name. Broken ones are left out. *ret is an owned array. */
int network_list(const struct conf *c, struct network_config **ret, size_t *ret_n, struct err *e);
void network_list_free(struct network_config *v, size_t n);
/* Makes n, whose name and driver are set: checks it, completes it (id, time, free subnets where
 * none is given, gateways), writes it. -EEXIST: there is one of that name. */
int network_create(const struct conf *c, struct network_config *n, struct err *e);
/* Other name servers: those of drop go, those of add come behind the others, if they are not there
 * yet. *ret is the network as it is then. */
int network_change_dns(const struct conf *c, const char *ref, char *const *add, char *const *drop,
                       struct network_config *ret, struct err *e);
/* Removes the file. -ENOENT. That nobody uses the network is the caller's to know. */
int network_remove(const struct conf *c, const char *name, struct err *e);

/* For network_create and tests: does everything of n agree? */
int network_check(const struct network_config *n, struct err *e);
/* A range of this family (4, 6) that neither networks nor interfaces of the host use; owned text
 * in *ret. */
int network_free_subnet(const struct network_config *taken, size_t n_taken, int family,
                        struct network_subnet *ret, struct err *e);
