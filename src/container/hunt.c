#include "container/hunt.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"

#define MOUNTINFO_MAX (4u << 20)
#define END_MS 10000
#define KILL_PASSES 20

/* "rootlet-supervise --id=ID ..." */
static bool is_supervisor(int pid_dir, char *const *ids)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(pid_dir, "cmdline", 1u << 20, &text, NULL);
    const char *id = NULL;
    if (n <= 0 || !streq(path_name(text), "rootlet-supervise"))
        return false;
    for (const char *word = text; word < text + n; word += strlen(word) + 1)
        if ((id = str_after(word, "--id=")))
            return strv_has(ids, id);
    return false;
}

/* Its hosts file, hostname and others are bind mounts from containers/ID. */
static bool has_mounts(int pid_dir, char *const *ids)
{
    scoped_free char *text = NULL;
    char theirs[64], ours[64];
    ssize_t a = readlinkat(pid_dir, "ns/mnt", theirs, sizeof(theirs) - 1);
    ssize_t b = readlink("/proc/self/ns/mnt", ours, sizeof(ours) - 1);
    if (a <= 0 || b <= 0 || (a == b && memcmp(theirs, ours, (size_t)a) == 0) ||
        fs_read(pid_dir, "mountinfo", MOUNTINFO_MAX, &text, NULL) <= 0)
        return false;
    for (const char *p = text; (p = strstr(p, "containers/")); p++) {
        char id[65];
        snprintf(id, sizeof(id), "%.64s", p + strlen("containers/"));
        if (strv_has(ids, id))
            return true;
    }
    return false;
}

typedef bool is_wanted(int pid_dir, char *const *ids);

static int end_one(const char *name, is_wanted *wanted, char *const *ids, struct err *e)
{
    int64_t pid;
    if (parse_i64(name, &pid) < 0 || pid <= 1 || pid == getpid())
        return 0;
    /* First the descriptor, then the look: what we signal is what we looked at. */
    scoped_fd int pidfd = pidfd_open_pid((pid_t)pid);
    scoped_free char *path = xasprintf("/proc/%s", name);
    scoped_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (pidfd < 0 || dir < 0 || !wanted(dir, ids) || pidfd_signal(pidfd, SIGKILL) < 0)
        return 0;
    return pidfd_poll(pidfd, END_MS) == 0 ? err_msg(e, EBUSY, "process %s does not end", name) : 0;
}

static int end_all(is_wanted *wanted, char *const *ids, struct err *e)
{
    scoped_dir DIR *d = opendir("/proc");
    int worst = 0;
    if (!d)
        return err_set(e, errno, "read /proc");
    for (struct dirent *de; (de = readdir(d));) {
        int r =
            de->d_name[0] > '0' && de->d_name[0] <= '9' ? end_one(de->d_name, wanted, ids, e) : 0;
        worst = r < 0 ? r : worst;
    }
    return worst;
}

int container_hunt(char *const *ids, struct err *e)
{
    if (!ids || !*ids)
        return 0;
    /* A supervisor would start its container again. */
    int r = end_all(is_supervisor, ids, e);
    int r2 = end_all(has_mounts, ids, e);
    return r < 0 ? r : r2;
}

static bool in_namespace(const char *pid, const char *type, const struct stat *ns)
{
    char path[64];
    struct stat st;
    snprintf(path, sizeof(path), "/proc/%.16s/ns/%s", pid, type);
    return stat(path, &st) == 0 && st.st_ino == ns->st_ino && st.st_dev == ns->st_dev;
}

unsigned container_signal_members(const char *type, const struct stat *ns, int sig)
{
    unsigned n = 0;
    scoped_dir DIR *d = opendir("/proc");
    for (struct dirent *entry; d && (entry = readdir(d));) {
        uint32_t pid;
        if (parse_u32(entry->d_name, &pid) < 0 || !in_namespace(entry->d_name, type, ns))
            continue;
        /* Once more behind the descriptor: the number may have been given to another. */
        scoped_fd int pidfd = pidfd_open_pid((pid_t)pid);
        if (pidfd >= 0 && in_namespace(entry->d_name, type, ns))
            n += pidfd_signal(pidfd, sig) == 0;
    }
    return n;
}

int container_own_userns(const struct spec *s, pid_t init, int pidfd)
{
    const struct spec_namespace *pid = spec_namespace_get(s, "pid");
    const struct spec_namespace *user = spec_namespace_get(s, "user");
    struct stat theirs, ours;
    char path[40];
    if ((pid && !pid->path) || !user || user->path)
        return -1;
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)init);
    scoped_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
    /* Is it still that process? And whatever the records say: never what we are in ourselves. */
    if (fd < 0 || pidfd_signal(pidfd, 0) < 0 || fstat(fd, &theirs) < 0 ||
        stat("/proc/self/ns/user", &ours) < 0 || theirs.st_ino == ours.st_ino)
        return -1;
    return take_fd(&fd);
}

void container_end_userns(int userns_fd)
{
    struct stat ns;
    if (userns_fd < 0 || fstat(userns_fd, &ns) < 0)
        return;
    for (int pass = 0; pass < KILL_PASSES; pass++)
        if (container_signal_members("user", &ns, SIGKILL) == 0)
            break;
}
