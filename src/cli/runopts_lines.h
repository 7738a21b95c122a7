/* runopts_lines - how a line of the option tables of run, create and update is written.
 *
 * All three commands parse into struct run_opts, so a group of options (runopts_limits.h) is
 * written once. Only for files that make tables. */
#pragma once

#include <stddef.h>

#include "cli/runopts.h"

#define O(m) offsetof(struct run_opts, m)
#define FLAG(n, s, m, help)                                                                        \
    {                                                                                              \
        n, s, OPT_FLAG, O(m), NULL, help                                                           \
    }
#define TEXT(n, s, m, arg, help)                                                                   \
    {                                                                                              \
        n, s, OPT_STRING, O(m), arg, help                                                          \
    }
#define LIST(n, s, m, arg, help)                                                                   \
    {                                                                                              \
        n, s, OPT_STRV, O(m), arg, help                                                            \
    }
#define COMMAS(n, s, m, arg, help)                                                                 \
    {                                                                                              \
        n, s, OPT_COMMAS, O(m), arg, help                                                          \
    }
#define ALIAS(n, s, t, m, arg, of)                                                                 \
    {                                                                                              \
        n, s, t, O(m), arg, NULL, 0, of                                                            \
    }
#define IGNORED(n, t, m, arg, help)                                                                \
    {                                                                                              \
        n, 0, t, O(m), arg, help, OPT_IGNORED                                                      \
    }

#define NEVER(n, why)                                                                              \
    {                                                                                              \
        n, 0, OPT_STRING, 0, "X", why, OPT_LATER | OPT_NEVER                                       \
    }
#define LATER(n, instead)                                                                          \
    {                                                                                              \
        n, 0, OPT_STRING, 0, "X", instead, OPT_LATER                                               \
    }
