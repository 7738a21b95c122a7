/* probes_session - storage, devices, cgroups, the user's session and our own programs. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "cgroup/cgroup.h"
#include "cli/linger.h"
#include "cli/probes.h"
#include "storage/storage.h"

static void from_err(struct finding *f, enum finding_level level, const struct err *e)
{
    finding_set(f, level, "%.290s", e->msg);
    if (e->hint[0])
        finding_fix(f, "%.290s", e->hint);
}

static void probe_data_dir(const struct conf *c, struct finding *f)
{
    struct statfs fs;
    char space[32];
    struct err e = ERR_INIT;
    scoped_fd int fd = conf_open_root(c, "", true, &e);
    if (fd < 0 || fstatfs(fd, &fs) < 0) {
        from_err(f, FINDING_BAD, &e);
        return;
    }
    size_human((uint64_t)fs.f_bavail * (uint64_t)fs.f_bsize, space, sizeof(space));
    if (fs.f_type == NFS_SUPER_MAGIC || fs.f_type == SMB_SUPER_MAGIC ||
        fs.f_type == AFS_SUPER_MAGIC) {
        finding_set(f, FINDING_BAD, "%s lies on a network file system, which refuses other ids",
                    c->root);
        finding_fix(f, "set root = \"/var/tmp/...\" or another local directory in rootlet.conf");
        return;
    }
    finding_set(f, FINDING_OK, "%s, %s free", c->root, space);
}

static void probe_run_dir(const struct conf *c, struct finding *f)
{
    struct err e = ERR_INIT;
    struct statfs fs;
    scoped_fd int fd = conf_open_run(c, "", true, &e);
    if (fd < 0) {
        from_err(f, FINDING_BAD, &e);
        return;
    }
    if (fstatfs(fd, &fs) == 0 && fs.f_type != TMPFS_MAGIC) {
        finding_set(f, FINDING_NOTE, "%s is not on a tmpfs: state survives a reboot there",
                    c->run_root);
        finding_fix(f, "log in through a session with systemd-logind, which makes /run/user/UID");
        return;
    }
    finding_set(f, FINDING_OK, "%s", c->run_root);
}

static void probe_storage(const struct conf *c, struct finding *f)
{
    struct err e = ERR_INIT;
    struct userns_map m = {0};
    const struct storage_driver *d = NULL;
    scoped_free char *why = NULL;
    if (userns_map_default(&m, &e) < 0 || storage_look(c->root, c->run_root, &m, &e) < 0 ||
        storage_choose(c->root, c->run_root, NULL, &m, &d, &why, &e) < 0) {
        from_err(f, FINDING_BAD, &e);
    } else if (!streq(d->name, "overlay")) {
        finding_set(f, FINDING_NOTE, "driver %s: %s", d->name, why ? why : "");
        finding_fix(f, "keep the data on ext4, xfs or btrfs, not on an overlay or network");
    } else {
        finding_set(f, FINDING_OK, "driver %s: %s", d->name, why ? why : "");
    }
    userns_map_release(&m);
}

static void probe_device(const char *path, const char *use, struct finding *f)
{
    scoped_fd int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd >= 0) {
        finding_set(f, FINDING_OK, "%s can be opened", path);
        return;
    }
    finding_set(f, FINDING_NOTE, "%s: %s (%s)", path, strerror(errno), use);
    finding_fix(f, errno == ENOENT ? "sudo modprobe %s" : "sudo chmod 0666 %s",
                errno == ENOENT ? path_name(path) : path);
}

static void probe_fuse(const struct conf *c, struct finding *f)
{
    (void)c;
    probe_device("/dev/fuse", "for fuse-overlayfs only", f);
}

static void probe_tun(const struct conf *c, struct finding *f)
{
    (void)c;
    probe_device("/dev/net/tun",
                 "user-mode networking does without it, somewhat slower; pasta does not", f);
}

/* Of the usual controllers, those that are missing; owned. */
static char *lacking(const struct cgroup_choice *c)
{
    static const char *const names[] = {"cpu", "cpuset", "io", "memory", "pids"};
    scoped_strv char **missing = NULL;
    for (size_t i = 0; i < N_ELEMENTS(names); i++)
        if (!cgroup_choice_has(c, names[i]))
            strv_add(&missing, names[i]);
    char *text = strv_join(missing, " ");
    return text ? text : xstrdup("");
}

