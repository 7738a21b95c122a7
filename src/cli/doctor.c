/* doctor - probes the host and prints what works, what does not, and the command that mends it. */
#include <stddef.h>
#include <stdio.h>

#include "base/jfield.h"
#include "cli/cli.h"
#include "cli/probes.h"

static const char *const level_names[] = {"ok", "note", "BAD"};

struct report {
    json_t *json; /* array, or NULL: print lines */
    int bad;
};

static void run_probe(const struct probe *p, struct report *r)
{
    struct finding f = {0};
    char text[1300];
    p->run(cli_conf(), &f);
    if (f.level == FINDING_BAD)
        r->bad++;
    if (r->json) {
        json_array_append_new(r->json, json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", p->name,
                                                 "level", level_names[f.level], "found", f.text,
                                                 "fix", f.fix, "needed_for", p->why));
        return;
    }
    printf("%-5s %-18s %s\n", level_names[f.level], p->name,
           err_escape(text, sizeof(text), f.text));
    if (f.level != FINDING_OK && f.fix[0])
        printf("%-5s %-18s mend: %s\n", "", "", err_escape(text, sizeof(text), f.fix));
    fflush(stdout);
}

struct doctor_opts {
    bool json;
};
static const struct opt doctor_table[] = {
    {"json", 0, OPT_FLAG, offsetof(struct doctor_opts, json), NULL, "Print the findings as JSON"},
    {NULL},
};

static int doctor(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct doctor_opts *o = opts;
    scoped_json json_t *array = o->json ? json_array() : NULL;
    struct report r = {.json = array};
    (void)cmd;
    (void)args;
    (void)e;
    for (const struct probe *p = host_probes; p->name; p++)
        run_probe(p, &r);
    for (const struct probe *p = session_probes; p->name; p++)
        run_probe(p, &r);
    for (const struct probe *p = network_probes; p->name; p++)
        run_probe(p, &r);
    if (o->json) {
        scoped_free char *text = json_text(array, true);
        puts(text);
    } else if (r.bad) {
        printf("%d of these stand%s in the way of containers\n", r.bad, r.bad == 1 ? "s" : "");
    } else {
        puts("this host can run containers");
    }
    return r.bad ? 1 : 0;
}

const struct cmd cli_doctor_cmds[] = {
    {
        .name = "doctor",
        .args = "",
        .summary = "Check this host and say how to mend what is missing",
        .opts = doctor_table,
        .opts_size = sizeof(struct doctor_opts),
        .run = doctor,
        .details = "Exit status 1 when something that containers need does not work.",
        .examples = "rootlet doctor\nrootlet doctor --json",
    },
    {NULL},
};
