#include "security/why.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/mman.h>

#include "base/fs.h"
#include "base/proc.h"
#include "base/strv.h"
#include "base/timefmt.h"
#include "security/builtin.h"

#define SECOND INT64_C(1000000000)
#define SLACK (2 * SECOND) /* the log's clock and ours differ, and the record comes first */
#define MAX_CALLS 32
#define MAX_KMSG 100000
#define MAX_LOG (8u << 20)
#define JOURNAL_TIMEOUT_MS 5000

/* ---- log lines ------------------------------------------------------------------------------ */

/* The text behind " KEY=" (or at the line's beginning), or NULL. */
static const char *field(const char *line, const char *key)
{
    size_t len = strlen(key);
    for (const char *p = line; (p = strstr(p, key)); p += len) {
        if ((p == line || p[-1] == ' ') && p[len] == '=')
            return p + len + 1;
    }
    return NULL;
}

static int number(const char *line, const char *key, int base, uint64_t *ret)
{
    const char *text = field(line, key);
    char *end = NULL;
    if (!text)
        return -ENOENT;
    errno = 0;
    *ret = strtoull(text, &end, base);
    return end == text || errno ? -EINVAL : 0;
}

/* "audit(1795300393.809:98)" */
static int64_t record_time(const char *line)
{
    const char *text = strstr(line, "audit(");
    char *end = NULL;
    if (!text)
        return 0;
    uint64_t seconds = strtoull(text + strlen("audit("), &end, 10);
    if (*end != '.' || seconds > INT64_MAX / SECOND - 1)
        return 0;
    return (int64_t)seconds * SECOND + (int64_t)(strtoull(end + 1, NULL, 10) % 1000) * 1000000;
}

int why_parse_record(const char *line, struct why_record *ret)
{
    struct why_record r = {0};
    uint64_t arch = 0, nr = 0, sig = 0, pid = 0, uid = 0;

    if (!strstr(line, "type=1326") && !strstr(line, "SECCOMP"))
        return 0;
    if (number(line, "arch", 16, &arch) < 0 || number(line, "syscall", 10, &nr) < 0 ||
        number(line, "sig", 10, &sig) < 0 || number(line, "pid", 10, &pid) < 0 ||
        number(line, "uid", 10, &uid) < 0)
        return 0;
    if (arch != seccomp_builtin_arch || nr > INT32_MAX)
        return 0;
    const char *comm = field(line, "comm");
    if (comm && *comm == '"')
        snprintf(r.comm, sizeof(r.comm), "%.*s", (int)strcspn(comm + 1, "\""), comm + 1);
    r.nr = (int)nr;
    r.sig = (int)sig;
    r.pid = (pid_t)pid;
    r.uid = (uint32_t)uid;
    r.time_ns = record_time(line);
    *ret = r;
    return 1;
}

/* ---- calls that were found ------------------------------------------------------------------ */

struct found {
    struct why_record v[MAX_CALLS];
    size_t n;
};

static bool is_ours(const struct why_query *q, const struct why_record *r)
{
    if (r->sig != SIGSYS)
        return false;
    if (r->time_ns && (r->time_ns < q->started_ns - SLACK ||
                       (q->finished_ns && r->time_ns > q->finished_ns + SLACK)))
        return false;
    if (q->init_pid && r->pid == q->init_pid)
        return true;
    for (size_t i = 0; i < q->n_uid_map; i++) {
        if (r->uid - q->uid_map[i].host_id < q->uid_map[i].size)
            return true;
    }
    return false;
}

static void add_call(struct found *f, const struct why_record *r)
{
    for (size_t i = 0; i < f->n; i++) {
        if (f->v[i].nr == r->nr)
            return;
    }
    if (f->n < MAX_CALLS)
        f->v[f->n++] = *r;
}

static void take_line(const struct why_query *q, const char *line, struct found *f)
{
    struct why_record r;
    if (why_parse_record(line, &r) == 1 && is_ours(q, &r))
        add_call(f, &r);
}

/* One record a read(2). dev-kmsg: EPIPE says that records were overwritten meanwhile. */
static void read_kmsg(const struct why_query *q, struct found *f)
{
    char line[8192];
    scoped_fd int fd = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    for (int i = 0; fd >= 0 && i < MAX_KMSG; i++) {
        ssize_t n = read(fd, line, sizeof(line) - 1);
        if (n < 0 && (errno == EPIPE || errno == EINTR))
            continue;
        if (n <= 0)
            return;
        line[n] = '\0';
        take_line(q, line, f);
    }
}

