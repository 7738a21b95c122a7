/* others - additional stores: of the system, or of another user, in the same layout. They are
 * searched after the own store and never written to.
 *
 * One is used only when nobody but its owner and root can change it. Its trees are mounted as they
 * are only if they are the user's own, of the same ids, where nobody else comes to: all others are
 * copied into the own store, digests verified, when a container is made from them (a tree that
 * others can enter has directories like /tmp, which they can write to).
 */
#pragma once

#include <stdbool.h>

#include "conf/conf.h"
#include "image/store.h"

/* One as if it was the own store (additional_stores empty). NULL at the end. What may not be used
 * is left out, with a warning. The pointer stays valid as long as c does. */
const struct conf *store_other(const struct conf *c, size_t n);
/* May its trees be mounted as they are? */
bool store_other_is_direct(const struct conf *c, const struct conf *other);
/* The store that has the layer, the own one first (then other stores, those first whose trees may
 * be mounted). NULL: none. *ret_direct may be NULL. */
const struct conf *store_of_layer(const struct conf *c, const char *diff_id, bool *ret_direct);
