/* fetch - ADD of an address: fetched by rootlet-registry, checked here. */
#include "build/fetch.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/path.h"
#include "base/proc.h"
#include "base/strv.h"
#include "conf/conf.h"

static bool is_url(const char *s)
{
    return strncmp(s, "http://", 7) == 0 || strncmp(s, "https://", 8) == 0;
}

/* The last part of the path. */
static char *name_of(const char *url)
{
    scoped_free char *path = xstrndup(url, strcspn(url, "?#"));
    const char *host = strstr(path, "//") + 2;
    const char *slash = strrchr(host, '/');
    const char *name = slash ? slash + 1 : "";
    return xstrdup(*name && !streq(name, ".") && !streq(name, "..") ? name : "download");
}

/* Its own words, without its name and exit status. */
static void take_words(struct err *e)
{
    const char *words = e ? strstr(e->msg, ": Error: ") : NULL;
    scoped_free char *text = words ? xstrdup(words + strlen(": Error: ")) : NULL;
    if (text)
        err_msg(e, EIO, "%s", text);
}

int fetch_url(const char *url, int scratch_fd, struct copy_download *ret, struct err *e)
{
    scoped_free char *libexec = conf_libexec();
    scoped_free char *program = path_join(libexec, "rootlet-registry");
    const char *argv[] = {program, "http-get", "--", url, NULL};
    struct stat st;
    scoped_fd int fd = openat(scratch_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return err_set(e, errno, "fetch %s", url);
    struct proc_cmd cmd = {
        .argv = (char *const *)(uintptr_t)argv,
        .envp = environ, /* proxies */
        .name = "rootlet-registry",
        .stdin_fd = -1,
        .stdout_fd = fd,
    };
    int r = proc_run(&cmd, e);
    if (r > 0)
        take_words(e);
    if (r != 0)
        return err_add(e, r < 0 ? r : -EIO, "fetch %s", url);
    if (fstat(fd, &st) < 0 || lseek(fd, 0, SEEK_SET) < 0)
        return err_set(e, errno, "fetch %s", url);
    ret->mtime = st.st_mtime; /* set by it to Last-Modified */
    ret->fd = take_fd(&fd);
    ret->name = name_of(url);
    return 0;
}

static int check_sum(const struct copy_download *d, const char *url, const char *want,
                     struct err *e)
{
    char have[DIGEST_TEXT_MAX], buf[65536];
    struct digest *sum SCOPED(digest_scoped) = NULL;
    int r = digest_parse(want, NULL, e);
    if (r == 0)
        r = digest_new(want, &sum, e);
    if (r < 0)
        return err_hint(e, err_add(e, r, "--checksum"), "--checksum=sha256:HEX");
    ssize_t n;
    for (off_t at = 0; (n = pread(d->fd, buf, sizeof(buf), at)) > 0; at += n)
        digest_add(sum, buf, (size_t)n);
    if (n < 0)
        return err_set(e, errno, "read what was fetched");
    r = digest_end(sum, have);
    if (r == 0 && !digest_equal(have, want))
        return err_msg(e, EBADMSG, "%s: its digest is %s, not the %s of --checksum", url, have,
                       want);
    return r;
}

int copy_fetch(const struct ins *in, int scratch_fd, struct copy_downloads *ret, struct err *e)
{
    const char *sum = ins_flag_value(in, "checksum", NULL);
    size_t n = strv_len(in->args);
    int r = 0;
    *ret = (struct copy_downloads){0};
    for (size_t i = 0; in->kind == INS_ADD && i + 1 < n && r == 0; i++) {
        if (strncmp(in->args[i], "git@", 4) == 0 || strncmp(in->args[i], "git://", 6) == 0)
            r = err_hint(e, err_msg(e, ENOTSUP, "%s: a git repository", in->args[i]),
                         "git clone it into the context, and COPY it");
        if (r < 0 || !is_url(in->args[i]))
            continue;
        ret->v = xrealloc(ret->v, (ret->n + 1) * sizeof(*ret->v));
        ret->v[ret->n] = (struct copy_download){.fd = -1};
        ret->n++;
        r = fetch_url(in->args[i], scratch_fd, &ret->v[ret->n - 1], e);
        if (r == 0 && sum)
            r = check_sum(&ret->v[ret->n - 1], in->args[i], sum, e);
    }
    if (r == 0 && sum && (ret->n != 1 || n != 2))
        r = err_msg(e, EINVAL, "--checksum is for exactly one http or https address");
    if (r < 0)
        copy_downloads_release(ret);
    return r;
}

void copy_downloads_release(struct copy_downloads *d)
{
    for (size_t i = 0; i < d->n; i++) {
        fd_close(&d->v[i].fd);
        free(d->v[i].name);
    }
    free(d->v);
    *d = (struct copy_downloads){0};
}
