/* json-file - docker's file log: {"log":"TEXT","stream":"stdout","attrs":{...},"time":"..."}. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>

#include "base/jfield.h"
#include "base/str.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "logs/logs-priv.h"

#define ATTRS_MAX (64u << 10) /* stands in every line, which readers take as a whole */
#define SEQUENCE_MAX 3        /* bytes of a character whose last one is still to come */

struct json_log {
    char *attrs; /* "" or ',"attrs":{...}'; owned */
    char begun[2][SEQUENCE_MAX];
    size_t n_begun[2];
    char text[LOGS_MAX_TEXT + SEQUENCE_MAX];
    char out[6 * (LOGS_MAX_TEXT + SEQUENCE_MAX)];
};

/* --- UTF-8 --- */

/* How long the sequence is that begins with c; 0: none does. */
static size_t sequence_length(unsigned char c)
{
    return c < 0x80 ? 1 : c < 0xc2 ? 0 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : c < 0xf5 ? 4 : 0;
}

/* The bytes of a valid sequence at s; 0: it is none. No surrogates, nothing longer than needed. */
static size_t valid_sequence(const unsigned char *s, size_t n)
{
    size_t len = n ? sequence_length(s[0]) : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] > 0x9f) ||
        (s[0] == 0xf0 && s[1] < 0x90) || (s[0] == 0xf4 && s[1] > 0x8f))
        return 0;
    return len;
}

/* How many bytes at the end begin a character and do not end it. */
static size_t unfinished(const char *text, size_t n)
{
    for (size_t back = 1; back <= SEQUENCE_MAX && back <= n; back++) {
        unsigned char c = (unsigned char)text[n - back];
        if ((c & 0xc0) == 0x80)
            continue;
        return sequence_length(c) > back ? back : 0;
    }
    return 0;
}

/* As docker does: what is no character is written as one that says so. */
static size_t encode(const char *text, size_t n, char *out)
{
    static const char hex[] = "0123456789abcdef";
    const unsigned char *s = (const unsigned char *)text;
    char *o = out;
    for (size_t i = 0; i < n;) {
        unsigned char c = s[i];
        size_t len = valid_sequence(s + i, n - i);
        if (c == '"' || c == '\\' || c == '\n' || c == '\r' || c == '\t') {
            *o++ = '\\';
            *o++ = c == '\n' ? 'n' : c == '\r' ? 'r' : c == '\t' ? 't' : (char)c;
        } else if (c < 0x20 || c == 0x7f) {
            memcpy(o, "\\u00", 4);
            o[4] = hex[c >> 4];
            o[5] = hex[c & 15];
            o += 6;
        } else if (!len) {
            memcpy(o, "\\ufffd", 6);
            o += 6;
        } else {
            memcpy(o, s + i, len);
            o += len;
        }
        i += len ? len : 1;
    }
    return (size_t)(o - out);
}

/* --- writing --- */

static int json_file_check(char *const *opts, struct err *e)
{
    const struct log_ident nobody = {.id = "", .name = "", .image = ""};
    struct log_file_opts o;
    scoped_str struct str unused = STR_INIT;
    int r = log_file_opts_parse(opts, &o, e);
    return r == 0 && o.tag ? log_tag_expand(o.tag, &nobody, &unused, e) : r;
}

/* Of "k=v" entries those that the list names. */
static void add_chosen(json_t *attrs, const char *list, char *const *entries)
{
    scoped_strv char **names = strv_split(list ? list : "", ",", false);
    for (char **n = names; n && *n; n++) {
        const char *value = strv_env_get((char **)(uintptr_t)entries, *n);
        if (value)
            json_object_set_new(attrs, *n, json_from_bytes(value));
    }
}

static int make_attrs(const struct log_ident *ident, char **ret, struct err *e)
{
    struct log_file_opts o;
    scoped_str struct str tag = STR_INIT;
    int r = log_file_opts_parse(ident->opts, &o, e);
    if (r == 0 && o.tag)
        r = log_tag_expand(o.tag, ident, &tag, e);
    if (r < 0)
        return r;
    scoped_json json_t *attrs = json_object();
    if (o.tag)
        json_object_set_new(attrs, "tag", json_from_bytes(tag.s));
    add_chosen(attrs, o.labels, ident->labels);
    add_chosen(attrs, o.env, ident->env);
    scoped_free char *text = json_text(attrs, false);
    if (strlen(text) > ATTRS_MAX)
        return err_msg(e, E2BIG, "the log options labels, env and tag name more than %u bytes",
                       ATTRS_MAX);
    *ret = json_object_size(attrs) ? xasprintf(",\"attrs\":%s", text) : xstrdup("");
    return 0;
}

