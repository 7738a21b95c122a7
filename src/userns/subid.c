/* subid - reads subuid(5) and subgid(5): whole lines, strict numbers, by name and by number. */
#include "userns/subid.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/str.h"
#include "base/strv.h"

#define SUBID_MAX_BYTES (4u << 20)
#define SUBID_FIRST 100000 /* SUB_UID_MIN of login.defs(5) */
#define SUBID_WANTED 65536
#define GETENT_TIMEOUT_MS 10000

void idmap_add(struct idmap *m, uint32_t inside, uint32_t outside, uint32_t count)
{
    if (count == 0)
        return;
    m->v = xrealloc(m->v, (m->n + 1) * sizeof(*m->v));
    m->v[m->n++] = (struct idmap_line){inside, outside, count};
}

/* One line "owner:start:count". Returns 1 when it names this user and fits, else 0: a line of
 * somebody else's making must not keep this user from working. */
static int subid_line(char *line, const char *uid_text, const char *user, struct idmap_line *ret)
{
    char *first = strchr(line, ':');
    char *second = first ? strchr(first + 1, ':') : NULL;
    if (!second)
        return 0;
    *first = *second = '\0';
    if (!streq(line, uid_text) && !(user && streq(line, user)))
        return 0;
    uint32_t start, count;
    if (parse_u32(first + 1, &start) < 0 || parse_u32(second + 1, &count) < 0 || count == 0 ||
        start > UINT32_MAX - count)
        return 0;
    *ret = (struct idmap_line){0, start, count};
    return 1;
}

static int larger_first(const void *a, const void *b)
{
    const struct idmap_line *x = a, *y = b;
    return (x->count < y->count) - (x->count > y->count);
}

int userns_subids(const char *file, uid_t uid, const char *user, struct idmap *ret, struct err *e)
{
    scoped_free char *text = NULL;
    ssize_t n = fs_read(AT_FDCWD, file, SUBID_MAX_BYTES, &text, e);
    struct idmap found = {0};
    if (n == -ENOENT) {
        err_clear(e);
        *ret = found;
        return 0;
    }
    if (n < 0)
        return (int)n;

    char uid_text[16];
    snprintf(uid_text, sizeof(uid_text), "%u", uid);
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        struct idmap_line l;
        if (subid_line(line, uid_text, user, &l))
            idmap_add(&found, 0, l.outside, l.count);
    }
    if (found.n > 1)
        qsort(found.v, found.n, sizeof(*found.v), larger_first);
    *ret = found;
    return 0;
}

/* Moves *start behind every range of the file that it would overlap; whether it moved. */
static bool step_over(const char *file, uint64_t *start)
{
    scoped_free char *text = NULL;
    bool moved = false;
    if (fs_read(AT_FDCWD, file, SUBID_MAX_BYTES, &text, NULL) < 0)
        return false;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        unsigned first, count;
        if (sscanf(line, "%*[^:]:%u:%u", &first, &count) != 2 || count == 0 ||
            *start >= (uint64_t)first + count || *start + SUBID_WANTED <= first)
            continue;
        *start = (uint64_t)first + count;
        moved = true;
    }
    return moved;
}

char *userns_subids_fix(const char *user)
{
    uint64_t start = SUBID_FIRST;
    while (step_over("/etc/subuid", &start) || step_over("/etc/subgid", &start))
        ;
    unsigned long long from = start, to = start + SUBID_WANTED - 1;
    return xasprintf("sudo usermod --add-subuids %llu-%llu --add-subgids %llu-%llu %s", from, to,
                     from, to, user ? user : "$USER");
}

/* The name from /etc/passwd itself, the common case. */
static char *name_from_passwd(uid_t uid)
{
    scoped_free char *text = NULL;
    if (fs_read(AT_FDCWD, "/etc/passwd", SUBID_MAX_BYTES, &text, NULL) < 0)
        return NULL;
    char *save = NULL;
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        char *password = strchr(line, ':');
        char *id = password ? strchr(password + 1, ':') : NULL;
        char *end = id ? strchr(id + 1, ':') : NULL;
        uint32_t v;
        if (!end)
            continue;
        *password = *end = '\0';
        if (parse_u32(id + 1, &v) == 0 && v == uid)
            return xstrdup(line);
    }
    return NULL;
}

/* A directory service knows the name: asked through getent(1), since the C library's own way loads
 * modules, which a static program can do only with the very libc that it was built with. */
static char *name_from_getent(uid_t uid)
{
    char text[16], line[1024];
    int out[2];
    if (pipe2(out, O_CLOEXEC) < 0)
        return NULL;
    scoped_fd int rd = out[0], wr = out[1];
    snprintf(text, sizeof(text), "%u", (unsigned)uid);
    char *argv[] = {(char *)"getent", (char *)"passwd", text, NULL};
    struct proc_cmd cmd = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = wr, .timeout_ms = GETENT_TIMEOUT_MS};
    if (proc_run(&cmd, NULL) != 0)
        return NULL;
    fd_close(&wr);
    ssize_t n = read(rd, line, sizeof(line) - 1);
    if (n <= 0)
        return NULL;
    line[n] = '\0';
    size_t len = strcspn(line, ":\n");
    return len > 0 && line[len] == ':' ? xstrndup(line, len) : NULL;
}

char *userns_user_name(uid_t uid)
{
    char *name = name_from_passwd(uid);
    if (name)
        return name;
    return name_from_getent(uid);
}
