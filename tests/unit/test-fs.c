/* test-fs - files replaced whole, directories made, trees removed and measured. */
#include "unit.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>

static int setup(void **state)
{
    struct unit_dir *d = xcalloc(1, sizeof(*d));
    *d = unit_dir_make();
    *state = d;
    return 0;
}

static int teardown(void **state)
{
    unit_dir_remove(*state);
    free(*state);
    return 0;
}

static void test_read(void **state)
{
    struct unit_dir *d = *state;
    struct err e = ERR_INIT;
    scoped_free char *text = NULL;
    unit_write(d->fd, "f", "content");
    assert_int_equal(fs_read(d->fd, "f", 7, &text, &e), 7);
    assert_string_equal(text, "content");
    char *none = NULL;
    assert_int_equal(fs_read(d->fd, "f", 6, &none, &e), -EFBIG);
    assert_has(e.msg, "f: larger than 6 bytes");
    assert_null(none);
    assert_int_equal(fs_read(d->fd, "nope", 6, &none, &e), -ENOENT);
    assert_has(e.msg, "open nope");
    scoped_free char *kernel = NULL; /* st_size 0, yet content */
    assert_true(fs_read(AT_FDCWD, "/proc/self/status", 1 << 20, &kernel, &e) > 100);
}

/* A66: state files are replaced by rename; a reader never sees a part. */
static void test_write_atomic(void **state)
{
    struct unit_dir *d = *state;
    struct err e = ERR_INIT;
    struct stat st;
    mode_t old = umask(077);
    assert_int_equal(fs_write_atomic(d->fd, "f", "one", 3, 0644, FS_NO_SYNC, &e), 0);
    umask(old);
    assert_int_equal(fstatat(d->fd, "f", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0644);

    scoped_fd int reader = openat(d->fd, "f", O_RDONLY | O_CLOEXEC);
    assert_int_equal(fs_write_atomic(d->fd, "f", "two!", 4, 0600, FS_SYNC, &e), 0);
    scoped_free char *before = NULL, *after = NULL;
    assert_int_equal(fs_read_fd(reader, 100, &before, &e), 3);
    assert_string_equal(before, "one");
    assert_int_equal(fs_read(d->fd, "f", 100, &after, &e), 4);
    assert_string_equal(after, "two!");

    /* A link is replaced, not followed; a failure leaves no temporary file. */
    assert_int_equal(symlinkat("f", d->fd, "link"), 0);
    unit_write(d->fd, "link", "three");
    scoped_free char *still = NULL;
    fs_read(d->fd, "f", 100, &still, &e);
    assert_string_equal(still, "two!");
    mkdirat(d->fd, "dir", 0755);
    assert_true(fs_write_atomic(d->fd, "dir", "x", 1, 0600, FS_NO_SYNC, &e) < 0);
    assert_has(e.msg, "write dir");
    scoped_dir DIR *list = opendir(d->path);
    for (struct dirent *ent; (ent = readdir(list));)
        assert_null(str_after(ent->d_name, ".tmp-"));
}

static void test_write_text(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_int_equal(fs_write_text(AT_FDCWD, "/dev/null", "x", &e), 0);
    assert_int_equal(fs_write_text(AT_FDCWD, "/dev/full", "x", &e), -ENOSPC);
    assert_has(e.msg, "write \"x\" to /dev/full: No space left");
    assert_int_equal(fs_write_text(AT_FDCWD, "/nope", "x", &e), -ENOENT);
}

static void test_mkdirs(void **state)
{
    struct unit_dir *d = *state;
    struct err e = ERR_INIT;
    struct stat st;
    scoped_free char *deep = xasprintf("%s/a/b/c/", d->path);
    scoped_free char *file = xasprintf("%s/f", d->path);
    scoped_free char *below = xasprintf("%s/f/x/y", d->path);
    assert_int_equal(fs_mkdirs(deep, 0700, &e), 0);
    assert_int_equal(fs_mkdirs(deep, 0700, &e), 0);
    assert_int_equal(fstatat(d->fd, "a/b/c", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    unit_write(d->fd, "f", "");
    assert_int_equal(fs_mkdirs(file, 0700, &e), -ENOTDIR);
    assert_int_equal(fs_mkdirs(below, 0700, &e), -ENOTDIR);
    assert_int_equal(fs_mkdirs("/", 0700, &e), 0);

    scoped_free char *fresh = xasprintf("%s/o/p", d->path);
    assert_int_equal(fs_open_dir(fresh, false, 0700, &e), -ENOENT);
    scoped_fd int fd = fs_open_dir(fresh, true, 0700, &e);
    assert_true(fd >= 0);
}

static void test_remove_tree(void **state)
{
    struct unit_dir *d = *state;
    struct err e = ERR_INIT;
    struct stat st;
    bool root = geteuid() == 0 && chown(d->path, 65534, (gid_t)-1) == 0;
    if (root) {
        /* Modes mean nothing to root: somebody else does it. A change of the user id also hides
         * /proc/self, which no program of ours goes through. */
        assert_int_equal(seteuid(65534), 0);
        prctl(PR_SET_DUMPABLE, 1);
    }
    mkdirat(d->fd, "keep", 0755);
    unit_write(d->fd, "keep/canary", "x");
    mkdirat(d->fd, "t", 0755);
    mkdirat(d->fd, "t/closed", 0755);
    unit_write(d->fd, "t/closed/f", "x");
    assert_int_equal(symlinkat("../keep", d->fd, "t/link"), 0);
    assert_int_equal(mkfifoat(d->fd, "t/fifo", 0600), 0);
    mkdirat(d->fd, "t/readonly", 0755);
    unit_write(d->fd, "t/readonly/f", "x");
    assert_int_equal(fchmodat(d->fd, "t/readonly", 0500, 0), 0);
    assert_int_equal(fchmodat(d->fd, "t/closed", 0, 0), 0);

    int r = fs_remove_tree(d->fd, "t", &e);
    if (root)
        assert_int_equal(seteuid(0), 0);
    if (r < 0)
        fail_msg("%s", e.msg);
    assert_int_equal(fstatat(d->fd, "t", &st, AT_SYMLINK_NOFOLLOW), -1);
    assert_int_equal(fstatat(d->fd, "keep/canary", &st, 0), 0);
    assert_int_equal(fs_remove_tree(d->fd, "t", &e), 0);

    /* A link to a directory is itself what is removed. */
    assert_int_equal(symlinkat("keep", d->fd, "l"), 0);
    assert_int_equal(fs_remove_tree(d->fd, "l", &e), 0);
    assert_int_equal(fstatat(d->fd, "keep/canary", &st, 0), 0);
    unit_write(d->fd, "file", "x");
    assert_int_equal(fs_remove_tree(d->fd, "file", &e), 0);
    assert_int_equal(fs_remove_tree(d->fd, "keep/canary/x", &e), -ENOTDIR);
}

/* Deeper than there are descriptors, and longer than PATH_MAX. */
static void test_remove_deep(void **state)
{
    struct unit_dir *d = *state;
    struct err e = ERR_INIT;
    struct rlimit limit, few;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    few = limit;
    few.rlim_cur = 128;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
    scoped_fd int fd = dup(d->fd);
    for (int i = 0; i < 2000; i++) {
        assert_int_equal(mkdirat(fd, "deep", 0755), 0);
        int next = openat(fd, "deep", O_PATH | O_DIRECTORY | O_CLOEXEC);
        unit_write(next, "f", "x");
        close(fd);
        fd = next;
    }
    int r = fs_remove_tree(d->fd, "deep", &e);
    setrlimit(RLIMIT_NOFILE, &limit);
    if (r < 0)
        fail_msg("%s", e.msg);
    struct stat st;
    assert_int_equal(fstatat(d->fd, "deep", &st, 0), -1);
}

/* Two that remove the same tree both succeed. */
static void test_remove_together(void **state)
{
    struct unit_dir *d = *state;
    mkdirat(d->fd, "t", 0755);
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t/d%d", i % 30);
        mkdirat(d->fd, name, 0755);
        snprintf(name, sizeof(name), "t/d%d/f%d", i % 30, i);
        unit_write(d->fd, name, "x");
    }
    pid_t pid = fork();
    int r = fs_remove_tree(d->fd, "t", NULL), status = -1;
    if (pid == 0)
        _exit(r < 0);
    waitpid(pid, &status, 0);
    assert_int_equal(r, 0);
    assert_int_equal(status, 0);
}

static uint64_t size_of(int fd, const char *name)
{
    struct fs_size size;
    fs_tree_size(fd, name, &size);
    assert_false(size.hidden);
    return size.bytes;
}

static void test_tree_size(void **state)
{
    struct unit_dir *d = *state;
    char block[65536];
    memset(block, 'x', sizeof(block));
    mkdirat(d->fd, "t", 0755);
    mkdirat(d->fd, "t/d", 0755);
    assert_int_equal(size_of(d->fd, "t"), 0);
    fs_write_atomic(d->fd, "t/f", block, sizeof(block), 0600, FS_NO_SYNC, NULL);
    fs_write_atomic(d->fd, "t/d/small", block, 12, 0600, FS_NO_SYNC, NULL);
    assert_int_equal(size_of(d->fd, "t"), sizeof(block) + 12);
    for (int i = 0; i < 300; i++) {
        char name[32];
        snprintf(name, sizeof(name), "t/l%d", i);
        assert_int_equal(linkat(d->fd, "t/f", d->fd, name, 0), 0);
    }
    assert_int_equal(size_of(d->fd, "t"), sizeof(block) + 12); /* links are counted once */
    scoped_fd int sparse = openat(d->fd, "t/sparse", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_int_equal(ftruncate(sparse, 1 << 30), 0);
    assert_int_equal(mknodat(d->fd, "t/fifo", S_IFIFO | 0600, 0), 0);
    assert_int_equal(symlinkat("/usr", d->fd, "t/ln"), 0);
    assert_true(size_of(d->fd, "t") < 2 * sizeof(block));
    assert_int_equal(size_of(d->fd, "nope"), 0);
}

#define IN_DIR(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIR(test_read),      IN_DIR(test_write_atomic),    IN_DIR(test_write_text),
        IN_DIR(test_mkdirs),    IN_DIR(test_remove_tree),     IN_DIR(test_remove_deep),
        IN_DIR(test_tree_size), IN_DIR(test_remove_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
