/* attach - couples a terminal or pipes to a container, through its supervisor. */
#include "container/client.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/str.h"
#include "term/term.h"

/* A pipe that polls writable takes at least this much without blocking. pipe(7) */
#define SAFE_WRITE 4096

struct attach {
    const struct attach_opts *o;
    struct attach_result *res;
    int sig_fd;
    int interrupts; /* SIGINT that were passed on */
    sigset_t old_mask;
    struct sigaction old_pipe;
    struct term_saved term;
    struct detach_keys keys;
    bool in_open;
    uint32_t unacked;      /* bytes of STDIN that the container has not taken */
    struct proto_msg *msg; /* the last message; output of it is pending while left > 0 */
    uint32_t off, left;
    int out_fd; /* where it goes */
    bool done;
};

static void proxied_signals(sigset_t *ret)
{
    /* Not those that stop us, that report faults of ours, or that speak of our own children. */
    static const int signals[] = {SIGHUP,  SIGINT,  SIGQUIT, SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGTERM, SIGIO,   SIGPWR,  SIGVTALRM};
    sigemptyset(ret);
    for (size_t i = 0; i < N_ELEMENTS(signals); i++)
        sigaddset(ret, signals[i]);
    for (int s = SIGRTMIN; s <= SIGRTMAX; s++)
        sigaddset(ret, s);
}

static int open_signals(struct attach *a, struct err *e)
{
    sigset_t set;
    proxied_signals(&set);
    sigaddset(&set, SIGWINCH);
    sigprocmask(SIG_BLOCK, &set, &a->old_mask);
    /* A reader that goes away is the container's business first. */
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &ignore, &a->old_pipe);
    a->sig_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return a->sig_fd < 0 ? err_set(e, errno, "open a descriptor for signals") : 0;
}

static int send_msg(struct attach *a, enum proto_type type, int32_t x, int32_t y)
{
    return proto_send(a->o->fd, type, x, y, NULL, 0);
}

static void send_size(struct attach *a)
{
    uint16_t rows, columns;
    /* A failure here shows as the end of the connection. */
    if (a->o->tty && (term_size(a->o->out_fd, &rows, &columns) == 0 ||
                      term_size(a->o->in_fd, &rows, &columns) == 0))
        (void)!send_msg(a, PROTO_RESIZE, rows, columns);
}

/* The signal that we were to die of, had it not been a descriptor's. */
static void die_of(struct attach *a, int sig)
{
    term_restore(&a->term);
    signal(sig, SIG_DFL);
    sigset_t one;
    sigemptyset(&one);
    sigaddset(&one, sig);
    sigprocmask(SIG_UNBLOCK, &one, NULL);
    raise(sig);
}

static void pass_on(struct attach *a, int sig)
{
    (void)!send_msg(a, PROTO_SIGNAL, sig, 0);
    if (sig == SIGINT && ++a->interrupts == 3 && a->o->ignored)
        a->o->ignored(a->o->data);
}

static void on_signal(struct attach *a)
{
    struct signalfd_siginfo si;
    while (read(a->sig_fd, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo == SIGWINCH)
            send_size(a);
        else if (!a->o->sig_proxy)
            die_of(a, (int)si.ssi_signo);
        else
            pass_on(a, (int)si.ssi_signo);
    }
}

static int send_stdin(struct attach *a, const void *data, size_t n)
{
    a->unacked += (uint32_t)n;
    return proto_send(a->o->fd, PROTO_STDIN, 0, 0, data, (uint32_t)n);
}

