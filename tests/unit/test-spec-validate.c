/* Wrong configurations and the message each one gets, with its JSON path. Rows B49, B55. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "spec/spec.h"

/* The member at `path` of the default configuration is replaced by json (NULL: removed). want
 * NULL: still accepted. */
struct validate_case {
    const char *path, *json, *want;
    bool tolerated; /* accepted for the sake of old writers; the schema may refuse it */
};

static const struct validate_case top[] = {
    {"ociVersion", NULL, "ociVersion: missing"},
    {"ociVersion", "1", "ociVersion: want a string"},
    {"ociVersion", "\"2.0.0\"", "ociVersion: want a version 1.x of the specification"},
    {"ociVersion", "\"1.2\"", "ociVersion: want a version 1.x"},
    {"ociVersion", "\"1.02.0\"", "ociVersion: want a version 1.x"},
    {"ociVersion", "\"1.2.0-\"", "ociVersion: want a version 1.x"},
    {"ociVersion", "\"1.2.0 \"", "ociVersion: want a version 1.x"},
    {"ociVersion", "\"1.0.2-runc-dev\"", NULL},
    {"ociVersion", "\"1.3.0-rc.1+build.5\"", NULL},
    {"process", NULL, NULL, true},
    {"root", NULL, "root: missing"},
    {"root", "{}", "root.path: missing"},
    {"root.path", "\"\"", "root.path: want a directory"},
    {"hostname", "7", "hostname: want a string"},
    {"hostname", "\"0123456789012345678901234567890123456789012345678901234567890123\"", NULL},
    {"hostname", "\"01234567890123456789012345678901234567890123456789012345678901234\"",
     "hostname: is longer than 64 bytes"},
    {"linux.namespaces", "[]", "hostname: needs a \"uts\" entry in linux.namespaces"},
    {"annotations", "{\"\":\"x\"}", "annotations: an empty name is not allowed"},
    {"annotations", "{\"a\":1}", "annotations.a: want a string"},
    {"annotations", "{\"org.x\":\"\"}", NULL},
    {"linux", "[]", "linux: want an object"},
    {"solaris", "5", NULL},
};

