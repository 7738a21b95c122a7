/* supervise-tool - makes and runs containers of a plain root directory through container/ and the
 * supervisor, without image store and command line. For tests and for measuring.
 *
 *   supervise-tool create [-t] [-i] [--rm] [--timeout S] [--log-opt O] NAME ROOTFS CMD [ARG...]
 *   supervise-tool run NAME | start NAME     attached with all streams | detached
 *   supervise-tool attach NAME | wait NAME | stop NAME SIGNAL MS | kill NAME SIGNAL
 *   supervise-tool logs NAME [-f] | rm NAME | rename NAME NEW | list | state NAME
 *   supervise-tool write-states DIR N        writes a state N times (and is killed meanwhile)
 * Where things are: ROOTLET_ROOT, ROOTLET_RUNROOT, ROOTLET_LIBEXEC. */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "container/client.h"
#include "container/container.h"
#include "logs/logs.h"
#include "userns/userns.h"

static struct conf conf;

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

static int fill_spec(struct spec *s, const struct ctr_record *rec, struct err *e)
{
    struct userns_map map = {.single = false};
    scoped_free char *notice = NULL;
    int r = userns_map_build("", NULL, NULL, &map, &notice, e);
    if (r < 0)
        return r;
    spec_default(s);
    free(s->linux_->uid_mappings);
    free(s->linux_->gid_mappings);
    s->linux_->uid_mappings = lines(&map.uid);
    s->linux_->gid_mappings = lines(&map.gid);
    s->linux_->n_uid_mappings = map.uid.n;
    s->linux_->n_gid_mappings = map.gid.n;
    userns_map_release(&map);
    strv_free(s->process->args);
    s->process->args = strv_dup(rec->command);
    s->process->terminal = rec->tty;
    s->root->readonly = false;
    return 0;
}

static int create(int argc, char **argv)
{
    static const struct option options[] = {{"rm", no_argument, NULL, 'r'},
                                            {"timeout", required_argument, NULL, 'T'},
                                            {"log-opt", required_argument, NULL, 'l'},
                                            {NULL, 0, NULL, 0}};
    struct err e = ERR_INIT;
    struct ctr_record rec = {.stop_timeout_s = 10};
    for (int c; (c = getopt_long(argc, argv, "+ti", options, NULL)) != -1;) {
        if (c == 't')
            rec.tty = true;
        else if (c == 'i')
            rec.open_stdin = true;
        else if (c == 'r')
            rec.auto_remove = true;
        else if (c == 'T')
            (void)!parse_i64(optarg, &rec.timeout_s);
        else if (c == 'l')
            strv_add(&rec.log_opts, optarg);
        else
            return 125;
    }
    if (argc - optind < 3)
        return 125;
    rec.name = xstrdup(argv[optind]);
    rec.image = xstrdup("rootfs");
    rec.storage.driver = xstrdup("dir");
    rec.storage.dir = xstrdup(argv[optind + 1]);
    rec.command = strv_dup(argv + optind + 2);
    scoped_spec struct spec spec = {.oci_version = NULL};
    int r = fill_spec(&spec, &rec, &e);
    if (r == 0)
        r = container_create(&conf, &rec, &spec, NULL, NULL, &e);
    if (r == 0)
        printf("%s\n", rec.id);
    ctr_record_release(&rec);
    return r < 0 ? fail(&e) : 0;
}

static int attach(int fd, const struct ctr_record *rec, bool start)
{
    struct err e = ERR_INIT;
    struct attach_opts o = {.fd = fd,
                            .start = start,
                            .in_fd = rec->open_stdin || rec->tty ? 0 : -1,
                            .out_fd = 1,
                            .err_fd = 2,
                            .tty = rec->tty,
                            .sig_proxy = true,
                            .detach_keys = "ctrl-p,ctrl-q"};
    struct attach_result res;
    if (attach_run(&o, &res, &e) < 0)
        return fail(&e);
    return res.detached ? 0 : res.exit_code;
}

static int start(const struct container *ctr, bool attached)
{
    struct err e = ERR_INIT;
    struct supervisor_opts o = {.id = ctr->id, .discard = true};
    scoped_free struct proto_msg *m = xmalloc(sizeof(*m));
    scoped_fd int fd = supervisor_spawn(&conf, &o, &e);
    if (fd < 0)
        return fail(&e);
    if (attached)
        return attach(fd, &ctr->rec, true);
    int r = client_wait(fd, PROTO_CREATED, m, &e);
    if (r == 0)
        r = proto_send(fd, PROTO_START, 0, 0, NULL, 0);
    if (r == 0)
        r = client_wait(fd, PROTO_STARTED, m, &e);
    return r < 0 ? fail(&e) : 0;
}