static int json_file_open(struct log_writer *w, const struct log_ident *ident, struct err *e)
{
    w->json = xcalloc(1, sizeof(*w->json));
    int r = make_attrs(ident, &w->json->attrs, e);
    return r == 0 ? log_file_open(w, ident, e) : r;
}

/* docker's: nine digits, UTC. */
static void time_utc(int64_t ns, char *buf, size_t size)
{
    char day[32];
    time_t seconds = (time_t)(ns / 1000000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    strftime(day, sizeof(day), "%Y-%m-%dT%H:%M:%S", &tm);
    snprintf(buf, size, "%s.%09lldZ", day, (long long)(ns % 1000000000));
}

static void put_record(struct log_writer *w, enum log_stream s, const char *text, size_t n)
{
    struct json_log *j = w->json;
    char end[128], when[64];
    time_utc(time_now_ns(), when, sizeof(when));
    int len = snprintf(end, sizeof(end), ",\"time\":\"%s\"}\n", when);
    const char *stream = s == LOG_STDERR ? "\",\"stream\":\"stderr\"" : "\",\"stream\":\"stdout\"";
    struct iovec v[] = {
        {(void *)(uintptr_t) "{\"log\":\"", 8},
        {j->out, encode(text, n, j->out)},
        {(void *)(uintptr_t)stream, strlen(stream)},
        {j->attrs, strlen(j->attrs)},
        {end, (size_t)len},
    };
    log_file_put(w, v, N_ELEMENTS(v));
}

static void json_file_write(struct log_writer *w, enum log_stream s, const void *data, size_t n)
{
    struct json_log *j = w->json;
    const char *p = data, *end = p + n;
    while (p < end) {
        size_t have = j->n_begun[s], room = LOGS_MAX_TEXT;
        memcpy(j->text, j->begun[s], have);
        room = (size_t)(end - p) < room ? (size_t)(end - p) : room;
        const char *lf = memchr(p, '\n', room);
        size_t len = lf ? (size_t)(lf - p) + 1 : room;
        memcpy(j->text + have, p, len);
        size_t rest = lf ? 0 : unfinished(j->text, have + len);
        memcpy(j->begun[s], j->text + have + len - rest, rest);
        j->n_begun[s] = rest;
        if (have + len > rest)
            put_record(w, s, j->text, have + len - rest);
        p += len;
    }
}

static void json_file_close(struct log_writer *w)
{
    struct json_log *j = w->json;
    for (int s = LOG_STDOUT; j && s <= LOG_STDERR; s++)
        if (j->n_begun[s])
            put_record(w, (enum log_stream)s, j->begun[s], j->n_begun[s]);
    log_file_close(w);
    if (j)
        free(j->attrs);
    free(j);
}

/* --- reading --- */

/* The four digits of \uXXXX; -1. */
static int hex4(const char *p, const char *end)
{
    int v = 0;
    if (end - p < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        static const char digits[] = "0123456789abcdef";
        const char *d = p[i] ? strchr(digits, p[i] >= 'A' && p[i] <= 'F' ? p[i] + 32 : p[i]) : NULL;
        if (!d)
            return -1;
        v = v << 4 | (int)(d - digits);
    }
    return v;
}

static char *add_character(char *o, unsigned c)
{
    if (c < 0x80) {
        *o++ = (char)c;
    } else if (c < 0x800) {
        *o++ = (char)(0xc0 | c >> 6);
        *o++ = (char)(0x80 | (c & 0x3f));
    } else if (c < 0x10000) {
        *o++ = (char)(0xe0 | c >> 12);
        *o++ = (char)(0x80 | (c >> 6 & 0x3f));
        *o++ = (char)(0x80 | (c & 0x3f));
    } else {
        *o++ = (char)(0xf0 | c >> 18);
        *o++ = (char)(0x80 | (c >> 12 & 0x3f));
        *o++ = (char)(0x80 | (c >> 6 & 0x3f));
        *o++ = (char)(0x80 | (c & 0x3f));
    }
    return o;
}

/* \uXXXX, two of them for what lies above; *p is behind the 'u'. */
static char *decode_unicode(const char **p, const char *end, char *o)
{
    int c = hex4(*p, end), low;
    if (c < 0)
        return NULL;
    *p += 4;
    if (c >= 0xd800 && c < 0xdc00 && end - *p >= 6 && (*p)[0] == '\\' && (*p)[1] == 'u' &&
        (low = hex4(*p + 2, end)) >= 0xdc00 && low < 0xe000) {
        *p += 6;
        return add_character(o,
                             0x10000u + ((unsigned)(c - 0xd800) << 10) + (unsigned)(low - 0xdc00));
    }
    return add_character(o, c >= 0xd800 && c < 0xe000 ? 0xfffdu : (unsigned)c);
}

/* A string behind its opening quote, to out; *p is then behind the closing one. The end of what was
 * written, or NULL. */
static char *decode(const char **p, const char *end, char *out)
{
    char *o = out;
    while (*p < end && **p != '"') {
        const char *stop = *p;
        while (stop < end && *stop != '"' && *stop != '\\')
            stop++;
        memcpy(o, *p, (size_t)(stop - *p));
        o += stop - *p;
        *p = stop;
        if (stop == end || *stop == '"')
            break;
        char c = end - stop > 1 ? stop[1] : '\0';
        *p += 2;
        switch (c) {
        case 'n':
            *o++ = '\n';
            break;
        case 'r':
            *o++ = '\r';
            break;
        case 't':
            *o++ = '\t';
            break;
        case 'b':
            *o++ = '\b';
            break;
        case 'f':
            *o++ = '\f';
            break;
        case '"':
        case '\\':
        case '/':
            *o++ = c;
            break;
        case 'u':
            if ((o = decode_unicode(p, end, o)))
                break;
            return NULL;
        default:
            return NULL;
        }
    }
    if (*p >= end)
        return NULL;
    ++*p;
    return o;
}

/* {"k":"v",...} as "k=v,k=v". */
static char *decode_details(const char **p, const char *end, char *out)
{
    char *o = out;
    for (const char *sep = "";; sep = ",") {
        if (*p < end && **p == '}')
            break;
        if (*sep && (*p >= end || *(*p)++ != ','))
            return NULL;
        if (*sep)
            *o++ = ',';
        for (int half = 0; half < 2; half++) {
            if (*p >= end || *(*p)++ != '"' || !(o = decode(p, end, o)))
                return NULL;
            if (half == 0 && (*p >= end || *(*p)++ != ':'))
                return NULL;
            *o++ = half == 0 ? '=' : '\0';
        }
        o--;
    }
    ++*p;
    *o++ = '\0';
    return o;
}

static bool take(const char **p, const char *end, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(end - *p) < n || memcmp(*p, word, n) != 0)
        return false;
    *p += n;
    return true;
}

