/* index - all rows and references of a store: from its directories, or faster from what an earlier
 * look at them has left in ROOT/index/images.
 *
 * That file is a cache. It is valid only if no directory of rows or references has changed since
 * (time, links, inode), it is replaced by a rename, nobody locks it, and everybody may delete it.
 */
#pragma once

#include "image/rows.h"

struct store_scan {
    struct store_image *rows; /* sorted by id */
    struct store_ref *refs;
    size_t n_rows, n_refs;
};
/* may_write: leave an index for the next one. */
int store_scan(const struct conf *c, bool may_write, struct store_scan *ret, struct err *e);
void store_scan_release(struct store_scan *s);
/* Both empty their struct, or give false when there is no valid index. */
bool store_index_read(const struct conf *c, struct store_scan *ret);
struct store_index_key; /* what the directories looked like before they were read */
struct store_index_key *store_index_begin(const struct conf *c);
void store_index_write(const struct conf *c, struct store_index_key *k, const struct store_scan *s);
void store_index_end(struct store_index_key *k);
