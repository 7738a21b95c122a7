/* validate-seccomp - names of actions, operators and machines in a seccomp section. seccomp(2) */
#include <errno.h>
#include <stdio.h>

#include "base/str.h"
#include "spec/names.h"
#include "spec/tables.h"

const char *const spec_seccomp_actions[] = {
    "SCMP_ACT_KILL",        "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_KILL_THREAD", "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",       "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",       "SCMP_ACT_LOG",
    "SCMP_ACT_NOTIFY",      NULL,
};
const char *const spec_seccomp_operators[] = {
    "SCMP_CMP_NE", "SCMP_CMP_LT", "SCMP_CMP_LE",        "SCMP_CMP_EQ",
    "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_MASKED_EQ", NULL,
};
const char *const spec_seccomp_arches[] = {
    "X86",    "X86_64",    "X32",    "ARM",      "AARCH64",     "LOONGARCH64", "M68K",    "MIPS",
    "MIPS64", "MIPS64N32", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC",         "PPC64",   "PPC64LE",
    "S390",   "S390X",     "SH",     "SHEB",     "PARISC",      "PARISC64",    "RISCV64", NULL,
};
const char *const spec_seccomp_flags[] = {
    "SECCOMP_FILTER_FLAG_TSYNC",
    "SECCOMP_FILTER_FLAG_LOG",
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW",
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
    NULL,
};

/* An errno makes sense with two actions only, and both pass 16 bits of it, of which libseccomp
 * takes less than MAX_ERRNO (4095) as an error. */
static int check_action(const char *action, const uint32_t *errno_ret, const char *at,
                        bool is_default, struct err *e)
{
    const char *errno_name = is_default ? "defaultErrnoRet" : "errnoRet";
    if (!spec_known(spec_seccomp_actions, action))
        return err_msg(e, EINVAL, "%s%s: \"%s\" is no action", at,
                       is_default ? "defaultAction" : "action", action);
    if (!errno_ret)
        return 0;
    bool is_errno = streq(action, "SCMP_ACT_ERRNO");
    if (!is_errno && !streq(action, "SCMP_ACT_TRACE"))
        return err_msg(e, EINVAL, "%s%s: %s takes no error number", at, errno_name, action);
    uint32_t max = is_errno ? 4094 : 65535;
    if (*errno_ret > max)
        return err_msg(e, EINVAL, "%s%s: want an integer from 0 to %u", at, errno_name, max);
    return 0;
}

static int check_lists(const struct spec_seccomp *s, const char *at, struct err *e)
{
    for (size_t i = 0; s->architectures && s->architectures[i]; i++) {
        const char *bare = str_after(s->architectures[i], "SCMP_ARCH_");
        if (!bare || !spec_known(spec_seccomp_arches, bare))
            return err_msg(e, EINVAL, "%sarchitectures[%zu]: \"%s\" is no architecture", at, i,
                           s->architectures[i]);
    }
    for (size_t i = 0; s->flags && s->flags[i]; i++)
        if (!spec_known(spec_seccomp_flags, s->flags[i]))
            return err_msg(e, EINVAL, "%sflags[%zu]: \"%s\" is no flag", at, i, s->flags[i]);
    return 0;
}

static int check_rule(const struct spec_seccomp_rule *rule, const char *at, struct err *e)
{
    if (!rule->names || !rule->names[0])
        return err_msg(e, EINVAL, "%snames: want at least one system call", at);
    for (size_t i = 0; rule->names[i]; i++)
        if (!rule->names[i][0])
            return err_msg(e, EINVAL, "%snames[%zu]: is empty", at, i);
    for (size_t i = 0; i < rule->n_args; i++) {
        const struct spec_seccomp_arg *a = &rule->args[i];
        if (a->index > 5)
            return err_msg(e, EINVAL, "%sargs[%zu].index: want an integer from 0 to 5", at, i);
        if (!spec_known(spec_seccomp_operators, a->op))
            return err_msg(e, EINVAL, "%sargs[%zu].op: \"%s\" is no operator", at, i, a->op);
    }
    return check_action(rule->action, rule->has_errno_ret ? &rule->errno_ret : NULL, at, false, e);
}

static int check_rules(const struct spec_seccomp *s, const char *at, bool has_listener,
                       struct err *e)
{
    for (size_t i = 0; i < s->n_syscalls; i++) {
        char rule_at[128];
        snprintf(rule_at, sizeof(rule_at), "%ssyscalls[%zu].", at, i);
        int r = check_rule(&s->syscalls[i], rule_at, e);
        if (r < 0)
            return r;
        if (streq(s->syscalls[i].action, "SCMP_ACT_NOTIFY") && !has_listener)
            return err_msg(e, EINVAL, "%saction: SCMP_ACT_NOTIFY needs listenerPath", rule_at);
    }
    return 0;
}

int spec_seccomp_validate(const struct spec_seccomp *s, const char *path, struct err *e)
{
    char at[80];
    snprintf(at, sizeof(at), "%s%s", path, *path ? "." : "");
    int r = check_action(s->default_action, s->has_default_errno_ret ? &s->default_errno_ret : NULL,
                         at, true, e);
    if (r == 0)
        r = check_lists(s, at, e);
    if (r < 0)
        return r;
    bool has_listener = s->listener_path && *s->listener_path;
    if (s->listener_metadata && *s->listener_metadata && !has_listener)
        return err_msg(e, EINVAL, "%slistenerMetadata: needs listenerPath", at);
    if (has_listener && s->listener_path[0] != '/')
        return err_msg(e, EINVAL, "%slistenerPath: want an absolute path", at);
    /* The runtime's own calls after the filter is loaded would wait for an answer for ever. */
    if (streq(s->default_action, "SCMP_ACT_NOTIFY"))
        return err_msg(e, EINVAL, "%sdefaultAction: SCMP_ACT_NOTIFY is for single calls", at);
    return check_rules(s, at, has_listener, e);
}
