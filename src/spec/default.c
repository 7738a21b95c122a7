/* default - a configuration that runs without root, as a start for editing and for builders. */
#include "base/str.h"
#include "base/strv.h"
#include "spec/spec.h"

static const char *const default_caps[] = {
    "CAP_CHOWN",   "CAP_DAC_OVERRIDE", "CAP_FOWNER",
    "CAP_FSETID",  "CAP_KILL",         "CAP_SETGID",
    "CAP_SETUID",  "CAP_SETPCAP",      "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP", "CAP_SYS_CHROOT",   NULL,
};

/* What tells of or reaches the host: keys and timers of all users, physical memory, hardware. */
static const char *const masked_paths[] = {
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
    "/sys/fs/selinux",
    "/sys/dev/block",
    NULL,
};

static const char *const readonly_paths[] = {
    "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", NULL,
};

static char **copy(const char *const *list)
{
    char **v = NULL;
    for (; *list; list++)
        strv_add(&v, *list);
    return v;
}

static struct spec_process *default_process(void)
{
    struct spec_process *p = xcalloc(1, sizeof(*p));
    strv_add(&p->args, "sh");
    strv_add(&p->env, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    strv_add(&p->env, "TERM=xterm");
    p->cwd = xstrdup("/");
    p->no_new_privileges = true;
    p->capabilities = xcalloc(1, sizeof(*p->capabilities));
    p->capabilities->bounding = copy(default_caps);
    p->capabilities->effective = copy(default_caps);
    p->capabilities->permitted = copy(default_caps);
    /* 4096 is the kernel's own hard limit for processes, so that nobody needs a privilege. */
    p->rlimits = xcalloc(1, sizeof(*p->rlimits));
    p->rlimits[0] =
        (struct spec_rlimit){.type = xstrdup("RLIMIT_NOFILE"), .soft = 1024, .hard = 4096};
    p->n_rlimits = 1;
    return p;
}

void spec_default(struct spec *ret)
{
    static const char *const namespaces[] = {"pid", "network", "ipc", "uts", "mount", "user"};
    static const struct {
        const char *destination, *type, *source, *options;
    } mounts[] = {
        {"/proc", "proc", "proc", "nosuid,noexec,nodev"},
        {"/dev", "tmpfs", "tmpfs", "nosuid,noexec,strictatime,mode=755,size=65536k"},
        /* no gid=5: the group tty may have no id in the map of a caller without subordinate ids */
        {"/dev/pts", "devpts", "devpts", "nosuid,noexec,newinstance,ptmxmode=0666,mode=0620"},
        {"/dev/shm", "tmpfs", "shm", "nosuid,noexec,nodev,mode=1777,size=65536k"},
        {"/dev/mqueue", "mqueue", "mqueue", "nosuid,noexec,nodev"},
        {"/sys", "sysfs", "sysfs", "nosuid,noexec,nodev,ro"},
    };

    struct spec s = {.oci_version = xstrdup(SPEC_OCI_VERSION_OLD), .hostname = xstrdup("rootlet")};
    s.process = default_process();
    s.root = xcalloc(1, sizeof(*s.root));
    s.root->path = xstrdup("rootfs");
    for (size_t i = 0; i < N_ELEMENTS(mounts); i++)
        spec_add_mount(&s, mounts[i].destination, mounts[i].type, mounts[i].source,
                       mounts[i].options);
    for (size_t i = 0; i < N_ELEMENTS(namespaces); i++)
        spec_namespace_set(&s, namespaces[i], NULL);
    s.linux_->masked_paths = copy(masked_paths);
    s.linux_->readonly_paths = copy(readonly_paths);
    *ret = s;
}
