/* device - a tap, or a packet socket where no tap can be had: one frame per system call. */
#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "helpers/slirp/slirp.h"

ssize_t device_read(struct device *d, void *buf, size_t size)
{
    ssize_t n;
    do
        n = d->packet ? recv(d->fd, buf, size, MSG_DONTWAIT) : read(d->fd, buf, size);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* A frame that cannot be delivered is lost, as on any other wire. */
void device_write(struct device *d, const void *frame, size_t size)
{
    ssize_t n;
    do
        n = d->packet ? send(d->fd, frame, size, MSG_DONTWAIT | MSG_NOSIGNAL)
                      : write(d->fd, frame, size);
    while (n < 0 && errno == EINTR);
}
