/* rootlet-leash - ends a foreign program with a container.
 *
 *   rootlet-leash        descriptor 3: the container's first process, 4: the program (pidfds).
 *                        When 3 ends, 4 is killed; when 4 has ended we end.
 *   rootlet-leash hold   stands in namespaces that it was put into, as a process that others may
 *                        look at, until descriptor 3 is closed.
 *
 * Programs of others do not know our containers. The supervisor would end them, but it may be
 * killed itself, and the container's network lives on then. */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#define HELD 3
#define TARGET 4

static int wait_for(struct pollfd *p, nfds_t n)
{
    int r;
    do
        r = poll(p, n, -1);
    while (r == 0);
    return r;
}

int main(int argc, char **argv)
{
    struct pollfd p[] = {{.fd = HELD, .events = POLLIN}, {.fd = TARGET, .events = POLLIN}};
    nfds_t n = argc > 1 && strcmp(argv[1], "hold") == 0 ? 1 : 2;
    while (wait_for(p, n) < 0) /* only a signal does that */
        ;
    if (n == 2 && p[0].revents)
        syscall(SYS_pidfd_send_signal, TARGET, SIGKILL, NULL, 0);
    return 0;
}
