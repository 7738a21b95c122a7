/* choose - the best driver for a place, asked once per boot and device. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "storage/storage-priv.h"

#define CACHE_MAGIC "rootlet-probe-3"

/* Those that images can use, best first. */
static const struct storage_driver *const candidates[] = {&storage_overlay, &storage_fuse,
                                                          &storage_copy};
#define N_CANDIDATES N_ELEMENTS(candidates)

#define NOT_ASKED (-1)

struct verdict {
    int score; /* or NOT_ASKED: a better one works */
    char why[256];
};

/* "overlay 10 the sentence"; there is no line for those that were not asked. */
static void parse_line(const char *line, struct verdict v[static N_CANDIDATES])
{
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        const char *rest = str_after(line, candidates[i]->name);
        if (!rest || *rest != ' ' || rest[1] < '0' || rest[1] > '9')
            continue;
        char *end;
        v[i].score = (int)strtoul(rest + 1, &end, 10);
        snprintf(v[i].why, sizeof(v[i].why), "%s", *end == ' ' ? end + 1 : end);
    }
}

/* A cache in a directory that others might write to is worth what its owner is. */
static bool is_ours(int fd)
{
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
           !(st.st_mode & 022);
}

static void forget(struct verdict v[static N_CANDIDATES])
{
    for (size_t i = 0; i < N_CANDIDATES; i++)
        v[i] = (struct verdict){.score = NOT_ASKED};
}

static bool cache_read(int run, const char *name, struct verdict v[static N_CANDIDATES])
{
    scoped_fd int fd = openat(run, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    scoped_free char *text = NULL;
    if (fd < 0 || !is_ours(fd) || fs_read_fd(fd, 4096, &text, NULL) < 0)
        return false;
    scoped_strv char **lines = strv_split(text, "\n", false);
    if (strv_len(lines) < 2 || !streq(lines[0], CACHE_MAGIC))
        return false;
    forget(v);
    for (size_t i = 1; lines[i]; i++)
        parse_line(lines[i], v);
    return true;
}

static void cache_write(int run, const char *name, const struct verdict v[static N_CANDIDATES])
{
    scoped_str struct str text = STR_INIT;
    struct err e = ERR_INIT;
    str_add(&text, CACHE_MAGIC "\n");
    for (size_t i = 0; i < N_CANDIDATES; i++)
        if (v[i].score != NOT_ASKED)
            str_addf(&text, "%s %d %s\n", candidates[i]->name, v[i].score, v[i].why);
    if (fs_write_atomic(run, name, text.s, text.len, 0600, FS_NO_SYNC, &e) < 0)
        log_debug("remember the storage probe: %s", e.msg);
}

static int probe_one(const char *root, const struct userns_map *map, size_t i, struct verdict *v,
                     struct err *e)
{
    *v = (struct verdict){0};
    /* Its process has ids that cannot enter the directories of the host's root. */
    if (candidates[i] == &storage_fuse && geteuid() == 0) {
        snprintf(v->why, sizeof(v->why), "not for the host's root");
        return 0;
    }
    v->score = probe_run(root, map, candidates[i]->probe, v->why, e);
    if (v->score < 0)
        return err_add(e, v->score, "probe storage in %s", root);
    for (char *p = v->why; *p; p++) {
        if ((unsigned char)*p < ' ')
            *p = ' ';
    }
    return 0;
}

/* A program or its device may have come since, ids or rights been given. */
static bool may_have_changed(const struct verdict v[static N_CANDIDATES], size_t i,
                             const char *wanted)
{
    if (v[i].score != 0)
        return false;
    if (wanted && candidates[i] == &storage_fuse)
        return true;
    for (size_t k = 0; k < N_CANDIDATES; k++)
        if (v[k].score > 0)
            return false;
    return true;
}

/* What is not known yet, best first, up to one that works: a start where the kernel's overlay works
 * runs no program. 1: something new is known. */
static int ask(const char *root, const struct userns_map *map, const char *wanted,
               struct verdict v[static N_CANDIDATES], struct err *e)
{
    int news = 0;
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        if (wanted && !streq(wanted, candidates[i]->name))
            continue;
        if (v[i].score == NOT_ASKED || may_have_changed(v, i, wanted)) {
            int r = probe_one(root, map, i, &v[i], e);
            if (r < 0)
                return r;
            news = 1;
        }
        if (v[i].score > 0)
            break;
    }
    return news;
}

static int cache_name(const char *root, const struct userns_map *map, char ret[static 128],
                      struct err *e)
{
    char boot[40];
    struct stat st;
    scoped_fd int dir = fs_open_dir(root, true, 0700, e);
    if (dir < 0)
        return dir;
    if (fstat(dir, &st) < 0)
        return err_set(e, errno, "stat %s", root);
    int r = proc_boot_id(boot);
    if (r < 0)
        return err_set(e, -r, "read the boot id");
    snprintf(ret, 128, "probe.%.36s.%x-%x%s", boot, major(st.st_dev), minor(st.st_dev),
             map->single ? ".single" : "");
    return 0;
}

static int pick(const char *wanted, const struct verdict v[static N_CANDIDATES], const char *root,
                const struct storage_driver **ret, char **ret_why, struct err *e)
{
    size_t best = N_CANDIDATES;
    scoped_str struct str refused = STR_INIT;
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        if (wanted && !streq(wanted, candidates[i]->name))
            continue;
        if (v[i].score > 0 && best == N_CANDIDATES)
            best = i;
        if (v[i].score == 0)
            str_addf(&refused, "%s%s: %s", refused.len ? "; " : "", candidates[i]->name, v[i].why);
    }
    if (best == N_CANDIDATES) {
        int r = err_msg(e, ENOTSUP, "no storage driver works in %s (%s)", root, refused.s);
        return err_hint(e, r, "Put the store on a local disk: --root DIR or ROOTLET_ROOT.");
    }
    *ret = candidates[best];
    *ret_why = refused.len ? xasprintf("%s (%s)", v[best].why, refused.s) : xstrdup(v[best].why);
    return 0;
}

static int learn(const char *root, const char *run_root, const char *wanted,
                 const struct userns_map *map, struct verdict v[static N_CANDIDATES], struct err *e)
{
    char name[128];
    int r = cache_name(root, map, name, e);
    if (r < 0)
        return r;
    scoped_fd int run = fs_open_dir(run_root, true, 0700, e);
    if (run < 0)
        return run;
    if (!cache_read(run, name, v))
        forget(v);
    r = ask(root, map, wanted, v, e);
    if (r > 0)
        cache_write(run, name, v);
    return r;
}

int storage_look(const char *root, const char *run_root, const struct userns_map *map,
                 struct err *e)
{
    struct verdict v[N_CANDIDATES];
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        int r = learn(root, run_root, candidates[i]->name, map, v, e);
        if (r < 0)
            return r;
    }
    return 0;
}

int storage_choose(const char *root, const char *run_root, const char *wanted,
                   const struct userns_map *map, const struct storage_driver **ret, char **ret_why,
                   struct err *e)
{
    if (wanted && !wanted[0])
        wanted = NULL;
    if (wanted) {
        const struct storage_driver *d = storage_driver_get(wanted, e);
        if (!d)
            return -EINVAL;
        if (d == &storage_dir)
            return err_msg(e, EINVAL, "storage driver dir is for --rootfs, not for images");
    }
    struct verdict v[N_CANDIDATES];
    int r = learn(root, run_root, wanted, map, v, e);
    return r < 0 ? r : pick(wanted, v, root, ret, ret_why, e);
}
