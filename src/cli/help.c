/* help - the overview of all commands, those of our other programs included: they are asked for
 * their tables, so that these stand in one place. Only where no command of ours was typed. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/proc.h"
#include "cli/cli.h"

#define TABLE_MAX (1u << 20)

static const char *const programs[] = {"rootlet-image", "rootlet-registry", "rootlet-build"};

/* What "PROGRAM help --dump" prints is added; nothing when it cannot be had: then help is shorter.
 */
static void add_tables(const char *name, struct str *add)
{
    scoped_free char *program = path_join(cli_conf()->libexec, name), *text = NULL;
    char help[] = "help", dump[] = "--dump", *argv[] = {program, help, dump, NULL};
    scoped_fd int fd = memfd_create("tables", MFD_CLOEXEC);
    struct err e = ERR_INIT;
    struct proc_cmd cmd = {.argv = argv, .stdin_fd = -1, .stdout_fd = fd, .timeout_ms = 5000};
    if (fd < 0 || proc_run(&cmd, &e) != 0 || lseek(fd, 0, SEEK_SET) < 0 ||
        fs_read_fd(fd, TABLE_MAX, &text, &e) < 0)
        return;
    str_add(add, text);
}

/* "NAME<TAB>FLAGS<TAB>ARG<TAB>HELP" as a command without options: its name and summary are all
 * that an overview needs. Points into line. */
static bool parse_line(char *line, struct cmd *ret)
{
    char *fields[4];
    for (size_t i = 0; i < 4; i++) {
        fields[i] = strsep(&line, "\t");
        if (!fields[i])
            return false;
    }
    if (fields[1][0] && fields[1][0] != '@')
        return false; /* an option */
    *ret = (struct cmd){.name = fields[0], .args = fields[2], .summary = fields[3]};
    return true;
}

/* Aliases come behind their command. */
static const char *summary_of(const struct cmd *list, size_t n, const char *alias_flags)
{
    for (size_t i = 0; i < n; i++)
        if (streq(list[i].name, alias_flags + 1))
            return list[i].summary;
    return "";
}

struct cmd *cli_image_commands(char **ret_text)
{
    struct str tables = STR_INIT;
    char *line;
    struct cmd *list = NULL;
    size_t n = 0;
    for (size_t i = 0; i < N_ELEMENTS(programs); i++)
        add_tables(programs[i], &tables);
    char *text = str_detach(&tables), *rest = text;
    while ((line = strsep(&rest, "\n"))) {
        list = xrealloc(list, (n + 2) * sizeof(*list));
        if (!parse_line(line, &list[n]))
            continue;
        const char *flags = list[n].name + strlen(list[n].name) + 1;
        if (*flags == '@')
            list[n].summary = summary_of(list, n, flags);
        n++;
    }
    if (list)
        list[n] = (struct cmd){0};
    *ret_text = text;
    return list;
}
