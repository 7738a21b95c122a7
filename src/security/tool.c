/* rootlet-seccomp - compiles and explains seccomp profiles; run by rootlet when a container with a
 * profile of its own is created, so that only this program links libseccomp. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <stdio.h>

#include "base/fs.h"
#include "base/opt.h"
#include "base/path.h"
#include "base/str.h"
#include "base/strv.h"
#include "security/builtin.h"
#include "security/caps.h"
#include "security/profile.h"
#include "security/seccomp.h"

struct options {
    char *caps, *output, *profile, *default_action, *kernel;
    char **arch;
};

#define COMMON_OPTIONS                                                                               \
    {"caps",       0,                                                                                \
     OPT_STRING,   offsetof(struct options, caps),                                                   \
     "MASK|NAMES", "the container's capabilities: hexadecimal, or names with commas"},               \
        {"default-action", 0,                                                                        \
         OPT_STRING,       offsetof(struct options, default_action),                                 \
         "ACTION",         "replace the profile's default: errno, log, notify, trap, kill-process"}, \
        {"arch",   0,                                                                                \
         OPT_STRV, offsetof(struct options, arch),                                                   \
         "NAME",   "also filter calls of this architecture (x86)"},                                  \
    {                                                                                                \
        "kernel", 0, OPT_STRING, offsetof(struct options, kernel), "VERSION",                        \
            "the kernel for minKernel rules"                                                         \
    }

static int read_text(const char *name, char **ret, uint64_t *caps, struct err *e)
{
    if (streq(name, "nested")) {
        *caps |= (UINT64_C(1) << CAP_SYS_ADMIN) | (UINT64_C(1) << CAP_SYS_CHROOT);
        name = "default";
    }
    for (const struct seccomp_text *t = seccomp_texts; t->name; t++) {
        if (streq(t->name, name)) {
            *ret = xstrdup(t->json);
            return 0;
        }
    }
    ssize_t n = streq(name, "-") ? fs_read_fd(STDIN_FILENO, PROFILE_MAX_BYTES, ret, e)
                                 : fs_read(AT_FDCWD, name, PROFILE_MAX_BYTES, ret, e);
    return n < 0 ? (int)n : 0;
}

static int read_caps(const char *text, uint64_t *ret, struct err *e)
{
    char *end = NULL;
    if (!text)
        return cap_profile("default", ret, e);
    uint64_t mask = strtoull(text, &end, 16);
    if (*text && isxdigit((unsigned char)*text) && !*end) {
        *ret = mask;
        return 0;
    }
    scoped_strv char **names = strv_split(text, ",", false);
    return cap_list_to_mask(names, ret, e);
}

/* Reads profile and target; warnings go to stdout, where the caller can show them. */
static int prepare(const struct options *o, const char *name, struct profile *ret,
                   struct profile_target *ret_target, struct err *e)
{
    struct profile_target t = {.kernel = o->kernel, .more_arches = o->arch};
    scoped_strv char **warnings = NULL;
    scoped_free char *text = NULL;
    int r = read_caps(o->caps, &t.caps, e);
    if (r == 0)
        r = read_text(name, &text, &t.caps, e);
    if (r == 0 && o->default_action) {
        t.replace_default = true;
        r = profile_action_parse(o->default_action, &t.default_action, e);
    }
    if (r < 0)
        return r;
    // NOLINTNEXTLINE(clang-analyzer-core.NonNullParamChecker): read_text has set it
    scoped_json json_t *doc = json_parse(text, strlen(text), PROFILE_MAX_BYTES, name, e);
    if (!doc)
        return -EINVAL;
    r = profile_parse(doc, ret, &warnings, e);
    if (r < 0)
        return err_add(e, r, "%s", name);
    for (char **w = warnings; w && *w; w++) {
        char line[512];
        printf("warning: %s: %s\n", name, err_escape(line, sizeof(line), *w));
    }
    *ret_target = t;
    return 0;
}

static int write_program(const char *path, const struct seccomp_prog *prog, struct err *e)
{
    const char *name = path_name(path);
    scoped_free char *dir = xstrndup(path, (size_t)(name - path));
    scoped_fd int dirfd = open(*dir ? dir : ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dirfd < 0)
        return err_set(e, errno, "open directory %s", dir);
    return seccomp_write(dirfd, name, prog, e);
}

static int run_compile(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct options *o = opts;
    scoped_profile struct profile p = {0};
    struct profile_target t;
    struct seccomp_prog prog;
    (void)cmd;

    int r = prepare(o, args[0], &p, &t, e);
    if (r < 0)
        return r;
    r = profile_compile(&p, &t, &prog, e);
    if (r < 0)
        return err_add(e, r, "%s", args[0]);
    if (o->output)
        r = write_program(o->output, &prog, e);
    else
        printf("%s: %zu instructions\n", args[0], prog.n);
    seccomp_prog_release(&prog);
    return r;
}

static const char *answer_name(uint32_t answer, char *buf, size_t size)
{
    uint32_t data = answer & SECCOMP_RET_DATA;
    switch (answer & SECCOMP_RET_ACTION_FULL) {
    case SECCOMP_RET_KILL_PROCESS:
        return "kills the process (SIGSYS)";
    case SECCOMP_RET_KILL_THREAD:
        return "kills the thread (SIGSYS)";
    case SECCOMP_RET_TRAP:
        return "SIGSYS, which may be caught";
    case SECCOMP_RET_ERRNO:
        snprintf(buf, size, "fails with %s", strerrorname_np((int)data) ?: "no error");
        return buf;
    case SECCOMP_RET_USER_NOTIF:
        return "asks the supervisor";
    case SECCOMP_RET_TRACE:
        return "asks a tracer";
    case SECCOMP_RET_LOG:
        return "allowed and logged";
    default:
        return "allowed";
    }
}