static const struct validate_case process[] = {
    {"process.args", NULL, "process.args: want at least one string"},
    {"process.args", "[]", "process.args: want at least one string"},
    {"process.args", "[\"\"]", "process.args[0]: want the program's name"},
    {"process.args", "[\"a\",5]", "process.args[1]: want a string"},
    {"process.cwd", NULL, "process.cwd: missing"},
    {"process.cwd", "\"tmp\"", "process.cwd: want an absolute path"},
    {"process.env", "[\"A=1\",\"B\"]", "process.env[1]: want NAME=VALUE"},
    {"process.env", "[\"=B\"]", "process.env[0]: want NAME=VALUE"},
    {"process.env", "[\"A=\"]", NULL},
    {"process.terminal", "\"yes\"", "process.terminal: want true or false"},
    {"process.consoleSize", "{\"height\":70000,\"width\":1}", NULL}, /* ignored, no terminal */
    {"process.consoleSize", "{\"height\":1}", "process.consoleSize.width: missing"},
    {"process.user", "{\"gid\":5}", "process.user.uid: missing"},
    {"process.user", "{\"uid\":-1,\"gid\":5}",
     "process.user.uid: want an integer from 0 to 4294967295"},
    {"process.user", "{\"uid\":4294967295,\"gid\":5}",
     "process.user.uid: 4294967295 is no user id"},
    {"process.user", "{\"uid\":1,\"gid\":4294967295}", "process.user.gid: 4294967295 is no group"},
    {"process.user", "{\"uid\":1,\"gid\":1,\"umask\":512}", "process.user.umask: want a number"},
    {"process.user", "{\"uid\":1,\"gid\":1,\"additionalGids\":[1,4294967295]}",
     "process.user.additionalGids[1]: 4294967295 is no group id"},
    {"process.oomScoreAdj", "-1001", "process.oomScoreAdj: want an integer from -1000 to 1000"},
    {"process.capabilities", "{\"ambient\":[\"CAP_CHOWN\",\"CAP_NONE\"]}", NULL, true},
    {"process.capabilities", "{\"ambient\":[5]}", "process.capabilities.ambient[0]: want a string"},
    {"process.capabilities", "{\"bounding\":[\"CAP_CHECKPOINT_RESTORE\"]}", NULL},
    {"process.rlimits", "[{\"type\":\"NOFILE\",\"soft\":1,\"hard\":1}]",
     "process.rlimits[0].type: \"NOFILE\" is no resource limit"},
    {"process.rlimits", "[{\"type\":\"RLIMIT_AS\",\"soft\":2,\"hard\":1}]",
     "process.rlimits[0].soft: is greater than hard"},
    {"process.rlimits",
     "[{\"type\":\"RLIMIT_AS\",\"soft\":1,\"hard\":1},{\"type\":\"RLIMIT_AS\",\"soft\":1,"
     "\"hard\":1}]",
     "process.rlimits[1].type: RLIMIT_AS was given before"},
    {"process.rlimits", "[{\"type\":\"RLIMIT_AS\",\"soft\":1}]",
     "process.rlimits[0].hard: missing"},
    {"process.scheduler", "{\"policy\":\"FIFO\"}",
     "process.scheduler.policy: \"FIFO\" is no policy"},
    {"process.scheduler", "{\"policy\":\"SCHED_RR\",\"priority\":100}",
     "process.scheduler.priority: want an integer from 0 to 99"},
    {"process.scheduler", "{\"policy\":\"SCHED_RR\",\"nice\":20}",
     "process.scheduler.nice: want an integer from -20 to 19"},
    {"process.scheduler", "{\"policy\":\"SCHED_RR\",\"flags\":[\"X\"]}",
     "process.scheduler.flags[0]: \"X\" is no flag"},
    {"process.ioPriority", "{\"class\":\"BE\",\"priority\":1}",
     "process.ioPriority.class: \"BE\" is no class"},
    {"process.ioPriority", "{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}",
     "process.ioPriority.priority: want an integer from 0 to 7"},
    {"process.execCPUAffinity", "{\"initial\":\"0-\"}",
     "process.execCPUAffinity.initial: want CPUs"},
    {"process.execCPUAffinity", "{\"final\":\"3-1\"}", "process.execCPUAffinity.final: want CPUs"},
    {"process.execCPUAffinity", "{\"final\":\"1,\"}", "process.execCPUAffinity.final: want CPUs"},
    {"process.execCPUAffinity", "{\"final\":\"0,2-5,7\"}", NULL},
};

static const struct validate_case mounts_and_hooks[] = {
    {"mounts", "{}", "mounts: want a list of objects"},
    {"mounts", "[{\"type\":\"proc\"}]", "mounts[0].destination: missing"},
    {"mounts", "[{\"destination\":\"proc\",\"type\":\"proc\"}]", NULL, true},
    {"mounts", "[{\"destination\":\"\",\"type\":\"proc\"}]",
     "mounts[0].destination: want an absolute path"},
    {"mounts", "[{\"destination\":\"/p\",\"type\":\"bind\"}]",
     "mounts[0].source: missing for a bind mount"},
    {"mounts", "[{\"destination\":\"/p\"}]", "mounts[0].type: missing"},
    {"mounts", "[{\"destination\":\"/p\",\"options\":[\"bind\"]}]",
     "mounts[0].source: missing for a bind mount"},
    {"mounts", "[{\"destination\":\"/p\",\"options\":[\"remount\",\"ro\"]}]", NULL},
    {"mounts", "[{\"destination\":\"/p\",\"type\":\"tmpfs\",\"options\":[\"ro\",\"\"]}]", NULL,
     true},
    {"mounts", "[{\"destination\":\"/p\",\"type\":\"tmpfs\",\"options\":[\"ro,suid\"]}]",
     "mounts[0].options[0]: a comma or control character"},
    {"mounts", "[{\"destination\":\"/p\",\"type\":\"tmpfs\",\"options\":[\"a\\nb\"]}]",
     "mounts[0].options[0]: a comma or control character"},
    {"mounts",
     "[{\"destination\":\"/p\",\"source\":\"/s\",\"options\":[\"bind\",\"rslave\",\"shared\"]}]",
     NULL},
    {"mounts",
     "[{\"destination\":\"/p\",\"source\":\"/s\",\"options\":[\"bind\",\"idmap\"],"
     "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}]}]",
     "mounts[0].gidMappings: missing"},
    {"mounts",
     "[{\"destination\":\"/p\",\"source\":\"/s\",\"options\":[\"bind\",\"idmap\"],"
     "\"uidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":1}],"
     "\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":0}]}]",
     "mounts[0].gidMappings[0].size: want at least 1"},
    {"mounts", "[{\"destination\":\"/p\",\"source\":\"/s\",\"options\":[\"bind\",\"idmap\"]}]",
     NULL},
    {"hooks", "{\"poststop\":[{\"path\":\"x\"}]}", "hooks.poststop[0].path: want an absolute path"},
    {"hooks", "{\"prestart\":[{}]}", "hooks.prestart[0].path: missing"},
    {"hooks", "{\"createRuntime\":[{\"path\":\"/x\"},{\"path\":\"/x\",\"timeout\":0}]}",
     "hooks.createRuntime[1].timeout: want more than 0 seconds"},
    {"hooks", "{\"startContainer\":[{\"path\":\"/x\",\"env\":[\"A\"]}]}",
     "hooks.startContainer[0].env[0]: want NAME=VALUE"},
};

