/* build_security - capabilities, seccomp, no_new_privs, masked and read-only paths. */
#include <errno.h>
#include <stdlib.h>

#include "cli/build.h"
#include "security/caps.h"
#include "security/seccomp.h"

/* What --cap-add gives stays usable for an ordinary user inside, as podman does: ambient. */
static int ambient_caps(struct build *b, struct err *e)
{
    struct spec_caps *c = b->spec->process->capabilities;
    if (b->user_is_root || !b->o->cap_add)
        return 0;
    uint64_t mask = 0;
    int r = cap_adjust(&mask, b->o->cap_add, b->o->cap_drop, e);
    if (r < 0)
        return r;
    struct spec_caps *added = NULL;
    cap_mask_to_spec(mask, &added);
    c->ambient = strv_dup(added->bounding);
    c->inheritable = strv_dup(added->bounding);
    for (char **lists[] = {added->bounding, added->effective, added->permitted}, ***l = lists;
         l < lists + N_ELEMENTS(lists); l++)
        strv_free(*l);
    free(added);
    return 0;
}

static int build_caps(struct build *b, struct err *e)
{
    const char *profile =
        b->o->security_profile ? b->o->security_profile : b->conf->security_profile;
    uint64_t mask;
    int r = cap_profile(profile, &mask, e);
    if (r < 0)
        return r;
    if (b->o->privileged)
        mask = UINT64_MAX >> (63 - cap_last());
    r = cap_adjust(&mask, b->o->cap_add, b->o->cap_drop, e);
    if (r < 0)
        return r;
    b->caps = mask;
    cap_mask_to_spec(mask, &b->spec->process->capabilities);
    b->rec->security_profile = xstrdup(profile);
    b->rec->cap_add = strv_dup(b->o->cap_add);
    b->rec->cap_drop = strv_dup(b->o->cap_drop);
    b->rec->privileged = b->o->privileged;
    return ambient_caps(b, e);
}

/* Decides how the filter comes to be: a program built in, none, or one that is compiled when the
 * container is made ("file": seccomp.bpf in its directory). */
static void build_seccomp(struct build *b)
{
    const struct secopt *s = &b->sec;
    const char *name = s->seccomp_name;
    enum secopt_seccomp kind = s->seccomp;
    if (!s->seccomp_given && b->conf->seccomp_profile[0]) {
        name = b->conf->seccomp_profile;
        kind = *name == '/' ? SECOPT_SECCOMP_FILE : SECOPT_SECCOMP_BUILTIN;
    }
    if (kind == SECOPT_SECCOMP_UNCONFINED || (b->o->privileged && !s->seccomp_given)) {
        b->rec->seccomp = xstrdup("unconfined");
        return;
    }
    struct seccomp_prog prog;
    if (kind == SECOPT_SECCOMP_BUILTIN && !name)
        name = "default";
    b->rec->seccomp = xasprintf("builtin:%s", name);
    b->seccomp_profile = xstrdup(name);
    b->seccomp_compile = kind == SECOPT_SECCOMP_FILE ||
                         s->seccomp_default != SECOPT_DEFAULT_PROFILE ||
                         seccomp_builtin(name, b->caps, &prog) < 0;
    if (b->seccomp_compile) {
        free(b->rec->seccomp);
        b->rec->seccomp = xstrdup("file");
    }
}

/* --security-opt mask=, unmask=: paths, or everything. */
static void build_masks(struct build *b)
{
    struct spec_linux *l = b->spec->linux_;
    if (b->o->privileged || b->sec.unmask_all) {
        strv_free(l->masked_paths);
        strv_free(l->readonly_paths);
        l->masked_paths = l->readonly_paths = NULL;
    }
    for (char **p = b->sec.unmask; p && *p; p++) {
        if (l->masked_paths)
            strv_remove(l->masked_paths, *p);
        if (l->readonly_paths)
            strv_remove(l->readonly_paths, *p);
    }
    strv_extend(&l->masked_paths, b->sec.mask);
}

int build_security(struct build *b, struct err *e)
{
    int r = secopt_parse(b->o->security_opt, &b->sec, e);
    if (r == 0 && b->sec.proc_opts)
        r = err_msg(e, ENOTSUP, "--security-opt proc-opts: not in this version");
    if (r == 0)
        r = build_caps(b, e);
    if (r < 0)
        return r;
    build_seccomp(b);
    build_masks(b);
    b->rec->secopts = strv_dup(b->o->security_opt);
    struct spec_process *p = b->spec->process;
    /* An ordinary user inside has no use for set-user-ID programs; root's su and sudo do. */
    p->no_new_privileges =
        b->sec.no_new_privs >= 0 ? b->sec.no_new_privs : !b->user_is_root && !b->o->privileged;
    if (b->sec.apparmor)
        p->apparmor_profile = xstrdup(b->sec.apparmor);
    return 0;
}
