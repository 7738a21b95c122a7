/* timefmt - times and sizes as text. */
#include "base/timefmt.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/str.h"

#define NS_PER_S INT64_C(1000000000)

static int64_t now(clockid_t clock)
{
    struct timespec ts = {0};
    clock_gettime(clock, &ts);
    return (int64_t)ts.tv_sec * NS_PER_S + ts.tv_nsec;
}

int64_t time_now_ns(void)
{
    return now(CLOCK_REALTIME);
}

int64_t time_monotonic_ns(void)
{
    return now(CLOCK_MONOTONIC);
}

char *time_rfc3339(int64_t ns, char *buf, size_t size)
{
    if (ns == 0) {
        snprintf(buf, size, "0001-01-01T00:00:00Z");
        return buf;
    }
    int64_t fraction = ns % NS_PER_S;
    if (fraction < 0)
        fraction += NS_PER_S;
    time_t seconds = (time_t)((ns - fraction) / NS_PER_S);
    struct tm tm;
    char date[32], zone[16] = "Z";
    localtime_r(&seconds, &tm);
    strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%S", &tm);
    if (tm.tm_gmtoff != 0) {
        long minutes = labs(tm.tm_gmtoff) / 60;
        snprintf(zone, sizeof(zone), "%c%02d:%02d", tm.tm_gmtoff < 0 ? '-' : '+',
                 (int)(minutes / 60 % 100), (int)(minutes % 60));
    }
    snprintf(buf, size, "%s.%09" PRId64 "%s", date, fraction, zone);
    return buf;
}

/* Takes exactly n digits and the literal after them (0: none); false when they are not there. */
static bool fixed(const char **p, int n, char after, int *ret)
{
    int v = 0;
    for (int i = 0; i < n; i++, (*p)++) {
        if (**p < '0' || **p > '9')
            return false;
        v = v * 10 + (**p - '0');
    }
    *ret = v;
    if (!after)
        return true;
    return *(*p)++ == after;
}

/* ".123" after a number of seconds, to nanoseconds; further digits are dropped. */
static bool fraction(const char **p, int64_t *ret_ns)
{
    *ret_ns = 0;
    if (**p != '.' && **p != ',')
        return true;
    (*p)++;
    if (**p < '0' || **p > '9')
        return false;
    for (int64_t unit = NS_PER_S / 10; **p >= '0' && **p <= '9'; (*p)++, unit /= 10)
        *ret_ns += unit * (**p - '0');
    return true;
}

/* "Z" or "+02:00" at the end of the text; without one the time is local. */
static bool zone(const char *p, bool *ret_local, int *ret_seconds)
{
    *ret_local = *p == '\0';
    *ret_seconds = 0;
    if (*ret_local)
        return true;
    if ((*p == 'Z' || *p == 'z') && p[1] == '\0')
        return true;
    int sign = *p == '+' ? 1 : -1, h = 0, m = 0;
    if (*p != '+' && *p != '-')
        return false;
    p++;
    if (!fixed(&p, 2, ':', &h) || !fixed(&p, 2, 0, &m) || *p || h > 23 || m > 59)
        return false;
    *ret_seconds = sign * (h * 3600 + m * 60);
    return true;
}

static int to_ns(int64_t seconds, int64_t fraction_ns, int64_t *ret)
{
    int64_t v;
    if (__builtin_mul_overflow(seconds, NS_PER_S, &v) || __builtin_add_overflow(v, fraction_ns, &v))
        return -EINVAL;
    *ret = v;
    return 0;
}

static bool date_valid(const struct tm *tm)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = tm->tm_year + 1900, month = tm->tm_mon;
    if (month < 0 || month > 11 || tm->tm_mday < 1)
        return false;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return tm->tm_mday <= days[month] + (month == 1 && leap) && tm->tm_hour < 24 &&
           tm->tm_min < 60 && tm->tm_sec <= 60;
}

