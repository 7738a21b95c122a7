/* probes_host - kernel, user namespaces, id maps, security modules. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/probes.h"
#include "security/lsm.h"
#include "sys/clone.h"
#include "userns/userns.h"

void finding_set(struct finding *f, enum finding_level level, const char *fmt, ...)
{
    va_list ap;
    f->level = level;
    va_start(ap, fmt);
    vsnprintf(f->text, sizeof(f->text), fmt, ap);
    va_end(ap);
}

void finding_fix(struct finding *f, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(f->fix, sizeof(f->fix), fmt, ap);
    va_end(ap);
}

static void from_err(struct finding *f, enum finding_level level, const struct err *e)
{
    finding_set(f, level, "%.290s", e->msg);
    if (e->hint[0])
        finding_fix(f, "%.290s", e->hint);
}

static void probe_kernel(const struct conf *c, struct finding *f)
{
    struct utsname u;
    unsigned major = 0, minor = 0;
    (void)c;
    uname(&u);
    if (sscanf(u.release, "%u.%u", &major, &minor) != 2 || major < 5 ||
        (major == 5 && minor < 13)) {
        finding_set(f, FINDING_BAD, "Linux %s; rootlet needs 5.13 or later", u.release);
        finding_fix(f, "upgrade the kernel");
        return;
    }
    finding_set(f, FINDING_OK, "Linux %s on %s", u.release, u.machine);
}

static void probe_userns(const struct conf *c, struct finding *f)
{
    scoped_fd int pidfd = -1;
    (void)c;
    pid_t pid = sys_clone(CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET, -1, &pidfd);
    if (pid == 0)
        _exit(0);
    if (pid < 0) {
        struct err e = ERR_INIT;
        userns_explain(-pid, &e);
        from_err(f, FINDING_BAD, &e);
        return;
    }
    pidfd_wait(pidfd, NULL);
    finding_set(f, FINDING_OK, "user, mount, pid and network namespaces can be made");
}

static void count_ids(const struct idmap *m, uint64_t *ret)
{
    *ret = 0;
    for (size_t i = 0; i < m->n; i++)
        *ret += m->v[i].count;
}

static void probe_subids(const struct conf *c, struct finding *f)
{
    struct userns_map m = {0};
    struct err e = ERR_INIT;
    scoped_free char *notice = NULL, *fix = userns_subids_fix(NULL);
    uint64_t uids, gids;
    (void)c;
    if (userns_map_build("", NULL, NULL, &m, &notice, &e) < 0) {
        from_err(f, FINDING_BAD, &e);
        return;
    }
    count_ids(&m.uid, &uids);
    count_ids(&m.gid, &gids);
    if (m.single) {
        finding_set(f, FINDING_NOTE, "none: containers have a single user id");
        finding_fix(f, "%s", fix);
    } else if (uids < 65536 || gids < 65536) {
        finding_set(f, FINDING_NOTE, "%llu uids and %llu gids; many images want 65536",
                    (unsigned long long)uids, (unsigned long long)gids);
        finding_fix(f, "%s", fix);
    } else {
        finding_set(f, FINDING_OK, "%llu uids and %llu gids can be used inside",
                    (unsigned long long)uids, (unsigned long long)gids);
    }
    userns_map_release(&m);
}

static void probe_helpers(const struct conf *c, struct finding *f)
{
    static const char *const files[] = {"/usr/bin/newuidmap", "/usr/bin/newgidmap"};
    (void)c;
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        struct stat st;
        if (stat(files[i], &st) < 0) {
            finding_set(f, geteuid() == 0 ? FINDING_NOTE : FINDING_BAD, "%s is not installed",
                        files[i]);
            finding_fix(f, "sudo apt-get install uidmap (Fedora: shadow-utils-subid)");
            return;
        }
        if (!(st.st_mode & S_ISUID) && getxattr(files[i], "security.capability", NULL, 0) <= 0) {
            finding_set(f, FINDING_BAD, "%s is neither setuid nor has it file capabilities",
                        files[i]);
            finding_fix(f, "sudo chmod u+s %s", files[i]);
            return;
        }
    }
    finding_set(f, FINDING_OK, "newuidmap and newgidmap are there and privileged");
}

static int nothing(void *data, struct err *e)
{
    (void)data;
    (void)e;
    return 0;
}

static void probe_maps(const struct conf *c, struct finding *f)
{
    struct userns_map m = {0};
    struct err e = ERR_INIT;
    (void)c;
    if (userns_map_default(&m, &e) < 0 || userns_run(&m, CLONE_NEWNS, nothing, NULL, &e) < 0)
        from_err(f, FINDING_BAD, &e);
    else
        finding_set(f, FINDING_OK, "a user namespace with the default map was entered");
    userns_map_release(&m);
}

static bool read_line(const char *path, char *buf, size_t size)
{
    scoped_free char *text = NULL;
    if (fs_read(AT_FDCWD, path, 4096, &text, NULL) < 0)
        return false;
    text[strcspn(text, "\n")] = '\0';
    snprintf(buf, size, "%s", text);
    return true;
}

static void probe_sysctls(const struct conf *c, struct finding *f)
{
    static const struct {
        const char *path, *bad, *fix;
    } keys[] = {
        {"/proc/sys/kernel/unprivileged_userns_clone", "0",
         "sudo sysctl -w kernel.unprivileged_userns_clone=1"},
        {"/proc/sys/user/max_user_namespaces", "0",
         "sudo sysctl -w user.max_user_namespaces=15000"},
        {"/proc/sys/user/max_mnt_namespaces", "0", "sudo sysctl -w user.max_mnt_namespaces=15000"},
        {"/proc/sys/user/max_net_namespaces", "0", "sudo sysctl -w user.max_net_namespaces=15000"},
    };
    char value[64];
    (void)c;
    for (size_t i = 0; i < N_ELEMENTS(keys); i++) {
        if (!read_line(keys[i].path, value, sizeof(value)) || !streq(value, keys[i].bad))
            continue;
        finding_set(f, FINDING_BAD, "%s is %s", keys[i].path, value);
        finding_fix(f, "%s", keys[i].fix);
        return;
    }
    finding_set(f, FINDING_OK, "no kernel parameter stands in the way");
    if (read_line("/proc/sys/net/ipv4/ip_unprivileged_port_start", value, sizeof(value)))
        finding_set(f, FINDING_OK, "nothing stands in the way; ports from %s on may be bound",
                    value);
}

static void probe_apparmor(const struct conf *c, struct finding *f)
{
    char value[64] = "0";
    (void)c;
    read_line("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", value, sizeof(value));
    if (streq(value, "1")) {
        finding_set(f, FINDING_BAD, "AppArmor restricts unprivileged user namespaces");
        finding_fix(f,
                    "sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or a profile "
                    "with \"userns,\" for rootlet");
        return;
    }
    finding_set(f, FINDING_OK, "does not restrict user namespaces");
}

static void probe_lsm(const struct conf *c, struct finding *f)
{
    scoped_strv char **list = lsm_list(NULL);
    scoped_free char *text = strv_join(list, ", ");
    (void)c;
    if (lsm_active("landlock"))
        finding_set(f, FINDING_OK, "%s", text ? text : "none");
    else
        finding_set(f, FINDING_NOTE, "%s; without landlock images are unpacked under seccomp alone",
                    text && *text ? text : "none");
}

static void probe_seccomp(const struct conf *c, struct finding *f)
{
    char value[256];
    (void)c;
    if (!read_line("/proc/sys/kernel/seccomp/actions_avail", value, sizeof(value))) {
        finding_set(f, FINDING_BAD, "this kernel has no seccomp filters");
        finding_fix(f, "use a kernel with CONFIG_SECCOMP_FILTER");
        return;
    }
    finding_set(f, FINDING_OK, "%s", value);
}

const struct probe host_probes[] = {
    {"kernel", "openat2, clone3, pidfd, the new mount API", probe_kernel},
    {"namespaces", "every container", probe_userns},
    {"sysctls", "namespaces", probe_sysctls},
    {"apparmor", "namespaces", probe_apparmor},
    {"subordinate ids", "more than one user in a container", probe_subids},
    {"id map helpers", "more than one user in a container", probe_helpers},
    {"id maps", "every container", probe_maps},
    {"security modules", "unpacking, labels", probe_lsm},
    {"seccomp", "the system call filter", probe_seccomp},
    {NULL},
};
