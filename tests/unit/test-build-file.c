/* Containerfiles: lines, instructions, words, expansion. What stages make of them is
 * tests/build. */
#include "base/strv.h"
#include "build/expand.h"
#include "build/file.h"
#include "build/glob.h"
#include "build/ignore.h"
#include "unit.h"

/* One instruction as text: NAME --flag=value ... |arg|arg; E exec form; S script; <<NAME{body}. */
static void show(const struct ins *in, struct str *s)
{
    str_addf(s, "%s", ins_name(in->kind));
    for (size_t i = 0; i < in->n_flags; i++)
        str_addf(s, " --%s%s%s", in->flags[i].name, in->flags[i].value ? "=" : "",
                 in->flags[i].value ? in->flags[i].value : "");
    str_add(s, in->exec_form ? " E" : in->script ? " S" : "");
    for (char **a = in->args; a && *a; a++)
        str_addf(s, "|%s", *a);
    for (size_t i = 0; i < in->n_heredocs; i++)
        str_addf(s, " <<%s%s%s{%s}", in->heredocs[i].strip ? "-" : "", in->heredocs[i].name,
                 in->heredocs[i].expand ? "" : "'", in->heredocs[i].body);
    if (in->child) {
        str_add(s, " (");
        show(in->child, s);
        str_add(s, ")");
    }
}

