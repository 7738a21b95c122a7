/* map - from a --userns mode to the lines of uid_map and gid_map. Pure policy, no system calls but
 * reading the subid files and our own maps. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/str.h"
#include "base/strv.h"
#include "userns/subid.h"
#include "userns/userns.h"

/* Root of the host without a line in /etc/subuid: the range that systemd and podman documentation
 * leave free for containers of the system (decision 14). */
#define ROOT_FIRST 524288u
#define ROOT_COUNT 65536u
#define AUTO_SIZE 65536u

struct side {                /* one of the two maps under construction */
    const char *file, *what; /* "/etc/subuid", "uid" */
    uint32_t self;
    struct idmap subs;
    struct idmap out;
};

static void side_release(struct side *s)
{
    free(s->subs.v);
    free(s->out.v);
}

/* Takes up to want ids from the subordinate ranges, skipping the first `skip` of them, and maps
 * them from inside on. Returns how many were mapped. */
static uint32_t take_subs(struct side *s, uint32_t inside, uint32_t skip, uint32_t want)
{
    uint32_t done = 0;
    for (size_t i = 0; i < s->subs.n && done < want; i++) {
        struct idmap_line l = s->subs.v[i];
        if (skip >= l.count) {
            skip -= l.count;
            continue;
        }
        uint32_t n = l.count - skip;
        if (n > want - done)
            n = want - done;
        idmap_add(&s->out, inside + done, l.outside + skip, n);
        done += n;
        skip = 0;
    }
    return done;
}

static uint32_t total(const struct idmap *m)
{
    uint64_t n = 0;
    for (size_t i = 0; i < m->n; i++)
        n += m->v[i].count;
    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static void map_default(struct side *s)
{
    idmap_add(&s->out, 0, s->self, 1);
    take_subs(s, 1, 0, total(&s->subs));
}

/* Inside id `keep` is the caller, all others are subordinate ids. */
static void map_keep(struct side *s, uint32_t keep)
{
    uint32_t before = take_subs(s, 0, 0, keep);
    idmap_add(&s->out, keep, s->self, 1);
    take_subs(s, keep + 1, before, total(&s->subs) - before);
}

/* Inside id 0 is a subordinate id; the caller's own is not mapped. */
static int map_isolated(struct side *s, uint32_t size, struct err *e)
{
    uint32_t have = total(&s->subs);
    if (size > have)
        return err_hint(e,
                        err_msg(e, EINVAL, "--userns auto: %u ids wanted, %s has %u for this user",
                                size, s->file, have),
                        "widen the range in %s, or ask for fewer: --userns auto:size=%u", s->file,
                        have);
    take_subs(s, 0, 0, size ? size : have);
    return 0;
}

static bool is_allowed(const struct side *s, uint32_t outside, uint32_t count)
{
    if (geteuid() == 0 || (outside == s->self && count == 1))
        return true;
    for (size_t i = 0; i < s->subs.n; i++)
        if (outside >= s->subs.v[i].outside &&
            (uint64_t)outside + count <= (uint64_t)s->subs.v[i].outside + s->subs.v[i].count)
            return true;
    return false;
}

static int map_entry(struct side *s, const char *entry, struct err *e)
{
    scoped_strv char **p = strv_split(entry, ":", true);
    uint32_t v[3] = {0, 0, 1};
    size_t n = strv_len(p);
    bool ok = n == 2 || n == 3;
    for (size_t i = 0; ok && i < n; i++)
        ok = parse_u32(p[i][0] == '@' && i == 1 ? p[i] + 1 : p[i], &v[i]) == 0;
    if (!ok || v[2] == 0 || v[0] > UINT32_MAX - v[2] || v[1] > UINT32_MAX - v[2])
        return err_hint(
            e, err_msg(e, EINVAL, "--%smap %s: not INSIDE:OUTSIDE[:COUNT]", s->what, entry),
            "for example --%smap 0:100000:65536", s->what);
    for (size_t i = 0; i < s->out.n; i++) {
        struct idmap_line *o = &s->out.v[i];
        if (v[0] < o->inside + (uint64_t)o->count && o->inside < v[0] + (uint64_t)v[2])
            return err_msg(e, EINVAL, "--%smap %s: inside ids overlap with an earlier entry",
                           s->what, entry);
        if (v[1] < o->outside + (uint64_t)o->count && o->outside < v[1] + (uint64_t)v[2])
            return err_msg(e, EINVAL, "--%smap %s: outside ids overlap with an earlier entry",
                           s->what, entry);
    }
    if (!is_allowed(s, v[1], v[2]))
        return err_hint(e,
                        err_msg(e, EPERM, "--%smap %s: host ids %u-%u are not yours", s->what,
                                entry, v[1], v[1] + v[2] - 1),
                        "yours are %u and the ranges in %s", s->self, s->file);
    idmap_add(&s->out, v[0], v[1], v[2]);
    return 0;
}

/* The ids that exist in the user namespace we run in, our own left out. Returns 1 when that is not
 * the host's (whose map is the identity of all ids), 0 when it is. */
static int own_ids(const struct side *s, struct idmap *ret, struct err *e)
{
    scoped_free char *text = NULL, *path = xasprintf("/proc/self/%s_map", s->what);
    ssize_t n = fs_read(AT_FDCWD, path, 64u << 10, &text, e);
    if (n < 0)
        return (int)n;
    int nested = 0;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        uint32_t inside, outside, count;
        scoped_strv char **f = strv_split(line, " ", false);
        if (strv_len(f) != 3 || parse_u32(f[0], &inside) < 0 || parse_u32(f[1], &outside) < 0 ||
            parse_u32(f[2], &count) < 0)
            return err_msg(e, EPROTO, "%s: not a map: \"%s\"", path, line);
        nested |= inside != 0 || outside != 0 || count != UINT32_MAX;
        if (s->self >= inside && s->self - inside < count) {
            idmap_add(ret, 0, inside, s->self - inside);
            idmap_add(ret, 0, s->self + 1, inside + count - s->self - 1);
        } else {
            idmap_add(ret, 0, inside, count);
        }
    }
    return nested;
}

