/* rootlet-supervise - started by `rootlet run` and `rootlet start`, one per container. */
#include "supervise/supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"
#include "base/strv.h"
#include "sys/clone.h"

#define OWNER_FD 3
#define PRESERVE_MAX 1000

/* What the control groups need to be begun before the record is there. */
static bool take_group_arg(struct sup *s, char *arg)
{
    const char *v;
    if ((v = str_after(arg, "--cgroups=")))
        s->groups.driver = v;
    else if ((v = str_after(arg, "--cgroup-parent=")))
        s->groups.parent = v;
    else if ((v = str_after(arg, "--scope-property=")))
        strv_add(&s->groups.properties, v);
    return v;
}

static int parse_args(char **argv, struct sup *s, struct err *e)
{
    const char *id = NULL, *v;
    for (char **a = argv + 1; *a; a++) {
        int r = 0;
        if ((v = str_after(*a, "--id=")))
            id = v;
        else if (streq(*a, "--discard"))
            s->discard = true;
        else if (streq(*a, "--adopt"))
            s->adopt = true;
        else if (streq(*a, "--detached"))
            s->detached = true;
        else if (streq(*a, "--early"))
            s->early = true;
        else if (streq(*a, "--trace-stages"))
            s->trace_stages = true;
        else if (streq(*a, "--unit"))
            s->unit.on = true;
        else if ((v = str_after(*a, "--preserve-fds=")))
            r = parse_u32(v, &s->preserve_fds);
        else if ((v = str_after(*a, "--secret-env=")))
            s->secret_env = v;
        else if ((v = str_after(*a, "--listen-fds=")))
            r = parse_u32(v, &s->unit.listen_fds);
        else if (!take_group_arg(s, *a))
            r = -EINVAL;
        if (r < 0 || s->preserve_fds > PRESERVE_MAX || s->unit.listen_fds > PRESERVE_MAX)
            return err_msg(e, EINVAL, "rootlet-supervise: bad argument \"%s\"", *a);
    }
    if (!id || strlen(id) != ID_LEN || !id_is_hex(id))
        return err_msg(e, EINVAL, "rootlet-supervise is started by rootlet, with --id=ID");
    memcpy(s->id, id, ID_LEN + 1);
    if (s->unit.on)
        s->owner_fd = -1;
    return 0;
}

/* Our socket away from the numbers that the payload is to have; all that is ours closed on exec;
 * all that nobody asked for closed. */
static int arrange_fds(struct sup *s, struct err *e)
{
    unsigned n = s->preserve_fds;
    if (s->unit.on) {
        int r = sys_close_from(OWNER_FD + n, 0);
        return r < 0 ? err_set(e, -r, "close descriptors") : 0;
    }
    int fd = fcntl(OWNER_FD, F_DUPFD_CLOEXEC, (int)(OWNER_FD + 1 + n));
    if (fd < 0)
        return err_set(e, errno, "descriptor %d, the socket of who starts us", OWNER_FD);
    for (unsigned i = 0; i < n; i++)
        if (dup2((int)(OWNER_FD + 1 + i), (int)(OWNER_FD + i)) < 0)
            return err_set(e, errno, "descriptor %u", OWNER_FD + 1 + i);
    /* It goes right behind the payload's, and everything above is closed. */
    if (dup3(fd, (int)(OWNER_FD + n), O_CLOEXEC) < 0)
        return err_set(e, errno, "descriptor %u", OWNER_FD + n);
    s->owner_fd = (int)(OWNER_FD + n);
    int r = sys_close_from(OWNER_FD + n + 1, 0);
    return r < 0 ? err_set(e, -r, "close descriptors") : 0;
}

