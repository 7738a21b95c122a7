/* unit - what the unit tests share: cmocka with its includes, temporary directories, messages. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fs.h"
#include "base/scoped.h"
#include "base/str.h"

/* Fails unless text holds part; says both. */
#define assert_has(text, part)                                                                     \
    do {                                                                                           \
        const char *text_ = (text), *part_ = (part);                                               \
        if (!strstr(text_, part_))                                                                 \
            fail_msg("want \"%s\" in \"%s\"", part_, text_);                                       \
    } while (0)

/* A vector for exec from literals, which exec does not write to. */
#define ARGV(...) ((char **)(uintptr_t)(const char *const[]){__VA_ARGS__, NULL})

/* A directory of the test's own; its path and an O_PATH descriptor. */
struct unit_dir {
    char path[64];
    int fd;
};

static inline struct unit_dir unit_dir_make(void)
{
    struct unit_dir d;
    snprintf(d.path, sizeof(d.path), "/tmp/rootlet-unit-XXXXXX");
    assert_non_null(mkdtemp(d.path));
    d.fd = open(d.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_true(d.fd >= 0);
    return d;
}

static inline void unit_dir_remove(struct unit_dir *d)
{
    struct err e = ERR_INIT;
    fd_close(&d->fd);
    if (fs_remove_tree(AT_FDCWD, d->path, &e) < 0)
        fail_msg("%s", e.msg);
}

static inline void unit_write(int dirfd, const char *name, const char *text)
{
    struct err e = ERR_INIT;
    if (fs_write_atomic(dirfd, name, text, strlen(text), 0644, FS_NO_SYNC, &e) < 0)
        fail_msg("%s", e.msg);
}
