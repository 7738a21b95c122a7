/* test-opt - parsing by table, usage errors (B11), suggestions, help and dispatch. */
#include "base/opt.h"

#include "unit.h"

struct opts {
    int unused; /* offset 0 is what options that store nothing point at */
    bool tty, interactive, rm, rm_set;
    char *name, *pull;
    char **env, **caps;
    int64_t number;
    uint64_t memory, timeout;
    char called[24];
};

static int parse_call(void *data, const struct opt *o, const char *value, struct err *e)
{
    struct opts *opts = data;
    if (streq(value, "bad"))
        return err_msg(e, EINVAL, "want anything but bad");
    snprintf(opts->called, sizeof(opts->called), "%s:%s", o->name, value ? value : "(null)");
    return 0;
}

#define AT(member) offsetof(struct opts, member)

static const struct opt table[] = {
    {"tty", 't', OPT_FLAG, AT(tty), NULL, "give it a terminal"},
    {"interactive", 'i', OPT_FLAG, AT(interactive), NULL, "keep stdin open"},
    {"rm", 0, OPT_FLAG, AT(rm), NULL, "remove at the end", .set_offset = AT(rm_set)},
    {"name", 'n', OPT_STRING, AT(name), "NAME", "name of the container"},
    {"alias", 'A', OPT_STRING, 0, "NAME", "", .alias_of = "name"},
    {"pull", 0, OPT_STRING, AT(pull), "WHEN", "when to pull", OPT_OPTVAL},
    {"env", 'e', OPT_STRV, AT(env), "NAME=VALUE", "add a variable"},
    {"cap-add", 0, OPT_COMMAS, AT(caps), "CAP", "add capabilities"},
    {"number", 'N', OPT_INT, AT(number), "N", "a number"},
    {"memory", 'm', OPT_SIZE, AT(memory), "BYTES", "limit of memory"},
    {"timeout", 0, OPT_DURATION, AT(timeout), "TIME", "how long"},
    {"call", 'c', OPT_CALL, 0, "X", "calls", .parse = parse_call},
    {"call-flag", 0, OPT_CALL, 0, NULL, "calls without a value", .parse = parse_call},
    {"ignored", 0, OPT_STRING, 0, "X", "for compatibility", OPT_IGNORED},
    {"secret", 0, OPT_FLAG, AT(tty), NULL, "hidden", OPT_HIDDEN},
    {"planned", 0, OPT_STRING, 0, "X", "use --name", OPT_LATER},
    {NULL},
};

static int ran; /* times run_ok was called */

static int run_ok(const struct cmd *cmd, void *data, char **args, struct err *e)
{
    struct opts *opts = data;
    (void)cmd;
    (void)e;
    ran++;
    return opts->tty ? 7 : args[0] ? 3 : 0;
}

static const struct cmd stop_cmd = {
    .name = "run",
    .args = "IMAGE [COMMAND [ARG...]]",
    .summary = "Run a command in a new container",
    .opts = table,
    .opts_size = sizeof(struct opts),
    .min_args = 1,
    .max_args = -1,
    .flags = CMD_STOP_AT_ARG,
    .run = run_ok,
    .aliases = (const char *const[]){"container run", NULL},
    .details = "Makes a container\nand starts it.",
    .examples = "rootlet run --rm alpine",
};
static const struct cmd free_cmd = {
    .name = "images",
    .args = "[NAME]",
    .summary = "List images",
    .opts = table,
    .opts_size = sizeof(struct opts),
    .max_args = 1,
    .run = run_ok,
    .aliases = (const char *const[]){"image ls", "image list", NULL},
};
static const struct cmd plain_cmd = {.name = "image prune",
                                     .summary = "Remove unused images",
                                     .opts_size = sizeof(struct opts),
                                     .run = run_ok};
static const struct cmd *const commands[] = {&stop_cmd, &free_cmd, &plain_cmd, NULL};

