/* The runtime configuration in and out, the default one, and what builders use.
 * Rows B48, B49 (unit part), B50 (parse to struct), B51 (unknown members survive). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "base/strv.h"
#include "spec/spec.h"
#include "spec/tables.h"

/* Every member of the specification that Linux knows, and an unknown one at every level. */
static const char full[] =
    "{\"ociVersion\":\"1.2.0\",\"process\":{\"terminal\":true,"
    "\"consoleSize\":{\"height\":25,\"width\":80,\"x\":1},"
    "\"user\":{\"uid\":1,\"gid\":2,\"umask\":0,\"additionalGids\":[5,6],\"username\":\"u\","
    "\"x\":1},\"args\":[\"sh\",\"\"],\"commandLine\":\"c\",\"env\":[\"A=b=c\"],\"cwd\":\"/\","
    "\"capabilities\":{\"bounding\":[\"CAP_KILL\"],\"effective\":[\"CAP_KILL\"],"
    "\"inheritable\":[\"CAP_BPF\"],\"permitted\":[\"CAP_KILL\"],\"ambient\":[\"CAP_CHOWN\"],"
    "\"x\":1},\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"hard\":18446744073709551615,\"soft\":0,"
    "\"x\":1}],\"noNewPrivileges\":true,\"apparmorProfile\":\"a\",\"oomScoreAdj\":0,"
    "\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"nice\":-1,\"priority\":1,"
    "\"flags\":[\"SCHED_FLAG_RECLAIM\"],\"runtime\":1,\"deadline\":2,\"period\":3,\"x\":1},"
    "\"selinuxLabel\":\"s\",\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4,"
    "\"x\":1},\"execCPUAffinity\":{\"initial\":\"7\",\"final\":\"0-3,7\",\"x\":1},\"x\":1},"
    "\"root\":{\"path\":\"rootfs\",\"readonly\":true,\"x\":1},\"hostname\":\"h\","
    "\"domainname\":\"d\",\"mounts\":[{\"destination\":\"/d\",\"type\":\"none\",\"source\":\"/s\","
    "\"options\":[\"rbind\",\"ro\",\"idmap\"],"
    "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1,\"x\":1}],"
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}],\"x\":1}],"
    "\"hooks\":{\"prestart\":[{\"path\":\"/1\"}],"
    "\"createRuntime\":[{\"path\":\"/2\",\"args\":[\"a\"],\"env\":[\"A=1\"],\"timeout\":3,"
    "\"x\":1}],\"createContainer\":[{\"path\":\"/3\"}],\"startContainer\":[{\"path\":\"/4\"}],"
    "\"poststart\":[{\"path\":\"/5\"}],\"poststop\":[{\"path\":\"/6\"}],\"x\":1},"
    "\"annotations\":{\"org.example.key\":\"v=1\"},"
    "\"linux\":{\"uidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":1,\"x\":1}],"
    "\"gidMappings\":[{\"containerID\":0,\"hostID\":1000,\"size\":1}],"
    "\"sysctl\":{\"net.core.somaxconn\":\"256\"},"
    "\"resources\":{\"memory\":{\"limit\":-1},\"unified\":{\"io.weight\":\"5\"},"
    "\"devices\":[{\"allow\":false,\"access\":\"rwm\"}],\"x\":1},\"cgroupsPath\":\"/a/b\","
    "\"namespaces\":[{\"type\":\"user\",\"x\":1},{\"type\":\"uts\"},{\"type\":\"time\"},"
    "{\"type\":\"network\",\"path\":\"/proc/1/ns/net\"}],"
    "\"devices\":[{\"type\":\"c\",\"path\":\"/dev/fuse\",\"major\":10,\"minor\":0,"
    "\"fileMode\":438,\"uid\":0,\"gid\":0,\"x\":1}],"
    "\"netDevices\":{\"eth0\":{\"name\":\"c0\",\"x\":1}},"
    "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":0,"
    "\"architectures\":[\"SCMP_ARCH_X86_64\"],\"flags\":[\"SECCOMP_FILTER_FLAG_LOG\"],"
    "\"listenerPath\":\"/l\",\"listenerMetadata\":\"m\","
    "\"syscalls\":[{\"names\":[\"read\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":0,"
    "\"args\":[{\"index\":0,\"value\":18446744073709551614,\"valueTwo\":1,"
    "\"op\":\"SCMP_CMP_MASKED_EQ\",\"x\":1}],\"x\":1}],\"x\":1},"
    "\"rootfsPropagation\":\"slave\",\"maskedPaths\":[\"/m\"],\"readonlyPaths\":[\"/r\"],"
    "\"mountLabel\":\"l\",\"intelRdt\":{\"closID\":\"c\",\"memBwSchema\":\"MB:0=20\",\"x\":1},"
    "\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0-1\",\"x\":1},"
    "\"personality\":{\"domain\":\"LINUX32\",\"x\":1},"
    "\"timeOffsets\":{\"monotonic\":{\"secs\":-5,\"nanosecs\":7,\"x\":1}},\"x\":1},"
    "\"windows\":{\"x\":1},\"x\":{\"y\":[null]}}";

