/* volume - named directories that outlive containers: ROOT/volumes/NAME/{_data,volume.json}.
 *
 * _data is owned by the user outside, which is root inside under the default map. A volume that is
 * new is filled from the image at its first use ("needs_copy_up" in volume.json). */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/jfield.h"
#include "conf/conf.h"

struct volume {
    char *name;
    char *path; /* of _data, absolute; not stored */
    int64_t created_ns;
    bool anonymous, needs_copy_up;
    char **labels, **options;
    json_t *extra;
};
void volume_release(struct volume *v);

/* Opens the volume, making it when it is missing (and make is set). -ENOENT: no such volume. */
int volume_open(const struct conf *c, const char *name, bool make, bool anonymous,
                struct volume *ret, struct err *e);
/* Writes volume.json again (needs_copy_up has changed). */
int volume_write(const struct conf *c, const struct volume *v, struct err *e);
