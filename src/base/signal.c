/* signal - names of signals, as kill(1) and docker understand them. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/proc.h"
#include "base/str.h"

static int realtime(const char *s)
{
    uint32_t n = 0;
    int base = strncasecmp(s, "RTMIN", 5) == 0 ? SIGRTMIN : SIGRTMAX;
    s += 5;
    if (!*s)
        return base;
    if (*s != (base == SIGRTMIN ? '+' : '-') || parse_u32(s + 1, &n) < 0)
        return -EINVAL;
    if (n > (uint32_t)(SIGRTMAX - SIGRTMIN))
        return -EINVAL;
    return base == SIGRTMIN ? base + (int)n : base - (int)n;
}

int signal_parse(const char *s)
{
    uint32_t n = 0;
    if (parse_u32(s, &n) == 0)
        return n >= 1 && n <= (uint32_t)SIGRTMAX ? (int)n : -EINVAL;
    if (strncasecmp(s, "SIG", 3) == 0)
        s += 3;
    if (strncasecmp(s, "RTMIN", 5) == 0 || strncasecmp(s, "RTMAX", 5) == 0)
        return realtime(s);
    for (int sig = 1; sig < 32; sig++) {
        const char *name = sigabbrev_np(sig);
        if (name && strcasecmp(s, name) == 0)
            return sig;
    }
    static const struct {
        const char *name;
        int sig;
    } others[] = {{"IO", SIGIO}, {"IOT", SIGIOT}, {"CLD", SIGCHLD}, {"POLL", SIGPOLL}};
    for (size_t i = 0; i < N_ELEMENTS(others); i++)
        if (strcasecmp(s, others[i].name) == 0)
            return others[i].sig;
    return -EINVAL;
}

const char *signal_name(int sig)
{
    static char buf[32];
    const char *name = sig > 0 && sig < 32 ? sigabbrev_np(sig) : NULL;
    if (name)
        snprintf(buf, sizeof(buf), "SIG%s", name);
    else if (sig == SIGRTMIN)
        return "SIGRTMIN";
    else if (sig > SIGRTMIN && sig <= SIGRTMAX)
        snprintf(buf, sizeof(buf), "SIGRTMIN+%d", sig - SIGRTMIN);
    else
        snprintf(buf, sizeof(buf), "signal %d", sig);
    return buf;
}