/* Splits a line of words, parses, and writes what came out in one line. */
static int parse_line(const struct cmd *cmd, const char *line, struct str *out, struct err *e)
{
    struct opts o = {.unused = 0};
    scoped_strv char **argv = strv_split(line, " ", false);
    char *none[] = {NULL};
    scoped_free char **args = NULL;
    bool help = false;
    int r = opt_parse(cmd, argv ? argv : none, &o, &args, &help, e);
    str_reset(out);
    if (r == 0) {
        scoped_free char *rest = strv_join(args, ","), *env = strv_join(o.env, ",");
        scoped_free char *caps = strv_join(o.caps, ",");
        str_addf(out, "%s%s%s%s%s n=%s p=%s e=%s c=%s %lld %llu %llu [%s] args=%s", help ? "H" : "",
                 o.tty ? "t" : "", o.interactive ? "i" : "", o.rm ? "r" : "", o.rm_set ? "R" : "",
                 o.name ? o.name : "-", o.pull ? o.pull : "-", env, caps, (long long)o.number,
                 (unsigned long long)o.memory, (unsigned long long)o.timeout, o.called, rest);
    }
    assert_int_equal(o.unused, 0);
    opt_release(table, &o);
    assert_null(o.name);
    assert_null(o.env);
    return r;
}

static const struct {
    const char *line, *want;
} good_cases[] = {
    {"", " n=- p=- e= c= 0 0 0 [] args="},
    {"-it --rm --name a img -x", "tirR n=a p=- e= c= 0 0 0 [] args=img,-x"},
    {"--rm=false img", "R n=- p=- e= c= 0 0 0 [] args=img"},
    {"-t --tty=0 -i=true img", "i n=- p=- e= c= 0 0 0 [] args=img"},
    {"--name=a --name b img", " n=b p=- e= c= 0 0 0 [] args=img"},
    {"-na img", " n=a p=- e= c= 0 0 0 [] args=img"},
    {"-n=a img", " n=a p=- e= c= 0 0 0 [] args=img"},
    {"-tn a img", "t n=a p=- e= c= 0 0 0 [] args=img"},
    {"--alias a img", " n=a p=- e= c= 0 0 0 [] args=img"},
    {"-Aa img", " n=a p=- e= c= 0 0 0 [] args=img"},
    {"-e A=1 -eB=2 --env=C img", " n=- p=- e=A=1,B=2,C c= 0 0 0 [] args=img"},
    {"--cap-add a,b --cap-add c img", " n=- p=- e= c=a,b,c 0 0 0 [] args=img"},
    {"--pull img", " n=- p= e= c= 0 0 0 [] args=img"},
    {"--pull=always img", " n=- p=always e= c= 0 0 0 [] args=img"},
    {"-N -5 -m 64m --timeout 10s", " n=- p=- e= c= -5 67108864 10000 [] args="},
    {"-c x img", " n=- p=- e= c= 0 0 0 [call:x] args=img"},
    {"--call-flag img", " n=- p=- e= c= 0 0 0 [call-flag:(null)] args=img"},
    {"--ignored x img", " n=- p=- e= c= 0 0 0 [] args=img"},
    {"--name -t img", " n=-t p=- e= c= 0 0 0 [] args=img"},
    {"-t -- -i x", "t n=- p=- e= c= 0 0 0 [] args=-i,x"},
    {"- -t", " n=- p=- e= c= 0 0 0 [] args=-,-t"},
    {"img -- -t", " n=- p=- e= c= 0 0 0 [] args=img,--,-t"},
    {"-h --nonsense", "H n=- p=- e= c= 0 0 0 [] args="},
    {"--help", "H n=- p=- e= c= 0 0 0 [] args="},
    {"img --help", " n=- p=- e= c= 0 0 0 [] args=img,--help"},
    {"--secret", "t n=- p=- e= c= 0 0 0 [] args="},
};

