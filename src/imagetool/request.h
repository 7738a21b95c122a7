/* request - what rootlet hands over for commit and export: a JSON text and descriptors. */
#pragma once

#include <jansson.h>

#include "base/err.h"
#include "layer/layer.h"
#include "userns/userns.h"

struct request {
    json_t *doc;
    int tree, list, hold;  /* owned; -1: none */
    int userns;            /* owned; the only one that can read the tree, or -1 */
    struct userns_map map; /* of the tree */
};
#define REQUEST_INIT                                                                               \
    {                                                                                              \
        .tree = -1, .list = -1, .hold = -1, .userns = -1                                           \
    }

/* args: numbers of inherited descriptors or "-", the request's first (src/cli/hand.c). */
int request_read(char **args, struct request *ret, struct err *e);
void request_release(struct request *r);

const char *request_text(const struct request *r, const char *key); /* borrowed, or NULL */
/* What the tree is to be packed with; out_fd is not set. */
struct layer_pack request_pack(const struct request *r);
/* The tree has been read: a container that was paused for it goes on. */
void request_let_go(struct request *r);