#define MAP(c, h, n) "{\"containerID\":" #c ",\"hostID\":" #h ",\"size\":" #n "}"

static const struct validate_case linux_cases[] = {
    {"linux.namespaces", "[{\"type\":\"uts\"},{\"type\":\"pid\"},{}]",
     "linux.namespaces[2].type: missing"},
    {"linux.namespaces", "[{\"type\":\"uts\"},{\"type\":\"net\"}]",
     "linux.namespaces[1].type: \"net\" is none of pid, network,"},
    {"linux.namespaces", "[{\"type\":\"uts\"},{\"type\":\"pid\"},{\"type\":\"uts\"}]",
     "linux.namespaces[2].type: \"uts\" was given before"},
    {"linux.namespaces", "[{\"type\":\"uts\",\"path\":\"x\"}]",
     "linux.namespaces[0].path: want an absolute path"},
    {"linux.uidMappings", "[" MAP(0, 1000, 0) "]", "linux.uidMappings[0].size: want at least 1"},
    {"linux.uidMappings", "[" MAP(0, 1000, 1) "," MAP(1, 100000, 65536) "]", NULL},
    {"linux.uidMappings", "[" MAP(0, 0, 4294967295) "]", NULL},
    {"linux.uidMappings", "[" MAP(1, 0, 4294967295) "]",
     "linux.uidMappings[0].containerID: the range ends behind 4294967294"},
    {"linux.uidMappings", "[" MAP(0, 4294967295, 1) "]",
     "linux.uidMappings[0].hostID: the range ends behind 4294967294"},
    {"linux.gidMappings", "[" MAP(0, 1000, 2) "," MAP(1, 5000, 1) "]",
     "linux.gidMappings[1].containerID: the range overlaps entry 0"},
    {"linux.gidMappings", "[" MAP(0, 1000, 2) "," MAP(2, 1001, 1) "]",
     "linux.gidMappings[1].hostID: the range overlaps entry 0"},
    {"linux.devices", "[{\"type\":\"x\",\"path\":\"/d\"}]", "linux.devices[0].type: want"},
    {"linux.devices", "[{\"type\":\"\",\"path\":\"/d\"}]", "linux.devices[0].type: want"},
    {"linux.devices", "[{\"type\":\"c\",\"path\":\"d\"}]", "linux.devices[0].path: want an absol"},
    {"linux.devices", "[{\"type\":\"c\",\"path\":\"/d\",\"major\":4096}]",
     "linux.devices[0].major: want an integer from 0 to 4095"},
    {"linux.devices", "[{\"type\":\"c\",\"path\":\"/d\",\"minor\":-1}]",
     "linux.devices[0].minor: want an integer from 0 to 1048575"},
    {"linux.devices", "[{\"type\":\"c\",\"path\":\"/d\",\"fileMode\":65536}]",
     "linux.devices[0].fileMode: want a file mode"},
    {"linux.sysctl", "{\"net.core.somaxconn\":\"1\",\"net/ipv4/ip_forward\":\"1\"}", NULL},
    {"linux.sysctl", "{\"net.core.somaxconn\":1}", "linux.sysctl[\"net.core.somaxconn\"]: want a"},
    {"linux.sysctl", "{\"../x\":\"1\"}", "linux.sysctl[\"../x\"]: want a name"},
    {"linux.sysctl", "{\"net/../x\":\"1\"}", "linux.sysctl[\"net/../x\"]: want a name"},
    {"linux.sysctl", "{\"/etc\":\"1\"}", "linux.sysctl[\"/etc\"]: want a name"},
    {"linux.sysctl", "{\"\":\"1\"}", "linux.sysctl[\"\"]: want a name"},
    {"linux.sysctl", "{\"a b\":\"..\"}", "linux.sysctl[\"a b\"]: want a name"},
    {"linux.sysctl", "{\"a.b\":\"..\"}", NULL},
    {"linux.cgroupsPath", "\"/a/../b\"", "linux.cgroupsPath: \"..\" is not allowed"},
    {"linux.cgroupsPath", "\"user.slice:rootlet:x..y\"", NULL},
    {"linux.rootfsPropagation", "\"both\"", "linux.rootfsPropagation: \"both\" is none of"},
    {"linux.rootfsPropagation", "\"rslave\"", NULL},
    {"linux.maskedPaths", "[\"/a\",\"b\"]", "linux.maskedPaths[1]: want an absolute path"},
    {"linux.readonlyPaths", "[\"\"]", "linux.readonlyPaths[0]: want an absolute path"},
};

