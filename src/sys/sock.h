/* sock - SEQPACKET pairs and unix sockets: one packet is one message, descriptors ride along. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/err.h"

#define SOCK_MAX_FDS 4

int sock_pair(int ret[static 2], struct err *e); /* AF_UNIX, SOCK_SEQPACKET, close-on-exec */
/* Sends one packet, with n_fds descriptors. 0 or -errno (-EAGAIN on a full non-blocking socket). */
int sock_send(int fd, const void *data, size_t size, const int *fds, size_t n_fds);
/* Receives one packet. Returns its length (0 = the peer closed), -EMSGSIZE when cut, or -errno.
 * Received descriptors (close-on-exec, owned) go to fds[SOCK_MAX_FDS], the rest of it -1;
 * with fds NULL the kernel drops them. */
ssize_t sock_recv(int fd, void *buf, size_t size, int fds[SOCK_MAX_FDS]);
/* Listens on / connects to a SEQPACKET socket named name in the directory dirfd; the path limit of
 * sockaddr_un is avoided through /proc/self/fd (names up to about 80 bytes). Listening replaces a
 * socket of that name: only its one owner, who holds a lock, may do it. */
int sock_listen_at(int dirfd, const char *name, struct err *e);
int sock_connect_at(int dirfd, const char *name, struct err *e);
int sock_peer_uid(int fd, uid_t *ret); /* SO_PEERCRED */
