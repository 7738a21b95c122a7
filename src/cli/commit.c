/* commit - an image of a container: its image's layers, and one of what it has changed. */
#include "cli/commit.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "cli/changes.h"
#include "cli/cli.h"
#include "cli/hand.h"
#include "image/rows.h"
#include "layer/layer.h"

struct commit_opts {
    char *author, *message, *format, *iidfile, *document;
    char **changes;
    bool pause, pause_set, quiet, squash, include_volumes;
};

#define O(m) offsetof(struct commit_opts, m)
static const struct opt commit_table[] = {
    {"author", 'a', OPT_STRING, O(author), "NAME", "Author of the image"},
    {"change", 'c', OPT_STRV, O(changes), "INSTRUCTION",
     "CMD, ENTRYPOINT, ENV, EXPOSE, LABEL, ONBUILD, STOPSIGNAL, USER, VOLUME or WORKDIR, as in a "
     "Dockerfile (repeatable)"},
    {"document", 0, OPT_STRING, O(document), "FILE", "The request of rootlet-build", OPT_HIDDEN},
    {"format", 'f', OPT_STRING, O(format), "FORMAT", "oci (default) or docker: of its manifest"},
    {"iidfile", 0, OPT_STRING, O(iidfile), "FILE", "Write the image's id to a file"},
    {"include-volumes", 0, OPT_FLAG, O(include_volumes), NULL,
     "Note the places of its volumes as volumes of the image"},
    {"message", 'm', OPT_STRING, O(message), "TEXT", "Comment of the image's history"},
    {"pause", 'p', OPT_FLAG, O(pause), NULL, "Pause the container while it is read (true)", 0, NULL,
     NULL, O(pause_set)},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "No notices on stderr"},
    {"squash", 's', OPT_FLAG, O(squash), NULL, "One layer of all files, without the image's"},
    {NULL},
};

/* --- WHAT IS READ --- */

struct listing {
    FILE *file;
    bool all; /* else only what is to be left out */
};

static int list_one(void *data, enum storage_diff_kind kind, const char *path, struct err *e)
{
    const struct listing *l = data;
    if (!l->all && kind != STORAGE_TARGET)
        return 0;
    if (fprintf(l->file, "%c %s", kind, path) < 0 || fputc('\0', l->file) == EOF)
        return err_set(e, errno, "note the changes");
    return 0;
}

static int list_end(void *data, struct err *e)
{
    const struct listing *l = data;
    return fflush(l->file) != 0 ? err_set(e, errno, "note the changes") : 0;
}

/* The list for layer_pack, in a file of its own. fd or -errno. */
static int list_changes(const struct container *ctr, bool all, struct err *e)
{
    scoped_fd int fd = memfd_create("changes", MFD_CLOEXEC);
    int copy = fd < 0 ? -1 : fcntl(fd, F_DUPFD_CLOEXEC, 3);
    struct listing l = {.file = copy < 0 ? NULL : fdopen(copy, "w"), .all = all};
    if (!l.file)
        return err_set(e, errno, "note the changes");
    struct storage_diff d = {.tell = list_one, .end = list_end, .data = &l};
    int r = changes_of_container(ctr, &d, e);
    fclose(l.file);
    return r < 0 ? r : take_fd(&fd);
}

