/* engine-tool - runs an OCI bundle through the engine alone: no supervisor, no store, no command
 * line. For tests and for measuring.
 *
 *   engine-tool [OPTIONS] BUNDLE
 *     --trace-stages             times to stderr
 *     --network MODE             a network plan on top of the spec
 *     --user TEXT, --group-add G user resolution by the image's files
 *     --seccomp PROFILE          a built-in filter
 *     --overlay LOWER:DIR        an overlay on LOWER with DIR/upper and DIR/work
 *     --exec JSON                after the start: a further process, ["cmd", "arg"]; its status
 *                                is printed, then the init is killed
 *     --exec-tty, --exec-user U, --exec-cwd DIR  of that process
 *     --exec-repeat N            N times; prints the mean microseconds of one exec
 *     --hold                     prints "created PID", starts when a line comes on stdin
 *     --repeat N                 N times; prints the mean microseconds of one life
 *     --preserve-fds N           descriptors 3 and up for the payload
 *     --protect                  engine_protect_self first
 *     --create-at DIR            detached: prints the pid, ends; the init waits at DIR/start
 *     --start-at DIR, --pid N    starts it
 *     --host-root                no user namespace is needed
 * Prints errors as "Error: ..." and "hint: ...", ends with the container's status or the error's.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <jansson.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "engine/engine.h"
#include "security/caps.h"
#include "sys/sock.h"
#include "userns/userns.h"

struct opts {
    const char *bundle, *network, *user, *seccomp, *overlay, *exec, *exec_user, *exec_cwd;
    const char *create_at, *start_at;
    char **groups;
    bool trace, hold, exec_tty, protect, host_root;
    int repeat, exec_repeat, preserve, pid;
};

static int fail(const struct err *e)
{
    char text[4096];
    fprintf(stderr, "Error: %s\n", err_escape(text, sizeof(text), e->msg));
    if (e->hint[0])
        fprintf(stderr, "hint: %s\n", e->hint);
    return e->exit_status ? e->exit_status : 125;
}

static struct spec_id_map *lines(const struct idmap *m)
{
    struct spec_id_map *v = xcalloc(m->n, sizeof(*v));
    for (size_t i = 0; i < m->n; i++)
        v[i] = (struct spec_id_map){
            .container_id = m->v[i].inside, .host_id = m->v[i].outside, .size = m->v[i].count};
    return v;
}

/* A bundle that asks for a user namespace without saying which ids gets this user's default. */
static int fill_maps(struct spec *s, struct err *e)
{
    struct spec_namespace *user = spec_namespace_get(s, "user");
    if (!user || user->path || s->linux_->n_uid_mappings > 0)
        return 0;
    scoped_userns_map struct userns_map map = {.single = false};
    scoped_free char *notice = NULL;
    int r = userns_map_build("", NULL, NULL, &map, &notice, e);
    if (r < 0)
        return r;
    s->linux_->uid_mappings = lines(&map.uid);
    s->linux_->gid_mappings = lines(&map.gid);
    s->linux_->n_uid_mappings = map.uid.n;
    s->linux_->n_gid_mappings = map.gid.n;
    return 0;
}

static int load(const struct opts *o, struct spec *ret, struct err *e)
{
    scoped_free char *path = path_join(o->bundle, "config.json"), *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, path, SPEC_MAX_BYTES, &text, e);
    if (n < 0)
        return (int)n;
    int r = spec_parse(text, (size_t)n, "config.json", ret, e);
    return r < 0 ? r : fill_maps(ret, e);
}

static void pump(int master)
{
    char buf[4096];
    ssize_t n;
    while ((n = read(master, buf, sizeof(buf))) > 0)
        fs_write_all(1, buf, (size_t)n);
    close(master);
}

