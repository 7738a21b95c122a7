/* console - see console.h. */
#include "oci/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/str.h"
#include "sys/sock.h"

/* The directory of a host path; *ret_name is the last part, borrowed. */
static int open_parent(const char *path, const char **ret_name, struct err *e)
{
    const char *slash = strrchr(path, '/');
    scoped_free char *dir = !slash          ? xstrdup(".")
                            : slash == path ? xstrdup("/")
                                            : xstrndup(path, (size_t)(slash - path));
    *ret_name = slash ? slash + 1 : path;
    if (!**ret_name)
        return err_msg(e, EISDIR, "%s: names a directory", path);
    return fs_open_dir(dir, false, 0, e);
}

/* Paths of clients are often longer than the 108 bytes that an address holds. */
static int connect_to(const char *path, struct err *e)
{
    const char *name;
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    scoped_fd int dir = open_parent(path, &name, e);
    if (dir < 0)
        return dir;
    int n = snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/%s", dir, name);
    if (n >= (int)sizeof(a.sun_path))
        return err_msg(e, ENAMETOOLONG, "%s: the name is too long for a socket", path);
    scoped_fd int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return err_set(e, errno, "socket");
    if (connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return err_set(e, errno, "connect to %s", path);
    return take_fd(&fd);
}

int oci_console_send(const char *path, int master, struct err *e)
{
    unsigned n = 0;
    char name[32];
    scoped_fd int fd = connect_to(path, e);
    if (fd < 0)
        return err_add(e, fd, "console socket");
    if (ioctl(master, TIOCGPTN, &n) < 0)
        return err_set(e, errno, "console socket: number of the terminal");
    snprintf(name, sizeof(name), "/dev/pts/%u", n);
    int r = sock_send(fd, name, strlen(name), &master, 1);
    return r < 0 ? err_set(e, -r, "console socket: send to %s", path) : 0;
}

int oci_pid_file_write(const char *path, pid_t pid, struct err *e)
{
    const char *name;
    char text[16];
    scoped_fd int dir = open_parent(path, &name, e);
    if (dir < 0)
        return err_add(e, dir, "--pid-file");
    int n = snprintf(text, sizeof(text), "%d", (int)pid);
    int r = fs_write_atomic(dir, name, text, (size_t)n, 0644, FS_NO_SYNC, e);
    return r < 0 ? err_add(e, r, "--pid-file %s", path) : 0;
}

/* Ours are all close-on-exec: one without the flag came from our caller. */
int oci_check_preserved(unsigned n, struct err *e)
{
    for (unsigned i = 0; i < n; i++) {
        int flags = fcntl((int)(3 + i), F_GETFD);
        if (flags < 0 || flags & FD_CLOEXEC)
            return err_msg(e, EBADF, "--preserve-fds: descriptor %u is not open", 3 + i);
    }
    return 0;
}
