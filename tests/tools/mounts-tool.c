/* mounts-tool - drives storage/ and mounts/ without the engine, for tests/cli/test_mounts.py.
 *
 *   mounts-tool choose ROOT RUN_ROOT [DRIVER]           prints "driver: why"
 *   mounts-tool create MODE DRIVER STORE DIR LAYER...   makes DIR/storage.json; MODE: --userns mode
 *   mounts-tool run MODE DIR CONFIG [-nethost] [-pidhost] [-ipchost] -- CMD...
 *   mounts-tool remove DIR
 *   mounts-tool copyup ROOT PATH VOLUME
 *   mounts-tool fill MODE DIR PATH VOLUME               storage_fill_volume
 *   mounts-tool userns CMD...                           as root of the default map
 *
 * Environment: VOLATILE (create), OVERLAY_FORM=0|1|2 (run: by descriptor, by name, classic),
 * NO_DATA_ONLY (create: as on a kernel without data-only layers for users).
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/mounts.h"
#include "spec/spec.h"
#include "storage/storage-priv.h"
#include "sys/clone.h"
#include "sys/sock.h"

struct ctx {
    struct spec spec;
    struct storage_root root;
    struct userns_map map;
    bool net, pid, ipc; /* namespaces of its own */
    char **argv;
};

static int complain(const struct err *e)
{
    fprintf(stderr, "Error: %s\n", e->msg);
    if (e->hint[0])
        fprintf(stderr, "hint: %s\n", e->hint);
    return 125;
}

static int run_argv(char **argv, struct err *e)
{
    pid_t pid = fork();
    if (pid == 0) {
        execv(argv[0], argv);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) < 0)
        return err_set(e, errno, "run %s", argv[0]);
    return wait_status_code(status);
}

/* The linker puts this in front of the real one (--wrap): the one thing about an older kernel that
 * cannot be had on a new one. */
int __real_probe_data_only(bool single, char why[static 256]);
int __wrap_probe_data_only(bool single, char why[static 256]);
int __wrap_probe_data_only(bool single, char why[static 256])
{
    if (!getenv("NO_DATA_ONLY"))
        return __real_probe_data_only(single, why);
    snprintf(why, 256, "switched off for a test");
    return 0;
}

static int mount_root(struct ctx *c, struct storage_fds *f, struct err *e)
{
    const char *form = getenv("OVERLAY_FORM");
    return form ? overlay_mount_form(&c->root, f, (enum overlay_form)(form[0] - '0'), e)
                : storage_mount_opened(&c->root, f, e);
}

/* As the engine does it: sources are opened while the ids are still the user's. */
static int enter(struct ctx *c, int sock, struct err *e)
{
    scoped_storage_fds struct storage_fds f = STORAGE_FDS_INIT;
    int *binds = mounts_new_fds(&c->spec);
    char go;
    int fds[SOCK_MAX_FDS];
    int r = storage_open(&c->root, &f, e);
    if (r == 0)
        r = mounts_open_sources(&c->spec, NULL, binds, e);
    if (sock_recv(sock, &go, 1, fds) != 1)
        return err_msg(e, EPIPE, "no maps");
    if (r == 0)
        r = userns_become_root(c->map.single, e);
    scoped_fd int root = r < 0 ? r : mount_root(c, &f, e);
    if (root < 0)
        return root;
    struct mounts_env env = {.root_mount = root,
                             .root_at = -1,
                             .own_netns = c->net,
                             .own_pidns = c->pid,
                             .own_ipcns = c->ipc,
                             .in_userns = true,
                             .bind_fds = binds};
    r = mounts_enter(&c->spec, &env, e);
    mounts_close_fds(&c->spec, binds);
    return r;
}

static int child(struct ctx *c, int sock)
{
    struct err e = ERR_INIT;
    int r = enter(c, sock, &e);
    if (r == 0)
        r = run_argv(c->argv, &e);
    return r < 0 ? complain(&e) : r;
}

static int spawn(struct ctx *c, struct err *e)
{
    int sv[2];
    int r = sock_pair(sv, e);
    if (r < 0)
        return r;
    scoped_fd int pidfd = -1;
    uint64_t flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWCGROUP;
    flags |=
        (c->net ? CLONE_NEWNET : 0) | (c->pid ? CLONE_NEWPID : 0) | (c->ipc ? CLONE_NEWIPC : 0);
    pid_t pid = sys_clone(flags, -1, &pidfd);
    if (pid < 0)
        return err_set(e, -pid, "clone");
    if (pid == 0) {
        close(sv[0]);
        _exit(child(c, sv[1]));
    }
    close(sv[1]);
    r = userns_map_write(pid, pidfd, &c->map, e);
    if (r == 0)
        r = sock_send(sv[0], "g", 1, NULL, 0);
    close(sv[0]);
    int status = 0;
    pidfd_wait(pidfd, &status);
    return r < 0 ? r : wait_status_code(status);
}

static int get_map(const char *mode, struct userns_map *ret, struct err *e)
{
    scoped_free char *notice = NULL;
    return userns_map_build(mode, NULL, NULL, ret, &notice, e);
}

static int read_plan(const char *dir, struct storage_root *ret, struct err *e)
{
    scoped_free char *file = xasprintf("%s/storage.json", dir), *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, file, 1 << 20, &text, e);
    scoped_json json_t *j = n < 0 ? NULL : json_parse(text, (size_t)n, 1 << 20, file, e);
    return j ? jfield_parse(j, storage_root_fields, "", ret, e) : -EINVAL;
}

