/* journald - the writing half of the journal log: one datagram an entry, systemd's native protocol
 * (https://systemd.io/JOURNAL_NATIVE_PROTOCOL). Nothing is held back: a piece of a line is an entry
 * of its own, marked CONTAINER_PARTIAL_MESSAGE.
 *
 * A journal that takes no more must not stop a container: after a short wait entries are lost, and
 * the next one that gets through says how many. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/timefmt.h"
#include "logs/logs-priv.h"

#define JOURNAL_SOCKET "/run/systemd/journal/socket"
/* So long a full journal is waited for, and not again before it has taken an entry: longer than it
 * takes to write its own files. */
#define FULL_WAIT_MS 1000
#define SEND_BUFFER (8 << 20) /* as systemd's own writer asks for; the kernel gives what it may */
#define SHORT_ID 12

struct journal {
    char *fields; /* of every entry, "NAME=VALUE\n"... */
    uint64_t lost;
};

static const struct sockaddr_un address = {.sun_family = AF_UNIX, .sun_path = JOURNAL_SOCKET};

/* {{.ID}} {{.FullID}} {{.Name}} {{.ImageName}}, as docker's and podman's tags. */
int log_tag_expand(const char *tag, const struct log_ident *i, struct str *out, struct err *e)
{
    const struct {
        const char *word, *value;
        int len;
    } words[] = {{"{{.ID}}", i->id, SHORT_ID},
                 {"{{.FullID}}", i->id, INT32_MAX},
                 {"{{.Name}}", i->name, INT32_MAX},
                 {"{{.ImageName}}", i->image, INT32_MAX}};
    while (*tag) {
        size_t w = 0;
        const char *rest = NULL;
        while (w < N_ELEMENTS(words) && !(rest = str_after(tag, words[w].word)))
            w++;
        if (!rest && str_after(tag, "{{"))
            return err_hint(e, err_msg(e, EINVAL, "log option tag: unknown word at \"%s\"", tag),
                            "{{.ID}}, {{.FullID}}, {{.Name}} and {{.ImageName}} are known");
        if (rest)
            str_addf(out, "%.*s", words[w].len, words[w].value ? words[w].value : "");
        else
            str_addf(out, "%c", *tag);
        tag = rest ? rest : tag + 1;
    }
    return 0;
}

static int parse_opts(char *const *opts, const char **ret_tag, struct err *e)
{
    for (; opts && *opts; opts++) {
        const char *tag = str_after(*opts, "tag=");
        if (!tag || strchr(tag, '\n'))
            return err_msg(e, EINVAL, "unknown log option \"%s\" (known: tag)", *opts);
        *ret_tag = tag;
    }
    return 0;
}

static int journald_check(char *const *opts, struct err *e)
{
    const struct log_ident nobody = {.id = "", .name = "", .image = ""};
    const char *tag = "";
    scoped_str struct str unused = STR_INIT;
    int r = parse_opts(opts, &tag, e);
    if (r == 0)
        r = log_tag_expand(tag, &nobody, &unused, e);
    if (r < 0)
        return r;
    if (access(JOURNAL_SOCKET, W_OK) == 0)
        return 0;
    r = err_set(e, errno, "log driver \"journald\": %s", JOURNAL_SOCKET);
    return err_hint(e, r, "is systemd-journald running? --log-driver k8s-file keeps a file");
}

/* No value may end its line and begin a field of its own. */
static void add_field(struct str *out, const char *name, const char *value)
{
    if (value && *value && !strchr(value, '\n'))
        str_addf(out, "%s=%s\n", name, value);
}

static int journald_open(struct log_writer *w, const struct log_ident *i, struct err *e)
{
    scoped_str struct str tag = STR_INIT;
    scoped_str struct str f = STR_INIT;
    const char *text = NULL;
    int r = parse_opts(i->opts, &text, e);
    if (r == 0 && text)
        r = log_tag_expand(text, i, &tag, e);
    if (r < 0)
        return r;
    scoped_free char *id = xasprintf("%.*s", SHORT_ID, i->id);
    add_field(&f, "CONTAINER_ID", id);
    add_field(&f, "CONTAINER_ID_FULL", i->id);
    add_field(&f, "CONTAINER_NAME", i->name);
    add_field(&f, "CONTAINER_TAG", tag.s);
    add_field(&f, "IMAGE_NAME", i->image);
    add_field(&f, "SYSLOG_IDENTIFIER", tag.len ? tag.s : i->name);
    w->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (w->fd < 0)
        return err_set(e, errno, "make a socket");
    (void)!setsockopt(w->fd, SOL_SOCKET, SO_SNDBUF, &(int){SEND_BUFFER}, sizeof(int));
    w->journal = xcalloc(1, sizeof(*w->journal));
    w->journal->fields = xstrdup(f.s ? f.s : "");
    return 0;
}

