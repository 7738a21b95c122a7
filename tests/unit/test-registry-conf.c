#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "registry/conf-priv.h"
#include "registry/toml.h"

#define HEX64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

/* A TOML text and what it is as JSON; json NULL: refused with the message. */
static const struct {
    const char *toml, *json, *message;
} tomls[] = {
    {"", "{}", NULL},
    {"# only\r\n\t\n", "{}", NULL},
    {"a = 1\nb = true # c\n\"c d\" = 'e\\f'\n", "{\"a\":1,\"b\":true,\"c d\":\"e\\\\f\"}", NULL},
    {"a.b.\"c.d\" = -5", "{\"a\":{\"b\":{\"c.d\":-5}}}", NULL},
    {"l = [ 'a', # x\n\n \"b\",\n]\n", "{\"l\":[\"a\",\"b\"]}", NULL},
    {"i = { a = 1, b.c = 'x' }\n", "{\"i\":{\"a\":1,\"b\":{\"c\":\"x\"}}}", NULL},
    {"e = {}\nf = []", "{\"e\":{},\"f\":[]}", NULL},
    {"s = \"a\\tb\\u00e4\\U0001F600\\\"\"", "{\"s\":\"a\\tb\xc3\xa4\xf0\x9f\x98\x80\\\"\"}", NULL},
    {"s = \"\"\"\na\n b\"\" \\\n   c\"\"\"\"", "{\"s\":\"a\\n b\\\"\\\" c\\\"\"}", NULL},
    {"s = '''a'b\nc'''\nt=1", "{\"s\":\"a'b\\nc\",\"t\":1}", NULL},
    {"[a.b]\nc=1\n[a]\nd=2\n[[x]]\ny=1\n[[x.z]]\n[[x.z]]\nq=2\n[[x]]\n",
     "{\"a\":{\"b\":{\"c\":1},\"d\":2},\"x\":[{\"y\":1,\"z\":[{},{\"q\":2}]},{}]}", NULL},
    {"a = 1\na = 2", NULL, "f:2: \"a\" is given twice"},
    {"[a]\n[a]", NULL, "f:2: \"a\" is given twice"},
    {"a.b = 1\n[a]", NULL, "f:2: \"a\" is given twice"},
    {"a = [1]\n[[a]]", NULL, "f:2: \"a\" is given twice, and not as [[a]]"},
    {"a = {b=1}\n[a.c]", NULL, "f:2: \"a\" is a value already, not a table"},
    {"[a]\n[b]\na = 1\n[b.a]", NULL, "f:4: \"a\" is given twice"},
    {"\n\na = 1.5", NULL,
     "f:3: \"1.5\" is neither a text in quotes, nor true, false or an integer"},
    {"a = 1979-05-27", NULL, "f:1: \"1979-05-27\" is neither"},
    {"a = b", NULL, "f:1: \"b\" is neither"},
    {"a = 'x", NULL, "f:1: the string is not closed"},
    {"a = 'x\n'", NULL, "f:1: the string is not closed on its line"},
    {"a = 'x' y", NULL, "f:1: unexpected text behind the value"},
    {"a = \"\\x\"", NULL, "f:1: unknown escape in a string"},
    {"a = \"\\ud800\"", NULL, "f:1: the escape names no character"},
    {"a = \"\\u0000\"", NULL, "f:1: the escape names no character"},
    {"a = '\x01'", NULL, "f:1: a control character in a string"},
    {"a = '\xff'", NULL, "f:1: the text is not UTF-8"},
    {"a = [1 2]", NULL, "f:1: want \",\" or \"]\" in the array"},
    {"a = [\n\n", NULL, "f:3: want a value"},
    {"a = {b = 1", NULL, "f:1: want \",\" or \"}\" in the inline table"},
    {"a", NULL, "f:1: want \"=\" behind the key \"a\""},
    {"= 1", NULL, "f:1: want a key"},
    {"[a", NULL, "f:1: want \"]\" behind the name of the table"},
    {"[[a]", NULL, "f:1: want \"]]\" behind the name of the table"},
    {"a=[[[[[[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]]]]]]]", NULL, "f:1: values are nested too deeply"},
};

static void test_toml(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(tomls); i++) {
        struct err e = ERR_INIT;
        scoped_json json_t *doc = toml_parse(tomls[i].toml, strlen(tomls[i].toml), "f", &e);
        scoped_free char *text = doc ? json_text(doc, false) : NULL;
        if (tomls[i].json && !doc)
            fail_msg("case %zu: %s", i, e.msg);
        else if (tomls[i].json)
            assert_string_equal(text, tomls[i].json);
        else if (doc || !strstr(e.msg, tomls[i].message))
            fail_msg("case %zu: %s, not %s", i, doc ? text : e.msg, tomls[i].message);
    }
}

