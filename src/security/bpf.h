/* bpf - classic BPF programs of seccomp: evaluated for one system call, and made shorter. */
#pragma once

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What a filter answers to data (SECCOMP_RET_*, with its data bits), as the kernel would run it.
 * *ret_args (may be NULL): whether the way through the program looked at the arguments or the
 * instruction pointer. A program that the kernel would refuse gives SECCOMP_RET_KILL_PROCESS. */
uint32_t bpf_eval(const struct sock_filter *insns, size_t n, const struct seccomp_data *data,
                  bool *ret_args);
/* Does it end, for every input, inside the program with a return? Only the instructions that
 * seccomp allows. */
bool bpf_valid(const struct sock_filter *insns, size_t n);

/* A program of the same meaning for every input, that finds the system call by bisection over runs
 * of equal answers instead of one comparison after the other. Only for programs of one architecture
 * (arch is its AUDIT_ARCH_*): all others get other_arch. Owned; *ret_n instructions. NULL when the
 * program cannot be rewritten (too long, or built in a way we do not follow): keep the old one. */
struct sock_filter *bpf_bisect(const struct sock_filter *insns, size_t n, uint32_t arch,
                               size_t *ret_n);
