/* Users by the container's files: what is a number, what is a name, and what is refused. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "engine/user.h"

#define PASSWD                                                                                     \
    "root:x:0:0:root:/root:/bin/sh\n"                                                              \
    "alice:x:1000:100::/home/alice:/bin/sh\n"                                                      \
    "12ab:x:7:7::/seven:/bin/sh\n"                                                                 \
    "toobig:x:4294967295:0::/:/bin/sh\n"                                                           \
    "nogroup:x:8:x::/:/bin/sh\n"                                                                   \
    "short:x\n"                                                                                    \
    "alice:x:2000:2000::/second:/bin/sh\n"                                                         \
    "last:x:9:9::/home/last:/bin/sh"
#define GROUP                                                                                      \
    "root:x:0:\n"                                                                                  \
    "users:x:100:\n"                                                                               \
    "wheel:x:10:root,alice\n"                                                                      \
    "video:x:44:alicex,alice\n"                                                                    \
    "audio:x:45:alicex,xalice\n"                                                                   \
    "bad:x:-1:alice\n"

static char dir[] = "/tmp/rootlet-test-user-XXXXXX";
static int root_fd = -1;

static void put(const char *name, const char *text)
{
    unlinkat(root_fd, name, 0);
    assert_int_equal(fs_write_atomic(root_fd, name, text, strlen(text), 0644, FS_NO_SYNC, NULL), 0);
}

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(dir))
        return -1;
    root_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return mkdirat(root_fd, "etc", 0755);
}

static int tear_down(void **state)
{
    (void)state;
    close(root_fd);
    return fs_remove_tree(AT_FDCWD, dir, NULL);
}

static int normal_files(void **state)
{
    (void)state;
    put("etc/passwd", PASSWD);
    put("etc/group", GROUP);
    return 0;
}

static void test_table(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        unsigned uid, gid;
        size_t n_groups;
        const char *home;
    } good[] = {
        {"root", 0, 0, 1, "/root"},
        {"0", 0, 0, 1, "/root"},
        {"00", 0, 0, 1, "/root"}, /* all digits: a number, and never a name */
        {"alice", 1000, 100, 2, "/home/alice"},
        {"1000", 1000, 100, 2, "/home/alice"},
        {"alice:wheel", 1000, 10, 0, "/home/alice"},
        {"alice:10", 1000, 10, 0, "/home/alice"},
        {"1000:wheel", 1000, 10, 0, "/home/alice"},
        {"555", 555, 0, 0, NULL},
        {"555:44", 555, 44, 0, NULL},
        {"2000", 2000, 2000, 2, "/second"},
        {"2147483646", 2147483646, 0, 0, NULL},
        {"12ab", 7, 7, 0, "/seven"},
        {"last", 9, 9, 0, "/home/last"}, /* no newline at the end of the file */
    };
    for (size_t i = 0; i < N_ELEMENTS(good); i++) {
        struct user u;
        struct err e = ERR_INIT;
        int r = user_resolve(root_fd, &(struct user_request){.text = good[i].text}, &u, &e);
        if (r < 0)
            fail_msg("%s: %s", good[i].text, e.msg);
        assert_int_equal(u.uid, good[i].uid);
        assert_int_equal(u.gid, good[i].gid);
        assert_int_equal(u.n_groups, good[i].n_groups);
        assert_true(streq(u.home, good[i].home));
        user_release(&u);
    }
}

/* security.md 1.4: the forms that other runtimes took for 0 or for something else. */
static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *message;
    } bad[] = {
        {"4294967296", "want a number"},
        {"4294967295", "want a number"},
        {"2147483647", "want a number"},
        {"18446744073709551616", "want a number"},
        {"-1", "unable to find user -1"},
        {" 0", "unable to find user  0"},
        {"0 ", "unable to find user 0 "},
        {"+0", "unable to find user +0"},
        {"0x0", "unable to find user 0x0"},
        {"1e3", "unable to find user 1e3"},
        {"", "the user is empty"},
        {":0", "the user is empty"},
        {":", "the user is empty"},
        {"0:", "the group is empty"},
        {"0:-1", "unable to find group -1"},
        {"0:4294967295", "want a number"},
        {"0:0:0", "unable to find group 0:0"},
        {"nosuch", "unable to find user nosuch: no matching entries in passwd file"},
        {"alice:nosuch", "unable to find group nosuch: no matching entries in group file"},
        {"toobig", "has no number"},
        {"nogroup", "has no group number"},
        {"short", "has no number"},
        {"alic", "unable to find user"},
    };
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct user u = {.uid = 77};
        struct err e = ERR_INIT;
        if (user_resolve(root_fd, &(struct user_request){.text = bad[i].text}, &u, &e) >= 0)
            fail_msg("\"%s\" was taken for %u", bad[i].text, u.uid);
        if (!strstr(e.msg, bad[i].message))
            fail_msg("\"%s\": %s", bad[i].text, e.msg);
        assert_int_equal(e.exit_status, 126);
        assert_int_equal(u.uid, 77);
    }
}

