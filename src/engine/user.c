#include "engine/user.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"

#define EXIT_NOT_EXECUTABLE 126
#define FILE_MAX_BYTES (1u << 20)
#define ID_MAX 2147483646u /* 2^31 - 2: above it lie the "no change" and "nobody" conventions */

/* The two files, read once and only when a question needs them. */
struct database {
    int root_fd;
    char *text[2];
    bool loaded[2];
};
enum { PASSWD, GROUP };
static const char *const paths[] = {"/etc/passwd", "/etc/group"};
static const char *const nouns[] = {"user", "group"};

static void database_release(struct database *db)
{
    free(db->text[PASSWD]);
    free(db->text[GROUP]);
}

static int refuse(struct err *e, int r)
{
    return err_exit(e, r, EXIT_NOT_EXECUTABLE);
}

/* An absent file is an empty one: many images have none. */
static int load(struct database *db, int which, struct err *e)
{
    if (db->loaded[which])
        return 0;
    ssize_t n = path_read_in_root(db->root_fd, paths[which], FILE_MAX_BYTES, &db->text[which], e);
    if (n == -ENOENT || n == -ENOTDIR) {
        err_clear(e);
        db->text[which] = xstrdup("");
        n = 0;
    }
    if (n < 0)
        return refuse(e, (int)n);
    if (strlen(db->text[which]) != (size_t)n)
        return refuse(e, err_msg(e, EINVAL, "read %s in the container's root: not a text file",
                                 paths[which]));
    db->loaded[which] = true;
    return 0;
}

struct line {
    const char *field[7]; /* not terminated: see len */
    size_t len[7];
    size_t n;
};

/* Takes one line off *text apart; false at the end. */
static bool next_line(const char **text, struct line *ret)
{
    if (!**text)
        return false;
    const char *p = *text, *end = strchrnul(p, '\n');
    *text = *end ? end + 1 : end;
    *ret = (struct line){.n = 0};
    while (ret->n < N_ELEMENTS(ret->field)) {
        const char *colon = memchr(p, ':', (size_t)(end - p));
        const char *stop = colon ? colon : end;
        ret->field[ret->n] = p;
        ret->len[ret->n++] = (size_t)(stop - p);
        if (!colon)
            break;
        p = colon + 1;
    }
    return true;
}

static bool field_is(const struct line *l, size_t i, const char *text)
{
    return i < l->n && strlen(text) == l->len[i] && memcmp(l->field[i], text, l->len[i]) == 0;
}

/* An id in digits. parse_u32 knows no sign, space or base. */
static int parse_id(const char *s, uint32_t *ret)
{
    uint32_t v;
    int r = parse_u32(s, &v);
    if (r < 0)
        return r;
    if (v > ID_MAX)
        return -ERANGE;
    *ret = v;
    return 0;
}

static int field_id(const struct line *l, size_t i, uint32_t *ret)
{
    if (i >= l->n || l->len[i] == 0 || l->len[i] > 10)
        return -EINVAL;
    char digits[11];
    memcpy(digits, l->field[i], l->len[i]);
    digits[l->len[i]] = '\0';
    return parse_id(digits, ret);
}

static bool all_digits(const char *s)
{
    return s[0] && s[strspn(s, "0123456789")] == '\0';
}

/* Finds the entry called name, or when name is NULL the first with this id. 1 found, 0 not. */
static int lookup(struct database *db, int which, const char *name, uint32_t id, struct line *ret,
                  struct err *e)
{
    int r = load(db, which, e);
    if (r < 0)
        return r;
    const char *text = db->text[which];
    while (next_line(&text, ret)) {
        uint32_t v;
        if (name ? field_is(ret, 0, name) : (field_id(ret, 2, &v) == 0 && v == id))
            return 1;
    }
    return 0;
}

/* One part of "user:group" to a number. *ret_line is the file's entry, with n = 0 if none. */
static int resolve_part(struct database *db, int which, const char *part, uint32_t *ret,
                        struct line *ret_line, struct err *e)
{
    *ret_line = (struct line){.n = 0};
    if (!part[0])
        return refuse(e,
                      err_msg(e, EINVAL, "the %s is empty: want USER or USER:GROUP", nouns[which]));
    if (all_digits(part)) {
        if (parse_id(part, ret) < 0)
            return refuse(e, err_msg(e, EINVAL, "%s %s: want a number from 0 to %u", nouns[which],
                                     part, ID_MAX));
        return 0;
    }
    int r = lookup(db, which, part, 0, ret_line, e);
    if (r < 0)
        return r;
    if (r == 0)
        return refuse(
            e, err_hint(e,
                        err_msg(e, ENOENT, "unable to find %s %s: no matching entries in %s file",
                                nouns[which], part, which == PASSWD ? "passwd" : "group"),
                        "it is the image's file that counts; a number needs no entry"));
    if (field_id(ret_line, 2, ret) < 0)
        return refuse(e, err_msg(e, EINVAL, "%s %s: its entry in %s has no number from 0 to %u",
                                 nouns[which], part, paths[which], ID_MAX));
    return 0;
}

static int add_group(struct user *u, gid_t gid, struct err *e)
{
    for (size_t i = 0; i < u->n_groups; i++) {
        if (u->groups[i] == gid)
            return 0;
    }
    if (u->n_groups >= NGROUPS_MAX)
        return refuse(e, err_msg(e, E2BIG, "more than %d groups", NGROUPS_MAX));
    u->groups = xrealloc(u->groups, (u->n_groups + 1) * sizeof(*u->groups));
    u->groups[u->n_groups++] = gid;
    return 0;
}

