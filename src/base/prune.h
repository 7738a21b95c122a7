/* prune - what the commands that remove many things share: the question, and the filters. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* --filter until=TIME, label=KEY[=VALUE], label!=KEY[=VALUE]; all must hold. */
struct prune_filter {
    char **labels, **without; /* owned */
    int64_t until_ns;         /* made before this; 0: whenever */
};
/* -EINVAL names an unknown key and the known ones. */
int prune_filter_parse(char *const *terms, struct prune_filter *ret, struct err *e);
/* labels: "key=value". */
bool prune_filter_match(const struct prune_filter *f, int64_t created_ns, char *const *labels);
void prune_filter_release(struct prune_filter *f);
#define scoped_prune_filter SCOPED(prune_filter_release)

/* "WARNING! This will removeWHAT" (" all ...", ":\n  - all ...") on standard output, and the
 * question. Standard input answers: 1
 * yes, 0 no. An answer may come through a pipe; without any (no terminal, and nothing to read) the
 * command must not guess: -EINVAL with the hint to use --force. */
int prune_ask(const char *what, struct err *e);
