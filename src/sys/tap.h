/* tap - a network device whose wire is a descriptor: a tap, or a packet socket behind a veth pair.
 *
 * /dev/net/tun is closed to ordinary users on some hosts (mode 0600, as in many build machines). A
 * packet socket in a network namespace of its own does the same: whoever holds the descriptor gets
 * every frame that is sent into the other end of the pair. */
#pragma once

#include "base/err.h"
#include "sys/sock.h"

/* A tap in the current network namespace: every read(2) is a frame, every write(2) too. Not
 * blocking, close-on-exec; the device ends with the descriptor. A descriptor or -errno. */
int tap_open(const char *name, struct err *e);

enum { TAP_PACKET, TAP_SPACE, TAP_ROUTE, TAP_FDS };
/* For netns_run with the user namespace alone: makes a network namespace with a packet socket
 * (TAP_PACKET), and a netlink socket (TAP_ROUTE) in it. All of it lives by these descriptors. */
int tap_packet_open(void *unused, int ret_fds[SOCK_MAX_FDS], struct err *e);
/* Makes device name in the namespace of route_fd, whose frames go to fds[TAP_PACKET] and come from
 * there. Nothing is left to be computed later: checksums are complete, no segments above mtu.
 * netdevice(7), packet(7), veth(4) */
int tap_packet_join(const int fds[TAP_FDS], int route_fd, const char *name, unsigned mtu,
                    struct err *e);
