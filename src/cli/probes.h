/* probes - what this host offers to rootless containers: each answer is measured, not believed. */
#pragma once

#include <jansson.h>

#include "conf/conf.h"

enum finding_level { FINDING_OK, FINDING_NOTE, FINDING_BAD };

struct finding {
    enum finding_level level;
    char text[300]; /* what was found */
    char fix[300];  /* the command that mends it, or "" */
};

struct probe {
    const char *name;
    const char *why; /* what needs it */
    void (*run)(const struct conf *c, struct finding *f);
};

extern const struct probe host_probes[];    /* kernel, namespaces, maps, security; NULL name ends */
extern const struct probe network_probes[]; /* drivers, ports, name servers */
extern const struct probe session_probes[]; /* storage, devices, cgroups, bus, programs */

/* Sets a finding. */
void finding_set(struct finding *f, enum finding_level level, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void finding_fix(struct finding *f, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
