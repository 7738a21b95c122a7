#include "security/profile.h"

#include <ctype.h>
#include <errno.h>
#include <seccomp.h>
#include <string.h>
#include <strings.h>
#include <sys/utsname.h>

#include "base/str.h"
#include "base/strv.h"
#include "security/caps.h"

/* Index is enum scmp_compare. */
static const char *const op_names[] = {"SCMP_CMP_INVALID", "SCMP_CMP_NE",        "SCMP_CMP_LT",
                                       "SCMP_CMP_LE",      "SCMP_CMP_EQ",        "SCMP_CMP_GE",
                                       "SCMP_CMP_GT",      "SCMP_CMP_MASKED_EQ", NULL};

static const struct {
    const char *name;
    enum profile_action action;
} actions[] = {
    {"KILL", PROFILE_KILL_THREAD},
    {"KILL_THREAD", PROFILE_KILL_THREAD},
    {"KILL_PROCESS", PROFILE_KILL_PROCESS},
    {"TRAP", PROFILE_TRAP},
    {"ERRNO", PROFILE_ERRNO},
    {"TRACE", PROFILE_TRACE},
    {"ALLOW", PROFILE_ALLOW},
    {"LOG", PROFILE_LOG},
    {"NOTIFY", PROFILE_NOTIFY},
};

static const struct jfield arg_fields[] = {
    {"index", J_UINT32, offsetof(struct profile_arg, index), .flags = JF_REQUIRED},
    {"value", J_UINT64, offsetof(struct profile_arg, value), .flags = JF_REQUIRED},
    {"valueTwo", J_UINT64, offsetof(struct profile_arg, value_two), .flags = JF_NULL_OK},
    {"op", J_ENUM, offsetof(struct profile_arg, op), .flags = JF_REQUIRED, .names = op_names},
    {"", J_EXTRA, offsetof(struct profile_arg, extra)},
    {0},
};

static const struct jfield when_fields[] = {
    {"caps", J_STRV, offsetof(struct profile_when, caps), .flags = JF_NULL_OK},
    {"arches", J_STRV, offsetof(struct profile_when, arches), .flags = JF_NULL_OK},
    {"minKernel", J_STRING, offsetof(struct profile_when, min_kernel), .flags = JF_NULL_OK},
    {"", J_EXTRA, offsetof(struct profile_when, extra)},
    {0},
};

static const struct jfield rule_fields[] = {
    {"name", J_STRING, offsetof(struct profile_rule, name), .flags = JF_NULL_OK},
    {"names", J_STRV, offsetof(struct profile_rule, names), .flags = JF_NULL_OK},
    {"action", J_STRING, offsetof(struct profile_rule, action_name), .flags = JF_REQUIRED},
    {"errnoRet", J_UINT32, offsetof(struct profile_rule, errno_ret), .flags = JF_NULL_OK,
     .set_offset = offsetof(struct profile_rule, has_errno)},
    {"errno", J_STRING, offsetof(struct profile_rule, errno_name), .flags = JF_NULL_OK},
    {"args", J_ARRAY, offsetof(struct profile_rule, args), .flags = JF_NULL_OK, .sub = arg_fields,
     .sub_size = sizeof(struct profile_arg), .count_offset = offsetof(struct profile_rule, n_args)},
    {"comment", J_STRING, offsetof(struct profile_rule, comment), .flags = JF_NULL_OK},
    {"includes", J_POINTER, offsetof(struct profile_rule, includes), .flags = JF_NULL_OK,
     .sub = when_fields, .sub_size = sizeof(struct profile_when)},
    {"excludes", J_POINTER, offsetof(struct profile_rule, excludes), .flags = JF_NULL_OK,
     .sub = when_fields, .sub_size = sizeof(struct profile_when)},
    {"", J_EXTRA, offsetof(struct profile_rule, extra)},
    {0},
};

static const struct jfield arch_fields[] = {
    {"architecture", J_STRING, offsetof(struct profile_arch, architecture), .flags = JF_REQUIRED},
    {"subArchitectures", J_STRV, offsetof(struct profile_arch, sub), .flags = JF_NULL_OK},
    {"", J_EXTRA, offsetof(struct profile_arch, extra)},
    {0},
};

static const struct jfield profile_fields[] = {
    {"defaultAction", J_STRING, offsetof(struct profile, default_name), .flags = JF_REQUIRED},
    {"defaultErrnoRet", J_UINT32, offsetof(struct profile, default_errno), .flags = JF_NULL_OK,
     .set_offset = offsetof(struct profile, has_default_errno)},
    {"defaultErrno", J_STRING, offsetof(struct profile, default_errno_name), .flags = JF_NULL_OK},
    {"architectures", J_STRV, offsetof(struct profile, architectures), .flags = JF_NULL_OK},
    {"archMap", J_ARRAY, offsetof(struct profile, arch_map), .flags = JF_NULL_OK,
     .sub = arch_fields, .sub_size = sizeof(struct profile_arch),
     .count_offset = offsetof(struct profile, n_arch_map)},
    {"flags", J_STRV, offsetof(struct profile, flags), .flags = JF_NULL_OK},
    {"listenerPath", J_STRING, offsetof(struct profile, listener_path), .flags = JF_NULL_OK},
    {"listenerMetadata", J_STRING, offsetof(struct profile, listener_metadata),
     .flags = JF_NULL_OK},
    {"syscalls", J_ARRAY, offsetof(struct profile, rules), .flags = JF_NULL_OK, .sub = rule_fields,
     .sub_size = sizeof(struct profile_rule), .count_offset = offsetof(struct profile, n_rules)},
    {"", J_EXTRA, offsetof(struct profile, extra)},
    {0},
};

