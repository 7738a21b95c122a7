/* psfilter - which containers a list shows, and in what order. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "container/container.h"

struct ps_filter {
    char **terms; /* "key=value" or "key!=value" */
    bool has_status;
    int64_t before_ns, since_ns; /* 0: none */
    char **users;                /* "VOLUME ID" of what volume= asks for */
    char **shared;               /* "NETWORK ID" of members of pods, whose network is the pod's */
};

/* Checks the keys; -EINVAL names an unknown one and the known. */
int ps_filter_parse(char *const *terms, struct ps_filter *ret, struct err *e);
/* Turns before= and since= (a container) into points in time, volume= into the containers that have
 * it. */
int ps_filter_resolve(struct ps_filter *f, const struct ctr_state *list, size_t n, struct err *e);
bool ps_filter_match(const struct ps_filter *f, const struct ctr_state *s);
void ps_filter_release(struct ps_filter *f);

int ps_sort(struct ctr_state *list, size_t n, const char *key, struct err *e);
