/* fetch - a file from the web, by rootlet-registry, which has libcurl. */
#pragma once

#include "build/copy.h"

/* ret->fd is an unlinked file below scratch_fd, at its start. */
int fetch_url(const char *url, int scratch_fd, struct copy_download *ret, struct err *e);
