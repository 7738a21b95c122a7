/* refs - names of images, written and removed: a tag is a file, a rename makes it. */
#pragma once

#include <stdbool.h>

#include "base/err.h"
#include "conf/conf.h"
#include "image/store.h"

/* For who removes an image with its names, or gives names: no name is left without its image. Close
 * the descriptor soon. Taken after the store's lock. */
int refs_lock(const struct conf *c, struct err *e);
/* Lets ref (name and tag) refer to an image. Call under store_use. */
int ref_write(const struct conf *c, const struct image_ref *ref, const struct store_image *i,
              struct err *e);
/* Removes one name ("docker.io/library/x:latest") as store_names gives it; missing is success. */
int ref_remove(const struct conf *c, const char *name, struct err *e);
/* Is the name ("docker.io/library/x:latest") in the own store, not in an additional one? */
bool ref_is_own(const struct conf *c, const char *name);
/* -EROFS: it is of an additional store, which is never written to. */
int ref_refuse_other(const struct store_image *i, struct err *e);
/* Removes every name of an image, those by digest only included; *ret_names (may be NULL) gets
 * what was removed. */
int ref_remove_all(const struct conf *c, const struct store_image *i, char ***ret_names,
                   struct err *e);
/* Removes the row of an image, so that it is no longer known. */
int row_remove(const struct conf *c, const struct store_image *i, struct err *e);
