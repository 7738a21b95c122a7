/* secopt - the values of --security-opt, gathered into one struct: a pure parser. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

enum secopt_seccomp {
    SECOPT_SECCOMP_BUILTIN,    /* name in seccomp_name */
    SECOPT_SECCOMP_FILE,       /* path in seccomp_name, as given (relative to the caller) */
    SECOPT_SECCOMP_UNCONFINED, /* no filter */
};

enum secopt_default { /* seccomp-default=: replaces the profile's default action */
                      SECOPT_DEFAULT_PROFILE, /* as the profile says */
                      SECOPT_DEFAULT_ERRNO,
                      SECOPT_DEFAULT_LOG,   /* run the call, kernel log names it (needs the right to
                                               read that log) */
                      SECOPT_DEFAULT_LEARN, /* run the call, the supervisor names it (seccomp user
                                               notification) */
                      SECOPT_DEFAULT_TRAP,  /* SIGSYS that the program may catch */
                      SECOPT_DEFAULT_KILL_PROCESS,
};

struct secopt {
    enum secopt_seccomp seccomp;
    bool seccomp_given;
    char *seccomp_name; /* owned; NULL with SECOPT_SECCOMP_BUILTIN: "default" */
    enum secopt_default seccomp_default;
    int no_new_privs; /* -1: not said, 0, 1 */
    char *apparmor;   /* owned; profile name or "unconfined"; NULL: not said */
    bool label_disable, label_nested;
    char *label_user, *label_role, *label_type, *label_level, *label_filetype; /* owned */
    char **mask, **unmask; /* owned; absolute paths, in unmask globs too */
    bool unmask_all;
    char **proc_opts; /* owned; "hidepid=2" "subset=pid" */
};
/* no_new_privs starts as "not said", hence not all zero. */
#define SECOPT_INIT                                                                                \
    {                                                                                              \
        .no_new_privs = -1                                                                         \
    }

/* Adds one option: seccomp=unconfined|default|minimal|nested|FILE, seccomp-default=ACTION,
 * no-new-privileges[=BOOL], apparmor=PROFILE, label=disable|nested|user:U|role:R|type:T|level:L|
 * filetype:F, mask=PATH[:PATH...], unmask=ALL|PATH[:PATH...], proc-opts=OPT[,OPT...],
 * systempaths=unconfined. Docker's old form with a colon (label:disable) is taken too. The last one
 * wins, lists grow. -EINVAL with the known names; o is as before then. */
int secopt_add(struct secopt *o, const char *text, struct err *e);
/* All of a NULL-terminated list. */
int secopt_parse(char *const *list, struct secopt *ret, struct err *e);
/* "errno", "log", "notify", "trap", "kill-process" as rootlet-seccomp --default-action takes it;
 * NULL for SECOPT_DEFAULT_PROFILE. */
const char *secopt_default_name(enum secopt_default d);
/* Does a list ask for seccomp-default=learn? */
bool secopt_learns(char *const *list);
void secopt_release(struct secopt *o);
