/* scoped - release at the end of the scope, through the compiler's cleanup attribute. */
#pragma once

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SCOPED(fn) __attribute__((cleanup(fn)))

static inline void scoped_free_fn(void *p)
{
    free(*(void **)p);
}
static inline void scoped_fd_fn(int *fd)
{
    if (*fd >= 0)
        close(*fd);
}
static inline void scoped_file_fn(FILE **f)
{
    if (*f)
        fclose(*f);
}
static inline void scoped_dir_fn(DIR **d)
{
    if (*d)
        closedir(*d);
}

#define scoped_free SCOPED(scoped_free_fn)
#define scoped_fd SCOPED(scoped_fd_fn)
#define scoped_file SCOPED(scoped_file_fn)
#define scoped_dir SCOPED(scoped_dir_fn)

/* Hands an owned descriptor or pointer on, leaving -1 or NULL behind. */
static inline int take_fd(int *fd)
{
    int v = *fd;
    *fd = -1;
    return v;
}
#define take_ptr(p)                                                                                \
    ({                                                                                             \
        __typeof__(p) taken_ = p;                                                                  \
        (p) = NULL;                                                                                \
        taken_;                                                                                    \
    })

/* Closes *fd if open and sets it to -1. errno is kept. */
void fd_close(int *fd);

#define N_ELEMENTS(a) (sizeof(a) / sizeof((a)[0]))
