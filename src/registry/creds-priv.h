/* creds-priv - the file of credentials and the helper programs, between the files of creds. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "registry/creds.h"

#define CREDS_MAX_BYTES (1u << 20)
#define CREDS_DOCKER_IO_URL "https://index.docker.io/v1/"

/* Reads a file of credentials: an object, owned. *ret is NULL if there is no such file. */
int creds_read(const char *path, json_t **ret, struct err *e);
/* The host that a key of docker's older files means: "https://index.docker.io/v1/" and "docker.io"
 * are index.docker.io. Owned. */
char *creds_host_of(const char *key);
/* An entry of "auths". 1 found, 0 it is empty, -EINVAL. where: for the message. */
int creds_decode(const json_t *entry, const char *where, struct registry_creds *ret, struct err *e);
/* The entry as docker and podman write it; owned. */
json_t *creds_encode(const struct registry_creds *c);

/* What the content of a file has for a host, as creds_find. path: for messages. */
int creds_find_in(const char *path, json_t *doc, const char *host, const char *repository,
                  struct registry_creds *ret, struct err *e);

/* The program that keeps what belongs to the key: of credHelpers (*ret_own), else of credsStore;
 * NULL: the file does. Borrowed. */
const char *creds_helper(const json_t *doc, const char *key, bool *ret_own);
/* docker-credential-NAME get|store|erase. get: 1 found, 0 it knows nothing; -ENOENT: there is no
 * such program. */
int creds_helper_get(const char *name, const char *url, struct registry_creds *ret, struct err *e);
int creds_helper_store(const char *name, const char *url, const struct registry_creds *c,
                       struct err *e);
int creds_helper_erase(const char *name, const char *url, struct err *e);
extern int creds_helper_timeout_ms; /* 0: as a terminal suggests; tests set less */

/* Texts to and from base64; owned. decode: NULL if it is none. */
char *base64_encode(const void *data, size_t n);
char *base64_decode(const char *text, size_t *ret_n);
