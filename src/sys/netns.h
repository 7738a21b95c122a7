/* netns - a function inside the network namespace of a container, and what it opens there.
 *
 * A process in the host's user namespace whose euid owns a user namespace has all capabilities over
 * it: through a netlink socket that was opened in there the network is configured from outside.
 * Only to open sockets and taps somebody must enter. */
#pragma once

#include "base/err.h"
#include "sys/sock.h"

/* Runs fn in a child that has joined the user namespace (-1: it stays in ours), then the network
 * namespace (-1: ours). It has all capabilities there and the ids of ours, cannot be traced, and
 * must do little. fn's result: 0 or -errno with e; the descriptors that it puts into ret_fds (all
 * -1 before) are handed to the caller, who owns them; on failure all of them are -1. */
int netns_run(int userns_fd, int netns_fd,
              int (*fn)(void *data, int ret_fds[SOCK_MAX_FDS], struct err *e), void *data,
              int ret_fds[SOCK_MAX_FDS], struct err *e);