static int cmd_run(char **argv, struct err *e)
{
    struct ctx c = {.net = true, .pid = true, .ipc = true};
    scoped_free char *config = NULL;
    int r = get_map(argv[0], &c.map, e);
    if (r == 0)
        r = read_plan(argv[1], &c.root, e);
    ssize_t n = r < 0 ? r : fs_read(AT_FDCWD, argv[2], SPEC_MAX_BYTES, &config, e);
    r = n < 0 ? (int)n : spec_parse(config, (size_t)n, "config.json", &c.spec, e);
    if (r < 0)
        return r;
    for (argv += 3; *argv && !streq(*argv, "--"); argv++) {
        c.net = c.net && !streq(*argv, "-nethost");
        c.pid = c.pid && !streq(*argv, "-pidhost");
        c.ipc = c.ipc && !streq(*argv, "-ipchost");
    }
    c.argv = argv + 1;
    r = spawn(&c, e);
    spec_release(&c.spec);
    storage_root_release(&c.root);
    userns_map_release(&c.map);
    return r;
}

static int cmd_create(char **argv, struct err *e)
{
    scoped_userns_map struct userns_map map = {0}, store = {0};
    scoped_storage_root struct storage_root root = {0};
    int r = get_map(argv[0], &map, e);
    if (r == 0)
        r = userns_map_default(&store, e);
    const struct storage_driver *d = r < 0 ? NULL : storage_driver_get(argv[1], e);
    if (!d)
        return -EINVAL;
    struct storage_create c = {.driver = d,
                               .store_root = argv[2],
                               .container_dir = argv[3],
                               .layer_dirs = argv + 4,
                               .map = &map,
                               .store_map = &store,
                               .is_volatile = getenv("VOLATILE") != NULL};
    r = fs_mkdirs(argv[3], 0700, e);
    if (r == 0)
        r = storage_create(&c, &root, e);
    if (r < 0)
        return r;
    scoped_free char *file = xasprintf("%s/storage.json", argv[3]);
    scoped_json json_t *j = jfield_emit(storage_root_fields, &root);
    scoped_free char *text = json_text(j, true);
    return fs_write_atomic(AT_FDCWD, file, text, strlen(text), 0600, FS_NO_SYNC, e);
}

static int cmd_choose(char **argv, struct err *e)
{
    scoped_userns_map struct userns_map store = {0};
    scoped_free char *why = NULL;
    const struct storage_driver *d = NULL;
    int r = userns_map_default(&store, e);
    if (r == 0)
        r = storage_choose(argv[0], argv[1], argv[2], &store, &d, &why, e);
    if (r == 0)
        printf("%s: %s\n", d->name, why);
    return r;
}

static int cmd_remove(char **argv, struct err *e)
{
    scoped_userns_map struct userns_map store = {0};
    int r = userns_map_default(&store, e);
    return r < 0 ? r : storage_remove(argv[0], &store, e);
}

static int cmd_fill(char **argv, struct err *e)
{
    scoped_userns_map struct userns_map map = {0}, store = {0};
    scoped_storage_root struct storage_root root = {0};
    int r = get_map(argv[0], &map, e);
    if (r == 0)
        r = userns_map_default(&store, e);
    if (r == 0)
        r = read_plan(argv[1], &root, e);
    if (r < 0)
        return r;
    scoped_fd int volume = open(argv[3], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return storage_fill_volume(&root, &map, &store, argv[2], volume, e);
}

static int copyup_child(void *data, struct err *e)
{
    char **argv = data;
    scoped_fd int root = open(argv[0], O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int volume = open(argv[2], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0 || volume < 0)
        return err_set(e, errno, "open");
    return mounts_copy_up(root, argv[1], volume, e);
}

static int userns_child(void *data, struct err *e)
{
    int r = run_argv(data, e);
    return r > 0 ? err_msg(e, EIO, "exit status %d", r) : r;
}

static int in_userns(int (*fn)(void *, struct err *), char **argv, struct err *e)
{
    scoped_userns_map struct userns_map store = {0};
    int r = userns_map_default(&store, e);
    return r < 0 ? r : userns_run(&store, CLONE_NEWNS, fn, argv, e);
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    int r = -EINVAL;
    const char *verb = argc > 2 ? argv[1] : "";
    if (getenv("DEBUG"))
        log_max = LOG_LEVEL_DEBUG;
    err_msg(&e, EINVAL, "see the head of mounts-tool.c");
    if (streq(verb, "choose") && argc >= 4)
        r = cmd_choose(argv + 2, &e);
    else if (streq(verb, "create") && argc >= 6)
        r = cmd_create(argv + 2, &e);
    else if (streq(verb, "run") && argc >= 7)
        r = cmd_run(argv + 2, &e);
    else if (streq(verb, "remove"))
        r = cmd_remove(argv + 2, &e);
    else if (streq(verb, "copyup") && argc == 5)
        r = in_userns(copyup_child, argv + 2, &e);
    else if (streq(verb, "fill") && argc == 6)
        r = cmd_fill(argv + 2, &e);
    else if (streq(verb, "userns"))
        r = in_userns(userns_child, argv + 2, &e);
    return r < 0 ? complain(&e) : r;
}