static void on_input(struct attach *a)
{
    unsigned char in[8192], out[sizeof(in) + DETACH_KEYS_MAX];
    ssize_t n = read(a->o->in_fd, in, sizeof(in));
    if (n < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (n <= 0) {
        a->in_open = false;
        (void)!send_stdin(a, NULL, 0);
        return;
    }
    size_t len = (size_t)n;
    bool detach = false;
    if (a->o->tty)
        detach = detach_keys_feed(&a->keys, in, len, out, &len);
    if (len)
        (void)!send_stdin(a, a->o->tty ? out : in, len);
    if (detach) {
        (void)!send_msg(a, PROTO_DETACH, 0, 0);
        a->res->detached = a->done = true;
    }
}

static void on_started(struct attach *a)
{
    a->res->started = true;
    if (a->o->started)
        a->o->started(a->o->data);
    a->in_open = a->o->in_fd >= 0;
    /* Only now: until here the keys of the terminal are to end the command. */
    if (a->o->tty && a->in_open)
        (void)!term_raw(a->o->in_fd, &a->term);
    send_size(a);
}

/* The reader of our output has gone: so has the container's, as if it were at the other end of the
 * pipe itself. */
static void output_closed(struct attach *a)
{
    int want = a->out_fd == a->o->out_fd ? PROTO_WANT_STDOUT : PROTO_WANT_STDERR;
    (void)!send_msg(a, PROTO_CLOSED, want, 0);
    a->left = 0;
}

static void write_pending(struct attach *a)
{
    size_t n = a->left < SAFE_WRITE ? a->left : SAFE_WRITE;
    ssize_t done = write(a->out_fd, a->msg->data + a->off, n);
    if (done < 0 && (errno == EINTR || errno == EAGAIN))
        return;
    if (done < 0) {
        output_closed(a);
        return;
    }
    a->off += (uint32_t)done;
    a->left -= (uint32_t)done;
}

static void on_output(struct attach *a, int fd)
{
    struct stat st;
    a->out_fd = fd;
    a->off = 0;
    a->left = fd < 0 ? 0 : a->msg->head.len;
    /* A file never makes us wait long enough to matter. */
    if (a->left && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
        if (fs_write_all(fd, a->msg->data, a->left) < 0)
            output_closed(a);
        a->left = 0;
    }
}

static int on_message(struct attach *a, struct err *e)
{
    int r = proto_recv(a->o->fd, a->msg);
    if (r == -EAGAIN)
        return 0;
    if (r == 0)
        return err_msg(e, ECONNRESET, "the supervisor of the container has gone away");
    if (r < 0)
        return err_set(e, -r, "read from the supervisor");
    const struct proto_head *h = &a->msg->head;
    switch (h->type) {
    case PROTO_STARTED:
        on_started(a);
        break;
    case PROTO_STDOUT:
        on_output(a, a->o->out_fd);
        break;
    case PROTO_STDERR:
        on_output(a, a->o->err_fd);
        break;
    case PROTO_STDIN_ACK:
        a->unacked -= (uint32_t)h->a < a->unacked ? (uint32_t)h->a : a->unacked;
        break;
    case PROTO_EXIT:
        a->res->exit_code = h->a;
        a->res->signal = h->b;
        a->done = true;
        break;
    case PROTO_ERROR:
        return proto_err(a->msg, e);
    case PROTO_REFUSED:
        /* A refused signal or size is no reason to leave; a refused ATTACH is. */
        return a->res->started ? 0 : proto_err(a->msg, e);
    case PROTO_OK:
        if (!a->res->started && !a->o->start)
            on_started(a);
        break;
    default:
        break;
    }
    return 0;
}

/* Waits for whatever comes next and does it. */
static int turn(struct attach *a, struct err *e)
{
    bool in = a->in_open && a->unacked < PROTO_STDIN_WINDOW - 2 * PROTO_MAX_DATA;
    struct pollfd p[] = {
        {.fd = a->sig_fd, .events = POLLIN},
        /* Nothing more is read while output waits: the container then waits as well. */
        {.fd = a->left ? -1 : a->o->fd, .events = POLLIN},
        {.fd = a->left ? a->out_fd : -1, .events = POLLOUT},
        {.fd = in ? a->o->in_fd : -1, .events = POLLIN},
    };
    bool asked = !a->o->start && !a->res->started;
    int n = poll(p, N_ELEMENTS(p), asked ? CLIENT_STOPPED_MS : -1);
    if (n < 0)
        return errno == EINTR ? 0 : err_set(e, errno, "wait for the container");
    if (n == 0)
        return client_check_stopped(a->o->fd, e);
    if (p[0].revents)
        on_signal(a);
    if (p[2].revents)
        write_pending(a);
    if (p[3].revents)
        on_input(a);
    return p[1].revents && !a->done ? on_message(a, e) : 0;
}

static int send_opening(struct attach *a, struct err *e)
{
    int want = (a->o->in_fd >= 0 ? PROTO_WANT_STDIN : 0) |
               (a->o->out_fd >= 0 ? PROTO_WANT_STDOUT : 0) |
               (a->o->err_fd >= 0 ? PROTO_WANT_STDERR : 0);
    int r = send_msg(a, PROTO_ATTACH, want, 0);
    if (r == 0 && a->o->start) {
        send_size(a);
        r = send_msg(a, PROTO_START, 0, 0);
    }
    /* A supervisor that could not even begin has said why before it went. */
    return r == 0 || r == -EPIPE || r == -ECONNRESET ? 0 : err_set(e, -r, "talk to the supervisor");
}

int attach_run(const struct attach_opts *o, struct attach_result *ret, struct err *e)
{
    struct attach a = {.o = o, .res = ret, .sig_fd = -1, .term = TERM_SAVED_INIT};
    *ret = (struct attach_result){0};
    int r = o->tty ? detach_keys_parse(o->detach_keys, &a.keys, e) : 0;
    if (r < 0)
        return r;
    scoped_free struct proto_msg *msg = xmalloc(sizeof(*msg));
    a.msg = msg;
    r = open_signals(&a, e);
    if (r == 0)
        r = send_opening(&a, e);
    while (r == 0 && !a.done)
        r = turn(&a, e);
    term_restore(&a.term);
    fd_close(&a.sig_fd);
    sigaction(SIGPIPE, &a.old_pipe, NULL);
    sigprocmask(SIG_SETMASK, &a.old_mask, NULL);
    return r;
}
