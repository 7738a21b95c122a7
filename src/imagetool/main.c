/* main - the programs rootlet-image and rootlet-registry, and the only place of them that prints
 * errors. Which of the two it is, the table imagetool_commands says. */
#include <errno.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "conf/conf.h"
#include "imagetool/imagetool.h"

const char *imagetool_creds;

void imagetool_print(FILE *f, const char *text)
{
    size_t size = 4 * strlen(text) + 1;
    scoped_free char *out = xmalloc(size);
    fputs(err_escape(out, size, text), f);
}

void imagetool_print_err(const struct err *e)
{
    struct err more = *e;
    struct conf c = {0};
    if (conf_load(NULL, &c, NULL) == 0)
        conf_hint_room(&c, &more);
    conf_release(&c);
    fprintf(stderr, "%s ", log_error_word());
    imagetool_print(stderr, e->msg[0] ? e->msg : "failed without a reason");
    if (more.hint[0]) {
        fprintf(stderr, "\n%s ", log_hint_word());
        imagetool_print(stderr, more.hint);
    }
    fputc('\n', stderr);
}

static void dump_commands(void)
{
    scoped_str struct str out = STR_INIT;
    cmd_dump(imagetool_commands, &out);
    fputs(out.s, stdout);
}

int main(int argc, char **argv)
{
    imagetool_creds = conf_take_creds();
    struct err e = ERR_INIT;
    const char *level = getenv("ROOTLET_LOG_LEVEL");
    int parsed = level ? log_level_parse(level) : -1;
    (void)argc;
    setlocale(LC_CTYPE, "C.UTF-8");
    signal(SIGXFSZ, SIG_IGN); /* EFBIG says more than our death */
    if (parsed >= 0)
        log_max = (enum log_level)parsed;
    /* The tables as lines, for the completions and the man page test. */
    if (argv[1] && streq(argv[1], "help") && argv[2] && streq(argv[2], "--dump")) {
        dump_commands();
        return 0;
    }
    int r = cmd_dispatch("rootlet", imagetool_commands, argv + 1, &e);
    if (r >= 0 && fflush(stdout) != 0)
        r = err_set(&e, errno, "write to standard output");
    if (r >= 0)
        return r;
    if (e.msg[0] || !e.exit_status) /* a command that has told all itself leaves no message */
        imagetool_print_err(&e);
    return e.exit_status ? e.exit_status : 125;
}
