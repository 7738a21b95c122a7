/* user - a user network from outside, while it has members. */
#pragma once

#include "conf/conf.h"

/* Descriptors of its user and its network namespace, owned. -ENOTCONN: it has no members, and so no
 * namespaces; a network of another driver never has. */
int network_user_space(const struct conf *c, const char *name, int ret[2], struct err *e);
/* The servers of its configuration are others now: its process takes them over, if there is one. */
int network_user_changed(const struct conf *c, const char *name, struct err *e);