static int open_tree_dir(const char *path, struct err *e)
{
    int fd = path ? open(path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
    if (!path)
        return err_msg(e, ENOTSUP, "it has no files of its own");
    return fd < 0 ? err_set(e, errno, "open %s", path) : fd;
}

/* The tree and how it is to be packed: of an overlay the upper, but for places of mounts; of a copy
 * what differs. */
static int choose_tree(const struct container *ctr, bool squash, struct hand *h, unsigned *flags,
                       struct err *e)
{
    const struct storage_root *r = &ctr->rec.storage;
    bool copy = streq(r->driver, "copy");
    h->list = list_changes(ctr, copy && !squash, e);
    if (h->list < 0)
        return h->list;
    if (squash)
        *flags = LAYER_PACK_LAYER | LAYER_PACK_ONE_MOUNT;
    else
        *flags = copy ? LAYER_PACK_LAYER | LAYER_PACK_ONLY : LAYER_PACK_OVERLAY;
    if (squash)
        return hand_root(ctr, &h->root, e);
    h->tree = open_tree_dir(copy ? r->dir : r->upper, e);
    return h->tree < 0 ? h->tree : 0;
}

/* --- THE REQUEST --- */

static void add_text(json_t *request, const char *key, const char *text)
{
    if (text)
        json_object_set_new(request, key, json_string(text));
}

static int make_request(const struct commit_opts *o, const struct container *ctr, char **args,
                        json_t *request, struct err *e)
{
    const struct ctr_record *rec = &ctr->rec;
    json_t *config = NULL;
    int r = commit_config(ctr, o->include_volumes, &config, e);
    r = r < 0 ? r : hand_map(ctr, !o->squash, request, e);
    if (r < 0)
        return r;
    scoped_free char *command = rec->command ? strv_join(rec->command, " ") : NULL;
    json_object_set_new(request, "config", config);
    json_object_set_new(request, "changes", json_from_strv(o->changes));
    json_object_set_new(request, "layers", json_from_strv(o->squash ? NULL : rec->image_layers));
    json_object_set_new(request, "squash", json_boolean(o->squash));
    json_object_set_new(request, "docker", json_boolean(streq(o->format, "docker")));
    add_text(request, "typed", args[0]);
    add_text(request, "container", ctr->id);
    add_text(request, "base", rec->image_id);
    add_text(request, "created_by", command ? command : "");
    add_text(request, "name", args[1]);
    add_text(request, "author", o->author);
    add_text(request, "message", o->message);
    add_text(request, "iidfile", o->iidfile);
    if ((o->message && !json_object_get(request, "message")) ||
        (o->author && !json_object_get(request, "author")) ||
        (o->iidfile && !json_object_get(request, "iidfile")) ||
        json_array_size(json_object_get(request, "changes")) != strv_len(o->changes))
        return err_msg(e, EINVAL, "an option is not valid UTF-8");
    return 0;
}

static int check(const struct commit_opts *o, char **args, struct err *e)
{
    SCOPED(image_ref_release) struct image_ref ref = {0};
    if (o->format && !streq(o->format, "oci") && !streq(o->format, "docker"))
        return err_msg(e, EINVAL, "--format %s: not oci or docker", o->format);
    return args[1] ? image_ref_parse(args[1], &ref, e) : 0;
}

/* Without a cgroup nothing can be paused; what is written meanwhile may then be half in the image.
 */
static int pause_it(const struct commit_opts *o, const struct container *ctr)
{
    struct err why = ERR_INIT;
    if ((o->pause_set && !o->pause) || ctr->state.status != CTR_RUNNING)
        return -1;
    int fd = hand_pause(ctr, &why);
    if (fd < 0 && !o->quiet) {
        scoped_free char *text = xasprintf("%s is not paused: %s", ctr->rec.name, why.msg);
        cli_notice(text);
    }
    return fd < 0 ? -1 : fd;
}

/* A step of a build: the builder has made the image's configuration itself. */
static int read_document(const struct commit_opts *o, const struct container *ctr, json_t *request,
                         struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, o->document, STORE_BLOB_MAX, &text, e);
    scoped_json json_t *doc =
        n < 0 ? NULL : json_parse(text, (size_t)n, STORE_BLOB_MAX, "document", e);
    if (!doc)
        return n < 0 ? (int)n : -EINVAL;
    json_object_update(request, doc);
    return hand_map(ctr, !o->squash, request, e);
}

static int commit(const struct commit_opts *o, const struct container *ctr, char **args,
                  struct err *e)
{
    scoped_json json_t *request = json_object();
    unsigned flags = 0;
    if (!ctr->rec.storage.driver)
        return err_msg(e, EIO, "its records are damaged");
    if (streq(ctr->rec.storage.driver, "dir") || !ctr->rec.image_id)
        return err_hint(
            e, err_msg(e, ENOTSUP, "it runs from a directory (--rootfs), which has no layers"),
            "rootlet export %s | rootlet import - NAME", args[0]);
    int r =
        o->document ? read_document(o, ctr, request, e) : make_request(o, ctr, args, request, e);
    if (r < 0)
        return r;
    scoped_fd int hold = pause_it(o, ctr);
    struct hand h = {.verb = o->document ? "build-image" : "commit-tree",
                     .request = request,
                     .tree = -1,
                     .list = -1,
                     .hold = hold,
                     .root = HAND_ROOT_INIT};
    r = choose_tree(ctr, o->squash, &h, &flags, e);
    json_object_set_new(request, "flags", json_integer(flags));
    r = r < 0 ? r : hand_over(&h, e);
    hand_root_release(&h.root);
    fd_close(&h.tree);
    fd_close(&h.list);
    return r;
}

static int commit_command(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct commit_opts *o = opts;
    scoped_container struct container ctr = {.dir_fd = -1};
    (void)cmd;
    int r = check(o, args, e);
    r = r < 0 ? r : container_open(cli_conf(), args[0], &ctr, e);
    r = r < 0 ? r : commit(o, &ctr, args, e);
    return err_add(e, r, "commit %s", args[0]);
}

static const char *const commit_aliases[] = {"container commit", NULL};

const struct cmd cli_commit_cmds[] = {
    {
        .name = "commit",
        .args = "CONTAINER [IMAGE]",
        .summary = "Make an image of a container",
        .opts = commit_table,
        .opts_size = sizeof(struct commit_opts),
        .min_args = 1,
        .max_args = 2,
        .run = commit_command,
        .aliases = commit_aliases,
        .details =
            "The image has the layers of the container's image and one of what the container "
            "has changed; what is in volumes is not part of it. Its id is printed.",
        .examples = "rootlet commit web web:patched\n"
                    "rootlet commit -c 'CMD [\"httpd\", \"-f\"]' -m 'with certificates' web mine",
    },
    {NULL},
};
