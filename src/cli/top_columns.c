/* top_columns - one function for each column. */
#include "cli/top.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>

#include "base/strv.h"
#include "base/timefmt.h"
#include "security/caps.h"

#define PTS_FIRST 136 /* devices.txt: 136 to 143 are Unix98 terminals */
#define PTS_LAST 143
enum { INSIDE, HOST };

/* The name of an id in passwd(5) or group(5): "NAME:...:ID:". */
static bool add_name(const char *text, uint32_t id, struct str *out)
{
    for (const char *p = text; p && *p; p = strchrnul(p, '\n'), p += *p == '\n') {
        const char *colon = strpbrk(p, ":\n");
        const char *second = colon && *colon == ':' ? strpbrk(colon + 1, ":\n") : NULL;
        if (!second || *second != ':' || colon == p)
            continue;
        char *end;
        unsigned long long v = strtoull(second + 1, &end, 10);
        if (end == second + 1 || (*end != ':' && *end != '\n' && *end) || v != id)
            continue;
        str_addn(out, p, (size_t)(colon - p));
        return true;
    }
    return false;
}

static void add_id(const char *text, const struct idmap *map, uint32_t host, struct str *out)
{
    int64_t id = map ? idmap_to_inside(map, host) : host;
    if (id < 0)
        str_add(out, "?"); /* of nobody inside */
    else if (!add_name(text, (uint32_t)id, out))
        str_addf(out, "%u", (unsigned)id);
}

#define COLUMN(name)                                                                               \
    static void col_##name(const struct top_view *v, const struct ctr_proc *p, struct str *out)

COLUMN(user)
{
    add_id(v->passwd[INSIDE], &v->procs->map.uid, p->uid, out);
}
COLUMN(ruser)
{
    add_id(v->passwd[INSIDE], &v->procs->map.uid, p->ruid, out);
}
COLUMN(uid)
{
    add_id(NULL, &v->procs->map.uid, p->uid, out);
}
COLUMN(huser)
{
    add_id(v->passwd[HOST], NULL, p->uid, out);
}
COLUMN(group)
{
    add_id(v->group[INSIDE], &v->procs->map.gid, p->gid, out);
}
COLUMN(rgroup)
{
    add_id(v->group[INSIDE], &v->procs->map.gid, p->rgid, out);
}
COLUMN(gid)
{
    add_id(NULL, &v->procs->map.gid, p->gid, out);
}
COLUMN(hgroup)
{
    add_id(v->group[HOST], NULL, p->gid, out);
}

static void add_groups(const char *text, const struct idmap *map, const char *ids, struct str *out)
{
    scoped_strv char **list = strv_split(ids, " ", false);
    if (!list || !list[0])
        str_addc(out, '-');
    for (size_t i = 0; list && list[i]; i++) {
        if (i)
            str_addc(out, ',');
        add_id(text, map, (uint32_t)strtoul(list[i], NULL, 10), out);
    }
}
COLUMN(groups)
{
    add_groups(v->group[INSIDE], &v->procs->map.gid, p->groups, out);
}
COLUMN(hgroups)
{
    add_groups(v->group[HOST], NULL, p->groups, out);
}

COLUMN(pid)
{
    (void)v;
    str_addf(out, "%d", (int)p->pid);
}
COLUMN(ppid)
{
    (void)v;
    str_addf(out, "%d", (int)p->ppid);
}
COLUMN(pgid)
{
    (void)v;
    str_addf(out, "%d", (int)p->pgid);
}
COLUMN(hpid)
{
    (void)v;
    str_addf(out, "%d", (int)p->host_pid);
}
COLUMN(comm)
{
    (void)v;
    str_add(out, p->comm);
}
COLUMN(args)
{
    (void)v;
    str_add(out, p->args);
}
COLUMN(state)
{
    (void)v;
    str_addc(out, p->state);
}
COLUMN(nice)
{
    (void)v;
    str_addf(out, "%d", p->nice);
}
COLUMN(vsz)
{
    (void)v;
    str_addf(out, "%llu", (unsigned long long)p->vsz);
}
COLUMN(rss)
{
    (void)v;
    str_addf(out, "%llu", (unsigned long long)p->rss);
}
COLUMN(label)
{
    (void)v;
    str_add(out, *p->label ? p->label : "?");
}