static int list(void)
{
    struct err e = ERR_INIT;
    struct ctr_state *v;
    size_t n;
    if (container_list(&conf, &v, &n, &e) < 0)
        return fail(&e);
    for (size_t i = 0; i < n; i++)
        printf("%.12s %s %s %d %d %s\n", v[i].id, v[i].name, ctr_status_names[v[i].status],
               v[i].pid, v[i].exit_code, v[i].reason ? v[i].reason : "");
    container_list_free(v, n);
    return 0;
}

static int logs(const struct container *ctr, bool follow)
{
    struct err e = ERR_INIT;
    scoped_fd int stop = follow ? container_connect(&conf, ctr->id, NULL) : -1;
    struct log_read o = {.ident = {.dir_fd = ctr->dir_fd, .opts = ctr->rec.log_opts},
                         .follow = follow && stop >= 0,
                         .tail = -1,
                         .out_fd = 1,
                         .err_fd = 2,
                         .stop_fd = stop};
    return log_read(ctr->rec.log_driver, &o, &e) < 0 ? fail(&e) : 0;
}

/* What is done with one container that exists. */
static int command(const char *what, char **args)
{
    struct err e = ERR_INIT;
    scoped_container struct container ctr = {.dir_fd = -1};
    int code = 0, r = container_open(&conf, args[0], &ctr, &e);
    if (r < 0)
        return fail(&e);
    if (streq(what, "run") || streq(what, "start"))
        return start(&ctr, streq(what, "run"));
    if (streq(what, "attach")) {
        scoped_fd int fd = container_connect(&conf, ctr.id, &e);
        return fd < 0 ? fail(&e) : attach(fd, &ctr.rec, false);
    }
    if (streq(what, "logs"))
        return logs(&ctr, args[1] != NULL);
    if (streq(what, "state"))
        printf("%s %d %d %s\n", ctr_status_names[ctr.state.status], ctr.state.pid,
               ctr.state.exit_code, ctr.state.reason ? ctr.state.reason : "");
    else if (streq(what, "wait"))
        r = container_wait(&conf, ctr.id, &code, &e);
    else if (streq(what, "rm"))
        r = container_remove(&conf, &ctr, true, &e);
    else if (streq(what, "rename") && args[1])
        r = container_rename(&conf, &ctr, args[1], &e);
    else if (streq(what, "kill") && args[1])
        r = container_signal(&conf, ctr.id, signal_parse(args[1]), &e);
    else if (streq(what, "stop") && args[1] && args[2]) {
        int64_t ms = 0;
        (void)!parse_i64(args[2], &ms);
        r = container_stop(&conf, ctr.id, signal_parse(args[1]), (int)ms, &e);
    } else
        return 125;
    return r < 0 ? fail(&e) : code;
}

static int write_states(const char *dir, const char *count)
{
    struct err e = ERR_INIT;
    int64_t n = 0;
    scoped_fd int dir_fd = fs_open_dir(dir, false, 0700, &e);
    struct ctr_state s;
    if (dir_fd < 0 || parse_i64(count, &n) < 0 || container_read_state(dir_fd, &s, &e) < 0)
        return fail(&e);
    for (int64_t i = 0; i < n; i++) {
        s.exit_code = (int32_t)i;
        free(s.reason);
        s.reason = xasprintf("%0*d", (int)(i % 3000), 0); /* the size changes */
        if (container_write_state(dir_fd, &s, &e) < 0)
            return fail(&e);
    }
    ctr_state_release(&s);
    return 0;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    if (conf_load(NULL, &conf, &e) < 0)
        return fail(&e);
    int code = 125;
    if (argc > 1 && streq(argv[1], "create"))
        code = create(argc - 1, argv + 1);
    else if (argc > 1 && streq(argv[1], "list"))
        code = list();
    else if (argc > 3 && streq(argv[1], "write-states"))
        code = write_states(argv[2], argv[3]);
    else if (argc > 2)
        code = command(argv[1], argv + 2);
    conf_release(&conf);
    return code;
}