static int become_supervisor(struct sup *s, struct err *e)
{
    umask(077);
    /* Whoever started us may ignore signals that the payload must not. */
    signal(SIGPIPE, SIG_DFL);
    signal(SIGXFSZ, SIG_IGN); /* a log that may not grow loses lines, not us */
    if (setsid() < 0 && errno != EPERM)
        return err_set(e, errno, "begin a session");
    if (prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) < 0)
        return err_set(e, errno, "become the parent of orphans");
    int r = arrange_fds(s, e);
    if (r < 0)
        return r;
    unit_clean_environment(s);
    if (s->adopt) /* who met the container has its own manager, which is not the container's */
        unsetenv("NOTIFY_SOCKET");
    notify_take_environment(s);
    r = credentials_take(s, e);
    if (r < 0)
        return r;
    r = s->early && s->groups.driver ? group_begin(s, e) : 0;
    if (r < 0)
        return r;
    s->loop = loop_new(e);
    s->buf = mmap(NULL, BUF_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (!s->loop || s->buf == MAP_FAILED)
        return err_set(e, ENOMEM, "start the supervisor");
    return conf_load(NULL, &s->conf, e);
}

/* Started before the records were written, so as to be ready by now: the first message says that
 * they are there. None comes when they could not be made. */
static bool wanted(const struct sup *s)
{
    char byte;
    ssize_t n;
    do
        n = recv(s->owner_fd, &byte, 1, MSG_PEEK);
    while (n < 0 && errno == EINTR);
    return n > 0;
}

static int supervise(struct sup *s, struct err *e)
{
    int r = become_supervisor(s, e);
    if (r == 0 && s->early && !wanted(s))
        return 0;
    if (r == 0)
        r = s->adopt ? sup_adopt(s, e) : sup_prepare(s, e);
    if (r < 0)
        return r;
    /* No directory of the user's is kept busy for a container's life. */
    (void)!chdir("/");
    if (s->unit.on) {
        sup_event(s, EV_START, NULL, NULL, NULL);
        return loop_run(s->loop, e);
    }
    r = peers_add(s, s->owner_fd, true, e);
    if (r < 0)
        return r;
    s->owner_fd = -1; /* the peer's now */
    peers_send(s, s->adopt ? PROTO_STARTED : PROTO_CREATED, engine_pid(s->engine), 0, NULL, 0);
    return loop_run(s->loop, e);
}

/* The kernel would do it; but so a check for lost memory sees what was lost while it ran. */
static void release(struct sup *s)
{
    while (s->out_head) {
        struct chunk *c = s->out_head;
        s->out_head = c->next;
        free(c);
    }
    while (s->in_head) {
        struct input *in = s->in_head;
        s->in_head = in->next;
        free(in);
    }
    net_forget(s);
    log_writer_close(s->log);
    ctr_state_release(&s->state);
    free(s->restart.policy);
    free(s->pidfile);
    free(s->pod);
    free(s->bundle);
    strv_free(s->groups.properties);
    free(s->unit.listen_names);
    credentials_forget(s);
    loop_free(s->loop);
    conf_release(&s->conf);
}

int main(int argc, char **argv)
{
    struct sup s = {
        .dir_fd = -1,
        .run_fd = -1,
        .lock_fd = -1,
        .listen_fd = -1,
        .sig_fd = -1,
        .owner_fd = OWNER_FD,
        .oom_fd = -1,
        .server = STORAGE_SERVER_INIT,
        .stdin_fd = -1,
        .pod_fd = -1,
        .stream_fd = {-1, -1},
        .stop_timer = -1,
        .drain_timer = -1,
        .run_timer = -1,
        .trim_timer = -1,
        .state_timer = -1,
        .restart.timer = -1,
        .groups.userns_fd = -1,
        .network.mode = NULL,
    };
    struct err e = ERR_INIT;
    (void)argc;
    int r = parse_args(argv, &s, &e);
    if (r == 0)
        r = engine_protect_self(argv, false, &e);
    if (r == 0)
        r = supervise(&s, &e);
    if (r < 0)
        finish_failed(&s, &e);
    int status = s.unit.on ? unit_status(&s) : r < 0;
    finish_close(&s);
    sup_run_end(&s);
    release(&s);
    return s.unit.on ? unit_leave(status) : status;
}
