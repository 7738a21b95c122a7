/* conf - where rootlet keeps things, and the user's settings: flag > environment > file > built-in.
 *
 * Files: $XDG_CONFIG_HOME/rootlet/rootlet.conf, rootlet.conf.d, /etc/rootlet/rootlet.conf,
 * /usr/share/rootlet/rootlet.conf: lines "key = value", '#' comments, strings bare or in quotes. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/str.h"
#include "base/strv.h"

struct conf {
    char *root;     /* --root, ROOTLET_ROOT, $XDG_DATA_HOME/rootlet: persistent, 0700 */
    char *run_root; /* --runroot, ROOTLET_RUNROOT, $XDG_RUNTIME_DIR/rootlet (else
                       /tmp/rootlet-UID, verified owner and 0700): lost at logout */
    char *libexec;  /* directory of rootlet-supervise, -image, -init: ROOTLET_LIBEXEC, the directory
                       of our own binary when they lie there, else the installed one */
    char *cgroups;  /* "enabled" "disabled" ...; --cgroups, ROOTLET_CGROUPS, cgroups = */
    char *security_profile;  /* "default" "hardened" "minimal" */
    char *userns;            /* default for --userns */
    char *network;           /* default for --network; "auto": what this host can do */
    char *storage_driver;    /* "" = probe */
    char *log_driver;        /* "k8s-file" */
    char *detach_keys;       /* "ctrl-p,ctrl-q" */
    char *seccomp_profile;   /* "" = built-in */
    char *additional_stores; /* "DIR:DIR": stores of images that are only read */
    char **extra; /* "key=value" of settings other modules read (stop_timeout, pids_limit) */
};

/* Fills *ret. overrides: "key=value" of the global options, NULL-terminated. Does not create
 * directories. */
int conf_load(char *const *overrides, struct conf *ret, struct err *e);
void conf_release(struct conf *c);
/* libexec for programs that have no other settings, without reading any file; owned. */
char *conf_libexec(void);
/* Of an error that says that room is missing (ENOSPC, EDQUOT, EMFILE, EFBIG): where, and how much
 * there is. */
void conf_hint_room(const struct conf *c, struct err *e);
/* Opens (making it 0700) the directory SUB below root or run_root; "" is the directory itself. */
int conf_open_root(const struct conf *c, const char *sub, bool make, struct err *e);
int conf_open_run(const struct conf *c, const char *sub, bool make, struct err *e);
/* Is run_root the place in /tmp for who has no runtime directory? */
bool conf_run_is_makeshift(const struct conf *c);
/* Environment assignments that give a child program the same view (ROOTLET_ROOT=... ), appended. */
void conf_env(const struct conf *c, char ***env);
/* What --creds gave, for a child of ours: its command line would be for all users to read. NULL:
 * nothing. The child takes it at once, so that nothing it starts has it: owned, or NULL. */
void conf_env_creds(const char *creds, char ***env);
char *conf_take_creds(void);
