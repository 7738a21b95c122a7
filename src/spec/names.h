/* names - the words of the specification that are known here, for who lists them (`features`). Each
 * list ends with NULL. */
#pragma once

extern const char *const spec_namespace_types[];   /* linux.namespaces[].type */
extern const char *const spec_hook_names[];        /* members of hooks */
extern const char *const spec_seccomp_actions[];   /* "SCMP_ACT_ALLOW" */
extern const char *const spec_seccomp_operators[]; /* "SCMP_CMP_EQ" */
extern const char *const spec_seccomp_arches[];    /* without "SCMP_ARCH_" */
extern const char *const spec_seccomp_flags[];     /* "SECCOMP_FILTER_FLAG_LOG" */
