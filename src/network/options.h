/* options - what may follow "--network pasta:", as with podman: pasta's own options, by commas. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

#define PASTA_OPTIONS "OPTION,...: pasta's own, as -T,8080 or --mtu,1500"

/* Only those that concern the network; with -EINVAL and a hint for the others. */
int pasta_check_options(char *const *options, struct err *e);
void pasta_add_options(char *const *options, char ***argv);
/* By its short or (NULL: none) long name. */
bool pasta_has_option(char *const *options, const char *name, const char *other);
/* Is there an address of the host with these options? A pasta before 2024-08 has none. pasta.c */
bool pasta_maps_host(char *const *options);
/* The value that stands behind it, or after '='; NULL. Borrowed. */
const char *pasta_option(char *const *options, const char *name);
