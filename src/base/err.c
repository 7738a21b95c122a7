/* err - formats and chains messages inside a fixed buffer; no allocation, usable after fork. */
#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longer than the longest path plus the words around it, so that only err_keep_tail() decides what
 * is cut, not the formatting. */
#define ERR_SCRATCH 5000

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xc0) == 0x80;
}

/* Sets e->msg to text; the cause stands at the end, so a long text loses its beginning. */
static void err_keep_tail(struct err *e, const char *text)
{
    size_t len = strlen(text);
    if (len < sizeof(e->msg)) {
        memcpy(e->msg, text, len + 1);
        return;
    }
    const char *tail = text + len - (sizeof(e->msg) - sizeof("..."));
    while (is_continuation(*tail))
        tail++;
    snprintf(e->msg, sizeof(e->msg), "...%s", tail);
}

__attribute__((format(printf, 3, 0))) static int
err_vset(struct err *e, int errnum, const char *fmt, va_list ap, bool with_text)
{
    int saved = errno;
    errnum = abs(errnum);
    if (errnum == 0)
        errnum = EIO; /* a failure must never be returned as success */
    if (e) {
        char text[ERR_SCRATCH];
        vsnprintf(text, sizeof(text) - 128, fmt, ap);
        if (with_text) {
            size_t len = strlen(text);
            snprintf(text + len, sizeof(text) - len, ": %s", strerror(errnum));
        }
        err_clear(e);
        e->errnum = errnum;
        err_keep_tail(e, text);
    }
    errno = saved;
    return -errnum;
}

int err_set(struct err *e, int errnum, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = err_vset(e, errnum, fmt, ap, true);
    va_end(ap);
    return r;
}

int err_msg(struct err *e, int errnum, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int r = err_vset(e, errnum, fmt, ap, false);
    va_end(ap);
    return r;
}

/* What msg says beyond the object that is the last word of text, with or without a scheme. */
static const char *beyond(const char *text, const char *msg)
{
    const char *space = strrchr(text, ' '), *object = space ? space + 1 : text;
    const char *scheme = strstr(object, "://");
    for (int i = 0; i < 2; i++) {
        size_t len = strlen(object);
        if (len > 0 && strncmp(msg, object, len) == 0 && strncmp(msg + len, ": ", 2) == 0)
            return msg + len + 2;
        if (!scheme)
            break;
        object = scheme + 3;
    }
    return msg;
}

int err_add(struct err *e, int r, const char *fmt, ...)
{
    if (!e)
        return r;
    int saved = errno;
    char text[ERR_SCRATCH + sizeof(e->msg) + 2];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, ERR_SCRATCH, fmt, ap);
    va_end(ap);
    if (e->msg[0]) {
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, ": %s", beyond(text, e->msg));
    }
    if (e->errnum == 0 && r < 0)
        e->errnum = -r;
    err_keep_tail(e, text);
    errno = saved;
    return r;
}

int err_hint(struct err *e, int r, const char *fmt, ...)
{
    if (!e || e->hint[0])
        return r;
    int saved = errno;
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(e->hint, sizeof(e->hint), fmt, ap);
    va_end(ap);
    errno = saved;
    return r;
}

int err_exit(struct err *e, int r, int status)
{
    if (e && e->exit_status == 0)
        e->exit_status = status;
    return r;
}

void err_clear(struct err *e)
{
    if (!e)
        return;
    /* Not the whole 1.5 KiB: errors are cleared on hot paths. */
    e->errnum = e->exit_status = 0;
    e->msg[0] = e->hint[0] = '\0';
}

/* Decodes one UTF-8 sequence of RFC 3629 (no overlong forms, no surrogates). Returns its length or
 * 0 when s does not start with a valid one. */
static int utf8_decode(const unsigned char *s, unsigned *ret)
{
    static const struct {
        unsigned char mask, lead;
        unsigned min;
    } forms[] = {{0x80, 0, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};

    for (int len = 1; len <= 4; len++) {
        if ((s[0] & forms[len - 1].mask) != forms[len - 1].lead)
            continue;
        unsigned c = s[0] & (unsigned char)~forms[len - 1].mask;
        for (int i = 1; i < len; i++) {
            if ((s[i] & 0xc0) != 0x80)
                return 0;
            c = c << 6 | (s[i] & 0x3fu);
        }
        if (c < forms[len - 1].min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
            return 0;
        *ret = c;
        return len;
    }
    return 0;
}

/* C0, DEL, C1, line separators and the marks that reorder text on a terminal. */
static bool is_unsafe(unsigned c)
{
    return c < 0x20 || (c >= 0x7f && c < 0xa0) || (c >= 0x2028 && c <= 0x202e) ||
           (c >= 0x2066 && c <= 0x2069) || c == 0x200e || c == 0x200f || c == 0xfeff;
}

char *err_escape(char *dst, unsigned long size, const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    size_t at = 0;

    while (*s) {
        unsigned c = 0;
        int len = utf8_decode(s, &c);
        bool raw = len > 0 && !is_unsafe(c);
        if (len == 0)
            len = 1;
        size_t want = raw ? (size_t)len : 4 * (size_t)len;
        if (at + want >= size)
            break;
        for (int i = 0; i < len; i++) {
            if (raw)
                dst[at++] = (char)s[i];
            else
                at += (size_t)snprintf(dst + at, size - at, "\\x%02x", s[i]);
        }
        s += len;
    }
    if (size > 0)
        dst[at] = '\0';
    return dst;
}
