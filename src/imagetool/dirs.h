/* dirs - the tree of directories that lies on top of an image's layers.
 *
 * A layer without an entry for a directory that it puts something into (tmp/x, but no tmp/) leaves
 * that directory as lower layers made it. Layers are stored by diffID, each for itself, and there
 * such a directory is root's and 0755; overlay shows the topmost one. So an image with such a layer
 * gets one tree more, of directories alone, with the owners, modes, times and attributes that count
 * for it. It is kept like a layer, below a digest of the diffIDs that it is made of, but is none:
 * nothing that leaves the store knows of it. */
#pragma once

#include "imagetool/ingest.h"

/* Makes, or takes up, the one of these layers (bottom first, all of them in or present). *ret: its
 * digest, owned, or NULL when none is needed. */
int dirs_ingest(struct ingest *in, char *const *layers, uint32_t shown_from, char **ret,
                struct err *e);
/* Compares it with one that is made anew. -EUCLEAN with the difference. */
int dirs_check(struct ingest *in, const struct store_image *img, struct err *e);

/* Between the two files: one layer of the image. */
struct dirs_layer {
    int fd;               /* of diff/, O_PATH */
    const char **implied; /* sorted */
    size_t n_implied;
    char *text;          /* that implied points into */
    uint32_t root_entry; /* enum layer_root */
};
struct dirs_job {
    struct dirs_layer *layers; /* bottom first */
    size_t n, shown_from;
    int stage_fd; /* where diff/ is made if there is need */
};
/* As the owner of all ids. In dirs-tree.c. */
int dirs_build(void *job, struct err *e);
