/* plan - from what --network says, once or several times, to a plan.
 *
 *   MODE[:OPTION,...]                 none, host, container:ID, ns:PATH, slirp[:mtu=1500], pasta
 *   NAME[:alias=A,ip=I,ip6=I,mac=M,interface_name=N]   a network; several of them go together
 *   name=NAME,alias=A,...             docker's long form */
#pragma once

#include "network/network.h"
#include "network/store.h"

/* Adds one --network. "default", "private" and "auto" are not known here: network_plan_default
 * says what they mean. Names of networks are checked as names only. */
int network_plan_add(struct network_plan *p, const char *text, struct err *e);
/* What a plan would be without any --network, on this host: "slirp", or "none" and in *ret_why
 * (owned) the sentence that tells why. */
const char *network_plan_default(char **ret_why);
/* Does text name that mode? With or without options. */
bool network_plan_is_default(const char *text);
/* "alias=A,ip=I,...": into j. what: for messages. */
int network_join_options(struct network_join *j, const char *options, const char *what,
                         struct err *e);
/* Sets the address of its family; -EINVAL. */
int network_join_ip(struct network_join *j, const char *text, struct err *e);
int network_join_mac(struct network_join *j, const char *text, struct err *e);
/* Are the addresses that it wishes for ones that a lease of n could be? */
int network_join_check(const struct network_join *j, const struct network_config *n, struct err *e);
/* A name that others find the container by. */
int network_check_alias(const char *text, struct err *e);