static void test_group_add(void **state)
{
    (void)state;
    char video[] = "video", number[] = "123", again[] = "10", bad[] = "nosuch";
    char *const groups[] = {video, number, again, NULL}, *const wrong[] = {bad, NULL};
    struct user u;
    struct err e = ERR_INIT;
    struct user_request q = {.text = "alice", .groups = groups};
    assert_int_equal(user_resolve(root_fd, &q, &u, &e), 0);
    assert_int_equal(u.n_groups, 3); /* wheel and video by the file, 123; no duplicates */
    user_release(&u);
    q.groups = wrong;
    assert_true(user_resolve(root_fd, &q, &u, &e) < 0);
    assert_int_equal(e.exit_status, 126);
}

static void test_by_spec(void **state)
{
    (void)state;
    uint32_t more[] = {5, 6};
    struct spec_user spec = {.uid = 1000, .gid = 1, .additional_gids = {more, 2}};
    struct user_request q = {.spec = &spec, .want_home = 1};
    struct user u;
    assert_int_equal(user_resolve(root_fd, &q, &u, NULL), 0);
    assert_int_equal(u.uid, 1000);
    assert_int_equal(u.gid, 1);
    assert_int_equal(u.n_groups, 2);
    assert_string_equal(u.home, "/home/alice");
    user_release(&u);

    /* Numbers need no file: one that cannot be read costs the home only. */
    unlinkat(root_fd, "etc/passwd", 0);
    assert_int_equal(mkfifoat(root_fd, "etc/passwd", 0644), 0);
    assert_int_equal(user_resolve(root_fd, &q, &u, NULL), 0);
    assert_null(u.home);
    user_release(&u);
}

static void test_absent_files(void **state)
{
    (void)state;
    unlinkat(root_fd, "etc/passwd", 0);
    unlinkat(root_fd, "etc/group", 0);
    struct user u;
    struct err e = ERR_INIT;
    assert_int_equal(user_resolve(root_fd, &(struct user_request){.text = "3:4"}, &u, &e), 0);
    assert_int_equal(u.uid, 3);
    assert_int_equal(u.gid, 4);
    assert_int_equal(user_resolve(root_fd, &(struct user_request){.text = "a"}, &u, &e), -ENOENT);
}

static void expect_refusal(const char *what)
{
    struct user u;
    struct err e = ERR_INIT;
    if (user_resolve(root_fd, &(struct user_request){.text = "alice"}, &u, &e) >= 0)
        fail_msg("%s was read", what);
    assert_int_equal(e.exit_status, 126);
}

/* R15: nothing that an image puts at that path makes us hang, and no link leads outside. */
static void test_hostile_files(void **state)
{
    (void)state;
    unlinkat(root_fd, "etc/passwd", 0);
    assert_int_equal(mkfifoat(root_fd, "etc/passwd", 0644), 0);
    expect_refusal("a FIFO");

    unlinkat(root_fd, "etc/passwd", 0);
    assert_int_equal(mkdirat(root_fd, "etc/passwd", 0755), 0);
    expect_refusal("a directory");
    unlinkat(root_fd, "etc/passwd", AT_REMOVEDIR);

    /* As long as it is not alice who is asked for, the host's file would answer. */
    assert_int_equal(symlinkat("/etc/passwd", root_fd, "etc/passwd"), 0);
    expect_refusal("a link to itself");
    unlinkat(root_fd, "etc/passwd", 0);
    assert_int_equal(symlinkat("../../../../../../../etc/passwd", root_fd, "etc/passwd"), 0);
    expect_refusal("a link upwards");
    unlinkat(root_fd, "etc/passwd", 0);

    size_t n = (1u << 20) + 1;
    scoped_free char *big = xmalloc(n + 1);
    memset(big, '\n', n);
    big[n] = '\0';
    put("etc/passwd", big);
    expect_refusal("a file above 1 MiB");

    static const char nul[] = "alice:x:1\0:1::/:\n";
    unlinkat(root_fd, "etc/passwd", 0);
    fs_write_atomic(root_fd, "etc/passwd", nul, sizeof(nul) - 1, 0644, FS_NO_SYNC, NULL);
    expect_refusal("a file with NUL bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_table, normal_files),
        cmocka_unit_test_setup(test_refused, normal_files),
        cmocka_unit_test_setup(test_group_add, normal_files),
        cmocka_unit_test_setup(test_by_spec, normal_files),
        cmocka_unit_test_setup(test_absent_files, normal_files),
        cmocka_unit_test_setup(test_hostile_files, normal_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
