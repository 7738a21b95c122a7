/* inspect - parts of what `rootlet inspect` shows of a container. */
#pragma once

#include "container/container.h"

/* HostConfig of the limits, in docker's words. inspect_limits.c */
void inspect_limits(const struct ctr_record *rec, const struct spec *spec, json_t *j);

/* What the user has mounted: binds, volumes, tmpfs. A new array. inspect_mounts.c */
json_t *inspect_mounts(const struct ctr_record *rec, const struct spec *spec);
/* A tmpfs that is not one of ours in /dev. */
bool inspect_is_tmpfs(const struct spec_mount *m);
/* What else podman and docker show; j is complete but for that. inspect_fill.c */
void inspect_fill(const struct ctr_record *rec, json_t *j);

/* inspect_network.c: NetworkSettings, HostConfig.NetworkMode and .PortBindings, and
 * Config.ExposedPorts. */
json_t *inspect_network(const struct container *c);
json_t *inspect_network_mode(const struct network_plan *p);
json_t *inspect_port_bindings(const struct network_plan *p);
json_t *inspect_exposed(const struct network_plan *p);
