/* copystep - COPY and ADD: a tar on top of the image so far. The tar is packed where both file
 * systems can be read, as the root of the image's user namespace, and unpacked by rootlet-image. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/jfield.h"
#include "base/path.h"
#include "base/strv.h"
#include "build/build.h"
#include "build/copy.h"
#include "container/root.h"
#include "userns/userns.h"

struct source {
    char *dir, *image; /* of stage_source */
    int fd;            /* the root of the files, or -1 */
    char *container;   /* of the image */
};

static void source_release(struct source *s)
{
    free(s->dir);
    free(s->image);
    free(s->container);
    fd_close(&s->fd);
}

struct packing {
    struct copy_spec spec;
    char stamp[DIGEST_TEXT_MAX]; /* before the sources were hashed */
    int out;
};

static int pack_on(int root_fd, struct packing *p, struct err *e)
{
    SCOPED(copy_scoped) struct copy *c = NULL;
    signal(SIGINT, SIG_DFL); /* a process of its own: ^C ends it at once */
    int r = copy_open(&p->spec, &c, e);
    r = r < 0 ? r : copy_pack(c, root_fd, p->out, e);
    for (char *const *n = r < 0 ? NULL : copy_notes(c); n && *n; n++) {
        size_t size = 4 * strlen(*n) + 1;
        scoped_free char *text = xmalloc(size);
        dprintf(STDERR_FILENO, "note: %s\n", err_escape(text, size, *n));
    }
    return r;
}

static int pack_in(int root_fd, void *data, struct err *e)
{
    return pack_on(root_fd, data, e);
}

static int pack_alone(void *data, struct err *e)
{
    return pack_on(-1, data, e);
}

static int pack(struct step *t, const char *container, struct packing *p, struct err *e)
{
    scoped_container struct container ctr = {.dir_fd = -1};
    scoped_userns_map struct userns_map map = {0};
    int r;
    if (container) {
        r = container_open(t->b->conf, container, &ctr, e);
        return r < 0 ? r : container_root_run(t->b->conf, &ctr, 0, pack_in, p, e);
    }
    r = userns_map_default(&map, e);
    return r < 0 ? r : userns_run(&map, 0, pack_alone, p, e);
}

/* Half an archive must not pass for a whole one: what follows is no header of an entry. */
static void spoil(int out)
{
    char none[1024];
    memset(none, 0xff, sizeof(none));
    (void)!fs_write_all(out, none, sizeof(none));
}

/* Both ends at once; the reason of who failed first is told. */
static int stream(struct step *t, const char *container, struct packing *p, char **ret_id,
                  struct err *e)
{
    scoped_json json_t *request = step_request(t, true);
    scoped_free char *text = json_text(request, false);
    scoped_fd int doc = memfd_create("request", MFD_CLOEXEC), in = -1, out = -1, pidfd = -1;
    scoped_fd int said = memfd_create("out", MFD_CLOEXEC),
                  complaint = memfd_create("err", MFD_CLOEXEC);
    int ends[2];
    if (doc < 0 || said < 0 || complaint < 0 || pipe2(ends, O_CLOEXEC) < 0)
        return err_set(e, errno, "make a pipe");
    in = ends[0];
    out = ends[1];
    fcntl(out, F_SETPIPE_SZ, 1 << 20);
    scoped_free char *doc_arg = xasprintf("%d", doc), *in_arg = xasprintf("%d", in);
    char *argv[] = {(char *)"rootlet-image",
                    (char *)"build-image",
                    doc_arg,
                    in_arg,
                    (char *)"-",
                    (char *)"-",
                    NULL};
    const int fds[] = {doc, in};
    const struct child c = {
        .argv = argv, .out = said, .err = complaint, .fds = fds, .n_fds = 2, .ends_itself = true};
    struct err theirs = ERR_INIT;
    int r = fs_write_all(doc, text, strlen(text));
    r = r < 0 ? err_set(e, -r, "write the request") : child_start(t->b, &c, &pidfd, e);
    if (r < 0)
        return r;
    fd_close(&in);
    p->out = out;
    child_watch(pidfd);
    r = pack(t, container, p, e);
    child_watch_end();
    if (r < 0)
        spoil(out);
    fd_close(&out);
    int q = child_wait(t->b, &c, pidfd, &theirs);
    /* Who reads has ended: its reason is the first. */
    bool unread = r == -EPIPE || (r < 0 && e && e->errnum == EPIPE);
    if (q < 0 && (r == 0 || unread || q == -EINTR)) {
        if (e)
            *e = theirs;
        return q;
    }
    if (r < 0)
        return r;
    lseek(said, 0, SEEK_SET);
    ssize_t n = fs_read_fd(said, 1000, ret_id, e);
    if (n > 0)
        (*ret_id)[strcspn(*ret_id, "\n")] = '\0';
    return n < 0 ? (int)n : 0;
}

