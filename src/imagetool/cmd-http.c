/* rootlet-registry http-get: one file from the web for rootlet-build, which has no libcurl. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "imagetool/imagetool.h"
#include "registry/http.h"

#define MAX_BYTES ((uint64_t)64 << 30)

static int put(void *data, const struct http_response *resp, const void *buf, size_t n)
{
    (void)data;
    (void)resp;
    return fs_write_all(STDOUT_FILENO, buf, n);
}

/* One try; what an earlier one wrote is taken back. 1: worth another. */
static int get_once(struct http *h, const struct http_request *req, struct http_response *resp,
                    struct err *e)
{
    if (ftruncate(STDOUT_FILENO, 0) < 0 || lseek(STDOUT_FILENO, 0, SEEK_SET) < 0)
        return err_set(e, errno, "write to standard output: a file is expected");
    int r = http_once(h, req, resp, e);
    if (http_transient(r, resp))
        return 1;
    if (r == 0 && resp->status != 200)
        return err_msg(e, resp->status == 404 ? ENOENT : EIO, "the server answers %u",
                       resp->status);
    return r;
}

/* When it was changed is the file's own time then. */
static void set_time(const struct http_response *resp)
{
    const char *text = http_header(resp, "last-modified");
    struct timespec times[2] = {{.tv_nsec = UTIME_OMIT}, {0}};
    struct tm tm = {0};
    if (text && strptime(text, "%a, %d %b %Y %H:%M:%S GMT", &tm))
        times[1].tv_sec = timegm(&tm);
    futimens(STDOUT_FILENO, times);
}

static int get(struct http *h, const struct http_request *req, struct err *e)
{
    for (unsigned attempt = 1;; attempt++) {
        struct http_response resp SCOPED(http_response_release) = {0};
        int r = get_once(h, req, &resp, e);
        if (r == 0)
            set_time(&resp);
        if (r != 1)
            return r;
        if (attempt > http_retries(h))
            return resp.status >= 400 ? err_msg(e, EIO, "the server answers %u", resp.status)
                                      : -(e->errnum ? e->errnum : EIO);
        uint64_t ms = http_backoff_ms(h, attempt, &resp);
        http_notice(h, "%s: trying again in %llu s", req->url,
                    (unsigned long long)(ms + 999) / 1000);
        struct timespec t = {(time_t)(ms / 1000), (long)(ms % 1000) * 1000000};
        while (nanosleep(&t, &t) < 0 && errno == EINTR)
            ;
        err_clear(e);
    }
}

static int run(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct http_options o = {.retries = 3};
    struct http *h = NULL;
    (void)cmd;
    (void)opts;
    struct http_request req = {
        .method = "GET", .url = args[0], .max_body = MAX_BYTES, .write = put};
    int r = http_new(&o, &h, e);
    if (r == 0)
        r = get(h, &req, e);
    http_free(h);
    if (r < 0)
        e->hint[0] = '\0'; /* they are of registries */
    return r;
}

const struct cmd imagetool_http_cmds[] = {
    {.name = "http-get",
     .args = "URL",
     .summary = "Write a file from the web to standard output, for 'rootlet build'",
     .min_args = 1,
     .max_args = 1,
     .flags = CMD_HIDDEN,
     .run = run},
    {NULL},
};
