/* term - raw mode and window size. */
#include "term/term.h"

#include <errno.h>
#include <sys/ioctl.h>

int term_raw(int fd, struct term_saved *ret)
{
    struct termios was;
    if (tcgetattr(fd, &was) < 0)
        return -errno;
    struct termios raw = was;
    cfmakeraw(&raw);
    /* TCSADRAIN keeps what was typed ahead. */
    if (tcsetattr(fd, TCSADRAIN, &raw) < 0)
        return -errno;
    *ret = (struct term_saved){.fd = fd, .raw = true, .was = was};
    return 0;
}

void term_restore(struct term_saved *t)
{
    if (!t->raw)
        return;
    t->raw = false;
    int why = errno;
    while (tcsetattr(t->fd, TCSADRAIN, &t->was) < 0 && errno == EINTR)
        ;
    errno = why;
}

int term_size(int fd, uint16_t *ret_rows, uint16_t *ret_columns)
{
    struct winsize w;
    if (ioctl(fd, TIOCGWINSZ, &w) < 0)
        return -errno;
    *ret_rows = w.ws_row;
    *ret_columns = w.ws_col;
    return 0;
}

int term_set_size(int fd, uint16_t rows, uint16_t columns)
{
    struct winsize w = {.ws_row = rows, .ws_col = columns};
    return ioctl(fd, TIOCSWINSZ, &w) < 0 ? -errno : 0;
}
