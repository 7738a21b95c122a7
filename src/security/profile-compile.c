/* The half of profile.h that drives libseccomp. Only the machine's own architecture is compiled
 * for (plus what a profile or caller adds, as x86 beside x86_64): building rootlet for another
 * machine would need a gen-seccomp that is told the target, which libseccomp can but we do not. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <strings.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "security/bpf.h"
#include "security/profile.h"
#include "security/seccomp.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* 5.19 */
#endif

/* Calls younger than Debian 12's libseccomp. They have one number on all architectures. */
static const struct {
    const char *name;
    int nr;
} newer[] = {
    {"cachestat", 451},         {"fchmodat2", 452},        {"map_shadow_stack", 453},
    {"futex_wake", 454},        {"futex_wait", 455},       {"futex_requeue", 456},
    {"statmount", 457},         {"listmount", 458},        {"lsm_get_self_attr", 459},
    {"lsm_set_self_attr", 460}, {"lsm_list_modules", 461}, {"mseal", 462},
    {"setxattrat", 463},        {"getxattrat", 464},       {"listxattrat", 465},
    {"removexattrat", 466},     {"open_tree_attr", 467},   {"file_getattr", 468},
    {"file_setattr", 469},
};

int profile_syscall_nr(const char *name)
{
    int nr = seccomp_syscall_resolve_name(name);
    if (nr != __NR_SCMP_ERROR)
        return nr;
    for (size_t i = 0; i < N_ELEMENTS(newer); i++) {
        if (streq(name, newer[i].name))
            return newer[i].nr;
    }
    return -1;
}

const char *profile_newer_name(int nr)
{
    for (size_t i = 0; i < N_ELEMENTS(newer); i++) {
        if (newer[i].nr == nr)
            return newer[i].name;
    }
    return NULL;
}

static uint32_t action_value(enum profile_action a, uint32_t number)
{
    switch (a) {
    case PROFILE_KILL_THREAD:
        return SCMP_ACT_KILL_THREAD;
    case PROFILE_KILL_PROCESS:
        return SCMP_ACT_KILL_PROCESS;
    case PROFILE_TRAP:
        return SCMP_ACT_TRAP;
    case PROFILE_ERRNO:
        return SCMP_ACT_ERRNO(number);
    case PROFILE_TRACE:
        return SCMP_ACT_TRACE(number);
    case PROFILE_LOG:
        return SCMP_ACT_LOG;
    case PROFILE_NOTIFY:
        return SCMP_ACT_NOTIFY;
    case PROFILE_ALLOW:
        break;
    }
    return SCMP_ACT_ALLOW;
}

static uint32_t default_value(const struct profile *p, const struct profile_target *t)
{
    if (t->replace_default)
        return action_value(t->default_action,
                            p->default_action == PROFILE_ERRNO ? p->default_errno : ENOSYS);
    return action_value(p->default_action, p->default_errno);
}

/* ---- one rule ------------------------------------------------------------------------------- */

struct compiler {
    scmp_filter_ctx ctx;
    uint32_t deflt;
    bool secondary; /* for architectures beside the native one */
};

/* Adds one name with some of the conditions. */
static int add(const struct compiler *c, const char *name, uint32_t action,
               const struct scmp_arg_cmp *conditions, unsigned n, struct err *e)
{
    int nr = profile_syscall_nr(name);
    /* libseccomp finds the other architectures' number through the name, which it lacks here. */
    if (nr == -1 || (c->secondary && seccomp_syscall_resolve_name(name) == __NR_SCMP_ERROR))
        return 0;
    int r = seccomp_rule_add_array(c->ctx, action, nr, n, conditions);
    /* EDOM: there is no such call on any of the architectures. EEXIST: said twice. */
    if (r == 0 || r == -EDOM || r == -EEXIST)
        return 0;
    return err_set(e, -r, "libseccomp: rule for %s", name);
}

/* As runc and crun read it: when one argument occurs twice, every entry is an alternative of its
 * own; otherwise all must hold. */
