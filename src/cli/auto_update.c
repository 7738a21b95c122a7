/* auto_update - images that were replaced reach the units that run them; what fails is put back. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/cli.h"
#include "cli/pull.h"
#include "format/format.h"
#include "image/store.h"

/* A unit that is up for so long after its restart has taken the new image. */
#define SETTLE_MS 2000
#define LOOK_MS 250
#define RESTART_MS 300000

struct update_opts {
    bool dry_run, rollback, rollback_set;
    char *format;
};

#define O(m) offsetof(struct update_opts, m)
static const struct opt update_table[] = {
    {"dry-run", 0, OPT_FLAG, O(dry_run), NULL, "Show what would be done"},
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"rollback", 0, OPT_FLAG, O(rollback), NULL,
     "Put the old image back when a unit does not come up (default)", 0, NULL, NULL,
     O(rollback_set)},
    {NULL},
};

/* One container that is to be kept up to date. */
struct target {
    struct container ctr; /* as it was */
    char *unit;           /* its service, or NULL */
    bool user;            /* of the user's manager */
    char *new_id;         /* image id behind the name today */
    const char *updated;  /* "true", "false", "pending", "rolled back", "failed" */
};

static void target_release(struct target *t)
{
    container_release(&t->ctr);
    free(t->unit);
    free(t->new_id);
}

/* --- units --- */

/* The service whose group a process is in, from one line of /proc/PID/cgroup. */
static char *unit_in(const char *path, bool *ret_user)
{
    char *found = NULL;
    scoped_strv char **parts = strv_split(path, "/", false);
    *ret_user = false;
    for (char **p = parts; p && *p; p++) {
        if (!str_ends(*p, ".service"))
            continue;
        if (str_after(*p, "user@")) {
            *ret_user = true;
            continue;
        }
        free(found);
        found = xstrdup(*p);
    }
    return found;
}

/* As the kernel tells, not as a record or a label does. cgroups(7) */
static char *unit_of(pid_t pid, bool *ret_user)
{
    scoped_free char *file = xasprintf("/proc/%d/cgroup", (int)pid);
    scoped_free char *text = NULL;
    if (pid <= 0 || fs_read(AT_FDCWD, file, 64u << 10, &text, NULL) < 0)
        return NULL;
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++) {
        const char *name = strchr(*l, ':'), *path = name ? strchr(name + 1, ':') : NULL;
        if (!path || (!str_after(name, "::") && !str_after(name, ":name=systemd:")))
            continue;
        char *unit = unit_in(path + 1, ret_user);
        if (unit)
            return unit;
    }
    return NULL;
}

/* From cron or su, where no session has told where the manager listens. */
static char **session_env(void)
{
    char **env = strv_dup(environ);
    scoped_free char *dir = xasprintf("XDG_RUNTIME_DIR=/run/user/%u", (unsigned)geteuid());
    if (!getenv("XDG_RUNTIME_DIR"))
        strv_env_set(&env, dir);
    return env;
}

static int systemctl_to(const struct target *t, int out_fd, const char *verb, const char *flag,
                        int timeout_ms, struct err *e)
{
    scoped_strv char **argv = NULL;
    strv_add(&argv, "systemctl");
    if (t->user)
        strv_add(&argv, "--user");
    strv_add(&argv, verb);
    if (flag)
        strv_add(&argv, flag);
    strv_add(&argv, "--");
    strv_add(&argv, t->unit);
    scoped_strv char **env = session_env();
    struct proc_cmd cmd = {
        .argv = argv, .envp = env, .stdin_fd = -1, .stdout_fd = out_fd, .timeout_ms = timeout_ms};
    int r = proc_run(&cmd, e);
    return r > 0 ? err_add(e, -EIO, "%s %s", verb, t->unit) : r;
}

static int systemctl(const struct target *t, const char *verb, const char *flag, int timeout_ms,
                     struct err *e)
{
    return systemctl_to(t, -1, verb, flag, timeout_ms, e);
}

/* A container that was started by hand may be in the group of a terminal's or a desktop's service:
 * only the main process of a unit is what its restart is about. */
