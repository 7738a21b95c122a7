/* mount-priv - what the kinds of RUN --mount share. */
#pragma once

#include "build/build.h"

/* One --mount. target: absolute and clean; NULL for a secret that is a variable only. */
struct want {
    char *type, *source, *target, *from, *id, *sharing, *size, *env;
    bool rw, required;
    int64_t uid, gid, mode; /* -1: not given */
};

/* Makes it an argument of rootlet create. options: as in a configuration. */
void mount_add(struct run_mounts *m, const char *type, const char *source, const struct want *w,
               const char *options);
/* Owner, group and mode as asked for (ids are those inside), else root's and this mode. */
int mount_give(int fd, const struct want *w, mode_t mode, struct err *e);
/* What from= and source= hold, for the cache, as a text (owned). */
int mount_source_key(struct step *t, const struct want *w, char **ret, struct err *e);

/* mount-secret.c */
int mount_secret(struct step *t, struct run_mounts *m, const struct want *w, struct err *e);
/* mount-cache.c */
int mount_cache(struct step *t, struct run_mounts *m, const struct want *w, struct err *e);