/* Root of a user namespace may hand on every id it has; root of the host uses subordinate ids as
 * everybody else, or the documented range. */
static int side_load(struct side *s, const char *user, bool *ret_nested, struct err *e)
{
    if (geteuid() == 0) {
        struct idmap own = {0};
        int r = own_ids(s, &own, e);
        if (r > 0) {
            s->subs = own;
            *ret_nested = true;
            return 0;
        }
        free(own.v);
        if (r < 0)
            return r;
    }
    int r = userns_subids(s->file, geteuid(), user, &s->subs, e);
    if (r == 0 && s->subs.n == 0 && geteuid() == 0)
        idmap_add(&s->subs, 0, ROOT_FIRST, ROOT_COUNT);
    return r;
}

static int keep_ids(const char *opts, uint32_t *uid, uint32_t *gid, struct err *e)
{
    scoped_strv char **parts = strv_split(opts, ",", false);
    for (char **p = parts; p && *p; p++) {
        const char *u = str_after(*p, "uid="), *g = str_after(*p, "gid=");
        if (!(u && parse_u32(u, uid) == 0 && *uid < INT32_MAX) &&
            !(g && parse_u32(g, gid) == 0 && *gid < INT32_MAX))
            return err_hint(e, err_msg(e, EINVAL, "--userns keep-id: unknown option \"%s\"", *p),
                            "keep-id takes uid=N and gid=N");
    }
    return 0;
}

/* The modes that need subordinate ids for more than one id. */
static int map_mode(const char *mode, bool nested, struct side *u, struct side *g, struct err *e)
{
    const char *opts;
    uint32_t size = 0;
    if (*mode == '\0' || streq(mode, "default") || streq(mode, "private")) {
        if (geteuid() != 0 || nested) {
            map_default(u);
            map_default(g);
            return 0;
        }
        return map_isolated(u, 0, e) < 0 || map_isolated(g, 0, e) < 0 ? -EINVAL : 0;
    }
    if ((opts = str_after(mode, "keep-id")) && (*opts == '\0' || *opts == ':')) {
        uint32_t ku = u->self, kg = g->self;
        int r = keep_ids(*opts ? opts + 1 : opts, &ku, &kg, e);
        if (r < 0)
            return r;
        map_keep(u, ku);
        map_keep(g, kg);
        return 0;
    }
    if (streq(mode, "nomap")) {
        take_subs(u, 0, 0, total(&u->subs));
        take_subs(g, 0, 0, total(&g->subs));
        return 0;
    }
    if (streq(mode, "isolated") || streq(mode, "auto") || (opts = str_after(mode, "auto:size="))) {
        if (mode[0] == 'a' && mode[4] == ':' && (parse_u32(opts, &size) < 0 || size == 0))
            return err_msg(e, EINVAL, "--userns %s: size is not a number of ids", mode);
        uint32_t have = total(&u->subs);
        if (size == 0)
            size = have < AUTO_SIZE ? have : AUTO_SIZE;
        int r = map_isolated(u, size, e);
        return r < 0 ? r : map_isolated(g, size, e);
    }
    return err_hint(
        e, err_msg(e, EINVAL, "--userns %s: unknown mode", mode),
        "known are default, keep-id[:uid=N,gid=N], auto[:size=N], isolated, nomap, host");
}

static char *no_subids_fix(const struct side *u, const char *user)
{
    scoped_free char *command = userns_subids_fix(user);
    return xasprintf("%s (%s and /etc/subgid need a line for this user)", command, u->file);
}

