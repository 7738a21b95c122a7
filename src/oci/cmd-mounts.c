/* mounts - more mounts for a container that runs, and fewer. As crun has it. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts.h"
#include "oci/oci.h"
#include "sys/clone.h"
#include "sys/sock.h"
#include "userns/userns.h"

static const struct opt table[] = {{NULL}};

/* One run of the command; the helper works on its copy. */
struct change {
    struct oci_container c;
    struct spec spec;  /* the container's */
    struct spec more;  /* the same with the mounts of the file alone */
    uint64_t flags;    /* namespaces of the container but for the user namespace */
    bool other_userns; /* the container's user namespace is not ours */
    int (*run)(struct change *ch, int root, struct err *e);
    bool idmapped;
    int *bind_fds, fds_dir;
};

struct result {
    int r;
    struct err e;
};

static int add_here(struct change *ch, int root, struct err *e);

/* What is to be unmounted need not be described. */
static json_t *destinations(json_t *list)
{
    json_t *ret = json_array(), *m;
    size_t i;
    json_array_foreach(list, i, m)
    {
        json_t *where = json_object_get(m, "destination");
        json_array_append_new(ret, json_pack("{s:O?, s:s}", "destination", where, "type", "tmpfs"));
    }
    return ret;
}

/* "mounts" of the file, or the whole of it when that is an array, in place of the container's own:
 * then the rules of the specification can be applied to them. */
static int read_file(struct change *ch, const char *file, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = streq(file, "-") ? fs_read_fd(STDIN_FILENO, SPEC_MAX_BYTES, &text, e)
                                 : fs_read(AT_FDCWD, file, SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    scoped_json json_t *doc = json_parse(text, (size_t)n, SPEC_MAX_BYTES, file, e);
    if (!doc)
        return -EINVAL;
    json_t *list = json_is_array(doc) ? doc : json_object_get(doc, "mounts");
    if (!json_is_array(list) || json_array_size(list) == 0)
        return err_msg(e, EINVAL, "%s: want an array of mounts, or an object with it as \"mounts\"",
                       file);
    scoped_json json_t *whole = spec_emit(&ch->spec);
    json_object_set_new(whole, "mounts",
                        ch->run == add_here ? json_incref(list) : destinations(list));
    scoped_free char *both = json_text(whole, false);
    return spec_parse(both, strlen(both), file, &ch->more, e);
}

static bool is_below(const char *path, const char *dir)
{
    const char *rest = str_after(path, dir);
    return rest && (*rest == '\0' || *rest == '/');
}

/* What hides parts of the host must stay. */
static int check_removable(const struct change *ch, const char *path, struct err *e)
{
    static const char *const kept[] = {"/proc", "/sys", "/dev"};
    char **const lists[] = {ch->spec.linux_->masked_paths, ch->spec.linux_->readonly_paths};
    bool is_kept = streq(path, "/");
    for (size_t i = 0; i < N_ELEMENTS(kept); i++)
        is_kept = is_kept || streq(path, kept[i]);
    for (size_t i = 0; i < N_ELEMENTS(lists); i++)
        for (char **p = lists[i]; p && *p; p++)
            is_kept = is_kept || is_below(path, *p);
    return is_kept ? err_msg(e, EPERM, "unmount %s: it protects the host", path) : 0;
}

static int add_here(struct change *ch, int root, struct err *e)
{
    const struct mounts_env env = {
        .root_mount = root,
        .root_at = -1,
        .own_netns = ch->flags & CLONE_NEWNET,
        .own_pidns = ch->flags & CLONE_NEWPID,
        .own_ipcns = ch->flags & CLONE_NEWIPC,
        .in_userns = ch->other_userns,
        .bind_fds = ch->bind_fds,
        .idmapped = ch->idmapped,
        .bundle = ch->c.rec.bundle,
    };
    return mounts_add(&ch->more, &env, e);
}

static int remove_here(struct change *ch, int root, struct err *e)
{
    int r = 0;
    for (size_t i = ch->more.n_mounts; r == 0 && i-- > 0;)
        r = mounts_remove(root, ch->fds_dir, ch->more.mounts[i].destination, e);
    return r;
}

/* In the container's user namespace, but with mounts of our own: the sources are the host's, and
 * who may read them is the caller. Ids are mapped by root of the host, before. */
static int open_sources(struct change *ch, struct err *e)
{
    bool add = ch->run == add_here;
    ch->idmapped = add && geteuid() == 0 && ch->other_userns && mounts_any_idmapped(&ch->more);
    if (ch->idmapped) {
        int r = mounts_open_idmapped(&ch->more, ch->c.rec.bundle, ch->bind_fds, e);
        if (r < 0)
            return r;
    }
    if (ch->other_userns && setns(ch->c.pidfd, CLONE_NEWUSER) < 0)
        return err_set(e, errno, "join the container's user namespace");
    if (!add)
        return 0;
    if (unshare(CLONE_NEWNS) < 0)
        return err_set(e, errno, "make a mount namespace");
    return mounts_open_sources(&ch->more, ch->c.rec.bundle, ch->bind_fds, e);
}

/* The container's processes must neither trace us nor reach our descriptors (CVE-2016-9962). */
static int enter_and_run(struct change *ch, struct err *e)
{
    ch->fds_dir = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (ch->fds_dir < 0)
        return err_set(e, errno, "open /proc/self/fd");
    if (prctl(PR_SET_DUMPABLE, 0) < 0)
        return err_set(e, errno, "make the process undumpable");
    int r = open_sources(ch, e);
    if (r < 0)
        return r;
    if (setns(ch->c.pidfd, (int)ch->flags) < 0)
        return err_set(e, errno, "join the container's namespaces");
    r = ch->other_userns ? userns_become_root(false, e) : 0;
    if (r < 0)
        return r;
    scoped_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
    return root < 0 ? err_set(e, errno, "open the container's root") : ch->run(ch, root, e);
}

_Noreturn static void helper(struct change *ch, int sock)
{
    struct result res = {0};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    res.r = enter_and_run(ch, &res.e);
    _exit(sock_send(sock, &res, sizeof(res), NULL, 0) < 0 ? 1 : 0);
}

static int run_helper(struct change *ch, struct err *e)
{
    int pair[2];
    struct result res;
    int r = sock_pair(pair, e);
    if (r < 0)
        return r;
    scoped_fd int mine = pair[0], theirs = pair[1], pidfd = -1;
    pid_t pid = sys_clone(0, -1, &pidfd);
    if (pid == 0)
        helper(ch, theirs);
    if (pid < 0)
        return err_set(e, -pid, "clone");
    fd_close(&theirs);
    ssize_t n = sock_recv(mine, &res, sizeof(res), NULL);
    pidfd_wait(pidfd, NULL);
    if (n != (ssize_t)sizeof(res))
        return err_msg(e, EIO, "the process in the container ended early");
    if (res.r < 0)
        *e = res.e;
    return res.r;
}

static int find_namespaces(struct change *ch, struct err *e)
{
    char path[40];
    struct stat theirs, ours;
    for (size_t i = 0; i < ch->spec.linux_->n_namespaces; i++)
        ch->flags |= sys_ns_flag(ch->spec.linux_->namespaces[i].type);
    ch->flags &= ~(uint64_t)(CLONE_NEWUSER | CLONE_NEWTIME);
    if (!(ch->flags & CLONE_NEWNS))
        return err_msg(e, ENOTSUP, "the container has no mount namespace of its own");
    snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)ch->c.rec.pid);
    if (stat(path, &theirs) < 0 || stat("/proc/self/ns/user", &ours) < 0)
        return err_set(e, errno, "look at the container's namespaces");
    ch->other_userns = theirs.st_ino != ours.st_ino;
    return 0;
}