static char *text_of(const struct spec *s)
{
    scoped_json json_t *doc = spec_emit(s);
    return json_text(doc, false);
}

static void parse_ok(const char *text, struct spec *ret)
{
    struct err e = ERR_INIT;
    if (spec_parse(text, strlen(text), "config.json", ret, &e) < 0)
        fail_msg("%s", e.msg);
}

static void test_full_round_trip(void **state)
{
    (void)state;
    scoped_spec struct spec s = {0}, again = {0};
    parse_ok(full, &s);
    assert_true(s.process->rlimits[0].hard == UINT64_MAX);
    assert_true(s.process->has_oom_score_adj);
    assert_true(s.process->user.has_umask);
    assert_int_equal(s.hooks->create_runtime.v[0].timeout, 3);
    assert_true(s.linux_->seccomp->syscalls[0].args[0].value == UINT64_MAX - 1);
    assert_int_equal(s.linux_->n_namespaces, 4);
    struct spec_time_offset offset;
    assert_int_equal(spec_time_offset(&s, "monotonic", &offset), 1);
    assert_true(offset.secs == -5 && offset.nanosecs == 7);
    assert_int_equal(spec_time_offset(&s, "boottime", &offset), 0);

    /* byte for byte: order and unknown members too */
    scoped_free char *text = text_of(&s);
    assert_string_equal(text, full);
    parse_ok(text, &again);
    scoped_free char *text_again = text_of(&again);
    assert_string_equal(text_again, full);
}

/* What differs from absence by being there, and what does not. */
static void test_optional(void **state)
{
    (void)state;
    scoped_spec struct spec s = {0};
    parse_ok("{\"linux\":null,\"root\":{\"path\":\"r\",\"readonly\":false},\"hooks\":{},"
             "\"process\":{\"cwd\":\"/\",\"args\":[\"x\"],\"capabilities\":{},\"env\":null},"
             "\"mounts\":[],\"ociVersion\":\"1.0.2-dev\"}",
             &s);
    assert_non_null(s.linux_);
    assert_non_null(s.process->capabilities);
    assert_non_null(s.hooks);
    scoped_free char *text = text_of(&s);
    assert_string_equal(text, "{\"ociVersion\":\"1.0.2-dev\",\"process\":{\"user\":{\"uid\":0,"
                              "\"gid\":0},\"args\":[\"x\"],\"cwd\":\"/\",\"capabilities\":{}},"
                              "\"root\":{\"path\":\"r\"},\"hooks\":{},\"linux\":{}}");
}

static void test_default(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_spec struct spec s = {0}, again = {0};
    spec_default(&s);
    if (spec_validate(&s, &e) < 0)
        fail_msg("%s", e.msg);
    scoped_free char *text = text_of(&s);
    parse_ok(text, &again);
    scoped_free char *text_again = text_of(&again);
    assert_string_equal(text, text_again);

    static const char *const namespaces[] = {"pid", "network", "ipc", "uts", "mount", "user"};
    for (size_t i = 0; i < N_ELEMENTS(namespaces); i++)
        assert_non_null(spec_namespace_get(&s, namespaces[i]));
    assert_null(spec_namespace_get(&s, "cgroup"));
    static const char *const mounts[] = {"/proc",    "/dev",        "/dev/pts",
                                         "/dev/shm", "/dev/mqueue", "/sys"};
    assert_int_equal(s.n_mounts, N_ELEMENTS(mounts));
    for (size_t i = 0; i < N_ELEMENTS(mounts); i++)
        assert_string_equal(s.mounts[i].destination, mounts[i]);
    assert_true(strv_has(s.mounts[5].options, "ro"));
    assert_int_equal(strv_len(s.process->capabilities->bounding), 11);
    assert_null(s.process->capabilities->ambient);
    assert_null(s.process->capabilities->inheritable);
    assert_true(s.process->no_new_privileges);
    assert_true(strv_has(s.linux_->masked_paths, "/proc/kcore"));
    assert_true(strv_has(s.linux_->readonly_paths, "/proc/sys"));
}

