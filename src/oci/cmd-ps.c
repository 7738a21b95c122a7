/* ps - the processes of a container, as the host sees them. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "oci/oci.h"

#define PS_MAX_BYTES (16u << 20)

struct ps_opts {
    char *format;
};

static const struct opt table[] = {
    {"format", 'f', OPT_STRING, offsetof(struct ps_opts, format), "FORMAT", "table or json"},
    {NULL},
};

struct pids {
    pid_t *v; /* owned */
    size_t n;
};

static void pids_release(struct pids *p)
{
    free(p->v);
}

static bool has_pid(const struct pids *p, pid_t pid)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->v[i] == pid)
            return true;
    return false;
}

static int pid_namespace(pid_t pid, struct stat *ret)
{
    char path[40];
    snprintf(path, sizeof(path), "/proc/%d/ns/pid", (int)pid);
    return stat(path, ret);
}

/* Without a cgroup a container of its own pid namespace is known by that. */
static int pids_of_namespace(const struct oci_container *c, struct pids *ret, struct err *e)
{
    struct stat theirs, ours, other;
    if (pid_namespace(c->rec.pid, &theirs) < 0 || stat("/proc/self/ns/pid", &ours) < 0)
        return err_set(e, errno, "look at the container's pid namespace");
    if (theirs.st_ino == ours.st_ino)
        return err_msg(e, ENOTSUP,
                       "it has neither a cgroup nor a pid namespace that tell its processes");
    DIR *proc = opendir("/proc");
    if (!proc)
        return err_set(e, errno, "open /proc");
    for (struct dirent *d; (d = readdir(proc));) {
        uint32_t pid;
        if (parse_u32(d->d_name, &pid) < 0 || pid_namespace((pid_t)pid, &other) < 0 ||
            other.st_ino != theirs.st_ino)
            continue;
        ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
        ret->v[ret->n++] = (pid_t)pid;
    }
    closedir(proc);
    return 0;
}

static int find_pids(const struct oci_container *c, struct pids *ret, struct err *e)
{
    scoped_cgroup struct cgroup *cgroup = NULL;
    int r = oci_open_cgroup(c, &cgroup, e);
    if (r < 0)
        return r;
    if (*cgroup_path(cgroup))
        r = cgroup_pids(cgroup, &ret->v, &ret->n, e);
    else
        r = pids_of_namespace(c, ret, e);
    return r;
}

static int print_json(const struct pids *pids)
{
    scoped_json json_t *list = json_array();
    for (size_t i = 0; i < pids->n; i++)
        json_array_append_new(list, json_integer(pids->v[i]));
    scoped_free char *text = json_text(list, false);
    puts(text);
    return 0;
}

/* What ps(1) of the host prints with these options; owned. */
static int run_ps(char *const *options, char **ret, struct err *e)
{
    int pipe_fds[2];
    scoped_strv char **argv = NULL;
    strv_add(&argv, "ps");
    strv_extend(&argv, options);
    if (!*options)
        strv_add(&argv, "-ef");
    if (pipe2(pipe_fds, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    scoped_fd int out = pipe_fds[0], in = pipe_fds[1];
    struct proc_child child;
    struct proc_cmd cmd = {.argv = argv, .envp = environ, .stdin_fd = -1, .stdout_fd = in};
    int r = proc_start(&cmd, &child, e);
    if (r < 0)
        return r;
    fd_close(&in);
    scoped_free char *text = NULL;
    ssize_t n = fs_read_fd(out, PS_MAX_BYTES, &text, e);
    fd_close(&out);
    r = proc_finish(&child, 0, n < 0 ? NULL : e);
    if (n < 0)
        return (int)n;
    if (r != 0)
        return r < 0 ? r : -EINVAL;
    *ret = take_ptr(text);
    return 0;
}

/* Where the heading says PID: the numbers below it end where it ends. In lines that are out of
 * line, words are counted. */
struct column {
    size_t end; /* bytes from the beginning of the line */
    int word;
};

static bool find_column(const char *heading, struct column *ret)
{
    const char *p = heading;
    for (int word = 0; *p; word++) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if (n == 3 && strncmp(p, "PID", n) == 0) {
            *ret = (struct column){(size_t)(p - heading) + n, word};
            return true;
        }
        p += n;
    }
    return false;
}

static pid_t to_pid(const char *word, size_t n)
{
    uint32_t pid;
    scoped_free char *digits = xstrndup(word, n);
    return parse_u32(digits, &pid) < 0 ? -1 : (pid_t)pid;
}

static pid_t pid_of_line(const char *line, const struct column *column)
{
    const char *p = line, *counted = "";
    for (int word = 0; *p; word++) {
        p += strspn(p, " ");
        size_t n = strcspn(p, " ");
        if ((size_t)(p - line) + n == column->end && to_pid(p, n) > 0)
            return to_pid(p, n);
        if (word == column->word)
            counted = p;
        p += n;
    }
    return to_pid(counted, strcspn(counted, " "));
}

static int print_table(const struct pids *pids, char *const *options, struct err *e)
{
    scoped_free char *text = NULL;
    int r = run_ps(options, &text, e);
    if (r < 0)
        return r;
    scoped_strv char **lines = strv_split(text, "\n", false);
    struct column column;
    if (!lines || !lines[0] || !find_column(lines[0], &column))
        return err_hint(e, err_msg(e, EINVAL, "what ps prints has no column PID"),
                        "give ps options such as -o pid,args");
    puts(lines[0]);
    for (char **l = lines + 1; *l; l++)
        if (has_pid(pids, pid_of_line(*l, &column)))
            puts(*l);
    return 0;
}

static int ps_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct ps_opts *o = opts;
    scoped_oci_container struct oci_container c = OCI_CONTAINER_INIT;
    struct pids pids SCOPED(pids_release) = {0};
    bool json = streq(o->format, "json");
    (void)cmd;
    if (o->format && !json && !streq(o->format, "table"))
        return err_msg(e, EINVAL, "ps: --format %s: not table or json", o->format);
    int r = oci_open(args[0], &c, e);
    if (r == 0)
        r = oci_want_running(&c, true, e);
    if (r == 0)
        r = find_pids(&c, &pids, e);
    if (r == 0)
        r = json ? print_json(&pids) : print_table(&pids, args + 1, e);
    return r < 0 ? err_add(e, r, "ps %s", args[0]) : 0;
}

const struct cmd oci_cmd_ps = {
    .name = "ps",
    .args = "ID [PS-OPTION...]",
    .summary = "Show the processes of a container",
    .opts = table,
    .opts_size = sizeof(struct ps_opts),
    .min_args = 1,
    .max_args = -1,
    .flags = CMD_STOP_AT_ARG,
    .run = ps_command,
    .details = "The table is what ps of the host prints (-ef without options), cut to the "
               "container's processes. json: an array of process ids.",
    .examples =
        "rootlet-oci ps web\nrootlet-oci ps web -o pid,rss,args\nrootlet-oci ps -f json web",
};
