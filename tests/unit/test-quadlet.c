/* Unit files: words and their quotes, the parser, names, drop-ins. The services themselves are
 * tests/cli/quadlet. */
#include "quadlet/load.h"
#include "quadlet/words.h"
#include "unit.h"

static const struct {
    enum words_how how;
    const char *text, *want; /* words with | between, NULL: refused */
} split_cases[] = {
    {WORDS_EXEC, "", ""},
    {WORDS_EXEC, "  a  b\tc ", "a|b|c"},
    {WORDS_EXEC, "\"a b\" 'c d' e\"f g\"h", "a b|c d|ef gh"},
    {WORDS_EXEC, "\"\" ''", "|"},
    {WORDS_EXEC, "\"it's\" 'say \"x\"'", "it's|say \"x\""},
    {WORDS_EXEC, "a\\nb \\x41 \\101 \\u00e9 \\U0001f600 \\s\\\\ \\\"", "a\nb|A|A|é|😀| \\|\""},
    {WORDS_EXEC, "'\\x41'", "A"},
    {WORDS_EXEC, "open \"quote here", "open|quote here"},
    {WORDS_EXEC, "it's", "its"},
    {WORDS_EXEC, "end\\", "end"},
    {WORDS_EXEC, "\\q", NULL},
    {WORDS_EXEC, "\\x0", NULL},
    {WORDS_EXEC, "\\x00", NULL},
    {WORDS_EXEC, "\\400", NULL},
    {WORDS_EXEC, "\\ud800", NULL},
    {WORDS_EXEC, "\\U00110000", NULL},
    {WORDS_PLAIN, "a\\b 'c d' \\n", "a\\b|c d|\\n"},
};

static void test_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(split_cases); i++) {
        struct err e = ERR_INIT;
        scoped_strv char **words = NULL;
        int r = words_split(split_cases[i].text, split_cases[i].how, &words, &e);
        assert_int_equal(r, split_cases[i].want ? 0 : -EINVAL);
        scoped_free char *joined = strv_join(words, "|");
        assert_string_equal(joined ? joined : "", split_cases[i].want ? split_cases[i].want : "");
    }
}

static void test_quote(void **state)
{
    static const char *const words[] = {
        "plain",    "",     ";",        "a b",        "a\tb\nc", "\"",   "'",   "\\", "\\n", "é",
        "\xff\xfe", "\x7f", "%i $HOME", "ends in \\", "\x01",    "\xc3", "a;b", "#x", "[x]",
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(words); i++) {
        struct err e = ERR_INIT;
        scoped_str struct str out = STR_INIT;
        scoped_strv char **back = NULL;
        words_quote(&out, words[i]);
        assert_null(strchr(out.s, '\n'));
        assert_int_equal(words_split(out.s, WORDS_EXEC, &back, &e), 0);
        assert_int_equal(strv_len(back), 1);
        assert_string_equal(back[0], words[i]);
    }
    scoped_free char *exec = words_literal("50% $x", true), *path = words_literal("50% $x", false);
    assert_string_equal(exec, "50%% $$x");
    assert_string_equal(path, "50%% $x");
}

static const struct {
    const char *text, *want; /* what is printed again, or the message with '!' in front */
} parse_cases[] = {
    {"", ""},
    {"# only\n; comments\n\n", ""},
    {"[A]\nk = v \n[B]\nx=\n[A]\nk=w", "[A]\nk=v\nk=w\n[B]\nx=\n"},
    {"[A]\r\nk=v\r\n", "[A]\nk=v\n"},
    {"[A]\nk=a \\\n  # not here\n  ; nor here\n  b\\\nc\n", "[A]\nk=a  b c\n"},
    {"[A]\nk=a\\\\\nl=b\n", "[A]\nk=a\\\\\nl=b\n"},
    {"[A]\nk=a\\\n\nl=b\n", "[A]\nk=a\nl=b\n"},
    {"[A]\nk=a\\", "[A]\nk=a\n"},
    {"[A]\nk=a\\\n[B]\nl=1\n", "[A]\nk=a [B]\nl=1\n"},
    {"[A]\nk=[x]=y\n", "[A]\nk=[x]=y\n"},
    {"k=v\n", "!f:1: \"k=v\" stands in no section"},
    {"[A]\nnothing\n", "!f:2: no \"=\" in \"nothing\""},
    {"[A]\n=v\n", "!f:2: no key"},
    {"[A\n", "!f:1: \"[A\" is no section"},
    {"[]\n", "!f:1: \"[]\" is no section"},
    {"[A]b]\n", "!f:1: \"[A]b]\" is no section"},
    {"[A]\nk=\x01\n", "!f:2: a control character (0x01)"},
    {"[A]\nk=a\rb=c\n", "!f:2: a control character (0x0d)"},
    {"[A]\nk=\xff\n", "!f:2: a byte that is no UTF-8 (0xff)"},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(parse_cases); i++) {
        struct unit u SCOPED(unit_release) = {0};
        struct err e = ERR_INIT;
        scoped_str struct str out = STR_INIT;
        const char *want = parse_cases[i].want;
        int r = unit_parse(&u, "f", parse_cases[i].text, strlen(parse_cases[i].text), &e);
        for (size_t s = 0; r == 0 && s < u.n; s++)
            unit_print(&u.sections[s], &out);
        assert_int_equal(r, *want == '!' ? -EINVAL : 0);
        if (r < 0)
            assert_has(e.msg, want + 1);
        else
            assert_string_equal(out.s, want);
    }
}

