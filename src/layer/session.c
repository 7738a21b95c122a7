/* session - the caller's side: starts the keeper in its user namespace, sends it jobs. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <locale.h>
#include <pwd.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "layer/job.h"
#include "layer/sandbox.h"
#include "sys/clone.h"
#include "sys/sock.h"

struct layer_session {
    int sock, pidfd;
    uid_t root_uid; /* host ids of the namespace's root */
    gid_t root_gid;
    bool chown_dirs; /* that is not us: directories must be handed over */
};

static void copy_idmap(struct idmap *to, const struct idmap *from)
{
    to->n = from->n;
    to->v = xcalloc(from->n + 1, sizeof(*to->v));
    if (from->n)
        memcpy(to->v, from->v, from->n * sizeof(*to->v));
}

/* The first id behind all ranges of an /etc/sub[ug]id file, at least 100000. */
static uint64_t behind_ranges(const char *file)
{
    scoped_free char *text = NULL;
    struct err ignored;
    uint64_t end = 100000;

    if (fs_read(AT_FDCWD, file, 1 << 20, &text, &ignored) < 0)
        return end;
    for (char *line = text, *next; line; line = next) {
        char *first = strchr(line, ':'), *count;
        uint64_t a, n;
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        first = strchr(line, ':');
        count = first ? strchr(first + 1, ':') : NULL;
        if (!count)
            continue;
        *count++ = '\0';
        if (parse_u64(first + 1, &a) == 0 && parse_u64(count, &n) == 0 && a + n > end)
            end = a + n;
    }
    return end;
}

static int make_env(const struct userns_map *map, const struct layer_limits *limits,
                    struct layer_env *env, struct err *e)
{
    const struct passwd *pw = getpwuid(getuid());
    uint64_t u = behind_ranges("/etc/subuid"), g = behind_ranges("/etc/subgid");

    copy_idmap(&env->map.uid, &map->uid);
    copy_idmap(&env->map.gid, &map->gid);
    env->map.single = map->single;
    if (limits)
        env->limits = *limits;
    if (!env->limits.max_entries)
        env->limits.max_entries = 4000000;
    if (!env->limits.max_file_bytes)
        env->limits.max_file_bytes = (uint64_t)1 << 40;
    if (!env->limits.max_ratio)
        env->limits.max_ratio = 1000;
    if (pw)
        snprintf(env->more_ids.user, sizeof(env->more_ids.user), "%s", pw->pw_name);
    env->more_ids.first = u > g ? u : g;
    return sandbox_filter_new(&env->filter, e);
}

static void release_env(struct layer_env *env)
{
    userns_map_release(&env->map);
    sandbox_filter_free(env->filter);
}

/* The child of the clone: waits for its maps, becomes root in them and serves. */
static void keeper_start(const struct layer_env *env, int sock) __attribute__((noreturn));
static void keeper_start(const struct layer_env *env, int sock)
{
    int fds[SOCK_MAX_FDS], null = open("/dev/null", O_RDWR | O_CLOEXEC);
    char go, warm[DIGEST_TEXT_MAX];
    struct layer_reply up = {0};

    if (sock_recv(sock, &go, 1, fds) != 1)
        _exit(1);
    up.r = userns_become_root(env->map.single, &up.err);
    prctl(PR_SET_PDEATHSIG, SIGKILL); /* after the change of ids, which clears it */
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    /* libarchive turns names from UTF-8 into those of the locale; libcrypto reads its settings
     * once. Both must be over before a worker is confined. */
    setlocale(LC_CTYPE, "C.UTF-8");
    digest_data("", 0, warm);
    for (int i = 0; i < 3; i++)
        if (dup2(null, i) < 0)
            _exit(1);
    if (sock != 3 && dup3(sock, 3, O_CLOEXEC) < 0)
        _exit(1); /* whatever 3 is */
    sock = 3;
    sys_close_from(4, 0);
    if (sock_send(sock, &up, sizeof(up), NULL, 0) < 0 || up.r < 0)
        _exit(1);
    keeper_main(env, sock);
}

static int keeper_reply(int sock, struct layer_reply *reply)
{
    int fds[SOCK_MAX_FDS];
    ssize_t n;

    do {
        n = sock_recv(sock, reply, sizeof(*reply), fds);
    } while (n == -EINTR);
    for (size_t i = 0; i < SOCK_MAX_FDS; i++)
        if (n > 0)
            fd_close(&fds[i]);
    if (n != (ssize_t)sizeof(*reply)) {
        memset(reply, 0, sizeof(*reply));
        reply->r = err_msg(&reply->err, EIO, "the unpacking process ended without an answer");
    }
    /* It comes from a process that read hostile bytes. */
    reply->err.msg[sizeof(reply->err.msg) - 1] = '\0';
    reply->err.hint[sizeof(reply->err.hint) - 1] = '\0';
    reply->result.diffid[DIGEST_TEXT_MAX - 1] = '\0';
    reply->result.blob[DIGEST_TEXT_MAX - 1] = '\0';
    reply->result.compression[sizeof(reply->result.compression) - 1] = '\0';
    for (size_t i = 0; i < LAYER_NOTES; i++)
        reply->result.notes[i][sizeof(reply->result.notes[i]) - 1] = '\0';
    if (reply->r > 0 || reply->r < -4095)
        reply->r = err_msg(&reply->err, EPROTO, "the unpacking process gave a wrong answer");
    return reply->r;
}