static const struct {
    const char *line, *want;
} bad_cases[] = {
    {"--foo", "unknown flag: --foo"},
    {"--foo=x", "unknown flag: --foo"},
    {"--nmae x", "unknown flag: --nmae, did you mean --name?"},
    {"--secert", "unknown flag: --secert"}, /* hidden flags are not suggested */
    {"-xyz", "unknown shorthand flag: 'x' in -xyz"},
    {"-rm", "unknown shorthand flag: 'r' in -rm, did you mean --rm?"},
    {"-txz", "unknown shorthand flag: 'x' in -txz"},
    {"--name", "flag needs an argument: --name"},
    {"--alias", "flag needs an argument: --alias"},
    {"-tn", "flag needs an argument: 'n' in -tn"},
    {"--=x", "bad flag syntax: --=x"},
    {"--rm=maybe", "invalid argument \"maybe\" for \"--rm\" flag: want true or false"},
    {"-m 1x", "invalid argument \"1x\" for \"-m, --memory\" flag: want a size such as 512m or 2g"},
    {"-N 9223372036854775808",
     "invalid argument \"9223372036854775808\" for \"-N, --number\" flag: "
     "out of range, want a whole number"},
    {"--timeout soon",
     "invalid argument \"soon\" for \"--timeout\" flag: want a length of time such "
     "as 10s or 1m30s"},
    {"-c bad", "invalid argument \"bad\" for \"-c, --call\" flag: want anything but bad"},
};

static void test_parse(void **state)
{
    (void)state;
    scoped_str struct str out = STR_INIT;
    for (size_t i = 0; i < N_ELEMENTS(good_cases); i++) {
        struct err e = ERR_INIT;
        if (parse_line(&stop_cmd, good_cases[i].line, &out, &e) < 0)
            fail_msg("%s: %s", good_cases[i].line, e.msg);
        if (!streq(out.s, good_cases[i].want))
            fail_msg("%s: got \"%s\"", good_cases[i].line, out.s);
    }
    for (size_t i = 0; i < N_ELEMENTS(bad_cases); i++) {
        struct err e = ERR_INIT;
        assert_int_equal(parse_line(&stop_cmd, bad_cases[i].line, &out, &e), -EINVAL);
        assert_string_equal(e.msg, bad_cases[i].want);
    }
    /* Without CMD_STOP_AT_ARG flags may follow. */
    struct err e = ERR_INIT;
    assert_int_equal(parse_line(&free_cmd, "img -t x -- -i", &out, &e), 0);
    assert_string_equal(out.s, "t n=- p=- e= c= 0 0 0 [] args=img,x,-i");
}

static void test_suggest(void **state)
{
    (void)state;
    static const char *const words[] = {"run", "rm", "inspect", "images", "pull", "ps", NULL};
    static const struct {
        const char *word, *want;
    } cases[] = {
        {"rnu", "run"},       {"inpsect", "inspect"}, {"image", "images"}, {"pul", "pull"},
        {"insp", "inspect"},  {"zzz", NULL},          {"x", NULL},         {"", NULL},
        {"inspection", NULL}, {"runs", "run"},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        const char *got = opt_suggest(cases[i].word, words);
        if (!streq(got, cases[i].want))
            fail_msg("%s: got %s", cases[i].word, got ? got : "nothing");
    }
    char huge[500];
    memset(huge, 'r', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    assert_null(opt_suggest(huge, words));
}

static void test_find(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const struct cmd *want;
        int used;
    } cases[] = {
        {"run x", &stop_cmd, 1},
        {"container run x", &stop_cmd, 2},
        {"image prune", &plain_cmd, 2},
        {"image ls", &free_cmd, 2},
        {"image", NULL, 0},
        {"runx", NULL, 0},
    };
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        scoped_strv char **argv = strv_split(cases[i].line, " ", false);
        int used = 0;
        assert_ptr_equal(cmd_find(commands, argv, &used), cases[i].want);
        assert_int_equal(used, cases[i].used);
    }
}

