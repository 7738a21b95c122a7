#include "security/secopt.h"

#include <errno.h>
#include <strings.h>

#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"

static const char *const builtin_names[] = {"default", "minimal", "nested"};

static const struct {
    const char *name;
    enum secopt_default value;
    const char *tool_name; /* what rootlet-seccomp calls it */
} defaults[] = {
    {"errno", SECOPT_DEFAULT_ERRNO, "errno"},
    {"log", SECOPT_DEFAULT_LOG, "log"},
    {"learn", SECOPT_DEFAULT_LEARN, "notify"},
    {"trap", SECOPT_DEFAULT_TRAP, "trap"},
    {"kill-process", SECOPT_DEFAULT_KILL_PROCESS, "kill-process"},
    {"kill", SECOPT_DEFAULT_KILL_PROCESS, "kill-process"},
};

const char *secopt_default_name(enum secopt_default d)
{
    for (size_t i = 0; i < N_ELEMENTS(defaults); i++) {
        if (d != SECOPT_DEFAULT_PROFILE && defaults[i].value == d)
            return defaults[i].tool_name;
    }
    return NULL;
}

static void replace(char **member, const char *value)
{
    free(*member);
    *member = xstrdup(value);
}

static int add_seccomp(struct secopt *o, const char *value, struct err *e)
{
    (void)e;
    o->seccomp = SECOPT_SECCOMP_FILE;
    if (streq(value, "unconfined"))
        o->seccomp = SECOPT_SECCOMP_UNCONFINED;
    /* docker's word for its own default */
    if (streq(value, "builtin"))
        value = "default";
    for (size_t i = 0; i < N_ELEMENTS(builtin_names); i++) {
        if (streq(value, builtin_names[i]))
            o->seccomp = SECOPT_SECCOMP_BUILTIN;
    }
    o->seccomp_given = true;
    replace(&o->seccomp_name, o->seccomp == SECOPT_SECCOMP_UNCONFINED ? NULL : value);
    return 0;
}

static int add_seccomp_default(struct secopt *o, const char *value, struct err *e)
{
    for (size_t i = 0; i < N_ELEMENTS(defaults); i++) {
        if (streq(value, defaults[i].name)) {
            o->seccomp_default = defaults[i].value;
            return 0;
        }
    }
    return err_msg(e, EINVAL, "%s: want errno, log, learn, trap or kill-process", value);
}

static int add_no_new_privs(struct secopt *o, const char *value, struct err *e)
{
    bool on = true;
    if (value && parse_bool(value, &on) < 0)
        return err_msg(e, EINVAL, "%s: want true or false", value);
    o->no_new_privs = on;
    return 0;
}

static int add_apparmor(struct secopt *o, const char *value, struct err *e)
{
    (void)e;
    replace(&o->apparmor, value);
    return 0;
}

static int add_label(struct secopt *o, const char *value, struct err *e)
{
    const struct {
        const char *prefix;
        char **member;
    } parts[] = {
        {"user:", &o->label_user},   {"role:", &o->label_role},         {"type:", &o->label_type},
        {"level:", &o->label_level}, {"filetype:", &o->label_filetype},
    };

    if (streq(value, "disable")) {
        o->label_disable = true;
        return 0;
    }
    if (streq(value, "nested")) {
        o->label_nested = true;
        return 0;
    }
    for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
        const char *rest = str_after(value, parts[i].prefix);
        if (rest && *rest) {
            replace(parts[i].member, rest);
            return 0;
        }
    }
    return err_msg(e, EINVAL,
                   "%s: want disable, nested, user:U, role:R, type:T, level:L or filetype:F",
                   value);
}