static int start(struct layer_session *s, const struct layer_env *env, int userns_fd, struct err *e)
{
    int sv[2], r = sock_pair(sv, e);
    struct layer_reply *up;
    pid_t pid;

    if (r < 0)
        return r;
    pid = sys_clone(userns_fd < 0 ? CLONE_NEWUSER : 0, -1, &s->pidfd);
    if (pid == 0) {
        close(sv[0]);
        if (userns_fd >= 0 && setns(userns_fd, CLONE_NEWUSER) < 0)
            _exit(1);
        keeper_start(env, sv[1]);
    }
    close(sv[1]);
    s->sock = sv[0];
    if (pid < 0)
        return userns_explain(-pid, e);
    r = userns_fd < 0 ? userns_map_write(pid, s->pidfd, &env->map, e) : 0;
    if (r == 0 && (r = sock_send(s->sock, "g", 1, NULL, 0)) < 0)
        err_set(e, -r, "start the unpacking process");
    if (r < 0)
        return r;
    up = xcalloc(1, sizeof(*up));
    r = keeper_reply(s->sock, up);
    if (r < 0)
        *e = up->err;
    free(up);
    return r;
}

int layer_session_open(const struct userns_map *map, const struct layer_limits *limits,
                       struct layer_session **ret, struct err *e)
{
    return layer_session_join(-1, map, limits, ret, e);
}

int layer_session_join(int userns_fd, const struct userns_map *map,
                       const struct layer_limits *limits, struct layer_session **ret, struct err *e)
{
    struct layer_session *s = xcalloc(1, sizeof(*s));
    struct layer_env env = {0};
    int64_t uid = idmap_to_host(&map->uid, 0);
    int64_t gid = idmap_to_host(&map->gid, 0);
    struct err local = ERR_INIT;
    int r = uid < 0 || gid < 0 ? err_msg(e, EINVAL, "the id map has no id 0") : 0;

    s->sock = s->pidfd = -1;
    s->root_uid = (uid_t)uid;
    s->root_gid = (gid_t)gid;
    s->chown_dirs = s->root_uid != geteuid();
    if (r == 0)
        r = make_env(map, limits, &env, e);
    if (r == 0)
        r = start(s, &env, userns_fd, e ? e : &local);
    release_env(&env);
    if (r < 0) {
        layer_session_close(s);
        return r;
    }
    *ret = s;
    return 0;
}

void layer_session_close(struct layer_session *s)
{
    int status;

    if (!s)
        return;
    fd_close(&s->sock);
    if (s->pidfd >= 0) {
        /* Its minders and their workers die with it, by their parent-death signals. */
        pidfd_signal(s->pidfd, SIGKILL);
        pidfd_wait(s->pidfd, &status);
        fd_close(&s->pidfd);
    }
    free(s);
}

/* Sends a request with its descriptors; the reply will come at job->fd. */
static int send_request(struct layer_session *s, const struct layer_request *req, const int *fds,
                        struct layer_job *job, struct err *e)
{
    int sv[2], with[SOCK_MAX_FDS], r = sock_pair(sv, e);
    size_t n = req->op == LAYER_OP_REMOVE ? 1 : req->with_list || req->grows ? 3 : 2;

    if (r < 0)
        return r;
    with[0] = sv[1];
    memcpy(with + 1, fds, n * sizeof(int));
    r = sock_send(s->sock, req, sizeof(*req), with, n + 1);
    close(sv[1]);
    if (r < 0) {
        close(sv[0]);
        return err_set(e, -r, "send a job to the unpacking process");
    }
    job->fd = sv[0];
    job->number = req->number;
    return 0;
}

int layer_job_finish(struct layer_job *job, struct layer_result *ret, struct err *e)
{
    struct layer_reply *reply = xcalloc(1, sizeof(*reply));
    int r = keeper_reply(job->fd, reply);

    fd_close(&job->fd);
    if (r < 0 && e)
        *e = reply->err;
    else if (r == 0 && ret)
        *ret = reply->result;
    free(reply);
    return r;
}

