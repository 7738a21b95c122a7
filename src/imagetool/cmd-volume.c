/* rootlet volume export, import: what is in a volume, as a tar.
 *
 * An import is unpacked beside the data, as ROOT/volumes/NAME/work, by the same confined process as
 * layers are, and moved in when all of it is there. What a crash leaves there goes with the next
 * import or with the volume. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "imagetool/imagetool.h"
#include "imagetool/merge.h"
#include "layer/layer.h"
#include "userns/userns.h"
#include "volume/volume.h"

#define STAGE "work" /* storage_remove knows this name */
#define TREE "tree"  /* below it: what layer_unpack fills */

struct volume_opts {
    char *output;
};

static const struct opt export_options[] = {
    {"output", 'o', OPT_STRING, offsetof(struct volume_opts, output), "FILE",
     "Write there, not to standard output"},
    {NULL},
};

/* A volume, held against removal. */
struct held {
    struct conf conf;
    struct volume volume;
    struct layer_session *session;
    int lock, data; /* ROOT/volumes/NAME, with a lock on it, and its _data */
};

static void held_release(struct held *h)
{
    layer_session_close(h->session);
    volume_release(&h->volume);
    conf_release(&h->conf);
    fd_close(&h->lock);
    fd_close(&h->data);
}

static int hold(struct held *h, const char *name, struct err *e)
{
    scoped_userns_map struct userns_map map = {0};
    scoped_volume struct volume known = {0};
    int r = conf_load(NULL, &h->conf, e);
    r = r < 0 ? r : volume_open(&h->conf, name, &known, e); /* none is made */
    r = r < 0 ? r : volume_use(&h->conf, name, false, &h->volume, &h->lock, e);
    if (r < 0)
        return r;
    const char *kind = volume_kind(&h->volume);
    if (kind)
        return err_hint(e, err_msg(e, EINVAL, "a volume of type %s has no data of its own", kind),
                        streq(kind, "bind")
                            ? "tar has it: tar -C DIR -c ."
                            : "its content is that of each container: rootlet exec");
    h->data = open(h->volume.path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (h->data < 0)
        return err_set(e, errno, "open %s", h->volume.path);
    r = userns_map_default(&map, e);
    return r < 0 ? r : layer_session_open(&map, NULL, &h->session, e);
}

static int open_output(const char *path, struct err *e)
{
    int flags = O_WRONLY | O_CREAT | O_TRUNC | O_NOCTTY | O_CLOEXEC;
    int fd = path ? open(path, flags, 0644) : fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return err_set(e, errno, "open %s", path ? path : "standard output");
    if (!path && isatty(fd)) {
        close(fd);
        return err_hint(e, err_msg(e, EINVAL, "standard output is a terminal"),
                        "-o FILE, or > FILE");
    }
    return fd;
}

static int run_export(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct volume_opts *o = opts;
    SCOPED(held_release) struct held h = {.lock = -1, .data = -1};
    struct layer_result result = {0};
    (void)cmd;
    int r = hold(&h, args[0], e);
    const char *output = streq(o->output, "-") ? NULL : o->output;
    scoped_fd int out = r < 0 ? -1 : open_output(output, e);
    if (r == 0 && out < 0)
        r = out;
    struct layer_pack pack = LAYER_PACK_INIT;
    pack.dir_fd = h.data;
    pack.out_fd = out;
    pack.flags = LAYER_PACK_NO_DIGEST;
    r = r < 0 ? r : layer_pack(h.session, &pack, &result, e);
    if (r == 0 && result.skipped_other)
        fprintf(stderr, "rootlet: %llu sockets were left out\n",
                (unsigned long long)result.skipped_other);
    return r < 0 ? err_add(e, r, "volume export %s", args[0]) : 0;
}

static int open_input(const char *path, struct err *e)
{
    if (streq(path, "-") && isatty(STDIN_FILENO))
        return err_hint(e, err_msg(e, EINVAL, "standard input is a terminal"),
                        "rootlet volume import VOLUME < FILE");
    int fd = streq(path, "-") ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                              : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    return fd < 0 ? err_set(e, errno, "open %s", path) : fd;
}

/* One import at a time; what an interrupted one left goes first. */
static int open_stage(struct held *h, struct err *e)
{
    for (int tries = 0; tries < 8; tries++) {
        if (mkdirat(h->lock, STAGE, 0700) < 0 && errno != EEXIST)
            return err_set(e, errno, "make %s", STAGE);
        scoped_fd int fd = openat(h->lock, STAGE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            continue; /* gone with an import that has just ended */
        if (fd < 0)
            return err_set(e, errno, "open %s", STAGE);
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
            return err_hint(e, err_msg(e, EBUSY, "another import into it is under way"),
                            "try again when it has ended");
        struct stat st;
        if (fstat(fd, &st) < 0 || st.st_nlink == 0)
            continue;
        /* Even if we have made one: another may have exchanged it since, and been killed. */
        bool left = fstatat(fd, TREE, &st, AT_SYMLINK_NOFOLLOW) == 0;
        int r = left ? layer_remove(h->session, fd, TREE, e) : 0;
        return r < 0 ? r : take_fd(&fd);
    }
    return err_msg(e, EBUSY, "other imports into it are under way");
}

struct move {
    int from, to;
};

static int move_in(void *data, struct err *e)
{
    const struct move *m = data;
    return merge_trees(m->from, m->to, e);
}

static int unpack(struct held *h, int in, int stage, struct err *e)
{
    struct layer_source src = LAYER_SOURCE_INIT;
    struct layer_result result = {0};
    scoped_userns_map struct userns_map map = {0};
    if (mkdirat(stage, TREE, 0700) < 0)
        return err_set(e, errno, "make a staging directory");
    scoped_fd int tree = openat(stage, TREE, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (tree < 0)
        return err_set(e, errno, "open the staging directory");
    src.fd = in;
    src.want_whiteouts = src.keep_headers = false;
    src.lenient = true;
    int r = layer_unpack(h->session, &src, tree, &result, e);
    if (r < 0)
        return r;
    if (result.skipped_devices)
        fprintf(stderr, "rootlet: %llu device nodes were left out: only root can make them\n",
                (unsigned long long)result.skipped_devices);
    scoped_fd int from = openat(tree, "diff", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (from < 0)
        return err_set(e, errno, "open what was unpacked");
    struct move m = {from, h->data};
    r = userns_map_default(&map, e);
    return r < 0 ? r : userns_run(&map, 0, move_in, &m, e);
}

static int run_import(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    SCOPED(held_release) struct held h = {.lock = -1, .data = -1};
    (void)cmd, (void)opts;
    int r = hold(&h, args[0], e);
    scoped_fd int in = r < 0 ? -1 : open_input(args[1] ? args[1] : "-", e);
    if (r == 0 && in < 0)
        r = in;
    scoped_fd int stage = r < 0 ? -1 : open_stage(&h, e);
    if (r == 0 && stage < 0)
        r = stage;
    if (r == 0)
        r = unpack(&h, in, stage, e);
    if (stage >= 0) {
        (void)!layer_remove(h.session, stage, TREE, NULL);
        unlinkat(h.lock, STAGE, AT_REMOVEDIR);
    }
    if (r == 0 && h.volume.needs_copy_up) {
        h.volume.needs_copy_up = false; /* what is in it now is wanted, not the image's */
        r = volume_write(&h.conf, &h.volume, e);
    }
    return r < 0 ? err_add(e, r, "volume import %s", args[0]) : 0;
}

const struct cmd imagetool_volume_cmds[] = {
    {.name = "volume export",
     .args = "VOLUME",
     .summary = "Write what is in a volume as a tar",
     .opts = export_options,
     .opts_size = sizeof(struct volume_opts),
     .min_args = 1,
     .max_args = 1,
     .run = run_export,
     .examples = "rootlet volume export data -o data.tar\n"
                 "rootlet volume export data | zstd > data.tar.zst"},
    {.name = "volume import",
     .args = "VOLUME [FILE|-]",
     .summary = "Put what is in a tar into a volume",
     .opts_size = sizeof(struct volume_opts),
     .min_args = 1,
     .max_args = 2,
     .run = run_import,
     .details = "The tar may be compressed by gzip or zstd. What is in the volume and not in the "
                "tar stays.",
     .examples = "rootlet volume import data data.tar"},
    {NULL},
};
