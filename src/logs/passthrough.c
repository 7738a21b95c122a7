/* passthrough - the container writes to what our own standard output and error are, in a unit the
 * journal. Nothing goes through us, but what is for a terminal: whoever holds one can read its
 * keys. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "logs/logs-priv.h"

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

/* Comes for terminals only. */
static void passthrough_write(struct log_writer *w, enum log_stream s, const void *data, size_t n)
{
    (void)!fs_write_all(stream_of(w, s), data, n);
}

static int passthrough_stream(const struct log_writer *w, enum log_stream s)
{
    int fd = stream_of(w, s);
    return isatty(fd) ? -1 : fd;
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
