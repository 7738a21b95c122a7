/* passthrough - the container writes to what our own standard output and error are.
 *
 * Two kinds of them it does not get itself, we copy what it says: a terminal, since whoever holds
 * one can read its keys; and a socket, which in a unit is the journal's. There each line has the id
 * and the unit of its writer: those of ids inside would be in journals that the user may not read,
 * those of processes that have ended already would be of no unit. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "base/timefmt.h"
#include "logs/logs-priv.h"

/* So long a reader that takes nothing is waited for. */
#define FULL_WAIT_MS 200

static int passthrough_check(char *const *opts, struct err *e)
{
    return opts && *opts
               ? err_msg(e, EINVAL, "the log driver \"passthrough\" has no options: %s", *opts)
               : 0;
}

/* Copies, that further runs of the container have them as well: ours are closed after a start. */
static int passthrough_open(struct log_writer *w, const struct log_ident *ident, struct err *e)
{
    (void)ident;
    w->fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    w->err_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, 3);
    if (w->fd < 0 || w->err_fd < 0)
        return err_set(e, errno, "copy the standard streams");
    return 0;
}

static int stream_of(const struct log_writer *w, enum log_stream s)
{
    return s == LOG_STDERR ? w->err_fd : w->fd;
}

static bool is_socket(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* A journal that hangs costs output, not the container. */
static void send_all(int fd, const char *p, size_t n)
{
    int64_t end = time_monotonic_ns() + FULL_WAIT_MS * INT64_C(1000000);
    while (n > 0) {
        ssize_t done = send(fd, p, n, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        } else if (done == 0 || (errno != EAGAIN && errno != EINTR) || time_monotonic_ns() > end) {
            return;
        } else {
            struct pollfd wait = {.fd = fd, .events = POLLOUT};
            poll(&wait, 1, FULL_WAIT_MS);
        }
    }
}

/* Comes for sockets and terminals only. */
static void passthrough_write(struct log_writer *w, enum log_stream s, const void *data, size_t n)
{
    int fd = stream_of(w, s);
    if (is_socket(fd))
        send_all(fd, data, n);
    else
        (void)!fs_write_all(fd, data, n);
}

static int passthrough_stream(const struct log_writer *w, enum log_stream s)
{
    int fd = stream_of(w, s);
    return isatty(fd) || is_socket(fd) ? -1 : fd;
}

static void passthrough_close(struct log_writer *w)
{
    fd_close(&w->fd);
    fd_close(&w->err_fd);
}

static int passthrough_read(const struct log_read *o, struct err *e)
{
    (void)o;
    int r = err_msg(e, EOPNOTSUPP,
                    "its output is not kept: the log driver \"passthrough\" sent it "
                    "to where it was started from");
    return err_hint(e, r, "of a unit, the journal has it: journalctl --user -u UNIT");
}

const struct log_driver log_driver_passthrough = {
    .name = "passthrough",
    .summary = "the container writes to the standard output that it was started with",
    .check = passthrough_check,
    .open = passthrough_open,
    .write = passthrough_write,
    .stream = passthrough_stream,
    .close = passthrough_close,
    .read = passthrough_read,
};
