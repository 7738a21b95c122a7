/* mount - mount add, rm and ls: the mounts of a container, changed while it runs. What changes is
 * its configuration as well, as with update: its next start has the same. */
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/lock.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/build.h"
#include "cli/cli.h"
#include "cli/inspect.h"
#include "engine/engine.h"
#include "events/events.h"
#include "format/format.h"

struct mount_opts {
    bool latest, force, no_header;
    char **volume, **mount, **tmpfs;
    char *format;
};

#define O(m) offsetof(struct mount_opts, m)
static const struct opt add_table[] = {
    {"mount", 0, OPT_STRV, O(mount), "LIST", "The same as key=value pairs: type=bind,source=..."},
    {"tmpfs", 0, OPT_STRV, O(tmpfs), "DIR[:OPTIONS]", "A file system in memory"},
    {"volume", 'v', OPT_STRV, O(volume), "SOURCE:DESTINATION[:OPTIONS]", "As without -v"},
    {NULL},
};
static const struct opt rm_table[] = {
    {"force", 'f', OPT_FLAG, O(force), NULL, "Forget it even when nothing is mounted there"},
    {NULL},
};
static const struct opt ls_table[] = {
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {"noheading", 'n', OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {NULL},
};

/* One change of one container. */
struct change {
    struct container *c;
    bool force;
    struct ctr_record rec; /* as on disk, under the lock */
    struct spec spec;
    struct spec more;           /* the same with the mounts of this change alone */
    struct ctr_record more_rec; /* their volumes */
    char **gone;                /* destinations, as the record spells them */
    int pidfd;
};

static void change_release(struct change *ch)
{
    ctr_record_release(&ch->rec);
    ctr_record_release(&ch->more_rec);
    spec_release(&ch->spec);
    spec_release(&ch->more);
    strv_free(ch->gone);
    fd_close(&ch->pidfd);
}

static bool same_path(const char *a, const char *b)
{
    scoped_free char *left = path_clean(a), *right = path_clean(b);
    return streq(left, right);
}

/* --- what is there --- */

static int read_all(struct change *ch, struct err *e)
{
    int r = container_read_record(ch->c->dir_fd, &ch->rec, e);
    if (r == 0)
        r = container_read_spec(ch->c->dir_fd, &ch->spec, e);
    if (r < 0)
        return r;
    scoped_json json_t *whole = spec_emit(&ch->spec);
    json_object_set_new(whole, "mounts", json_array());
    scoped_free char *text = json_text(whole, false);
    return spec_parse_unchecked(text, strlen(text), "config.json", &ch->more, e);
}

/* 1: it runs, and ch->pidfd is its first process; 0: it does not. */
static int find_init(struct change *ch, struct err *e)
{
    struct ctr_state now;
    uint64_t start;
    int r = container_read_state(ch->c->dir_fd, &now, e);
    if (r < 0)
        return r;
    container_derive(cli_conf(), &now);
    ctr_state_release(&ch->c->state);
    ch->c->state = now;
    if (now.status == CTR_STARTING || now.status == CTR_RESTARTING)
        return err_hint(e, err_msg(e, EBUSY, "it is being started"), "try again in a moment");
    if (now.status != CTR_RUNNING && now.status != CTR_PAUSED)
        return 0;
    /* First the descriptor, then the look: what we enter is what we looked at. */
    ch->pidfd = pidfd_open_pid(now.pid);
    if (ch->pidfd < 0 || proc_start_time(now.pid, &start) < 0 || start != now.pid_start)
        return err_msg(e, ESRCH, "the container's first process has just ended");
    return 1;
}

static struct engine_live live(const struct change *ch)
{
    return (struct engine_live){
        .pid = ch->c->state.pid,
        .pidfd = ch->pidfd,
        .spec = &ch->spec,
        .mounts = &ch->more,
        .check_sources = true,
    };
}

/* The record is there as long as anything is: it keeps volumes, and rm --force goes by it, whatever
 * an interrupted command has left. */
static int write_both(const struct change *ch, bool added, struct err *e)
{
    int dir = ch->c->dir_fd;
    int r = added ? container_write_record(dir, &ch->rec, e) : 0;
    if (r == 0)
        r = container_write_spec(dir, &ch->spec, e);
    return r == 0 && !added ? container_write_record(dir, &ch->rec, e) : r;
}

static void tell(const struct change *ch, const char *action, const char *destination)
{
    scoped_free char *attribute = xasprintf("destination=%s", destination);
    container_event(cli_conf(), &ch->rec, action, attribute);
}

/* --- add --- */

static int check_free(const struct change *ch, struct err *e)
{
    const struct ctr_record *r = &ch->more_rec;
    for (size_t i = 0; i < r->n_volumes; i++)
        for (size_t k = 0; k < i; k++)
            if (same_path(r->volumes[i].destination, r->volumes[k].destination))
                return err_msg(e, EINVAL, "%s is given twice", r->volumes[i].destination);
    for (size_t i = 0; i < ch->more.n_mounts; i++) {
        const char *where = ch->more.mounts[i].destination;
        for (size_t k = 0; k < ch->spec.n_mounts; k++)
            if (same_path(where, ch->spec.mounts[k].destination))
                return err_hint(e, err_msg(e, EEXIST, "something is mounted on %s already", where),
                                "rootlet mount rm takes it away; rootlet mount ls shows what there "
                                "is");
    }
    return 0;
}

static void take_over(struct change *ch)
{
    struct ctr_record *to = &ch->rec, *from = &ch->more_rec;
    for (size_t i = 0; i < ch->more.n_mounts; i++) {
        const struct spec_mount *m = &ch->more.mounts[i];
        scoped_free char *options = strv_join(m->options, ",");
        spec_add_mount(&ch->spec, m->destination, m->type, m->source, options);
    }
    to->volumes =
        xrealloc(to->volumes, (to->n_volumes + from->n_volumes + 1) * sizeof(*to->volumes));
    for (size_t i = 0; i < from->n_volumes; i++)
        to->volumes[to->n_volumes++] = from->volumes[i];
    from->n_volumes = 0; /* they have a new owner */
}

/* The mount comes first: a record of one that failed would keep the container from starting. */
static int add_locked(struct change *ch, const struct run_opts *o, struct build *b, struct err *e)
{
    int r = read_all(ch, e);
    if (r == 0)
        r = find_init(ch, e);
    if (r < 0)
        return r;
    bool runs = r > 0;
    b->o = o;
    b->conf = cli_conf();
    b->spec = &ch->more;
    b->rec = &ch->more_rec;
    r = build_volumes(b, e);
    for (char **t = o->tmpfs; r == 0 && t && *t; t++)
        r = build_tmpfs_flag(b, *t, e);
    if (r == 0)
        r = check_free(ch, e);
    scoped_fd int lock = r < 0 || runs ? -1 : container_lock(cli_conf(), ch->c->id, e);
    if (r == 0 && !runs && lock < 0)
        r = lock;
    const struct engine_live l = live(ch);
    if (r == 0 && runs)
        r = engine_mounts_add(&l, e);
    if (r == 0) {
        take_over(ch);
        r = write_both(ch, true, e);
        if (r < 0 && runs)
            (void)engine_mounts_remove(&l, NULL);
    }
    if (lock >= 0)
        container_remove_run(cli_conf(), ch->c->id);
    return r;
}

static int mount_add(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct mount_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    struct change ch SCOPED(change_release) = {.c = &c, .pidfd = -1};
    struct build b SCOPED(build_release) = {0};
    scoped_strv char **volume = strv_dup(o->volume);
    strv_extend(&volume, args + 1);
    const struct run_opts wanted = {.volume = volume, .mount = o->mount, .tmpfs = o->tmpfs};
    (void)cmd;
    if (!args[1] && !o->volume && !o->mount && !o->tmpfs)
        return err_hint(e, err_msg(e, EINVAL, "mount add: nothing to mount was given"),
                        "rootlet mount add %s SOURCE:DESTINATION", args[0]);
    int r = container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = container_lock_dir(cli_conf(), &c, e);
    if (r == 0)
        r = add_locked(&ch, &wanted, &b, e);
    if (r < 0) {
        build_forget_volumes(&b);
        return err_add(e, r, "mount add %s", args[0]);
    }
    build_keep_volumes(&b, c.id);
    for (size_t i = 0; i < ch.more.n_mounts; i++)
        tell(&ch, "mount", ch.more.mounts[i].destination);
    return 0;
}

/* --- rm --- */

/* What the user has mounted, not what every container needs. */
static bool is_users(const struct change *ch, const struct spec_mount *m)
{
    for (size_t i = 0; i < ch->rec.n_volumes; i++)
        if (same_path(ch->rec.volumes[i].destination, m->destination))
            return true;
    return inspect_is_tmpfs(m);
}

static int find_one(struct change *ch, const char *where, struct err *e)
{
    if (where[0] != '/')
        return err_msg(e, EINVAL, "%s is not an absolute path", where);
    for (size_t i = 0; i < ch->spec.n_mounts; i++) {
        const struct spec_mount *m = &ch->spec.mounts[i];
        if (!same_path(where, m->destination))
            continue;
        if (!is_users(ch, m))
            return err_msg(e, EPERM, "%s is part of every container and stays", where);
        spec_add_mount(&ch->more, m->destination, m->type ? m->type : "none",
                       m->source ? m->source : "none", "");
        strv_add(&ch->gone, m->destination);
        return 0;
    }
    return err_hint(e, err_msg(e, ENOENT, "nothing is mounted on %s", where),
                    "rootlet mount ls shows what there is");
}

static void forget(struct change *ch, const char *where)
{
    struct ctr_record *r = &ch->rec;
    spec_remove_mount(&ch->spec, where);
    for (size_t i = 0; i < r->n_volumes; i++) {
        if (!same_path(r->volumes[i].destination, where))
            continue;
        /* what is dropped goes to the other record, which is released */
        ch->more_rec.volumes =
            xrealloc(ch->more_rec.volumes, (ch->more_rec.n_volumes + 1) * sizeof(*r->volumes));
        ch->more_rec.volumes[ch->more_rec.n_volumes++] = r->volumes[i];
        r->n_volumes--;
        memmove(&r->volumes[i], &r->volumes[i + 1], (r->n_volumes - i) * sizeof(*r->volumes));
        i--;
    }
}

static int rm_locked(struct change *ch, char *const *paths, struct err *e)
{
    int r = read_all(ch, e);
    for (char *const *p = paths; r == 0 && *p; p++)
        r = find_one(ch, *p, e);
    if (r == 0)
        r = find_init(ch, e);
    if (r < 0)
        return r;
    bool runs = r > 0;
    scoped_fd int lock = runs ? -1 : container_lock(cli_conf(), ch->c->id, e);
    if (!runs && lock < 0)
        return lock;
    const struct engine_live l = live(ch);
    r = runs ? engine_mounts_remove(&l, e) : 0;
    if (r == -EINVAL || r == -ENOENT) {
        if (ch->force) {
            err_clear(e);
            r = 0;
        } else {
            err_hint(e, r,
                     "a process inside has unmounted it, or has moved its directory, where it "
                     "stays until the container is stopped; --force forgets it");
        }
    }
    for (char **p = ch->gone; r == 0 && p && *p; p++)
        forget(ch, *p);
    if (r == 0)
        r = write_both(ch, false, e);
    if (lock >= 0)
        container_remove_run(cli_conf(), ch->c->id);
    return r;
}

static int mount_rm(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct mount_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    struct change ch SCOPED(change_release) = {.c = &c, .force = o->force, .pidfd = -1};
    (void)cmd;
    int r = container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = container_lock_dir(cli_conf(), &c, e);
    if (r == 0)
        r = rm_locked(&ch, args + 1, e);
    if (r < 0)
        return err_add(e, r, "mount rm %s", args[0]);
    for (char **p = ch.gone; p && *p; p++)
        tell(&ch, "unmount", *p);
    return 0;
}

/* --- ls --- */

static const char *const ls_headers[] = {"Mode=OPTIONS", NULL};

static int mount_ls(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct mount_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    scoped_spec struct spec spec = {0};
    scoped_str struct str out = STR_INIT;
    (void)cmd;
    if (!o->latest == !args[0])
        return err_hint(
            e,
            err_msg(e, EINVAL, "mount ls: %s",
                    args[0] ? "--latest and a name exclude each other" : "no container given"),
            "a name or id, or --latest");
    int r = o->latest ? container_open_latest(cli_conf(), &c, e)
                      : container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = container_read_spec(c.dir_fd, &spec, e);
    if (r < 0)
        return r;
    scoped_json json_t *rows = inspect_mounts(&c.rec, &spec);
    struct format_options f = {o->format,
                               "table {{.Destination}}\t{{.Type}}\t{{.Source}}\t{{.Mode}}",
                               ls_headers, o->no_header};
    r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static const char *const rm_aliases[] = {"mount remove", NULL};
static const char *const ls_aliases[] = {"mount list", NULL};

const struct cmd cli_mount_cmds[] = {
    {
        .name = "mount add",
        .args = "CONTAINER [SOURCE:DESTINATION[:OPTIONS]...]",
        .summary = "Mount something in a container, while it runs",
        .opts = add_table,
        .opts_size = sizeof(struct mount_opts),
        .min_args = 1,
        .max_args = -1,
        .run = mount_add,
        .details = "What -v, --mount and --tmpfs of run take: a directory or file of the host, a "
                   "volume, a tmpfs.\nThe container keeps it when it is started again.",
        .examples = "rootlet mount add web ~/data:/data:ro\n"
                    "rootlet mount add web --tmpfs /scratch:size=64m\n"
                    "rootlet mount add web --mount type=volume,source=db,target=/var/lib/db",
    },
    {
        .name = "mount rm",
        .args = "CONTAINER DESTINATION [DESTINATION...]",
        .summary = "Take a mount away from a container, while it runs",
        .opts = rm_table,
        .opts_size = sizeof(struct mount_opts),
        .min_args = 2,
        .max_args = -1,
        .run = mount_rm,
        .aliases = rm_aliases,
        .details = "Processes that have files open there keep them. A volume stays; rootlet volume "
                   "rm removes it.",
        .examples = "rootlet mount rm web /data",
    },
    {
        .name = "mount ls",
        .args = "CONTAINER",
        .summary = "List what is mounted in a container",
        .opts = ls_table,
        .opts_size = sizeof(struct mount_opts),
        .max_args = 1,
        .run = mount_ls,
        .aliases = ls_aliases,
        .examples = "rootlet mount ls web\nrootlet mount ls web --format json",
    },
    {NULL},
};