/* No subordinate ids at all: one id, mapped to 0 or, for keep-id, to itself. */
static int map_single(const char *mode, struct side *u, struct side *g, const char *user,
                      char **ret_notice, struct err *e)
{
    scoped_free char *fix = no_subids_fix(u, user);
    uint32_t ku = 0, kg = 0;
    const char *opts = str_after(mode, "keep-id");
    if (opts) {
        ku = u->self;
        kg = g->self;
        int r = keep_ids(*opts ? opts + 1 : opts, &ku, &kg, e);
        if (r < 0)
            return r;
    } else if (*mode && !streq(mode, "default") && !streq(mode, "private")) {
        return err_hint(e,
                        err_msg(e, ENOENT, "--userns %s: user %s has no subordinate ids", mode,
                                user ? user : "(unknown)"),
                        "%s", fix);
    }
    idmap_add(&u->out, ku, u->self, 1);
    idmap_add(&g->out, kg, g->self, 1);
    *ret_notice = xasprintf("no subordinate ids for this user: the container has a single id, "
                            "other users' files in it belong to that id; to change it: %s",
                            fix);
    return 0;
}

static int map_explicit(struct side *s, char *const *entries, struct err *e)
{
    for (char *const *p = entries; p && *p; p++) {
        int r = map_entry(s, *p, e);
        if (r < 0)
            return r;
    }
    return 0;
}

struct wish { /* what userns_map_build was asked for */
    const char *mode;
    char *const *uidmap, *const *gidmap;
};

static int map_fill(const struct wish *w, struct side *u, struct side *g, bool *ret_single,
                    char **ret_notice, struct err *e)
{
    const char *mode = w->mode;
    scoped_free char *user = userns_user_name(geteuid());
    bool nested = false;
    int r = side_load(u, user, &nested, e);
    if (r == 0)
        r = side_load(g, user, &nested, e);
    if (r < 0)
        return r;
    if (streq(mode, "host")) {
        if (geteuid() == 0 && !nested)
            return err_hint(e,
                            err_msg(e, EPERM,
                                    "--userns host: the container's root would be the "
                                    "host's root"),
                            "leave --userns out, or run as an ordinary user");
        mode = ""; /* as podman without root: the ids of the caller's own map */
    }
    if (w->uidmap || w->gidmap) {
        /* As podman: one given list serves for both. */
        r = map_explicit(u, w->uidmap ? w->uidmap : w->gidmap, e);
        return r < 0 ? r : map_explicit(g, w->gidmap ? w->gidmap : w->uidmap, e);
    }
    if (u->subs.n == 0 || g->subs.n == 0) {
        *ret_single = true;
        return map_single(mode, u, g, user, ret_notice, e);
    }
    return map_mode(mode, nested, u, g, e);
}

int userns_map_build(const char *mode, char *const *uidmap, char *const *gidmap,
                     struct userns_map *ret, char **ret_notice, struct err *e)
{
    struct userns_map m = {0};
    *ret_notice = NULL;
    if (!mode)
        mode = "";
    if (*mode && !streq(mode, "private") && (uidmap || gidmap))
        return err_msg(e, EINVAL, "--userns %s excludes --uidmap and --gidmap", mode);
    struct side u SCOPED(side_release) = {"/etc/subuid", "uid", geteuid(), {0}, {0}};
    struct side g SCOPED(side_release) = {"/etc/subgid", "gid", getegid(), {0}, {0}};
    struct wish w = {mode, uidmap, gidmap};
    int r = map_fill(&w, &u, &g, &m.single, ret_notice, e);
    if (r < 0)
        return r;
    m.uid = u.out;
    m.gid = g.out;
    u.out = g.out = (struct idmap){0};
    *ret = m;
    return 0;
}

int userns_map_default(struct userns_map *ret, struct err *e)
{
    scoped_free char *notice = NULL;
    return userns_map_build("", NULL, NULL, ret, &notice, e);
}

void userns_map_release(struct userns_map *m)
{
    free(m->uid.v);
    free(m->gid.v);
    *m = (struct userns_map){0};
}

static bool idmap_equal(const struct idmap *a, const struct idmap *b)
{
    return a->n == b->n && (a->n == 0 || memcmp(a->v, b->v, a->n * sizeof(*a->v)) == 0);
}

bool userns_map_equal(const struct userns_map *a, const struct userns_map *b)
{
    return idmap_equal(&a->uid, &b->uid) && idmap_equal(&a->gid, &b->gid);
}

int64_t idmap_to_host(const struct idmap *m, uint32_t inside)
{
    for (size_t i = 0; i < m->n; i++)
        if (inside >= m->v[i].inside && inside - m->v[i].inside < m->v[i].count)
            return (int64_t)m->v[i].outside + (inside - m->v[i].inside);
    return -1;
}

int64_t idmap_to_inside(const struct idmap *m, uint32_t host)
{
    for (size_t i = 0; i < m->n; i++)
        if (host >= m->v[i].outside && host - m->v[i].outside < m->v[i].count)
            return (int64_t)m->v[i].inside + (host - m->v[i].outside);
    return -1;
}
