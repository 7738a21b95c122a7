/* top - the processes of a running container. Nothing is run inside: an image needs no ps. */
#include "cli/top.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/path.h"
#include "base/strv.h"
#include "cli/cli.h"
#include "container/pod.h"
#include "container/root.h"
#include "format/format.h"

#define NAMES_MAX (1u << 20)

struct top_opts {
    bool latest;
    char *format;
};

#define O(m) offsetof(struct top_opts, m)
#define COLUMNS                                                                                    \
    {                                                                                              \
        "format", 'o', OPT_STRING, O(format), "COLUMNS",                                           \
            "Columns, with commas between: pid,user,args"                                          \
    }
static const struct opt pod_table[] = {COLUMNS, {NULL}};
static const struct opt top_table[] = {
    COLUMNS,
    {"latest", 'l', OPT_FLAG, O(latest), NULL, "The container created last"},
    {NULL},
};

/* The columns asked for; titles may differ from the usual. */
struct choice {
    const struct top_column **v; /* owned */
    char **headers;              /* "C0=USER" */
    size_t n;
};

static void choice_release(struct choice *c)
{
    free(c->v);
    strv_free(c->headers);
}

/* "NAME" or "NAME:TITLE". */
static int add_column(struct choice *c, const char *word, struct err *e)
{
    const char *colon = strchr(word, ':');
    scoped_free char *name = colon ? xstrndup(word, (size_t)(colon - word)) : xstrdup(word);
    const struct top_column *col = top_column_find(name);
    if (!col) {
        scoped_free char *known = top_column_names();
        return err_hint(e, err_msg(e, EINVAL, "unknown column \"%s\"", name), "known: %s", known);
    }
    c->v = xrealloc(c->v, (c->n + 1) * sizeof(const struct top_column *));
    strv_addf(&c->headers, "C%zu=%s", c->n, colon ? colon + 1 : col->header);
    c->v[c->n++] = col;
    return 0;
}

static int add_list(struct choice *c, const char *list, struct err *e)
{
    scoped_strv char **words = strv_split(list, ",", false);
    int r = 0;
    for (char **w = words; r == 0 && w && *w; w++)
        r = add_column(c, *w, e);
    return r;
}

/* The sets that people type; the words of ps(1) that choose processes mean nothing here, as all of
 * the container are shown. */
static int add_ps_option(struct choice *c, char *const **words, struct err *e)
{
    static const char *const sets[][2] = {
        {"ef", "user:UID,pid,ppid,c,stime,tty,time,args:CMD"},
        {"aux", "user,pid,pcpu,pmem,vsz,rss,tty,state:STAT,stime:START,time,args"},
    };
    const char *text = **words + strspn(**words, "-");
    size_t n = strcspn(text, "o");
    for (size_t i = 0; i < N_ELEMENTS(sets); i++)
        if (streq(text, sets[i][0]))
            return add_list(c, sets[i][1], e);
    if (!text[n] || strspn(text, "aeAxw") != n)
        return err_hint(e, err_msg(e, EINVAL, "of the options of ps %s is not understood", **words),
                        "-ef, aux, or -o with columns");
    if (text[n + 1])
        return add_list(c, text + n + 1, e);
    if (!(*words)[1])
        return err_msg(e, EINVAL, "%s: no columns are given", **words);
    ++*words;
    return add_list(c, **words, e);
}

static int choose(struct choice *c, const char *format, char *const *words, struct err *e)
{
    int r = format ? add_list(c, format, e) : 0;
    for (; r == 0 && *words; words++)
        r = **words == '-' || streq(*words, "aux") || streq(*words, "ef")
                ? add_ps_option(c, &words, e)
                : add_list(c, *words, e);
    return r == 0 && !c->n ? add_list(c, "user,pid,ppid,pcpu,etime,tty,time,args", e) : r;
}

/* --- names of users --- */

struct names {
    int fd[2]; /* passwd, group: what is read in the child */
};

static int read_inside(int root_fd, void *data, struct err *e)
{
    static const char *const files[] = {"/etc/passwd", "/etc/group"};
    const struct names *n = data;
    (void)e;
    for (size_t i = 0; i < N_ELEMENTS(files); i++) {
        scoped_free char *text = NULL;
        ssize_t size = path_read_in_root(root_fd, files[i], NAMES_MAX, &text, NULL);
        if (size > 0)
            (void)!fs_write_all(n->fd[i], text, (size_t)size);
    }
    return 0;
}

static char *take_text(int fd)
{
    char *text = NULL;
    if (lseek(fd, 0, SEEK_SET) != 0 || fs_read_fd(fd, NAMES_MAX, &text, NULL) < 0)
        return NULL;
    return text;
}

/* Where they are not to be had numbers do. */
static void read_names(const struct container *c, struct top_view *v)
{
    struct err none = ERR_INIT;
    scoped_fd int passwd = memfd_create("passwd", MFD_CLOEXEC);
    scoped_fd int group = memfd_create("group", MFD_CLOEXEC);
    struct names n = {{passwd, group}};
    if (passwd >= 0 && group >= 0 &&
        container_root_run(cli_conf(), c, CTR_ROOT_MOUNTS, read_inside, &n, &none) == 0) {
        v->passwd[0] = take_text(passwd);
        v->group[0] = take_text(group);
    }
    (void)!fs_read(AT_FDCWD, "/etc/passwd", NAMES_MAX, &v->passwd[1], NULL);
    (void)!fs_read(AT_FDCWD, "/etc/group", NAMES_MAX, &v->group[1], NULL);
}

