/* merge - moves what was unpacked into a directory that has content already. */
#pragma once

#include "base/err.h"

/* Moves every entry of the directory from below to: directories that are in both are merged and get
 * the owner, mode and time of the new one, other entries replace the old ones. Both must be on one
 * file system. The same for the two themselves, unless the new one is root's with mode 755. Other
 * processes may change `to` meanwhile: no link is followed, no mount entered. */
int merge_trees(int from_fd, int to_fd, struct err *e);