static const struct {
    const char *text, *want; /* want: instructions with ";", or "!" and a part of the message */
} cases[] = {
    {"FROM a", "FROM|a"},
    {"from a as Base", "FROM|a|base"},
    {"FROM --platform=linux/arm64 a:b@sha256:x AS b_1.2-3",
     "FROM --platform=linux/arm64|a:b@sha256:x|b_1.2-3"},
    {"\xef\xbb\xbf"
     "FROM a\r\nRUN x\r\n",
     "FROM|a;RUN|x"},
    {"ARG V=1\nFROM a:$V\n", "ARG|V=1;FROM|a:$V"},
    {"# comment\n\n  # more\nFROM a\n", "FROM|a"},
    {"FROM a\nRUN a \\\n  # comment\n\n  b \\ \t\n c\nRUN d", "FROM|a;RUN|a   b  c;RUN|d"},
    {"FROM a\nRUN a \\\\\nRUN b", "FROM|a;RUN|a \\\\;RUN|b"},
    {"FROM a\nRUN a \\", "FROM|a;RUN|a"},
    {"FROM a\n\\\nRUN a", "FROM|a;RUN|a"},
    {"# escape=`\nFROM a\nRUN a `\n b\\\nRUN c", "FROM|a;RUN|a  b\\;RUN|c"},
    {"# x\n# escape=`\nFROM a\nRUN a \\\n b", "FROM|a;RUN|a  b"},
    {"#syntax=docker/dockerfile:1\n# Escape = `\nFROM a\nRUN b `\nc", "FROM|a;RUN|b c"},
    {"# escape=x\nFROM a", "!:1: escape=x: not an escape"},
    {"# escape=`\n# escape=`\nFROM a", "!:2: the directive escape is given twice"},
    {"FROM a\nRUN [\"a\", \"b c\"]", "FROM|a;RUN E|a|b c"},
    {"FROM a\nRUN ['a']", "FROM|a;RUN|['a']"},
    {"FROM a\nRUN [ -f x ] && y", "FROM|a;RUN|[ -f x ] && y"},
    {"FROM a\nRUN [1]", "!:2: RUN: the list may hold strings only"},
    {"FROM a\nCMD []\nENTRYPOINT []", "FROM|a;CMD E;ENTRYPOINT E"},
    {"FROM a\nRUN []", "!:2: RUN needs"},
    {"FROM a\nCMD", "!:2: CMD needs"},
    {"FROM a\nRUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y --network=none make "
     "--jobs",
     "FROM|a;RUN --mount=type=cache,target=/x --mount=type=tmpfs,target=/y --network=none|make "
     "--jobs"},
    {"FROM a\nRUN --mount=\"type=bind,source=a b\" -- --x",
     "FROM|a;RUN --mount=type=bind,source=a b|--x"},
    {"FROM a\nRUN --mouny=x y", "!:2: RUN: unknown flag --mouny"},
    {"FROM a\nRUN --network y", "!:2: RUN: --network needs a value"},
    {"FROM a\nCOPY --from=a --from=b c d", "!:2: COPY: --from is given twice"},
    {"FROM a\nCMD --help", "!:2: CMD: unknown flag --help"},
    {"FROM a\nENV a=b c=\"d e\" f=g\\ h 'i'=j", "FROM|a;ENV|a|b|c|\"d e\"|f|g\\ h|'i'|j"},
    {"FROM a\nENV a  b c  ", "FROM|a;ENV|a|b c"},
    {"FROM a\nENV a", "!:2: ENV a: there is no value"},
    {"FROM a\nENV a=b c d=e", "!:2: ENV c: there is no \"=\""},
    {"FROM a\nENV =b", "!:2: ENV =b: the name is empty"},
    {"FROM a\nLABEL a.b=\"x=y\" c=", "FROM|a;LABEL|a.b|\"x=y\"|c|"},
    {"FROM a\nARG a b=c d=\"e f\"", "FROM|a;ARG|a|b=c|d=\"e f\""},
    {"FROM a\nCOPY a b\tc/ ", "FROM|a;COPY|a|b|c/"},
    {"FROM a\nCOPY [\"a b\", \"c\"]", "FROM|a;COPY E|a b|c"},
    {"FROM a\nCOPY a", "!:2: COPY needs a source and a destination"},
    {"FROM a\nCOPY --link --chown=1:2 --chmod=u+x --from=b c d",
     "FROM|a;COPY --link --chown=1:2 --chmod=u+x --from=b|c|d"},
    {"FROM a\nADD --checksum=sha256:x --exclude=a --exclude=b c d",
     "FROM|a;ADD --checksum=sha256:x --exclude=a --exclude=b|c|d"},
    {"FROM a\nVOLUME /a /b\nVOLUME [\"/c\"]\nEXPOSE 80 81/udp",
     "FROM|a;VOLUME|/a|/b;VOLUME E|/c;EXPOSE|80|81/udp"},
    {"FROM a\nUSER a:b\nWORKDIR /a b\nSTOPSIGNAL 9", "FROM|a;USER|a:b;WORKDIR|/a b;STOPSIGNAL|9"},
    {"FROM a\nSHELL [\"/bin/bash\", \"-c\"]", "FROM|a;SHELL E|/bin/bash|-c"},
    {"FROM a\nSHELL /bin/bash", "!:2: SHELL needs a JSON list"},
    {"FROM a\nHEALTHCHECK NONE", "FROM|a;HEALTHCHECK|NONE"},
    {"FROM a\nHEALTHCHECK --interval=5s --retries=3 CMD a b",
     "FROM|a;HEALTHCHECK --interval=5s --retries=3|a b"},
    {"FROM a\nHEALTHCHECK cmd [\"a\"]", "FROM|a;HEALTHCHECK E|a"},
    {"FROM a\nHEALTHCHECK --interval=5 CMD a", "!:2: --interval=5: not a duration"},
    {"FROM a\nHEALTHCHECK WHAT a", "!:2: HEALTHCHECK WHAT: not known"},
    {"FROM a\nONBUILD copy a b", "FROM|a;ONBUILD|copy a b (COPY|a|b)"},
    {"FROM a\nONBUILD ONBUILD RUN a", "!:2: ONBUILD ONBUILD is not allowed"},
    {"FROM a\nONBUILD FROM b", "!:2: ONBUILD FROM is not allowed"},
    {"FROM a\nMAINTAINER me <a@b>", "FROM|a;MAINTAINER|me <a@b>"},
    {"FROM a\nRUN <<EOF\na\n  b\nEOF\nRUN c", "FROM|a;RUN S|a\n  b\n <<EOF{a\n  b\n};RUN|c"},
    {"FROM a\nRUN <<-EOF cat\n\ta\n\tEOF\n", "FROM|a;RUN|<<-EOF cat\na\nEOF <<-EOF{a\n}"},
    {"FROM a\nRUN cat <<'A' <<B\n$x\nA\ny\nB\nUSER x",
     "FROM|a;RUN|cat <<'A' <<B\n$x\nA\ny\nB <<A'{$x\n} <<B{y\n};USER|x"},
    {"FROM a\nCOPY <<x.txt <<\"y\" b /c/\n1\nx.txt\n2\ny\n",
     "FROM|a;COPY|<<x.txt|<<\"y\"|b|/c/ <<x.txt{1\n} <<y'{2\n}"},
    {"FROM a\nRUN [\"cat\", \"<<EOF\"]\n", "FROM|a;RUN E|cat|<<EOF"},
    {"FROM a\nRUN echo $((1<<2)) \"a <<b\"\n", "FROM|a;RUN|echo $((1<<2)) \"a <<b\""},
    {"FROM a\nRUN cat <<<x\n", "FROM|a;RUN|cat <<<x"},
    {"FROM a\nRUN <<EOF\nb\n", "!:2: the here-document <<EOF has no end"},
    {"FROM a\nONBUILD RUN <<E\nb\nE\n", "FROM|a;ONBUILD|RUN <<E\nb\nE (RUN S|b\n <<E{b\n})"},
    {"FROM a b", "!:1: FROM takes an image"},
    {"FROM a AS 1b", "!:1: FROM: the name of the stage, 1b, is not valid"},
    {"RUN a\nFROM b", "!:1: RUN before the first FROM"},
    {"", "!there is no FROM"},
    {"ARG a", "!there is no FROM"},
    {"FORM a", "!:1: unknown instruction FORM"},
    {"FROM a\n\nCPOY a b", "!:3: unknown instruction CPOY"},
};

