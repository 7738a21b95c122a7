/* ranges - Content-Range, the Range of an upload, Retry-After. */
#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/str.h"
#include "registry/challenge.h"

#define WAIT_MAX_MS 60000

/* Digits at *p, at most 2^63-1; *p moves behind them. */
static int read_number(const char **p, uint64_t *ret)
{
    uint64_t v = 0;
    const char *s = *p;
    for (; *s >= '0' && *s <= '9'; s++) {
        if (v > (INT64_MAX - 9) / 10)
            return -ERANGE;
        v = v * 10 + (uint64_t)(*s - '0');
    }
    if (s == *p)
        return -EINVAL;
    *p = s;
    *ret = v;
    return 0;
}

int content_range_parse(const char *text, uint64_t *ret_first, uint64_t *ret_last,
                        uint64_t *ret_size)
{
    uint64_t first, last, size = UINT64_MAX;
    const char *p = text;
    if (strncasecmp(p, "bytes", 5) != 0 || (p[5] != ' ' && p[5] != '='))
        return -EINVAL;
    p += 6 + strspn(p + 6, " ");
    if (read_number(&p, &first) < 0 || *p++ != '-' || read_number(&p, &last) < 0)
        return -EINVAL;
    if (*p == '/' && p[1] == '*')
        p += 2;
    else if (*p == '/' && p[1]) {
        p++;
        if (read_number(&p, &size) < 0)
            return -EINVAL;
    } else if (*p == '/')
        p++;
    if (*p || first > last || last >= size)
        return -EINVAL;
    *ret_first = first;
    *ret_last = last;
    *ret_size = size;
    return 0;
}

int upload_range_parse(const char *text, uint64_t *ret)
{
    uint64_t first, last;
    const char *p = str_after(text, "bytes=");
    p = p ? p : text;
    if (read_number(&p, &first) < 0 || *p++ != '-' || read_number(&p, &last) < 0 || *p ||
        first != 0)
        return -EINVAL;
    /* "0-0" is what registries say of nothing as well: to send a byte again is refused, to begin
     * anew is not, so it counts as nothing. */
    *ret = last ? last + 1 : 0;
    return 0;
}

/* "Sun, 06 Nov 1994 08:49:37 GMT"; the two older forms are not sent any more. */
static int read_date(const char *text, int64_t *ret_s)
{
    static const char *const months = "JanFebMarAprMayJunJulAugSepOctNovDec";
    struct tm tm = {0};
    char month[4];
    int end = 0;
    if (sscanf(text, "%*3[A-Za-z], %2d %3[A-Za-z] %4d %2d:%2d:%2d GMT%n", &tm.tm_mday, month,
               &tm.tm_year, &tm.tm_hour, &tm.tm_min, &tm.tm_sec, &end) != 6 ||
        !end || text[end] || tm.tm_year < 1970)
        return -EINVAL;
    const char *at = strstr(months, month);
    if (!at || strlen(month) != 3 || (at - months) % 3)
        return -EINVAL;
    tm.tm_mon = (int)(at - months) / 3;
    tm.tm_year -= 1900;
    *ret_s = timegm(&tm);
    return 0;
}

int retry_after_parse(const char *text, int64_t now_s, uint64_t *ret_ms)
{
    uint64_t seconds = 0;
    int64_t at;
    size_t n = strspn(text, "0123456789");
    if (n && !text[n]) {
        if (n > 9 || parse_u64(text, &seconds) < 0)
            seconds = WAIT_MAX_MS / 1000;
    } else if (read_date(text, &at) == 0) {
        seconds = at > now_s ? (uint64_t)(at - now_s) : 0;
    } else {
        return -EINVAL;
    }
    *ret_ms = seconds < WAIT_MAX_MS / 1000 ? seconds * 1000 : WAIT_MAX_MS;
    return 0;
}