static char *read_source(const char *path, size_t *ret_len)
{
    const char *srcdir = getenv("srcdir");
    scoped_free char *full_path = xasprintf("%s/%s", srcdir ? srcdir : "..", path);
    scoped_file FILE *f = fopen(full_path, "re");
    if (!f)
        fail_msg("open %s: %s", full_path, strerror(errno));
    char *text = xcalloc(1, 1 << 20);
    *ret_len = fread(text, 1, (1 << 20) - 1, f);
    return text;
}

/* The sample that the schema is tested with, and the fuzzer starts from, is the default itself. */
static void test_default_golden(void **state)
{
    (void)state;
    size_t len;
    scoped_free char *want = read_source("tests/fuzz/corpus/spec/default.json", &len);
    scoped_spec struct spec s = {0};
    spec_default(&s);
    scoped_json json_t *doc = spec_emit(&s);
    scoped_free char *text = json_text(doc, true);
    scoped_free char *line = xasprintf("%s\n", text);
    assert_string_equal(line, want);
}

/* "#/definitions/x" of the schema, or node itself. */
static const json_t *resolve(const json_t *schema, const json_t *node)
{
    const char *name =
        str_after(json_string_value(json_object_get(node, "$ref")) ?: "", "#/definitions/");
    return name ? json_object_get(json_object_get(schema, "definitions"), name) : node;
}

/* Every row of the table has a property and the other way round, all the way down; required ones
 * are required in both. */
static void same_members(const json_t *schema, const json_t *node, const struct jfield *table,
                         const char *where)
{
    node = resolve(schema, node);
    const json_t *properties = json_object_get(node, "properties"), *p;
    if (!properties)
        fail_msg("%s has no properties in the schema", where);
    size_t rows = 0;
    for (const struct jfield *f = table; f->name; f++) {
        if (f->type == J_EXTRA)
            continue;
        rows++;
        p = json_object_get(properties, f->name);
        if (!p)
            fail_msg("%s: %s is missing in the schema", where, f->name);
        bool required = false;
        size_t i;
        json_t *name;
        json_array_foreach(json_object_get(node, "required"), i, name) required =
            required || streq(json_string_value(name), f->name);
        if ((f->flags & JF_REQUIRED) && !required)
            fail_msg("%s: %s is not required in the schema", where, f->name);
        scoped_free char *below = xasprintf("%s.%s", where, f->name);
        if (f->type == J_STRUCT || f->type == J_POINTER)
            same_members(schema, p, f->sub, below);
        if (f->type == J_ARRAY)
            same_members(schema, json_object_get(resolve(schema, p), "items"), f->sub, below);
    }
    if (rows != json_object_size(properties))
        fail_msg("%s: the schema has %zu members, the table %zu", where,
                 json_object_size(properties), rows);
}

static void test_schema_members(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    size_t len;
    scoped_free char *text = read_source("data/schema/rootlet-config.schema.json", &len);
    scoped_json json_t *schema = json_parse(text, len, len, "schema", &e);
    if (!schema)
        fail_msg("%s", e.msg);
    same_members(schema, schema, spec_fields, "config");
}

static void test_builders(void **state)
{
    (void)state;
    scoped_spec struct spec s = {0};
    assert_null(spec_namespace_get(&s, "pid"));
    spec_namespace_remove(&s, "pid");
    spec_namespace_set(&s, "pid", NULL);
    spec_namespace_set(&s, "network", "/run/n");
    spec_namespace_set(&s, "pid", "/run/p");
    spec_namespace_set(&s, "pid", spec_namespace_get(&s, "pid")->path);
    assert_int_equal(s.linux_->n_namespaces, 2);
    assert_string_equal(spec_namespace_get(&s, "pid")->path, "/run/p");
    spec_namespace_remove(&s, "pid");
    assert_null(spec_namespace_get(&s, "pid"));
    assert_string_equal(s.linux_->namespaces[0].type, "network");

    spec_add_mount(&s, "/a", "tmpfs", "tmpfs", "ro,size=5");
    spec_add_mount(&s, "/b", NULL, "/src", "bind");
    spec_add_mount(&s, "/a", "proc", NULL, NULL);
    assert_string_equal(s.mounts[0].options[1], "size=5");
    assert_null(s.mounts[2].options);
    spec_remove_mount(&s, "/a");
    assert_int_equal(s.n_mounts, 1);
    assert_string_equal(s.mounts[0].destination, "/b");

    assert_null(spec_annotation(&s, "k"));
    spec_annotate(&s, "k", "a=b");
    spec_annotate(&s, "k2", "");
    spec_annotate(&s, "k", "c=d");
    assert_string_equal(spec_annotation(&s, "k"), "c=d");
    assert_string_equal(spec_annotation(&s, "k2"), "");
    assert_int_equal(strv_len(s.annotations), 2);
}

