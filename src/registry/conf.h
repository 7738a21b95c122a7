/* conf - where an image name leads: registries.conf(5) version 2 of the containers tools, short
 * names, and the certificates of certs.d.
 *
 * Read: the file of $CONTAINERS_REGISTRIES_CONF, else the first of
 * $XDG_CONFIG_HOME/containers/registries.conf and /etc/containers/registries.conf; then
 * registries.conf.d/NAME.conf of /etc/containers and of the user, in order of their names; for
 * short names also $XDG_CACHE_HOME/containers/short-name-aliases.conf, which podman writes. Without
 * any of them there is docker.io. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "image/ref.h"

struct registry_conf; /* what the files say; read once, by one process */
int registry_conf_load(struct registry_conf **ret, struct err *e);
void registry_conf_free(struct registry_conf *c);
static inline void scoped_registry_conf_fn(struct registry_conf **c)
{
    registry_conf_free(*c);
}
#define scoped_registry_conf SCOPED(scoped_registry_conf_fn)

/* The name that a user means: "busybox" -> docker.io/library/busybox:latest. A name with a host
 * stays. A short one is an alias, or lies in the one registry of the search list; with several the
 * user is asked on the terminal, and without one it is an error (-ENOTUNIQ) that lists them: which
 * image runs is never a guess. */
int registry_conf_resolve(const struct registry_conf *c, const char *text, struct image_ref *ret,
                          struct err *e);
/* As above without asking and without an error: all full references a name may stand for, in order.
 * ret is owned. */
int registry_conf_candidates(const struct registry_conf *c, const char *text, char ***ret,
                             struct err *e);
/* The search list (borrowed): for rootlet search without a host. */
char *const *registry_conf_search_list(const struct registry_conf *c);

/* One place a manifest or blob may come from. */
struct registry_endpoint {
    char *host;    /* as in the name: "quay.io", "127.0.0.1:5000", "docker.io" */
    char *path;    /* the repository there: "library/busybox" */
    bool insecure; /* certificates are not verified, and plain http is tried after https */
    bool mirror;   /* failing, the next is tried */
};
struct registry_place {
    struct registry_endpoint *v;
    size_t n;
};
void registry_place_release(struct registry_place *p);

enum registry_access { REGISTRY_PULL, REGISTRY_PUSH };
/* Where the full name ref->name is: for a pull the mirrors that hold such a reference
 * (pull-from-mirror), in order, the registry itself last; for a push only that. A rewritten
 * location is followed. -EPERM: the configuration blocks it. */
int registry_conf_place(const struct registry_conf *c, const struct image_ref *ref,
                        enum registry_access access, struct registry_place *ret, struct err *e);
/* Is the configuration content with a host that is not verified? For a host alone (login). */
bool registry_conf_insecure(const struct registry_conf *c, const char *host);

/* Certificates for a host: of cert_dir when it is not NULL, else of the first directory
 * certs.d/HOST[:PORT] in $XDG_CONFIG_HOME/containers, /etc/containers and /etc/docker. */
struct registry_certs {
    char **ca_files;                /* *.crt: trusted besides the system's own */
    char *client_cert, *client_key; /* *.cert and *.key of the same name; NULL: none */
};
/* 0 (also when there is none), -EINVAL for a *.cert without its key, or -errno. */
int registry_conf_certs(const char *host, const char *cert_dir, struct registry_certs *ret,
                        struct err *e);
void registry_certs_release(struct registry_certs *certs);