static const struct validate_case raw[] = {
    {"linux.resources", "[]", "linux.resources: want an object"},
    {"linux.resources", "{\"memory\":{\"limit\":\"5m\"}}",
     "linux.resources.memory.limit: want an integer"},
    {"linux.resources", "{\"cpu\":{\"cpus\":\"a\"}}", "linux.resources.cpu.cpus: want numbers"},
    {"linux.resources", "{\"pids\":{\"limit\":true}}", "linux.resources.pids.limit: want an int"},
    {"linux.resources", "{\"devices\":[{\"type\":\"a\"}]}",
     "linux.resources.devices[0].allow: missing"},
    {"linux.resources", "{\"devices\":[{\"allow\":true,\"type\":\"x\"}]}",
     "linux.resources.devices[0].type: want"},
    {"linux.resources", "{\"devices\":[{\"allow\":true,\"access\":\"rx\"}]}",
     "linux.resources.devices[0].access: want"},
    {"linux.resources", "{\"hugepageLimits\":[{\"limit\":1}]}",
     "linux.resources.hugepageLimits[0].pageSize: missing"},
    {"linux.resources", "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":1,\"minor\":1}]}}",
     "linux.resources.blockIO.throttleReadBpsDevice[0].rate: missing"},
    {"linux.resources", "{\"network\":{\"priorities\":[{\"name\":\"e\"}]}}",
     "linux.resources.network.priorities[0].priority: missing"},
    {"linux.resources", "{\"rdma\":{\"mlx\":{\"hcaHandles\":-1}}}",
     "linux.resources.rdma[\"mlx\"].hcaHandles: want an integer"},
    {"linux.resources", "{\"unified\":{\"io.weight\":5}}",
     "linux.resources.unified[\"io.weight\"]: want a string"},
    {"linux.personality", "{\"domain\":\"BSD\"}", "linux.personality.domain: want"},
    {"linux.personality", "{\"domain\":\"LINUX\",\"flags\":[\"X\"]}", "linux.personality.flags: "},
    {"linux.timeOffsets", "{\"monotonic\":{}}", "linux.timeOffsets: needs a \"time\" entry"},
    {"linux.timeOffsets", "{\"real\":{}}", "linux.timeOffsets[\"real\"]: want"},
    {"linux.timeOffsets", "{\"boottime\":{\"nanosecs\":1000000000}}",
     "linux.timeOffsets.boottime.nanosecs: want less"},
    {"linux.timeOffsets", "{\"boottime\":{\"secs\":\"1\"}}",
     "linux.timeOffsets[\"boottime\"].secs: want an integer"},
    {"linux.netDevices", "{\"eth0\":{\"name\":\"a/b\"}}", "linux.netDevices[\"eth0\"]: want"},
    {"linux.netDevices", "{\"eth0\":{\"name\":\"e\"}}", NULL},
    {"linux.netDevices", "[]", "linux.netDevices: want an object"},
    {"linux.memoryPolicy", "{}", "linux.memoryPolicy.mode: missing"},
    {"linux.memoryPolicy", "{\"mode\":\"MPOL\"}", "linux.memoryPolicy.mode: \"MPOL\" is no mode"},
    {"linux.memoryPolicy", "{\"mode\":\"MPOL_BIND\",\"flags\":[\"X\"]}",
     "linux.memoryPolicy.flags[0]: is no flag"},
    {"linux.memoryPolicy", "{\"mode\":\"MPOL_BIND\",\"nodes\":\"x\"}",
     "linux.memoryPolicy.nodes: want"},
    {"linux.intelRdt", "{\"memBwSchema\":\"L3:\"}", "linux.intelRdt.memBwSchema: want"},
    {"linux.intelRdt", "{\"schemata\":[\"a\",\"b\\nc\"]}", "linux.intelRdt.schemata[1]: want one"},
};