static int add_rule(const struct compiler *c, const struct profile_rule *rule, struct err *e)
{
    struct scmp_arg_cmp all[6];
    bool seen[6] = {false}, alternatives = false;
    uint32_t action = action_value(rule->action, rule->errno_ret);

    if (action == c->deflt)
        return 0;
    for (size_t k = 0; k < rule->n_args; k++) {
        alternatives |= seen[rule->args[k].index];
        seen[rule->args[k].index] = true;
    }
    for (char **name = rule->names; name && *name; name++) {
        int r = 0;
        for (size_t k = 0; k < rule->n_args && r == 0; k++) {
            const struct profile_arg *a = &rule->args[k];
            struct scmp_arg_cmp cmp = {.arg = a->index,
                                       .op = (enum scmp_compare)a->op,
                                       .datum_a = a->value,
                                       .datum_b = a->value_two};
            if (alternatives)
                r = add(c, *name, action, &cmp, 1, e);
            else
                all[k] = cmp;
        }
        if (r == 0 && !alternatives)
            r = add(c, *name, action, all, (unsigned)rule->n_args, e);
        if (r < 0)
            return r;
    }
    return 0;
}

static int add_rules(const struct compiler *c, const struct profile *p,
                     const struct profile_target *t, struct err *e)
{
    for (size_t i = 0; i < p->n_rules; i++) {
        if (!profile_rule_counts(&p->rules[i], t))
            continue;
        int r = add_rule(c, &p->rules[i], e);
        if (r < 0)
            return err_add(e, r, "syscalls[%zu]", i);
    }
    return 0;
}

/* ---- architectures and flags ---------------------------------------------------------------- */

/* "SCMP_ARCH_X86_64", "x86_64", "amd64" or 0. */
static uint32_t arch_token(const char *name)
{
    const char *rest = str_after(name, "SCMP_ARCH_");
    scoped_free char *lower = xstrdup(rest ? rest : name);
    for (char *p = lower; *p; p++)
        *p = *p >= 'A' && *p <= 'Z' ? (char)(*p - 'A' + 'a') : *p;
    if (streq(lower, "386"))
        return SCMP_ARCH_X86;
    if (streq(lower, "amd64"))
        return SCMP_ARCH_X86_64;
    return seccomp_arch_resolve_name(lower);
}

/* Machines of the specification that Debian 12's libseccomp does not know. Their calls are those of
 * an architecture that the filter was not made for: never allowed. */
static bool is_younger_arch(const char *name)
{
    static const char *const younger[] = {"SCMP_ARCH_LOONGARCH64", "SCMP_ARCH_M68K", "SCMP_ARCH_SH",
                                          "SCMP_ARCH_SHEB"};
    for (size_t i = 0; i < N_ELEMENTS(younger); i++) {
        if (streq(name, younger[i]))
            return true;
    }
    return false;
}

static int add_arch(scmp_filter_ctx other, const char *name, bool *used, struct err *e)
{
    uint32_t token = arch_token(name);
    if (token == 0 && is_younger_arch(name))
        return 0;
    if (token == 0)
        return err_msg(e, EINVAL, "architecture %s: unknown", name);
    if (token == seccomp_arch_native())
        return 0;
    int r = seccomp_arch_add(other, token);
    if (r < 0 && r != -EEXIST)
        return err_set(e, -r, "libseccomp: architecture %s", name);
    *used = true;
    return 0;
}

/* Adds every architecture but the native one to `other`; *used says whether there was any. */
static int add_arches(scmp_filter_ctx other, const struct profile *p,
                      const struct profile_target *t, bool *used, struct err *e)
{
    int r = 0;
    for (char **a = p->architectures; r == 0 && a && *a; a++)
        r = add_arch(other, *a, used, e);
    for (size_t i = 0; r == 0 && i < p->n_arch_map; i++) {
        if (arch_token(p->arch_map[i].architecture) != seccomp_arch_native())
            continue;
        for (char **a = p->arch_map[i].sub; r == 0 && a && *a; a++)
            r = add_arch(other, *a, used, e);
    }
    for (char *const *a = t->more_arches; r == 0 && a && *a; a++)
        r = add_arch(other, *a, used, e);
    return r;
}

