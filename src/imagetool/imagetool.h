/* imagetool - the commands of rootlet-image and rootlet-registry: whatever writes the image store.
 *
 * What speaks to a registry is a program of its own: libcurl and what it loads cost each start two
 * to three milliseconds, which load, tag, rmi and commit shall not pay. */
#pragma once

#include <stdio.h>

#include "base/opt.h"
#include "conf/conf.h"
#include "image/store.h"

extern const struct cmd *const imagetool_commands[]; /* commands.c or commands-registry.c */

/* Tables by file, each ended by an entry without a name. */
extern const struct cmd imagetool_load_cmds[], imagetool_import_cmds[], imagetool_save_cmds[];
extern const struct cmd imagetool_tag_cmds[], imagetool_rm_cmds[], imagetool_inspect_cmds[];
extern const struct cmd imagetool_check_cmds[], imagetool_prune_cmds[], imagetool_tar_cmds[];
extern const struct cmd imagetool_volume_cmds[], imagetool_pull_cmds[], imagetool_http_cmds[];
extern const struct cmd imagetool_push_cmds[], imagetool_copy_cmds[], imagetool_manifest_cmds[];
extern const struct cmd imagetool_login_cmds[], imagetool_search_cmds[];
extern const struct cmd imagetool_adopt_cmds[];
extern const struct cmd imagetool_build_cmds[], imagetool_commit_cmds[], imagetool_export_cmds[];

/* Each command reads the configuration itself (the environment carries rootlet's own view). */
#define scoped_conf SCOPED(conf_release)
/* --creds of the program of ours that started this one; NULL: none. */
extern const char *imagetool_creds;
/* "Error: ..." and the hint, control characters escaped. */
void imagetool_print_err(const struct err *e);
/* A name or text from an image to stdout or stderr, control characters escaped. */
void imagetool_print(FILE *f, const char *text);
