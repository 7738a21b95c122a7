/* test-path - a hostile tree must not lead out of its root: a canary stands outside of it. */
#include "base/path.h"

#include <linux/limits.h>

#include "unit.h"

struct tree {
    struct unit_dir dir; /* holds "canary", "outside/" and "root/" */
    int root;
};

static int setup(void **state)
{
    struct tree *t = xcalloc(1, sizeof(*t));
    t->dir = unit_dir_make();
    unit_write(t->dir.fd, "canary", "outside");
    mkdirat(t->dir.fd, "outside", 0755);
    mkdirat(t->dir.fd, "root", 0755);
    t->root = openat(t->dir.fd, "root", O_PATH | O_DIRECTORY | O_CLOEXEC);

    static const struct {
        const char *target, *name;
    } links[] = {
        {"../canary", "up"},          {"../../../../../../../../../../../../etc/passwd", "far"},
        {"/proc/self/root", "magic"}, {"/dir", "abs"},
        {"/run", "dangling"},         {"../../../outside/new", "dangling-up"},
        {"loop-b", "loop-a"},         {"loop-a", "loop-b"},
        {"chain2/x", "chain1"},       {"/deep/er", "chain2"},
    };
    for (size_t i = 0; i < N_ELEMENTS(links); i++)
        assert_int_equal(symlinkat(links[i].target, t->root, links[i].name), 0);
    mkdirat(t->root, "dir", 0755);
    unit_write(t->root, "dir/file", "inside");
    unit_write(t->root, "canary", "decoy");
    assert_int_equal(mkfifoat(t->root, "fifo", 0644), 0);
    *state = t;
    return 0;
}

static int teardown(void **state)
{
    struct tree *t = *state;
    struct stat st;
    /* Whatever the test did: outside nothing has changed. */
    scoped_fd int outside = openat(t->dir.fd, "outside", O_RDONLY | O_DIRECTORY);
    assert_int_equal(fstatat(outside, "new", &st, AT_SYMLINK_NOFOLLOW), -1);
    scoped_free char *text = NULL;
    assert_int_equal(fs_read(t->dir.fd, "canary", 100, &text, NULL), 7);
    assert_string_equal(text, "outside");
    close(t->root);
    unit_dir_remove(&t->dir);
    free(t);
    return 0;
}

static const struct {
    const char *path, *want; /* want NULL: must fail with errnum */
    int errnum;
} read_cases[] = {
    {"/dir/file", "inside", 0},
    {"dir/file", "inside", 0},
    {"abs/file", "inside", 0},
    {"/up", "decoy", 0},
    {"../canary", "decoy", 0},
    {"/../../canary", "decoy", 0},
    {"dir/../../../canary", "decoy", 0},
    {"/far", NULL, ENOENT},
    {"/magic/etc/passwd", NULL, ENOENT},
    {"/loop-a", NULL, ELOOP},
    {"/dir", NULL, EINVAL},
    {"/fifo", NULL, EINVAL}, /* and does not wait for a writer */
    {"/missing", NULL, ENOENT},
};

static void test_read(void **state)
{
    struct tree *t = *state;
    for (size_t i = 0; i < N_ELEMENTS(read_cases); i++) {
        struct err e = ERR_INIT;
        scoped_free char *text = NULL;
        ssize_t n = path_read_in_root(t->root, read_cases[i].path, 100, &text, &e);
        if (!read_cases[i].want ? n != -read_cases[i].errnum : n < 0)
            fail_msg("%s: got %zd: %s", read_cases[i].path, n, e.msg);
        if (read_cases[i].want)
            assert_string_equal(text, read_cases[i].want);
        else
            assert_has(e.msg, read_cases[i].path);
    }
    struct err e = ERR_INIT;
    char *text = NULL;
    assert_int_equal(path_read_in_root(t->root, "/dir/file", 5, &text, &e), -EFBIG);
    assert_null(text);
}

/* A magic link inside a real procfs is refused even though it is below the root. */
static void test_magic_link(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_fd int proc = open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
    scoped_fd int fd = path_open_in_root(proc, "self/exe", O_RDONLY, 0, &e);
    assert_int_equal(fd, -ELOOP);
}

static void test_beneath(void **state)
{
    struct tree *t = *state;
    static const struct {
        const char *path;
        int want;
    } cases[] = {{"dir/file", 0},       {"dir/../dir/file", 0}, {"../canary", -EXDEV},
                 {"/dir/file", -EXDEV}, {"abs/file", -ELOOP},   {"up", -ELOOP}};
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_fd int fd = path_open_beneath(t->root, cases[i].path, O_RDONLY, 0, NULL);
        if ((fd < 0 ? fd : 0) != cases[i].want)
            fail_msg("%s: got %d", cases[i].path, fd);
    }
}

