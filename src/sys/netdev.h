/* netdev - a network device goes into another network namespace, with its addresses. rtnetlink(7)
 */
#pragma once

#include "base/err.h"

/* Moves device name of our network namespace into the one of ns_fd, under the name as (NULL: the
 * same; "eth%d": the kernel numbers it), gives it back the permanent addresses of global scope that
 * the kernel takes away, and brings it up. Wants CAP_NET_ADMIN in both. -ENODEV: there is none;
 * -EEXIST: the name is taken over there. For programs with one thread: it visits the other
 * namespace. */
int netdev_move(const char *name, const char *as, int ns_fd, struct err *e);