static void test_parse(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        scoped_bfile struct bfile *f = NULL;
        scoped_str struct str s = STR_INIT;
        int r = bfile_parse("F", cases[i].text, strlen(cases[i].text), &f, &e);
        if (cases[i].want[0] == '!') {
            assert_int_equal(r, -EINVAL);
            assert_has(e.msg, cases[i].want + 1);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", cases[i].text, e.msg);
        for (size_t n = 0; n < f->n; n++) {
            str_add(&s, n ? ";" : "");
            show(&f->ins[n], &s);
        }
        assert_string_equal(s.s, cases[i].want);
    }
}

static void test_lines_and_hints(void **state)
{
    static const char text[] = "FROM a\n\nrun a \\\n#x\n b\ncopy <<E c\n1\nE\nUSER u\n";
    struct err e = ERR_INIT;
    scoped_bfile struct bfile *f = NULL;
    (void)state;
    assert_int_equal(bfile_parse("F", text, strlen(text), &f, &e), 0);
    assert_int_equal(f->n, 4);
    assert_int_equal(f->ins[1].line, 3);
    assert_int_equal(f->ins[1].last_line, 5);
    assert_string_equal(f->ins[1].text, "RUN a  b");
    assert_int_equal(f->ins[2].last_line, 8);
    assert_string_equal(f->ins[2].text, "COPY <<E c");
    assert_int_equal(f->ins[3].line, 9);
    scoped_bfile struct bfile *g = NULL;
    assert_int_equal(bfile_parse("F", "FROM a\nENTRYPIONT x", 19, &g, &e), -EINVAL);
    assert_string_equal(e.hint, "did you mean ENTRYPOINT?");
    assert_int_equal(bfile_parse("F", "FROM a\0", 7, &g, &e), -EINVAL);
    assert_int_equal(bfile_parse("F", "# syntax=x/y\nFROM a", 19, &g, &e), 0);
    assert_string_equal(g->syntax, "x/y");
    assert_has(g->notes[0], "F:1: syntax=x/y");
}

static void test_trigger(void **state)
{
    struct err e = ERR_INIT;
    (void)state;
    scoped_bfile struct bfile *f = NULL, *g = NULL;
    assert_int_equal(bfile_parse_trigger("T", "RUN <<E\nb\nE", &f, &e), 0);
    assert_string_equal(f->ins[0].args[0], "b\n");
    assert_int_equal(bfile_parse_trigger("T", "FROM x", &g, &e), -EINVAL);
    assert_int_equal(bfile_parse_trigger("T", "ONBUILD RUN x", &g, &e), -EINVAL);
    assert_int_equal(bfile_parse_trigger("T", "RUN x\nRUN y", &g, &e), -EINVAL);
    assert_int_equal(bfile_parse_trigger("T", "", &g, &e), -EINVAL);
}

static const char *get(void *data, const char *name)
{
    return strv_env_get((char *const *)data, name);
}

