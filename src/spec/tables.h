/* tables - the field tables of the runtime configuration, one per object, for the files here. */
#pragma once

#include "spec/spec.h"

extern const struct jfield spec_fields[];         /* struct spec */
extern const struct jfield spec_process_fields[]; /* struct spec_process */
extern const struct jfield spec_mount_fields[];
extern const struct jfield spec_namespace_fields[];

/* The parts that are kept as JSON (resources, personality, timeOffsets, ...): their rules. */
int spec_check_raw(const struct spec_linux *l, struct err *e);
int spec_check_linux(const struct spec *s, struct err *e);
int spec_check_mounts(const struct spec *s, struct err *e);

/* Is s in the NULL-terminated list? */
bool spec_known(const char *const *list, const char *s);
/* "0-3,7" */
bool spec_is_cpu_list(const char *s);
/* -EINVAL and "PATH[i]: want an absolute path" for the first entry that is none. */
int spec_check_absolute(char *const *paths, const char *where, struct err *e);
/* Container or host ranges that overlap or leave the 32-bit range, sizes of 0. */
int spec_check_id_maps(const struct spec_id_map *v, size_t n, const char *where, struct err *e);
