#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/strv.h"
#include "image/rows.h"
#include "image/store.h"

#define A "aaaa000000000000000000000000000000000000000000000000000000000000"
#define AB "aaab000000000000000000000000000000000000000000000000000000000000"
#define M "bbbb000000000000000000000000000000000000000000000000000000000000"
#define M2 "bbbc000000000000000000000000000000000000000000000000000000000000"
#define L1 "1111000000000000000000000000000000000000000000000000000000000000"
#define L2 "2222000000000000000000000000000000000000000000000000000000000000"

static char root[] = "/tmp/test-store-XXXXXX";
static struct conf conf = {.root = root};

static void put(const char *path, const char *text)
{
    char dir[4200], full[4200];
    snprintf(full, sizeof(full), "%s/%s", root, path);
    snprintf(dir, sizeof(dir), "%s", full);
    *strrchr(dir, '/') = '\0';
    assert_int_equal(fs_mkdirs(dir, 0700, NULL), 0);
    assert_int_equal(fs_write_atomic(AT_FDCWD, full, text, strlen(text), 0600, FS_NO_SYNC, NULL),
                     0);
}

static int setup(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    put("images/" A ".json",
        "{\"id\":\"sha256:" A "\",\"manifest\":\"sha256:" M "\",\"layers\":[\"sha256:" L1
        "\",\"sha256:" L2 "\"],\"created\":5,\"size\":77,\"os\":\"linux\"}");
    put("images/" AB ".json",
        "{\"id\":\"sha256:" AB "\",\"manifest\":\"sha256:" M "\",\"created\":9}");
    put("images/junk.json", "{}");
    put("refs/localhost+x/latest", "sha256:" M2 " sha256:" A "\n");
    put("refs/docker.io+library+x/latest", "sha256:" M " sha256:" AB "\n");
    put("refs/docker.io+library+y/1", "sha256:" M " sha256:" AB "\n");
    put("refs/quay.io+damaged/latest", "sha256:" M " sha256:../../x\n");
    put("refs/quay.io+lost/latest", "sha256:" M " sha256:" L1 "\n");
    put("layers/" L1 "/diff/.keep", "");
    put("layers/" L2 "/diff/.keep", "");
    put("blobs/sha256/" A, "{\"rootfs\":{\"diff_ids\":[]},\"config\":{\"User\":\"u\"}}");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, root, NULL);
}

static const struct {
    const char *text, *id;
    int r;
} finds[] = {
    {"x", "sha256:" A, 0}, /* localhost/ before docker.io/library/ */
    {"x:latest", "sha256:" A, 0},
    {"localhost/x", "sha256:" A, 0},
    {"docker.io/x", "sha256:" AB, 0},
    {"docker.io/library/x:latest", "sha256:" AB, 0},
    {"y:1", "sha256:" AB, 0},
    {"y", NULL, -ENOENT},
    {"x@sha256:" M2, "sha256:" A, 0},
    {"x:whatever@sha256:" M, "sha256:" AB, 0},
    {"y@sha256:" M2, NULL, -ENOENT},
    {"aaaa", "sha256:" A, 0},
    {"sha256:aaab", "sha256:" AB, 0},
    {"sha256:" AB, "sha256:" AB, 0},
    {AB, "sha256:" AB, 0},
    {"aaa", NULL, -EEXIST},
    {"aa", NULL, -ENOENT},
    {"ccc", NULL, -ENOENT},
    {"quay.io/damaged", NULL, -EUCLEAN},
    {"quay.io/lost", NULL, -EUCLEAN},
    {"../x", NULL, -EINVAL},
};

static void test_find(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(finds); i++) {
        struct store_image img = {0};
        struct err e = ERR_INIT;
        int r = store_find(&conf, finds[i].text, &img, &e);
        if (r != finds[i].r)
            fail_msg("%s: %d %s", finds[i].text, r, e.msg);
        if (r == 0)
            assert_string_equal(img.id, finds[i].id);
        store_image_release(&img);
    }
}