static const struct {
    const char *word, *want; /* "!": a part of the message */
} words[] = {
    {"", ""},
    {"a b", "a b"},
    {"$x", "one"},
    {"${x}y$x-z", "oneyone-z"},
    {"$none", ""},
    {"$", "$"},
    {"a$/b", "a$/b"},
    {"$1", ""},
    {"\\$x", "$x"},
    {"\\a\\\\", "a\\"},
    {"'$x'", "$x"},
    {"'a\\'", "a\\"},
    {"\"$x \\\"q\\\" \\$x \\n \\\\\"", "one \"q\" $x \\n \\"},
    {"a\"b\"'c'", "abc"},
    {"${none:-d}", "d"},
    {"${empty:-d}", "d"},
    {"${empty-d}", ""},
    {"${none-d}", "d"},
    {"${x:+d}", "d"},
    {"${x+d}", "d"},
    {"${empty:+d}", ""},
    {"${empty+d}", "d"},
    {"${none+d}", ""},
    {"${none:-${x}}", "one"},
    {"${none:-${empty:-\"}\"}}", "}"},
    {"${none:-a\\}b}", "a}b"},
    {"${x:?bad}", "one"},
    {"${none:?it is bad}", "!none: it is bad"},
    {"${none?}", "!none: must be set"},
    {"${empty:?}", "!empty: must not be empty"},
    {"${empty?}", ""},
    {"${path#*/}", "usr/local/lib.so.1"},
    {"${path##*/}", "lib.so.1"},
    {"${path%.*}", "/usr/local/lib.so"},
    {"${path%%.*}", "/usr/local/lib"},
    {"${path%/none}", "/usr/local/lib.so.1"},
    {"${path#/u?r}", "/local/lib.so.1"},
    {"${path/l/L}", "/usr/Local/lib.so.1"},
    {"${path//l/L}", "/usr/LocaL/Lib.so.1"},
    {"${path//\\//-}", "-usr-local-lib.so.1"},
    {"${path/l*l/X}", "/usr/Xib.so.1"},
    {"${path//l/}", "/usr/oca/ib.so.1"},
    {"${path/zz*/X}", "/usr/local/lib.so.1"},
    {"${star#\\*}", "x*"},
    {"${star%\\*}", "*x"},
    {"${uni%?}", "\xc3\xa4"},
    {"${uni#?}", "\xc3\xb6"},
    {"${uni/?/o}", "o\xc3\xb6"},
    {"${none#x}", ""},
    {"${x", "!has no }"},
    {"${x:-", "!has no }"},
    {"${", "!has no }"},
    {"${}", "!bad name"},
    {"${x!y}", "!unsupported modifier"},
    {"${x:/a/b}", "!unsupported modifier"},
    {"'a", "!single quote"},
    {"\"a", "!double quote"},
    {"a\\", "a"},
};

static const char *const environment[] = {
    "x=one",           "empty=", "path=/usr/local/lib.so.1", "star=*x*", "uni=\xc3\xa4\xc3\xb6",
    "ports=80 81  82", NULL};

static void test_expand(void **state)
{
    struct expand x = {get, (void *)(uintptr_t)environment, '\\'};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(words); i++) {
        struct err e = ERR_INIT;
        scoped_free char *got = NULL;
        int r = expand_word(&x, words[i].word, &got, &e);
        if (words[i].want[0] == '!') {
            assert_int_equal(r, -EINVAL);
            assert_has(e.msg, words[i].want + 1);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", words[i].word, e.msg);
        assert_string_equal(got, words[i].want);
    }
    struct err e = ERR_INIT;
    scoped_strv char **v = NULL;
    assert_int_equal(expand_words(&x, "$ports a\"b c\"$none '' x${ports}y", &v, &e), 0);
    scoped_free char *joined = strv_join(v, "|");
    assert_string_equal(joined, "80|81|82|ab c||x80|81|82y");
    scoped_free char *body = NULL;
    assert_int_equal(expand_body(&x, "a $x '$x' \"${x}\" \\$x \\n \\\\ b\\\nc\n", &body, &e), 0);
    assert_string_equal(body, "a one 'one' \"one\" $x \\n \\ bc\n");
    struct expand tick = {get, (void *)(uintptr_t)environment, '`'};
    scoped_free char *windows = NULL;
    assert_int_equal(expand_word(&tick, "c:\\a\\`$x", &windows, &e), 0);
    assert_string_equal(windows, "c:\\a\\$x");
}

