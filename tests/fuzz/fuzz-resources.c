/* Any bytes as linux.resources: no crash; what is accepted gives writes that name files of the
 * group itself, one line each, and a device program that ends. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "cgroup/devices.h"
#include "cgroup/resources.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_file(const char *name)
{
    if (!*name || *name == '.' || strchr(name, '/') || strstr(name, "..") || strchr(name, '\n'))
        abort();
}

static void check_plan(const struct plan *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct plan_write *w = &p->writes[i];
        check_file(w->file);
        if (!*w->value || strchr(w->value, '\n') || !*w->what || !w->alt_file != !w->alt_value)
            abort();
        if (w->alt_file)
            check_file(w->alt_file);
        if (!strncmp(w->file, "cgroup.", 7) && strncmp(w->file, "cgroup.max.", 11) != 0 &&
            strcmp(w->file, "cgroup.pressure") != 0)
            abort();
    }
}

/* Every jump goes forward and stays inside; the last instruction is an exit. */
static void check_program(const struct device_prog *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct bpf_insn *insn = &p->insns[i];
        int class = insn->code & 7;
        if ((class == BPF_JMP32 || class == BPF_JMP) &&
            (insn->off < 0 || i + 1 + (size_t)insn->off >= p->n + (insn->off == 0)))
            abort();
    }
    if (p->n == 0 || p->insns[p->n - 1].code != (BPF_JMP | BPF_EXIT))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct err e = ERR_INIT;
    log_max = LOG_LEVEL_ERROR;
    scoped_json json_t *j = json_parse((const char *)data, size, 1u << 20, "input", &e);
    if (!j)
        return 0;
    for (int update = 0; update < 2; update++) {
        struct plan p;
        if (resources_plan(j, update, &p, &e) == 0) {
            check_plan(&p);
            plan_release(&p);
        } else if (!e.msg[0]) {
            abort();
        }
    }
    struct resources r;
    struct device_prog prog;
    if (resources_parse(j, &r, &e) < 0)
        return 0;
    if (device_prog_build(r.devices, r.n_devices, &prog, &e) == 0) {
        check_program(&prog);
        device_prog_release(&prog);
    }
    resources_release(&r);
    return 0;
}