static void test_process_alone(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct spec_process p = {0};
    scoped_json json_t *bad = json_pack("{s:s, s:[s]}", "cwd", "tmp", "args", "ls");
    assert_int_equal(spec_process_parse(bad, "", &p, &e), -EINVAL);
    assert_string_equal(e.msg, "cwd: want an absolute path");
    assert_null(p.cwd);
    scoped_json json_t *good = json_pack("{s:s, s:[s], s:i}", "cwd", "/", "args", "ls", "new", 1);
    assert_int_equal(spec_process_parse(good, "process", &p, &e), 0);
    scoped_json json_t *out = spec_process_emit(&p);
    assert_int_equal(json_integer_value(json_object_get(out, "new")), 1);
    spec_process_release(&p);
    assert_null(p.cwd);
}

static void test_seccomp_alone(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    struct spec_seccomp s = {0};
    scoped_json json_t *bad =
        json_pack("{s:s, s:[{s:[s], s:s}]}", "defaultAction", "SCMP_ACT_ALLOW", "syscalls", "names",
                  "read", "action", "SCMP_ACT_NO");
    assert_int_equal(spec_seccomp_parse(bad, "", &s, &e), -EINVAL);
    assert_string_equal(e.msg, "syscalls[0].action: \"SCMP_ACT_NO\" is no action");
    scoped_json json_t *good = json_pack("{s:s}", "defaultAction", "SCMP_ACT_ALLOW");
    assert_int_equal(spec_seccomp_parse(good, "", &s, &e), 0);
    scoped_json json_t *out = spec_seccomp_emit(&s);
    assert_true(json_equal(out, good));
    spec_seccomp_release(&s);

    /* Words of docker's form mean nothing here. */
    scoped_json json_t *more =
        json_loads("{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"\":1,\"archMap\":[],\"syscalls\":[{"
                   "\"names\":[\"read\"],"
                   "\"action\":\"SCMP_ACT_LOG\",\"includes\":{\"caps\":[\"CAP_KILL\"]},\"errno\":"
                   "\"EIO\",\"args\":"
                   "[{\"index\":1,\"value\":2,\"op\":\"SCMP_CMP_EQ\",\"x\":1}]}]}",
                   0, NULL);
    assert_int_equal(spec_seccomp_parse(more, "", &s, &e), 0);
    scoped_json json_t *known = spec_seccomp_emit(&s);
    scoped_free char *text = json_text(known, false);
    assert_string_equal(text,
                        "{\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{\"names\":[\"read\"],"
                        "\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":1,\"value\":2,"
                        "\"op\":\"SCMP_CMP_EQ\"}]}]}");
    spec_seccomp_release(&s);
}

static void test_claim_version(void **state)
{
    (void)state;
    scoped_spec struct spec s = {0};
    spec_default(&s);
    spec_claim_version(&s);
    assert_string_equal(s.oci_version, "1.0.2");
    spec_namespace_set(&s, "cgroup", NULL);
    spec_add_mount(&s, "/a", "bind", "/a", "rbind,ro");
    spec_claim_version(&s);
    assert_string_equal(s.oci_version, "1.0.2");
    spec_add_mount(&s, "/b", "bind", "/b", "rbind,rro");
    spec_claim_version(&s);
    assert_string_equal(s.oci_version, "1.2.0");
    spec_remove_mount(&s, "/b");
    spec_claim_version(&s);
    assert_string_equal(s.oci_version, "1.0.2");
    s.domainname = xstrdup("example.org");
    spec_claim_version(&s);
    assert_string_equal(s.oci_version, "1.2.0");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_round_trip), cmocka_unit_test(test_optional),
        cmocka_unit_test(test_default),         cmocka_unit_test(test_default_golden),
        cmocka_unit_test(test_schema_members),  cmocka_unit_test(test_builders),
        cmocka_unit_test(test_process_alone),   cmocka_unit_test(test_seccomp_alone),
        cmocka_unit_test(test_claim_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
