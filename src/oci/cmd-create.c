/* create, run - a container from a bundle. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/proc.h"
#include "oci/launch.h"
#include "term/session.h"

#define O(m) offsetof(struct launch_opts, m)
#define COMMON_OPTIONS                                                                               \
    {"bundle", 'b', OPT_STRING, O(bundle), "DIR", "The bundle; default: the working directory"},     \
        {"config", 'f', OPT_STRING, O(config), "FILE", "Configuration; default: config.json there"}, \
        {"pid-file", 0, OPT_STRING, O(pid_file), "FILE", "Write the pid of the container's init"},   \
        {"console-socket",  0,      OPT_STRING,                                                      \
         O(console_socket), "PATH", "Send the terminal to this unix socket"},                        \
        {"preserve-fds",  0,   OPT_INT,                                                              \
         O(preserve_fds), "N", "Hand on N descriptors beside the standard streams"},                 \
        {"no-pivot", 0,                                                                              \
         OPT_FLAG,   O(no_pivot),                                                                    \
         NULL,       "Enter the root by chroot, where it cannot be pivoted into (initramfs)"},       \
        {"no-new-keyring",  0,    OPT_FLAG,                                                          \
         O(no_new_keyring), NULL, "Share the caller's session keyring"},                             \
    {                                                                                                \
        "no-subreaper", 0, OPT_FLAG, 0, NULL, "There is none", OPT_IGNORED                           \
    }

static const struct opt create_table[] = {COMMON_OPTIONS, {NULL}};

static const struct opt run_table[] = {
    COMMON_OPTIONS,
    {"detach", 'd', OPT_FLAG, O(detach), NULL, "Do not wait for its end"},
    {"keep", 0, OPT_FLAG, O(keep), NULL, "Do not delete it after its end"},
    {NULL},
};

static int create_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_launch struct launch l = LAUNCH_INIT;
    (void)cmd;
    l.o = opts;
    int r = launch_load(&l, e);
    if (r == 0)
        r = launch_create(&l, args[0], e);
    if (r < 0)
        return err_add(e, r, "create %s", args[0]);
    r = engine_detach(l.engine, e);
    if (r < 0)
        launch_undo(&l);
    return r < 0 ? err_add(e, r, "create %s", args[0]) : 0;
}

static void on_notify(void *data, uint32_t events)
{
    (void)events;
    oci_notify_relay(data);
}

/* Up to its end, in the foreground. The result is the exit status. */
static int follow(struct launch *l, struct session *s, struct err *e)
{
    int status = 0;
    s->also = l->notify.socket;
    s->on_also = on_notify;
    s->also_data = &l->notify;
    int r = session_follow(s, engine_pidfd(l->engine), l->console, &status, e);
    return r < 0 ? r : wait_status_code(status);
}

/* The container's terminal is as large as ours from the beginning. */
static void copy_size(const struct launch *l)
{
    uint16_t rows, columns;
    if (l->stays && l->console >= 0 && term_size(STDIN_FILENO, &rows, &columns) == 0)
        (void)!term_set_size(l->console, rows, columns);
}

static int start(struct launch *l, const char *id, struct err *e)
{
    int r = launch_create(l, id, e);
    if (r < 0)
        return r;
    copy_size(l);
    r = engine_start(l->engine, e);
    if (r == 0 && !l->stays)
        r = engine_detach(l->engine, e);
    if (r < 0)
        launch_undo(l);
    return r;
}

static int run_foreground(struct launch *l, const char *id, struct err *e)
{
    bool tty = l->config.spec.process->terminal;
    scoped_session struct session s = SESSION_INIT;
    s.tty = s.interactive = tty;
    int r = session_open(&s, l->stdio, e);
    if (r == 0)
        r = start(l, id, e);
    if (r < 0)
        return r;
    oci_unlock(&l->c);
    int status = follow(l, &s, e);
    struct err gone = ERR_INIT;
    bool deleted = oci_lock_again(&l->c, &gone) == -ENOENT;
    if (deleted || (l->o->keep && status >= 0)) {
        r = engine_detach(l->engine, e);
        return r < 0 ? r : status;
    }
    launch_undo(l);
    return status;
}

static int run_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    scoped_launch struct launch l = LAUNCH_INIT;
    (void)cmd;
    l.o = opts;
    l.stays = !l.o->detach;
    int r = launch_load(&l, e);
    if (r == 0)
        r = l.stays ? run_foreground(&l, args[0], e) : start(&l, args[0], e);
    return r < 0 ? err_add(e, r, "run %s", args[0]) : r;
}

const struct cmd oci_cmd_create = {
    .name = "create",
    .args = "ID",
    .summary = "Make a container that waits for its start",
    .opts = create_table,
    .opts_size = sizeof(struct launch_opts),
    .min_args = 1,
    .max_args = 1,
    .run = create_command,
    .examples = "rootlet-oci create --bundle /srv/web --pid-file /run/web.pid web",
};

const struct cmd oci_cmd_run = {
    .name = "run",
    .args = "ID",
    .summary = "Make a container, start it, and wait for its end",
    .opts = run_table,
    .opts_size = sizeof(struct launch_opts),
    .min_args = 1,
    .max_args = 1,
    .run = run_command,
    .details = "The exit status is the container's, or 128 and the number of the signal that ended "
               "it.",
    .examples = "rootlet-oci run --bundle /srv/web web",
};
