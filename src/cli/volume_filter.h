/* volume_filter - which volumes a list shows, or prune removes. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "volume/volume.h"

struct volume_filter {
    char **terms; /* "key=value" or "key!=value" */
    char **used;  /* names of volumes that containers use, when dangling= asks */
};

/* Checks the keys; -EINVAL names an unknown one and the known. */
int volume_filter_parse(char *const *terms, struct volume_filter *ret, struct err *e);
bool volume_filter_match(const struct volume_filter *f, const struct volume *v);
void volume_filter_release(struct volume_filter *f);
