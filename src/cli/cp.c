/* cp - files into a container, out of it, and from one to another.
 *
 * Two processes, each of which opens files as its own side may: the reading one sends them by a
 * socket (src/copy), we write. A side in a container works as its root (container/root.h), a tar
 * on stdin or stdout is rootlet-image's. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "cli/cli.h"
#include "container/root.h"
#include "copy/copy.h"
#include "copy/message.h"
#include "engine/user.h"
#include "sys/sock.h"
#include "userns/userns.h"

struct cp_opts {
    bool archive, follow, overwrite, quiet, ignored;
};

#define O(m) offsetof(struct cp_opts, m)
static const struct opt cp_table[] = {
    {"archive", 'a', OPT_FLAG, O(archive), NULL, "Keep the numbers of owners"},
    {"follow-link", 'L', OPT_FLAG, O(follow), NULL, "Follow SRC when it is a symbolic link"},
    {"overwrite", 0, OPT_FLAG, O(overwrite), NULL,
     "Let files replace directories, and directories files"},
    {"pause", 0, OPT_FLAG, O(ignored), NULL, "(ignored) Nothing has to be paused", OPT_IGNORED},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "No progress, no notices"},
    {NULL},
};

/* One end of the copy. */
struct end {
    const char *typed, *path;
    char *label; /* "cp TYPED", in front of errors; owned */
    bool in_container, is_tar;
    struct container c; /* in_container */
};

struct cp {
    const struct cp_opts *o;
    struct end src, dst;
    int sock; /* of this side */
};

/* --- WHAT WAS TYPED --- */

/* "CONTAINER:PATH"; "./a:b" and "/a:b" are the host's. */
static const char *container_path(const char *typed)
{
    const char *colon = strchr(typed, ':');
    if (!colon || typed[0] == '.' || memchr(typed, '/', (size_t)(colon - typed)))
        return NULL;
    return colon + 1;
}

static int open_end(const char *typed, struct end *ret, struct err *e)
{
    const char *path = container_path(typed);
    struct stat st;
    ret->typed = typed;
    ret->label = xasprintf("cp %s", typed);
    ret->path = path ? path : typed;
    ret->is_tar = streq(typed, "-");
    ret->in_container = path;
    if (!*typed)
        return err_msg(e, EINVAL, "cp: a path is empty");
    if (!path)
        return 0;
    if (!*path)
        ret->path = "/";
    scoped_free char *name = xstrndup(typed, (size_t)(path - 1 - typed));
    int r = container_open(cli_conf(), name, &ret->c, e);
    if (r < 0 && lstat(typed, &st) == 0)
        err_hint(e, r, "a file of this name has to be written as \"./%s\"", typed);
    return r < 0 ? err_add(e, r, "cp %s", typed) : 0;
}

static bool is_below(const char *path, const char *dir)
{
    scoped_free char *a = path_clean(path), *b = path_clean(dir);
    const char *rest = str_after(a, b);
    return rest && (!*rest || *rest == '/' || streq(b, "/"));
}

static int check_ends(const struct cp *x, struct err *e)
{
    if (!x->src.in_container && !x->dst.in_container) {
        int r = err_msg(e, EINVAL, "cp %s: neither it nor %s is in a container", x->src.typed,
                        x->dst.typed);
        return err_hint(e, r, "name one end as CONTAINER:PATH");
    }
    if (x->src.is_tar && isatty(STDIN_FILENO))
        return err_msg(e, EINVAL, "cp -: standard input is a terminal, and a tar is wanted");
    if (x->dst.is_tar && isatty(STDOUT_FILENO))
        return err_hint(e, err_msg(e, EINVAL, "cp -: no tar is written to a terminal"),
                        "rootlet cp %s - | tar t", x->src.typed);
    if (x->src.in_container && x->dst.in_container && streq(x->src.c.id, x->dst.c.id) &&
        is_below(x->dst.path, x->src.path))
        return err_msg(e, EINVAL, "cp %s: it cannot be copied to itself, %s", x->src.typed,
                       x->dst.typed);
    return 0;
}

/* --- THE READING SIDE --- */

static int send_in_root(int root, void *data, struct err *e)
{
    const struct cp *x = data;
    const struct copy_source s = {root, x->src.path, x->src.label, x->o->follow};
    (void)e;
    copy_send(&s, x->sock); /* if nobody listens, he knows why */
    return 0;
}

static int exec_tar(int sock, const char *direction, const char *label, struct err *e)
{
    scoped_strv char **argv = NULL;
    strv_add(&argv, "rootlet-image");
    strv_add(&argv, "cp-tar");
    strv_add(&argv, direction);
    strv_add(&argv, label);
    if ((sock == 3 ? fcntl(3, F_SETFD, 0) : dup2(sock, 3)) < 0)
        return err_set(e, errno, "hand on a descriptor");
    return cli_exec_program("rootlet-image", argv, e);
}

