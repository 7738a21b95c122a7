/* term - the user's terminal: raw mode that is given back, its size, the keys that detach. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <termios.h>

#include "base/err.h"
#include "base/scoped.h"

struct term_saved {
    int fd; /* borrowed */
    bool raw;
    struct termios was;
};
#define TERM_SAVED_INIT                                                                            \
    {                                                                                              \
        .fd = -1                                                                                   \
    }

/* Puts the terminal on fd into raw mode (no echo, no signals from keys). 0 or -errno (-ENOTTY). */
int term_raw(int fd, struct term_saved *ret);
/* Gives it back as it was; nothing when it is not raw. Safe to call twice. */
void term_restore(struct term_saved *t);
#define scoped_term SCOPED(term_restore)

int term_size(int fd, uint16_t *ret_rows, uint16_t *ret_columns); /* TIOCGWINSZ; 0 or -errno */
int term_set_size(int fd, uint16_t rows, uint16_t columns);       /* TIOCSWINSZ; 0 or -errno */

#define DETACH_KEYS_MAX 16
/* A sequence of keys, and how much of it has been typed. */
struct detach_keys {
    unsigned char seq[DETACH_KEYS_MAX];
    size_t n, matched;
};
/* "ctrl-p,ctrl-q": single characters and ctrl- with a-z @ [ \ ] ^ _; "" is no sequence. */
int detach_keys_parse(const char *text, struct detach_keys *ret, struct err *e);
/* Filters what was typed: keys that may still become the sequence are held back, and come out when
 * they do not. out has room for n + DETACH_KEYS_MAX bytes. True when the sequence is complete; what
 * was typed behind it is dropped. */
bool detach_keys_feed(struct detach_keys *k, const unsigned char *in, size_t n, unsigned char *out,
                      size_t *ret_n);