static bool is_main_process(const struct target *t)
{
    scoped_free char *text = NULL;
    scoped_free char *want = xasprintf("MainPID=%d\n", (int)t->ctr.state.supervisor_pid);
    struct err none = ERR_INIT;
    scoped_fd int out = memfd_create("systemctl", MFD_CLOEXEC);
    if (out < 0 || systemctl_to(t, out, "show", "-pMainPID", 10000, &none) < 0 ||
        lseek(out, 0, SEEK_SET) < 0 || fs_read_fd(out, 4096, &text, &none) < 0)
        return false;
    return streq(text, want);
}

/* Restarts the unit and looks whether it stays: with this image, and the same container. */
static int restart(const struct target *t, const char *image_id, struct err *e)
{
    char id[ID_LEN + 1] = "";
    int r = systemctl(t, "restart", NULL, RESTART_MS, e);
    for (int waited = 0; r == 0 && waited <= SETTLE_MS; waited += LOOK_MS) {
        scoped_container struct container now = {.dir_fd = -1};
        struct err gone = ERR_INIT;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_MS * 1000000L}, NULL);
        r = systemctl(t, "is-active", "--quiet", 10000, &gone);
        if (r < 0)
            return err_msg(e, EIO, "unit %s ended soon after its restart", t->unit);
        r = container_open(cli_conf(), t->ctr.rec.name, &now, e);
        if (r < 0)
            return r;
        if (!streq(now.rec.image_id, image_id))
            return err_hint(
                e, err_msg(e, EINVAL, "unit %s starts the container that there was", t->unit),
                "its ExecStart has to be 'rootlet run --replace', as of a .container "
                "file");
        if (id[0] && !streq(id, now.id))
            return err_msg(e, EIO, "unit %s was restarted again at once", t->unit);
        memcpy(id, now.id, sizeof(id));
    }
    return r;
}

/* --- images --- */

static int run_image_tool(const char *verb, const char *a, const char *b, struct err *e)
{
    scoped_strv char **argv = NULL;
    scoped_strv char **env = strv_dup(environ);
    conf_env(cli_conf(), &env);
    strv_take(&argv, path_join(cli_conf()->libexec, "rootlet-image"));
    strv_add(&argv, verb);
    strv_add(&argv, a);
    if (b)
        strv_add(&argv, b);
    struct proc_cmd cmd = {.argv = argv, .envp = env, .stdin_fd = -1, .stdout_fd = -1};
    int r = proc_run(&cmd, e);
    return r > 0 ? -EIO : r;
}

/* Policy registry: the store's name is brought up to date first. */
static int refresh(const struct target *t, struct err *e)
{
    if (streq(t->ctr.rec.auto_update, "local"))
        return 0;
    if (!streq(t->ctr.rec.auto_update, "registry") && !streq(t->ctr.rec.auto_update, "image"))
        return err_msg(e, EINVAL, "unknown policy \"%s\"", t->ctr.rec.auto_update);
    int r = cli_pull(t->ctr.rec.image, "always", NULL, e);
    return r < 0 ? err_msg(e, EIO, "policy registry: %s could not be pulled", t->ctr.rec.image) : 0;
}

static int find_new(struct target *t, struct err *e)
{
    struct store_image i = {0};
    int r = refresh(t, e);
    if (r == 0)
        r = store_find(cli_conf(), t->ctr.rec.image, &i, e);
    if (r == 0)
        t->new_id = xstrdup(i.id);
    store_image_release(&i);
    return r;
}

static int roll_back(struct target *t, const struct err *why, struct err *e)
{
    struct err back = ERR_INIT, none = ERR_INIT;
    t->updated = "failed";
    cli_print_err(why);
    /* What has just failed too often may be started once more. */
    (void)!systemctl(t, "reset-failed", NULL, 10000, &none);
    int r = run_image_tool("tag", t->ctr.rec.image_id, t->ctr.rec.image, &back);
    if (r == 0)
        r = restart(t, t->ctr.rec.image_id, &back);
    if (r < 0) {
        *e = back;
        return err_add(e, r, "roll %s back", t->unit);
    }
    t->updated = "rolled back";
    return 0;
}