static void test_create(void **state)
{
    struct tree *t = *state;
    struct err e = ERR_INIT;
    mode_t old = umask(0);
    scoped_fd int fd = path_open_in_root(t->root, "/../new", O_WRONLY | O_CREAT | O_EXCL, 0640, &e);
    umask(old);
    struct stat st;
    assert_true(fd >= 0);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(fstatat(t->root, "new", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

static const struct {
    const char *path, *made; /* made: where it must be in the root; NULL: fails with errnum */
    int errnum;
} mkdirs_cases[] = {
    {"/", ".", 0},
    {"", ".", 0},
    {"dir", "dir", 0},
    {"/a/b/c", "a/b/c", 0},
    {"/a/b/../d//e/", "a/d/e", 0},
    {"/n1/../n2", "n2", 0},
    {"/abs/sub", "dir/sub", 0},
    {"/dangling/lock", "run/lock", 0},
    {"/dangling-up/x", "outside/new/x", 0},
    {"/chain1/y", "deep/er/x/y", 0},
    {"../../../outside/new", "outside/new", 0},
    {"/dir/file/x", NULL, ENOTDIR},
    {"/dir/file", NULL, ENOTDIR},
    {"/loop-a/x", NULL, ELOOP},
};

static void test_mkdirs(void **state)
{
    struct tree *t = *state;
    for (size_t i = 0; i < N_ELEMENTS(mkdirs_cases); i++) {
        struct err e = ERR_INIT;
        scoped_fd int fd = path_mkdirs_in_root(t->root, mkdirs_cases[i].path, 0755, &e);
        if (mkdirs_cases[i].made ? fd < 0 : fd != -mkdirs_cases[i].errnum)
            fail_msg("%s: got %d: %s", mkdirs_cases[i].path, fd, e.msg);
        if (!mkdirs_cases[i].made)
            continue;
        struct stat got, want;
        assert_int_equal(fstat(fd, &got), 0);
        if (fstatat(t->root, mkdirs_cases[i].made, &want, AT_SYMLINK_NOFOLLOW) < 0)
            fail_msg("%s: %s is missing", mkdirs_cases[i].path, mkdirs_cases[i].made);
        assert_int_equal(got.st_ino, want.st_ino);
    }
}

static void test_parent(void **state)
{
    struct tree *t = *state;
    static const struct {
        const char *path, *name; /* name NULL: refused */
        bool make;
    } cases[] = {
        {"/dir/file", "file", false}, {"top", "top", false},  {"/abs/new/", "new", false},
        {"/m/n/o", "o", true},        {"/", NULL, false},     {"", NULL, false},
        {"/dir/..", NULL, false},     {"/dir/.", NULL, true}, {"/none/x", NULL, false},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_free char *name = NULL;
        scoped_fd int fd = path_open_parent(t->root, cases[i].path, cases[i].make, &name, NULL);
        if ((fd >= 0) != (cases[i].name != NULL))
            fail_msg("%s: got %d", cases[i].path, fd);
        assert_true(streq(name, cases[i].name));
    }
}

static void test_text(void **state)
{
    (void)state;
    static const struct {
        const char *in, *want;
    } cleaned[] = {
        {"/a//b/./c/../d/", "/a/b/d"},
        {"", "/"},
        {"..", "/"},
        {"../../x", "/x"},
        {"/a/b/..", "/a"},
        {".hidden/..x", "/.hidden/..x"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cleaned); i++) {
        scoped_free char *got = path_clean(cleaned[i].in);
        assert_string_equal(got, cleaned[i].want);
    }
    static const struct {
        const char *a, *b, *want;
    } joined[] = {{"/a", "b", "/a/b"}, {"/a/", "/b", "/a/b"}, {"/", "b", "/b"}, {"a", "", "a/"}};
    for (size_t i = 0; i < N_ELEMENTS(joined); i++) {
        scoped_free char *got = path_join(joined[i].a, joined[i].b);
        assert_string_equal(got, joined[i].want);
    }
    assert_string_equal(path_name("/a/b"), "b");
    assert_string_equal(path_name("b"), "b");
}

#define IN_TREE(fn) cmocka_unit_test_setup_teardown(fn, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_TREE(test_read),          IN_TREE(test_magic_link), IN_TREE(test_beneath),
        IN_TREE(test_create),        IN_TREE(test_mkdirs),     IN_TREE(test_parent),
        cmocka_unit_test(test_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
