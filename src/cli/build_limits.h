/* build_limits - the parts of build_resources.c, which translates limits, and of update.c.
 *
 * Pure but for looking at devices, CPUs and sizes of pages that the options name. */
#pragma once

#include "base/err.h"
#include "base/jfield.h"
#include "cli/runopts_limits.h"

/* The limits among the options as linux.resources of the OCI configuration; a new reference, empty
 * without any. "No limit" is in it too where it was asked for (-1), so that an update can say it.
 * was: the resources that an update changes (*ret is what changes); NULL for a new container. */
int build_resources(const struct limit_opts *o, const json_t *was, json_t **ret, struct err *e);
/* Puts the members of from into those of into; entries of lists by device or size of page. */
void build_merge_resources(json_t *into, const json_t *from);
/* What a container has after a change: a new reference. was may be NULL. */
json_t *build_merged_limits(const json_t *was, const json_t *change);
/* A copy of given (of --spec; may be NULL) with the limits of the options: a new reference. */
int build_limits(const struct limit_opts *o, const json_t *given, json_t **ret, struct err *e);
/* Adds what a container has without being asked: settings (conf.extra) pids_limit, or 2048. */
int build_default_limits(char *const *settings, json_t *to, struct err *e);

/* Who asked for a member that a plan of cgroup/resources.h names ("memory.limit"): the option
 * ("--memory"), with spec "linux.resources.memory.limit of --spec" (in text), else NULL. For struct
 * cgroup_wish. */
struct limit_source {
    const struct limit_opts *o;
    const char *spec;
    char text[96];
};
const char *build_limit_option(const char *member, void *data);

/* To be used by the parts. */
json_t *limits_section(json_t *to, const char *name); /* the object of this name, made if missing */
/* -1: no limit. */
int limits_number(const char *option, const char *text, int64_t *ret, struct err *e);
int limits_size(const char *option, const char *text, int64_t *ret, struct err *e);
/* Those that name hardware: build_hardware.c. */
int limits_cpuset(const struct limit_opts *o, json_t *to, struct err *e);
int limits_block_io(const struct limit_opts *o, json_t *to, struct err *e);
int limits_huge_pages(char *const *list, json_t *to, struct err *e);