/* What no datagram holds goes as a sealed file. */
static int send_file(int sock, const struct iovec *v, size_t n)
{
    scoped_fd int fd = memfd_create("journal-entry", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (fd < 0)
        return -errno;
    for (size_t i = 0; i < n; i++) {
        int r = fs_write_all(fd, v[i].iov_base, v[i].iov_len);
        if (r < 0)
            return r;
    }
    if (fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) < 0)
        return -errno;
    union {
        struct cmsghdr head;
        char buf[CMSG_SPACE(sizeof(int))];
    } c = {.buf = {0}};
    struct msghdr m = {.msg_name = (void *)(uintptr_t)&address,
                       .msg_namelen = sizeof(address),
                       .msg_control = &c,
                       .msg_controllen = sizeof(c)};
    c.head = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&c.head), &fd, sizeof(fd));
    return sendmsg(sock, &m, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

static int send_once(int sock, struct iovec *v, size_t n)
{
    struct msghdr m = {.msg_name = (void *)(uintptr_t)&address,
                       .msg_namelen = sizeof(address),
                       .msg_iov = v,
                       .msg_iovlen = n};
    if (sendmsg(sock, &m, MSG_NOSIGNAL) >= 0)
        return 0;
    return errno == EMSGSIZE || errno == ENOBUFS ? send_file(sock, v, n) : -errno;
}

static int send_entry(struct log_writer *w, struct iovec *v, size_t n)
{
    int r = send_once(w->fd, v, n);
    int64_t end = time_monotonic_ns() + FULL_WAIT_MS * INT64_C(1000000);
    /* An unconnected socket cannot be polled for the room of its reader. */
    while (r == -EAGAIN && w->journal->lost == 0 && time_monotonic_ns() < end) {
        poll(NULL, 0, 1);
        r = send_once(w->fd, v, n);
    }
    return r;
}

/* MESSAGE in its binary form: texts may hold anything. */
static int send_text(struct log_writer *w, const char *rest, const char *text, size_t n)
{
    unsigned char size[8];
    for (size_t i = 0; i < sizeof(size); i++)
        size[i] = (unsigned char)((uint64_t)n >> (8 * i));
    struct iovec v[] = {{w->journal->fields, strlen(w->journal->fields)},
                        {(void *)(uintptr_t)rest, strlen(rest)},
                        {(void *)(uintptr_t) "MESSAGE\n", 8},
                        {size, sizeof(size)},
                        {(void *)(uintptr_t)text, n},
                        {(void *)(uintptr_t) "\n", 1}};
    return send_entry(w, v, N_ELEMENTS(v));
}

static void tell_lost(struct log_writer *w)
{
    char text[100];
    struct journal *j = w->journal;
    int n = snprintf(text, sizeof(text), "%llu entries were lost: the journal took no more",
                     (unsigned long long)j->lost);
    if (send_text(w, "PRIORITY=4\nROOTLET_LOST=1\n", text, (size_t)n) == 0)
        j->lost = 0;
}

static void journald_write(struct log_writer *w, enum log_stream s, const void *data, size_t n)
{
    const char *p = data, *end = p + n;
    char rest[80];
    while (p < end) {
        size_t room = (size_t)(end - p) < LOGS_MAX_TEXT ? (size_t)(end - p) : LOGS_MAX_TEXT;
        const char *lf = memchr(p, '\n', room);
        size_t len = lf ? (size_t)(lf - p) : room;
        snprintf(rest, sizeof(rest), "PRIORITY=%d\n%s", s == LOG_STDERR ? 3 : 6,
                 lf ? "" : "CONTAINER_PARTIAL_MESSAGE=true\n");
        if (w->journal->lost)
            tell_lost(w);
        if (w->journal->lost || send_text(w, rest, p, len) < 0)
            w->journal->lost++;
        p += len + (lf ? 1 : 0);
    }
}

static void journald_close(struct log_writer *w)
{
    if (w->journal && w->journal->lost)
        tell_lost(w);
    if (w->journal)
        free(w->journal->fields);
    free(w->journal);
    fd_close(&w->fd);
}

const struct log_driver log_driver_journald = {
    .name = "journald",
    .summary = "entries in systemd's journal",
    .check = journald_check,
    .open = journald_open,
    .write = journald_write,
    .close = journald_close,
    .read = journald_read,
};
