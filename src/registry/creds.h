/* creds - the user's credentials for a registry: where docker and podman keep them.
 *
 * In order: what --creds gave; the file of --authfile or $REGISTRY_AUTH_FILE and no other; else
 * $XDG_RUNTIME_DIR/containers/auth.json, $XDG_CONFIG_HOME/containers/auth.json,
 * $DOCKER_CONFIG/config.json (~/.docker/config.json), ~/.dockercfg: the first file that has
 * something for the registry. In a file a key may be HOST/NAMESPACE/REPOSITORY: the longest that
 * fits counts. Credential helpers are programs docker-credential-NAME of PATH. */
#pragma once

#include <stdbool.h>

#include "base/err.h"

/* All NULL: anonymous. */
struct registry_creds {
    char *username, *password;
    char *identity_token; /* an OAuth2 refresh token; goes to the token server, never as Basic */
};
void registry_creds_release(struct registry_creds *c); /* wipes the secrets */

struct creds_source {
    const char *creds;    /* "USER[:PASSWORD]" of --creds, or NULL */
    const char *authfile; /* of --authfile, or NULL */
};

/* Finds what to show to HOST ("docker.io", "127.0.0.1:5000") for REPOSITORY ("library/busybox";
 * NULL: the host alone). 1 found, 0 nothing is there, or -errno: a file that cannot be read is an
 * error, one that is missing is not. */
int creds_find(const struct creds_source *s, const char *host, const char *repository,
               struct registry_creds *ret, struct err *e);

/* Keeps them for KEY (a host, or HOST/NAMESPACE...) in the file of login: --authfile,
 * $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, else the user's configuration; in the
 * credential helper when that file names one for it. What else the file holds stays. 0600, by
 * rename. */
int creds_store(const char *authfile, const char *key, const struct registry_creds *c,
                struct err *e);
/* Removes those of KEY. 1 removed, 0 there were none there, or -errno. */
int creds_erase(const char *authfile, const char *key, struct err *e);
/* Removes all of the file. As above. */
int creds_erase_all(const char *authfile, struct err *e);
/* The file that login writes and logout looks into; owned. */
char *creds_file(const char *authfile);
