/* registry-tool - the registry client by itself, for tests.
 *
 *   registry-tool [OPTION=VALUE...] VERB REF [ARG...]
 *
 * OPTION: creds authfile cert_dir tls_verify retry delay_ms stall_s. Prints what it got; errors as
 * the programs do, exit status 125. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "registry/client.h"

static int manifest(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    struct registry_manifest m SCOPED(registry_manifest_release) = {0};
    int r = registry_manifest_get(reg, ref, args[0], NULL, &m, e);
    if (r == 0)
        printf("%s %s %zu\n", m.digest, m.media_type ? m.media_type : "-", m.len);
    return r;
}

static int head(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    struct registry_manifest m SCOPED(registry_manifest_release) = {0};
    int r = registry_manifest_head(reg, ref, args[0], &m, e);
    if (r == 0)
        printf("%s %s %zu\n", m.digest, m.media_type ? m.media_type : "-", m.len);
    return r;
}

static int put_manifest(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    struct registry_manifest m SCOPED(registry_manifest_release) = {0};
    ssize_t n = fs_read(AT_FDCWD, args[1], REGISTRY_MANIFEST_MAX, &m.bytes, e);
    if (n < 0)
        return (int)n;
    m.len = (size_t)n;
    m.media_type = xstrdup(args[0]);
    return registry_manifest_put(reg, ref, ref->image.tag, &m, e);
}

static int small(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    scoped_free char *text = NULL;
    struct registry_blob b = {.digest = args[0], .size = UINT64_MAX};
    if (args[1])
        parse_u64(args[1], &b.size);
    ssize_t n = registry_blob_get(reg, ref, &b, REGISTRY_CONFIG_MAX, &text, e);
    if (n >= 0)
        printf("%zd\n", n);
    return n < 0 ? (int)n : 0;
}

struct part {
    struct digest *digest;
    int fd, result;
    bool ended;
    uint64_t got;
    struct err e;
};

static int part_data(void *ctx, const void *buf, size_t n)
{
    struct part *p = ctx;
    p->got += n;
    if (p->digest && digest_add(p->digest, buf, n) < 0)
        return -EIO;
    return p->fd < 0 ? 0 : fs_write_all(p->fd, buf, n);
}

static void part_done(void *ctx, int r, const struct err *e)
{
    struct part *p = ctx;
    p->result = r;
    p->ended = true;
    if (r < 0)
        p->e = *e;
}

/* FILE ("-": nowhere, "+": nowhere and not hashed) DIGEST SIZE [FILE DIGEST SIZE...]: all at once;
 * a file goes on where it ends. */
