#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fs.h"
#include "base/str.h"
#include "registry/creds-priv.h"

static char home[64];

static char *at(const char *name)
{
    return xasprintf("%s/%s", home, name);
}

static void put(const char *name, const char *text, mode_t mode)
{
    scoped_free char *path = at(name);
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_int_equal(fs_mkdirs(path, 0700, NULL), 0);
    *slash = '/';
    assert_int_equal(fs_write_atomic(AT_FDCWD, path, text, strlen(text), mode, FS_NO_SYNC, NULL),
                     0);
}

static char *get(const char *name)
{
    scoped_free char *path = at(name);
    char *text = NULL;
    return fs_read(AT_FDCWD, path, 1 << 20, &text, NULL) < 0 ? NULL : text;
}

static int setup(void **state)
{
    (void)state;
    strcpy(home, "/tmp/test-creds-XXXXXX"); /* NOLINT */
    assert_non_null(mkdtemp(home));
    scoped_free char *run = at("run"), *bin = at("bin"), *path = NULL;
    mkdir(run, 0700);
    path = xasprintf("%s:/usr/bin:/bin", bin);
    setenv("HOME", home, 1);
    setenv("XDG_RUNTIME_DIR", run, 1);
    setenv("PATH", path, 1);
    unsetenv("XDG_CONFIG_HOME");
    unsetenv("DOCKER_CONFIG");
    unsetenv("REGISTRY_AUTH_FILE");
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return fs_remove_tree(AT_FDCWD, home, NULL);
}

/* "USER:PASSWORD", "token TOKEN" or "none"; owned. */
static char *found(const struct creds_source *s, const char *host, const char *repository)
{
    SCOPED(registry_creds_release) struct registry_creds c = {0};
    struct err e = ERR_INIT;
    int r = creds_find(s, host, repository, &c, &e);
    if (r < 0)
        return xasprintf("error %s", e.msg);
    if (r == 0)
        return xstrdup("none");
    return c.identity_token ? xasprintf("token %s", c.identity_token)
                            : xasprintf("%s:%s", c.username, c.password);
}

static void check(const char *host, const char *repository, const char *want)
{
    scoped_free char *got = found(NULL, host, repository);
    assert_string_equal(got, want);
}

#define AUTH_AB "YTpi"          /* a:b */
#define AUTH_C "Yzpk"           /* c:d */
#define AUTH_ODD "dTpwOnchIA==" /* u:p:w!  and a blank */

static void test_base64(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "f", "fo", "foo", "foob", "fooba", "foobar"};
    static const char *const coded[] = {"",         "Zg==",     "Zm8=",    "Zm9v",
                                        "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"};
    for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
        size_t n = 0;
        scoped_free char *c = base64_encode(texts[i], strlen(texts[i]));
        scoped_free char *t = base64_decode(c, &n);
        assert_string_equal(c, coded[i]);
        assert_string_equal(t, texts[i]);
        assert_int_equal(n, strlen(texts[i]));
    }
    static const char *const bad[] = {"Z", "Zm9vY", "Zm 9v", "Zm9v!", "=", "Zg===", "\xff\xff"};
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        size_t n = 0;
        scoped_free char *t = base64_decode(bad[i], &n);
        if (t && n)
            fail_msg("%s", bad[i]);
    }
}

static void test_order(void **state)
{
    (void)state;
    check("quay.io", "x", "none");
    put(".dockercfg", "{\"quay.io\":{\"auth\":\"" AUTH_AB "\",\"email\":\"x\"}}", 0600);
    check("quay.io", "x", "a:b");
    put(".docker/config.json", "{\"auths\":{\"quay.io\":{\"auth\":\"" AUTH_C "\"}}}", 0600);
    check("quay.io", "x", "c:d");
    put(".config/containers/auth.json", "{\"auths\":{\"quay.io\":{\"auth\":\"" AUTH_AB "\"}}}",
        0600);
    check("quay.io", "x", "a:b");
    put("run/containers/auth.json", "{\"auths\":{\"quay.io\":{\"auth\":\"" AUTH_ODD "\"}}}", 0600);
    check("quay.io", "x", "u:p:w! ");
    check("other.example", "x", "none");
    put("named.json", "{\"auths\":{}}", 0600);
    scoped_free char *named = at("named.json"), *docker = at("docker");
    setenv("REGISTRY_AUTH_FILE", named, 1);
    check("quay.io", "x", "none");
    unsetenv("REGISTRY_AUTH_FILE");
    struct creds_source s = {.authfile = named};
    scoped_free char *one = found(&s, "quay.io", "x");
    assert_string_equal(one, "none");
    s.creds = "me:pass:word";
    scoped_free char *two = found(&s, "quay.io", "x");
    assert_string_equal(two, "me:pass:word");
    struct creds_source missing = {.authfile = "/nonexistent/auth.json"};
    scoped_free char *three = found(&missing, "quay.io", "x");
    assert_non_null(strstr(three, "error --authfile /nonexistent/auth.json: No such file"));
    put("docker/config.json", "{\"auths\":{\"reg.example\":{\"auth\":\"" AUTH_C "\"}}}", 0600);
    setenv("DOCKER_CONFIG", docker, 1);
    check("reg.example", NULL, "c:d");
}

