/* expand - variables, quotes and escapes in words of a Containerfile, by the rules of docker's own
 * lexer (which is not a shell's).
 *
 * $x ${x} ${x:-w} ${x-w} ${x:+w} ${x+w} ${x:?w} ${x?w} ${x#p} ${x##p} ${x%p} ${x%%p} ${x/p/r}
 * ${x//p/r}; 'literal' "with $x"; the escape character takes one character's meaning away. */
#pragma once

#include "base/err.h"
#include "build/file.h"

struct expand {
    const char *(*get)(void *data, const char *name); /* borrowed value, NULL: not set */
    void *data;
    char escape;
};

/* One word to one word: *ret is owned. Spaces in values do not split. */
int expand_word(const struct expand *x, const char *word, char **ret, struct err *e);
/* As above, but unquoted spaces, also of values, split (EXPOSE $PORTS). Appends to *ret. */
int expand_words(const struct expand *x, const char *word, char ***ret, struct err *e);
/* The body of a here-document: variables and escapes of $ only, quotes stay. */
int expand_body(const struct expand *x, const char *body, char **ret, struct err *e);

/* A copy of in in which all is expanded that the language expands for its kind: words of ADD ARG
 * COPY ENV EXPOSE FROM LABEL STOPSIGNAL USER VOLUME WORKDIR and their flags, --mount and others of
 * RUN, here-documents of COPY and ADD. RUN, CMD, ENTRYPOINT, SHELL, HEALTHCHECK and ONBUILD stay as
 * they are. Several names in one ENV all see the values before it. name: of the file, for messages.
 */
int ins_expand(const char *name, const struct ins *in, const struct expand *x, struct ins **ret,
               struct err *e);

/* OS[/ARCH[/VARIANT]] in the form images use: "linux/x86_64" -> linux, amd64, "". Owned. */
struct build_platform {
    char os[32], arch[32], variant[32];
};
/* text NULL: of this machine. */
int build_platform_parse(const char *text, struct build_platform *ret, struct err *e);
void build_platform_text(const struct build_platform *p, char ret[static 100]);
/* The value of a predefined platform argument (TARGETPLATFORM, TARGETOS, TARGETARCH, TARGETVARIANT
 * and BUILD...), NULL when name is none. ARG NAME in a stage makes it seen, before FROM it is. */
const char *build_platform_arg(const struct build_platform *build,
                               const struct build_platform *target, const char *name,
                               char ret[static 100]);
/* HTTP_PROXY, no_proxy ...: may be set by --build-arg without an ARG, seen by RUN, not in history
 * nor in the cache key. */
bool build_is_proxy_arg(const char *name);