static void test_bombs(void **state)
{
    struct err e = ERR_INIT;
    scoped_str struct str big = STR_INIT, deep = STR_INIT;
    (void)state;
    str_add(&big, "b=");
    for (size_t i = 0; i < 600000; i++)
        str_addc(&big, 'x');
    char *env[] = {big.s, NULL}, *got = NULL;
    struct expand x = {get, env, '\\'};
    assert_int_equal(expand_word(&x, "$b$b", &got, &e), -EINVAL);
    assert_has(e.msg, "too long");
    for (size_t i = 0; i < 1000; i++)
        str_add(&deep, "${n:-");
    assert_int_equal(expand_word(&x, deep.s, &got, &e), -EINVAL);
    assert_has(e.msg, "too deep");
}

static const struct {
    const char *text, *want;
} expanded[] = {
    {"ENV a=$x b=\"$x y\" $x=c", "ENV|a|one|b|one y|one|c"},
    {"COPY --chown=$x --from=${x} $x <<'$E' /$path\n$x\n$E\n",
     "COPY --chown=one --from=one|one|<<$E|//usr/local/lib.so.1 <<$E'{$x\n}"},
    {"COPY <<E /a\n$x\nE\n", "COPY|<<E|/a <<E{one\n}"},
    {"RUN --mount=type=bind,from=$x $x", "RUN --mount=type=bind,from=one|$x"},
    {"CMD $x", "CMD|$x"},
    {"CMD [\"$x\"]", "CMD E|$x"},
    {"EXPOSE $ports", "EXPOSE|80|81|82"},
    {"USER \"$x\":y", "USER|one:y"},
    {"WORKDIR $none", "!:2: WORKDIR: \"$none\" is empty"},
    {"LABEL a=${none?}", "!:2: LABEL: none: must be set"},
    {"ONBUILD RUN $x", "ONBUILD|RUN $x (RUN|$x)"},
    {"HEALTHCHECK CMD $x", "HEALTHCHECK|$x"},
    {"ARG a=$x", "ARG|a=one"},
    {"VOLUME [\"/$x\"]", "VOLUME E|/one"},
};

static void test_expand_ins(void **state)
{
    struct expand x = {get, (void *)(uintptr_t)environment, '\\'};
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(expanded); i++) {
        struct err e = ERR_INIT;
        scoped_bfile struct bfile *f = NULL;
        scoped_str struct str s = STR_INIT;
        scoped_free char *text = xasprintf("FROM a\n%s", expanded[i].text);
        assert_int_equal(bfile_parse("F", text, strlen(text), &f, &e), 0);
        scoped_ins struct ins *in = NULL;
        int r = ins_expand("F", &f->ins[1], &x, &in, &e);
        if (expanded[i].want[0] == '!') {
            assert_int_equal(r, -EINVAL);
            assert_has(e.msg, expanded[i].want + 1);
            continue;
        }
        if (r < 0)
            fail_msg("%s: %s", expanded[i].text, e.msg);
        show(in, &s);
        assert_string_equal(s.s, expanded[i].want);
    }
}

static void test_platform(void **state)
{
    static const struct {
        const char *text, *want;
    } platforms[] = {
        {"linux/amd64", "linux/amd64"},
        {"linux/x86_64", "linux/amd64"},
        {"linux/arm64/v8", "linux/arm64"},
        {"arm64", "linux/arm64"},
        {"linux/arm", "linux/arm/v7"},
        {"linux/arm/v6", "linux/arm/v6"},
        {"windows/amd64", "windows/amd64"},
        {"linux/", NULL},
        {"", NULL},
        {"a/b/c/d", NULL},
        {"linux/AMD64", NULL},
        {"linux/a b", NULL},
    };
    struct err e = ERR_INIT;
    char text[100];
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(platforms); i++) {
        struct build_platform p;
        int r = build_platform_parse(platforms[i].text, &p, &e);
        assert_int_equal(r, platforms[i].want ? 0 : -EINVAL);
        if (r == 0) {
            build_platform_text(&p, text);
            assert_string_equal(text, platforms[i].want);
        }
    }
    struct build_platform a, b;
    assert_int_equal(build_platform_parse(NULL, &a, &e), 0);
    assert_int_equal(build_platform_parse("linux/arm/v6", &b, &e), 0);
    assert_string_equal(build_platform_arg(&a, &b, "TARGETPLATFORM", text), "linux/arm/v6");
    assert_string_equal(build_platform_arg(&a, &b, "TARGETVARIANT", text), "v6");
    assert_string_equal(build_platform_arg(&a, &b, "BUILDOS", text), "linux");
    assert_null(build_platform_arg(&a, &b, "TARGET", text));
    assert_null(build_platform_arg(&a, &b, "OTHER", text));
    assert_true(build_is_proxy_arg("HTTPS_PROXY") && build_is_proxy_arg("no_proxy"));
    assert_false(build_is_proxy_arg("Http_proxy") || build_is_proxy_arg("PROXY"));
}

