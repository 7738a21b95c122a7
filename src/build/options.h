/* options - the command line of rootlet build. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "base/opt.h"

struct build_opts {
    char **tags, *file, *target, **build_args, **build_arg_files, **labels, **annotations, **env;
    char **secrets, **contexts, **output, **pass;
    char *pull, *iidfile, *platform, *network, *progress, *format, *timestamp, *epoch, *ignorefile;
    char *logfile, *authfile, *creds, *cert_dir, *tls_verify, *os, *arch, *variant, *isolation;
    char *author, *retry, *retry_delay;
    bool no_cache, quiet, squash, squash_all, squash_ids, push, ignored;
};

extern const struct opt build_table[];
/* What does not fit together; and what the texts mean that need no more than themselves. */
int build_opts_check(const struct build_opts *o, struct err *e);
/* "id=x,src=y" -> the value of a key, owned, or NULL. */
char *build_opt_key(const char *text, const char *key);
