/* Any bytes as a layer: nothing outside its directory changes, what is accepted is the tree that a
 * model in memory makes of it, and it rebuilds bit for bit. The first byte chooses options, the
 * rest is the tar; its checksums are set right, or the fuzzer would never get past them. Or the
 * rest is a script, five bytes for an entry, of few names in many orders: what one entry leaves for
 * the next. Runs in a tmpfs of its own mount namespace. (A27) */
#include <errno.h>
#include <fcntl.h>
#include <locale.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "layer-model.h"
#include "layer/job.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerInitialize(int *argc, char ***argv);

enum { FIX_SUMS = 1, SQUASH = 2, LENIENT = 4, WHITEOUTS = 8, HEADERS = 16, SCRIPT = 32 };

static struct layer_env env;
static int top_fd;
static struct stat canary_before;

static void check(int ok, const char *what)
{
    if (ok)
        return;
    fprintf(stderr, "fuzz-layer: %s: %s\n", what, strerror(errno));
    abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    static struct idmap_line line = {0, 0, 65536};
    char text[64];
    uid_t uid = geteuid();

    (void)argc;
    (void)argv;
    if (uid != 0) {
        check(unshare(CLONE_NEWUSER) == 0, "user namespace");
        snprintf(text, sizeof(text), "0 %u 1", uid);
        check(fs_write_text(AT_FDCWD, "/proc/self/uid_map", text, NULL) == 0, "uid_map");
    }
    check(unshare(CLONE_NEWNS) == 0, "mount namespace");
    check(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0, "private mounts");
    check(mount("fuzz", "/mnt", "tmpfs", 0, "size=64m") == 0, "tmpfs");
    top_fd = open("/mnt", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(mkdirat(top_fd, "canary", 0700) == 0, "canary");
    check(fstatat(top_fd, "canary", &canary_before, 0) == 0, "canary");
    env.map.uid = env.map.gid = (struct idmap){&line, 1};
    env.limits = (struct layer_limits){.max_entries = 1000,
                                       .max_tar_bytes = 8 << 20,
                                       .max_file_bytes = 1 << 20,
                                       .max_ratio = 1000};
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGXFSZ, SIG_IGN);
    umask(0);
    return 0;
}

static void fix_sums(uint8_t *p, size_t size)
{
    for (; size >= 512; p += 512, size -= 512) {
        unsigned sum = 0;
        if (memcmp(p + 257, "ustar", 5) != 0)
            continue;
        memset(p + 148, ' ', 8);
        for (size_t i = 0; i < 512; i++)
            sum += p[i];
        snprintf((char *)p + 148, 8, "%06o", sum);
        p[155] = ' ';
    }
}

/* "a/b/c" of four names: how many and which. */
static void script_path(uint8_t byte, char ret[static 64])
{
    unsigned n = byte >> 6;
    ret[0] = '\0';
    for (unsigned i = 0; i < (n ? n : 1); i++)
        snprintf(ret + strlen(ret), 64 - strlen(ret), "%s%c", i ? "/" : "",
                 "abcd"[byte >> 2 * i & 3]);
}

/* How a link says it. */
static void script_target(uint8_t byte, uint8_t form, char ret[static 80])
{
    static const char *const before[] = {"", "/", "../", "d/../", "./", "../../", "d/..", "."};
    char path[64];
    script_path(byte, path);
    snprintf(ret, 80, "%s%s", before[form & 7], (form & 7) >= 6 ? "" : path);
}

static size_t script_entry(const uint8_t *p, uint8_t *block)
{
    static const char types[] = "0001122355556000";
    static const char *const ids[] = {"0000000", "0000005", "7777777", "0200000"};
    static const char *const modes[] = {"0000755", "0000644", "0004755", "0002770"};
    char path[64], name[80], target[80], type = types[p[0] & 15];
    memset(block, 0, 1024);
    script_path(p[1], path);
    char *last = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    int whiteout = type == '0' ? p[0] >> 4 & 7 : 0;
    snprintf(name, sizeof(name), "%.*s%s%s", (int)(last - path), path, whiteout == 1 ? ".wh." : "",
             whiteout == 2 ? ".wh..wh..opq" : last);
    if (type == '5' && p[0] >> 4 == 15)
        snprintf(name, sizeof(name), "./");
    script_target(p[2], type == '2' ? p[3] : 0, target);
    snprintf((char *)block, 100, "%s", name);
    memcpy(block + 100, modes[p[3] >> 3 & 3], 8);
    memcpy(block + 108, ids[p[4] & 3], 8);
    memcpy(block + 116, ids[p[4] >> 2 & 3], 8);
    int size = type == '0' && !whiteout ? p[4] >> 4 & 3 : 0;
    snprintf((char *)block + 124, 12, "%011o", (unsigned)size);
    snprintf((char *)block + 136, 12, "%011o", (unsigned)p[4] + 1);
    block[156] = (uint8_t)type;
    if (type == '1' || type == '2')
        snprintf((char *)block + 157, 100, "%s", target);
    memcpy(block + 257, "ustar\00000", 8);
    memset(block + 512, 'x', (size_t)size);
    return size ? 1024 : 512;
}

/* Returns the size of the tar. */
static size_t run_script(const uint8_t *data, size_t size, uint8_t **ret)
{
    size_t n = size / 5 < 64 ? size / 5 : 64, at = 0;
    *ret = calloc(2 * n + 2, 512);
    check(*ret != NULL, "input");
    for (size_t i = 0; i < n; i++)
        at += script_entry(data + 5 * i, *ret + at);
    return at + 1024;
}

