#include "security/lsm.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "sys/procfs.h"

#define LSM_LIST_MAX 4096

/* securityfs is often missing in containers and chroots. Each probe asks the module itself. */
static char **probe(void)
{
    char **v = NULL;
    char c;

    if (syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION) > 0)
        strv_add(&v, "landlock");
    if (access("/proc/sys/kernel/yama/ptrace_scope", F_OK) == 0)
        strv_add(&v, "yama");
    scoped_fd int fd = open("/sys/module/apparmor/parameters/enabled", O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && read(fd, &c, 1) == 1 && c == 'Y')
        strv_add(&v, "apparmor");
    if (access("/sys/fs/selinux/enforce", F_OK) == 0)
        strv_add(&v, "selinux");
    return v;
}

char **lsm_list(bool *ret_probed)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, "/sys/kernel/security/lsm", LSM_LIST_MAX, &text, NULL);
    if (ret_probed)
        *ret_probed = n < 0;
    return n < 0 ? probe() : strv_split(text, ",\n", false);
}

bool lsm_active(const char *name)
{
    scoped_strv char **v = lsm_list(NULL);
    return strv_has(v, name);
}

/* thread-self: the attribute belongs to the thread that will exec. */
static int write_exec(int proc_fd, const char *module, const char *text, struct err *e)
{
    scoped_free char *own = xasprintf("thread-self/attr/%s/exec", module);
    int r = procfs_write(proc_fd, own, text, e);
    /* attr/MODULE/ exists for AppArmor since 5.8; SELinux has only the shared file. */
    if (r == -ENOENT && streq(module, "selinux"))
        r = procfs_write(proc_fd, "thread-self/attr/exec", text, e);
    return r;
}

int lsm_set_exec_label(int proc_fd, const char *apparmor, const char *selinux, struct err *e)
{
    scoped_fd int opened = -1;
    bool want_apparmor = apparmor && *apparmor && !streq(apparmor, "unconfined");
    bool want_selinux = selinux && *selinux;

    if (!want_apparmor && !want_selinux)
        return 0;
    if (want_apparmor && !lsm_active("apparmor"))
        return err_msg(e, EOPNOTSUPP, "AppArmor profile %s: this kernel runs without AppArmor",
                       apparmor);
    if (want_selinux && !lsm_active("selinux"))
        return err_msg(e, EOPNOTSUPP, "SELinux label %s: this kernel runs without SELinux",
                       selinux);
    if (proc_fd < 0) {
        proc_fd = opened = procfs_open(e);
        if (opened < 0)
            return opened;
    }
    if (want_apparmor) {
        scoped_free char *text = xasprintf("exec %s", apparmor);
        int r = write_exec(proc_fd, "apparmor", text, e);
        if (r < 0) {
            err_add(e, r, "AppArmor profile %s", apparmor);
            return r == -ENOENT ? err_hint(e, r, "load it as root: apparmor_parser -r FILE") : r;
        }
    }
    if (want_selinux) {
        int r = write_exec(proc_fd, "selinux", selinux, e);
        if (r < 0)
            return err_add(e, r, "SELinux label %s", selinux);
    }
    return 0;
}