/* Is name in the comma-separated member list, field 3 of group(5)? */
static bool has_member(const struct line *l, const char *name, size_t len)
{
    if (l->n < 4)
        return false;
    const char *p = l->field[3], *end = p + l->len[3];
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        const char *stop = comma ? comma : end;
        if ((size_t)(stop - p) == len && memcmp(p, name, len) == 0)
            return true;
        p = stop + 1;
    }
    return false;
}

static int add_memberships(struct database *db, const struct line *user, struct user *u,
                           struct err *e)
{
    int r = load(db, GROUP, e);
    const char *text = db->text[GROUP];
    struct line l;
    while (r == 0 && next_line(&text, &l)) {
        uint32_t gid;
        if (has_member(&l, user->field[0], user->len[0]) && field_id(&l, 2, &gid) == 0)
            r = add_group(u, gid, e);
    }
    return r;
}

/* What a passwd entry adds: the primary group, the home, and membership in groups unless a group
 * was named, which then stands alone (as docker and podman have it). */
static int use_entry(struct database *db, const struct line *l, bool group_named, struct user *u,
                     struct err *e)
{
    uint32_t gid;
    if (l->n > 5 && l->len[5] > 0)
        u->home = xstrndup(l->field[5], l->len[5]);
    if (group_named)
        return 0;
    if (field_id(l, 3, &gid) < 0)
        return refuse(e, err_msg(e, EINVAL, "user %.*s: its entry in %s has no group number",
                                 (int)l->len[0], l->field[0], paths[PASSWD]));
    u->gid = gid;
    return add_memberships(db, l, u, e);
}

static int resolve_text(struct database *db, const char *text, struct user *u, struct err *e)
{
    const char *colon = strchr(text, ':');
    scoped_free char *name = colon ? xstrndup(text, (size_t)(colon - text)) : xstrdup(text);
    struct line l, group;
    int r = resolve_part(db, PASSWD, name, &u->uid, &l, e);
    if (r == 0 && colon)
        r = resolve_part(db, GROUP, colon + 1, &u->gid, &group, e);
    if (r < 0)
        return r;
    if (l.n == 0) /* by number: an entry gives the group and home all the same */
        r = lookup(db, PASSWD, NULL, u->uid, &l, e);
    else
        r = 1;
    return r <= 0 ? r : use_entry(db, &l, colon != NULL, u, e);
}

static int resolve_spec(struct database *db, const struct user_request *q, struct user *u,
                        struct err *e)
{
    u->uid = q->spec->uid;
    u->gid = q->spec->gid;
    for (size_t i = 0; i < q->spec->additional_gids.n; i++) {
        int r = add_group(u, q->spec->additional_gids.v[i], e);
        if (r < 0)
            return r;
    }
    struct line l;
    struct err ignored = ERR_INIT;
    if (!q->want_home)
        return 0;
    /* The numbers are given; only the comfort of a home depends on what the image holds. */
    int r = lookup(db, PASSWD, NULL, u->uid, &l, &ignored);
    if (r < 0)
        log_debug("no home directory: %s", ignored.msg);
    if (r == 1 && l.n > 5 && l.len[5] > 0)
        u->home = xstrndup(l.field[5], l.len[5]);
    return 0;
}

int user_resolve(int root_fd, const struct user_request *q, struct user *ret, struct err *e)
{
    SCOPED(database_release) struct database db = {.root_fd = root_fd};
    SCOPED(user_release) struct user u = {.uid = 0};
    int r = q->text ? resolve_text(&db, q->text, &u, e) : resolve_spec(&db, q, &u, e);
    for (char *const *g = q->groups; r == 0 && g && *g; g++) {
        uint32_t gid;
        struct line l;
        r = resolve_part(&db, GROUP, *g, &gid, &l, e);
        if (r == 0)
            r = add_group(&u, gid, e);
    }
    if (r < 0)
        return r;
    *ret = u;
    u = (struct user){.uid = 0};
    return 0;
}

void user_release(struct user *u)
{
    free(u->groups);
    free(u->home);
    *u = (struct user){.uid = 0};
}

/* A file that the user has mounted over the container's is not ours to change. */
static bool same_mount(int a, int b)
{
    struct statx x, y;
    return statx(a, "", AT_EMPTY_PATH, STATX_MNT_ID, &x) == 0 &&
           statx(b, "", AT_EMPTY_PATH, STATX_MNT_ID, &y) == 0 && x.stx_mnt_id == y.stx_mnt_id;
}

/* Appends to a regular file below the root; quiet, see user.h. */
static void append(int root_fd, const char *path, const char *text)
{
    struct stat st;
    struct err none = ERR_INIT;
    scoped_fd int fd = path_open_in_root(
        root_fd, path, O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY, 0, &none);
    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !same_mount(root_fd, fd) ||
        fs_write_all(fd, text, strlen(text)) < 0)
        log_debug("no entry in %s: %s", path, none.msg);
}

static void announce(struct database *db, int which, const char *name, uint32_t id,
                     const char *rest)
{
    struct line l;
    struct err none = ERR_INIT;
    if (lookup(db, which, NULL, id, &l, &none) != 0 || !*db->text[which] ||
        lookup(db, which, name, 0, &l, &none) != 0)
        return;
    size_t n = strlen(db->text[which]);
    scoped_free char *text =
        xasprintf("%s%s:x:%u:%s\n", db->text[which][n - 1] == '\n' ? "" : "\n", name, id, rest);
    append(db->root_fd, paths[which], text);
}

void user_announce(int root_fd, const char *name, const struct user *u)
{
    struct database db SCOPED(database_release) = {.root_fd = root_fd};
    if (strpbrk(name, ":\n") || u->uid == 0)
        return;
    scoped_free char *rest = xasprintf("%u:%s:/:/bin/sh", u->gid, name);
    announce(&db, PASSWD, name, u->uid, rest);
    announce(&db, GROUP, name, u->gid, "");
}