/* The configuration that is kept tells what there is. */
static int keep(struct change *ch, struct err *e)
{
    for (size_t i = 0; i < ch->more.n_mounts; i++) {
        const struct spec_mount *m = &ch->more.mounts[i];
        if (ch->run == remove_here) {
            spec_remove_mount(&ch->spec, m->destination);
            continue;
        }
        scoped_free char *options = strv_join(m->options, ",");
        spec_add_mount(&ch->spec, m->destination, m->type ? m->type : "none",
                       m->source ? m->source : "none", options);
    }
    return oci_write_spec(&ch->c, &ch->spec, e);
}

static int change(struct change *ch, const char *id, const char *file, struct err *e)
{
    int r = oci_open_locked(id, &ch->c, e);
    if (r == 0)
        r = oci_want_running(&ch->c, true, e);
    if (r == 0)
        r = oci_read_spec(&ch->c, &ch->spec, e);
    if (r == 0)
        r = read_file(ch, file, e);
    for (size_t i = 0; r == 0 && ch->run == remove_here && i < ch->more.n_mounts; i++) {
        scoped_free char *path = path_clean(ch->more.mounts[i].destination);
        r = check_removable(ch, path, e);
    }
    if (r == 0)
        r = find_namespaces(ch, e);
    if (r < 0)
        return r;
    ch->bind_fds = mounts_new_fds(&ch->more);
    r = run_helper(ch, e);
    mounts_close_fds(&ch->more, ch->bind_fds);
    return r < 0 ? r : keep(ch, e);
}

static int mounts_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    struct change ch = {.c = OCI_CONTAINER_INIT, .fds_dir = -1};
    (void)opts;
    ch.run = streq(cmd->name, "mounts add") ? add_here : remove_here;
    int r = change(&ch, args[0], args[1], e);
    oci_container_release(&ch.c);
    spec_release(&ch.spec);
    spec_release(&ch.more);
    return r < 0 ? err_add(e, r, "%s %s", cmd->name, args[0]) : 0;
}

const struct cmd oci_cmd_mounts_add = {
    .name = "mounts add",
    .args = "ID FILE",
    .summary = "Mount something in a running container",
    .opts = table,
    .min_args = 2,
    .max_args = 2,
    .run = mounts_command,
    .details = "FILE holds mounts as a configuration does: an array, or an object with the array "
               "as \"mounts\". - is standard input.",
    .examples = "rootlet-oci mounts add web mounts.json",
};

const struct cmd oci_cmd_mounts_remove = {
    .name = "mounts remove",
    .args = "ID FILE",
    .summary = "Unmount something in a running container",
    .opts = table,
    .min_args = 2,
    .max_args = 2,
    .run = mounts_command,
    .details = "Only the destinations of FILE count. /, /proc, /sys, /dev, masked and read-only "
               "paths stay.",
    .examples = "rootlet-oci mounts remove web mounts.json",
};
