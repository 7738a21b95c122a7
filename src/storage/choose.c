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

#define CACHE_MAGIC "rootlet-probe-1"

/* Those that images can use, best first. */
static const struct storage_driver *const candidates[] = {&storage_overlay, &storage_copy};
#define N_CANDIDATES N_ELEMENTS(candidates)

struct verdict {
    int score;
    char why[256];
};

/* "overlay 10 the sentence" */
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

static bool cache_read(int run, const char *name, struct verdict v[static N_CANDIDATES])
{
    scoped_fd int fd = openat(run, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    scoped_free char *text = NULL;
    if (fd < 0 || !is_ours(fd) || fs_read_fd(fd, 4096, &text, NULL) < 0)
        return false;
    scoped_strv char **lines = strv_split(text, "\n", false);
    if (strv_len(lines) != N_CANDIDATES + 1 || !streq(lines[0], CACHE_MAGIC))
        return false;
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
        str_addf(&text, "%s %d %s\n", candidates[i]->name, v[i].score, v[i].why);
    if (fs_write_atomic(run, name, text.s, text.len, 0600, FS_NO_SYNC, &e) < 0)
        log_debug("remember the storage probe: %s", e.msg);
}

static int probe_all(const char *root, const struct userns_map *map,
                     struct verdict v[static N_CANDIDATES], struct err *e)
{
    for (size_t i = 0; i < N_CANDIDATES; i++) {
        v[i].score = probe_run(root, map, candidates[i]->probe, v[i].why, e);
        if (v[i].score < 0)
            return err_add(e, v[i].score, "probe storage in %s", root);
        for (char *p = v[i].why; *p; p++) {
            if ((unsigned char)*p < ' ')
                *p = ' ';
        }
    }
    return 0;
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
        if (v[i].score == 0)
            str_addf(&refused, "%s%s: %s", refused.len ? "; " : "", candidates[i]->name, v[i].why);
        else if (best == N_CANDIDATES || v[i].score > v[best].score)
            best = i;
    }
    if (best == N_CANDIDATES) {
        int r = err_msg(e, ENOTSUP, "no storage driver works in %s (%s)", root, refused.s);
        return err_hint(e, r, "Put the store on a local disk: --root DIR or ROOTLET_ROOT.");
    }
    *ret = candidates[best];
    *ret_why = refused.len ? xasprintf("%s (%s)", v[best].why, refused.s) : xstrdup(v[best].why);
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
    char name[128];
    int r = cache_name(root, map, name, e);
    if (r < 0)
        return r;
    scoped_fd int run = fs_open_dir(run_root, true, 0700, e);
    if (run < 0)
        return run;
    struct verdict v[N_CANDIDATES] = {0};
    if (!cache_read(run, name, v)) {
        r = probe_all(root, map, v, e);
        if (r < 0)
            return r;
        cache_write(run, name, v);
    }
    return pick(wanted, v, root, ret, ret_why, e);
}