#define ALLOW "\"defaultAction\":\"SCMP_ACT_ALLOW\""
#define RULE(members) "{" ALLOW ",\"syscalls\":[{\"names\":[\"read\"]," members "}]}"

static const struct validate_case seccomp[] = {
    {"linux.seccomp", "{}", "linux.seccomp.defaultAction: missing"},
    {"linux.seccomp", "{\"defaultAction\":\"ALLOW\"}",
     "linux.seccomp.defaultAction: \"ALLOW\" is no action"},
    {"linux.seccomp", "{" ALLOW ",\"defaultErrnoRet\":1}",
     "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes no error number"},
    {"linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096}",
     "linux.seccomp.defaultErrnoRet: want an integer from 0 to 4094"},
    {"linux.seccomp", "{\"defaultAction\":\"SCMP_ACT_NOTIFY\"}",
     "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY is for single calls"},
    {"linux.seccomp", "{" ALLOW ",\"architectures\":[\"SCMP_ARCH_X86\",\"X86\"]}",
     "linux.seccomp.architectures[1]: \"X86\" is no architecture"},
    {"linux.seccomp", "{" ALLOW ",\"flags\":[\"X\"]}", "linux.seccomp.flags[0]: \"X\" is no flag"},
    {"linux.seccomp", "{" ALLOW ",\"listenerMetadata\":\"m\"}",
     "linux.seccomp.listenerMetadata: needs listenerPath"},
    {"linux.seccomp", "{" ALLOW ",\"listenerPath\":\"l\"}",
     "linux.seccomp.listenerPath: want an absolute path"},
    {"linux.seccomp", "{" ALLOW ",\"syscalls\":[{\"names\":[],\"action\":\"SCMP_ACT_LOG\"}]}",
     "linux.seccomp.syscalls[0].names: want at least one system call"},
    {"linux.seccomp", "{" ALLOW ",\"syscalls\":[{\"names\":[\"\"],\"action\":\"SCMP_ACT_LOG\"}]}",
     "linux.seccomp.syscalls[0].names[0]: is empty"},
    {"linux.seccomp", RULE("\"action\":\"SCMP_ACT_NO\""),
     "linux.seccomp.syscalls[0].action: \"SCMP_ACT_NO\" is no action"},
    {"linux.seccomp", RULE("\"action\":\"SCMP_ACT_NOTIFY\""),
     "linux.seccomp.syscalls[0].action: SCMP_ACT_NOTIFY needs listenerPath"},
    {"linux.seccomp", RULE("\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1"),
     "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL takes no error number"},
    {"linux.seccomp",
     RULE("\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":6,\"value\":0,"
          "\"op\":\"SCMP_CMP_EQ\"}]"),
     "linux.seccomp.syscalls[0].args[0].index: want an integer from 0 to 5"},
    {"linux.seccomp",
     RULE("\"action\":\"SCMP_ACT_LOG\",\"args\":[{\"index\":0,\"value\":0,\"op\":\"EQ\"}]"),
     "linux.seccomp.syscalls[0].args[0].op: \"EQ\" is no operator"},
    {"linux.seccomp", RULE("\"action\":\"SCMP_ACT_ERRNO\",\"errnoRet\":38"), NULL},
};

