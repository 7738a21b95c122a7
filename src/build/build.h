/* build - the running of a Containerfile: stages, steps, their images, the cache.
 *
 * A step that changes files becomes an image of its own ("intermediate"), whose configuration holds
 * all that was said so far: the next step's container is made of it, and so is the next build's,
 * when nothing has changed. What only sets the configuration is kept in memory until then. */
#pragma once

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "build/context.h"
#include "build/expand.h"
#include "build/file.h"
#include "build/options.h"
#include "conf/conf.h"
#include "image/pin.h"
#include "image/store.h"
#include "layer/digest.h"

/* What instructions work on. */
struct state {
    json_t *doc;  /* the image configuration to be */
    char *image;  /* id of an image with all layers of doc; NULL: there is no layer yet */
    bool dirty;   /* doc says more than that image's */
    bool cmd_set; /* CMD in this stage: an ENTRYPOINT after it leaves it */
    char **args;  /* ARG in force: "NAME=VALUE", or "NAME" without a value */
    char **dirs;  /* of WORKDIR, not made yet, as owner_workdir reads them */
    size_t base;  /* number of layers that are not of this build */
};

struct stage {
    const struct ins *from;
    size_t first, end; /* its instructions, without FROM */
    unsigned number;
    const char *name; /* or NULL */
    bool begun, done;
    struct build_platform platform;
    struct state st;
    unsigned step, steps;
};

struct build {
    const struct conf *conf;
    const struct build_opts *o;
    struct bfile *file;
    struct build_context *context;
    struct stage *stages;
    size_t n_stages;
    char **globals;       /* ARG before the first FROM */
    char **given, **used; /* --build-arg; the names that an ARG has asked for */
    struct build_platform host, platform;
    int64_t epoch; /* time of everything made, or -1 */
    char *scratch; /* ROOT/build/w.ID, locked by scratch_fd */
    int scratch_fd;
    char *secrets;        /* RUN_ROOT/build-ID, made when needed */
    struct store_pin pin; /* what it works on is no garbage until its end */
    char **pinned;        /* ids of images */
    char id[9];
    unsigned n_made;   /* numbers names */
    char **containers; /* that exist now */
    FILE *out;         /* of steps; NULL: quiet */
    bool docker;       /* --format */
};

/* --- scratch.c: what a build leaves nowhere else --- */
int scratch_open(struct build *b, struct err *e);
void scratch_close(struct build *b);
/* Opens b->pin, which whoever sweeps the scratch directory finds. */
int scratch_pin(struct build *b, struct err *e);
/* An empty directory below the scratch one; owned. */
char *scratch_dir(struct build *b, struct err *e);
/* A directory of this run on a tmpfs, for secrets; borrowed. */
const char *scratch_secrets(struct build *b, struct err *e);

/* --- child.c: rootlet and rootlet-image do the work --- */
/* Signals to end this program are taken by child_run from here on. */
int child_init(struct err *e);
/* For who waits for something else: -EINTR when a signal wants the end. */
int child_interrupted(struct err *e);
/* Between these this process works itself: a signal ends the child, and so the work for it; the
 * next call above has the signal then. */
void child_watch(int pidfd);
void child_watch_end(void);
/* The last words of a child, whatever it says. */
struct child_tail {
    int fd; /* non-blocking */
    size_t n;
    char text[65536];
};
struct child {
    char *const *argv; /* argv[0]: "rootlet" or "rootlet-image" */
    int out, err;      /* < 0: out is given back, err is for the message */
    char **ret_out;    /* owned, without the last newline; may be NULL */
    const int *fds;    /* to be inherited, by their numbers */
    size_t n_fds;
    const char *container;   /* to be ended when a signal ends us */
    bool ends_itself;        /* then it needs no signal: what it reads has an end */
    struct child_tail *tail; /* read while it runs; or NULL */
};
/* The exit status, or -errno: it could not be started, or -EINTR: a signal wants the end. When not
 * 0 e has what the program said. */
int child_run(struct build *b, const struct child *c, struct err *e);
/* Runs one that must succeed; *ret may be NULL. */
int child_text(struct build *b, char *const *argv, char **ret, struct err *e);
/* The same in the background. */
int child_start(struct build *b, const struct child *c, int *ret_pidfd, struct err *e);
int child_wait(struct build *b, const struct child *c, int pidfd, struct err *e);

