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