static int fetch(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    static const struct registry_fetch_ops ops = {part_data, part_done};
    struct part parts[16] = {0};
    size_t n = 0;
    int r = 0;
    for (; r == 0 && n < N_ELEMENTS(parts) && args[0]; args += 3, n++) {
        struct part *p = &parts[n];
        struct registry_blob b = {.digest = args[1]};
        parse_u64(args[2], &b.size);
        p->fd = args[0][0] == '-' || args[0][0] == '+'
                    ? -1
                    : open(args[0], O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        if (p->fd >= 0)
            b.offset = (uint64_t)lseek(p->fd, 0, SEEK_END);
        if (args[0][0] != '+')
            digest_new(args[1], &p->digest, NULL);
        r = registry_fetch_start(reg, ref, &b, &ops, p, e) ? 0 : -e->errnum;
    }
    while (r == 0 && (r = registry_step(reg, NULL, 0, -1, e)) > 0)
        r = 0;
    for (size_t i = 0; i < n; i++) {
        char text[DIGEST_TEXT_MAX] = "";
        if (parts[i].digest)
            digest_end(parts[i].digest, text);
        digest_free(parts[i].digest);
        if (r == 0 && parts[i].result < 0) {
            r = parts[i].result;
            *e = parts[i].e;
        } else if (r == 0) {
            printf("%llu %s\n", (unsigned long long)parts[i].got, text);
        }
    }
    return r;
}

static ssize_t source_read(void *ctx, void *buf, size_t n)
{
    ssize_t got = read(*(int *)ctx, buf, n);
    return got < 0 ? -errno : got;
}

static int source_seek(void *ctx, uint64_t offset)
{
    return lseek(*(int *)ctx, (off_t)offset, SEEK_SET) < 0 ? -errno : 0;
}

/* FILE [SIZE-KNOWN] */
static int upload(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    scoped_fd int fd = open(args[0], O_RDONLY | O_CLOEXEC);
    struct stat st;
    char digest[DIGEST_TEXT_MAX];
    uint64_t size;
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(e, errno, "%s", args[0]);
    struct registry_source s = {.read = source_read,
                                .seek = source_seek,
                                .ctx = &fd,
                                .size = args[1] ? (uint64_t)st.st_size : UINT64_MAX};
    int r = registry_upload(reg, ref, &s, digest, &size, e);
    if (r == 0)
        printf("%s %llu\n", digest, (unsigned long long)size);
    return r;
}

static int blob(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    uint64_t size = 0;
    int r = args[1] ? registry_blob_mount(reg, ref, args[0], args[1], e)
                    : registry_blob_head(reg, ref, args[0], &size, e);
    if (r >= 0)
        printf("%d %llu\n", r, (unsigned long long)size);
    return r < 0 ? r : 0;
}

static void print_list(char **v)
{
    for (; v && *v; v++)
        puts(*v);
}

static int tags(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    scoped_strv char **v = NULL;
    (void)args;
    int r = registry_tags(reg, ref, 0, &v, e);
    print_list(v);
    return r;
}

static int referrers(struct registry *reg, struct registry_ref *ref, char **args, struct err *e)
{
    struct registry_manifest m SCOPED(registry_manifest_release) = {0};
    int r = registry_referrers(reg, ref, args[0], &m, e);
    if (r == 0)
        puts(m.bytes);
    return r;
}

/* Of a host. */
static int of_host(struct registry *reg, const char *verb, char **args, struct err *e)
{
    scoped_strv char **v = NULL;
    struct registry_results found SCOPED(registry_results_release) = {0};
    if (streq(verb, "ping"))
        return registry_ping(reg, args[0], e);
    int r = streq(verb, "catalog") ? registry_catalog(reg, args[0], 0, &v, e)
                                   : registry_search(reg, args[0], args[1], 25, &found, e);
    print_list(v);
    for (size_t i = 0; r == 0 && i < found.n; i++)
        printf("%s\t%s\t%llu\n", found.v[i].name,
               found.v[i].description ? found.v[i].description : "",
               (unsigned long long)found.v[i].stars);
    return r;
}

static const struct {
    const char *name;
    int (*fn)(struct registry *reg, struct registry_ref *ref, char **args, struct err *e);
    enum registry_access access;
} verbs[] = {
    {"manifest", manifest, REGISTRY_PULL},   {"head", head, REGISTRY_PULL},
    {"put", put_manifest, REGISTRY_PUSH},    {"small", small, REGISTRY_PULL},
    {"fetch", fetch, REGISTRY_PULL},         {"upload", upload, REGISTRY_PUSH},
    {"blob", blob, REGISTRY_PUSH},           {"tags", tags, REGISTRY_PULL},
    {"referrers", referrers, REGISTRY_PULL},
};

static int run(struct registry *reg, char **args, struct err *e)
{
    struct registry_ref ref SCOPED(registry_ref_release) = {0};
    for (size_t i = 0; i < N_ELEMENTS(verbs); i++) {
        if (!streq(args[0], verbs[i].name))
            continue;
        int r = registry_resolve(reg, args[1], verbs[i].access, &ref, e);
        /* "fetch" needs to know who has it, as a pull does. */
        return r < 0 ? r : verbs[i].fn(reg, &ref, args + 2, e);
    }
    return of_host(reg, args[0], args + 1, e);
}

static void set_option(struct registry_options *o, const char *name, const char *value)
{
    if (streq(name, "creds"))
        o->creds = value;
    else if (streq(name, "authfile"))
        o->authfile = value;
    else if (streq(name, "cert_dir"))
        o->cert_dir = value;
    else if (streq(name, "tls_verify"))
        o->tls_verify = atoi(value);
    else if (streq(name, "retry"))
        o->retry = atoi(value);
    else if (streq(name, "delay_ms"))
        o->retry_delay_ms = (uint64_t)atoi(value);
    else if (streq(name, "stall_s"))
        o->stall_s = (unsigned)atoi(value);
}

int main(int argc, char **argv)
{
    struct registry_options o = {.tls_verify = -1, .retry = -1};
    scoped_registry struct registry *reg = NULL;
    struct err e = ERR_INIT;
    char *eq, text[4000];
    for (argv++; argc > 1 && *argv && (eq = strchr(*argv, '=')); argv++) {
        *eq = '\0';
        set_option(&o, *argv, eq + 1);
    }
    if (!argv[0] || !argv[1])
        return 2;
    int r = registry_open(&o, &reg, &e);
    r = r < 0 ? r : run(reg, argv, &e);
    fflush(stdout);
    if (r >= 0)
        return 0;
    fprintf(stderr, "Error: %s\n", err_escape(text, sizeof(text), e.msg));
    if (e.hint[0])
        fprintf(stderr, "hint: %s\n", err_escape(text, sizeof(text), e.hint));
    return 125;
}