_Noreturn static void read_side(struct cp *x, int sock)
{
    struct err e = ERR_INIT;
    const struct copy_source host = {-1, x->src.path, x->src.label, x->o->follow};
    int r = 0;
    x->sock = sock;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (x->src.is_tar)
        r = exec_tar(sock, "in", x->src.label, &e);
    else if (x->src.in_container)
        r = container_root_run(cli_conf(), &x->src.c, CTR_ROOT_MOUNTS, send_in_root, x, &e);
    else
        copy_send(&host, sock);
    if (r < 0) {
        err_add(&e, r, "%s", x->src.label);
        copy_send_failure(sock, &e);
    }
    _exit(0);
}

/* --- THE WRITING SIDE --- */

static void notice(const char *text)
{
    scoped_free char *line = xasprintf("cp: %s", text);
    cli_notice(line);
}

static struct copy_dest dest(const struct cp *x, int root)
{
    return (struct copy_dest){
        .root = root,
        .path = x->dst.path,
        .label = x->dst.label,
        .archive = x->o->archive,
        .overwrite = x->o->overwrite,
        .outward = root < 0,
        /* A user's own number in a container is chosen by the container: a program that runs as him
         * for everybody is not for it to make. */
        .set_ids = geteuid() == 0 && userns_is_initial(),
        .progress = !x->o->quiet && isatty(STDERR_FILENO),
        .uid = -1,
        .gid = -1,
        .notice = x->o->quiet ? NULL : notice,
    };
}

/* Files belong to the one as whom the container runs: he shall be able to use them. */
static void find_owner(const struct cp *x, int root, struct copy_dest *d)
{
    scoped_spec struct spec spec = {0};
    struct user u = {.uid = 0};
    if (container_read_spec(x->dst.c.dir_fd, &spec, NULL) < 0 || !spec.process)
        return;
    const struct user_request q = {.text = x->dst.c.rec.user, .spec = &spec.process->user};
    if (user_resolve(root, &q, &u, NULL) == 0) {
        d->uid = u.uid;
        d->gid = u.gid;
    }
    user_release(&u);
}

static int receive_in_root(int root, void *data, struct err *e)
{
    const struct cp *x = data;
    struct copy_dest d = dest(x, root);
    find_owner(x, root, &d);
    return copy_receive(&d, x->sock, e);
}

static int write_side(struct cp *x, struct err *e)
{
    if (x->dst.is_tar)
        return exec_tar(x->sock, "out", x->src.label, e);
    if (!x->dst.in_container) {
        const struct copy_dest d = dest(x, -1);
        return copy_receive(&d, x->sock, e);
    }
    int r = container_root_run(cli_conf(), &x->dst.c, CTR_ROOT_WRITE | CTR_ROOT_MOUNTS,
                               receive_in_root, x, e);
    /* What happened before there was a copy says nothing of where. */
    if (r < 0 && !str_after(e->msg, x->dst.label) && !str_after(e->msg, x->src.label))
        err_add(e, r, "%s", x->dst.label);
    return r;
}

static int copy(struct cp *x, struct err *e)
{
    int pair[2];
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1], reader = -1;
    pid_t pid = fork_pidfd(&reader);
    if (pid < 0)
        return err_set(e, errno, "%s: fork", x->src.label);
    if (pid == 0) {
        fd_close(&mine);
        read_side(x, theirs);
    }
    fd_close(&theirs);
    x->sock = mine;
    r = write_side(x, e);
    fd_close(&mine);
    if (r < 0) /* it may wait for a file of a container for ever */
        pidfd_signal(reader, SIGKILL);
    pidfd_wait(reader, NULL);
    return r;
}

static int cp_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct cp x = {.o = opts, .src.c.dir_fd = -1, .dst.c.dir_fd = -1};
    (void)cmd;
    int r = open_end(args[0], &x.src, e);
    if (r == 0)
        r = open_end(args[1], &x.dst, e);
    if (r == 0)
        r = check_ends(&x, e);
    if (r == 0)
        r = copy(&x, e);
    container_release(&x.src.c);
    container_release(&x.dst.c);
    free(x.src.label);
    free(x.dst.label);
    return r;
}

static const char *const cp_aliases[] = {"container cp", NULL};

const struct cmd cli_cp_cmds[] = {
    {
        .name = "cp",
        .args = "[CONTAINER:]SRC [CONTAINER:]DEST",
        .summary = "Copy files between a container and the host, or two containers",
        .opts = cp_table,
        .opts_size = sizeof(struct cp_opts),
        .min_args = 2,
        .max_args = 2,
        .run = cp_command,
        .aliases = cp_aliases,
        .details = "The container may run or not. Directories are copied with all that is in "
                   "them; SRC/. means their contents.\n\"-\" is a tar on standard input or "
                   "output. Modes and times are kept; new files belong to the\ncontainer's user, "
                   "or on the host to you.",
        .examples = "rootlet cp site.conf web:/etc/nginx/conf.d/\nrootlet cp web:/var/log/nginx "
                    "logs\nrootlet cp src/. build:/src\nrootlet cp db:/etc - | tar t",
    },
    {NULL},
};
