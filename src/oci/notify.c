/* notify - see notify.h. The service manager takes messages only from the processes of the unit it
 * knows, by their credentials: the container's are ours when we have handed them on. */
#include "oci/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "oci/oci.h"

#define HOST_DIR "notify"
#define SOCKET_NAME "notify.sock"
#define INSIDE "/run/notify"
#define MESSAGE_MAX 8192

static int bind_socket(int dir_fd, struct err *e)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (mkdirat(dir_fd, HOST_DIR, 0755) < 0)
        return err_set(e, errno, "make the directory for NOTIFY_SOCKET");
    snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d/" HOST_DIR "/" SOCKET_NAME, dir_fd);
    scoped_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0)
        return err_set(e, errno, "bind the container's NOTIFY_SOCKET");
    /* Whatever user the container's program is; the state directory above is ours alone. */
    if (fchmodat(dir_fd, HOST_DIR, 0755, 0) < 0 ||
        fchmodat(dir_fd, HOST_DIR "/" SOCKET_NAME, 0666, 0) < 0)
        return err_set(e, errno, "open the container's NOTIFY_SOCKET to its users");
    return take_fd(&fd);
}

int oci_notify_open(struct oci_notify *n, struct oci_config *c, const char *id, int dir_fd,
                    struct err *e)
{
    const char *target = getenv("NOTIFY_SOCKET");
    if (!target || (target[0] != '/' && target[0] != '@') ||
        strv_env_get(c->spec.process->env, "NOTIFY_SOCKET"))
        return 0;
    int fd = bind_socket(dir_fd, e);
    if (fd < 0)
        return fd;
    n->socket = fd;
    n->target = xstrdup(target);
    scoped_free char *source = xasprintf("%s/%s/" HOST_DIR, oci_settings()->root, id);
    spec_add_mount(&c->spec, INSIDE, "bind", source, "bind,nosuid,nodev,noexec,ro");
    strv_env_set(&c->spec.process->env, "NOTIFY_SOCKET=" INSIDE "/" SOCKET_NAME);
    free(take_ptr(c->text));
    return 0;
}

/* sd_notify(3): what describes the service. MAINPID and the like name processes of another pid
 * namespace; FDSTORE comes with descriptors. */
static bool may_pass(const char *line)
{
    static const char *const known[] = {
        "READY=1", "RELOADING=1",     "STOPPING=1",
        "STATUS=", "WATCHDOG=1",      "WATCHDOG=trigger",
        "ERRNO=",  "MONOTONIC_USEC=", "EXTEND_TIMEOUT_USEC=",
    };
    for (size_t i = 0; i < N_ELEMENTS(known); i++)
        if (str_ends(known[i], "=") ? str_after(line, known[i]) != NULL : streq(line, known[i]))
            return true;
    return false;
}

static void hand_on(const struct oci_notify *n, const char *text)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    size_t len = strlen(n->target);
    if (len >= sizeof(a.sun_path))
        return;
    memcpy(a.sun_path, n->target, len);
    if (a.sun_path[0] == '@')
        a.sun_path[0] = '\0';
    scoped_fd int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    if (fd >= 0)
        (void)!sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT, (struct sockaddr *)&a,
                      size);
}

void oci_notify_relay(struct oci_notify *n)
{
    char buf[MESSAGE_MAX + 1];
    ssize_t len;
    while (n->socket >= 0 && (len = recv(n->socket, buf, MESSAGE_MAX, 0)) >= 0) {
        scoped_str struct str out = STR_INIT;
        buf[len] = '\0';
        scoped_strv char **lines = strv_split(buf, "\n", false);
        for (char **line = lines; line && *line; line++)
            if (may_pass(*line))
                str_addf(&out, "%s\n", *line);
        if (out.len)
            hand_on(n, out.s);
    }
}

void oci_notify_release(struct oci_notify *n)
{
    fd_close(&n->socket);
    free(take_ptr(n->target));
}
