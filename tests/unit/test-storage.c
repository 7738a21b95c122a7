/* Storage plans, the arithmetic of id shifts, drivers and the cache of their probe. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"
#include "mounts/tree.h"
#include "storage/storage-priv.h"
#include "sys/mountfd.h"

/* The store: 0 is the user 1000, the rest subordinate. keep-id: 1000 is the user. */
static struct idmap_line store_lines[] = {{0, 1000, 1}, {1, 100000, 65536}};
static struct idmap_line keep_lines[] = {{0, 100000, 1000}, {1000, 1000, 1}, {1001, 101000, 64536}};
static struct idmap_line small_lines[] = {{0, 100000, 10}};

static const struct userns_map store_map = {.uid = {store_lines, 2}, .gid = {store_lines, 2}};
static const struct userns_map keep_map = {.uid = {keep_lines, 3}, .gid = {keep_lines, 3}};
static const struct userns_map small_map = {.uid = {small_lines, 1}, .gid = {small_lines, 1}};

static void test_shift_ids(void **state)
{
    (void)state;
    struct storage_shift s = {.from = &store_map, .to = &keep_map};
    struct err e = ERR_INIT;
    static const struct {
        uint32_t image, seen; /* seen from the store's namespace: host 100000 is 1 there */
    } cases[] = {{0, 1}, {1, 2}, {999, 1000}, {1000, 0}, {1001, 1001}, {65535, 65535}};
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        uint32_t uid = cases[i].image, gid = cases[i].image;
        assert_int_equal(shift_ids(&s, &uid, &gid, &e), 0);
        assert_int_equal(uid, cases[i].seen);
        assert_int_equal(gid, cases[i].seen);
    }
    /* As root of the host the same inodes show host ids. */
    s.direct = true;
    uint32_t uid = 1000, gid = 100999;
    assert_int_equal(shift_ids(&s, &uid, &gid, &e), 0);
    assert_int_equal(uid, 100000);
    assert_int_equal(gid, 1000);
}

static void test_shift_refuses(void **state)
{
    (void)state;
    struct storage_shift s = {.from = &store_map, .to = &small_map};
    struct err e = ERR_INIT;
    uint32_t uid = 5, gid = 42;
    assert_int_equal(shift_ids(&s, &uid, &gid, &e), -EOVERFLOW);
    assert_string_equal(e.msg, "gid 42 of the image is not in the container's id map");
    assert_int_equal(uid, 5); /* untouched */
    assert_true(e.hint[0]);
}

static void test_shift_needed(void **state)
{
    (void)state;
    struct userns_map single = keep_map;
    single.single = true;
    assert_true(shift_needed(&store_map, &keep_map));
    assert_false(shift_needed(&store_map, &store_map));
    assert_false(shift_needed(&store_map, &single));
    char a[17], b[17];
    shift_hash(&(struct storage_shift){.from = &store_map, .to = &keep_map}, a);
    shift_hash(&(struct storage_shift){.from = &store_map, .to = &small_map}, b);
    assert_string_not_equal(a, b);
}

static void test_root_json(void **state)
{
    (void)state;
    char *layers[] = {(char *)"/a/diff", (char *)"/b/diff", NULL};
    struct storage_root r = {.driver = (char *)"overlay",
                             .layers = layers,
                             .upper = (char *)"/c/upper",
                             .work = (char *)"/c/work",
                             .is_volatile = true};
    scoped_json json_t *j = jfield_emit(storage_root_fields, &r);
    scoped_storage_root struct storage_root back = {0};
    assert_int_equal(jfield_parse(j, storage_root_fields, "", &back, NULL), 0);
    assert_string_equal(back.driver, "overlay");
    assert_int_equal(strv_len(back.layers), 2);
    assert_string_equal(back.layers[1], "/b/diff");
    assert_string_equal(back.work, "/c/work");
    assert_true(back.is_volatile);
    assert_false(back.readonly);
    assert_null(back.dir);
}

static void test_drivers(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    assert_ptr_equal(storage_driver_get("overlay", &e), &storage_overlay);
    assert_null(storage_driver_get("zfs", &e));
    assert_string_equal(e.msg,
                        "unknown storage driver \"zfs\" (there are: overlay, fuse-overlayfs, copy, "
                        "dir)");
}

static void test_too_many_layers(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_strv char **layers = NULL;
    for (int i = 0; i < MOUNTFD_OVERLAY_LOWERS + 1; i++)
        strv_add(&layers, "/");
    struct storage_create c = {.driver = &storage_overlay,
                               .container_dir = "/nonexistent",
                               .layer_dirs = layers,
                               .map = &store_map,
                               .store_map = &store_map};
    struct storage_root r;
    assert_int_equal(storage_create(&c, &r, &e), -E2BIG);
    assert_non_null(strstr(e.msg, "the image has 501 layers, overlay takes at most 500"));
    assert_true(e.hint[0]);
}