static void test_keys(void **state)
{
    (void)state;
    put("run/containers/auth.json",
        "{\"auths\":{\"reg.example\":{\"auth\":\"" AUTH_AB "\"},"
        "\"reg.example/team\":{\"auth\":\"" AUTH_C "\"},"
        "\"reg.example/team/app\":{\"identitytoken\":\"tok\",\"auth\":\"PHRva2VuPjo=\"},"
        "\"https://old.example/v1/\":{\"auth\":\"" AUTH_AB "\"},"
        "\"https://index.docker.io/v1/\":{\"auth\":\"" AUTH_C "\"},"
        "\"plain.example\":{\"username\":\"k\",\"password\":\"8s\"},"
        "\"Shouted.example\":{\"auth\":\"" AUTH_C "\"},"
        "\"empty.example\":{}, \"bad.example\":{\"auth\":\"!\"}}}",
        0600);
    check("reg.example", NULL, "a:b");
    check("reg.example", "x", "a:b");
    check("reg.example", "teams", "a:b");
    check("reg.example", "team", "c:d");
    check("reg.example", "team/x/y", "c:d");
    check("reg.example", "team/app", "token tok");
    check("reg.example:5000", "team", "none");
    check("old.example", "x", "a:b");
    check("docker.io", "library/busybox", "c:d");
    check("plain.example", "x", "k:8s");
    check("shouted.example", "x", "c:d");
    check("empty.example", "x", "none");
    scoped_free char *bad = found(NULL, "bad.example", "x");
    assert_non_null(strstr(bad, "auths.bad.example: auth is not USER:PASSWORD in base64"));
    put("run/containers/auth.json", "{\"auths\":", 0600);
    scoped_free char *broken = found(NULL, "reg.example", "x");
    assert_non_null(strstr(broken, "run/containers/auth.json"));
}

static const char helper[] =
    "#!/bin/sh\n"
    "d=${0%/bin/*}/kept; mkdir -p \"$d\"\n"
    "case $1 in\n"
    "get) read -r url; f=$d/$(echo \"$url\" | tr / _)\n"
    "  [ -e \"$f\" ] || { echo 'credentials not found in native keychain'; "
    "exit 1; }; cat \"$f\" ;;\n"
    "store) read -r j; echo \"$j\" > \"$d/$(echo \"$j\" | sed "
    "'s/.*ServerURL\":\"\\([^\"]*\\).*/\\1/' | tr / _)\" ;;\n"
    "erase) read -r url; rm -f \"$d/$(echo \"$url\" | tr / _)\" ;;\n"
    "esac\n";

