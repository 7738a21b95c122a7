/* each - the same work for several containers: go on after errors, the worst status counts. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/proc.h"
#include "cli/cli.h"

/* So many wait at the same time: each costs a process and a descriptor. */
#define AT_ONCE 64

static void keep_worst(int status, int *worst)
{
    if (status > *worst)
        *worst = status;
}

struct each {
    cli_each_fn *fn;
    void *data;
    int worst;
    bool failed;
};

/* Prints the error that was held back before a new one takes its place. */
static void take_error(struct each *s, struct err *e, const struct err *one)
{
    if (s->failed)
        cli_print_err(e);
    *e = *one;
    s->failed = true;
    keep_worst(one->exit_status ? one->exit_status : 125, &s->worst);
}

static void one_container(struct each *s, const char *name, struct err *e)
{
    struct err one = ERR_INIT;
    scoped_container struct container c = {.dir_fd = -1};
    int r = name ? container_open(cli_conf(), name, &c, &one)
                 : container_open_latest(cli_conf(), &c, &one);
    if (r >= 0)
        r = s->fn(&c, name ? name : c.id, s->data, &one);
    if (r < 0)
        take_error(s, e, &one);
    else
        keep_worst(r, &s->worst);
}

static int result(const struct each *s, struct err *e)
{
    if (!s->failed)
        return s->worst;
    e->exit_status = s->worst;
    return e->errnum > 0 ? -e->errnum : -EIO;
}

int cli_each(char **names, bool latest, cli_each_fn *fn, void *data, struct err *e)
{
    struct each s = {.fn = fn, .data = data};
    if (latest && *names)
        return err_msg(e, EINVAL, "--latest and names exclude each other");
    if (!latest && !*names)
        return err_hint(e, err_msg(e, EINVAL, "no container given"), "names or ids");
    if (latest)
        one_container(&s, NULL, e);
    for (char **n = names; *n; n++)
        one_container(&s, *n, e);
    return result(&s, e);
}

/* --- at once --- */

/* What begin has made of one container. */
struct part {
    char id[ID_LEN + 1];
    int result; /* of begin, < 0: e says why */
    bool missing;
    int fd; /* its process tells result and e here; -1: known */
    pid_t pid;
    struct err e;
};

/* What crosses the pipe. */
struct answer {
    int result;
    struct err e;
};

_Noreturn static void child(int fd, pid_t parent, struct container *c, const char *typed,
                            const struct cli_parts *p)
{
    struct answer a = {.e = ERR_INIT};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    a.result = p->begin(c, typed, p->data, &a.e);
    _exit(write(fd, &a, sizeof(a)) != (ssize_t)sizeof(a));
}

/* Without a process of its own where there is no other container, and where none can be had. */
static void begin(struct part *t, const char *typed, const struct cli_parts *p, bool alone)
{
    scoped_container struct container c = {.dir_fd = -1};
    int fd[2];
    *t = (struct part){.fd = -1, .pid = -1, .e = ERR_INIT};
    t->result = container_open(cli_conf(), typed, &c, &t->e);
    t->missing = t->result == -ENOENT;
    if (t->result < 0)
        return;
    memcpy(t->id, c.id, sizeof(t->id));
    pid_t self = getpid();
    if (!alone && pipe2(fd, O_CLOEXEC) == 0) {
        fflush(NULL);
        t->pid = fork();
        if (t->pid == 0)
            child(fd[1], self, &c, typed, p);
        close(fd[1]);
        if (t->pid > 0) {
            t->fd = fd[0];
            return;
        }
        close(fd[0]);
    }
    t->result = p->begin(&c, typed, p->data, &t->e);
}

static void await(struct part *t)
{
    struct answer a;
    if (t->fd < 0)
        return;
    ssize_t n;
    do
        n = read(t->fd, &a, sizeof(a));
    while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(a)) {
        t->result = a.result;
        t->e = a.e;
    } else {
        t->result = err_msg(&t->e, ECHILD, "the process that did this was killed");
    }
    fd_close(&t->fd);
    while (waitpid(t->pid, NULL, 0) < 0 && errno == EINTR)
        ;
}

int cli_each_at_once(char **names, const struct cli_parts *p, struct err *e)
{
    struct each s = {.worst = 0};
    size_t n = strv_len(names), begun = 0;
    scoped_free struct part *parts = xcalloc(n ? n : 1, sizeof(*parts));
    for (size_t i = 0; i < n; i++) {
        for (; begun < n && begun < i + AT_ONCE; begun++)
            begin(&parts[begun], names[begun], p, n == 1);
        struct part *t = &parts[i];
        await(t);
        if (t->missing && p->missing)
            t->result = p->missing(names[i], p->data, &t->e);
        else if (t->result >= 0)
            t->result = p->end(t->id, names[i], t->result, p->data, &t->e);
        if (t->result < 0)
            take_error(&s, e, &t->e);
        else
            keep_worst(t->result, &s.worst);
    }
    return result(&s, e);
}