/* A digest that the caller expects, checked before it is compared with anything. */
static int set_digest(char to[static DIGEST_TEXT_MAX], const char *text, struct err *e)
{
    int r = text ? digest_parse(text, NULL, e) : 0;

    if (r == 0 && text)
        snprintf(to, DIGEST_TEXT_MAX, "%s", text);
    return r;
}

int layer_grow_open(struct err *e)
{
    int fd = eventfd(0, EFD_CLOEXEC);

    return fd < 0 ? err_set(e, errno, "make a counter for the unpacking process") : fd;
}

void layer_grow_add(int grow_fd, uint64_t bytes)
{
    (void)!write(grow_fd, &bytes, sizeof(bytes));
}

void layer_grow_end(int grow_fd)
{
    layer_grow_add(grow_fd, LAYER_GROW_END);
}

int layer_unpack_start(struct layer_session *s, const struct layer_source *src, int staging_fd,
                       struct layer_job *ret, struct err *e)
{
    scoped_free struct layer_request *req = xcalloc(1, sizeof(*req));
    const int fds[3] = {src->fd, staging_fd, src->grow_fd};
    int r;

    req->op = LAYER_OP_UNPACK;
    req->number = src->number;
    req->offset = src->offset;
    req->size = src->size;
    req->squash_ids = src->squash_ids;
    req->want_whiteouts = src->want_whiteouts;
    req->keep_headers = src->keep_headers;
    req->lenient = src->lenient;
    req->no_blob = src->no_blob && !src->blob;
    req->grows = src->grow_fd >= 0;
    r = set_digest(req->diffid, src->diffid, e);
    if (r == 0)
        r = set_digest(req->blob, src->blob, e);
    if (r < 0)
        return r;
    if (s->chown_dirs && fchown(staging_fd, s->root_uid, s->root_gid) < 0)
        return err_set(e, errno, "hand the layer directory to the user namespace");
    return send_request(s, req, fds, ret, e);
}

int layer_unpack(struct layer_session *s, const struct layer_source *src, int staging_fd,
                 struct layer_result *ret, struct err *e)
{
    struct layer_job job;
    int r = layer_unpack_start(s, src, staging_fd, &job, e);

    return r < 0 ? r : layer_job_finish(&job, ret, e);
}

static int run(struct layer_session *s, const struct layer_request *req, const int *fds,
               struct layer_result *ret, struct err *e)
{
    struct layer_job job;
    int r = send_request(s, req, fds, &job, e);

    return r < 0 ? r : layer_job_finish(&job, ret, e);
}

int layer_rebuild_start(struct layer_session *s, int layer_dir_fd, int out_fd, const char *diffid,
                        struct layer_job *ret, struct err *e)
{
    scoped_free struct layer_request *req = xcalloc(1, sizeof(*req));
    const int fds[2] = {out_fd, layer_dir_fd};
    int r = set_digest(req->diffid, diffid, e);

    req->op = LAYER_OP_REBUILD;
    return r < 0 ? r : send_request(s, req, fds, ret, e);
}

int layer_rebuild(struct layer_session *s, int layer_dir_fd, int out_fd, const char *diffid,
                  struct layer_result *ret, struct err *e)
{
    struct layer_job job;
    int r = layer_rebuild_start(s, layer_dir_fd, out_fd, diffid, &job, e);

    return r < 0 ? r : layer_job_finish(&job, ret, e);
}

int layer_pack_start(struct layer_session *s, const struct layer_pack *p, struct layer_job *ret,
                     struct err *e)
{
    scoped_free struct layer_request *req = xcalloc(1, sizeof(*req));
    const int fds[3] = {p->out_fd, p->dir_fd, p->list_fd};

    req->op = LAYER_OP_PACK;
    req->flags = p->flags;
    req->with_list = p->list_fd >= 0;
    req->max_mtime = p->max_mtime;
    return send_request(s, req, fds, ret, e);
}

int layer_pack(struct layer_session *s, const struct layer_pack *p, struct layer_result *ret,
               struct err *e)
{
    struct layer_job job;
    int r = layer_pack_start(s, p, &job, e);

    return r < 0 ? r : layer_job_finish(&job, ret, e);
}

int layer_remove(struct layer_session *s, int dir_fd, const char *name, struct err *e)
{
    scoped_free struct layer_request *req = xcalloc(1, sizeof(*req));

    if (strlen(name) > NAME_MAX || strchr(name, '/') || streq(name, ".") || streq(name, ".."))
        return err_msg(e, EINVAL, "remove \"%.100s\": not a plain name", name);
    /* The host's root may do it, and the namespace's root may not write to root's directories. */
    if (s->chown_dirs && geteuid() == 0)
        return fs_remove_tree(dir_fd, name, e);
    req->op = LAYER_OP_REMOVE;
    snprintf(req->name, sizeof(req->name), "%s", name);
    return run(s, req, &dir_fd, NULL, e);
}
