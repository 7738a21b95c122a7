/* Option lists of mounts (OCI runtime specification, config.md "mounts"). */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/strv.h"
#include "mounts/mounts.h"
#include "sys/mountfd.h"

#define RO MOUNT_ATTR_RDONLY
#define NOSUID MOUNT_ATTR_NOSUID
#define NODEV MOUNT_ATTR_NODEV
#define NOEXEC MOUNT_ATTR_NOEXEC

static const struct {
    const char *options;
    uint64_t set, clear, rec_set, rec_clear, propagation, propagation_then;
    bool bind, recursive;
    const char *data;
} cases[] = {
    {"ro", .set = RO},
    {"ro,rw", .clear = RO},
    {"rw,ro", .set = RO},
    {"nosuid,nodev,noexec,ro", .set = RO | NOSUID | NODEV | NOEXEC},
    {"noexec,exec", .clear = NOEXEC},
    {"rbind,rro", .rec_set = RO, .bind = true, .recursive = true},
    {"bind,rnoexec,rrw", .rec_set = NOEXEC, .rec_clear = RO, .bind = true},
    {"bind", .bind = true},
    {"rbind,rslave", .propagation = MS_SLAVE | MS_REC, .bind = true, .recursive = true},
    {"shared,shared", .propagation = MS_SHARED},
    {"noatime", .set = MOUNT_ATTR_NOATIME, .clear = MOUNT_ATTR__ATIME},
    {"noatime,strictatime", .set = MOUNT_ATTR_STRICTATIME, .clear = MOUNT_ATTR__ATIME},
    {"noatime,relatime", .clear = MOUNT_ATTR__ATIME},
    {"rnoatime", .rec_set = MOUNT_ATTR_NOATIME, .rec_clear = MOUNT_ATTR__ATIME},
    {"nosymfollow,rsymfollow", .set = MOUNT_ATTR_NOSYMFOLLOW, .rec_clear = MOUNT_ATTR_NOSYMFOLLOW},
    {"nosuid,size=64k,mode=755", .set = NOSUID, .data = "size=64k,mode=755"},
    {"defaults,newinstance,gid=5", .data = "gid=5"},
    {"wibble", .data = "wibble"},
    {"ro,,nosuid,", .set = RO | NOSUID},
    {"slave,shared", .propagation = MS_SLAVE, .propagation_then = MS_SHARED},
};

static void test_words(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        struct mount_options o;
        scoped_strv char **v = strv_split(cases[i].options, ",", true);
        print_message("%s\n", cases[i].options);
        assert_int_equal(mount_options_parse(v, &o, &e), 0);
        assert_int_equal(o.attr_set, cases[i].set);
        assert_int_equal(o.attr_clear, cases[i].clear);
        assert_int_equal(o.rec_attr_set, cases[i].rec_set);
        assert_int_equal(o.rec_attr_clear, cases[i].rec_clear);
        assert_int_equal(o.propagation, cases[i].propagation);
        assert_int_equal(o.propagation_then, cases[i].propagation_then);
        assert_int_equal(o.bind, cases[i].bind);
        assert_int_equal(o.recursive, cases[i].recursive);
        if (cases[i].data)
            assert_string_equal(o.data, cases[i].data);
        else
            assert_null(o.data);
        mount_options_release(&o);
    }
}

static void test_flags(void **state)
{
    (void)state;
    char *words[] = {(char *)"tmpcopyup", (char *)"copy-symlink", (char *)"ridmap",
                     (char *)"remount", NULL};
    struct mount_options o;
    assert_int_equal(mount_options_parse(words, &o, NULL), 0);
    assert_true(o.tmpcopyup && o.copy_symlink && o.idmap && o.ridmap && o.remount);
    assert_null(o.data);
    assert_null(o.idmap_text);
    char *text[] = {(char *)"idmap=uids=0-1-2", (char *)"ridmap=gids=@3-4-5", NULL};
    assert_int_equal(mount_options_parse(text, &o, NULL), 0);
    assert_true(o.idmap && o.ridmap);
    assert_string_equal(o.idmap_text, "gids=@3-4-5");
    mount_options_release(&o);
    assert_int_equal(mount_options_parse(NULL, &o, NULL), 0);
    assert_false(o.bind || o.tmpcopyup || o.attr_set);
}

static void test_refused(void **state)
{
    (void)state;
    static const struct {
        const char *options, *want;
    } bad[] = {
        {"rbind,slave,shared,private", "option \"private\": there are two propagations already"},
    };
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct err e = ERR_INIT;
        struct mount_options o = {.data = (char *)"untouched"};
        scoped_strv char **v = strv_split(bad[i].options, ",", true);
        assert_int_equal(mount_options_parse(v, &o, &e), -EINVAL);
        assert_string_equal(e.msg, bad[i].want);
        assert_string_equal(o.data, "untouched");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words),
        cmocka_unit_test(test_flags),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