/* Replaces what path ("a.b") names in doc. */
static void replace(json_t *doc, const char *path, const char *json)
{
    char copy[100];
    snprintf(copy, sizeof(copy), "%s", path);
    char *key = copy, *dot;
    for (; (dot = strchr(key, '.')); key = dot + 1) {
        *dot = '\0';
        doc = json_object_get(doc, key);
    }
    if (!json) {
        json_object_del(doc, key);
        return;
    }
    json_t *value = json_loads(json, JSON_DECODE_ANY, NULL);
    if (!value)
        fail_msg("the case's JSON is wrong: %s", json);
    json_object_set_new(doc, key, value);
}

/* For test-spec-schema: the documents tried here, each with what became of it. */
static void record(bool ok, const char *text)
{
    const char *path = getenv("SPEC_CASES_OUT");
    scoped_file FILE *f = path ? fopen(path, "ae") : NULL;
    if (f)
        fprintf(f, "%s %s\n", ok ? "ok" : "bad", text);
}

static void run(const struct validate_case *cases, size_t n)
{
    scoped_spec struct spec d = {0};
    spec_default(&d);
    for (size_t i = 0; i < n; i++) {
        struct err e = ERR_INIT;
        struct spec s = {0};
        scoped_json json_t *doc = spec_emit(&d);
        replace(doc, cases[i].path, cases[i].json);
        scoped_free char *text = json_text(doc, false);
        int r = spec_parse(text, strlen(text), "c.json", &s, &e);
        if (!cases[i].tolerated)
            record(r == 0, text);
        const char *message = str_after(e.msg, "c.json: ");
        if (r == 0 && cases[i].want)
            fail_msg("%s = %s was accepted", cases[i].path, cases[i].json);
        if (r < 0 && !cases[i].want)
            fail_msg("%s = %s was refused: %s", cases[i].path, cases[i].json, e.msg);
        if (r < 0 && (!message || !str_after(message, cases[i].want)))
            fail_msg("%s = %s gave: %s, not: %s", cases[i].path, cases[i].json, e.msg,
                     cases[i].want);
        if (r < 0)
            assert_null(s.oci_version);
        spec_release(&s);
    }
}

#define TABLE_TEST(name)                                                                           \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        (void)state;                                                                               \
        run(name, N_ELEMENTS(name));                                                               \
    }
TABLE_TEST(top)
TABLE_TEST(process)
TABLE_TEST(mounts_and_hooks)
TABLE_TEST(linux_cases)
TABLE_TEST(raw)
TABLE_TEST(seccomp)

static void test_needs_user_namespace(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_spec struct spec s = {0};
    spec_default(&s);
    spec_namespace_remove(&s, "user");
    assert_int_equal(spec_validate(&s, &e), 0);
    s.linux_->gid_mappings = xcalloc(1, sizeof(*s.linux_->gid_mappings));
    s.linux_->gid_mappings[0].size = 1;
    s.linux_->n_gid_mappings = 1;
    assert_int_equal(spec_validate(&s, &e), -EINVAL);
    assert_non_null(strstr(e.msg, "linux.gidMappings: needs a \"user\" entry"));
}

static void test_terminal_size(void **state)
{
    (void)state;
    struct err e = ERR_INIT;
    scoped_spec struct spec s = {0};
    spec_default(&s);
    s.process->terminal = true;
    s.process->console_size = xcalloc(1, sizeof(*s.process->console_size));
    s.process->console_size->height = 70000;
    assert_int_equal(spec_validate(&s, &e), -EINVAL);
    assert_string_equal(e.msg, "process.consoleSize: want a height and width up to 65535");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_top),
        cmocka_unit_test(test_process),
        cmocka_unit_test(test_mounts_and_hooks),
        cmocka_unit_test(test_linux_cases),
        cmocka_unit_test(test_raw),
        cmocka_unit_test(test_seccomp),
        cmocka_unit_test(test_needs_user_namespace),
        cmocka_unit_test(test_terminal_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