static uint64_t age(const struct top_view *v, const struct ctr_proc *p)
{
    return v->now_ticks > p->start_ticks ? v->now_ticks - p->start_ticks : 0;
}

/* As Go prints a length of time, "1h2m3.5s", with hundredths. */
static void add_duration(struct str *out, uint64_t ticks, uint64_t per_s)
{
    unsigned long long s = ticks / per_s, part = ticks % per_s * 100 / per_s;
    if (s == 0 && part) {
        str_addf(out, "%llums", part * 10);
        return;
    }
    if (s >= 3600)
        str_addf(out, "%lluh", s / 3600);
    if (s >= 60)
        str_addf(out, "%llum", s / 60 % 60);
    str_addf(out, "%llu", s % 60);
    if (part)
        str_addf(out, part % 10 ? ".%02llu" : ".%llu", part % 10 ? part : part / 10);
    str_addc(out, 's');
}

COLUMN(etime)
{
    add_duration(out, age(v, p), v->ticks_per_s);
}
COLUMN(cpu_time)
{
    add_duration(out, p->cpu_ticks, v->ticks_per_s);
}
COLUMN(pcpu)
{
    uint64_t whole = age(v, p);
    str_addf(out, "%.3f", whole ? 100.0 * (double)p->cpu_ticks / (double)whole : 0.0);
}
COLUMN(short_cpu)
{
    uint64_t whole = age(v, p);
    str_addf(out, "%llu", whole ? (unsigned long long)(100 * p->cpu_ticks / whole) : 0ull);
}
COLUMN(pmem)
{
    str_addf(out, "%.1f", v->memory_kib ? 100.0 * (double)p->rss / (double)v->memory_kib : 0.0);
}
COLUMN(start)
{
    char text[16];
    time_t when = (time_t)(time_now_ns() / 1000000000) - (time_t)(age(v, p) / v->ticks_per_s);
    struct tm tm;
    localtime_r(&when, &tm);
    strftime(text, sizeof(text), age(v, p) / v->ticks_per_s < 86400 ? "%H:%M" : "%b%d", &tm);
    str_add(out, text);
}
COLUMN(tty)
{
    unsigned n = minor(p->tty) + 256 * (major(p->tty) - PTS_FIRST);
    (void)v;
    if (major(p->tty) >= PTS_FIRST && major(p->tty) <= PTS_LAST)
        str_addf(out, "pts/%u", n);
    else if (major(p->tty) == 4 && minor(p->tty) < 64)
        str_addf(out, "tty%u", minor(p->tty));
    else
        str_addc(out, '?');
}

COLUMN(seccomp)
{
    static const char *const words[] = {"disabled", "strict", "filter"};
    (void)v;
    str_add(out, p->seccomp >= 0 && p->seccomp < (int)N_ELEMENTS(words) ? words[p->seccomp] : "?");
}

