/* load - finds and reads the files: the directories of systemd.generator's users, in order. */
#pragma once

#include "quadlet/quadlet.h"

struct quadlet_dir {
    char *path;
    bool own; /* rootlet's own; else one that podman's generator reads as well */
};

/* A link that leads to a whole file system must not keep a session from coming up. */
#define QUADLET_DIRS_MAX 1000

struct quadlet_dirs {
    struct quadlet_dir *v;
    size_t n;
};

/* Where a user's files are, the first one of a name wins: $XDG_CONFIG_HOME/rootlet/systemd, then
 * podman's: $XDG_RUNTIME_DIR, $XDG_CONFIG_HOME, /etc/.../users/UID, /etc/.../users and those of
 * /usr/share, each .../containers/systemd; QUADLET_UNIT_DIRS replaces the latter. With their
 * sub-directories. */
void quadlet_dirs_default(struct quadlet_dirs *d);
/* A directory and those in it but for drop-ins ("*.d"). */
void quadlet_dirs_add(struct quadlet_dirs *d, const char *path, bool own);
/* A directory without those in it, as one of rootlet's own, whoever's it was. */
void quadlet_dirs_add_one(struct quadlet_dirs *d, const char *path);
void quadlet_dirs_release(struct quadlet_dirs *d);
/* $XDG_CONFIG_HOME/rootlet/systemd; owned. */
char *quadlet_own_dir(void);

/* Will podman's user generator run? It is in one of systemd's directories and not masked. */
bool quadlet_podman_generates(void);

/* Reads all files of the directories with their drop-ins into s. take says which of podman's
 * directories: "all", "own" (none), or "auto": those with a section [X-Rootlet], and all when
 * podman's generator is not there. Those that podman's makes too are marked shared. A file that
 * cannot be read is there with that problem. */
void quadlet_load(struct quadlet_set *s, const struct quadlet_dirs *d, const char *take);
/* Reads one file and its drop-ins; NULL when its name is not ours. */
struct quadlet_file *quadlet_load_file(struct quadlet_set *s, const char *path,
                                       const struct quadlet_dirs *d);
bool quadlet_path_exists(const char *path);

/* The program that the services run: rootlet beside our own binary (a build tree), else the
 * installed one. Owned. */
char *quadlet_program(void);