/* In the order in which docker and we write the members. */
static bool parse_record(const char *line, size_t n, char *scratch, struct log_record *ret)
{
    const char *p = line, *end = line + n;
    struct log_record rec = {.text = scratch};
    if (!take(&p, end, "{\"log\":\""))
        return false;
    char *o = decode(&p, end, scratch);
    if (!o || !take(&p, end, ",\"stream\":\"std"))
        return false;
    rec.text_len = (size_t)(o - scratch);
    rec.stream = take(&p, end, "err\"") ? LOG_STDERR : LOG_STDOUT;
    if (rec.stream == LOG_STDOUT && !take(&p, end, "out\""))
        return false;
    if (take(&p, end, ",\"attrs\":{")) {
        rec.details = o;
        o = decode_details(&p, end, o);
    }
    if (!o || !take(&p, end, ",\"time\":\""))
        return false;
    const char *quote = memchr(p, '"', (size_t)(end - p));
    if (!quote || quote + 1 >= end || quote[1] != '}')
        return false;
    rec.time = p;
    rec.time_len = (size_t)(quote - p);
    rec.whole = rec.text_len > 0 && rec.text[rec.text_len - 1] == '\n';
    rec.text_len -= rec.whole;
    *ret = rec;
    return true;
}

static int json_file_read(const struct log_read *o, struct err *e)
{
    return log_file_read(o, parse_record, e);
}

const struct log_driver log_driver_json_file = {
    .name = "json-file",
    .summary = "docker's file of JSON objects, in the container's directory",
    .check = json_file_check,
    .open = json_file_open,
    .write = json_file_write,
    .reopen = log_file_reopen,
    .close = json_file_close,
    .read = json_file_read,
};
