/* config - a bundle's config.json, made fit for who runs it. */
#pragma once

#include "base/err.h"
#include "spec/spec.h"

struct oci_config {
    char *bundle; /* absolute */
    char *rootfs; /* absolute */
    char *text;   /* the configuration as read; NULL when it was changed since */
    struct spec spec;
    bool host_root;  /* no user namespace: it runs as root of the host */
    bool privileged; /* we are root of the host */
};

/* bundle NULL: the working directory; file NULL: config.json in the bundle. Without a user
 * namespace in it and without root, one with the caller's ids is added. */
int oci_config_load(const char *bundle, const char *file, struct oci_config *ret, struct err *e);
void oci_config_release(struct oci_config *c);
/* The host's uid of the container's root, 0 without a map of its own. */
uid_t oci_config_root_uid(const struct oci_config *c);