static void probe_cgroup(const struct conf *c, struct finding *f)
{
    struct cgroup_host h;
    struct err e = ERR_INIT;
    if (cgroup_detect(&h, &e) < 0) {
        from_err(f, FINDING_BAD, &e);
        return;
    }
    bool disabled = streq(c->cgroups, "disabled");
    if (h.mode != CGROUP_V2) {
        finding_set(f, disabled ? FINDING_NOTE : FINDING_BAD,
                    "cgroup %s: resource control needs v2%s", cgroup_mode_name(h.mode),
                    disabled ? " (disabled by configuration)" : "");
        finding_fix(f, disabled ? "boot with systemd.unified_cgroup_hierarchy=1 to have it"
                                : "export ROOTLET_CGROUPS=disabled (or cgroups = \"disabled\" in "
                                  "rootlet.conf), or boot with systemd.unified_cgroup_hierarchy=1");
        return;
    }
    struct cgroup_choice choice SCOPED(cgroup_choice_release) = {0};
    const struct cgroup_wish wish = {.setting = c->cgroups, .want_controllers = true};
    if (cgroup_choose(&wish, &choice, &e) < 0) {
        from_err(f, FINDING_BAD, &e);
        return;
    }
    scoped_free char *has = strv_join(choice.controllers, " ");
    scoped_free char *lacks = lacking(&choice);
    disabled = streq(choice.driver, "disabled");
    finding_set(f, disabled || *lacks ? FINDING_NOTE : FINDING_OK,
                "v2, driver %s: %s; controllers: %s%s%s", choice.driver, choice.why,
                has && *has ? has : "none", *lacks ? ", not delegated: " : "", lacks);
    if (disabled)
        finding_fix(f, "log in through systemd-logind, or loginctl enable-linger (su, sudo, cron)");
    else if (*lacks && geteuid() != 0)
        finding_fix(f, "sudo sh -c 'd=/etc/systemd/system/user@.service.d; mkdir -p $d; printf "
                       "\"[Service]\\nDelegate=cpu cpuset io memory pids\\n\" "
                       ">$d/delegate.conf; systemctl daemon-reload', then log in anew");
}

static bool answers(const char *dir, const char *socket_name)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/%s", dir, socket_name);
    scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    return fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa)) == 0;
}

/* As the helper that asks for a scope finds it. */
static void probe_bus(const struct conf *c, struct finding *f)
{
    const char *run = getenv("XDG_RUNTIME_DIR");
    char usual[64];
    (void)c;
    snprintf(usual, sizeof(usual), "/run/user/%u", (unsigned)geteuid());
    const char *dirs[] = {run && *run ? run : usual, usual};
    for (size_t i = 0; i < N_ELEMENTS(dirs); i++) {
        if (!answers(dirs[i], "systemd/private") && !answers(dirs[i], "bus"))
            continue;
        finding_set(f, FINDING_OK, "systemd of the user answers in %s%s", dirs[i],
                    run && *run && i == 0 ? "" : " (XDG_RUNTIME_DIR does not lead there)");
        return;
    }
    finding_set(f, FINDING_NOTE, "no systemd of the user answers in %s: no scopes, no units",
                dirs[0]);
    finding_fix(f, "sudo apt-get install dbus-user-session, then log in again; loginctl "
                   "enable-linger for su, sudo and cron");
}

static void probe_linger(const struct conf *c, struct finding *f)
{
    (void)c;
    if (!linger_has_systemd())
        finding_set(f, FINDING_NOTE, "no systemd runs here");
    else if (linger_is_on())
        finding_set(f, FINDING_OK, "on: containers outlive the last logout");
    else {
        finding_set(f, FINDING_NOTE, "off: systemd ends containers at the last logout");
        finding_fix(f, "loginctl enable-linger");
    }
}

static void probe_restart(const struct conf *c, struct finding *f)
{
    (void)c;
    if (!linger_has_systemd()) {
        finding_set(f, FINDING_NOTE, "no systemd runs here");
    } else if (linger_restart_enabled()) {
        finding_set(f, FINDING_OK, "rootlet-restart.service is enabled");
    } else {
        finding_set(f, FINDING_NOTE, "off: a boot starts no containers");
        finding_fix(f, "%s", linger_enable_command());
    }
}

static void probe_programs(const struct conf *c, struct finding *f)
{
    static const char *const names[] = {"rootlet-supervise", "rootlet-image",   "rootlet-registry",
                                        "rootlet-init",      "rootlet-seccomp", "rootlet-leash"};
    for (size_t i = 0; i < N_ELEMENTS(names); i++) {
        scoped_free char *path = path_join(c->libexec, names[i]);
        if (access(path, X_OK) == 0)
            continue;
        finding_set(f, FINDING_BAD, "%s: %s", path, strerror(errno));
        finding_fix(f, "install rootlet again (make install)");
        return;
    }
    finding_set(f, FINDING_OK, "complete in %s", c->libexec);
}

const struct probe session_probes[] = {
    {"data directory", "images and containers", probe_data_dir},
    {"runtime directory", "running containers", probe_run_dir},
    {"root file systems", "every container", probe_storage},
    {"fuse", "fuse-overlayfs", probe_fuse},
    {"tun", "user-mode networking", probe_tun},
    {"cgroups", "limits, stats, pause", probe_cgroup},
    {"user manager", "delegated scopes, units", probe_bus},
    {"linger", "containers without a login", probe_linger},
    {"start at boot", "restart policies after a boot", probe_restart},
    {"programs", "everything", probe_programs},
    {NULL},
};