/* --- state.c --- */
void state_release(struct state *st);
void state_copy(struct state *to, const struct state *from);
/* No image below: FROM scratch. */
void state_scratch(struct build *b, const struct stage *s, struct state *st);
int state_load(struct build *b, const char *id, struct state *st, struct err *e);
json_t *state_config(const struct state *st);                      /* borrowed */
json_t *state_layers(const struct state *st);                      /* borrowed */
char **state_env(const struct state *st);                          /* owned "NAME=VALUE" */
const char *state_member(const struct state *st, const char *key); /* of config, or NULL */
void state_history(struct build *b, json_t *doc, const char *created_by, bool empty);
void state_created(const struct build *b, char *buf, size_t size);
void state_set_env(struct state *st, char *const *pairs); /* "NAME=VALUE" */
/* The value of a variable: of ENV, then of ARG. */
const char *state_variable(const struct state *st, const char *name);
/* "ENV": the configuration's part of an instruction that makes no files. in is expanded. */
int state_apply(struct build *b, struct state *st, const struct ins *in, struct err *e);

/* The image and its layers stay until the build ends; -ENOENT: it is gone. */
int state_pin(struct build *b, const char *id, struct err *e);

/* --- cache.c --- */
/* What an instruction works on, and more, as one digest. */
int cache_key(struct build *b, const struct state *st, char *const *more,
              char ret[static DIGEST_TEXT_MAX], struct err *e);
/* The image that a key stands for: 1 and st as it is there, or 0. */
int cache_get(struct build *b, const char *key, struct state *st, struct err *e);
void cache_put(struct build *b, const char *key, const char *id);

/* --- stage.c --- */
int stages_find(struct build *b, struct err *e);
/* The values of ARG before the first FROM. */
int stages_globals(struct build *b, struct err *e);
int stage_target(struct build *b, struct stage **ret, struct err *e);
int stage_run(struct build *b, struct stage *s, struct err *e);
/* Of "--from=NAME" and "from=NAME": a stage (run first), a --build-context, or an image. *ret_dir
 * is a directory of the host or NULL, *ret_image the id of an image or NULL; both owned. */
int stage_source(struct build *b, struct stage *s, const char *name, char **ret_dir,
                 char **ret_image, struct err *e);
/* The id of an image of this name, pulled when need be. */
int stage_image(struct build *b, const char *name, const struct build_platform *p, char **ret,
                struct err *e);

/* --- step.c: an instruction that makes a layer --- */
struct step {
    struct build *b;
    struct stage *s;
    const struct ins *in;      /* expanded */
    const char *file;          /* its name, for messages */
    char *created_by;          /* owned */
    char key[DIGEST_TEXT_MAX]; /* "": nothing is kept of it */
};
/* 1: the cache had it. */
int step_cached(struct step *t, char *const *more, struct err *e);
/* The request to rootlet-image; a new reference. */
json_t *step_request(struct step *t, bool stream);
/* The new image is what the next instruction works on. */
int step_done(struct step *t, const char *id, struct err *e);
void step_print(struct build *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int step_run(struct step *t, struct err *e);
int step_copy(struct step *t, struct err *e);
/* WORKDIRs that no step has made become a layer, if they are not there. */
int step_dirs(struct build *b, struct stage *s, struct err *e);
/* A container of the stage's image; its name (owned) is in b->containers too. more: further
 * arguments of rootlet create, words: the command. */
int step_container(struct build *b, const char *image, char *const *more, char *const *words,
                   char **ret_name, struct err *e);
void step_container_end(struct build *b, const char *name);
/* Makes b->dirs in it. */
int step_make_dirs(struct build *b, struct state *st, const char *name, struct err *e);
/* An image of a container's changes, or of all its files: its id. */
int step_commit(struct build *b, const char *name, const json_t *request, bool squash,
                char **ret_id, struct err *e);
/* The root file system of an image's container, read-only, as a descriptor. */
int step_root(struct build *b, const char *container, struct err *e);

/* --- mount.c: RUN --mount --- */
struct run_mounts {
    char **args; /* for rootlet create */
    char **key;  /* for the cache */
    int *locks;  /* of cache directories */
    size_t n_locks;
    char **secrets;   /* files, which go with this */
    char *secret_env; /* one of them, of "NAME=VALUE" 0 for rootlet start; or NULL */
};
void run_mounts_release(struct run_mounts *m);
/* What they are and what they hold, before the cache is asked; then what they need is made. */
int run_mounts_key(struct step *t, struct run_mounts *m, struct err *e);
int run_mounts_make(struct step *t, struct run_mounts *m, struct err *e);

/* --- lower.c --- */
/* What of an image's layers shows at a directory of it: paths, topmost first. path is one without
 * links. *ret_file: it is a regular file, and the only path. */
int lower_dirs(struct build *b, const char *image, const char *path, char ***ret, bool *ret_file,
               struct err *e);

/* --- finish.c --- */
int finish(struct build *b, struct stage *s, struct err *e);