int profile_action_parse(const char *name, enum profile_action *ret, struct err *e)
{
    const char *rest = str_after(name, "SCMP_ACT_");
    scoped_free char *upper = xstrdup(rest ? rest : name);
    for (char *p = upper; *p; p++)
        *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
    for (size_t i = 0; i < N_ELEMENTS(actions); i++) {
        if (streq(upper, actions[i].name)) {
            *ret = actions[i].action;
            return 0;
        }
    }
    return err_msg(e, EINVAL,
                   "unknown action %s (there are SCMP_ACT_KILL, KILL_THREAD, KILL_PROCESS, TRAP, "
                   "ERRNO, TRACE, ALLOW, LOG, NOTIFY)",
                   name);
}

/* The number that goes with an errno or trace action: given as number, else by name, else EPERM. */
static int fix_errno(const char *path, const char *name, bool given, uint32_t *value, struct err *e)
{
    if (given && *value > 0xffff)
        return err_msg(e, EINVAL, "%s: %u is no error number", path, *value);
    if (given)
        return 0;
    *value = EPERM;
    if (!name || !*name)
        return 0;
    for (int i = 1; i < 200; i++) {
        const char *known = strerrorname_np(i);
        if (known && streq(known, name)) {
            *value = (uint32_t)i;
            return 0;
        }
    }
    return err_msg(e, EINVAL, "%s: %s is no error's name", path, name);
}

static void warn_extra(const json_t *extra, char ***warnings, const char *fmt, size_t i, size_t k)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)extra, key, value)
    {
        scoped_str struct str path = STR_INIT;
        /* One of four fixed formats, each with at most two numbers. */
        if (streq(fmt, "rule"))
            str_addf(&path, "syscalls[%zu].", i);
        else if (streq(fmt, "arg"))
            str_addf(&path, "syscalls[%zu].args[%zu].", i, k);
        else if (streq(fmt, "arch"))
            str_addf(&path, "archMap[%zu].", i);
        else if (*fmt)
            str_addf(&path, "syscalls[%zu].%s.", i, fmt);
        strv_addf(warnings, "%s%s: unknown key", path.s, key);
    }
}

static void warn_rule(const struct profile_rule *r, size_t i, char ***warnings)
{
    warn_extra(r->extra, warnings, "rule", i, 0);
    if (r->includes)
        warn_extra(r->includes->extra, warnings, "includes", i, 0);
    if (r->excludes)
        warn_extra(r->excludes->extra, warnings, "excludes", i, 0);
    for (size_t k = 0; k < r->n_args; k++)
        warn_extra(r->args[k].extra, warnings, "arg", i, k);
    if (r->n_args == 0 && strv_len(r->names) == 0)
        strv_addf(warnings, "syscalls[%zu]: names no system call", i);
    for (char **n = r->names; n && *n; n++) {
        if (profile_syscall_nr(*n) == -1)
            strv_addf(warnings, "syscalls[%zu].names: unknown system call %s", i, *n);
    }
}

static int check_when(const struct profile_when *w, const char *path, struct err *e)
{
    unsigned major = 0, minor = 0;
    for (char **c = w ? w->caps : NULL; c && *c; c++) {
        if (cap_parse(*c) < 0)
            return err_msg(e, EINVAL, "%s.caps: unknown capability %s", path, *c);
    }
    if (w && w->min_kernel && sscanf(w->min_kernel, "%u.%u", &major, &minor) != 2)
        return err_msg(e, EINVAL, "%s.minKernel: want VERSION.PATCHLEVEL", path);
    return 0;
}

static int finish_rule(struct profile_rule *r, size_t i, struct err *e)
{
    scoped_free char *path = xasprintf("syscalls[%zu]", i);
    scoped_free char *includes = xasprintf("%s.includes", path);
    scoped_free char *excludes = xasprintf("%s.excludes", path);

    if (r->name && *r->name)
        strv_add(&r->names, r->name);
    int ret = profile_action_parse(r->action_name, &r->action, e);
    if (ret < 0)
        return err_add(e, ret, "%s.action", path);
    ret = fix_errno(path, r->errno_name, r->has_errno, &r->errno_ret, e);
    if (ret < 0 || (ret = check_when(r->includes, includes, e)) < 0 ||
        (ret = check_when(r->excludes, excludes, e)) < 0)
        return ret;
    for (size_t k = 0; k < r->n_args; k++) {
        if (r->args[k].index > 5)
            return err_msg(e, EINVAL, "%s.args[%zu].index: want 0 to 5", path, k);
        if (r->args[k].op == 0)
            return err_msg(e, EINVAL, "%s.args[%zu].op: SCMP_CMP_INVALID", path, k);
    }
    return 0;
}