/* Bytes that are no character of UTF-8, as Go's filepath.Match and regexp see them. */
static const struct {
    const char *pattern, *text;
    int want; /* -1: not valid */
} globs[] = {
    {"?", "\xff", 1},
    {"?", "\xc3\xa9", 1},
    {"?", "\xc3", 1},
    {"?", "\xff\xff", 0},
    {"??", "\xff\xfe", 1},
    {"?", "/", 0},
    /* Overlong, a surrogate, above the last: a byte each. */
    {"?", "\xc0\x80", 0},
    {"??", "\xc0\x80", 1},
    {"???", "\xed\xa0\x80", 1},
    {"????", "\xf4\x90\x80\x80", 1},
    {"?", "\xf4\x8f\xbf\xbf", 1},
    {"a\xff", "a\xff", 1},
    {"a\xff", "a\xfe", 0},
    {"\xff", "\xef\xbf\xbd", 0},
    {"*\xa9", "\xc3\xa9", 1},
    {"[^a]", "\xff", 1},
    {"[\xef\xbf\xbd]", "\xff", 1},
    {"[\xef\xbf\xbd]", "\xef\xbf\xbd", 1},
    {"[\xff]", "\xff", -1},
    {"[a-\xff]", "b", -1},
    {"*[^\xc3\xa9]", "\xc3\xa9", 1},
    {"*?*[^a]", "\xe2\x82\xac", 0},
    {"*a*b", "xaxxb", 1},
    {"*a*b", "xaxxbc", 0},
    {"a*b*c*", "abbcc", 1},
    {"a*", "a/b", 0},
    {"*", "", 1},
    {"", "", 1},
    {"", "a", 0},
    {"\\\xff", "\xff", 1},
};
static const struct {
    const char *pattern, *text;
    bool want;
} ignored[] = {
    {"?", "\xff", true},
    {"?", "\xc3\xa9", true},
    {"??", "\xc0\x80", true},
    {"*\xa9", "\xc3\xa9", false},
    {"?\xff", "a\xfe", true}, /* a regular expression has no bytes of its own */
    {"?\xff", "a\xef\xbf\xbd", true},
    {"a\xff?", "a\xfe!", true},
    {"a\xff?", "b\xfe!", false},
    {"?[\xff]", "a\xfe", true},
    {"a\xff", "a\xff", true}, /* without anything special: as strings */
    {"a\xff", "a\xfe", false},
    {"**/a\xff", "b/a\xff", true},
    {"**/a\xff", "b/a\xfe", false},
    {"a\xff/**", "a\xff/b", true},
    {"a\xff/**", "a\xfe/b", false},
};

static void test_globs(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(globs); i++) {
        struct glob *g SCOPED(glob_scoped) = NULL;
        int r = glob_compile(globs[i].pattern, false, &g, NULL);
        int got = r < 0 ? -1 : glob_match(g, globs[i].text);
        if (got != globs[i].want)
            fail_msg("COPY %s, %zu: %d", globs[i].pattern, i, got);
    }
    for (size_t i = 0; i < N_ELEMENTS(ignored); i++) {
        char *const patterns[] = {(char *)(uintptr_t)ignored[i].pattern, NULL};
        struct ignore *g = NULL;
        assert_int_equal(ignore_new(patterns, &g, NULL), 0);
        if (ignore_match(g, ignored[i].text) != ignored[i].want)
            fail_msg("ignore %s, %zu", ignored[i].pattern, i);
        ignore_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse),    cmocka_unit_test(test_lines_and_hints),
        cmocka_unit_test(test_trigger),  cmocka_unit_test(test_expand),
        cmocka_unit_test(test_bombs),    cmocka_unit_test(test_expand_ins),
        cmocka_unit_test(test_platform), cmocka_unit_test(test_globs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
