/* What store.c and subnet.c share. */
#pragma once

#include "network/store.h"

/* Gives it a gateway when it has none, the first address. */
int subnet_complete(struct network_subnet *s, struct err *e);
/* -EEXIST: a network or an interface of the host has some of its addresses. */
int subnet_check_free(const struct network_subnet *s, const struct network_config *taken,
                      size_t n_taken, struct err *e);