static const char *const op_texts[] = {"?", "!=", "<", "<=", "==", ">=", ">", "&"};

static void print_rule(const struct profile_rule *r, size_t i)
{
    printf("  syscalls[%zu]: %s", i, r->action_name);
    if (r->action == PROFILE_ERRNO)
        printf(" %s", strerrorname_np((int)r->errno_ret) ?: "");
    const char *glue = " and";
    for (size_t k = 1; k < r->n_args; k++) {
        for (size_t j = 0; j < k; j++)
            glue = r->args[j].index == r->args[k].index ? " or" : glue;
    }
    for (size_t k = 0; k < r->n_args; k++) {
        const struct profile_arg *a = &r->args[k];
        printf("%s arg%u %s %#llx", k ? glue : " if", a->index, op_texts[a->op & 7],
               (unsigned long long)a->value);
        if (streq(op_texts[a->op & 7], "&"))
            printf(" == %#llx", (unsigned long long)a->value_two);
    }
    putchar('\n');
}

static int explain(const char *word, const struct profile *p, const struct profile_target *t,
                   const struct seccomp_prog *prog, struct err *e)
{
    uint32_t number = 0;
    char buf[64], escaped[64];
    int nr = parse_u32(word, &number) == 0 ? (int)number : seccomp_syscall_nr(word), args = 0;
    if (nr < 0)
        return err_msg(e, ENOENT, "%s: this machine has no such system call",
                       err_escape(escaped, sizeof(escaped), word));
    const char *name = seccomp_syscall_name(nr);
    uint32_t answer = seccomp_answer(prog, nr, &args);
    printf("%s (%d): %s\n", name ? name : "unknown", nr,
           args ? "depends on the arguments" : answer_name(answer, buf, sizeof(buf)));
    for (size_t i = 0; i < p->n_rules; i++) {
        if (name && strv_has(p->rules[i].names, name) && profile_rule_counts(&p->rules[i], t))
            print_rule(&p->rules[i], i);
    }
    return 0;
}

static int run_explain(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    const struct options *o = opts;
    scoped_profile struct profile p = {0};
    struct profile_target t;
    struct seccomp_prog prog;
    (void)cmd;

    int r = prepare(o, o->profile ? o->profile : "default", &p, &t, e);
    if (r < 0)
        return r;
    r = profile_compile(&p, &t, &prog, e);
    if (r < 0)
        return r;
    for (; *args && r == 0; args++)
        r = explain(*args, &p, &t, &prog, e);
    seccomp_prog_release(&prog);
    return r;
}

static int run_show(const struct cmd *cmd, void *opts, char **args, struct err *e)
{
    (void)cmd;
    (void)opts;
    for (const struct seccomp_text *t = seccomp_texts; t->name; t++) {
        if (streq(t->name, args[0])) {
            fputs(t->json, stdout);
            return 0;
        }
    }
    return err_msg(e, ENOENT, "%s: no built-in profile (there are default and minimal)", args[0]);
}

static const struct opt compile_options[] = {
    COMMON_OPTIONS,
    {"output", 'o', OPT_STRING, offsetof(struct options, output), "FILE",
     "where the program goes; without it the profile is only checked"},
    {0},
};

static const struct opt explain_options[] = {
    COMMON_OPTIONS,
    {"profile", 'p', OPT_STRING, offsetof(struct options, profile), "PROFILE",
     "default, minimal, nested, or a file"},
    {0},
};

static const struct opt no_options[] = {{0}};

static const struct cmd commands[] = {
    {.name = "compile",
     .args = "PROFILE",
     .summary = "Compile a profile (default, minimal, nested, a JSON file, or - for stdin)",
     .opts = compile_options,
     .opts_size = sizeof(struct options),
     .min_args = 1,
     .max_args = 1,
     .run = run_compile},
    {.name = "explain",
     .args = "NAME|NUMBER...",
     .summary = "Say what a profile does to system calls, and by which rules",
     .opts = explain_options,
     .opts_size = sizeof(struct options),
     .min_args = 1,
     .max_args = -1,
     .run = run_explain},
    {.name = "show",
     .args = "default|minimal",
     .summary = "Print a built-in profile as JSON",
     .opts = no_options,
     .opts_size = 1,
     .min_args = 1,
     .max_args = 1,
     .run = run_show},
    {0},
};

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    const struct cmd *table[] = {&commands[0], &commands[1], &commands[2], NULL};
    char *help[] = {(char *)"--help", NULL};
    int r = cmd_dispatch("rootlet-seccomp", table, argc > 1 ? argv + 1 : help, &e);
    if (r >= 0)
        return fflush(stdout) == 0 ? r : 1;
    char text[1200];
    fprintf(stderr, "rootlet-seccomp: %s\n", err_escape(text, sizeof(text), e.msg));
    if (e.hint[0])
        fprintf(stderr, "hint: %s\n", e.hint);
    return e.exit_status ? e.exit_status : 1;
}
