/* copy-priv - between the parts of COPY: its sources, and the walk over them. */
#pragma once

#include <sys/stat.h>

#include "base/str.h"
#include "build/copy.h"

enum item_kind { ITEM_FILE, ITEM_DIR, ITEM_ARCHIVE, ITEM_HEREDOC, ITEM_URL };

struct item {
    enum item_kind kind;
    char *path;    /* below the root of the sources, without links, "" is the root; or NULL */
    char *name;    /* the last part as it was asked for: what it is called at the destination */
    char *parents; /* --parents: where below the destination, with the name; else NULL */
    const struct ins_heredoc *heredoc;
    const struct copy_download *download;
};

struct copy {
    struct copy_spec spec;
    struct item *items;
    size_t n;
    struct ignore *exclude; /* --exclude, or NULL */
    const char *chown, *chmod;
    bool parents;
    char **notes;
};

int copy_select(struct copy *c, struct err *e);

/* Something below an item. */
struct node {
    const char *rel;  /* "" is the item itself, when it is a directory */
    const char *name; /* in dir_fd */
    int dir_fd;
    unsigned depth;
    struct stat st;
    const char *link; /* of a symbolic link */
};
typedef int (*node_visit)(void *data, const struct node *n, struct err *e);
/* Sorted, directories before what is in them. */
/* < 0: somebody wants the end. */
int copy_interrupted(const struct copy *c, struct err *e);
int copy_walk(struct copy *c, const struct item *it, node_visit visit, void *data, struct err *e);
/* A regular file for reading. */
int node_open(const struct node *n, struct err *e);
/* The attributes of an open file that go along, sorted: PAX records into ret. */
struct pax;
void node_xattrs(int fd, bool from_image, struct pax *ret);
bool item_is_archive(const struct copy *c, const struct item *it);