static int read_flags(char *const *flags, uint32_t *ret, struct err *e)
{
    static const struct {
        const char *name;
        uint32_t value;
    } known[] = {
        /* One thread loads the filter: nothing to synchronise. */
        {"SECCOMP_FILTER_FLAG_TSYNC", 0},
        {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
        {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV", SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV},
    };
    *ret = 0;
    for (; flags && *flags; flags++) {
        size_t i = 0;
        while (i < N_ELEMENTS(known) && !streq(*flags, known[i].name))
            i++;
        if (i == N_ELEMENTS(known))
            return err_msg(e, EINVAL, "flags: unknown flag %s", *flags);
        *ret |= known[i].value;
    }
    return 0;
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int export(scmp_filter_ctx ctx, bool one_arch, struct seccomp_prog *ret, struct err *e)
{
    scoped_fd int fd = memfd_create("seccomp", MFD_CLOEXEC);
    if (fd < 0)
        return err_set(e, errno, "memfd");
    int r = seccomp_export_bpf(ctx, fd);
    if (r < 0)
        return err_set(e, -r, "libseccomp: write the program");
    if (lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, errno, "memfd");

    char *text = NULL;
    ssize_t len = fs_read_fd(fd, BPF_MAXINSNS * sizeof(struct sock_filter), &text, e);
    if (len < 0)
        return err_add(e, (int)len, "seccomp program (at most %d instructions)", BPF_MAXINSNS);
    ret->insns = text;
    ret->n = (size_t)len / sizeof(struct sock_filter);
    if (!one_arch)
        return 0;

    size_t n = 0;
    /* AUDIT_ARCH_* is what libseccomp's token is. */
    void *shorter = bpf_bisect(ret->insns, ret->n, seccomp_arch_native(), &n);
    if (shorter) {
        free(ret->insns);
        ret->insns = shorter;
        ret->n = n;
    }
    return 0;
}

/* A fresh context with the answers for what no rule names. */
static scmp_filter_ctx new_context(uint32_t deflt)
{
    scmp_filter_ctx ctx = seccomp_init(deflt);
    if (!ctx)
        return NULL;
    /* Architectures that the filter does not know are no reason to kill where unknown calls are
     * none; a default that lets calls run must not let those. */
    uint32_t bad = SCMP_ACT_KILL_PROCESS;
    if ((deflt & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_ERRNO)
        bad = deflt;
    else if (deflt == SCMP_ACT_LOG || deflt == SCMP_ACT_NOTIFY)
        bad = SCMP_ACT_ERRNO(ENOSYS);
    if (seccomp_attr_set(ctx, SCMP_FLTATR_ACT_BADARCH, bad) < 0 ||
        seccomp_attr_set(ctx, SCMP_FLTATR_CTL_NNP, 0) < 0) {
        seccomp_release(ctx);
        return NULL;
    }
    return ctx;
}

static int compile(const struct profile *p, const struct profile_target *t, scmp_filter_ctx *ctx,
                   scmp_filter_ctx *other, struct seccomp_prog *ret, struct err *e)
{
    bool used = false;
    struct compiler c = {.ctx = *ctx, .deflt = default_value(p, t)};
    int r = add_rules(&c, p, t, e);
    if (r < 0)
        return r;
    r = seccomp_arch_remove(*other, SCMP_ARCH_NATIVE);
    if (r < 0)
        return err_set(e, -r, "libseccomp: remove the native architecture");
    r = add_arches(*other, p, t, &used, e);
    if (r < 0)
        return r;
    if (used) {
        c.ctx = *other;
        c.secondary = true;
        r = add_rules(&c, p, t, e);
        if (r < 0)
            return r;
        r = seccomp_merge(*ctx, *other);
        if (r < 0)
            return err_set(e, -r, "libseccomp: merge architectures");
        *other = NULL; /* merged away */
    }
    return export(*ctx, !used && !t->plain, ret, e);
}

int profile_compile(const struct profile *p, const struct profile_target *t,
                    struct seccomp_prog *ret, struct err *e)
{
    struct seccomp_prog prog = {0};
    int r = read_flags(p->flags, &prog.flags, e);
    if (r < 0)
        return r;
    /* What this machine's kernel can do is not the question; the one that loads it decides. */
    seccomp_api_set(6);

    uint32_t deflt = default_value(p, t);
    scmp_filter_ctx ctx = new_context(deflt), other = new_context(deflt);
    if (!ctx || !other)
        r = err_msg(e, EINVAL, "libseccomp: default action not usable here");
    else
        r = compile(p, t, &ctx, &other, &prog, e);
    if (ctx)
        seccomp_release(ctx);
    if (other)
        seccomp_release(other);
    if (r == 0)
        *ret = prog;
    else
        free(prog.insns);
    return r;
}
