/* answer - the result as one line of JSON. All texts are names, addresses and our own words: what
 * is not printable ASCII becomes a question mark. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "helpers/net-helper/net-helper.h"

static void put(struct answer *a, const char *s)
{
    size_t n = strlen(s);
    if (a->cut || n >= sizeof(a->text) - a->size) {
        a->cut = true;
        return;
    }
    memcpy(a->text + a->size, s, n);
    a->size += n;
    a->last = a->text[a->size - 1];
}

static void put_quoted(struct answer *a, const char *s)
{
    put(a, "\"");
    for (; *s; s++) {
        char c[3] = {*s, '\0'};
        if (*s < 0x20 || *s > 0x7e)
            c[0] = '?';
        else if (*s == '"' || *s == '\\')
            memcpy(c, (char[3]){'\\', *s}, 3);
        put(a, c);
    }
    put(a, "\"");
}

static void put_key(struct answer *a, const char *key)
{
    if (a->size && a->last != '{' && a->last != '[')
        put(a, ",");
    if (key) {
        put_quoted(a, key);
        put(a, ":");
    }
}

void answer_open(struct answer *a, const char *key, char bracket)
{
    put_key(a, key);
    put(a, (char[2]){bracket});
}

void answer_close(struct answer *a, char bracket)
{
    put(a, (char[2]){bracket});
}

void answer_text(struct answer *a, const char *key, const char *value)
{
    put_key(a, key);
    put_quoted(a, value);
}

void answer_number(struct answer *a, const char *key, long value)
{
    char text[24];
    snprintf(text, sizeof(text), "%ld", value);
    put_key(a, key);
    put(a, text);
}

void answer_address(struct answer *a, const char *key, const struct net_addr *ip, int bits)
{
    char text[NET_CIDR_TEXT];
    if (bits >= 0)
        net_cidr_format(&(struct net_cidr){*ip, (uint8_t)bits}, text);
    else
        net_addr_format(ip, text);
    answer_text(a, key, text);
}

int answer_send(struct answer *a)
{
    put(a, "\n");
    if (a->cut)
        return -EMSGSIZE;
    for (size_t at = 0; at < a->size;) {
        ssize_t n = write(STDOUT_FILENO, a->text + at, a->size - at);
        /* Closed by the caller: the C library put a descriptor there that nobody can write to. */
        if (n < 0)
            return errno == EBADF ? 0 : -errno;
        at += (size_t)n;
    }
    return 0;
}
