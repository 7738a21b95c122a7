/* conf-priv - what the files of registries.conf say, in memory. */
#pragma once

#include "base/str.h"
#include "base/strv.h"
#include "registry/conf.h"

enum mirror_pull { PULL_ALL, PULL_DIGEST_ONLY, PULL_TAG_ONLY };

struct conf_mirror {
    char *location;
    bool insecure;
    enum mirror_pull pull;
};

struct conf_entry {
    char *prefix;   /* "host", "host/ns", "*.example.com" */
    char *location; /* what stands in place of the prefix; NULL: the prefix itself */
    char *file;     /* for messages */
    bool insecure, blocked, digest_only;
    struct conf_mirror *mirrors;
    size_t mirrors_n;
};

struct registry_conf {
    struct conf_entry *entries;
    size_t entries_n;
    char **search; /* NULL: docker.io */
    bool search_given;
    char *search_file;
    char **aliases; /* "busybox=docker.io/library/busybox" */
};

void conf_entry_release(struct conf_entry *entry);
/* Adds what one file says to *c; a later file's word counts. */
int registry_conf_read(struct registry_conf *c, const char *path, struct err *e);
/* As above of a text: path is for messages. */
int registry_conf_read_text(struct registry_conf *c, const char *text, size_t len, const char *path,
                            struct err *e);
/* $XDG_CONFIG_HOME/containers, else ~/.config/containers; owned. "" without a home. */
char *registry_user_dir(const char *variable, const char *below_home);
/* The entry with the longest prefix that fits, or NULL; *ret_len: so much of text is the prefix. */
const struct conf_entry *registry_conf_match(const struct registry_conf *c, const char *text,
                                             size_t *ret_len);
