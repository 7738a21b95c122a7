/* The learning half of why.h: a listener that lets every call run and writes down which. */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/scoped.h"
#include "security/why.h"
#include "sys/sock.h"

/* Shared with the helper, which has the same descriptors (CLONE_FILES) but no filter. */
struct handover {
    int fd; /* the listener plus one; 0: not yet; negative: the load failed */
    int result;
};

static void futex_wake(int *word)
{
    syscall(SYS_futex, word, FUTEX_WAKE, 1, NULL, NULL, 0);
}

static _Noreturn void help(struct handover *h, int sock, const void *message, size_t size)
{
    int fd;
    while ((fd = __atomic_load_n(&h->fd, __ATOMIC_ACQUIRE)) == 0)
        syscall(SYS_futex, &h->fd, FUTEX_WAIT, 0, NULL, NULL, 0);
    fd--;
    h->result = fd >= 0 ? sock_send(sock, message, size, &fd, 1) : 0;
    _exit(0);
}

int why_load_and_send(const struct seccomp_prog *p, int sock, const void *message, size_t size,
                      struct err *e)
{
    struct handover *h =
        mmap(NULL, sizeof(*h), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (h == MAP_FAILED)
        return err_set(e, errno, "share memory");
    /* A process, not a thread: memory is copied, only the descriptors are shared. */
    pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
    if (pid == 0)
        help(h, sock, message, size);
    if (pid < 0)
        return err_set(e, errno, "start a helper for the seccomp listener");

    int r = seccomp_prog_load_listener(p, e);
    /* From here on a call may wait for the one who gets the listener. The wake-up is in the
     * allowlists that we ship; with another profile the supervisor lets it run. */
    __atomic_store_n(&h->fd, r < 0 ? -1 : r + 1, __ATOMIC_RELEASE);
    futex_wake(&h->fd);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    int sent = h->result;
    munmap(h, sizeof(*h));
    if (r < 0)
        return r;
    close(r);
    return sent < 0 ? err_set(e, -sent, "send the seccomp listener") : 0;
}

static int note(int dirfd, const struct seccomp_notif *n, struct err *e)
{
    char path[64], line[128], comm[32] = "";
    const char *name = seccomp_syscall_name(n->data.nr);
    snprintf(path, sizeof(path), "/proc/%u/comm", n->pid);
    scoped_fd int comm_fd = n->pid ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t len = comm_fd >= 0 ? read(comm_fd, comm, sizeof(comm) - 1) : 0;
    comm[len > 0 ? len : 0] = '\0';
    for (char *c = comm; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f)
            *c = c[1] ? '?' : '\0'; /* the kernel's newline at the end goes */
    }
    int size = snprintf(line, sizeof(line), "%d %s %s\n", n->data.nr, name ? name : "?", comm);
    scoped_fd int fd =
        openat(dirfd, WHY_LEARNED, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_CLOEXEC, 0600);
    int r = fd < 0 ? -errno : fs_write_all(fd, line, (size_t)size);
    return r < 0 ? err_set(e, -r, "write %s", WHY_LEARNED) : 0;
}

int why_learn_step(struct why_learn *l, int listener, int dirfd, struct err *e)
{
    struct seccomp_notif_sizes sizes = {0};
    struct pollfd p = {.fd = listener, .events = POLLIN};
    /* Receiving would wait for ever when the filter's last process has ended. */
    if (poll(&p, 1, 0) <= 0)
        return 0;
    if (!(p.revents & POLLIN))
        return -ENODEV;
    if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
        return err_set(e, errno, "seccomp notifications");
    /* The kernel's structure may be longer than the one we were built with. */
    size_t size = sizes.seccomp_notif > sizeof(struct seccomp_notif) ? sizes.seccomp_notif
                                                                     : sizeof(struct seccomp_notif);
    scoped_free struct seccomp_notif *n = calloc(1, size);
    if (!n)
        return err_set(e, ENOMEM, "seccomp notification");
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, n) < 0) {
        /* ENOENT: the caller was killed meanwhile. */
        // NOLINTNEXTLINE(clang-analyzer-unix.Malloc): scoped_free frees it
        if (errno == EINTR || errno == EAGAIN || errno == ENOENT)
            return 0;
        return err_set(e, errno, "receive a seccomp notification");
    }
    int nr = n->data.nr, r = 0;
    if (nr >= 0 && nr < 1024 && !(l->seen[nr / 64] & (UINT64_C(1) << (nr % 64)))) {
        l->seen[nr / 64] |= UINT64_C(1) << (nr % 64);
        r = note(dirfd, n, e);
    }
    struct seccomp_notif_resp answer = {.id = n->id, .flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE};
    /* ENOENT: it died before we could answer. */
    if (ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer) < 0 && errno != ENOENT)
        return err_set(e, errno, "answer a seccomp notification");
    return r;
}