struct place {
    char root[64];
    char *cache; /* name of the cache file */
};

static void place_make(struct place *p)
{
    char boot[40];
    struct stat st;
    snprintf(p->root, sizeof(p->root), "/tmp/test-storage-XXXXXX");
    assert_non_null(mkdtemp(p->root));
    assert_int_equal(proc_boot_id(boot), 0);
    assert_int_equal(stat(p->root, &st), 0);
    p->cache =
        xasprintf("%s/probe.%.36s.%x-%x.single", p->root, boot, major(st.st_dev), minor(st.st_dev));
}

static void place_remove(struct place *p)
{
    assert_int_equal(fs_remove_tree(AT_FDCWD, p->root, NULL), 0);
    free(p->cache);
}

/* A34: a probe that failed makes the next driver be chosen, and the sentence says why. The answers
 * come from the cache file, so this also shows that it is read. */
static void test_choose_cached(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    struct idmap_line line = {0, geteuid(), 1};
    struct userns_map map = {.uid = {&line, 1}, .gid = {&line, 1}, .single = true};
    static const char text[] =
        "rootlet-probe-3\noverlay 0 it is upside down\nfuse-overlayfs 0 no\ncopy 1 whole\n";
    const struct storage_driver *d = NULL;
    scoped_free char *why = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(fs_write_atomic(AT_FDCWD, p.cache, text, strlen(text), 0600, FS_NO_SYNC, NULL),
                     0);
    assert_int_equal(storage_choose(p.root, p.root, NULL, &map, &d, &why, &e), 0);
    assert_string_equal(d->name, "copy");
    assert_string_equal(why, "whole (overlay: it is upside down; fuse-overlayfs: no)");
    assert_int_equal(storage_choose(p.root, p.root, "overlay", &map, &d, &why, &e), -ENOTSUP);
    assert_non_null(strstr(e.msg, "overlay: it is upside down"));
    assert_int_equal(storage_choose(p.root, p.root, "dir", &map, &d, &why, &e), -EINVAL);
    place_remove(&p);
}

/* A cache that others could write is not believed: the answer is a fresh one, whatever it is. */
static void test_choose_distrusts(void **state)
{
    (void)state;
    struct place p;
    place_make(&p);
    struct idmap_line line = {0, geteuid(), 1};
    struct userns_map map = {.uid = {&line, 1}, .gid = {&line, 1}, .single = true};
    static const char text[] =
        "rootlet-probe-3\noverlay 0 planted\nfuse-overlayfs 0 planted\ncopy 0 planted\n";
    const struct storage_driver *d = NULL;
    char *why = NULL;
    struct err e = ERR_INIT;
    assert_int_equal(fs_write_atomic(AT_FDCWD, p.cache, text, strlen(text), 0600, FS_NO_SYNC, NULL),
                     0);
    assert_int_equal(chmod(p.cache, 0666), 0);
    storage_choose(p.root, p.root, NULL, &map, &d, &why, &e);
    assert_null(strstr(e.msg, "planted"));
    assert_true(!why || !strstr(why, "planted"));
    free(why);
    place_remove(&p);
}

static void write_file(const char *path, const char *text)
{
    assert_int_equal(fs_write_atomic(AT_FDCWD, path, text, strlen(text), 0644, FS_NO_SYNC, NULL),
                     0);
}