static int make_input(const uint8_t *data, size_t size, int options)
{
    int fd = memfd_create("tar", MFD_CLOEXEC);
    uint8_t *copy = NULL;

    if (options & SCRIPT)
        size = run_script(data, size, &copy);
    else
        copy = malloc(size + 1);
    check(fd >= 0 && copy != NULL, "input");
    if (!(options & SCRIPT))
        memcpy(copy, data, size);
    if (options & (FIX_SUMS | SCRIPT))
        fix_sums(copy, size);
    check(fs_write_all(fd, copy, size) == 0, "input");
    free(copy);
    check(lseek(fd, 0, SEEK_SET) == 0, "input");
    return fd;
}

static void check_same(int a, int b)
{
    static uint8_t x[65536], y[65536];
    off_t at = 0;
    ssize_t n;

    while ((n = pread(a, x, sizeof(x), at)) > 0) {
        check(pread(b, y, sizeof(y), at) == n && memcmp(x, y, (size_t)n) == 0, "rebuilt tar");
        at += n;
    }
    check(lseek(b, 0, SEEK_END) == at, "length of the rebuilt tar");
}

static void check_rebuild(struct layer_task *task, const struct layer_result *res)
{
    static struct layer_request req;
    struct layer_result again = {0};
    struct err e = ERR_INIT;
    int in = task->io_fd;

    if (strcmp(res->compression, "none") != 0)
        return;
    memcpy(req.diffid, res->diffid, sizeof(req.diffid));
    task->req = &req;
    task->io_fd = memfd_create("again", MFD_CLOEXEC);
    lseek(task->headers_fd, 0, SEEK_SET);
    if (rebuild_unconfined(task, &again, &e) < 0) {
        fprintf(stderr, "fuzz-layer: %s\n", e.msg);
        abort();
    }
    check_same(in, task->io_fd);
    close(task->io_fd);
    task->io_fd = in;
}

/* Is the tree what the entries say? */
static void check_tree(const struct layer_task *task, const struct layer_result *res)
{
    struct model *m;
    char path[4097];
    const char *wrong;
    static char list[1 << 20];
    ssize_t n;

    if (strcmp(res->compression, "none") != 0)
        return;
    m = model_read(task->io_fd, task->req);
    n = pread(task->list_fd, list, sizeof(list), 0);
    wrong = model_is_sure(m) ? model_compare(m, task->diff_fd, path) : NULL;
    if (model_is_sure(m) && !wrong && n < (ssize_t)sizeof(list))
        wrong = model_compare_implied(m, list, n > 0 ? (size_t)n : 0, path);
    if (wrong) {
        fprintf(stderr, "fuzz-layer: tree differs from the model at \"%s\": %s\n", path, wrong);
        abort();
    }
    model_free(m);
}

static void check_world(void)
{
    struct stat st;

    check(fstatat(top_fd, "canary", &st, 0) == 0, "canary");
    check(st.st_mtim.tv_nsec == canary_before.st_mtim.tv_nsec &&
              st.st_mode == canary_before.st_mode &&
              st.st_ctim.tv_nsec == canary_before.st_ctim.tv_nsec,
          "the canary changed");
    check(unlinkat(top_fd, "layer", AT_REMOVEDIR) == 0, "layer is not empty");
    check(fstat(top_fd, &st) == 0 && st.st_nlink == 3, "something else was made");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct layer_request req;
    struct layer_task task = {.req = &req, .env = &env, .list_fd = -1};
    struct layer_result res = {0};
    struct err e = ERR_INIT;
    int options = size ? data[0] : 0, r;

    if (size < 1)
        return 0;
    req = (struct layer_request){.size = -1,
                                 .offset = -1,
                                 .squash_ids = options & SQUASH,
                                 .lenient = options & LENIENT,
                                 .want_whiteouts = options & WHITEOUTS,
                                 .keep_headers = options & HEADERS};
    check(mkdirat(top_fd, "layer", 0700) == 0, "layer");
    task.dir_fd = openat(top_fd, "layer", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    check(mkdirat(task.dir_fd, "diff", 0755) == 0, "diff");
    check(mkdirat(task.dir_fd, "replaced", 0700) == 0, "replaced");
    task.diff_fd = openat(task.dir_fd, "diff", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    task.replaced_fd = openat(task.dir_fd, "replaced", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    task.headers_fd = openat(task.dir_fd, "headers.zst", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    task.io_fd = make_input(data + 1, size - 1, options);
    task.list_fd = memfd_create("implied", MFD_CLOEXEC);
    r = unpack_unconfined(&task, &res, &e);
    if (r < 0 && (!e.errnum || !e.msg[0]))
        abort();
    if (r == 0)
        check_tree(&task, &res);
    if (r == 0 && (options & HEADERS))
        check_rebuild(&task, &res);
    close(task.io_fd);
    close(task.list_fd);
    close(task.headers_fd);
    close(task.replaced_fd);
    close(task.diff_fd);
    fs_remove_tree(task.dir_fd, "diff", &e);
    fs_remove_tree(task.dir_fd, "replaced", &e);
    fs_remove_tree(task.dir_fd, "headers.zst", &e);
    close(task.dir_fd);
    check_world();
    return 0;
}