static int parse_date(const char *p, int64_t *ret_ns)
{
    struct tm tm = {.tm_isdst = -1};
    int64_t ns = 0;
    int offset = 0;
    bool local = true;
    if (!fixed(&p, 4, '-', &tm.tm_year) || !fixed(&p, 2, '-', &tm.tm_mon) ||
        !fixed(&p, 2, 0, &tm.tm_mday))
        return -EINVAL;
    if (*p == 'T' || *p == 't' || *p == ' ') {
        p++;
        if (!fixed(&p, 2, ':', &tm.tm_hour) || !fixed(&p, 2, 0, &tm.tm_min))
            return -EINVAL;
        if (*p == ':') {
            p++;
            if (!fixed(&p, 2, 0, &tm.tm_sec) || !fraction(&p, &ns))
                return -EINVAL;
        }
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (!zone(p, &local, &offset) || !date_valid(&tm))
        return -EINVAL;
    time_t seconds = local ? mktime(&tm) : timegm(&tm);
    return to_ns((int64_t)seconds - offset, ns, ret_ns);
}

int time_parse(const char *s, int64_t *ret_ns)
{
    if (strlen(s) >= 10 && s[4] == '-')
        return parse_date(s, ret_ns);

    size_t n = strspn(s, "0123456789");
    if (n > 0 && (s[n] == '\0' || (s[n] == '.' && !s[n + 1 + strspn(s + n + 1, "0123456789")]))) {
        int64_t seconds = 0, ns = 0;
        char digits[24];
        const char *p = s + n;
        if (n >= sizeof(digits))
            return -EINVAL;
        memcpy(digits, s, n);
        digits[n] = '\0';
        if (parse_i64(digits, &seconds) < 0 || !fraction(&p, &ns))
            return -EINVAL;
        return to_ns(seconds, ns, ret_ns);
    }
    uint64_t ms = 0;
    if (parse_duration_ms(s, &ms) < 0 || ms > (uint64_t)(INT64_MAX / 1000000))
        return -EINVAL;
    *ret_ns = time_now_ns() - (int64_t)ms * 1000000;
    return 0;
}

char *time_human(int64_t ns, char *buf, size_t size)
{
    static const struct {
        int64_t below_hours, hours;
        const char *unit;
    } units[] = {
        {48, 1, "hours"},
        {24 * 14, 24, "days"},
        {24 * 60, 24 * 7, "weeks"},
        {24 * 730, 24 * 30, "months"},
        {INT64_MAX, 24 * 365, "years"},
    };
    int64_t s = ns < 0 ? 0 : ns / NS_PER_S, hours = (s + 1800) / 3600;
    if (s < 1)
        snprintf(buf, size, "Less than a second");
    else if (s < 60)
        snprintf(buf, size, "%" PRId64 " second%s", s, s == 1 ? "" : "s");
    else if (s < 120)
        snprintf(buf, size, "About a minute");
    else if (s < 3600)
        snprintf(buf, size, "%" PRId64 " minutes", s / 60);
    else if (hours == 1)
        snprintf(buf, size, "About an hour");
    else
        for (size_t i = 0; i < N_ELEMENTS(units); i++)
            if (hours < units[i].below_hours) {
                snprintf(buf, size, "%" PRId64 " %s", hours / units[i].hours, units[i].unit);
                break;
            }
    return buf;
}

char *size_human(uint64_t bytes, char *buf, size_t size)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double v = (double)bytes;
    size_t i = 0;
    /* 999.5 would round to "1e+03" with three digits. */
    while (v >= (i == 0 ? 1000 : 999.5) && i + 1 < N_ELEMENTS(units)) {
        v /= 1000;
        i++;
    }
    snprintf(buf, size, "%.3g %s", v, units[i]);
    return buf;
}

void time_creation(char *buf, size_t size)
{
    const char *epoch = getenv("SOURCE_DATE_EPOCH");
    int64_t seconds;
    if (!epoch || parse_i64(epoch, &seconds) < 0)
        seconds = time_now_ns() / 1000000000;
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || !strftime(buf, size, "%Y-%m-%dT%H:%M:%SZ", &tm))
        snprintf(buf, size, "1970-01-01T00:00:00Z");
}