/* What the copy driver and the metadata trees stand on. */
static void test_tree_copy(void **state)
{
    (void)state;
    char top[] = "/tmp/test-tree-XXXXXX";
    assert_non_null(mkdtemp(top));
    assert_int_equal(chdir(top), 0);
    assert_int_equal(mkdir("a", 0755) | mkdir("a/d", 0750) | mkdir("a/ro", 0755) | mkdir("b", 0700),
                     0);
    write_file("a/f", "hello");
    write_file("a/ro/x", "x");
    assert_int_equal(link("a/f", "a/d/g") | symlink("../../../etc", "a/l") | mkfifo("a/p", 0600),
                     0);
    assert_int_equal(chmod("a/ro", 0555) | chmod("a/f", 04711), 0);
    scoped_fd int sparse = open("a/s", O_WRONLY | O_CREAT, 0644);
    assert_int_equal(pwrite(sparse, "end", 3, 8 << 20), 3);
    struct timespec times[2] = {{.tv_sec = 1}, {.tv_sec = 1234567890, .tv_nsec = 5}};
    assert_int_equal(utimensat(AT_FDCWD, "a/d", times, 0), 0);

    struct err e = ERR_INIT;
    scoped_fd int src = open("a", O_RDONLY), dst = open("b", O_RDONLY);
    struct tree_copy t = {.src = src, .dst = dst, .objects = -1};
    assert_int_equal(tree_copy(&t, &e), 0);
    struct stat f, g, st, from;
    assert_int_equal(stat("b/f", &f) | stat("b/d/g", &g), 0);
    assert_int_equal(f.st_ino, g.st_ino);
    assert_int_equal(f.st_mode & 07777, 04711);
    assert_int_equal(lstat("b/l", &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(lstat("b/p", &st), 0);
    assert_true(S_ISFIFO(st.st_mode));
    assert_int_equal(stat("b/d", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(st.st_mtim.tv_sec, 1234567890);
    assert_int_equal(st.st_mtim.tv_nsec, 5);
    assert_int_equal(stat("b", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
    assert_int_equal(stat("b/ro", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0555);
    assert_int_equal(stat("b/s", &st) | stat("a/s", &from), 0);
    assert_int_equal(st.st_size, (8 << 20) + 3);
    assert_true(st.st_blocks < 1024); /* the hole is one still */
    assert_int_equal(chmod("a/ro", 0755) | chmod("b/ro", 0755), 0);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(fs_remove_tree(AT_FDCWD, top, NULL), 0);
}

/* An ACL with one user more than owner, group and others have. posix_acl_xattr.h */
static void set_acl(const char *path, const char *name)
{
    static const struct {
        uint32_t version;
        struct {
            uint16_t tag, perm;
            uint32_t id;
        } v[5];
    } acl = {2,
             {{0x01, 7, UINT32_MAX},
              {0x02, 7, 12345},
              {0x04, 5, UINT32_MAX},
              {0x10, 7, UINT32_MAX},
              {0x20, 5, UINT32_MAX}}};
    if (setxattr(path, name, &acl, sizeof(acl), 0) < 0 && errno == EOPNOTSUPP)
        skip();
}

/* What a lower layer gave to a directory, rights for one, is gone when an upper layer has it
 * without, and does not pass to the files that the upper one puts there. */
static void test_tree_copy_layers(void **state)
{
    (void)state;
    char top[] = "/tmp/test-tree-XXXXXX", list[256];
    assert_non_null(mkdtemp(top));
    assert_int_equal(chdir(top), 0);
    assert_int_equal(mkdir("1", 0755) | mkdir("1/d", 0755) | mkdir("2", 0755) | mkdir("2/d", 0755) |
                         mkdir("2/d/e", 0775) | mkdir("b", 0700),
                     0);
    set_acl("1", "system.posix_acl_access");
    set_acl("1/d", "system.posix_acl_access");
    set_acl("1/d", "system.posix_acl_default");
    assert_int_equal(setxattr("1/d", "user.low", "x", 1, 0), 0);
    assert_int_equal(setxattr("2/d", "user.both", "x", 1, 0), 0);
    write_file("2/d/f", "hello");
    assert_int_equal(chmod("2/d/f", 0660) | chmod("2/d", 0775) | mkfifo("2/d/p", 0600), 0);
    assert_int_equal(chmod("2/d/p", 0660), 0);

    struct err e = ERR_INIT;
    scoped_fd int one = open("1", O_RDONLY), two = open("2", O_RDONLY), dst = open("b", O_RDONLY);
    struct tree_copy t = {.src = one, .dst = dst, .whiteouts = true, .objects = -1};
    assert_int_equal(tree_copy(&t, &e), 0);
    assert_true(listxattr("b/d", list, sizeof(list)) > 0);
    t.src = two;
    assert_int_equal(tree_copy(&t, &e), 0);
    assert_int_equal(listxattr("b/d", list, sizeof(list)), sizeof("user.both"));
    static const char *const plain[] = {"b", "b/d/e", "b/d/f", "b/d/p"};
    for (size_t i = 0; i < N_ELEMENTS(plain); i++)
        assert_int_equal(listxattr(plain[i], list, sizeof(list)), 0);
    struct stat st;
    assert_int_equal(stat("b/d/f", &st), 0);
    assert_int_equal(st.st_mode & 07777, 0660);
    assert_int_equal(chdir("/"), 0);
    assert_int_equal(fs_remove_tree(AT_FDCWD, top, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shift_ids),     cmocka_unit_test(test_shift_refuses),
        cmocka_unit_test(test_shift_needed),  cmocka_unit_test(test_root_json),
        cmocka_unit_test(test_drivers),       cmocka_unit_test(test_too_many_layers),
        cmocka_unit_test(test_choose_cached), cmocka_unit_test(test_choose_distrusts),
        cmocka_unit_test(test_tree_copy),     cmocka_unit_test(test_tree_copy_layers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