static const struct {
    const char *line;
    int want;
    const char *message, *hint;
} dispatch_cases[] = {
    {"run img", 3, "", ""},
    {"container run -t img", 7, "", ""},
    {"image prune", 0, "", ""},
    {"run", -EINVAL, "'rootlet run' takes at least 1 argument (IMAGE [COMMAND [ARG...]]), got 0",
     "See 'rootlet run --help'"},
    {"images a b", -EINVAL, "'rootlet images' takes at most 1 argument ([NAME]), got 2",
     "See 'rootlet images --help'"},
    {"image prune x", -EINVAL, "'rootlet image prune' takes no arguments, got 1",
     "See 'rootlet image prune --help'"},
    {"run --foo img", -EINVAL, "unknown flag: --foo", "See 'rootlet run --help'"},
    {"rnu", -EINVAL, "unrecognized command 'rootlet rnu', did you mean 'run'?",
     "See 'rootlet --help'"},
    {"imaeg ls", -EINVAL, "unrecognized command 'rootlet imaeg', did you mean 'image'?",
     "See 'rootlet --help'"},
    {"image prnue", -EINVAL, "unrecognized command 'rootlet image prnue', did you mean 'prune'?",
     "See 'rootlet image --help'"},
    {"image", -EINVAL, "missing command: 'rootlet image COMMAND'", "See 'rootlet image --help'"},
    {"", -EINVAL, "missing command: 'rootlet COMMAND'", "See 'rootlet --help'"},
};

static void test_dispatch(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_ELEMENTS(dispatch_cases); i++) {
        struct err e = ERR_INIT;
        scoped_strv char **argv = strv_split(dispatch_cases[i].line, " ", false);
        char *none[] = {NULL};
        ran = 0;
        int r = cmd_dispatch("rootlet", commands, argv ? argv : none, &e);
        if (r != dispatch_cases[i].want)
            fail_msg("%s: got %d %s", dispatch_cases[i].line, r, e.msg);
        assert_string_equal(e.msg, dispatch_cases[i].message);
        assert_string_equal(e.hint, dispatch_cases[i].hint);
        assert_int_equal(e.exit_status, r < 0 ? 125 : 0);
        assert_int_equal(ran, r >= 0);
    }
}

static const char want_help[] = "Run a command in a new container\n"
                                "\n"
                                "Description:\n"
                                "  Makes a container\n"
                                "  and starts it.\n"
                                "\n"
                                "Usage:\n"
                                "  rootlet run [options] IMAGE [COMMAND [ARG...]]\n"
                                "\n"
                                "Aliases:\n"
                                "  rootlet run, rootlet container run\n"
                                "\n"
                                "Examples:\n"
                                "  rootlet run --rm alpine\n"
                                "\n"
                                "Options:\n"
                                "  -c, --call X           calls\n"
                                "      --call-flag        calls without a value\n"
                                "      --cap-add CAP      add capabilities\n"
                                "  -e, --env NAME=VALUE   add a variable\n"
                                "  -i, --interactive      keep stdin open\n"
                                "  -m, --memory BYTES     limit of memory\n"
                                "  -n, --name NAME        name of the container\n"
                                "  -N, --number N         a number\n"
                                "      --pull[=WHEN]      when to pull\n"
                                "      --rm               remove at the end\n"
                                "      --timeout TIME     how long\n"
                                "  -t, --tty              give it a terminal\n";

static void test_texts(void **state)
{
    (void)state;
    scoped_str struct str out = STR_INIT;
    cmd_help("rootlet", &stop_cmd, &out);
    assert_string_equal(out.s, want_help);

    str_reset(&out);
    cmd_help("rootlet", &plain_cmd, &out);
    assert_string_equal(out.s, "Remove unused images\n\nUsage:\n  rootlet image prune\n");

    str_reset(&out);
    cmd_dump(commands, &out);
    assert_has(out.s, "run\t\tIMAGE [COMMAND [ARG...]]\tRun a command in a new container\n");
    assert_has(out.s, "\ncontainer run\t@run\t\t\n");
    assert_has(out.s, "\nrun\t-n,--name,--alias\tNAME\tname of the container\n");
    assert_has(out.s, "\nrun\t--ignored\tX\t(ignored) for compatibility\n");
    assert_null(strstr(out.s, "secret"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse), cmocka_unit_test(test_suggest),
        cmocka_unit_test(test_find),  cmocka_unit_test(test_dispatch),
        cmocka_unit_test(test_texts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
