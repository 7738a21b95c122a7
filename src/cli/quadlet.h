/* quadlet - what the verbs of rootlet quadlet share. */
#pragma once

#include "cli/cli.h"
#include "quadlet/load.h"

/* All files that the generator would take, then those of further directories. s->program is owned
 * by *ret_program, the directories by dirs. */
void cli_quadlet_load(struct quadlet_set *s, char *const *further, struct quadlet_dirs *dirs,
                      char **ret_program);
/* Translates a file and asks what run says of its options; its problems tell. */
void cli_quadlet_check(const struct quadlet_set *s, struct quadlet_file *f, struct str *out);
/* Prints the problems of a file, "error: FILE:LINE: ...", those of at least a severity. */
void cli_quadlet_tell(const struct quadlet_file *f, enum quadlet_severity least);
/* daemon-reload where a user's systemd runs, else a notice what to do. */
void cli_quadlet_reload(void);
/* The answer of systemctl --user with these words, or NULL; owned. */
char *cli_systemctl(char *const *words);
