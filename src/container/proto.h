/* proto - messages between a command and a container's supervisor.
 *
 * SEQPACKET: over an inherited socketpair (fd 3) for the command that starts a supervisor, and over
 * RUN_ROOT/ID/attach.sock for everybody else. One packet: struct proto_head, then data. The
 * supervisor accepts peers of its own uid only (SO_PEERCRED). */
#pragma once

#include <stdint.h>

#include "base/err.h"

enum proto_type {
    /* to the supervisor */
    PROTO_ATTACH = 1, /* head.a: bits 1 stdin, 2 stdout, 4 stderr: what this peer wants */
    PROTO_STDIN,      /* data; an empty one closes the container's stdin */
    PROTO_RESIZE,     /* a rows, b columns */
    PROTO_SIGNAL,     /* a: signal for the container's init */
    PROTO_STOP,       /* a: signal, b: milliseconds to SIGKILL (< 0: never) */
    PROTO_START,      /* go on from CREATED (fd 3 only; may be sent before PROTO_CREATED comes) */
    PROTO_DETACH,     /* this peer goes; nothing is sent to it any more */
    PROTO_PAUSE,      /* a: PROTO_BY_SIGNAL: without a cgroup, by SIGSTOP */
    PROTO_UNPAUSE,
    PROTO_FINISH, /* of a container that has ended: output that peers have not taken is dropped, the
                     supervisor ends now. Refused while it runs. */
    PROTO_RENAME, /* data: the new name, which this peer has reserved */
    PROTO_CLOSED, /* a: PROTO_WANT_STDOUT/STDERR: nobody reads it any more (fd 3 only): the
                     container gets EPIPE, as if it wrote to that pipe itself */
    PROTO_MEMBER, /* to a pod's infra container: as long as this peer is there, so is a member */
    PROTO_HEALTH, /* run the health check now; HEALTH_RESULT or REFUSED follows */
    PROTO_RESTART, /* as STOP, and then another run at once, whatever the policy; for a container
                      that its end would remove */
    /* The network of a container that runs. The record is for who asks; OK or REFUSED follows. */
    PROTO_NETWORK_CONNECT,    /* data: a struct network_join as JSON */
    PROTO_NETWORK_DISCONNECT, /* data: the network's name */
    PROTO_PORT_ADD,           /* data: as -p takes it; the supervisor binds it */
    PROTO_PORT_REMOVE,        /* data: as `port rm` takes it */
    /* from the supervisor */
    PROTO_CREATED = 64,  /* a: pid of the container's init; everything but execve is done */
    PROTO_STARTED,       /* a: pid; execve has succeeded (fd 3 only) */
    PROTO_STDOUT,        /* data */
    PROTO_STDERR,        /* data */
    PROTO_EXIT,          /* a: exit code, b: signal or 0; the last message */
    PROTO_ERROR,         /* data: struct err; the last message when the start failed */
    PROTO_OK,            /* the request was carried out */
    PROTO_REFUSED,       /* data: struct err */
    PROTO_STDIN_ACK,     /* a: bytes of STDIN that the container has taken */
    PROTO_HEALTH_RESULT, /* a: the exit code of the check; -1: it gave none in time */
};

struct proto_head {
    uint32_t type;
    int32_t a, b;
    uint32_t len; /* of what follows */
};

/* A peer sends at most this much STDIN that is not acknowledged: so the supervisor need not stop
 * reading from it, and signals never queue behind input that the container does not read. */
#define PROTO_STDIN_WINDOW (128u << 10)

#define PROTO_WANT_STDIN 1
#define PROTO_WANT_STDOUT 2
#define PROTO_WANT_STDERR 4

#define PROTO_BY_SIGNAL 1

#define PROTO_MAX_DATA (32u << 10)
#define PROTO_MAX (sizeof(struct proto_head) + PROTO_MAX_DATA)

struct proto_msg {
    struct proto_head head;
    unsigned char data[PROTO_MAX_DATA];
};

int proto_send(int fd, enum proto_type type, int32_t a, int32_t b, const void *data, uint32_t len);
int proto_send_err(int fd, enum proto_type type, const struct err *e);
/* 1: a message, 0: the peer is gone, -errno (-EAGAIN: nothing there; -EPROTO: not a message). */
int proto_recv(int fd, struct proto_msg *ret);
/* The struct err that a PROTO_ERROR or PROTO_REFUSED carries; returns its negative errno. */
int proto_err(const struct proto_msg *m, struct err *e);
