/* prune - what container prune, pod prune and system prune share. */
#pragma once

#include "base/prune.h"
#include "container/pod.h"

/* Ids of what is to go, newest first; owned. Infra containers go with their pods. */
int cli_prunable(const struct prune_filter *f, char ***ret_ids, struct err *e);
int cli_prunable_pods(const struct prune_filter *f, char ***ret_ids, struct err *e);
/* Removes each if it is still unused, prints its id below `title` (NULL: none), and goes on after
 * errors, the last of which is in e. */
int cli_prune_containers(char *const *ids, const char *title, struct err *e);
int cli_prune_pods(char *const *ids, const char *title, struct err *e);

/* Removes a pod of which nothing runs: 1, or 0 when it was left alone. pod.c */
int cli_pod_prune(const char *id, struct err *e);
