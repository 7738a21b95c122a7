/* context - where the files of COPY and ADD come from, and where the Containerfile is. */
#pragma once

#include "base/err.h"
#include "base/scoped.h"
#include "build/ignore.h"

/* An opened context. A directory is used in place, a tar (from standard input or a URL) is unpacked
 * below the scratch directory first. */
struct build_context {
    int dir_fd; /* -1: there are no files (a Containerfile on standard input with context "-") */
    char *containerfile; /* its bytes, terminated */
    size_t containerfile_len;
    char *name;            /* for messages: "Containerfile", as -f gave it, or "stdin" */
    struct ignore *ignore; /* rules of NAME.dockerignore, .containerignore or .dockerignore; NULL */
    char *ignore_name;     /* the file they came from, or NULL */
};

struct context_options {
    const char *where;         /* DIR, "-", or http(s)://...tar[.gz]; git is refused */
    const char *containerfile; /* -f: a path, below where or not; "-": standard input; or NULL */
    const char *ignorefile;    /* --ignorefile, or NULL */
    int scratch_fd;            /* an empty directory of the caller, for unpacked ones */
    int stdin_fd;
};

int context_open(const struct context_options *o, struct build_context **ret, struct err *e);
void context_close(struct build_context *c);
static inline void context_scoped(struct build_context **c)
{
    context_close(*c);
}