/* podman's: "none", "full", or the names without CAP_. */
static void add_caps(uint64_t caps, struct str *out)
{
    uint64_t all = UINT64_MAX >> (63 - cap_last());
    bool first = true;
    if ((caps & all) == all || !caps) {
        str_add(out, caps ? "full" : "none");
        return;
    }
    for (unsigned i = 0; i <= (unsigned)cap_last(); i++) {
        if (!(caps & (UINT64_C(1) << i)))
            continue;
        const char *name = cap_name(i), *shorter = name ? str_after(name, "CAP_") : NULL;
        str_addf(out, "%s%s", first ? "" : ",", shorter ? shorter : "?");
        first = false;
    }
}
COLUMN(cap_inh)
{
    (void)v;
    add_caps(p->caps[PROC_CAP_INH], out);
}
COLUMN(cap_prm)
{
    (void)v;
    add_caps(p->caps[PROC_CAP_PRM], out);
}
COLUMN(cap_eff)
{
    (void)v;
    add_caps(p->caps[PROC_CAP_EFF], out);
}
COLUMN(cap_bnd)
{
    (void)v;
    add_caps(p->caps[PROC_CAP_BND], out);
}
COLUMN(cap_amb)
{
    (void)v;
    add_caps(p->caps[PROC_CAP_AMB], out);
}

/* clang-format off */
static const struct top_column columns[] = {
    {"args", "%a", "COMMAND", col_args},          {"capamb", "", "AMBIENT CAPS", col_cap_amb},
    {"capbnd", "", "BOUNDING CAPS", col_cap_bnd}, {"capeff", "", "EFFECTIVE CAPS", col_cap_eff},
    {"capinh", "", "INHERITED CAPS", col_cap_inh}, {"capprm", "", "PERMITTED CAPS", col_cap_prm},
    {"comm", "%c", "COMMAND", col_comm},          {"etime", "%t", "ELAPSED", col_etime},
    {"gid", "", "GID", col_gid},                  {"group", "%G", "GROUP", col_group},
    {"groups", "", "GROUPS", col_groups},         {"hgroup", "", "HGROUP", col_hgroup},
    {"hgroups", "", "HGROUPS", col_hgroups},      {"hpid", "", "HPID", col_hpid},
    {"huser", "", "HUSER", col_huser},            {"label", "", "LABEL", col_label},
    {"nice", "%n", "NI", col_nice},               {"pcpu", "%C", "%CPU", col_pcpu},
    {"pgid", "%r", "PGID", col_pgid},             {"pid", "%p", "PID", col_pid},
    {"pmem", "", "%MEM", col_pmem},               {"ppid", "%P", "PPID", col_ppid},
    {"rgroup", "%g", "RGROUP", col_rgroup},       {"rss", "", "RSS", col_rss},
    {"ruser", "%u", "RUSER", col_ruser},          {"seccomp", "", "SECCOMP", col_seccomp},
    {"state", "", "STATE", col_state},            {"stime", "", "STIME", col_start},
    {"time", "%x", "TIME", col_cpu_time},         {"tty", "%y", "TTY", col_tty},
    {"uid", "", "UID", col_uid},                  {"user", "%U", "USER", col_user},
    {"vsz", "%z", "VSZ", col_vsz},                {"c", "", "C", col_short_cpu},
};
/* What ps(1) calls the same. */
static const char *const other_names[][2] = {
    {"%cpu", "pcpu"}, {"%mem", "pmem"}, {"cmd", "args"}, {"command", "args"}, {"cputime", "time"},
    {"ni", "nice"}, {"rssize", "rss"}, {"s", "state"}, {"start", "stime"}, {"stat", "state"},
    {"tname", "tty"}, {"tt", "tty"}, {"ucmd", "comm"}, {"ucomm", "comm"}, {"vsize", "vsz"},
};
/* clang-format on */

const struct top_column *top_column_find(const char *name)
{
    for (size_t i = 0; i < N_ELEMENTS(other_names); i++)
        if (streq(name, other_names[i][0]))
            name = other_names[i][1];
    for (size_t i = 0; i < N_ELEMENTS(columns); i++)
        if (streq(name, columns[i].name) || (*name == '%' && streq(name, columns[i].code)))
            return &columns[i];
    return NULL;
}

char *top_column_names(void)
{
    scoped_str struct str all = STR_INIT;
    for (size_t i = 0; i < N_ELEMENTS(columns); i++)
        str_addf(&all, "%s%s", i ? " " : "", columns[i].name);
    return str_detach(&all);
}
