/* limits - resource limits and kernel parameters by name. setrlimit(2), sysctl in namespaces */
#pragma once

#include "base/err.h"
#include "spec/spec.h"

/* "nofile=1024:2048", "core=-1" to an OCI entry; -EINVAL with the known names. */
int limit_parse(const char *text, struct spec_rlimit *ret, struct err *e);
/* Sets them for the calling process, in the given order; the engine calls it before the last change
 * of ids, while a hard limit may still be raised. A number of files lower than the present one is
 * left to limits_apply_files, which comes when the engine opens none any more. */
int limits_apply(const struct spec_rlimit *v, size_t n, struct err *e);
int limits_apply_files(const struct spec_rlimit *v, size_t n, struct err *e);
/* Is a sysctl of a namespace the container owns? 0, or -EINVAL/-EPERM with the reason ("needs a
 * network namespace of its own"). */
int sysctl_check(const char *key, bool own_net, bool own_ipc, bool own_uts, struct err *e);
/* Writes "a.b.c=value" entries through a verified procfs. */
int sysctl_apply(char *const *key_values, struct err *e);