static void test_helpers(void **state)
{
    struct err e = ERR_INIT;
    struct registry_creds me = {.username = (char *)(uintptr_t) "me",
                                .password = (char *)(uintptr_t) "p\"w"};
    (void)state;
    put("bin/docker-credential-kept", helper, 0755);
    put("bin/docker-credential-slow", "#!/bin/sh\nsleep 60\n", 0755);
    put("bin/docker-credential-broken", "#!/bin/sh\necho the keychain is locked; exit 1\n", 0755);
    put("bin/docker-credential-odd", "#!/bin/sh\necho '{\"Username\": 5}'\n", 0755);
    put("bin/docker-credential-token",
        "#!/bin/sh\necho '{\"Username\":\"<token>\",\"Secret\":\"idt\"}'\n", 0755);
    put("run/containers/auth.json",
        "{\"credHelpers\":{\"reg.example\":\"kept\",\"slow.example\":\"slow\",\"br.example\":"
        "\"broken\",\"odd.example\":\"odd\",\"t.example\":\"token\",\"gone.example\":\"gone\","
        "\"evil.example\":\"../../bin/sh\"},\"keep\":[1]}",
        0600);
    check("reg.example", "x", "none");
    if (creds_store(NULL, "reg.example", &me, &e) < 0)
        fail_msg("%s", e.msg);
    check("reg.example", "x", "me:p\"w");
    check("t.example", "x", "token idt");
    scoped_free char *file = get("run/containers/auth.json");
    assert_null(strstr(file, "me"));
    assert_int_equal(creds_erase(NULL, "reg.example", &e), 1);
    assert_int_equal(creds_erase(NULL, "reg.example", &e), 0);
    creds_helper_timeout_ms = 200;
    static const char *const errors[][2] = {
        {"slow.example", "docker-credential-slow"},
        {"br.example", "docker-credential-broken get: the keychain is locked"},
        {"odd.example", "want Username and Secret"},
        {"gone.example", "docker-credential-gone: there is no such program in PATH"},
        {"evil.example", "is not the name of a credential helper"},
    };
    for (size_t i = 0; i < N_ELEMENTS(errors); i++) {
        scoped_free char *got = found(NULL, errors[i][0], "x");
        if (!strstr(got, errors[i][1]) || !str_after(got, "error "))
            fail_msg("%s", got);
    }
    creds_helper_timeout_ms = 0;
    /* The store of all: docker's name for docker.io, and an empty entry that tells of the login. */
    put("docker.json", "{\"credsStore\":\"kept\"}", 0600);
    scoped_free char *all = at("docker.json");
    struct creds_source s = {.authfile = all};
    assert_int_equal(creds_store(all, "docker.io", &me, &e), 0);
    scoped_free char *kept = get("kept/https:__index.docker.io_v1_");
    assert_non_null(kept);
    scoped_free char *got = found(&s, "docker.io", "library/x");
    assert_string_equal(got, "me:p\"w");
    assert_int_equal(creds_erase_all(all, &e), 1);
    scoped_free char *after = get("kept/https:__index.docker.io_v1_");
    assert_null(after);
    put("docker.json", "{\"credsStore\":\"gone\"}", 0600);
    scoped_free char *without = found(&s, "docker.io", "library/x");
    assert_string_equal(without, "none");
}

static void test_store(void **state)
{
    struct err e = ERR_INIT;
    struct stat st;
    struct registry_creds me = {.username = (char *)(uintptr_t) "me",
                                .password = (char *)(uintptr_t) "pw"};
    scoped_free char *path = at("run/containers/auth.json"), *link = at("run/link.json");
    (void)state;
    assert_int_equal(creds_erase(NULL, "reg.example", &e), 0);
    assert_int_equal(creds_store(NULL, "reg.example", &me, &e), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    check("reg.example", "x", "me:pw");
    put("run/containers/auth.json",
        "{\"HttpHeaders\":{\"a\":\"b\"},\"auths\":{\"o.example\":{\"auth\":\"" AUTH_AB
        "\",\"more\":1}}}",
        0644);
    assert_int_equal(symlink(path, link), 0);
    assert_int_equal(creds_store(link, "reg.example/team", &me, &e), 0);
    assert_int_equal(lstat(link, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    scoped_free char *text = get("run/containers/auth.json");
    assert_non_null(strstr(text, "\"more\": 1"));
    assert_non_null(strstr(text, "HttpHeaders"));
    check("o.example", "x", "a:b");
    check("reg.example", "team/x", "me:pw");
    check("reg.example", "x", "none");
    assert_int_equal(creds_erase(NULL, "reg.example", &e), 0);
    assert_int_equal(creds_erase(NULL, "reg.example/team", &e), 1);
    check("reg.example", "team/x", "none");
    assert_int_equal(creds_store(NULL, "docker.io", &me, &e), 0);
    scoped_free char *podmans = get("run/containers/auth.json");
    assert_non_null(strstr(podmans, "\"docker.io\""));
    scoped_free char *docker = at("d/config.json");
    assert_int_equal(creds_store(docker, "docker.io", &me, &e), 0);
    scoped_free char *dockers = get("d/config.json");
    assert_non_null(strstr(dockers, "\"https://index.docker.io/v1/\""));
    assert_int_equal(creds_erase(docker, "docker.io", &e), 1);
    assert_int_equal(creds_erase_all(NULL, &e), 1);
    assert_int_equal(creds_erase_all(NULL, &e), 0);
    check("o.example", "x", "none");
    scoped_free char *rest = get("run/containers/auth.json");
    assert_non_null(strstr(rest, "HttpHeaders"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_base64),
        cmocka_unit_test_setup_teardown(test_order, setup, teardown),
        cmocka_unit_test_setup_teardown(test_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_helpers, setup, teardown),
        cmocka_unit_test_setup_teardown(test_store, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