static int open_source(struct step *t, struct source *s, struct err *e)
{
    const char *from = ins_flag_value(t->in, "from", NULL);
    struct build *b = t->b;
    if (!from) {
        s->fd = b->context->dir_fd >= 0 ? fcntl(b->context->dir_fd, F_DUPFD_CLOEXEC, 3) : -1;
        return 0;
    }
    int r = stage_source(b, t->s, from, &s->dir, &s->image, e);
    if (r < 0)
        return err_add(e, r, "--from=%s", from);
    if (s->dir) {
        s->fd = open(s->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        return s->fd < 0 ? err_set(e, errno, "--from=%s: %s", from, s->dir) : 0;
    }
    return 0;
}

/* The files of an image are looked at only when the cache has no answer. */
static int open_image(struct step *t, struct source *s, struct err *e)
{
    char *words[] = {(char *)"true", NULL};
    if (!s->image)
        return 0;
    int r = step_container(t->b, s->image, NULL, words, &s->container, e);
    r = r < 0 ? r : step_root(t->b, s->container, e);
    if (r < 0)
        return r;
    s->fd = r;
    return 0;
}

/* Of files here their content; of a stage or an image the layers, which say the same sooner. */
static int content_key(struct step *t, const struct source *s, const struct copy_spec *spec,
                       char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    SCOPED(copy_scoped) struct copy *c = NULL;
    struct state of = {0};
    if (s->image) {
        int r = state_load(t->b, s->image, &of, e);
        scoped_free char *text = r < 0 ? NULL : json_dumps(state_layers(&of), JSON_COMPACT);
        r = r < 0 ? r : digest_data(text, strlen(text), ret);
        state_release(&of);
        return r;
    }
    int r = copy_open(spec, &c, e);
    return r < 0 ? r : copy_hash(c, ret, e);
}

/* Of files here: what they look like without being read. Of others "". */
static int stamp(const struct source *s, const struct copy_spec *spec,
                 char ret[static DIGEST_TEXT_MAX], struct err *e)
{
    SCOPED(copy_scoped) struct copy *c = NULL;
    ret[0] = '\0';
    int r = s->image ? 0 : copy_open(spec, &c, e);
    return r < 0 || !c ? r : copy_stamp(c, ret, e);
}

static char *created_by(const struct ins *in, const char *content)
{
    size_t n = strv_len(in->args);
    const char *colon = strchr(content, ':');
    return xasprintf("/bin/sh -c #(nop) %s %s:%s in %s ", ins_name(in->kind),
                     n > 2 ? "multi" : "file", colon ? colon + 1 : content,
                     n ? in->args[n - 1] : "");
}

static int make(struct step *t, struct source *s, struct packing *p, struct err *e)
{
    struct build *b = t->b;
    char after[DIGEST_TEXT_MAX];
    const char *image = t->s->st.image;
    char *words[] = {(char *)"true", NULL};
    scoped_free char *name = NULL, *id = NULL;
    int r = open_image(t, s, e);
    p->spec.from_fd = s->fd;
    r = r < 0 || !image ? r : step_container(b, image, NULL, words, &name, e);
    r = r < 0 ? r : stream(t, name, p, &id, e);
    if (s->container)
        step_container_end(b, s->container);
    if (name)
        step_container_end(b, name);
    if (r < 0)
        return r;
    /* What was packed is not what was hashed: the next build must not take it for that. */
    if (stamp(s, &p->spec, after, NULL) < 0 || !streq(after, p->stamp))
        t->key[0] = '\0';
    /* Directories of WORKDIR are still to be made, but for those that this has made. */
    scoped_strv char **dirs = strv_dup(t->s->st.dirs);
    r = step_done(t, id, e);
    t->s->st.dirs = r < 0 ? NULL : take_ptr(dirs);
    return r;
}

int step_copy(struct step *t, struct err *e)
{
    SCOPED(source_release) struct source s = {.fd = -1};
    SCOPED(copy_downloads_release) struct copy_downloads down = {0};
    struct build *b = t->b;
    char content[DIGEST_TEXT_MAX];
    int r = open_source(t, &s, e);
    r = r < 0 ? r : copy_fetch(t->in, b->scratch_fd, &down, e);
    struct packing p = {
        .spec = {.in = t->in,
                 .from_fd = s.fd,
                 .from_image = s.image != NULL,
                 .ignore = s.dir || s.image ? NULL : b->context->ignore,
                 .downloads = &down,
                 .workdir = state_member(&t->s->st, "WorkingDir"),
                 .dirs = t->s->st.dirs,
                 .max_mtime = b->epoch,
                 .mtime = -1,
                 .interrupted = child_interrupted},
    };
    r = r < 0 ? r : stamp(&s, &p.spec, p.stamp, e);
    r = r < 0 ? r : content_key(t, &s, &p.spec, content, e);
    p.spec.interrupted = NULL; /* others get the signals from here on */
    if (r < 0)
        return r;
    t->created_by = created_by(t->in, content);
    char *const more[] = {content, NULL};
    scoped_strv char **dirs = strv_dup(t->s->st.dirs);
    r = step_cached(t, more, e);
    if (r == 1)
        t->s->st.dirs = take_ptr(dirs);
    return r != 0 ? (r < 0 ? r : 0) : make(t, &s, &p, e);
}
