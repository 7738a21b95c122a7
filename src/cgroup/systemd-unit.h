/* systemd-unit - the scope of a container: its name, and linux.resources and annotations as its
 * properties. A property is ["NAME", "D-Bus signature", VALUE]. org.freedesktop.systemd1(5),
 * systemd.resource-control(5) */
#pragma once

#include <sys/types.h>

#include "base/err.h"
#include "base/jfield.h"

struct plan; /* resources.h */

/* "slice:prefix:name" to "prefix-name.scope" in slice; NULL or "": "rootlet-ID.scope" in
 * rootlet.slice. No slice ("::name"): user.slice of a user's manager, else system.slice. Both
 * owned. -EINVAL with the form that is wanted. */
int unit_of_path(const char *path, const char *id, bool user, char **ret_slice, char **ret_unit,
                 struct err *e);
/* Appends a property, or replaces the one of that name; value becomes the list's. */
void unit_set(json_t *properties, const char *name, const char *sig, json_t *value);
/* The properties that say what p writes, so that a manager that applies them anew keeps it. dir_fd:
 * of the group, for what depends on its present values; -1: of a new one. */
void unit_set_limits(json_t *properties, const struct plan *p, int dir_fd);
/* "NAME=VALUE" as below, without what is in front. */
int unit_set_property(json_t *properties, const char *text, struct err *e);
/* "org.systemd.property.NAME=VALUE", in GVariant text; NAMESec in seconds becomes NAMEUSec. Not
 * allowed: those that choose processes or the place in the tree. -EINVAL names the annotation. */
int unit_set_annotations(json_t *properties, char *const *annotations, struct err *e);
