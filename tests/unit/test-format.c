/* --format: templates as docker's and podman's users type them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>

#include "base/jfield.h"
#include "format/format.h"

static const char data[] =
    "{\"Name\":\"web\",\"Names\":[\"a\",\"b\"],\"State\":{\"Pid\":42,\"Running\":true},\"Labels\":"
    "{\"k\":\"v\",\"a.b\":\"c\"},\"Mounts\":[{\"Source\":\"/x\"},{\"Source\":\"/y\"}],\"Empty\":[],"
    "\"CreatedAt\":\"now\"}";

static const struct {
    const char *text, *want, *error; /* error: part of the message */
} cases[] = {
    {"{{.Name}}", "web\n", NULL},
    {"{{.State.Pid}} {{ .State.Running }}", "42 true\n", NULL},
    {"{{json .State}}", "{\"Pid\":42,\"Running\":true}\n", NULL},
    {"{{range .Mounts}}{{.Source}};{{end}}", "/x;/y;\n", NULL},
    {"{{range $k, $v := .Labels}}{{$k}}={{$v}},{{end}}", "a.b=c,k=v,\n", NULL},
    {"{{range $i, $m := .Mounts}}{{$i}}{{$m.Source}} {{end}}", "0/x 1/y \n", NULL},
    {"{{range .Empty}}x{{else}}none{{end}}", "none\n", NULL},
    {"{{if .State.Running}}up{{else}}down{{end}}", "up\n", NULL},
    {"{{if not .State.Running}}down{{else if eq .Name \"web\"}}web{{else}}x{{end}}", "web\n", NULL},
    {"{{index .Labels \"a.b\"}} {{index .Names 1}}", "c b\n", NULL},
    {"{{.Label \"k\"}}|{{.Label \"none\"}}", "v|\n", NULL},
    {"{{len .Names}} {{.Names}} {{.Labels}}", "2 [a b] map[a.b:c k:v]\n", NULL},
    {"{{join .Names \",\"}} {{upper .Name}} {{.Name | title}}", "a,b WEB Web\n", NULL},
    {"{{printf \"%-5s|%d\" .Name .State.Pid}}", "web  |42\n", NULL},
    {"{{with .State}}{{.Pid}}/{{$.Name}}{{end}}", "42/web\n", NULL},
    {"{{$x := .Name}}{{$x}}{{$x}}", "webweb\n", NULL},
    {"a \\t{{- .Name -}}  b", "awebb\n", NULL},
    {"{{/* nothing */}}x\\ny", "x\ny\n", NULL},
    {"{{.Labels.nosuch}}", "<no value>\n", NULL},
    {"{{truncate .Name 2}}{{pad .Name 1 1}}|", "we web |\n", NULL},
    {"{{(index .Mounts 0).Source}}", "/x\n", NULL},
    {"{{.Nosuch}}", NULL, "there is no field \"Nosuch\""},
    {"{{.State.Nosuch}}", NULL, "there is no field \"Nosuch\""},
    {"{{foo .Name}}", NULL, "unknown function \"foo\""},
    {"{{.Name", NULL, "does not end with }}"},
    {"{{if .Name}}x", NULL, "no {{end}}"},
    {"x{{end}}", NULL, "without a block"},
    {"{{index .Names 7}}", NULL, "out of range"},
    {"{{\"abc}}", NULL, "string does not end"},
    {"{{len 5}}", NULL, "without a length"},
    {"{{eq .Name}}", NULL, "arguments"},
    {"{{((((((((((((((((((((((((((((((((((((((((((((((((((((.Name", NULL, "nested too deeply"},
};

static void test_templates(void **state)
{
    (void)state;
    scoped_json json_t *doc = json_loads(data, 0, NULL);
    scoped_json json_t *array = json_pack("[O]", doc);
    for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
        struct err e = ERR_INIT;
        scoped_str struct str out = STR_INIT;
        int r = format_objects(cases[i].text, array, &out, &e);
        if (cases[i].want) {
            if (r < 0)
                fail_msg("%s: %s", cases[i].text, e.msg);
            assert_string_equal(out.s, cases[i].want);
        } else {
            assert_int_equal(r, -EINVAL);
            if (!strstr(e.msg, cases[i].error))
                fail_msg("%s: \"%s\" lacks \"%s\"", cases[i].text, e.msg, cases[i].error);
        }
    }
}

static void test_tables(void **state)
{
    (void)state;
    static const char *const headers[] = {"Name=THE NAME", NULL};
    static const struct {
        const char *text, *want;
    } tables[] = {
        {NULL, "THE NAME  CREATED AT\nweb       now\n"},
        {"table {{.Name}}\\t{{.State.Pid}}", "THE NAME  PID\nweb       42\n"},
        {"table", "THE NAME  CREATED AT\nweb       now\n"},
        {"{{.Name}}", "web\n"},
        {"jsonl", "{\"Name\":\"web\""},
        {"json", "[\n"},
    };
    scoped_json json_t *doc = json_loads(data, 0, NULL);
    scoped_json json_t *rows = json_pack("[O]", doc);
    for (size_t i = 0; i < N_ELEMENTS(tables); i++) {
        struct err e = ERR_INIT;
        scoped_str struct str out = STR_INIT;
        struct format_options o = {tables[i].text, "table {{.Name}}\t{{.CreatedAt}}", headers,
                                   false};
        assert_int_equal(format_rows(&o, rows, &out, &e), 0);
        if (strncmp(out.s, tables[i].want, strlen(tables[i].want)) != 0)
            fail_msg("got %s", out.s);
    }
}

static void test_hostile_cells(void **state)
{
    (void)state;
    scoped_str struct str out = STR_INIT;
    format_columns("a\x1b[31m\tb\n\xc3\xa4\xc3\xa4\tc\n", &out);
    assert_string_equal(out.s, "a?[31m  b\n\xc3\xa4\xc3\xa4      c\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_templates),
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_hostile_cells),
    };
    return cmocka_run_group_tests_name("format", tests, NULL, NULL);
}
