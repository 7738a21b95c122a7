/* pin - what an operation under way relies on is not collected as garbage: a directory below
 * ingest/ that its owner has locked, with a file `wants` of digests (diffIDs, blobs, image ids).
 *
 * So no lock of the store is held while an image is fetched, unpacked, read or copied: only for the
 * moment in which a digest is written there. Whoever dies leaves a directory that nobody has
 * locked, which is garbage together with all that was staged in it.
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

#include "base/err.h"
#include "conf/conf.h"
#include "image/store.h"

#define STORE_PIN_WANTS "wants"
#define STORE_PIN_NEW "new" /* kind of who makes a container */

struct store_pin {
    int root_fd, fd; /* the store; the directory, which holds the lock */
    char name[40];   /* "ingest/KIND.RAND" */
};
#define STORE_PIN_INIT                                                                             \
    {                                                                                              \
        .root_fd = -1, .fd = -1                                                                    \
    }

/* Makes one in a store whose directories are there. */
int store_pin_open(const struct conf *c, const char *kind, struct store_pin *ret, struct err *e);
/* From now on the collector leaves these alone (NULL-terminated; NULL: none): whatever is seen in
 * the store after this call stays while the pin is open, and so does what comes later. Waits for
 * a collection under way. */
int store_pin_want(struct store_pin *p, char *const *digests, struct err *e);
int store_pin_want_one(struct store_pin *p, const char *digest, struct err *e);
/* store_find for who reads an image at length: its layers and blobs are wanted, and it was still
 * there after that. */
int store_pin_find(struct store_pin *p, const struct conf *c, const char *text,
                   struct store_image *ret, struct err *e);
int store_pin_image(struct store_pin *p, const struct store_image *i, struct err *e);
/* Gives it back. What else lies in the directory must be gone before. Safe on STORE_PIN_INIT. */
void store_pin_close(struct store_pin *p);
/* What it removes; here, as a signal handler of a process that ends may call it. */
static inline void store_pin_remove(const struct store_pin *p)
{
    if (p->fd < 0)
        return;
    unlinkat(p->fd, STORE_PIN_WANTS, 0);
    unlinkat(p->root_fd, p->name, AT_REMOVEDIR);
}

/* Makes a directory name below ingest/ and locks it, so that the collector leaves it alone until
 * the returned descriptor is closed. fd or -errno. */
int store_stage_open(int root_fd, const char *name, struct err *e);
/* Is an entry of ingest/ somebody's who lives? (*ret_fd >= 0: no, and now it is locked by the
 * caller.) Only with the exclusive store lock. */
bool store_stage_is_live(int ingest_fd, const char *name, int *ret_fd);
/* Removes the pins of creations that were killed: the collector would, but who only makes and
 * removes containers never calls it. Best effort: does nothing while the store is in use. */
void store_pin_sweep(const struct conf *c);
