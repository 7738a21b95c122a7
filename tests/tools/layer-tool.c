/* layer-tool - drives src/layer for the tests: unpack, rebuild, pack and remove layers as the
 * calling user.
 *
 *   layer-tool unpack FILE DIR [squash] [import] [lenient] [noheaders] [diffid=D] [blob=D]
 *              [entries=N] [file=N] [number=N]     DIR is made; FILE "-": standard input
 *   layer-tool rebuild DIR FILE [DIFFID]            DIR as left by unpack
 *   layer-tool pack DIR FILE [overlay] [mtime=N]
 *   layer-tool remove DIR
 * Prints key=value lines; an error goes to stderr, exit status 1. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/path.h"
#include "base/str.h"
#include "layer/layer.h"
#include "userns/userns.h"

struct args {
    struct layer_source src;
    struct layer_limits limits;
    struct layer_pack pack;
};

static int fail(const struct err *e)
{
    char text[4096];

    fprintf(stderr, "layer-tool: %s\n", err_escape(text, sizeof(text), e->msg));
    if (e->hint[0])
        fprintf(stderr, "hint: %s\n", err_escape(text, sizeof(text), e->hint));
    return 1;
}

static void parse_arg(struct args *a, const char *s)
{
    const char *v;
    uint64_t n = 0;

    if ((v = str_after(s, "diffid=")))
        a->src.diffid = v;
    else if ((v = str_after(s, "blob=")))
        a->src.blob = v;
    else if ((v = str_after(s, "entries=")) && parse_u64(v, &n) == 0)
        a->limits.max_entries = n;
    else if ((v = str_after(s, "file=")) && parse_u64(v, &n) == 0)
        a->limits.max_file_bytes = n;
    else if ((v = str_after(s, "tar=")) && parse_u64(v, &n) == 0)
        a->limits.max_tar_bytes = n;
    else if ((v = str_after(s, "ratio=")) && parse_u64(v, &n) == 0)
        a->limits.max_ratio = (uint32_t)n;
    else if ((v = str_after(s, "number=")) && parse_u64(v, &n) == 0)
        a->src.number = (unsigned)n;
    else if ((v = str_after(s, "mtime=")) && parse_u64(v, &n) == 0)
        a->pack.max_mtime = (int64_t)n;
    else if (streq(s, "squash"))
        a->src.squash_ids = true;
    else if (streq(s, "import"))
        a->src.want_whiteouts = false;
    else if (streq(s, "lenient"))
        a->src.lenient = true;
    else if (streq(s, "noheaders"))
        a->src.keep_headers = false;
    else if (streq(s, "overlay"))
        a->pack.flags = LAYER_PACK_OVERLAY;
    else
        a->src.diffid = s;
}

static void print_result(const struct layer_result *r)
{
    char text[1024];

    printf("diffid=%s\nblob=%s\ncompression=%s\n", r->diffid, r->blob, r->compression);
    printf("blob_bytes=%llu\ntar_bytes=%llu\nfile_bytes=%llu\nentries=%llu\n",
           (unsigned long long)r->blob_bytes, (unsigned long long)r->tar_bytes,
           (unsigned long long)r->file_bytes, (unsigned long long)r->entries);
    printf("skipped_devices=%llu\ndropped_xattrs=%llu\nescaped_xattrs=%llu\nsquashed_ids=%llu\n",
           (unsigned long long)r->skipped_devices, (unsigned long long)r->dropped_xattrs,
           (unsigned long long)r->escaped_xattrs, (unsigned long long)r->squashed_ids);
    printf("skipped_other=%llu\nroot_opaque=%d\n", (unsigned long long)r->skipped_other,
           r->root_opaque);
    for (unsigned i = 0; i < r->n_notes && i < LAYER_NOTES; i++)
        printf("note=%s\n", err_escape(text, sizeof(text), r->notes[i]));
}

static int do_unpack(struct layer_session *s, struct args *a, char **argv, struct err *e)
{
    scoped_fd int in = streq(argv[0], "-") ? dup(0) : open(argv[0], O_RDONLY | O_CLOEXEC);
    scoped_fd int dir = -1;
    struct layer_result res;
    int r;

    if (in < 0)
        return err_set(e, errno, "open %s", argv[0]);
    if (mkdir(argv[1], 0700) < 0 && errno != EEXIST)
        return err_set(e, errno, "make %s", argv[1]);
    dir = open(argv[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir < 0)
        return err_set(e, errno, "open %s", argv[1]);
    a->src.fd = in;
    r = layer_unpack(s, &a->src, dir, &res, e);
    if (r == 0)
        print_result(&res);
    return r;
}

static int do_write(struct layer_session *s, struct args *a, bool rebuild, char **argv,
                    struct err *e)
{
    scoped_fd int dir = open(argv[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int out = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    struct layer_result res;
    int r;

    if (dir < 0 || out < 0)
        return err_set(e, errno, "open %s and %s", argv[0], argv[1]);
    a->pack.dir_fd = dir;
    a->pack.out_fd = out;
    r = rebuild ? layer_rebuild(s, dir, out, a->src.diffid, &res, e)
                : layer_pack(s, &a->pack, &res, e);
    if (r == 0)
        print_result(&res);
    return r;
}

static int do_remove(struct layer_session *s, const char *path, struct err *e)
{
    const char *slash = strrchr(path, '/');
    scoped_free char *dir = slash ? xstrndup(path, (size_t)(slash - path + 1)) : xstrdup(".");
    scoped_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return err_set(e, errno, "open %s", dir);
    return layer_remove(s, fd, path_name(path), e);
}

int main(int argc, char **argv)
{
    struct args a = {.src = LAYER_SOURCE_INIT, .pack = LAYER_PACK_INIT};
    struct err e = ERR_INIT;
    SCOPED(layer_session_scoped) struct layer_session *s = NULL;
    scoped_userns_map struct userns_map map = {0};
    int r;

    if (argc < 3)
        return 2;
    for (int i = 4; i < argc; i++)
        parse_arg(&a, argv[i]);
    r = userns_map_default(&map, &e);
    if (r == 0)
        r = layer_session_open(&map, &a.limits, &s, &e);
    if (r == 0 && streq(argv[1], "remove"))
        r = do_remove(s, argv[2], &e);
    else if (r == 0 && argc < 4)
        r = err_msg(&e, EINVAL, "want two names");
    else if (r == 0 && streq(argv[1], "unpack"))
        r = do_unpack(s, &a, argv + 2, &e);
    else if (r == 0)
        r = do_write(s, &a, streq(argv[1], "rebuild"), argv + 2, &e);
    return r < 0 ? fail(&e) : 0;
}