static const char conf_text[] =
    "unqualified-search-registries = ['docker.io', 'quay.io']\n"
    "[aliases]\n"
    "'tool' = 'quay.io/me/tool'\n'me/x' = 'reg.example:5000/x'\n"
    "[[registry]]\nlocation = 'bad.example'\nblocked = true\n"
    "[[registry]]\nlocation = 'SHOUTED.example'\nblocked = true\n"
    "[[registry]]\nprefix = 'bad.example/good'\nlocation = 'ok.example/g'\n"
    "[[registry]]\nprefix = '*.corp.example'\ninsecure = true\n"
    "[[registry]]\nprefix = '*.corp.example/no'\nblocked = true\n"
    "[[registry]]\nlocation = 'docker.io'\n"
    "[[registry.mirror]]\nlocation = 'mirror.example:5000/hub'\n"
    "insecure = true\n"
    "[[registry.mirror]]\nlocation = 'digests.example'\n"
    "pull-from-mirror = 'digest-only'\n"
    "[[registry.mirror]]\nlocation = 'tags.example'\n"
    "pull-from-mirror = 'tag-only'\n";

static struct registry_conf *load(const char *text)
{
    struct err e = ERR_INIT;
    struct registry_conf *c = xcalloc(1, sizeof(*c));
    if (registry_conf_read_text(c, text, strlen(text), "f", &e) < 0)
        fail_msg("%s", e.msg);
    return c;
}

static void test_short_names(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"busybox", "docker.io/library/busybox:latest,quay.io/busybox:latest"},
        {"a/b:1", "docker.io/a/b:1,quay.io/a/b:1"},
        {"tool", "quay.io/me/tool:latest"},
        {"tool:7", "quay.io/me/tool:7"},
        {"me/x@sha256:" HEX64, "reg.example:5000/x@sha256:" HEX64},
        {"localhost/x", "localhost/x:latest"},
        {"quay.io/tool", "quay.io/tool:latest"},
    };
    scoped_registry_conf struct registry_conf *c = load(conf_text);
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        scoped_strv char **list = NULL;
        assert_int_equal(registry_conf_candidates(c, cases[i].text, &list, &e), 0);
        scoped_free char *all = strv_join(list, ",");
        assert_string_equal(all, cases[i].want);
    }
    struct err e = ERR_INIT;
    struct image_ref ref = {0};
    assert_int_equal(registry_conf_resolve(c, "busybox", &ref, &e), -ENOTUNIQ);
    assert_non_null(strstr(e.msg, "docker.io/library/busybox:latest, quay.io/busybox:latest"));
    scoped_registry_conf struct registry_conf *empty = load("");
    assert_int_equal(registry_conf_resolve(empty, "busybox", &ref, &e), 0);
    assert_string_equal(ref.name, "docker.io/library/busybox");
    image_ref_release(&ref);
    scoped_registry_conf struct registry_conf *none = load("unqualified-search-registries = []");
    assert_int_equal(registry_conf_resolve(none, "busybox", &ref, &e), -ENOENT);
    assert_int_equal(registry_conf_resolve(none, "quay.io/x", &ref, &e), 0);
    image_ref_release(&ref);
}

