/* network - what the commands of networks share. */
#pragma once

#include "network/store.h"

struct network_filter {
    char **terms; /* "key=value" or "key!=value" */
    char **used;  /* names of networks that containers have, when dangling= asks */
};
/* Checks the keys; -EINVAL names an unknown one and the known. */
int network_filter_parse(char *const *terms, struct network_filter *ret, struct err *e);
bool network_filter_match(const struct network_filter *f, const struct network_config *n);
void network_filter_release(struct network_filter *f);

/* Full ids of the containers that are to be members of it, whether they run or not; and the names
 * of all networks that containers have. Owned. */
int cli_network_users(const char *name, char ***ret_ids, struct err *e);
int cli_networks_used(char ***ret_names, struct err *e);
/* Is such a network of the driver bridge one on a bridge of the host? 0: no, and why not, but that
 * is lasting. Negative: it could not be found out. */
int cli_bridge_usable(const struct network_config *n, char why[static 256], struct err *e);
/* Removes those that no container has; prints their names below title (NULL: none). */
int cli_network_prune(const struct network_filter *f, const char *title, struct err *e);