/* PATH[:PATH...] to cleaned absolute paths at the end of *list. */
static int add_paths(char ***list, const char *value, struct err *e)
{
    scoped_strv char **parts = strv_split(value, ":", true);
    for (char **p = parts; p && *p; p++) {
        if ((*p)[0] != '/')
            return err_msg(e, EINVAL, "%s: want absolute paths, separated by ':'", value);
    }
    for (char **p = parts; p && *p; p++)
        strv_take(list, path_clean(*p));
    return 0;
}

static int add_mask(struct secopt *o, const char *value, struct err *e)
{
    return add_paths(&o->mask, value, e);
}

static int add_unmask(struct secopt *o, const char *value, struct err *e)
{
    if (strcasecmp(value, "ALL") == 0) {
        o->unmask_all = true;
        return 0;
    }
    return add_paths(&o->unmask, value, e);
}

static int add_proc_opts(struct secopt *o, const char *value, struct err *e)
{
    scoped_strv char **parts = strv_split(value, ",", true);
    for (char **p = parts; p && *p; p++) {
        /* Only what procfs knows: the text goes to the mount. */
        if (!str_after(*p, "hidepid=") && !str_after(*p, "gid=") && !streq(*p, "subset=pid"))
            return err_msg(e, EINVAL, "%s: want hidepid=N, gid=N or subset=pid", *p);
    }
    strv_extend(&o->proc_opts, parts);
    return 0;
}

static int add_systempaths(struct secopt *o, const char *value, struct err *e)
{
    if (!streq(value, "unconfined"))
        return err_msg(e, EINVAL, "%s: want unconfined", value);
    o->unmask_all = true;
    return 0;
}

static const struct {
    const char *name;
    bool value_optional;
    int (*add)(struct secopt *o, const char *value, struct err *e);
} options[] = {
    {"seccomp", false, add_seccomp},
    {"seccomp-default", false, add_seccomp_default},
    {"no-new-privileges", true, add_no_new_privs},
    {"apparmor", false, add_apparmor},
    {"label", false, add_label},
    {"mask", false, add_mask},
    {"unmask", false, add_unmask},
    {"proc-opts", false, add_proc_opts},
    {"systempaths", false, add_systempaths},
};

int secopt_add(struct secopt *o, const char *text, struct err *e)
{
    size_t len = strcspn(text, "=:");
    const char *value = text[len] ? text + len + 1 : NULL;
    scoped_str struct str known = STR_INIT;

    for (size_t i = 0; i < N_ELEMENTS(options); i++) {
        str_addf(&known, "%s%s", i ? " " : "", options[i].name);
        if (strlen(options[i].name) != len || strncmp(options[i].name, text, len) != 0)
            continue;
        if (!options[i].value_optional && (!value || !*value))
            return err_msg(e, EINVAL, "--security-opt %s: want %s=VALUE", text, options[i].name);
        int r = options[i].add(o, value, e);
        return r < 0 ? err_add(e, r, "--security-opt %s", options[i].name) : 0;
    }
    return err_msg(e, EINVAL, "--security-opt %s: unknown (known: %s)", text, known.s);
}

int secopt_parse(char *const *list, struct secopt *ret, struct err *e)
{
    struct secopt o = SECOPT_INIT;
    for (; list && *list; list++) {
        int r = secopt_add(&o, *list, e);
        if (r < 0) {
            secopt_release(&o);
            return r;
        }
    }
    *ret = o;
    return 0;
}

void secopt_release(struct secopt *o)
{
    free(o->seccomp_name);
    free(o->apparmor);
    free(o->label_user);
    free(o->label_role);
    free(o->label_type);
    free(o->label_level);
    free(o->label_filetype);
    strv_free(o->mask);
    strv_free(o->unmask);
    strv_free(o->proc_opts);
    *o = (struct secopt)SECOPT_INIT;
}

bool secopt_learns(char *const *list)
{
    struct secopt o;
    if (secopt_parse(list, &o, NULL) < 0)
        return false;
    bool yes = o.seccomp_default == SECOPT_DEFAULT_LEARN;
    secopt_release(&o);
    return yes;
}
