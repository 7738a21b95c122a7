/* scoped - the one helper that is not worth inlining. */
#include "base/scoped.h"

#include <errno.h>

void fd_close(int *fd)
{
    int saved = errno;
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
    errno = saved;
}
