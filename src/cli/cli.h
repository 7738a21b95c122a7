/* cli - what the verbs of rootlet share: settings, printing, the hand-over to other programs. */
#pragma once

#include <stdio.h>

#include "base/err.h"
#include "base/opt.h"
#include "conf/conf.h"
#include "container/container.h"

/* The settings of this run, loaded once in main before a verb runs. */
const struct conf *cli_conf(void);
/* --trace-stages was given. */
bool cli_trace(void);

/* "Error: MESSAGE" and "hint: HINT" on stderr, control characters escaped. */
void cli_print_err(const struct err *e);
/* A notice for the user on stderr ("rootlet: TEXT"); text may be NULL. */
void cli_notice(const char *text);

/* Replaces this process by another program of ours (rootlet-image) with our settings in its
 * environment. Returns only on failure. */
int cli_exec_program(const char *name, char *const *argv, struct err *e);

/* Runs fn for each named container (or the latest one with latest), goes on after errors, prints
 * each error but the last, which is returned in e; the worst exit status wins. */
typedef int cli_each_fn(struct container *c, const char *typed, void *data, struct err *e);
int cli_each(char **names, bool latest, cli_each_fn *fn, void *data, struct err *e);

/* For work that waits: begin for all containers at once, in processes of their own that print
 * nothing; then end, here, in the order of the names, with what begin has returned (>= 0). */
typedef int cli_end_fn(const char *id, const char *typed, int begun, void *data, struct err *e);
struct cli_parts {
    cli_each_fn *begin;
    cli_end_fn *end;
    void *data;
    /* For a name that there is no container of: < 0 is an error, as without it. NULL: none. In its
     * place among the others. */
    int (*missing)(const char *typed, void *data, struct err *e);
};
int cli_each_at_once(char **names, const struct cli_parts *p, struct err *e);

/* Removes a container; force ends a running one first. rm.c */
int cli_remove(struct container *c, bool force, bool volumes, struct err *e);

/* The commands of our other programs without their options, for the overview; an array that a NULL
 * name ends, or NULL. It points into *ret_text; the caller frees both. help.c */
struct cmd *cli_image_commands(char **ret_text);

/* The whole command line of this process, for inspect, without the password of --creds; owned.
 * args: what follows the options, which is the container's. run.c */
char **cli_command_line(char *const *args);

/* -ENOSYS with what to do instead when argv names a command of docker or podman that is not there
 * yet ("pull", "container prune"), else 0. later.c */
int cli_later(char **argv, struct err *e);
/* Published ports in one text, neighbours as ranges: "0.0.0.0:80-82->80-82/tcp, ...". Owned. */
char *cli_ports_text(char *const *ports);
/* Of a member that has its pod's network: opens the pod's container, whose ports and addresses it
 * has. port.c */
bool cli_network_owner(const struct container *c, struct container *ret);

/* Commands by file; each table ends with a NULL name. */
extern const struct cmd cli_run_cmds[];          /* run create */
extern const struct cmd cli_start_cmds[];        /* start attach */
extern const struct cmd cli_stop_cmds[];         /* stop kill restart */
extern const struct cmd cli_wait_cmds[];         /* wait */
extern const struct cmd cli_pause_cmds[];        /* pause unpause */
extern const struct cmd cli_rm_cmds[];           /* rm delete rename */
extern const struct cmd cli_exec_cmds[];         /* exec */
extern const struct cmd cli_cp_cmds[];           /* cp */
extern const struct cmd cli_prune_cmds[];        /* container prune exists, pod prune */
extern const struct cmd cli_ps_cmds[];           /* ps list */
extern const struct cmd cli_inspect_cmds[];      /* inspect */
extern const struct cmd cli_diff_cmds[];         /* diff */
extern const struct cmd cli_commit_cmds[];       /* commit */
extern const struct cmd cli_export_cmds[];       /* export */
extern const struct cmd cli_logs_cmds[];         /* logs */
extern const struct cmd cli_image_cmds[];        /* images; the others are rootlet-image's */
extern const struct cmd cli_system_prune_cmds[]; /* system prune */
extern const struct cmd cli_reset_cmds[];        /* system reset */
extern const struct cmd cli_unshare_cmds[];      /* unshare */
extern const struct cmd cli_df_cmds[];           /* system df */
extern const struct cmd cli_system_cmds[];       /* info version spec */
extern const struct cmd cli_doctor_cmds[];       /* doctor */
extern const struct cmd cli_why_cmds[];          /* why */
extern const struct cmd cli_update_cmds[];       /* update */
extern const struct cmd cli_healthcheck_cmds[];  /* healthcheck run */
extern const struct cmd cli_events_cmds[];       /* events */
extern const struct cmd cli_stats_cmds[];        /* stats */
extern const struct cmd cli_mount_cmds[];        /* mount add rm ls */
extern const struct cmd cli_top_cmds[];          /* top, pod top */
extern const struct cmd cli_port_cmds[];         /* port */
extern const struct cmd cli_port_change_cmds[];  /* port add rm */

extern const struct cmd cli_network_cmds[];         /* network create exists */
extern const struct cmd cli_network_rm_cmds[];      /* network rm prune */
extern const struct cmd cli_network_ls_cmds[];      /* network ls inspect */
extern const struct cmd cli_network_connect_cmds[]; /* network connect disconnect */
extern const struct cmd cli_network_update_cmds[];

extern const struct cmd cli_volume_cmds[];        /* volume create rm prune exists */
extern const struct cmd cli_volume_ls_cmds[];     /* volume ls inspect */
extern const struct cmd cli_quadlet_cmds[];       /* quadlet check, print, keys */
extern const struct cmd cli_quadlet_files_cmds[]; /* quadlet install, rm */
extern const struct cmd cli_quadlet_list_cmds[];  /* quadlet list */
extern const struct cmd cli_generate_cmds[];      /* generate systemd */
extern const struct cmd cli_auto_update_cmds[];   /* auto-update */
extern const struct cmd cli_pod_cmds[];           /* pod start stop kill rm exists and others */
extern const struct cmd cli_pod_create_cmds[];    /* pod create */
extern const struct cmd cli_pod_ls_cmds[];        /* pod ps inspect */
