/* quadlet_list - the list of unit files with the states of their units, and talk to systemctl. */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/quadlet.h"
#include "format/format.h"

#define SYSTEMCTL_MAX_BYTES (1u << 20)

char *cli_systemctl(char *const *words)
{
    scoped_strv char **argv = NULL;
    scoped_fd int out = memfd_create("systemctl", MFD_CLOEXEC);
    const char *runtime = getenv("XDG_RUNTIME_DIR");
    scoped_free char *socket = runtime ? path_join(runtime, "systemd/private") : NULL;
    char *text = NULL;
    if (out < 0 || !socket || access(socket, F_OK) < 0)
        return NULL;
    strv_add(&argv, "systemctl");
    strv_add(&argv, "--user");
    strv_extend(&argv, words);
    struct proc_cmd cmd = {
        .argv = argv, .envp = environ, .stdin_fd = -1, .stdout_fd = out, .timeout_ms = 90000};
    struct err e = ERR_INIT;
    if (proc_run(&cmd, &e) < 0 || lseek(out, 0, SEEK_SET) < 0)
        return NULL;
    return fs_read_fd(out, SYSTEMCTL_MAX_BYTES, &text, NULL) < 0 ? NULL : text;
}

void cli_quadlet_reload(void)
{
    scoped_free char *done = cli_systemctl((char *[]){(char *)(uintptr_t) "daemon-reload", NULL});
    if (!done)
        cli_notice("systemd does not know of it yet: systemctl --user daemon-reload");
}

struct list_opts {
    bool no_header, quiet;
    char *format;
};
#define O(m) offsetof(struct list_opts, m)
static const struct opt list_table[] = {
    {"format", 0, OPT_STRING, O(format), "TEMPLATE", "json, jsonl, table ..., or a Go template"},
    {"noheading", 'n', OPT_FLAG, O(no_header), NULL, "No line of titles"},
    {"quiet", 'q', OPT_FLAG, O(quiet), NULL, "Names of units only"},
    {NULL},
};

/* The state of each unit, in order; fewer or none when systemd does not say. A template has no
 * state, and systemctl does not take its name. */
static char **states_of(char *const *services)
{
    scoped_strv char **words = NULL;
    strv_add(&words, "show");
    strv_add(&words, "--property=ActiveState");
    strv_add(&words, "--value");
    strv_add(&words, "--"); /* names may begin with a dash */
    size_t n = strv_len(words);
    for (char *const *s = services; s && *s; s++)
        if (!strstr(*s, "@."))
            strv_add(&words, *s);
    scoped_free char *text = strv_len(words) > n ? cli_systemctl(words) : NULL;
    return text ? strv_split(text, "\n", false) : NULL;
}

static int list(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    static const char *const headers[] = {"UnitName=UNIT NAME", "Path=PATH ON DISK", NULL};
    const struct list_opts *o = opts;
    struct quadlet_set s SCOPED(quadlet_set_release) = {0};
    struct quadlet_dirs dirs SCOPED(quadlet_dirs_release) = {0};
    scoped_free char *program = NULL;
    scoped_strv char **services = NULL, **states = NULL;
    scoped_json json_t *rows = json_array();
    (void)cmd;
    (void)args;
    cli_quadlet_load(&s, NULL, &dirs, &program);
    for (size_t i = 0; i < s.n; i++)
        strv_take(&services, quadlet_service_name(s.files[i]));
    states = o->quiet ? NULL : states_of(services);
    for (size_t i = 0, k = 0; i < s.n; i++) {
        bool template = strstr(services[i], "@.");
        const char *state = template ? "template" : states && states[k] ? states[k++] : "unknown";
        json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "Name", s.files[i]->name,
                                              "UnitName", services[i], "Path", s.files[i]->path,
                                              "Status", state));
    }
    struct format_options f = {
        .text = o->quiet ? "{{.UnitName}}" : o->format,
        .default_table = "table {{.Name}}\t{{.UnitName}}\t{{.Path}}\t{{.Status}}",
        .headers = headers,
        .no_header = o->no_header,
    };
    scoped_str struct str out = STR_INIT;
    int r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static const char *const list_aliases[] = {"quadlet ls", NULL};

const struct cmd cli_quadlet_list_cmds[] = {
    {
        .name = "quadlet list",
        .args = "",
        .summary = "List unit files of containers and the states of their units",
        .opts = list_table,
        .opts_size = sizeof(struct list_opts),
        .run = list,
        .aliases = list_aliases,
        .examples = "rootlet quadlet list\nrootlet quadlet list --format '{{.UnitName}}'",
    },
    {NULL},
};