static int finish(struct profile *p, char ***warnings, struct err *e)
{
    int r = profile_action_parse(p->default_name, &p->default_action, e);
    if (r < 0)
        return err_add(e, r, "defaultAction");
    r = fix_errno("defaultErrnoRet", p->default_errno_name, p->has_default_errno, &p->default_errno,
                  e);
    if (r < 0)
        return r;
    if (p->architectures && p->n_arch_map > 0)
        return err_msg(e, EINVAL, "architectures and archMap: only one of them may be given");
    for (size_t i = 0; i < p->n_rules; i++) {
        r = finish_rule(&p->rules[i], i, e);
        if (r < 0)
            return r;
    }
    if (!warnings)
        return 0;
    warn_extra(p->extra, warnings, "", 0, 0);
    for (size_t i = 0; i < p->n_arch_map; i++)
        warn_extra(p->arch_map[i].extra, warnings, "arch", i, 0);
    for (size_t i = 0; i < p->n_rules; i++)
        warn_rule(&p->rules[i], i, warnings);
    return 0;
}

int profile_parse(const json_t *doc, struct profile *ret, char ***warnings, struct err *e)
{
    struct profile p = {0};
    const char *path = "";
    const json_t *in_spec = json_object_get(json_object_get(doc, "linux"), "seccomp");
    if (in_spec) {
        doc = in_spec;
        path = "linux.seccomp";
    } else if (json_object_get(doc, "ociVersion")) {
        return err_msg(e, EINVAL, "linux.seccomp: missing");
    }
    int r = jfield_parse(doc, profile_fields, path, &p, e);
    if (r < 0)
        return r;
    r = finish(&p, warnings, e);
    if (r < 0) {
        profile_release(&p);
        return r;
    }
    *ret = p;
    return 0;
}

void profile_release(struct profile *p)
{
    jfield_release(profile_fields, p);
}

/* A pseudo capability set: -1 in caps means unknown names, which check_when refused. */
static bool has_cap(const struct profile_target *t, const char *name)
{
    int cap = cap_parse(name);
    return cap >= 0 && (t->caps & (UINT64_C(1) << cap));
}

/* docker writes Go's names for architectures ("amd64"), others libseccomp's ("x86_64"). */
static bool has_arch(const struct profile_target *t, char *const *arches)
{
    static const char *const native[] = {
#if defined(__x86_64__)
        "amd64",
        "x86_64",
        "SCMP_ARCH_X86_64",
#elif defined(__aarch64__)
        "arm64",
        "aarch64",
        "SCMP_ARCH_AARCH64",
#endif
        NULL
    };
    for (; arches && *arches; arches++) {
        for (const char *const *n = native; *n; n++) {
            if (strcasecmp(*arches, *n) == 0)
                return true;
        }
        for (char *const *m = t->more_arches; m && *m; m++) {
            const char *rest = str_after(*m, "SCMP_ARCH_");
            if (strcasecmp(*arches, rest ? rest : *m) == 0)
                return true;
        }
    }
    return false;
}

static bool kernel_at_least(const struct profile_target *t, const char *want)
{
    struct utsname u;
    unsigned have_major = 0, have_minor = 0, major = 0, minor = 0;
    const char *have = t->kernel;
    if (!have)
        have = uname(&u) == 0 ? u.release : "0.0";
    sscanf(have, "%u.%u", &have_major, &have_minor);
    sscanf(want, "%u.%u", &major, &minor);
    return have_major > major || (have_major == major && have_minor >= minor);
}

bool profile_rule_counts(const struct profile_rule *r, const struct profile_target *t)
{
    const struct profile_when *in = r->includes, *ex = r->excludes;
    if (in) {
        for (char **c = in->caps; c && *c; c++) {
            if (!has_cap(t, *c))
                return false;
        }
        if (in->arches && *in->arches && !has_arch(t, in->arches))
            return false;
        if (in->min_kernel && !kernel_at_least(t, in->min_kernel))
            return false;
    }
    if (ex) {
        for (char **c = ex->caps; c && *c; c++) {
            if (has_cap(t, *c))
                return false;
        }
        if (has_arch(t, ex->arches))
            return false;
        if (ex->min_kernel && kernel_at_least(t, ex->min_kernel))
            return false;
    }
    return true;
}

uint64_t profile_mentions(const struct profile *p)
{
    uint64_t mask = 0;
    for (size_t i = 0; i < p->n_rules; i++) {
        const struct profile_when *w[] = {p->rules[i].includes, p->rules[i].excludes};
        for (size_t k = 0; k < N_ELEMENTS(w); k++) {
            for (char **c = w[k] ? w[k]->caps : NULL; c && *c; c++)
                mask |= UINT64_C(1) << cap_parse(*c);
        }
    }
    return mask;
}
