/* build-tool - COPY and ADD without a builder, for tests:
 *   build-tool copy CONTEXT ROOT WORKDIR EPOCH INSTRUCTION    tar to standard output
 *   build-tool stage DIR ROOT WORKDIR EPOCH INSTRUCTION       the same, from an image
 *   build-tool hash CONTEXT - - - INSTRUCTION                 the content hash
 *   build-tool context CONTEXT FILE SCRATCH                   what was found; FILE "" is none
 * ROOT "-": FROM scratch; EPOCH -1: none. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/str.h"
#include "build/context.h"
#include "build/copy.h"

static int fail(const struct err *e)
{
    fprintf(stderr, "Error: %s\n", e->msg);
    if (e->hint[0])
        fprintf(stderr, "hint: %s\n", e->hint);
    return 125;
}

static int show_context(char **args, struct err *e)
{
    struct build_context *c SCOPED(context_scoped) = NULL;
    scoped_fd int scratch = open(args[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct context_options o = {.where = args[0],
                                .containerfile = *args[1] ? args[1] : NULL,
                                .scratch_fd = scratch,
                                .stdin_fd = 0};
    int r = context_open(&o, &c, e);
    if (r < 0)
        return r;
    printf("name %s\nignore %s\nfiles %s\n%s", c->name, c->ignore_name ? c->ignore_name : "-",
           c->dir_fd < 0 ? "no" : "yes", c->containerfile);
    return 0;
}

static int copy(const char *how, char **args, struct err *e)
{
    struct build_context *c SCOPED(context_scoped) = NULL;
    struct bfile *f SCOPED(bfile_scoped) = NULL;
    struct copy *copy SCOPED(copy_scoped) = NULL;
    scoped_fd int dir = -1, root = -1;
    char hash[DIGEST_TEXT_MAX];
    bool stage = streq(how, "stage");
    if (stage) {
        dir = open(args[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    } else {
        struct context_options o = {.where = args[0], .containerfile = "/dev/null"};
        int r = context_open(&o, &c, e);
        if (r < 0)
            return r;
    }
    int r = bfile_parse_trigger("F", args[4], &f, e);
    if (r < 0)
        return r;
    struct copy_spec spec = {.in = &f->ins[0],
                             .from_fd = stage ? dir : c->dir_fd,
                             .from_image = stage,
                             .ignore = stage ? NULL : c->ignore,
                             .workdir = args[2],
                             .max_mtime = -1,
                             .mtime = -1};
    parse_i64(args[3], &spec.max_mtime);
    struct copy_downloads files SCOPED(copy_downloads_release) = {0};
    scoped_fd int scratch = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    r = copy_fetch(spec.in, scratch, &files, e);
    spec.downloads = &files;
    if (r == 0)
        r = copy_open(&spec, &copy, e);
    if (r == 0 && streq(how, "hash")) {
        r = copy_hash(copy, hash, e);
        if (r == 0)
            puts(hash);
        return r;
    }
    if (!streq(args[1], "-"))
        root = open(args[1], O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (r == 0)
        r = copy_pack(copy, root, STDOUT_FILENO, e);
    if (r == 0)
        for (char *const *n = copy_notes(copy); n && *n; n++)
            fprintf(stderr, "%s\n", *n);
    return r;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    if (argc < 5 || (!streq(argv[1], "context") && argc < 7))
        return 2;
    int r = streq(argv[1], "context") ? show_context(argv + 2, &e) : copy(argv[1], argv + 2, &e);
    return r < 0 ? fail(&e) : 0;
}