static void view_release(struct top_view *v)
{
    for (size_t i = 0; i < N_ELEMENTS(v->passwd); i++) {
        free(v->passwd[i]);
        free(v->group[i]);
    }
}

/* --- rows --- */

static int add_rows(const struct container *c, const struct choice *chosen, json_t *rows,
                    struct err *e)
{
    struct ctr_procs procs SCOPED(container_procs_release) = {.n = 0};
    struct top_view v SCOPED(view_release) = {.procs = &procs};
    int r = container_procs(c, &procs, e);
    if (r < 0)
        return r;
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    v.ticks_per_s = (uint64_t)sysconf(_SC_CLK_TCK);
    v.now_ticks =
        (uint64_t)now.tv_sec * v.ticks_per_s + (uint64_t)now.tv_nsec / (1000000000 / v.ticks_per_s);
    v.memory_kib = (uint64_t)sysconf(_SC_PHYS_PAGES) * ((uint64_t)sysconf(_SC_PAGESIZE) / 1024);
    read_names(c, &v);
    for (size_t i = 0; i < procs.n; i++) {
        json_t *row = json_object();
        for (size_t k = 0; k < chosen->n; k++) {
            char key[24];
            scoped_str struct str text = STR_INIT;
            chosen->v[k]->print(&v, &procs.v[i], &text);
            snprintf(key, sizeof(key), "C%zu", k);
            json_object_set_new(row, key, json_from_bytes(text.s));
        }
        json_array_append_new(rows, row);
    }
    return 0;
}

static int print_rows(const struct choice *c, const json_t *rows, struct err *e)
{
    scoped_str struct str template = STR_INIT, out = STR_INIT;
    str_add(&template, "table ");
    for (size_t i = 0; i < c->n; i++)
        str_addf(&template, "%s{{.C%zu}}", i ? "\t" : "", i);
    struct format_options f = {NULL, template.s, (const char *const *)c->headers, false};
    int r = format_rows(&f, rows, &out, e);
    if (r == 0)
        fputs(out.s, stdout);
    return r;
}

static int top(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct top_opts *o = opts;
    scoped_container struct container c = {.dir_fd = -1};
    struct choice chosen SCOPED(choice_release) = {.n = 0};
    scoped_json json_t *rows = json_array();
    (void)cmd;
    if (!o->latest && !args[0])
        return err_hint(e, err_msg(e, EINVAL, "top: no container given"), "a name or id, or -l");
    int r = choose(&chosen, o->format, o->latest ? args : args + 1, e);
    if (r < 0)
        return err_add(e, r, "top");
    r = o->latest ? container_open_latest(cli_conf(), &c, e)
                  : container_open(cli_conf(), args[0], &c, e);
    if (r == 0)
        r = add_rows(&c, &chosen, rows, e);
    if (r == 0)
        r = print_rows(&chosen, rows, e);
    return r < 0 ? err_add(e, r, "top %s", o->latest ? c.id : args[0]) : 0;
}

/* The members one after the other, each with its own numbers. */
static int pod_top(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct top_opts *o = opts;
    scoped_pod_set struct pod_set set = {.n = 0};
    const struct pod *p = NULL;
    struct choice chosen SCOPED(choice_release) = {.n = 0};
    scoped_json json_t *rows = json_array();
    (void)cmd;
    int r = choose(&chosen, o->format, args + 1, e);
    if (r == 0)
        r = pod_set_load(cli_conf(), &set, e);
    if (r == 0)
        r = pod_find(&set, args[0], &p, e);
    for (size_t i = 0; r == 0 && i < p->n; i++) {
        scoped_container struct container c = {.dir_fd = -1};
        struct err ended = ERR_INIT;
        if (container_open_id(cli_conf(), p->members[i]->id, &c, &ended) == 0)
            (void)add_rows(&c, &chosen, rows, &ended);
    }
    if (r == 0)
        r = print_rows(&chosen, rows, e);
    return r < 0 ? err_add(e, r, "pod top %s", args[0]) : 0;
}

static const char *const top_aliases[] = {"container top", NULL};

const struct cmd cli_top_cmds[] = {
    {
        .name = "top",
        .args = "CONTAINER [COLUMN...]",
        .summary = "Show the processes of a container",
        .opts = top_table,
        .opts_size = sizeof(struct top_opts),
        .max_args = -1,
        .flags = CMD_STOP_AT_ARG,
        .run = top,
        .aliases = top_aliases,
        .details = "Numbers and names are those inside the container, and the image needs no ps. "
                   "Behind the name columns,\nor options of ps: -ef, aux, -o LIST.",
        .examples = "rootlet top web\nrootlet top web pid user capeff args\nrootlet top web -o "
                    "pid,hpid,rss,comm",
    },
    {
        .name = "pod top",
        .args = "POD [COLUMN...]",
        .summary = "Show the processes of the containers of a pod",
        .opts = pod_table,
        .opts_size = sizeof(struct top_opts),
        .min_args = 1,
        .max_args = -1,
        .flags = CMD_STOP_AT_ARG,
        .run = pod_top,
        .examples = "rootlet pod top app",
    },
    {NULL},
};
