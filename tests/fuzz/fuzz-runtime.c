/* fuzz-runtime - what a runtime reads beside the whole configuration. The first line tells which:
 *
 *   process    a process object (exec --process): what is accepted survives a round trip
 *   seccomp    a linux.seccomp section: what the specification allows can be compiled
 *   resources  linux.resources: no name of a file or value leads elsewhere; device programs
 *   mount      words of a mount, one a line: the same whatever their order in the list of data
 * Row B49. */
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/str.h"
#include "base/strv.h"
#include "cgroup/devices.h"
#include "cgroup/resources.h"
#include "mounts/mounts.h"
#include "security/profile.h"
#include "security/seccomp.h"
#include "spec/spec.h"
#include "sys/mountfd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool fact)
{
    if (!fact)
        abort();
}

static void try_process(const char *text, size_t len)
{
    struct err e = ERR_INIT;
    struct spec_process p = {.terminal = false}, again = {.terminal = false};
    scoped_json json_t *doc = json_parse(text, len, SPEC_MAX_BYTES, "input", &e);
    if (!doc || spec_process_parse(doc, "process", &p, &e) < 0) {
        must(e.errnum > 0 && e.msg[0]);
        return;
    }
    scoped_json json_t *first = spec_process_emit(&p);
    must(spec_process_parse(first, "process", &again, &e) == 0);
    scoped_json json_t *second = spec_process_emit(&again);
    must(json_equal(first, second) && p.args && p.args[0] && p.cwd[0] == '/');
    spec_process_release(&p);
    spec_process_release(&again);
}

/* Only what the two readers of a section say of it: libseccomp may still find rules that
 * contradict each other. */
static void try_seccomp(const char *text, size_t len)
{
    struct err e = ERR_INIT;
    struct spec_seccomp s = {.n_syscalls = 0};
    scoped_json json_t *doc = json_parse(text, len, PROFILE_MAX_BYTES, "input", &e);
    if (!doc || spec_seccomp_parse(doc, "linux.seccomp", &s, &e) < 0) {
        must(e.errnum > 0 && e.msg[0]);
        return;
    }
    scoped_strv char **warnings = NULL;
    scoped_profile struct profile p = {.n_rules = 0};
    struct seccomp_prog prog = {.n = 0};
    scoped_json json_t *section = spec_seccomp_emit(&s);
    const struct profile_target target = {.kernel = "6.1"};
    must(profile_parse(section, &p, &warnings, &e) == 0);
    if (profile_compile(&p, &target, &prog, &e) < 0)
        must(strstr(e.msg, "libseccomp") || strstr(e.msg, "instructions"));
    seccomp_prog_release(&prog);
    spec_seccomp_release(&s);
}

static void try_plan(const json_t *doc, bool update)
{
    struct err e = ERR_INIT;
    struct plan plan = {.n = 0};
    if (resources_plan(doc, update, &plan, &e) < 0) {
        must(e.errnum > 0 && e.msg[0]);
        return;
    }
    for (size_t i = 0; i < plan.n; i++) {
        const struct plan_write *w = &plan.writes[i];
        must(w->file[0] && !strchr(w->file, '/') && strchr(w->file, '.') && w->value && w->what);
        must(!w->alt_file || !strchr(w->alt_file, '/'));
        must(strcmp(w->file, "cgroup.procs") != 0 &&
             strcmp(w->file, "cgroup.subtree_control") != 0);
    }
    plan_release(&plan);
}

static void try_resources(const char *text, size_t len)
{
    struct err e = ERR_INIT;
    scoped_json json_t *doc = json_parse(text, len, SPEC_MAX_BYTES, "input", &e);
    if (!doc)
        return;
    try_plan(doc, false);
    try_plan(doc, true);
    devices_check(doc, &e);
}

static void try_mount(const char *text, size_t len)
{
    struct err e = ERR_INIT;
    struct mount_options o = {.data = NULL}, last = {.data = NULL};
    scoped_free char *copy = xstrndup(text, len);
    scoped_strv char **words = strv_split(copy, "\n", false);
    if (mount_options_parse(words, &o, &e) < 0) {
        must(e.errnum > 0 && e.msg[0]);
        return;
    }
    /* Set or cleared, but for the access times, which are cleared as a field first. */
    must(!(o.attr_set & o.attr_clear & ~(uint64_t)MOUNT_ATTR__ATIME));
    must(!(o.rec_attr_set & o.rec_attr_clear & ~(uint64_t)MOUNT_ATTR__ATIME));
    must(!o.recursive || o.bind);
    must((!o.ridmap && !o.idmap_text) || o.idmap);
    must(o.propagation || !o.propagation_then);
    /* All of them said a second time change nothing but the data. */
    size_t n = 0;
    while (words && words[n])
        n++;
    for (size_t i = 0; i < n; i++)
        strv_add(&words, words[i]);
    must(mount_options_parse(words, &last, &e) == 0);
    must(o.attr_set == last.attr_set && o.rec_attr_set == last.rec_attr_set);
    must(o.attr_clear == last.attr_clear && o.rec_attr_clear == last.rec_attr_clear);
    must(o.propagation == last.propagation && !o.data == !last.data);
    mount_options_release(&o);
    mount_options_release(&last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct {
        const char *word;
        void (*run)(const char *text, size_t len);
    } kinds[] = {
        {"process\n", try_process},
        {"seccomp\n", try_seccomp},
        {"resources\n", try_resources},
        {"mount\n", try_mount},
    };
    log_max = LOG_LEVEL_ERROR; /* warnings about what is tolerated */
    for (size_t i = 0; i < N_ELEMENTS(kinds); i++) {
        size_t n = strlen(kinds[i].word);
        if (size > n && memcmp(data, kinds[i].word, n) == 0)
            kinds[i].run((const char *)data + n, size - n);
    }
    return 0;
}
