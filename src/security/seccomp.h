/* seccomp - a BPF program that is loaded last before execve, compiled beforehand. seccomp(2)
 *
 * The built-in profiles are compiled when rootlet is built (no libseccomp at run time); user
 * profiles are compiled by the rootlet-seccomp program when the container is created, and kept as
 * a file in the container's directory.
 *
 * Between seccomp_prog_load and execve every profile must allow what the caller still does. The
 * built-in ones allow read, write, close, exit_group, execve and the signal calls. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct seccomp_prog {
    void *insns; /* struct sock_filter[], owned unless is_static */
    size_t n;
    uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
    int is_static;
};

/* The built-in program that fits profile ("default", "minimal", "nested": default that lets the
 * container make namespaces and mounts of its own), capability mask and architecture of this
 * machine; -ENOENT when that combination is not precompiled (then compile). */
int seccomp_builtin(const char *profile, uint64_t caps, struct seccomp_prog *ret);
/* Reads and checks a compiled file ("RLBPF1" header). */
int seccomp_read(int dirfd, const char *name, struct seccomp_prog *ret, struct err *e);
int seccomp_write(int dirfd, const char *name, const struct seccomp_prog *p, struct err *e);
/* Loads it for the calling thread (after no_new_privs or with CAP_SYS_ADMIN in the namespace). */
int seccomp_prog_load(const struct seccomp_prog *p, struct err *e);
/* As seccomp_prog_load with SECCOMP_FILTER_FLAG_NEW_LISTENER; returns the listener fd. */
int seccomp_prog_load_listener(const struct seccomp_prog *p, struct err *e);
/* Has the program an action that needs a listener (SECCOMP_RET_USER_NOTIF)? */
int seccomp_wants_listener(const struct seccomp_prog *p);
void seccomp_prog_release(struct seccomp_prog *p);

/* Name of a system call of this machine ("rseq"), or NULL; its number, or -ENOENT. */
const char *seccomp_syscall_name(int nr);
int seccomp_syscall_nr(const char *name);
/* What p answers to call nr with all arguments 0 (SECCOMP_RET_*); 1 in *ret_args when the answer
 * depends on the arguments. */
uint32_t seccomp_answer(const struct seccomp_prog *p, int nr, int *ret_args);