/* Members of adm and systemd-journal may read the kernel's lines there. */
static void read_journal(const struct why_query *q, struct found *f)
{
    scoped_fd int fd = memfd_create("journal", MFD_CLOEXEC);
    scoped_strv char **argv = NULL;
    scoped_free char *text = NULL;
    if (fd < 0)
        return;
    int64_t until = q->finished_ns ? q->finished_ns : time_now_ns();
    strv_addf(&argv, "journalctl");
    strv_addf(&argv, "--quiet");
    strv_addf(&argv, "--no-pager");
    strv_addf(&argv, "--output=cat");
    strv_addf(&argv, "--since=@%lld", (long long)((q->started_ns - SLACK) / SECOND));
    strv_addf(&argv, "--until=@%lld", (long long)((until + SLACK) / SECOND));
    strv_addf(&argv, "_TRANSPORT=kernel");
    strv_addf(&argv, "+");
    strv_addf(&argv, "_TRANSPORT=audit");
    struct proc_cmd cmd = {
        .argv = argv, .stdin_fd = -1, .stdout_fd = fd, .timeout_ms = JOURNAL_TIMEOUT_MS};
    if (proc_run(&cmd, NULL) != 0 || lseek(fd, 0, SEEK_SET) < 0 ||
        fs_read_fd(fd, MAX_LOG, &text, NULL) < 0)
        return;
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++)
        take_line(q, *l, f);
}

/* "NUMBER NAME COMM" lines, written by why_learn_step. */
static void read_learned(const struct why_query *q, struct found *f)
{
    scoped_free char *text = NULL;
    if (q->dirfd < 0 || fs_read(q->dirfd, WHY_LEARNED, 1 << 16, &text, NULL) < 0)
        return;
    scoped_strv char **lines = strv_split(text, "\n", false);
    for (char **l = lines; l && *l; l++) {
        struct why_record r = {0};
        if (sscanf(*l, "%d %*s %16[^\n]", &r.nr, r.comm) >= 1)
            add_call(f, &r);
    }
}

/* ---- the text ------------------------------------------------------------------------------- */

static void print_call(const struct why_record *r, struct str *out)
{
    char comm[80];
    const char *name = seccomp_syscall_name(r->nr);
    str_addf(out, "  %s (%d)", name ? name : "unknown to us", r->nr);
    if (r->comm[0])
        str_addf(out, ", called by %s", err_escape(comm, sizeof(comm), r->comm));
    str_add(out, "\n");
}

/* Some numbers of the profile, so that the reader sees what kind it is. */
static void print_profile(const struct seccomp_prog *p, struct str *out)
{
    unsigned killed = 0, all = 0;
    for (int nr = 0; (size_t)nr < seccomp_n_names; nr++) {
        if (!seccomp_syscall_name(nr))
            continue;
        uint32_t action = seccomp_answer(p, nr, NULL) & SECCOMP_RET_ACTION_FULL;
        all++;
        killed += action == SECCOMP_RET_KILL_PROCESS || action == SECCOMP_RET_KILL_THREAD ||
                  action == SECCOMP_RET_TRAP;
    }
    if (killed > 0)
        str_addf(out, "It kills for %u of the %u system calls of this machine.\n", killed, all);
    else
        str_add(out, "It kills for no system call as such, at most for arguments or for another "
                     "architecture; the program may have raised SIGSYS itself.\n");
}

static void print_allow(const struct found *f, struct str *out)
{
    str_add(out, "To allow it, add to the profile's syscalls: {\"names\": [");
    for (size_t i = 0; i < f->n; i++) {
        const char *name = seccomp_syscall_name(f->v[i].nr);
        if (name)
            str_addf(out, "%s\"%s\"", i ? ", " : "", name);
    }
    str_add(out, "], \"action\": \"SCMP_ACT_ALLOW\"}\n");
}

int why_explain(const struct why_query *q, struct str *out)
{
    struct found f = {0};
    read_learned(q, &f);
    if (f.n > 0) {
        str_addf(out, "Outside of seccomp profile %s it used:\n", q->profile);
    } else {
        read_kmsg(q, &f);
        if (f.n == 0)
            read_journal(q, &f);
        if (f.n > 0)
            str_addf(out, "Killed by seccomp: not allowed by profile %s, says the kernel's log:\n",
                     q->profile);
    }
    for (size_t i = 0; i < f.n; i++)
        print_call(&f.v[i], out);
    if (f.n > 0) {
        print_allow(&f, out);
        return (int)f.n;
    }
    str_addf(out, "Killed by SIGSYS, most likely by seccomp profile %s.\n", q->profile);
    if (q->prog)
        print_profile(q->prog, out);
    str_addf(out,
             "Which call it was stands only in the kernel's log, and that has no record of it that "
             "you may read.\nTo find out without the log, run it again and ask again:\n"
             "  rootlet run --name %s-learn --security-opt seccomp=%s --security-opt "
             "seccomp-default=learn ...\n  rootlet why %s-learn\n",
             q->name, q->profile, q->name);
    return 0;
}