static void test_find_manifest(void **state)
{
    struct store_image img = {0};
    (void)state;
    assert_int_equal(store_find(&conf, "x", &img, NULL), 0);
    assert_string_equal(img.manifest, "sha256:" M2);
    assert_string_equal(img.digests[0], "localhost/x@sha256:" M2);
    assert_int_equal(store_names(&conf, &img, NULL), 0);
    assert_int_equal(strv_len(img.names), 1);
    store_image_release(&img);
}

static void test_list(void **state)
{
    struct store_image *v = NULL;
    size_t n = 0;
    (void)state;
    assert_int_equal(store_list(&conf, &v, &n, NULL), 0);
    assert_int_equal(n, 2);
    assert_string_equal(v[0].id, "sha256:" AB);
    assert_int_equal(strv_len(v[0].names), 2);
    assert_string_equal(v[0].names[0], "docker.io/library/x:latest");
    assert_string_equal(v[0].names[1], "docker.io/library/y:1");
    assert_string_equal(v[1].id, "sha256:" A);
    assert_int_equal(v[1].size, 77);
    assert_string_equal(v[1].digests[0], "localhost/x@sha256:" M2);
    store_list_free(v, n);
}

static void test_layers(void **state)
{
    struct store_image img = {0};
    struct err e = ERR_INIT;
    char **dirs = NULL;
    (void)state;
    assert_int_equal(store_find(&conf, "x", &img, NULL), 0);
    assert_int_equal(store_layer_dirs(&conf, &img, &dirs, NULL), 0);
    assert_int_equal(strv_len(dirs), 2);
    assert_non_null(strstr(dirs[0], L2)); /* topmost first */
    strv_free(dirs);
    strv_add(&img.layers, "sha256:" M);
    assert_int_equal(store_layer_dirs(&conf, &img, &dirs, &e), -EUCLEAN);
    assert_non_null(strstr(e.msg, "damaged"));
    store_image_release(&img);
}

static void test_config(void **state)
{
    struct store_image img = {0};
    struct image_config c = {0};
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(store_find(&conf, "x", &img, NULL), 0);
    assert_int_equal(store_config(&conf, &img, &c, NULL), 0);
    assert_string_equal(c.user, "u");
    image_config_release(&c);
    store_image_release(&img);
    assert_int_equal(store_find(&conf, "y:1", &img, NULL), 0);
    assert_int_equal(store_config(&conf, &img, &c, &e), -EUCLEAN);
    store_image_release(&img);
}

static void test_idmap(void **state)
{
    struct userns_map m = {0};
    (void)state;
    assert_int_equal(store_idmap(&conf, &m, NULL), -ENOENT);
    put("idmap.json",
        "{\"uid\":[{\"inside\":0,\"outside\":1000,\"count\":1}],\"gid\":[],\"single\":true}");
    assert_int_equal(store_idmap(&conf, &m, NULL), 0);
    assert_int_equal(m.uid.n, 1);
    assert_int_equal(m.uid.v[0].outside, 1000);
    assert_true(m.single);
    jfield_release(store_idmap_fields, &m);
}

static void test_empty(void **state)
{
    struct conf none = {.root = (char *)"/nonexistent/rootlet"};
    struct store_image *v = NULL, img = {0};
    size_t n = 9;
    (void)state;
    assert_int_equal(store_list(&none, &v, &n, NULL), 0);
    assert_int_equal(n, 0);
    store_list_free(v, n);
    assert_int_equal(store_find(&none, "x", &img, NULL), -ENOENT);
    assert_int_equal(store_find(&none, "abc", &img, NULL), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),   cmocka_unit_test(test_find_manifest),
        cmocka_unit_test(test_list),   cmocka_unit_test(test_layers),
        cmocka_unit_test(test_config), cmocka_unit_test(test_idmap),
        cmocka_unit_test(test_empty),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
