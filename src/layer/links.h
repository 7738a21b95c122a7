/* links - files with several names, while a tree is packed: what the first was called. */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

/* Which file it is. In a tree that lives a number can be another file's by the time it is met
 * again, so the time of birth goes with it, or that of the last change where the file system has
 * none. */
struct link_key {
    dev_t dev;
    ino_t ino; /* 0: it has one name only */
    struct statx_timestamp born;
};

/* Of the file behind fd (name "") or of name in a directory. */
struct link_key link_key_of(int fd, const char *name, const struct stat *st);
/* The first name of a file with several, or NULL when this is the first. */
const char *links_find(void *const *links, const struct link_key *key);
void links_add(void **links, const struct link_key *key, const char *path);
void links_release(void *links);
