/* What the files of this folder share. */
#pragma once

#include "volume/volume.h"

#define DIR_RM ".rm-" /* see volume.h */
#define FILE_NEW ".new-"

/* Descriptor of ROOT/volumes/NAME. */
int volume_dir(const struct conf *c, const char *name, bool make, struct err *e);
/* volume.json of an open directory, with the path. */
int volume_read(const struct conf *c, int dir, const char *name, struct volume *ret, struct err *e);
/* -ENOENT with a suggestion. */
int volume_unknown(const struct conf *c, const char *name, struct err *e);
