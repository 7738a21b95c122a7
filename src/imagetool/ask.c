/* ask - see ask.h. The prompt is on stderr: standard output is for results. */
#include "imagetool/ask.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "base/str.h"

#define LINE_LIMIT 4096
#define KEY_ETX '\x03' /* ^C */
#define KEY_EOT '\x04' /* ^D */
#define KEY_NAK '\x15' /* ^U: from the beginning */

static int cancelled(struct err *e)
{
    fputc('\n', stderr);
    return err_exit(e, err_msg(e, ECANCELED, "cancelled"), 130);
}

int ask_line(const char *prompt, char **ret, struct err *e)
{
    char line[LINE_LIMIT];
    fputs(prompt, stderr);
    if (!fgets(line, sizeof(line), stdin))
        return cancelled(e);
    line[strcspn(line, "\r\n")] = '\0';
    *ret = xstrdup(line);
    return 0;
}

/* Key by key, as ^C must come here: it would end us with the terminal still silent. */
static int read_keys(char *buf, size_t size, struct err *e)
{
    size_t n = 0;
    for (;;) {
        char c = 0;
        ssize_t got = read(STDIN_FILENO, &c, 1);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || c == KEY_ETX || (c == KEY_EOT && n == 0))
            return cancelled(e);
        if (c == '\r' || c == '\n' || c == KEY_EOT)
            break;
        if (c == '\x7f' || c == '\b')
            n -= n > 0;
        else if (c == KEY_NAK)
            n = 0;
        else if (n + 1 < size)
            buf[n++] = c;
    }
    buf[n] = '\0';
    fputc('\n', stderr);
    return 0;
}

int ask_secret(const char *prompt, char **ret, struct err *e)
{
    struct termios was, silent;
    char line[LINE_LIMIT];
    if (tcgetattr(STDIN_FILENO, &was) < 0)
        return err_set(e, errno, "the terminal");
    silent = was;
    silent.c_lflag &= ~(tcflag_t)(ECHO | ICANON | ISIG);
    silent.c_cc[VMIN] = 1;
    silent.c_cc[VTIME] = 0;
    if (tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) < 0)
        return err_set(e, errno, "the terminal");
    fputs(prompt, stderr);
    int r = read_keys(line, sizeof(line), e);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &was);
    if (r == 0)
        *ret = xstrdup(line);
    explicit_bzero(line, sizeof(line));
    return r;
}