static int64_t now_us(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int exec_once(const struct engine_exec_params *p)
{
    struct err e = ERR_INIT;
    struct engine_exec x = ENGINE_EXEC_INIT;
    int status = 0;
    if (engine_exec(p, &x, &e) < 0)
        return fail(&e);
    if (x.console >= 0)
        pump(x.console);
    pidfd_wait(x.pidfd, &status);
    close(x.pidfd);
    return wait_status_code(status);
}

static int run_exec(const struct opts *o, const struct spec *spec, struct engine *en,
                    const struct seccomp_prog *seccomp)
{
    struct spec_process process = *spec->process;
    scoped_json json_t *argv = json_loads(o->exec, 0, NULL);
    scoped_strv char **args = NULL;
    size_t i;
    json_t *word;
    json_array_foreach(argv, i, word) strv_add(&args, json_string_value(word));
    process.args = args;
    process.terminal = o->exec_tty;
    scoped_free char *cwd = o->exec_cwd ? xstrdup(o->exec_cwd) : NULL;
    if (cwd)
        process.cwd = cwd;
    struct engine_exec_params p = {.pid = engine_pid(en),
                                   .pidfd = engine_pidfd(en),
                                   .spec = spec,
                                   .process = &process,
                                   .seccomp = seccomp,
                                   .user = o->exec_user,
                                   .stdio = {0, 1, 2}};
    int64_t begin = now_us();
    int code = 0;
    for (int n = 0; n < o->exec_repeat && code == 0; n++)
        code = exec_once(&p);
    if (o->exec_repeat > 1)
        printf("mean %lld us over %d execs\n", (long long)(now_us() - begin) / o->exec_repeat,
               o->exec_repeat);
    return code;
}

static int one_life(const struct opts *o, const struct spec *spec, struct engine_params *p)
{
    struct err e = ERR_INIT;
    struct engine *en = NULL;
    int status = 0, code;
    if (engine_create(p, &en, &e) < 0)
        return fail(&e);
    if (o->hold) {
        printf("created %d\n", engine_pid(en));
        fflush(stdout);
        (void)getchar();
    }
    if (engine_start(en, &e) < 0) {
        engine_free(en);
        return fail(&e);
    }
    if (o->exec) {
        code = run_exec(o, spec, en, p->seccomp);
    } else {
        int console = engine_take_console(en);
        if (console >= 0)
            pump(console);
        pidfd_wait(engine_pidfd(en), &status);
        code = wait_status_code(status);
    }
    engine_free(en);
    return code;
}

/* As rootlet-oci does it: nobody stays between create and start. */
static int create_at(const struct opts *o, struct engine_params *p)
{
    struct err e = ERR_INIT;
    struct engine *en = NULL;
    scoped_fd int dir = open(o->create_at, O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int listener = sock_listen_at(dir, "start", &e);
    if (listener < 0)
        return fail(&e);
    p->start_listen = &listener;
    if (engine_create(p, &en, &e) < 0)
        return fail(&e);
    int r = engine_detach(en, &e);
    printf("%d\n", engine_pid(en));
    engine_free(en);
    return r < 0 ? fail(&e) : 0;
}

static int start_at(const struct opts *o, const struct engine_params *p)
{
    struct err e = ERR_INIT;
    scoped_fd int dir = open(o->start_at, O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int conn = sock_connect_at(dir, "start", &e);
    return conn < 0 || engine_start_at(conn, p, o->pid, &e) < 0 ? fail(&e) : 0;
}

static int repeat(const struct opts *o, const struct spec *spec, struct engine_params *p)
{
    int64_t begin = now_us(), best = INT64_MAX;
    int code = 0;
    for (int i = 0; i < o->repeat && code == 0; i++) {
        int64_t one = now_us();
        code = one_life(o, spec, p);
        one = now_us() - one;
        best = one < best ? one : best;
    }
    if (o->repeat > 1)
        printf("mean %lld us, best %lld us over %d\n", (long long)(now_us() - begin) / o->repeat,
               (long long)best, o->repeat);
    return code;
}

static int run(const struct opts *o)
{
    struct err e = ERR_INIT;
    scoped_spec struct spec spec = {.oci_version = NULL};
    SCOPED(storage_root_release) struct storage_root root = {.driver = NULL};
    SCOPED(network_plan_release) struct network_plan plan = {.mode = NULL};
    SCOPED(seccomp_prog_release) struct seccomp_prog seccomp = {.insns = NULL};
    if (load(o, &spec, &e) < 0)
        return fail(&e);
    struct engine_params p = {.spec = &spec,
                              .id = "engine-tool",
                              .bundle = o->bundle,
                              .user = o->user,
                              .groups = o->groups,
                              .stdio = {0, 1, 2},
                              .preserve_fds = (unsigned)o->preserve,
                              .userns_fd = -1,
                              .host_root = o->host_root,
                              .trace_stages = o->trace};
    if (o->network) {
        if (network_parse(o->network, &plan, &e) < 0)
            return fail(&e);
        const struct network_driver *d = network_driver_get(plan.mode, &e);
        if (!d || d->plan(&plan, &spec, &e) < 0)
            return fail(&e);
        p.network = &plan;
    }
    if (o->overlay) {
        const char *colon = strchr(o->overlay, ':');
        if (!colon)
            return 2;
        root.driver = xstrdup("overlay");
        strv_take(&root.layers, xstrndup(o->overlay, (size_t)(colon - o->overlay)));
        root.upper = path_join(colon + 1, "upper");
        root.work = path_join(colon + 1, "work");
        p.root = &root;
    }
    if (o->seccomp) {
        uint64_t mask = 0;
        if (spec.process->capabilities)
            mask = cap_known(spec.process->capabilities->bounding);
        int r = seccomp_builtin(o->seccomp, mask, &seccomp);
        if (r < 0) {
            err_set(&e, -r, "seccomp profile %s", o->seccomp);
            return fail(&e);
        }
        p.seccomp = &seccomp;
    }
    if (o->create_at)
        return create_at(o, &p);
    return o->start_at ? start_at(o, &p) : repeat(o, &spec, &p);
}

static void parse_oci(int c, struct opts *o)
{
    switch (c) {
    case 'A':
        o->create_at = optarg;
        break;
    case 'S':
        o->start_at = optarg;
        break;
    case 'I':
        o->pid = (int)strtoul(optarg, NULL, 10);
        break;
    case 'H':
        o->host_root = true;
        break;
    default:
        exit(2);
    }
}

static void parse_one(int c, struct opts *o)
{
    switch (c) {
    case 't':
        o->trace = true;
        break;
    case 'n':
        o->network = optarg;
        break;
    case 'u':
        o->user = optarg;
        break;
    case 'g':
        strv_add(&o->groups, optarg);
        break;
    case 's':
        o->seccomp = optarg;
        break;
    case 'o':
        o->overlay = optarg;
        break;
    case 'x':
        o->exec = optarg;
        break;
    case 'T':
        o->exec_tty = true;
        break;
    case 'U':
        o->exec_user = optarg;
        break;
    case 'C':
        o->exec_cwd = optarg;
        break;
    case 'h':
        o->hold = true;
        break;
    case 'P':
        o->preserve = (int)strtoul(optarg, NULL, 10);
        break;
    case 'R':
        o->exec_repeat = (int)strtoul(optarg, NULL, 10);
        break;
    case 'r':
        o->repeat = (int)strtoul(optarg, NULL, 10);
        break;
    case 'p':
        o->protect = true;
        break;
    case 'd':
        log_max = LOG_LEVEL_DEBUG;
        break;
    default:
        parse_oci(c, o);
    }
}

static void parse(int argc, char **argv, struct opts *o)
{
    static const struct option table[] = {
        {"trace-stages", 0, NULL, 't'}, {"network", 1, NULL, 'n'},   {"user", 1, NULL, 'u'},
        {"group-add", 1, NULL, 'g'},    {"seccomp", 1, NULL, 's'},   {"overlay", 1, NULL, 'o'},
        {"exec", 1, NULL, 'x'},         {"exec-tty", 0, NULL, 'T'},  {"exec-user", 1, NULL, 'U'},
        {"exec-cwd", 1, NULL, 'C'},     {"hold", 0, NULL, 'h'},      {"repeat", 1, NULL, 'r'},
        {"protect", 0, NULL, 'p'},      {"debug", 0, NULL, 'd'},     {"exec-repeat", 1, NULL, 'R'},
        {"preserve-fds", 1, NULL, 'P'}, {"create-at", 1, NULL, 'A'}, {"start-at", 1, NULL, 'S'},
        {"pid", 1, NULL, 'I'},          {"host-root", 0, NULL, 'H'}, {NULL, 0, NULL, 0},
    };
    int c;
    while ((c = getopt_long(argc, argv, "+", table, NULL)) != -1)
        parse_one(c, o);
    if (optind + 1 != argc)
        exit(2);
    o->bundle = argv[optind];
}

int main(int argc, char **argv)
{
    struct opts o = {.repeat = 1, .exec_repeat = 1};
    struct err e = ERR_INIT;
    parse(argc, argv, &o);
    if (o.protect && engine_protect_self(argv, o.host_root, &e) < 0)
        return fail(&e);
    int code = run(&o);
    strv_free(o.groups);
    return code;
}