/* --- all of them --- */

static int update_one(struct target *t, const struct update_opts *o, struct err *e)
{
    struct err why = ERR_INIT;
    t->updated = "failed";
    if (!t->unit || !is_main_process(t))
        return err_hint(e, err_msg(e, EINVAL, "it is no systemd unit of its own"),
                        "write a .container file with AutoUpdate=, see rootlet-quadlet-install(1)");
    int r = find_new(t, e);
    if (r < 0)
        return r;
    t->updated = "false";
    if (streq(t->new_id, t->ctr.rec.image_id))
        return 0;
    t->updated = o->dry_run ? "pending" : "true";
    if (o->dry_run)
        return 0;
    r = restart(t, t->new_id, &why);
    if (r == 0)
        return 0;
    if (!o->rollback_set || o->rollback)
        return roll_back(t, &why, e);
    t->updated = "failed";
    *e = why;
    return r;
}

static json_t *row_of(const struct target *t)
{
    const struct ctr_record *r = &t->ctr.rec;
    return json_pack("{s:s, s:o, s:s, s:s, s:s, s:s, s:s}", "Unit", t->unit ? t->unit : "",
                     "Container", json_sprintf("%.12s (%s)", t->ctr.id, r->name), "ContainerName",
                     r->name, "ContainerID", t->ctr.id, "Image", r->image ? r->image : "", "Policy",
                     r->auto_update, "Updated", t->updated);
}

static int update(struct target *t, const struct update_opts *o, json_t *rows, struct err *e)
{
    int r = update_one(t, o, e);
    json_array_append_new(rows, row_of(t));
    return r < 0 ? err_add(e, r, "update container %s", t->ctr.rec.name) : 0;
}

/* A target when this container runs and its owner wants it kept up to date. */
static bool take(const struct ctr_state *s, struct target *ret)
{
    struct err gone = ERR_INIT;
    struct target t = {.ctr.dir_fd = -1};
    if (s->status != CTR_RUNNING && s->status != CTR_PAUSED)
        return false;
    if (container_open_id(cli_conf(), s->id, &t.ctr, &gone) < 0)
        return false;
    if (!t.ctr.rec.auto_update || streq(t.ctr.rec.auto_update, "disabled")) {
        target_release(&t);
        return false;
    }
    t.unit = unit_of(t.ctr.state.supervisor_pid, &t.user);
    *ret = t;
    return true;
}

static int print(const struct update_opts *o, const json_t *rows, struct err *e)
{
    struct format_options f = {
        .text = o->format,
        .default_table = "table {{.Unit}}\t{{.Container}}\t{{.Image}}\t{{.Policy}}\t{{.Updated}}",
    };
    scoped_str struct str out = STR_INIT;
    int r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static int auto_update(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct update_opts *o = opts;
    struct ctr_state *list = NULL;
    size_t n = 0;
    scoped_json json_t *rows = json_array();
    bool failed = false;
    (void)cmd, (void)args;
    int r = container_list(cli_conf(), &list, &n, e);
    for (size_t i = n; r == 0 && i-- > 0;) {
        struct err one = ERR_INIT;
        struct target t;
        if (!take(&list[i], &t))
            continue;
        if (update(&t, o, rows, &one) < 0) {
            if (failed)
                cli_print_err(e);
            failed = true;
            *e = one;
        }
        target_release(&t);
    }
    container_list_free(list, n);
    struct err none = ERR_INIT;
    int p = r < 0 ? 0 : print(o, rows, failed ? &none : e);
    if (r == 0 && failed)
        r = e->errnum > 0 ? -e->errnum : -EIO;
    return r < 0 ? r : p;
}

const struct cmd cli_auto_update_cmds[] = {
    {
        .name = "auto-update",
        .args = "",
        .summary = "Restart units whose images were replaced",
        .opts = update_table,
        .opts_size = sizeof(struct update_opts),
        .run = auto_update,
        .examples = "rootlet auto-update --dry-run\n"
                    "systemctl --user enable --now rootlet-auto-update.timer",
    },
    {NULL},
};
