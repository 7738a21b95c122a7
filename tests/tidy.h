/* tidy - what clang's analyzer cannot see from one source file: these return a negative number, so
 * that behind a test of "r < 0" the results are set. Included before everything by tests/run-tidy;
 * TIDY_PLAIN for the file that defines them. */
#pragma once

#include "base/err.h"

#ifndef TIDY_PLAIN
static inline int tidy_negative(int r)
{
    if (r >= 0)
        __builtin_unreachable();
    return r;
}
#define err_set(...) tidy_negative((err_set)(__VA_ARGS__))
#define err_msg(...) tidy_negative((err_msg)(__VA_ARGS__))
#define err_add(e, r, ...)                                                                         \
    ({                                                                                             \
        int tidy_r = (r);                                                                          \
        (err_add)(e, tidy_r, __VA_ARGS__);                                                         \
        tidy_r;                                                                                    \
    })
#define err_hint(e, r, ...)                                                                        \
    ({                                                                                             \
        int tidy_r = (r);                                                                          \
        (err_hint)(e, tidy_r, __VA_ARGS__);                                                        \
        tidy_r;                                                                                    \
    })
#define err_exit(e, r, status)                                                                     \
    ({                                                                                             \
        int tidy_r = (r);                                                                          \
        (err_exit)(e, tidy_r, status);                                                             \
        tidy_r;                                                                                    \
    })
#endif
