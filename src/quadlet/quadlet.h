/* quadlet - unit files of containers (.container .volume .network .pod .image .build), with the
 * sections and keys of podman-systemd.unit(5), as service units of systemd that run rootlet.
 *
 * Files are added as text, and services come out as text: nothing here reads a file or asks anybody
 * (load.h does). What is wrong with a file is kept as its problems, with file and line. */
#pragma once

#include "quadlet/unit.h"

enum quadlet_kind {
    QUADLET_CONTAINER,
    QUADLET_VOLUME,
    QUADLET_NETWORK,
    QUADLET_POD,
    QUADLET_IMAGE,
    QUADLET_BUILD,
    QUADLET_KUBE,     /* refused by name */
    QUADLET_ARTIFACT, /* refused by name */
    QUADLET_N_KINDS,
};

enum quadlet_severity {
    QUADLET_NOTE,  /* good to know */
    QUADLET_LATER, /* translated, but this version of rootlet refuses it when the unit starts */
    QUADLET_ERROR, /* no service comes of the file but one that fails and says why */
};

struct quadlet_problem {
    enum quadlet_severity severity;
    char *text; /* "FILE:LINE: [Container] Foo: ..." or "FILE: ..." */
    char *hint; /* or NULL */
};

struct quadlet_file {
    char *name; /* "web.container" */
    char *path; /* its SourcePath= */
    enum quadlet_kind kind;
    bool shared; /* set by who loads it: podman's generator makes the same service */
    struct unit unit;
    char **run; /* of a container, once translated: what follows "rootlet run" */
    struct quadlet_problem *problems;
    size_t n_problems;
};

/* Files that may refer to one another. */
struct quadlet_set {
    struct quadlet_file **files;
    size_t n;
    const char *program;              /* absolute path of rootlet; borrowed */
    bool (*exists)(const char *path); /* for AddDevice=-PATH; NULL: everything is there */
};

/* "container" for its kind; false when the name's ending is none of ours. */
bool quadlet_kind_of(const char *name, enum quadlet_kind *ret);
const char *quadlet_kind_name(enum quadlet_kind kind); /* "container" */
const char *quadlet_section(enum quadlet_kind kind);   /* "Container" */

/* Adds a file; its name is the last part of path. A file that cannot be parsed is added with that
 * problem. Returns it (borrowed), or NULL when the name is not ours. */
struct quadlet_file *quadlet_add(struct quadlet_set *s, const char *path, const char *text,
                                 size_t len);
/* What a drop-in says is added behind what the file says. */
void quadlet_add_drop_in(struct quadlet_file *f, const char *path, const char *text, size_t len);
/* Directories beside the file in which its drop-ins are, the most specific first:
 * a-b@i.container: a-b@i.container.d, a-b@.container.d, a-@.container.d, a-.container.d,
 * container.d. Owned. */
char **quadlet_drop_in_dirs(const char *name);
struct quadlet_file *quadlet_find(const struct quadlet_set *s, const char *name);
void quadlet_set_release(struct quadlet_set *s);

/* A further problem of a file; at may be NULL. fmt: what is wrong, without the place. */
void quadlet_problem(struct quadlet_file *f, enum quadlet_severity severity,
                     const struct unit_line *at, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* The hint of the problem added last. */
void quadlet_hint(struct quadlet_file *f, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* The worst severity among its problems; -1 without any. */
int quadlet_worst(const struct quadlet_file *f);

/* "web.service", "data-volume.service", by ServiceName= or the file's name. Owned. */
char *quadlet_service_name(const struct quadlet_file *f);
/* What the container, volume, network, pod or image is called; may hold specifiers. Owned, NULL
 * when the file does not say. */
char *quadlet_resource_name(const struct quadlet_file *f);

/* Is it a name that systemd takes for a unit? Then it is no path either. */
bool quadlet_is_unit_name(const char *name);

/* Appends the service unit of a file to out. -EINVAL, with problems of severity QUADLET_ERROR and
 * nothing in out, when there is none. */
int quadlet_translate(const struct quadlet_set *s, struct quadlet_file *f, struct str *out);
/* Appends a unit in place of the one that cannot be made: it fails, and says why. */
void quadlet_failing_unit(const struct quadlet_set *s, const struct quadlet_file *f,
                          struct str *out);
/* The links that enable the service, from [Install], as "LINK", "TARGET" pairs of text, both
 * relative to the generator's directory and the link's: "default.target.wants/web.service",
 * "../web.service". Names that are no unit names are problems. Owned. */
char **quadlet_links(struct quadlet_file *f);

/* How a key becomes options, for the list of keys and the manual page. */
struct quadlet_key_info {
    const char *name;
    const char *what;  /* "--cap-add", or a sentence */
    const char *state; /* "yes", "later" or "no" */
};
/* Key i of a kind; false behind the last. */
bool quadlet_key(enum quadlet_kind kind, size_t i, struct quadlet_key_info *ret);
