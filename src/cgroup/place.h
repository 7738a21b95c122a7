/* place - where in the hierarchy groups can be made: in a delegated unit, or below a delegated
 * group; and whether there is a manager that makes them. All by looking, nothing is changed. */
#pragma once

#include <stdbool.h>

/* The unit that the group own ("/a/b") belongs to, if it is delegated to us (user.delegate, which
 * the system's manager sets for Delegate=); owned, NULL: there is none. asked: the user says that
 * it is to be used: a scope will do then, and one of the user's manager, which sets no mark. own
 * may be a group below the unit's: its DelegateSubgroup=, or our leaf. */
char *place_unit(const char *own, bool asked);
/* Without a unit: the parent of own or, where that is not ours, own itself. Owned; NULL: neither
 * can be written. */
char *place_group(const char *own);
/* Is there a systemd to ask: the user's, or for root the system's? */
bool place_manager(void);
/* The directory of the user's runtime files that holds the manager's socket: $XDG_RUNTIME_DIR, or
 * where a login would have put it (shells of su and sudo). Owned; NULL: neither has one. */
char *place_runtime_dir(void);
/* The group of the user's manager, "/user.slice/.../user@UID.service", for root "/". Owned. */
char *place_manager_group(const char *own);
/* Is the group there, and may we make groups and move processes in it? */
bool place_writable(const char *group);