static void test_places(void **state)
{
    static const struct {
        const char *name, *pull, *push; /* NULL: blocked; '!' insecure */
    } cases[] = {
        {"quay.io/a/b", "quay.io a/b", "quay.io a/b"},
        {"bad.example/x", NULL, NULL},
        {"bad.example/goods", NULL, NULL},
        {"Bad.Example/x", NULL, NULL}, /* the same host */
        {"shouted.example/x", NULL, NULL},
        {"bad.example/good", "ok.example g", "ok.example g"},
        {"bad.example/good/x/y:1", "ok.example g/x/y", "ok.example g/x/y"},
        {"bad.example:5000/x", NULL, NULL},
        {"xbad.example/x", "xbad.example x", "xbad.example x"},
        {"bad.example.org/x", "bad.example.org x", "bad.example.org x"},
        {"corp.example/x", "corp.example x", "corp.example x"},
        {"a.corp.example/x", "!a.corp.example x", "!a.corp.example x"},
        {"a.b.corp.example:9/x", "!a.b.corp.example:9 x", "!a.b.corp.example:9 x"},
        {"a.corp.example.corp.example/no", NULL, NULL},
        {"a.corp.example/no/way", NULL, NULL},
        {"a.corp.example/now", "!a.corp.example now", "!a.corp.example now"},
        {"evil.example/a.corp.example/x", "evil.example a.corp.example/x",
         "evil.example a.corp.example/x"},
        {"busybox",
         "!mirror.example:5000 hub/library/busybox,tags.example library/busybox,"
         "docker.io library/busybox",
         "docker.io library/busybox"},
        {"busybox@sha256:" HEX64,
         "!mirror.example:5000 hub/library/busybox,digests.example library/busybox,"
         "docker.io library/busybox",
         "docker.io library/busybox"},
    };
    scoped_registry_conf struct registry_conf *c = load(conf_text);
    (void)state;
    for (size_t i = 0; i < 2 * N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        SCOPED(image_ref_release) struct image_ref ref = {0};
        SCOPED(registry_place_release) struct registry_place p = {0};
        bool push = i % 2;
        const char *want = push ? cases[i / 2].push : cases[i / 2].pull;
        assert_int_equal(image_ref_parse(cases[i / 2].name, &ref, &e), 0);
        int r = registry_conf_place(c, &ref, push ? REGISTRY_PUSH : REGISTRY_PULL, &p, &e);
        assert_int_equal(r, want ? 0 : -EPERM);
        scoped_str struct str out = STR_INIT;
        for (size_t n = 0; n < p.n; n++) {
            assert_int_equal(p.v[n].mirror, n + 1 < p.n);
            str_addf(&out, "%s%s%s %s", n ? "," : "", p.v[n].insecure ? "!" : "", p.v[n].host,
                     p.v[n].path);
        }
        if (want)
            assert_string_equal(out.s, want);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *text, *message;
    } cases[] = {
        {"[registries.search]\nregistries = ['a']", "f is in the format of version 1"},
        {"[[registry]]\nlocation = 'https://x.example'",
         "registry.location: want a host and a path"},
        {"[[registry]]\nblocked = true", "registry.location: want a value"},
        {"[[registry]]\nlocation = 'a'\nblocked = 'yes'", "registry.blocked: want true or false"},
        {"[[registry]]\nprefix = 'a.*.b'", "registry.prefix: want a wildcard as in"},
        {"[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\n", "registry.mirror.location: want"},
        {"[[registry]]\nlocation = 'a.b'\n[[registry.mirror]]\nlocation='c.d'\n"
         "pull-from-mirror = 'x'",
         "pull-from-mirror: want all, digest-only or tag-only"},
        {"[registry]\nlocation = 'a.b'", "registries are written as [[registry]]"},
        {"[aliases]\na = 'b'", "aliases.a: want a full name without a tag"},
        {"[aliases]\n'a.b/c' = 'x.y/z'", "want a short name"},
        {"unqualified-search-registries = 'a'", "want an array of texts"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        scoped_registry_conf struct registry_conf *c = xcalloc(1, sizeof(*c));
        int r = registry_conf_read_text(c, cases[i].text, strlen(cases[i].text), "f", &e);
        if (r != -EINVAL || !strstr(e.msg, cases[i].message))
            fail_msg("case %zu: %d %s", i, r, e.msg);
    }
    /* A place whose name would be taken for one of docker.io is refused when it is needed. */
    struct err e = ERR_INIT;
    SCOPED(image_ref_release) struct image_ref ref = {0};
    struct registry_place p = {0};
    scoped_registry_conf struct registry_conf *c =
        load("[[registry]]\nprefix = 'a.b'\nlocation = 'cache'");
    assert_int_equal(image_ref_parse("a.b/c", &ref, &e), 0);
    assert_int_equal(registry_conf_place(c, &ref, REGISTRY_PULL, &p, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "is not the name of a host"));
}

/* What this system's packages have put there, whatever it is. */
static void test_system_files(void **state)
{
    static const char *const files[] = {"/etc/containers/registries.conf",
                                        "/etc/containers/registries.conf.d/shortnames.conf",
                                        "/etc/containers/registries.conf.d/000-shortnames.conf"};
    scoped_registry_conf struct registry_conf *c = xcalloc(1, sizeof(*c));
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        struct err e = ERR_INIT;
        if (access(files[i], R_OK) == 0 && registry_conf_read(c, files[i], &e) < 0)
            fail_msg("%s", e.msg);
        if (i > 0 && access(files[i], R_OK) == 0)
            assert_non_null(strv_env_get(c->aliases, "debian"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_toml),         cmocka_unit_test(test_short_names),
        cmocka_unit_test(test_places),       cmocka_unit_test(test_refused),
        cmocka_unit_test(test_system_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