static void test_lists_are_reset(void **state)
{
    static const char text[] = "[A]\nk=1\nk=\nk=2\nk=3\n";
    struct unit u SCOPED(unit_release) = {0};
    struct err e = ERR_INIT;
    (void)state;
    assert_int_equal(unit_parse(&u, "f", text, strlen(text), &e), 0);
    assert_int_equal(unit_parse(&u, "drop-in", "[A]\nk=4\n", 8, &e), 0);
    const struct unit_section *s = unit_section(&u, "A");
    scoped_free const struct unit_line **all = unit_all(s, "k");
    assert_string_equal(all[0]->value, "2");
    assert_string_equal(all[2]->value, "4");
    assert_string_equal(all[2]->file, "drop-in");
    assert_null(all[3]);
    assert_string_equal(unit_value(s, "k"), "4");
    assert_null(unit_value(NULL, "k"));
}

static const struct {
    const char *name, *text, *service, *resource;
} name_cases[] = {
    {"a.container", "", "a.service", "systemd-%N"},
    {"a@.container", "", "a@.service", "systemd-%p_%i"},
    {"a@b.container", "", "a@b.service", "systemd-%p_%i"},
    {"a.volume", "", "a-volume.service", "systemd-a"},
    {"a@.volume", "", "a-volume@.service", "systemd-a-%i"},
    {"a@b.volume", "", "a-volume@b.service", "systemd-a-b"},
    {"a.b.network", "", "a.b-network.service", "systemd-a.b"},
    {"a.pod", "[Pod]\nPodName=p\nServiceName=s\n", "s.service", "p"},
    {"a@.container", "[Container]\nServiceName=s\n", "s@.service", "systemd-%p_%i"},
    {"a.image", "[Image]\nImage=i\n", "a-image.service", "i"},
    {"a.image", "[Image]\nImage=i\nImageTag=t\n", "a-image.service", "t"},
    {"a.build", "[Build]\nImageTag=t\nImageTag=u\n", "a-build.service", "t"},
};

static void test_names(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(name_cases); i++) {
        struct quadlet_set s SCOPED(quadlet_set_release) = {.program = "/rootlet"};
        struct quadlet_file *f =
            quadlet_add(&s, name_cases[i].name, name_cases[i].text, strlen(name_cases[i].text));
        scoped_free char *service = quadlet_service_name(f), *resource = quadlet_resource_name(f);
        assert_string_equal(service, name_cases[i].service);
        assert_string_equal(resource, name_cases[i].resource);
    }
}

static void test_drop_in_dirs(void **state)
{
    static const struct {
        const char *name, *want;
    } cases[] = {
        {"a.container", "a.container.d container.d"},
        {"a-b-c.pod", "a-b-c.pod.d a-b-.pod.d a-.pod.d pod.d"},
        {"a-b@.container", "a-b@.container.d a-@.container.d a-.container.d container.d"},
        {"a@i.volume", "a@i.volume.d a@.volume.d volume.d"},
    };
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_strv char **dirs = quadlet_drop_in_dirs(cases[i].name);
        scoped_free char *joined = strv_join(dirs, " ");
        assert_string_equal(joined, cases[i].want);
    }
}

/* Directories have any name, lines of a unit have not. */
static void test_paths_stay_in_their_line(void **state)
{
    static const char text[] = "[Container]\nImage=a\nVolume=./x:/x\n";
    static const char *const bad[] = {"/d\nExecStart=/bad/a.container", "/d\x01/a.container",
                                      "/\xff/a.container"};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
        struct quadlet_set s SCOPED(quadlet_set_release) = {.program = "/rootlet"};
        struct quadlet_file *f = quadlet_add(&s, bad[i], text, strlen(text));
        scoped_str struct str out = STR_INIT;
        assert_int_equal(quadlet_translate(&s, f, &out), -EINVAL);
        quadlet_failing_unit(&s, f, &out);
        assert_null(strstr(out.s, "\nSourcePath="));
        assert_null(strstr(out.s, "\nExecStart=/bad"));
    }
    struct quadlet_set s SCOPED(quadlet_set_release) = {.program = "/50%/$x/rootlet"};
    struct quadlet_file *f = quadlet_add(&s, "/a b/50%/$y/a.container", text, strlen(text));
    scoped_str struct str out = STR_INIT;
    assert_int_equal(quadlet_translate(&s, f, &out), 0);
    assert_has(out.s, "\nSourcePath=/a b/50%%/$y/a.container\n");
    assert_has(out.s, "\nRequiresMountsFor=\"/a b/50%%/$y/x\"\n");
    assert_has(out.s, "\nExecStart=/50%%/$$x/rootlet run ");
    assert_has(out.s, " \"--volume=/a b/50%%/$$y/x:/x\" ");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split),
        cmocka_unit_test(test_quote),
        cmocka_unit_test(test_parse),
        cmocka_unit_test(test_lists_are_reset),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_drop_in_dirs),
        cmocka_unit_test(test_paths_stay_in_their_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
