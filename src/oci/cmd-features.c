/* features - what this runtime implements, as features.md of the runtime specification has it.
 *
 * All lists are those that the parsers and drivers work with. */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts.h"
#include "oci/oci.h"
#include "security/caps.h"
#include "spec/names.h"

#ifndef SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV
#define SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV (1UL << 5) /* Linux 5.19 */
#endif

#ifdef HAVE_SYSTEMD
#define SYSTEMD 1
#else
#define SYSTEMD 0
#endif

/* A sorted array of prefix and word. */
static json_t *sorted(const char *prefix, const char *const *words)
{
    scoped_strv char **v = NULL;
    for (; *words; words++)
        strv_addf(&v, "%s%s", prefix, *words);
    strv_sort(v);
    return json_from_strv(v);
}

static json_t *in_order(const char *const *words)
{
    json_t *list = json_array();
    for (; *words; words++)
        json_array_append_new(list, json_string(*words));
    return list;
}

static json_t *capabilities(void)
{
    json_t *list = json_array();
    for (int cap = 0; cap_name(cap); cap++)
        json_array_append_new(list, json_string(cap_name(cap)));
    return list;
}

/* The kernel looks at the flags before it reads the program: EFAULT is "known". seccomp(2) */
static bool kernel_has_flag(const char *name)
{
    static const struct {
        const char *name;
        unsigned long flags; /* together with what the kernel wants beside it */
    } flags[] = {
        {"SECCOMP_FILTER_FLAG_TSYNC", SECCOMP_FILTER_FLAG_TSYNC},
        {"SECCOMP_FILTER_FLAG_LOG", SECCOMP_FILTER_FLAG_LOG},
        {"SECCOMP_FILTER_FLAG_SPEC_ALLOW", SECCOMP_FILTER_FLAG_SPEC_ALLOW},
        {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
         SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV | SECCOMP_FILTER_FLAG_NEW_LISTENER},
    };
    for (size_t i = 0; i < N_ELEMENTS(flags); i++)
        if (streq(flags[i].name, name))
            return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags[i].flags, NULL) < 0 &&
                   errno == EFAULT;
    return false;
}

static json_t *seccomp(void)
{
    const char *supported[16];
    size_t n = 0;
    for (const char *const *f = spec_seccomp_flags; *f && n < N_ELEMENTS(supported) - 1; f++)
        if (kernel_has_flag(*f))
            supported[n++] = *f;
    supported[n] = NULL;
    return json_pack("{s:b, s:o, s:o, s:o, s:o, s:o}", "enabled", 1, "actions",
                     sorted("", spec_seccomp_actions), "operators",
                     sorted("", spec_seccomp_operators), "archs",
                     sorted("SCMP_ARCH_", spec_seccomp_arches), "knownFlags",
                     sorted("", spec_seccomp_flags), "supportedFlags", sorted("", supported));
}

static json_t *linux_features(void)
{
    json_t *cgroup = json_pack("{s:b, s:b, s:b, s:b, s:b}", "v1", 0, "v2", 1, "systemd", SYSTEMD,
                               "systemdUser", SYSTEMD, "rdma", 1);
    return json_pack("{s:o, s:o, s:o, s:o, s:{s:b}, s:{s:b}, s:{s:b}, s:{s:{s:b}}}", "namespaces",
                     sorted("", spec_namespace_types), "capabilities", capabilities(), "cgroup",
                     cgroup, "seccomp", seccomp(), "apparmor", "enabled", 1, "selinux", "enabled",
                     1, "intelRdt", "enabled", 0, "mountExtensions", "idmap", "enabled", 1);
}

/* Annotations of a config.json that change what the runtime does; "org.systemd.property." is the
 * beginning of many. */
static const char *const unsafe_annotations[] = {
    "org.systemd.property.",
    "run.oci.keep_original_groups",
    "run.oci.systemd.subgroup",
    NULL,
};

static int features_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_strv char **words = mount_option_words();
    (void)cmd;
    (void)opts;
    (void)args;
    (void)e;
    scoped_json json_t *doc = json_pack(
        "{s:s, s:s, s:o, s:o, s:o, s:{s:s}, s:o}", "ociVersionMin", "1.0.0", "ociVersionMax",
        SPEC_OCI_VERSION, "hooks", in_order(spec_hook_names), "mountOptions", json_from_strv(words),
        "linux", linux_features(), "annotations", "org.rootlet.version", PACKAGE_VERSION,
        "potentiallyUnsafeConfigAnnotations", in_order(unsafe_annotations));
    scoped_free char *text = json_text(doc, true);
    puts(text);
    return 0;
}

const struct cmd oci_cmd_features = {
    .name = "features",
    .args = "",
    .summary = "Print what is implemented, as JSON",
    .run = features_command,
    .examples = "rootlet-oci features",
};
